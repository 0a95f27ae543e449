import type { Appendable, StoredEvent } from "./event.js";
import { ask, type Connection } from "./http.js";

/** How something is appended. */
export interface AppendOptions {
  /** Stops it. Whether the events were written is not known then. */
  readonly signal?: AbortSignal;
}

/** Appends one event or several, with a key for each: over all attempts it is written once. */
export async function append(
  connection: Connection,
  path: string,
  events: Appendable | readonly Appendable[],
  { signal }: AppendOptions = {},
): Promise<StoredEvent[]> {
  const isBatch = isList(events);
  if (isBatch && events.length === 0) return [];
  const body = isBatch ? events.map(withKey) : withKey(events);
  const answer = await ask<{ event?: StoredEvent; events?: StoredEvent[] }>(connection, {
    method: "POST",
    api: "streams",
    path,
    headers: { prefer: "handling=strict" },
    body: JSON.stringify(body),
    signal,
  });
  return answer.events ?? (answer.event ? [answer.event] : []);
}

export const isList = <T>(value: T | readonly T[]): value is readonly T[] => Array.isArray(value);

const withKey = (event: Appendable): Appendable => ({ ...event, idempotencyKey: event.idempotencyKey ?? newKey() });

/** A random key. */
const newKey = (): string => ("randomUUID" in crypto ? crypto.randomUUID() : randomHex());

/** In a page that came without https there is no `crypto.randomUUID`, which is cheaper: it gets its bytes by the page. */
function randomHex(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
