/** What is being said right now, below the list: a strip for each model that is asked and has not ended. */
import "./event.css";
import type { JSX } from "preact";
import { heed, page } from "../api/connection.ts";
import { go } from "../route.ts";
import { heardIn } from "./heard.ts";
import { fieldsOf } from "./payload.ts";
import { Newest } from "./growing.tsx";
import type { OpenStream } from "../log/open.ts";
import type { Speech } from "./speech.ts";

/** So many speak at most on one screen; the others are counted. */
const MOST = 4;
/** So much of the end of what is said is shown. */
const SHOWN = 600;

export function Speaking({ stream }: { stream: OpenStream }): JSX.Element | null {
  const speeches = heardIn(stream).speeches.value;
  if (speeches.length === 0) return null;
  return (
    <section class="speaking" aria-label="Being said now">
      {speeches.slice(0, MOST).map((speech) => (
        <div key={speech.requestId} class="strip">
          <button type="button" class="strip-head" title="Open the turn" onClick={() => void openTurn(stream, speech)}>
            <strong>{speech.agent.slice(0, 100)}</strong> <span class="dim">{doing(speech)}</span>
          </button>
          {speech.text && (
            <div class="strip-said">
              <Newest speech={speech} most={SHOWN} />
            </div>
          )}
        </div>
      ))}
      {speeches.length > MOST && <p class="dim">and {speeches.length - MOST} more</p>}
    </section>
  );
}

function doing(speech: Speech): string {
  if (speech.retryAt !== undefined) return `attempt ${speech.attempt - 1} failed, tries again soon`;
  if (!speech.text) return "thinking …";
  return `${speech.length.toLocaleString("en")} characters`;
}

async function openTurn(stream: OpenStream, { turnAt, requestId }: Speech): Promise<void> {
  if (turnAt !== undefined) {
    go({ offset: turnAt, panel: "event" });
    return;
  }
  try {
    const { entries } = await page(stream.path, { types: "agent.turn-started", last: 100 });
    const turn = entries.find(({ event }) => fieldsOf(event.payload)["requestId"] === requestId);
    if (turn) go({ offset: turn.event.offset, panel: "event" });
  } catch (error) {
    heed(error);
  }
}
