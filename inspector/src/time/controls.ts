/** The control events of a stream, as far as somebody came near them: the others are not known. */
import type { StoredEvent } from "tailrace";

/** What the control state is made of. */
export const CONTROL =
  "stream.*,breaker.*,schedule.*,subscription.*,webhook.configured,webhook.removed,tool.configured,tool.removed";

const isControl = (type: string): boolean =>
  /^(stream|breaker|schedule|subscription)\.|^(webhook|tool)\.(configured|removed)$/.test(type);

/**
 * Reads control events: up to an offset, the last so many; or behind one, the first so many. Where it found fewer of the
 * last, `from` is the first offset that it looked at.
 */
export type Read = (
  query: { types: string; afterOffset?: number; beforeOffset?: number; last?: number; limit?: number },
  signal: AbortSignal,
) => Promise<{ events: readonly StoredEvent[]; from?: number | undefined; upTo: number; head: number }>;

const PAGE = 20;
/** A page of a long log may be looked at without a hit. */
const MOST_PAGES = 10;

export class Controls {
  /** All there are behind `low` up to `high`. */
  events: readonly StoredEvent[] = [];
  low: number;
  high: number;
  readonly #read: Read;

  /** @param at begins there; nothing is known yet */
  constructor(at: number, read: Read) {
    this.low = at;
    this.high = at;
    this.#read = read;
  }

  /** The last one before an offset; `undefined` when none is known. */
  before(at: number): StoredEvent | undefined {
    return this.events.findLast(({ offset }) => offset < at);
  }

  /** The first one behind an offset; `undefined` when none is known. */
  behind(at: number): StoredEvent | undefined {
    return this.events.find(({ offset }) => offset > at);
  }

  /** Those around an offset, and the one at it; at most so many at each side. */
  near(at: number, most: number): readonly StoredEvent[] {
    const before = this.events.filter(({ offset }) => offset < at).slice(-most);
    const rest = this.events.filter(({ offset }) => offset >= at);
    return [...before, ...rest.slice(0, rest[0]?.offset === at ? most + 1 : most)];
  }

  /** Whether so many at each side are known, or there are no more. */
  isKnown(at: number, head: number, most = 1): boolean {
    if (at < this.low || at > this.high) return false;
    const before = this.events.filter(({ offset }) => offset < at).length;
    const behind = this.events.filter(({ offset }) => offset > at).length;
    return (before >= most || this.low === 0) && (behind >= most || this.high >= head);
  }

  /** Reads what is missing around an offset. */
  async reach(at: number, head: number, signal: AbortSignal, most = 1): Promise<void> {
    // Far away, what is known is of no use.
    if (at < this.low || at > this.high) {
      this.events = [];
      this.low = this.high = at;
    }
    for (let pages = 0; pages < MOST_PAGES && !this.isKnown(at, head, most); pages += 1) {
      const before = this.events.filter(({ offset }) => offset < at).length;
      if (before < most && this.low > 0) await this.#older(signal);
      else await this.#newer(signal);
    }
  }

  /** Takes an event that has just come. True when it is one of these. */
  hear(event: StoredEvent): boolean {
    if (event.offset !== this.high + 1) return false;
    this.high = event.offset;
    if (!isControl(event.type)) return false;
    this.events = [...this.events, event];
    return true;
  }

  async #older(signal: AbortSignal): Promise<void> {
    const before = this.low + 1;
    const { events, from = 1 } = await this.#read({ types: CONTROL, beforeOffset: before, last: PAGE }, signal);
    // Fewer than asked for: there are no more, as far as was looked.
    this.low = (events.length < PAGE ? from : (events[0]?.offset ?? 1)) - 1;
    this.events = [...events, ...this.events];
  }

  async #newer(signal: AbortSignal): Promise<void> {
    const { events, upTo, head } = await this.#read({ types: CONTROL, afterOffset: this.high, limit: PAGE }, signal);
    const last = events.at(-1)?.offset ?? this.high;
    // A page that is not full has looked at all up to where it says.
    this.high = events.length < PAGE ? Math.max(last, Math.min(upTo, head)) : last;
    this.events = [...this.events, ...events.filter(({ offset }) => offset > (this.events.at(-1)?.offset ?? 0))];
  }
}
