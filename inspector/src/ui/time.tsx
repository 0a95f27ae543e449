/** Times and durations, in words. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { view } from "../log/view.ts";

/** Now, as far as "how long ago" is concerned. */
const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden && !view.value.absoluteTime) now.value = Date.now();
}, 5_000);

export function Time({ at }: { at: string }): JSX.Element {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return <time class="time" />;
  const words = view.value.absoluteTime ? clock(date) : ago(now.value - date.getTime());
  return (
    <time class="time" dateTime={at} title={`${date.toLocaleString()} (${at})`}>
      {words}
    </time>
  );
}

/** `14:03:22.120`, with the date when that is another day. */
export function clock(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const isToday = date.toDateString() === new Date().toDateString();
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return isToday ? `${time}.${String(date.getMilliseconds()).padStart(3, "0")}` : `${day} ${time}`;
}

/** `3 min ago`; what lies ahead is `in 3 min`. */
export function ago(ms: number): string {
  if (Math.abs(ms) < 5_000) return "now";
  return ms < 0 ? `in ${span(-ms)}` : `${span(ms)} ago`;
}

/** `12 ms`, `3.4 s`, `5 min`, `2 h`, `6 d`. */
export function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1_000)} s`;
  if (ms < 2 * 3_600_000) return `${Math.round(ms / 60_000)} min`;
  return ms < 48 * 3_600_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 86_400_000)} d`;
}
