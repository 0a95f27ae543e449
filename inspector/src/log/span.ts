/**
 * The part of a log that the page holds: a window without gaps, however long the log is. It grows at either end as one
 * scrolls, and lets go at the other.
 */
import type { Entry, Page } from "../api/connection.ts";
import { isSearched, matcher, type Filter } from "./filter.ts";

/** So many events are held; what lies further away is asked for again. */
const MOST = 6_000;
const PAGE = 300;
/** Where texts are searched, a page brings more than it keeps. */
const SEARCHED_PAGE = 1_000;
/** So many characters of an event are held; the rest is fetched when somebody looks at it. */
export const HELD = 65_536;
/** So many characters of all of them. */
const MOST_HELD = 32 * 1024 * 1024;

/** So many events are searched before a person is asked whether to go on. */
const SEARCHED_AT_ONCE = 50_000;

export type Read = (query: Record<string, string | number | undefined>, signal: AbortSignal) => Promise<Page>;

export class Span {
  /** What matches of what lies behind `low`, up to `high`, in order. Replaced when it changes. */
  entries: readonly Entry[] = [];
  /** Everything behind this offset was looked at; 0: from the beginning. */
  low = 0;
  /** Everything up to this offset was looked at. */
  high = 0;
  /** The stream's last offset, as far as it is known. */
  head = 0;
  /** The event that it was opened for. */
  around: number | undefined;

  readonly filter: Filter;
  readonly #matches: (entry: Entry) => boolean;
  readonly #read: Read;
  readonly #stop = new AbortController();
  #isFull = false;
  #searched = 0;
  /** Whether the server stopped looking back before it had found all that was asked for. */
  #isCutShort = false;
  #isAsking = { older: false, newer: false };

  constructor(filter: Filter, read: Read) {
    this.filter = filter;
    this.#matches = matcher(filter);
    this.#read = read;
  }

  /** Ends what is asked; nothing changes any more. */
  close(): void {
    this.#stop.abort();
  }

  /** Whether so much was looked at that it waits for a person's word. */
  get isTired(): boolean {
    return this.#isCutShort || this.#hasSearchedEnough;
  }

  get #hasSearchedEnough(): boolean {
    return this.#searched >= SEARCHED_AT_ONCE;
  }

  /** Goes on with looking. */
  searchFurther(): void {
    this.#searched = 0;
    this.#isCutShort = false;
  }

  /** Whether growing at one end lets go at the other. */
  get isFull(): boolean {
    return this.#isFull;
  }

  get isAtBegin(): boolean {
    return this.low === 0;
  }

  get isAtHead(): boolean {
    return this.high >= this.head;
  }

  /** Begins at the end of the log. */
  async openAtHead(): Promise<void> {
    const { entries, low, head } = await this.#before(undefined, PAGE);
    this.head = head;
    this.high = head;
    this.low = low;
    this.#hold(entries, "older");
  }

  /** Begins around an event. */
  async openAround(offset: number): Promise<void> {
    this.around = offset;
    // From the event on: a page that begins before it may be cut before it, where events are large.
    const page = await this.#page({ afterOffset: offset - 1, limit: PAGE });
    this.head = page.head;
    this.low = Math.min(offset - 1, page.head);
    this.high = Math.min(Math.max(this.low, page.afterOffset), page.head);
    this.#hold(page.entries.filter(this.#matches).map(held), "newer");
    await this.older();
  }

  /** Takes what lies before. Resolves with whether anything changed. */
  async older(): Promise<boolean> {
    if (this.isAtBegin || this.isTired || this.#isAsking.older) return false;
    this.#isAsking.older = true;
    try {
      const before = this.low + 1;
      const { entries, low } = await this.#before(before, isSearched(this.filter) ? SEARCHED_PAGE : PAGE);
      if (this.low + 1 !== before) return false;
      this.low = low;
      this.#hold([...entries, ...this.entries], "older");
      return true;
    } finally {
      this.#isAsking.older = false;
    }
  }

  /** Takes what comes behind. Resolves with whether anything changed. */
  async newer(): Promise<boolean> {
    if (this.isAtHead || this.#hasSearchedEnough || this.#isAsking.newer) return false;
    this.#isAsking.newer = true;
    const asked = this.high;
    try {
      const limit = isSearched(this.filter) ? SEARCHED_PAGE : PAGE;
      const page = await this.#page({ afterOffset: asked, limit });
      this.head = Math.max(this.head, page.head);
      // Meanwhile the other end may have grown, and this one let go.
      if (page.afterOffset <= this.high || this.high < asked) return false;
      const fresh = page.entries.filter((entry) => entry.event.offset > this.high && this.#matches(entry)).map(held);
      this.high = page.afterOffset;
      this.#hold([...this.entries, ...fresh], "newer");
      return true;
    } finally {
      this.#isAsking.newer = false;
    }
  }

  /**
   * Takes what the live tail brought; only what follows what is held is kept.
   *
   * @param options.follows the newest is looked at. Else nothing is let go of at the old end, where somebody reads
   */
  hear(heard: readonly Entry[], { follows = true } = {}): void {
    const fresh: Entry[] = [];
    for (const entry of heard) {
      const { offset } = entry.event;
      this.head = Math.max(this.head, offset);
      if (offset !== this.high + 1) continue;
      if (!follows && (this.#isFull || this.entries.length + fresh.length >= MOST)) continue;
      this.high = offset;
      if (this.#matches(entry)) fresh.push(held(entry));
    }
    if (fresh.length > 0) this.#hold([...this.entries, ...fresh], "newer");
  }

  async #page(query: Record<string, string | number | undefined>): Promise<Page> {
    const page = await this.#read({ ...query, types: this.filter.types || undefined }, this.#stop.signal);
    if (isSearched(this.filter)) this.#searched += page.entries.length;
    return page;
  }

  /** The last events before an offset, what matches of them; behind `low` there are no others, as far as the server looked. */
  async #before(before: number | undefined, most: number): Promise<{ entries: Entry[]; low: number; head: number }> {
    for (let wanted = most; ;) {
      const { entries, afterOffset, beforeOffset, head } = await this.#page({ beforeOffset: before, last: wanted });
      const isCut = afterOffset < (before ?? head + 1) - 1;
      if (!isCut || wanted === 1 || entries.length === 0) {
        const first = entries[0]?.event.offset ?? before ?? head + 1;
        this.#isCutShort = beforeOffset !== undefined;
        const low = entries.length < wanted ? (beforeOffset ?? 1) - 1 : first - 1;
        return { entries: entries.filter(this.#matches).map(held), low, head };
      }
      // The events are large: as many as a page carries, and of those the last ones.
      wanted = Math.max(1, Math.min(entries.length, wanted >> 1));
    }
  }

  /** Holds these, and lets go at the end that nobody looks at. */
  #hold(entries: Entry[], grown: "older" | "newer"): void {
    if (this.#stop.signal.aborted) return;
    const count = this.#fitting(grown === "older" ? entries : entries.toReversed());
    this.#isFull = count >= MOST || count < entries.length;
    if (count < entries.length && grown === "older") {
      entries.length = count;
      this.high = entries.at(-1)?.event.offset ?? this.high;
    } else if (count < entries.length) {
      entries.splice(0, entries.length - count);
      this.low = (entries[0]?.event.offset ?? 1) - 1;
    }
    this.entries = entries;
  }

  /** How many of these may be held. */
  #fitting(entries: readonly Entry[]): number {
    let room = MOST_HELD;
    const end = entries.findIndex((entry, index) => (room -= weightOf(entry)) < 0 || index >= MOST);
    return end < 0 ? entries.length : Math.max(1, end);
  }
}

/** A payload that is not held weighs nothing. */
const weightOf = ({ event, size }: Entry): number => (event.payload === undefined ? 300 : size);

/** An event that is large is held without its payload; see {@link HELD}. */
function held(entry: Entry): Entry {
  if (entry.size <= HELD || entry.event.payload === undefined) return entry;
  const { payload: _, ...event } = entry.event;
  return { ...entry, event: { ...event, payload: undefined } };
}
