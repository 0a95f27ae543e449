/** An answer while it is said: the newest of it is seen. */
import type { JSX } from "preact";
import { Countdown } from "./countdown.tsx";
import type { Speech } from "./speech.ts";

/** So much of a growing answer is drawn: it is drawn again with every frame. */
const DRAWN = 6_000;

/** What is said so far, or why nothing is. */
export function Growing({ speech }: { speech: Speech | undefined }): JSX.Element {
  if (speech?.retryAt !== undefined) {
    return (
      <p class="dim">
        Attempt {speech.attempt - 1} failed. The next one begins <Countdown to={speech.retryAt} />.
      </p>
    );
  }
  if (!speech?.text) return <p class="dim">Nothing is said yet.</p>;
  const isCut = speech.start > 0 || speech.text.length > DRAWN;
  return (
    <>
      {isCut && <p class="dim">{speech.length.toLocaleString("en")} characters so far, the last of them:</p>}
      <Newest speech={speech} most={DRAWN} />
    </>
  );
}

/** The last words, at most so many characters of them. */
export function Newest({ speech, most }: { speech: Speech; most: number }): JSX.Element {
  const isCut = speech.start > 0 || speech.text.length > most;
  return (
    <div class="text growing" dir="auto">
      {isCut && "… "}
      {lastOf(speech.text, most)}
    </div>
  );
}

function lastOf(text: string, most: number): string {
  if (text.length <= most) return text;
  const from = text.length - most;
  const first = text.charCodeAt(from);
  return text.slice(first >= 0xdc00 && first < 0xe000 ? from + 1 : from);
}
