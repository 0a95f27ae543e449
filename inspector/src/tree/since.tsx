/** How long ago something was, as short as it can be said. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { span } from "../ui/time.tsx";

const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 10_000);

/** @param props.at an instant as the API writes it */
export function Since({ at }: { at: string | undefined }): JSX.Element {
  const date = new Date(at ?? "");
  if (at === undefined || Number.isNaN(date.getTime())) return <time class="since" />;
  return (
    <time class="since" dateTime={at} title={`last event: ${date.toLocaleString()}`}>
      {short(Math.max(now.value, Date.now() - 10_000) - date.getTime())}
    </time>
  );
}

/** `now`, `40 s`, `3 min`, `2 h`, `6 d`. */
export function short(ms: number): string {
  return ms < 10_000 ? "now" : span(ms);
}
