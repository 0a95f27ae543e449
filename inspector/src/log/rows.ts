/** What the list shows of the events that are held: a row each, or one for a run of the same type. */
import type { Entry } from "../api/connection.ts";

export type Row =
  | { readonly kind: "event"; readonly offset: number; readonly entry: Entry; readonly gapMs: number | undefined }
  | {
      readonly kind: "run";
      /** The first event of the run, as far as it is held. */
      readonly offset: number;
      readonly last: number;
      readonly type: string;
      readonly count: number;
      readonly isOpen: boolean;
      readonly entry: Entry;
    };

/** So many events of one type in a row are folded into one. */
const SHORTEST_RUN = 4;
/** A longer run is several, so that a log of one type is more than one row. */
const LONGEST_RUN = 500;

export interface Shown {
  readonly grouped: boolean;
  readonly newestFirst: boolean;
  /** The runs that are unfolded, by the offset of any of their events: their first ones may not be held yet. */
  readonly open: ReadonlySet<number>;
}

/** What a row is known by: an event's offset; of a run the offset of its first event, negative. */
export const keyOf = (row: Row): number => (row.kind === "event" ? row.offset : -row.offset);

/** Its id in the document. */
export const idOf = (row: Row): string => `${row.kind}-${row.offset}`;

/** Whether a row is the one with this key, or stands for it: a run for the events in it, and for itself when it has grown. */
export function isAt(row: Row, key: number | undefined): boolean {
  if (key === undefined || row.kind === "event") return row.offset === key;
  const isInside = row.offset <= Math.abs(key) && Math.abs(key) <= row.last;
  return isInside && (key < 0 || !row.isOpen);
}

/** The runs that are unfolded when this one is turned over. */
export function turnedOver(
  open: ReadonlySet<number>,
  run: { readonly offset: number; readonly last: number },
): Set<number> {
  const others = [...open].filter((offset) => offset < run.offset || offset > run.last);
  return new Set(others.length === open.size ? [...others, run.offset] : others);
}

export function rowsOf(entries: readonly Entry[], { grouped, newestFirst, open }: Shown): Row[] {
  const rows: Row[] = [];
  let before: number | undefined;
  const push = (entry: Entry): void => {
    const at = Date.parse(entry.event.createdAt);
    rows.push({
      kind: "event",
      offset: entry.event.offset,
      entry,
      gapMs: before === undefined ? undefined : at - before,
    });
    before = at;
  };
  for (let at = 0; at < entries.length;) {
    const first = entries[at];
    if (!first) break;
    const end = grouped ? endOfRun(entries, at, first) : at + 1;
    const count = end - at;
    const last = entries[end - 1] ?? first;
    if (count >= SHORTEST_RUN) {
      const { offset, type } = first.event;
      const until = last.event.offset;
      const isOpen = [...open].some((point) => offset <= point && point <= until);
      rows.push({ kind: "run", offset, last: until, type, count, isOpen, entry: last });
      if (!isOpen) {
        before = Date.parse(last.event.createdAt);
        at = end;
        continue;
      }
    }
    for (const entry of entries.slice(at, end)) push(entry);
    at = end;
  }
  return newestFirst ? newestAbove(rows) : rows;
}

/** A run ends where offsets of full five hundreds are passed, too, so that its beginning does not move while one scrolls. */
function endOfRun(entries: readonly Entry[], at: number, { event }: Entry): number {
  const block = Math.floor(event.offset / LONGEST_RUN);
  let end = at + 1;
  for (let next = entries[end]; next; next = entries[++end]) {
    if (next.event.type !== event.type || Math.floor(next.event.offset / LONGEST_RUN) !== block) break;
  }
  return end;
}

/** Turned around; the head of an unfolded run stays above its events. */
function newestAbove(rows: readonly Row[]): Row[] {
  const turned: Row[] = [];
  for (let at = 0; at < rows.length; at += 1) {
    const row = rows[at];
    if (row?.kind === "run" && row.isOpen) {
      turned.push(...rows.slice(at + 1, at + 1 + row.count), row);
      at += row.count;
    } else if (row) turned.push(row);
  }
  return turned.reverse();
}
