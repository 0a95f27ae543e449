/** What was done, for a moment: every action is an appended event, and here is which. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { pageOf } from "../api/path.ts";

export interface Notice {
  readonly words: string;
  /** The event that it made. */
  readonly event?: { readonly path: string; readonly offset: number };
  readonly isError?: boolean;
}

const notices = signal<readonly (Notice & { id: number })[]>([]);
let next = 0;

/** Shows a notice; errors stay longer. */
export function notify(notice: Notice): void {
  const id = (next += 1);
  notices.value = [...notices.value.slice(-2), { ...notice, id }];
  setTimeout(() => dismiss(id), notice.isError ? 20_000 : 8_000);
}

const dismiss = (id: number): void => void (notices.value = notices.value.filter((notice) => notice.id !== id));

export function Notices(): JSX.Element {
  return (
    <div class="notices" role="status">
      <ul>
        {notices.value.map(({ id, words, event, isError }) => (
          <li key={id} data-error={isError}>
            <span>{words}</span>
            {event && <a href={pageOf(event.path, event.offset)}>event {event.offset}</a>}
            <button type="button" class="quiet close" aria-label="Dismiss" onClick={() => dismiss(id)}>
              ✕
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
