/** What a person does: every action is an appended event, and the page shows which. */
import type { Appendable, StoredEvent } from "tailrace";
import { heed, tailrace, wordsOf } from "../api/connection.ts";
import { notify } from "../ui/notices.tsx";

/**
 * Appends an event and says which it became. A refusal is said as well.
 *
 * @returns the event; `undefined` when it was refused
 */
export async function act(path: string, event: Appendable): Promise<StoredEvent | undefined> {
  try {
    const stored = await tailrace.value.stream(path).append(event);
    done(path, [stored]);
    return stored;
  } catch (error) {
    notify({ words: `${event.type} was refused: ${wordsOf(heed(error))}`, isError: true });
    return undefined;
  }
}

/** Says which events an action became. */
export function done(path: string, stored: readonly StoredEvent[]): void {
  const [first] = stored;
  if (!first) return;
  const words = stored.length === 1 ? `${first.type} in ${path}` : `${stored.length} events in ${path}`;
  notify({ words, event: { path, offset: first.offset } });
}
