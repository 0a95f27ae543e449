/** What models are saying right now: deltas joined to texts, whatever is late, doubled or missing. */
import type { EphemeralEvent, StoredEvent } from "tailrace";
import { fieldsOf, nameOf, numberOf, textOf } from "./payload.ts";

/** A request to a model that has no end yet. Replaced when it changes. */
export interface Speech {
  readonly requestId: string;
  /** The agent's slug. */
  readonly agent: string;
  readonly attempt: number;
  /** What was said; without its beginning when `start` is not 0. */
  readonly text: string;
  /** So many characters (code points) were said before `text`, and are not known or no longer held. */
  readonly start: number;
  /** How many were said in all. */
  readonly length: number;
  /** The event that the turn began with, when it is known. */
  readonly turnAt?: number | undefined;
  /** Set while an attempt has failed and the next is to come. */
  readonly retryAt?: string | undefined;
}

/** So many requests are followed at once, so many that ended are remembered. */
const MOST = 64;
/** Beyond so much of one answer its beginning is let go. */
const LONGEST = 1 << 20;

export class Speeches {
  // In the order in which they were last heard of.
  readonly #speeches = new Map<string, Speech>();
  readonly #ended = new Set<string>();

  /** Those that have no end yet, the one that began first at the top. */
  get now(): readonly Speech[] {
    return [...this.#speeches.values()].sort((a, b) => (a.turnAt ?? Infinity) - (b.turnAt ?? Infinity));
  }

  get(requestId: string): Speech | undefined {
    return this.#speeches.get(requestId);
  }

  /** Takes what is said and not stored. Returns whether anything changed. */
  hear({ type, payload }: EphemeralEvent): boolean {
    if (type !== "agent.output-delta") return false;
    const { requestId, agent, attempt = 1, at, text } = fieldsOf(payload);
    if (typeof requestId !== "string" || typeof attempt !== "number" || typeof text !== "string") return false;
    if (typeof at !== "number" || at < 0 || this.#ended.has(requestId)) return false;
    const known = this.#speeches.get(requestId);
    if (known && attempt < known.attempt) return false;
    const slug = nameOf(agent) ?? known?.agent ?? slugOf(requestId);
    const before = known?.attempt === attempt ? known : undefined;
    const { retryAt: _, ...rest } = known ?? { requestId };
    this.#put({ ...rest, requestId, agent: slug, attempt, ...join(before, at, text) });
    return true;
  }

  /** Takes an event of the stream. Returns whether anything changed. */
  take({ type, payload, offset }: StoredEvent): boolean {
    if (type === "stream.created") return this.clear();
    if (!type.startsWith("agent.")) return false;
    const { requestId, agent, attempt, final, retryAt } = fieldsOf(payload);
    if (type === "agent.stopped") return this.#stopped(nameOf(agent));
    if (typeof requestId !== "string") return false;
    const known = this.#speeches.get(requestId);
    if (type === "agent.turn-started") {
      if (this.#ended.has(requestId)) return false;
      const none = { requestId, agent: nameOf(agent) ?? slugOf(requestId), attempt: 1, text: "", start: 0, length: 0 };
      this.#put({ ...(known ?? none), turnAt: offset });
      return true;
    }
    if (type === "agent.turn-failed" && final !== true) {
      if (this.#ended.has(requestId)) return false;
      const slug = nameOf(agent) ?? known?.agent ?? slugOf(requestId);
      const next = (numberOf(attempt) ?? known?.attempt ?? 0) + 1;
      // An older failure, read late, says nothing of what is being said now.
      if (known && known.attempt >= next) return false;
      const empty = { requestId, agent: slug, attempt: next, text: "", start: 0, length: 0 };
      this.#put({ ...empty, turnAt: known?.turnAt, retryAt: textOf(retryAt) });
      return true;
    }
    const isEnd = ["agent.output-added", "agent.turn-failed", "agent.turn-interrupted"].includes(type);
    return isEnd && this.#end(requestId);
  }

  /**
   * Takes the newest events of turns as they were read, in order. What is known to have ended stays so; what began before
   * them and is not among them has ended unheard.
   */
  learn(events: readonly StoredEvent[]): void {
    for (const event of events) if (event.type !== "agent.stopped") this.take(event);
    const first = events[0]?.offset ?? 0;
    const begun = new Set(events.map(({ payload }) => fieldsOf(payload)["requestId"]));
    for (const { requestId, turnAt } of this.#speeches.values()) {
      // Should it be heard again, it is there again.
      if (turnAt !== undefined && turnAt < first && !begun.has(requestId)) this.#speeches.delete(requestId);
    }
  }

  #put(speech: Speech): void {
    this.#speeches.delete(speech.requestId);
    this.#speeches.set(speech.requestId, speech);
    for (const oldest of this.#speeches.keys()) {
      if (this.#speeches.size <= MOST) return;
      this.#speeches.delete(oldest);
    }
  }

  #end(requestId: string): boolean {
    this.#ended.add(requestId);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= MOST) break;
      this.#ended.delete(oldest);
    }
    return this.#speeches.delete(requestId);
  }

  #stopped(agent: string | undefined): boolean {
    const its = [...this.#speeches.values()].filter((speech) => speech.agent === agent);
    for (const { requestId } of its) this.#end(requestId);
    return its.length > 0;
  }

  /** The stream is gone, or begins anew: nobody speaks in it. Returns whether anything changed. */
  clear(): boolean {
    this.#ended.clear();
    const wasSpoken = this.#speeches.size > 0;
    this.#speeches.clear();
    return wasSpoken;
  }
}

type Said = Pick<Speech, "text" | "start" | "length">;

/** Puts a text behind what was said, at a place that counts code points. */
function join(before: Said | undefined, at: number, text: string): Said {
  const length = at + points(text);
  // Something is missing between, or everything comes again.
  if (!before || at > before.length || at < before.start || at === 0) return { text, start: at, length };
  if (at === before.length) return bounded({ text: before.text + text, start: before.start, length });
  const kept = Array.from(before.text)
    .slice(0, at - before.start)
    .join("");
  return bounded({ text: kept + text, start: before.start, length });
}

function bounded(said: Said): Said {
  if (said.text.length <= LONGEST) return said;
  const gone = Array.from(said.text.slice(0, LONGEST / 2));
  // A character that lies on the border stays.
  if (/[\ud800-\udbff]$/.test(gone.at(-1) ?? "")) gone.pop();
  return { ...said, text: said.text.slice(gone.join("").length), start: said.start + gone.length };
}

function points(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** A request is named `<slug>.<generation>.<offset>`; a slug may have dots. */
const slugOf = (requestId: string): string => requestId.split(".").slice(0, -2).join(".") || requestId;
