import { TailraceError } from "./error.js";
import type { StoredEvent } from "./event.js";
import { ask, type Connection, type Query } from "./http.js";

/** What is read. Everything, in order, by default. */
export interface ReadOptions {
  /** Only events behind this offset. */
  readonly afterOffset?: number;
  /** Only events before this offset; `"end"`: up to now. */
  readonly beforeOffset?: number | "end";
  /** At most so many events, in all. */
  readonly limit?: number;
  /** Of all events that match, only the last so many (at most 1,000). */
  readonly last?: number;
  /** Types and globs: `["agent.*", "message"]`. */
  readonly types?: readonly string[] | string;
  /** Only events of this instant (RFC 3339) or later. */
  readonly since?: string;
  /** Only events of this instant or earlier. */
  readonly until?: string;
  /** Only events that the event at this offset caused. */
  readonly cause?: number;
  /** Stops it: the loop ends with the signal's reason. */
  readonly signal?: AbortSignal;
}

interface Page {
  events: StoredEvent[];
  afterOffset: number;
  upToDate: boolean;
}

const mostOfAPage = 1_000;

/** All events that match, page by page. */
export async function* read(
  connection: Connection,
  path: string,
  { limit = Infinity, signal, afterOffset, last, ...filter }: ReadOptions = {},
): AsyncGenerator<StoredEvent, void, undefined> {
  let query: Query = { ...filter, afterOffset, last };
  let after = afterOffset ?? 0;
  for (let left = limit; left > 0;) {
    if (left < mostOfAPage) query = { ...query, limit: left };
    const page = await ask<Page>(connection, { api: "streams", path, query, signal });
    let reached = after;
    for (const event of page.events) {
      // An answer to an older question says again what is known.
      if (event.offset <= reached) continue;
      yield event;
      reached = event.offset;
      left -= 1;
      if (left === 0) return;
    }
    if (page.upToDate) return;
    reached = Math.max(reached, page.afterOffset);
    if (reached === after) {
      throw new TailraceError({ status: 200, title: "The pages do not go on", detail: `behind offset ${after}` });
    }
    after = reached;
    query = { ...filter, afterOffset: after };
  }
}
