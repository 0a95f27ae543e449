/** The last events of a stream that match, read page by page. No network of its own. */
import type { Page } from "./connection.ts";

export interface LastQuery {
  readonly types?: string | undefined;
  /** So many are wanted. */
  readonly last: number;
  /** Only what lies before this offset. */
  readonly beforeOffset?: number | undefined;
}

/** Reads one page. */
type Read = (query: Record<string, string | number | undefined>) => Promise<Page>;

/** A question looks back a million events at most, and is asked so often. */
const LOOKS = 3;

/**
 * The last events that match, before an offset or in all. A page of large events is cut, and holds the first of them: the
 * others are read as well. Where those that match are rare it looks back a few million events at most, and says with
 * `beforeOffset` where it stopped.
 */
export async function lastBy(read: Read, query: LastQuery): Promise<Page> {
  const found = await lookBack(read, query);
  let { entries, beforeOffset } = found;
  for (let looks = 1; looks < LOOKS && beforeOffset !== undefined && entries.length < query.last; looks += 1) {
    const further = await lookBack(read, { ...query, last: query.last - entries.length, beforeOffset });
    entries = [...further.entries, ...entries];
    beforeOffset = further.beforeOffset;
  }
  const { afterOffset, head } = found;
  return { entries, afterOffset, head, ...(beforeOffset === undefined ? {} : { beforeOffset }) };
}

/** One look back, with all that it found. */
async function lookBack(read: Read, { types, last, beforeOffset }: LastQuery): Promise<Page> {
  const found = await read({ types, last, beforeOffset });
  const before = beforeOffset ?? found.head + 1;
  let at = found.afterOffset;
  while (at < before - 1) {
    const rest = await read({ types, afterOffset: at, beforeOffset: before, limit: last });
    found.entries.push(...rest.entries);
    if (rest.afterOffset <= at) break;
    at = rest.afterOffset;
  }
  return { ...found, afterOffset: at };
}
