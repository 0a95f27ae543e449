/** Configuring something anew: the composer opens with the event that configured it, number by number as it stands. */
import { heed, lineOf, wordsOf } from "../api/connection.ts";
import { composeText } from "./draft.ts";
import { indented, rawFields } from "../event/json.ts";
import type { OpenStream } from "../log/open.ts";
import { notify } from "../ui/notices.tsx";
import { visible } from "../ui/visible.ts";

/** @param offset where the event stands */
export async function edit(stream: OpenStream, offset: number): Promise<void> {
  try {
    const fields = rawFields(await lineOf(stream.path, offset));
    const [type, payload] = [fields.get("type"), fields.get("payload")];
    // The stream was deleted meanwhile.
    if (type === undefined || payload === undefined) return;
    const event = visible(`{"type":${type},"payload":${payload}}`);
    composeText(stream.path, Array.from(indented(event), ({ text }) => text).join(""));
  } catch (error) {
    notify({ words: wordsOf(heed(error)), isError: true });
  }
}
