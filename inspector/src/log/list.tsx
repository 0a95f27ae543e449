/**
 * The events, as rows that exist only while they are seen. Beside them a rail: where in the whole log we are.
 */
import "./log.css";
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { useAnchor, useReach, useSought } from "./anchor.ts";
import { cursor, enter, moveCursor } from "./cursor.ts";
import { isEmpty } from "./filter.ts";
import { hands } from "./keys.tsx";
import type { OpenStream } from "./open.ts";
import { Rail } from "./rail.tsx";
import { EventRow, RunRow } from "./row.tsx";
import { idOf, isAt, keyOf, rowsOf, turnedOver } from "./rows.ts";
import { offset as chosen } from "../route.ts";
import { appendLine } from "../tree/lines.tsx";
import { isNarrow } from "../ui/narrow.ts";
import { useVirtualizer } from "../ui/virtual.ts";
import type { Span } from "./span.ts";
import { view } from "./view.ts";

/** Heights in pixels, as `log.css` has them. */
const HEIGHT = 34;
const HEIGHT_NARROW = 58;

const openRuns = signal<ReadonlySet<number>>(new Set());

export function List({ stream }: { stream: OpenStream }): JSX.Element {
  const { changes } = stream;
  const { grouped, newestFirst } = view.value;
  const span = stream.span.value;
  const height = isNarrow.value ? HEIGHT_NARROW : HEIGHT;
  const box = useRef<HTMLDivElement>(null);
  // The count of changes stands for the span's content.
  const change = changes.value;
  const rows = useMemo(
    () => rowsOf(span.entries, { grouped, newestFirst, open: openRuns.value }),
    [span, change, grouped, newestFirst, openRuns.value],
  );
  const virtual = useVirtualizer({ count: rows.length, height, box });
  const items = virtual.getVirtualItems();
  const first = rows[Math.floor((virtual.scrollOffset ?? 0) / height)];
  const atCursor = items.map(({ index }) => rows[index]).find((row) => row && isAt(row, cursor.value));

  const placed = { stream, rows, height, newestFirst, box, virtual };
  useAnchor(placed);
  const reachBeyond = useReach(placed);

  const toggleRun = (run: { readonly offset: number; readonly last: number }): void => {
    // What is looked at closely stays in sight.
    stream.follows.value = false;
    openRuns.value = turnedOver(openRuns.value, run);
  };
  useSought(chosen.value, placed, toggleRun);

  const edge = newestFirst ? 0 : Math.max(0, rows.length * height);
  const scrolled = (): void => {
    const at = box.current;
    if (!at) return;
    const distance = newestFirst ? at.scrollTop : edge - at.clientHeight - at.scrollTop;
    stream.follows.value = distance < height && span.isAtHead;
  };

  // Offsets mean nothing in another stream.
  useEffect(() => {
    openRuns.value = new Set();
    if (chosen.value === undefined) cursor.value = undefined;
  }, [stream]);

  useEffect(() => {
    hands.list = {
      move: (by) => {
        if (!moveCursor(rows, by, virtual)) reachBeyond(by);
      },
      // Offsets grow downwards or upwards; "first" is always the oldest.
      first: () => void stream.show(1).then(() => (cursor.value = 1)),
      last: () => void stream.show(),
      enter: () => enter(rows, toggleRun),
    };
    return () => delete hands.list;
  });

  return (
    <div class="log">
      <div
        ref={box}
        id="events"
        class="events"
        // An empty list has no options, as a list must.
        role={rows.length > 0 ? "listbox" : "region"}
        aria-label={`Events of ${stream.path}`}
        aria-activedescendant={atCursor && idOf(atCursor)}
        tabIndex={0}
        // Where all rows are in sight nothing scrolls, and yet a person wants to go on.
        onWheel={({ deltaY }) => reachBeyond(deltaY)}
        onScroll={scrolled}
      >
        <div
          class="rows"
          role="presentation"
          style={{ height: `${rows.length * height}px`, "--digits": String(stream.head.value).length }}
        >
          {items.map(({ index, start }) => {
            const row = rows[index];
            if (!row) return null;
            const place = { row, top: start, isCursor: row === atCursor, head: stream.head.value };
            return row.kind === "event" ? (
              <EventRow key={row.offset} {...place} row={row} isChosen={chosen.value === row.offset} />
            ) : (
              <RunRow key={keyOf(row)} {...place} row={row} toggle={toggleRun} />
            );
          })}
        </div>
        {rows.length === 0 && <Nothing stream={stream} change={change} />}
      </div>
      {span.isTired && !(span.isAtBegin && span.isAtHead) && (
        <button
          type="button"
          class="further"
          onClick={() => {
            span.searchFurther();
            stream.changes.value += 1;
          }}
        >
          {lookedAt(span)}: look further
        </button>
      )}
      <Rail stream={stream} at={first?.offset} />
      {!stream.follows.value && stream.head.value > 0 && (
        <button type="button" class="newest" onClick={() => void stream.show()}>
          {newestFirst ? "↑" : "↓"} Newest
        </button>
      )}
    </div>
  );
}

/** How far was looked, where it could go on. */
function lookedAt({ isAtBegin, low, high }: Span): string {
  return isAtBegin
    ? `Looked up to event ${high.toLocaleString("en")}`
    : `Looked back to event ${(low + 1).toLocaleString("en")}`;
}

/** @param props.change counts the changes of the span, which says itself of none */
function Nothing({ stream }: { stream: OpenStream; change: number }): JSX.Element {
  const span = stream.span.value;
  const isSearching = !isEmpty(span.filter) && !(span.isAtBegin && span.isAtHead);
  if (stream.status.value === "loading") return <p class="nothing">Loading …</p>;
  if (isSearching) {
    return (
      <p class="nothing">
        {span.isTired ? "Nothing found" : "Searching …"} down to event {(span.low + 1).toLocaleString("en")}
      </p>
    );
  }
  if (!isEmpty(span.filter)) return <p class="nothing">No event matches.</p>;
  // The top says why.
  if (stream.status.value === "refused") return <p class="nothing">Nothing can be seen here.</p>;
  return (
    <p class="nothing">
      No event yet. The first one makes the stream: write one below, or
      <code>{appendLine(stream.path, '{"type":"message"}')}</code>
    </p>
  );
}
