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
    notify({ words: `${stored.type} in ${path}`, event: { path, offset: stored.offset } });
    return stored;
  } catch (error) {
    notify({ words: `${event.type} was refused: ${wordsOf(heed(error))}`, isError: true });
    return undefined;
  }
}
