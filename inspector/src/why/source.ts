/** Reads events for the graph of causes from the API. */
import { TailraceError, type Child, type StoredEvent } from "tailrace";
import { ask, lastOf, page, root } from "../api/connection.ts";
import { parentOf } from "../api/path.ts";
import { summary } from "../event/summary.ts";
import { kindOf } from "../log/row.tsx";
import type { Source, Streams, Stretch } from "./chain.ts";
import { factOf, typesThatAnswer, typeThatAsks, type Fact } from "./fact.ts";

/** Events on a page that is looked through. */
const PAGE = 500;
/** So many events before the one that is wanted come with it: its causes often stand right there. */
const BEFORE = 40;
/** With details of each, that is the most of a page. */
const STREAMS = 50;
/** So far back a question is looked for, in pages of questions; where those are rare, as far as `lastOf` looks. */
const PAGES_OF_QUESTIONS = 10;
const QUESTIONS = 200;

/** @param held an event of the open stream that need not be asked for */
export function sourceOf(held: (path: string, offset: number) => StoredEvent | undefined): Source {
  return {
    async before({ path, offset }, signal) {
      const known = held(path, offset);
      // A large one is held without its payload, and that says what it answers.
      if (known && known.payload !== undefined) return [seen(known)];
      const beforeOffset = offset + 1;
      const { facts: near } = await stretch(path, { beforeOffset, last: BEFORE }, signal);
      // A page of large events may end before the one that is wanted.
      if (near.length === 0 || near.some((it) => it.offset === offset)) return near;
      return (await stretch(path, { afterOffset: offset - 1, beforeOffset, limit: 1 }, signal)).facts;
    },

    after(path, afterOffset, since, signal) {
      return stretch(path, { afterOffset, since: new Date(since).toISOString(), limit: PAGE }, signal);
    },

    async question(of, signal) {
      const types = typeThatAsks(of);
      let beforeOffset = of.offset;
      for (let pages = 0; pages < PAGES_OF_QUESTIONS; pages += 1) {
        const { entries } = await lastOf(of.path, { types, beforeOffset, last: QUESTIONS }, signal);
        const found = entries.map(({ event }) => seen(event)).findLast(({ asks }) => asks === of.answers);
        if (found || entries.length < QUESTIONS) return found;
        beforeOffset = entries[0]?.event.offset ?? 0;
      }
      return undefined;
    },

    async caused(by, path, afterOffset, signal) {
      const caused = stretch(path, { cause: by.offset, causePath: by.path, afterOffset, limit: PAGE }, signal);
      if (by.asks === undefined || path !== by.path) return caused;
      const types = typesThatAnswer(by).join(",");
      const [one, other] = await Promise.all([caused, stretch(path, { types, afterOffset, limit: PAGE }, signal)]);
      // Both looked at all up to here.
      const upTo = Math.min(one.upTo, other.upTo);
      return { facts: [...one.facts, ...other.facts], upTo, head: Math.max(one.head, other.head) };
    },

    async near(path, since, signal) {
      const parent = parentOf(path);
      const [below, beside] = await Promise.all([
        streams(path, { recursive: true }, since, signal),
        parent === undefined ? none : streams(parent, {}, since, signal),
      ]);
      const depth = (of: string): number => of.split("/").length;
      const nearest = [...below.paths].sort((a, b) => depth(a) - depth(b));
      return [...nearest, ...(parent === undefined ? [] : [parent]), ...beside.paths].filter((it) => it !== path);
    },

    any: (after, since, signal) => streams(root.value, { recursive: true, after }, since, signal),
  };
}

const none: Streams = { paths: [], after: null };

const MOST_WORDS = 160;

/** What the graph shows of an event. */
export function seen(event: StoredEvent): Fact {
  // Large events of the open stream are held without their payload.
  const words = event.payload === undefined ? "" : summary(event).slice(0, MOST_WORDS);
  return factOf(event, { words, kind: kindOf(event) });
}

async function stretch(path: string, query: Record<string, string | number>, signal: AbortSignal): Promise<Stretch> {
  try {
    const { entries, afterOffset: upTo, head } = await page(path, query, signal);
    return { facts: entries.map(({ event }) => seen(event)), upTo, head };
  } catch (error) {
    if (isGone(error)) return { facts: [], upTo: 0, head: 0 };
    throw error;
  }
}

/** Streams below that have heard of anything since then. */
async function streams(
  path: string,
  query: { recursive?: boolean; after?: string | undefined },
  since: number,
  signal: AbortSignal,
): Promise<Streams> {
  try {
    const wanted = { ...query, details: true, limit: STREAMS };
    const { children, after } = await ask<{ children: Child[]; after: string | null }>("children", path, wanted, {
      signal,
    });
    const isLate = ({ lastEventAt }: Child): boolean => lastEventAt === undefined || Date.parse(lastEventAt) >= since;
    return { paths: children.filter(isLate).map((child) => child.path), after };
  } catch (error) {
    // What a token may not see has no followers for it.
    if (error instanceof TailraceError && [403, 404].includes(error.status)) return none;
    throw error;
  }
}

const isGone = (error: unknown): boolean => error instanceof TailraceError && error.status === 404;
