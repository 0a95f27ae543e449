/**
 * Where each event of a chain stands in the graph. It is drawn downward, a row for each, like the graph of a history:
 * what has the most behind it goes on in the lane of its cause, everything else branches off to the right. So it is
 * never wider than the logarithm of its length.
 */
import type { HierarchyNode } from "d3-hierarchy";
import type { End } from "./chain.ts";
import { keyOf, type Fact, type Ref } from "./fact.ts";

export type Node =
  | {
      readonly kind: "event";
      readonly key: string;
      readonly fact: Fact;
      readonly role: "cause" | "present" | "follower";
      /** Since what caused it; `undefined` for the first. */
      readonly afterMs: number | undefined;
      /** Whether it was not caused by what stands before it, but is somebody's answer to that. */
      readonly isAnswer: boolean;
      /** Which stream it is in, where that is not plain: by its whole path, or by the end of it where that was just said. */
      readonly where: string | undefined;
    }
  /** Why nothing stands before the first. */
  | { readonly kind: "end"; readonly key: string; readonly end: End }
  /** Causes in the middle of a long chain, folded into one. */
  | { readonly kind: "between"; readonly key: string; readonly count: number }
  /** Followers that are folded. */
  | {
      readonly kind: "more";
      readonly key: string;
      readonly of: Ref;
      readonly count: number;
      /** How many of them are not folded. */
      readonly shown: number;
    };

/** A node, and what is drawn behind it. */
export interface Branch {
  readonly node: Node;
  readonly then: Branch[];
}

/** So many events that followed are shown without being asked for. */
const MOST = 150;
/** So many of one event; a few more are shown whole. */
const FIRST = 8;
const FEW = 10;
/** So many more at each click. */
export const STEP = 50;
/** Longer chains of causes are folded in the middle: the first ones and the nearest ones are seen. */
const LONGEST_UPWARD = 12;
const SEEN_FIRST = 2;
const SEEN_NEAREST = 5;

export interface Shown {
  readonly causes: readonly Fact[];
  readonly end: End;
  readonly of: Fact;
  /** What followed right from an event. */
  readonly behind: (of: Fact) => readonly Fact[];
  /** How many followers of an event are shown, by its key, where one asked for more. */
  readonly opened: ReadonlyMap<string, number>;
  /** Whether all causes are seen, however many. */
  readonly allCauses: boolean;
}

/** What is drawn, folded where it is too much. */
export function shape(shown: Shown): Branch {
  const { causes, end, of } = shown;
  const here = of.path;
  const present: Branch = { node: eventNode(of, causes.at(-1), "present", here), then: [] };
  grow(present, shown);
  let top = present;
  const isFolded = !shown.allCauses && causes.length > LONGEST_UPWARD;
  for (let at = causes.length - 1; at >= 0; at -= 1) {
    const cause = causes[at];
    if (!cause) continue;
    if (isFolded && at >= SEEN_FIRST && at < causes.length - SEEN_NEAREST) {
      if (at > SEEN_FIRST) continue;
      const count = causes.length - SEEN_FIRST - SEEN_NEAREST;
      top = { node: { kind: "between", key: "between", count }, then: [top] };
    } else {
      top = { node: eventNode(cause, causes[at - 1], "cause", here), then: [top] };
    }
  }
  return end.kind === "outside" ? top : { node: { kind: "end", key: "end", end }, then: [top] };
}

/** Adds what followed, the nearest first, until there is enough. */
function grow(present: Branch, { of, causes, behind, opened }: Shown): void {
  const seen = new Set([of, ...causes].map(keyOf));
  const queue: { branch: Branch; fact: Fact }[] = [{ branch: present, fact: of }];
  let left = MOST;
  // It goes on to what is added while one walks through it.
  for (const { branch, fact } of queue) {
    const followers = behind(fact).filter((it) => !seen.has(keyOf(it)));
    const asked = opened.get(keyOf(fact));
    const most = asked ?? Math.min(left, followers.length <= FEW ? FEW : FIRST);
    for (const follower of followers.slice(0, most)) {
      const grown: Branch = { node: eventNode(follower, fact, "follower", of.path), then: [] };
      branch.then.push(grown);
      seen.add(keyOf(follower));
      queue.push({ branch: grown, fact: follower });
      if (asked === undefined) left -= 1;
    }
    const count = followers.length - most;
    if (count <= 0) continue;
    branch.then.push({ node: { kind: "more", key: `more ${keyOf(fact)}`, of: fact, count, shown: most }, then: [] });
  }
}

/** @param here the stream of the event that is looked at */
function eventNode(fact: Fact, cause: Fact | undefined, role: "cause" | "present" | "follower", here: string): Node {
  const { path } = fact;
  const afterMs = cause && Number.isFinite(fact.at - cause.at) ? fact.at - cause.at : undefined;
  const isSaid = path === (cause?.path ?? here);
  const where = !isSaid ? path : path === here ? undefined : path.slice(path.lastIndexOf("/") + 1);
  const isAnswer = cause !== undefined && fact.answers !== undefined;
  return { kind: "event", key: keyOf(fact), fact, role, afterMs, isAnswer, where };
}

/** Nodes of which each follows from the one before, in one lane. */
export type Thread = readonly Item[];

export interface Item {
  readonly node: Node;
  readonly row: number;
  readonly lane: number;
  /** What else follows from it. */
  readonly branches: readonly Thread[];
}

export interface Place {
  readonly row: number;
  readonly lane: number;
}

export interface Edge {
  readonly from: Place;
  readonly to: Place;
  /** Whether what it leads to answers, and was not caused. */
  readonly isAnswer: boolean;
}

export interface Layout {
  readonly thread: Thread;
  readonly edges: readonly Edge[];
  readonly rows: number;
  readonly lanes: number;
}

/**
 * @param hierarchy of d3-hierarchy, which is loaded when it is first needed
 * @param mains which follower goes on in the lane of which event. Those that are known stay, so that nothing jumps when
 *   something is unfolded; the others are added.
 */
export function layout(
  root: Branch,
  hierarchy: (data: Branch, then: (branch: Branch) => Branch[]) => HierarchyNode<Branch>,
  mains: Map<string, string>,
): Layout {
  const edges: Edge[] = [];
  let rows = 0;
  let lanes = 0;
  const lay = (start: HierarchyNode<Branch>, lane: number): Item[] => {
    const thread: Item[] = [];
    lanes = Math.max(lanes, lane + 1);
    for (let at: HierarchyNode<Branch> | undefined = start; at;) {
      const main: HierarchyNode<Branch> | undefined = mainOf(at, mains);
      const place = { row: rows, lane };
      rows += 1;
      const before = thread.at(-1);
      if (before) edges.push({ from: { row: before.row, lane }, to: place, isAnswer: isAnswer(at) });
      const branches = (at.children ?? [])
        .filter((child) => child !== main)
        .map((child) => {
          edges.push({ from: place, to: { row: rows, lane: lane + 1 }, isAnswer: isAnswer(child) });
          return lay(child, lane + 1);
        });
      thread.push({ node: at.data.node, ...place, branches });
      at = main;
    }
    return thread;
  };
  const whole = hierarchy(root, (branch) => branch.then).sum(() => 1);
  return { thread: lay(whole, 0), edges, rows, lanes };
}

const isAnswer = ({ data: { node } }: HierarchyNode<Branch>): boolean => node.kind === "event" && node.isAnswer;

/** The follower with the most behind it; of equals the last. What is folded never is. */
function mainOf(at: HierarchyNode<Branch>, mains: Map<string, string>): HierarchyNode<Branch> | undefined {
  const { key } = at.data.node;
  const followers = (at.children ?? []).filter(({ data }) => data.node.kind !== "more");
  const known = followers.find(({ data }) => data.node.key === mains.get(key));
  if (known) return known;
  let main: HierarchyNode<Branch> | undefined;
  for (const follower of followers) if (!main || (follower.value ?? 0) >= (main.value ?? 0)) main = follower;
  if (main) mains.set(key, main.data.node.key);
  return main;
}
