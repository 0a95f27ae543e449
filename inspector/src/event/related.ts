/** Events that belong to one that is looked at: read from the stream, then followed. */
import { useEffect, useState } from "preact/hooks";
import type { StoredEvent } from "tailrace";
import { heed, lastOf, page } from "../api/connection.ts";
import type { OpenStream } from "../log/open.ts";

/** So far is looked in one direction, in pages. */
const MOST_PAGES = 10;
const PAGE = 200;

export interface Wanted {
  /** Globs, as `?types=` takes them. */
  readonly types: string;
  /** Which of these are meant. */
  belongs(event: StoredEvent): boolean;
  /** Whether what is found is all that there can be in this direction; asked after each page. */
  isAll(found: readonly StoredEvent[]): boolean;
}

export interface Related {
  readonly events: readonly StoredEvent[];
  /** Whether the log was looked through, as far as is sensible. */
  readonly isRead: boolean;
}

/**
 * The events behind `offset`, or before it, that belong to something; with those that come while one looks. In order.
 *
 * @param key what `wanted` depends on: it is read anew when that changes
 */
export function useRelated(
  stream: OpenStream,
  offset: number,
  side: "behind" | "before",
  key: string,
  wanted: Wanted,
): Related {
  const [related, set] = useState<Related>({ events: [], isRead: false });
  useEffect(() => {
    const stop = new AbortController();
    const found = new Map<number, StoredEvent>();
    const keep = (events: readonly StoredEvent[]): boolean => {
      const fresh = events.filter((event) => !found.has(event.offset) && wanted.belongs(event));
      for (const event of fresh) found.set(event.offset, event);
      return fresh.length > 0;
    };
    const inOrder = (): StoredEvent[] => [...found.values()].sort((a, b) => a.offset - b.offset);
    const show = (isRead: boolean): void => set({ events: inOrder(), isRead });
    let isRead = false;
    show(false);

    const types = wanted.types;
    const read = async (): Promise<void> => {
      let at = offset;
      for (let pages = 0; pages < MOST_PAGES && !wanted.isAll(inOrder()); pages += 1) {
        const { entries, afterOffset, head } = await (side === "behind"
          ? page(stream.path, { types, afterOffset: at, limit: PAGE }, stop.signal)
          : lastOf(stream.path, { types, beforeOffset: at, last: PAGE }, stop.signal));
        const events = entries.map(({ event }) => event);
        if (keep(events)) show(false);
        const edge = side === "behind" ? afterOffset : (events[0]?.offset ?? 0);
        const isEnd = side === "behind" ? afterOffset >= head || afterOffset <= at : events.length < PAGE;
        if (isEnd) break;
        at = edge;
      }
      isRead = true;
      show(true);
    };
    read().catch((error: unknown) => {
      if (stop.signal.aborted) return;
      heed(error);
      isRead = true;
      show(true);
    });

    const globs = types.split(",").map((glob) => (glob.endsWith("*") ? glob.slice(0, -1) : glob));
    const forget =
      side === "before"
        ? () => {}
        : stream.onEvent((event) => {
            const isOne = event.offset > offset && globs.some((glob) => event.type.startsWith(glob));
            if (isOne && keep([event])) show(isRead);
          });
    return () => {
      stop.abort();
      forget();
    };
  }, [stream, offset, side, key]);
  return related;
}
