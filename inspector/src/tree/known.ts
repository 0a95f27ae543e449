/**
 * The streams that the page knows of: levels of the tree, loaded page by page, and a survey of what lies anywhere below.
 * No clock and no network of its own; who made it is told of every change.
 */
import type { Child } from "tailrace";

/** A page of `GET /api/children`. */
export interface Answer {
  readonly children: readonly Child[];
  /** The path to go on behind; `null` when that was all. */
  readonly after: string | null;
}

export type AskChildren = (
  path: string,
  query: Record<string, string | number | boolean | undefined>,
) => Promise<Answer>;

/** The streams right below one, as far as they are loaded. */
export interface Level {
  /** By path. */
  readonly children: readonly string[];
  /** Loaded up to here; `null` when that is all, `undefined` when nothing is loaded yet. */
  readonly after: string | null | undefined;
  readonly isLoading: boolean;
  /** Why it could not be loaded. */
  readonly trouble?: Error | undefined;
}

/** A page of a level: more are not given with details. */
export const PAGE = 50;
/** A page without them, where somebody wants more: how those stand is asked for when they are seen. */
const MORE = 1_000;
/** A page of the survey. Each stream of it is asked for its children by the server, so there are fewer than might be. */
const SURVEYED = 100;

const nothing: Level = { children: [], after: undefined, isLoading: false };

export class Known {
  /** The stream that all others lie below. */
  readonly root: string;
  readonly #ask: AskChildren;
  readonly #changed: () => void;
  readonly #streams = new Map<string, Child>();
  readonly #levels = new Map<string, Level>();
  /** Whether there is something below, and how many events the stream had when that was found out. */
  readonly #branches = new Map<string, { has: boolean; head: number | undefined }>();
  /** Paths of the survey before this one, which hold until this one is through. */
  #before = new Set<string>();
  #surveyed = new Set<string>();
  #surveyedTo: string | null | undefined;
  #surveying: Promise<void> | undefined;
  #open: string | undefined;

  constructor(root: string, ask: AskChildren, changed: () => void) {
    this.root = root;
    this.#ask = ask;
    this.#changed = changed;
  }

  /** What is known of a stream. */
  stream(path: string): Child | undefined {
    return this.#streams.get(path);
  }

  level(path: string): Level {
    return this.#levels.get(path) ?? nothing;
  }

  /** The streams right below that are shown: those that are loaded, and the way to the one that is open. */
  shown(path: string): readonly string[] {
    const { children } = this.level(path);
    const way = this.#open === undefined ? undefined : stepTowards(path, this.#open);
    if (way === undefined || children.includes(way)) return children;
    return [...children, way].sort();
  }

  /** The stream that is looked at is shown in the tree, wherever it lies, and even before it is born. */
  set open(path: string | undefined) {
    if (path === this.#open) return;
    this.#open = path;
    this.#changed();
  }

  /** Whether streams lie below; `undefined` while nobody knows. */
  hasBelow(path: string): boolean | undefined {
    if (this.shown(path).length > 0) return true;
    const { after } = this.level(path);
    return after === undefined ? this.#branches.get(path)?.has : after !== null;
  }

  /** How many streams are right below, when that is known. */
  countBelow(path: string): number | undefined {
    const { children, after } = this.level(path);
    return after === null ? children.length : undefined;
  }

  /** Whether {@link hasBelow} is worth a question: nobody knows, or it has grown since, maybe by a child. */
  isDoubtful(path: string): boolean {
    if (this.hasBelow(path) === true || !this.#streams.has(path)) return false;
    const known = this.#branches.get(path);
    return known === undefined || known.head !== this.stream(path)?.head;
  }

  /** Asks whether anything lies below. */
  async probe(path: string): Promise<void> {
    const head = this.stream(path)?.head;
    const answer = await this.#children(path, { limit: 1 });
    this.#branches.set(path, { has: answer.children.length > 0, head });
    if (answer.children.length === 0 && this.#levels.has(path)) this.#merge(path, undefined, answer);
    this.#changed();
  }

  /** Whether a stream is known by its path alone. */
  isBare(path: string): boolean {
    const known = this.#streams.get(path);
    return known !== undefined && known.head === undefined;
  }

  /** The levels of which more could be loaded. */
  unfinished(): string[] {
    return [...this.#levels].flatMap(([path, { after }]) => (typeof after === "string" ? [path] : []));
  }

  /** Takes in how a stream stands. */
  learn(child: Child): void {
    this.#learn(child);
    this.#changed();
  }

  /** Every stream that is known, the root first. */
  paths(): Set<string> {
    const all = new Set([this.root, ...this.#before, ...this.#surveyed]);
    for (const { children } of this.#levels.values()) for (const path of children) all.add(path);
    return all;
  }

  /** Every stream of which is known when it last heard something. */
  streams(): Child[] {
    return [...this.#streams.values()].filter(({ lastEventAt }) => lastEventAt !== undefined);
  }

  /**
   * Loads a page of a level, or loads it anew.
   *
   * @param after the page behind this path; from the beginning without it
   */
  load(path: string, after?: string): Promise<void> {
    return this.#load(path, { details: true, limit: PAGE, after });
  }

  async #load(path: string, query: { details?: boolean; limit: number; after: string | undefined }): Promise<void> {
    const before = this.level(path);
    const isNew = before.after === undefined;
    // What is only looked at anew keeps nobody from wanting more.
    const brings = query.after === before.after;
    if (brings) this.#put(path, { ...before, isLoading: true });
    try {
      const answer = await this.#children(path, query);
      this.#merge(path, query.after, answer, brings);
    } catch (error) {
      const { children, after: loaded, isLoading } = this.level(path);
      const trouble = error instanceof Error ? error : new Error(String(error));
      // What was seen before stays: the next time it may be answered again.
      const isStill = !brings && isLoading;
      this.#put(path, { children, after: loaded, isLoading: isStill, trouble: isNew ? trouble : undefined });
      throw error;
    }
  }

  /** Loads the page anew that a stream stands on, as far as its level is loaded. */
  async loadAround(path: string): Promise<void> {
    const parent = above(path);
    const { children, after } = this.level(parent);
    if (after === undefined || path === this.root) return;
    await this.load(
      parent,
      children.findLast((it) => it < path),
    );
  }

  /** Loads what comes behind what is loaded. */
  loadMore(path: string): Promise<void> {
    const { after } = this.level(path);
    return typeof after === "string" ? this.#load(path, { limit: MORE, after }) : this.load(path);
  }

  /** How many streams the survey has seen, and whether those are all. */
  get survey(): { readonly seen: number; readonly isWhole: boolean } {
    return { seen: this.#surveyed.size, isWhole: this.#surveyedTo === null };
  }

  /** Begins the survey anew; what is known holds until it is through. */
  surveyAnew(): void {
    this.#before = this.paths();
    this.#surveyed = new Set();
    this.#surveyedTo = undefined;
    // What is being answered belongs to the one before.
    this.#surveying = undefined;
  }

  /** Looks at the next streams, at any depth, in the order of the tree. Asked twice at once it is done once. */
  surveyOn(options: { details?: boolean } = {}): Promise<void> {
    if (this.#surveying) return this.#surveying;
    const surveying = this.#survey(options).finally(() => {
      if (this.#surveying === surveying) this.#surveying = undefined;
    });
    this.#surveying = surveying;
    return surveying;
  }

  /** A stream was born, and with it those above it, if they were not there. */
  born(path: string): void {
    for (let at = path; at !== this.root && at.startsWith("/") && at !== "/"; at = above(at)) {
      this.#surveyed.add(at);
      const parent = above(at);
      const level = this.level(parent);
      const isLoaded = level.after === null || (level.after !== undefined && at <= level.after);
      if (isLoaded && !level.children.includes(at)) {
        this.#levels.set(parent, { ...level, children: [...level.children, at].sort() });
      }
      this.#branches.set(parent, { has: true, head: this.stream(parent)?.head });
    }
    this.#changed();
  }

  /** A stream is gone; what lay below it is listed no more. */
  died(path: string): void {
    const isGone = (it: string): boolean => it === path || it.startsWith(`${path}/`);
    for (const map of [this.#streams, this.#levels, this.#branches]) {
      for (const it of map.keys()) if (isGone(it)) map.delete(it);
    }
    for (const set of [this.#before, this.#surveyed]) for (const it of set) if (isGone(it)) set.delete(it);
    const parent = above(path);
    const level = this.#levels.get(parent);
    if (level) this.#levels.set(parent, { ...level, children: level.children.filter((it) => it !== path) });
    if (this.level(parent).children.length === 0) this.#branches.delete(parent);
    this.#changed();
  }

  async #survey({ details }: { details?: boolean }): Promise<void> {
    const behind = this.#surveyedTo;
    const surveyed = this.#surveyed;
    if (behind === null) return;
    const limit = details ? PAGE : SURVEYED;
    const answer = await this.#children(this.root, { recursive: true, details, limit, after: behind });
    if (surveyed !== this.#surveyed) return;
    answer.children.forEach((child) => this.#learn(child));
    const all = [behind ?? this.root, ...answer.children.map(({ path }) => path)];
    all.forEach((path, at) => {
      const next = all[at + 1];
      // Whether the last one of a page has something below, the next page tells.
      if (next === undefined && answer.after !== null) return;
      this.#branches.set(path, { has: next?.startsWith(prefix(path)) === true, head: this.stream(path)?.head });
    });
    for (const { path } of answer.children) this.#surveyed.add(path);
    this.#surveyedTo = answer.after;
    if (answer.after === null) this.#before = new Set();
    this.#changed();
  }

  async #children(path: string, query: Parameters<AskChildren>[1]): Promise<Answer> {
    try {
      return await this.#ask(path, query);
    } catch (error) {
      // A stream that is not there has none below.
      if ((error as { status?: number }).status === 404) return { children: [], after: null };
      throw error;
    }
  }

  /** What was answered holds for all paths behind `after`, up to where the answer ends; what was loaded beside stays. */
  /** @param brings whether it is what the level was loading */
  #merge(path: string, after: string | undefined, answer: Answer, brings = false): void {
    const before = this.level(path);
    const end = answer.after;
    const kept = before.children.filter((it) => it <= (after ?? "") || (end !== null && it > end));
    const children = [...kept, ...answer.children.map((child) => child.path)].sort();
    const reached = end === null || before.after === null ? end : [before.after ?? "", end].sort()[1];
    answer.children.forEach((child) => this.#learn(child));
    const isWhole = end === null || before.after === null;
    const isLoading = !brings && before.isLoading;
    this.#put(path, { children, after: isWhole ? null : reached, isLoading });
  }

  #learn(child: Child): void {
    const before = this.#streams.get(child.path);
    this.#streams.set(child.path, child.head === undefined && before ? { ...before, ...child } : child);
    const branch = this.#branches.get(child.path);
    if (branch && branch.head === undefined) branch.head = child.head;
  }

  #put(path: string, level: Level): void {
    this.#levels.set(path, level);
    this.#changed();
  }
}

const above = (path: string): string => path.slice(0, path.lastIndexOf("/")) || "/";
const prefix = (path: string): string => (path === "/" ? "/" : `${path}/`);

/** The stream right below `path` on the way to `to`; `undefined` when the way does not lead through it. */
export function stepTowards(path: string, to: string): string | undefined {
  const start = prefix(path);
  if (to === path || !to.startsWith(start)) return undefined;
  const end = to.indexOf("/", start.length);
  return end < 0 ? to : to.slice(0, end);
}
