/** Configuring something anew: the composer opens with the event that configured it. */
import { heed, wordsOf } from "../api/connection.ts";
import { compose } from "./draft.ts";
import type { OpenStream } from "../log/open.ts";
import { notify } from "../ui/notices.tsx";

/** @param offset where the event stands */
export async function edit(stream: OpenStream, offset: number): Promise<void> {
  try {
    const event = await stream.event(offset);
    if (event) compose(stream.path, event);
  } catch (error) {
    notify({ words: wordsOf(heed(error)), isError: true });
  }
}
