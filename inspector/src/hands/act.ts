/** What a person does: every action is an appended event, and the page shows which. */
import type { Appendable, StoredEvent } from "tailrace";
import { heed, tailrace, wordsOf } from "../api/connection.ts";
import { notify } from "../ui/notices.tsx";

/** A second click within so long is meant once. */
const DOUBLE_CLICK_MS = 600;

/** What is being done, or was a moment ago. */
const lately = new Map<string, Promise<StoredEvent | undefined>>();

/**
 * Appends an event and says which it became. A refusal is said as well. What configures or decides something is done once
 * for two clicks; a message may be said twice.
 *
 * @returns the event; `undefined` when it was refused
 */
export function act(path: string, event: Appendable): Promise<StoredEvent | undefined> {
  if (!/^(stream|breaker|schedule|subscription|webhook|tool)\./.test(event.type)) return append(path, event);
  const key = JSON.stringify([path, event]);
  const same = lately.get(key);
  if (same) return same;
  const asked = append(path, event).finally(() => setTimeout(() => lately.delete(key), DOUBLE_CLICK_MS));
  lately.set(key, asked);
  return asked;
}

/** Says which events an action became. */
export function done(path: string, stored: readonly StoredEvent[]): void {
  const [first] = stored;
  if (!first) return;
  const words = stored.length === 1 ? `${first.type} in ${path}` : `${stored.length} events in ${path}`;
  notify({ words, event: { path, offset: first.offset } });
}

async function append(path: string, event: Appendable): Promise<StoredEvent | undefined> {
  try {
    const stored = await tailrace.value.stream(path).append(event);
    done(path, [stored]);
    return stored;
  } catch (error) {
    notify({ words: `${event.type} was refused: ${wordsOf(heed(error))}`, isError: true });
    return undefined;
  }
}
