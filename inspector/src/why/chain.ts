/**
 * The chain of causes of an event: upward to the first outside input, downward to all that followed, in any stream.
 * A person's word on a call has no cause, and is no beginning either: it follows from the question that it answers.
 *
 * An event knows its cause, but not what it caused. So what followed is found by looking: pages of the streams where it
 * may stand are read once, and every event in them is kept under its cause.
 */
import { keyOf, type Fact, type Ref } from "./fact.ts";

/** A part of a stream. */
export interface Stretch {
  readonly facts: readonly Fact[];
  /** All up to here was looked at. */
  readonly upTo: number;
  /** The stream's last offset. */
  readonly head: number;
}

/** Where events are read. A stream that is gone has none; whatever else goes wrong is thrown. */
export interface Source {
  /** Some events up to this one, in order; without it when there is none. */
  before(of: Ref, signal: AbortSignal): Promise<readonly Fact[]>;
  /** The question that an event answers; `undefined` when nobody asked, or so long ago that it was not found. */
  question(of: Fact, signal: AbortSignal): Promise<Fact | undefined>;
  /** Events behind an offset, of an instant (milliseconds since 1970) or later. */
  after(path: string, offset: number, since: number, signal: AbortSignal): Promise<Stretch>;
  /**
   * What one event caused in a stream, behind an offset, and what answers it, whatever else stands there. It costs more
   * than {@link after}.
   */
  caused(by: Fact, path: string, offset: number, signal: AbortSignal): Promise<Stretch>;
  /** Streams near this one that have events of this instant or later, the nearest first. */
  near(path: string, since: number, signal: AbortSignal): Promise<readonly string[]>;
  /** Any streams that have such events, page by page: those behind `after`, and what to go on with. */
  any(after: string | undefined, since: number, signal: AbortSignal): Promise<Streams>;
}

/** Some of all streams. */
export interface Streams {
  readonly paths: readonly string[];
  /** What to go on with; `null` when these were the last. */
  readonly after: string | null;
}

/** Why a chain ends where it does. */
export type End =
  /** The first event has no cause. */
  | { readonly kind: "outside" }
  /** The first event answers what was not found. */
  | { readonly kind: "unasked" }
  /** The next one is not there any more. */
  | { readonly kind: "gone"; readonly ref: Ref }
  /** There is another event in its place: the stream was deleted, and begun anew. */
  | { readonly kind: "replaced"; readonly ref: Ref }
  /** It was there already. */
  | { readonly kind: "loop"; readonly ref: Ref }
  /** The next one could not be read. */
  | { readonly kind: "failed"; readonly ref: Ref; readonly error: unknown }
  /** It goes on; enough was read. */
  | { readonly kind: "further"; readonly ref: Ref };

/** So far upward at once. */
export const LONGEST_CHAIN = 50;

/** Clocks of different streams differ a little; a cause that is younger by more than this is another event. */
const SKEW_MS = 5_000;

/** The causes of an event, the first one first, and why there is none before it. */
export async function upward(of: Fact, source: Source, signal: AbortSignal): Promise<{ causes: Fact[]; end: End }> {
  const causes: Fact[] = [];
  const known = new Map<string, Fact>();
  const seen = new Set([keyOf(of)]);
  for (let at = of; ;) {
    let ref = at.cause;
    if (!ref && at.answers === undefined) return { causes, end: { kind: "outside" } };
    if (!ref) {
      try {
        const question = await source.question(at, signal);
        if (!question) return { causes, end: { kind: "unasked" } };
        known.set(keyOf(question), question);
        ref = question;
      } catch (error) {
        if (signal.aborted) throw error;
        return { causes, end: { kind: "failed", ref: at, error } };
      }
    }
    if (seen.has(keyOf(ref))) return { causes, end: { kind: "loop", ref } };
    if (causes.length >= LONGEST_CHAIN) return { causes, end: { kind: "further", ref } };
    if (!known.has(keyOf(ref))) {
      try {
        for (const fact of await source.before(ref, signal)) known.set(keyOf(fact), fact);
      } catch (error) {
        if (signal.aborted) throw error;
        return { causes, end: { kind: "failed", ref, error } };
      }
    }
    const cause = known.get(keyOf(ref));
    if (!cause) return { causes, end: { kind: "gone", ref } };
    if (cause.at > at.at + SKEW_MS) return { causes, end: { kind: "replaced", ref } };
    seen.add(keyOf(ref));
    causes.unshift(cause);
    at = cause;
  }
}

/** How far a stream was looked at. */
export interface Looked {
  readonly path: string;
  /** All up to here was seen; 0: nothing yet. */
  readonly upTo: number;
  readonly head: number;
  readonly error?: unknown;
  /** Up to where it was asked what these events caused in it, by their keys: for a stream that is too long to see all. */
  readonly asked: ReadonlyMap<string, number>;
}

/** So many streams are looked at without being asked to. */
const STREAMS_AT_ONCE = 24;
/** So many at the same time. */
const TOGETHER = 4;
/** When one wants more of a stream: so many pages, as long as each brings so many followers … */
const PAGES_FURTHER = 5;
const DENSE = 25;
/** … and then so many events are asked for by name. */
const ASKED_FURTHER = 20;

/** What followed from an event, as far as it is known. It grows by looking further. */
export class Followers {
  readonly of: Fact;
  /** How far each stream was looked at, in the order in which they came up. */
  readonly looked = new Map<string, Looked>();
  readonly #source: Source;
  /** By the key of their cause, or of the question that they answer. */
  readonly #behind = new Map<string, Map<string, Fact>>();
  /** Streams that have not been looked at, and may be, the nearest first. */
  #waiting: string[] = [];
  /** Where the list of all streams goes on; `null` at its end. */
  #any: string | null | undefined;

  constructor(of: Fact, source: Source) {
    this.of = of;
    this.#source = source;
  }

  /** What an event caused, and what answers it, in the order of time. */
  behind(of: Fact): Fact[] {
    const answers = of.asks === undefined ? [] : (this.#behind.get(questionKey(of.path, of.asks))?.values() ?? []);
    const found = [...(this.#behind.get(keyOf(of))?.values() ?? []), ...answers];
    return found.sort((a, b) => a.at - b.at || (a.path === b.path ? a.offset - b.offset : a.path < b.path ? -1 : 1));
  }

  /** Everything that is known to have followed, however far. */
  all(): Fact[] {
    const found = new Map<string, Fact>([[keyOf(this.of), this.of]]);
    // A map goes on to what is added while one walks through it.
    for (const at of found.values()) {
      for (const fact of this.behind(at)) if (!found.has(keyOf(fact))) found.set(keyOf(fact), fact);
    }
    return [...found.values()].slice(1);
  }

  /** True when there may be streams that were not looked at. */
  get mayBeElsewhere(): boolean {
    return this.#waiting.length > 0 || this.#any !== null;
  }

  /** Streams where more may have followed from what is known: they are too long to see all, or did not answer. */
  get unfinished(): Looked[] {
    const known = [this.of, ...this.all()];
    return [...this.looked.values()].filter(
      (looked) => looked.error !== undefined || known.some((fact) => askedUpTo(looked, fact) < looked.head),
    );
  }

  /** Takes an event that has just come. False when it says nothing new. */
  hear(fact: Fact): boolean {
    return this.#take(fact);
  }

  /**
   * Looks where followers may stand: the event's own stream, those that what followed speaks of, those around.
   *
   * @param grew hears that more is known
   */
  async look(signal: AbortSignal, grew: () => void): Promise<void> {
    await this.#lookAt(this.of.path, signal);
    grew();
    for (const path of await this.#source.near(this.of.path, this.#since, signal)) this.#mayLookAt(path);
    await this.#lookInMore(signal, grew);
  }

  /** Looks at streams that nothing speaks of: first at those that still wait, then at any. */
  async lookElsewhere(signal: AbortSignal, grew: () => void): Promise<void> {
    while (this.#waiting.length === 0 && this.#any !== null && !signal.aborted) {
      const { paths, after } = await this.#source.any(this.#any, this.#since, signal);
      this.#any = after;
      paths.forEach((path) => this.#mayLookAt(path));
    }
    await this.#lookInMore(signal, grew);
    grew();
  }

  /** Reads more of a stream; when that brings little, it asks for what each event that is known caused in it. */
  async lookFurther(path: string, signal: AbortSignal, grew: () => void): Promise<void> {
    for (let pages = 0, brought = DENSE; pages < PAGES_FURTHER && brought >= DENSE && !signal.aborted; pages += 1) {
      const before = this.all().length;
      await this.#lookAt(path, signal);
      brought = this.all().length - before;
      grew();
    }
    for (let asked = 0; asked < ASKED_FURTHER && !signal.aborted; asked += 1) {
      const looked = this.looked.get(path);
      if (!looked || looked.error !== undefined) return;
      const next = [this.of, ...this.all()].find((fact) => askedUpTo(looked, fact) < looked.head);
      if (!next) return;
      await this.#askFor(next, path, signal);
      grew();
    }
  }

  async #lookInMore(signal: AbortSignal, grew: () => void): Promise<void> {
    for (let left = STREAMS_AT_ONCE; left > 0 && !signal.aborted;) {
      this.#preferMentioned();
      const next = this.#waiting.splice(0, Math.min(TOGETHER, left));
      if (next.length === 0) return;
      left -= next.length;
      await Promise.all(next.map((path) => this.#lookAt(path, signal)));
      grew();
    }
  }

  get #since(): number {
    return this.of.at - SKEW_MS;
  }

  async #lookAt(path: string, signal: AbortSignal): Promise<void> {
    const before = this.looked.get(path);
    const from = before?.upTo ?? (path === this.of.path ? this.of.offset : 0);
    const asked = before?.asked ?? new Map<string, number>();
    try {
      const { facts, upTo, head } = await this.#source.after(path, from, this.#since, signal);
      facts.forEach((fact) => this.#take(fact));
      this.looked.set(path, { path, upTo: Math.max(upTo, from), head, asked });
    } catch (error) {
      if (!signal.aborted) this.looked.set(path, { path, upTo: from, head: before?.head ?? from, asked, error });
      return;
    }
    // What the event itself caused is asked for by name, also where the rest is too long to read.
    const looked = this.looked.get(path);
    if (looked && askedUpTo(looked, this.of) < looked.head) await this.#askFor(this.of, path, signal);
  }

  async #askFor(by: Fact, path: string, signal: AbortSignal): Promise<void> {
    const looked = this.looked.get(path);
    if (!looked) return;
    try {
      const { facts, upTo, head } = await this.#source.caused(by, path, askedUpTo(looked, by), signal);
      facts.forEach((fact) => this.#take(fact));
      const asked = new Map(looked.asked).set(keyOf(by), upTo);
      this.looked.set(path, { path, upTo: looked.upTo, head: Math.max(head, looked.head), asked });
    } catch (error) {
      if (!signal.aborted) this.looked.set(path, { ...looked, error });
    }
  }

  #take(fact: Fact): boolean {
    const { path, cause, answers } = fact;
    if (!cause && answers === undefined) return false;
    const key = cause ? keyOf(cause) : questionKey(path, answers ?? "");
    const known = this.#behind.get(key) ?? new Map<string, Fact>();
    if (known.has(keyOf(fact))) return false;
    this.#behind.set(key, known.set(keyOf(fact), fact));
    return true;
  }

  #mayLookAt(path: string): void {
    if (!this.looked.has(path) && !this.#waiting.includes(path)) this.#waiting.push(path);
  }

  /** Streams that what followed speaks of come first. */
  #preferMentioned(): void {
    const mentioned = new Set([this.of, ...this.all()].flatMap(({ path, mentions }) => [path, ...mentions]));
    const first = [...mentioned].filter((path) => !this.looked.has(path));
    this.#waiting = [...first, ...this.#waiting.filter((path) => !mentioned.has(path))];
  }
}

/** What a question is known by to those that answer it; an event's key ends with a number. */
const questionKey = (path: string, asked: string): string => `${path};${asked}`;

const askedUpTo = ({ upTo, asked }: Looked, by: Ref): number => Math.max(upTo, asked.get(keyOf(by)) ?? 0);
