/** An event, or a run of events, as one line. */
import type { JSX } from "preact";
import type { StoredEvent } from "tailrace";
import { isFailure } from "./filter.ts";
import { cursor } from "./cursor.ts";
import { idOf, keyOf, type Row } from "./rows.ts";
import { go, panel } from "../route.ts";
import { span as spanOf, Time } from "../ui/time.tsx";
import { summary } from "../event/summary.ts";

interface Place {
  readonly top: number;
  readonly isCursor: boolean;
  /** How many events there are in all. */
  readonly head: number;
}

type Of<Kind extends Row["kind"]> = Extract<Row, { kind: Kind }>;

export function EventRow(props: Place & { row: Of<"event">; isChosen: boolean }): JSX.Element {
  const { row, top, isCursor, isChosen, head } = props;
  const { event, size } = row.entry;
  const open = (): void => {
    cursor.value = row.offset;
    go({ offset: row.offset, panel: panel.value === "why" ? "why" : "event" });
  };
  return (
    <div
      id={idOf(row)}
      class="row"
      role="option"
      aria-selected={isChosen || isCursor}
      aria-posinset={row.offset}
      aria-setsize={head}
      data-kind={kindOf(event)}
      data-cursor={isCursor}
      data-chosen={isChosen}
      data-offset={row.offset}
      style={{ transform: `translateY(${top}px)` }}
      onClick={open}
    >
      <span class="offset">{row.offset}</span>
      <span class="type">{event.type}</span>
      <span class="said">{event.payload === undefined ? `${Math.round(size / 1024)} KiB` : summary(event)}</span>
      <span class="gap">{row.gapMs === undefined || row.gapMs < 1 ? "" : `+${spanOf(row.gapMs)}`}</span>
      <Time at={event.createdAt} />
    </div>
  );
}

export function RunRow(props: Place & { row: Of<"run">; toggle: (run: Of<"run">) => void }): JSX.Element {
  const { row, top, isCursor, head, toggle } = props;
  return (
    <div
      id={idOf(row)}
      class="row run"
      role="option"
      aria-selected={isCursor}
      aria-posinset={row.offset}
      aria-setsize={head}
      data-kind={kindOf(row.entry.event)}
      data-cursor={isCursor}
      style={{ transform: `translateY(${top}px)` }}
      onClick={() => {
        cursor.value = keyOf(row);
        toggle(row);
      }}
    >
      <span class="offset">{row.offset}</span>
      <span class="type">
        {row.isOpen ? "▾" : "▸"} {row.type}
      </span>
      <span class="said">
        {row.count} in a row{row.isOpen ? "" : `, up to ${row.last}`}
      </span>
      <span class="gap" />
      <Time at={row.entry.event.createdAt} />
    </div>
  );
}

/** What an event is about, for its colour. */
export function kindOf(event: StoredEvent): string {
  if (isFailure(event)) return "failure";
  const [first = ""] = event.type.split(".");
  if (event.type === "webhook.received") return "hook";
  if (event.type === "stream.paused") return "paused";
  if (["agent", "tool"].includes(first)) return first;
  return ["stream", "breaker", "schedule", "subscription", "webhook", "imported"].includes(first) ? "control" : "plain";
}
