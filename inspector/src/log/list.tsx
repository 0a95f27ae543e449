/**
 * The events, as rows that exist only while they are seen. Beside them a rail: where in the whole log we are.
 */
import "./log.css";
import type { Virtualizer } from "@tanstack/virtual-core";
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { cursor } from "./cursor.ts";
import { isEmpty } from "./filter.ts";
import { hands } from "./keys.tsx";
import type { OpenStream } from "./open.ts";
import { Rail } from "./rail.tsx";
import { EventRow, RunRow } from "./row.tsx";
import { idOf, isAt, keyOf, rowsOf, turnedOver, type Row } from "./rows.ts";
import { go, offset as chosen, panel, route } from "../route.ts";
import { appendLine } from "../tree/lines.tsx";
import { isNarrow } from "../ui/narrow.ts";
import { useVirtualizer } from "../ui/virtual.ts";
import { view } from "./view.ts";

/** Heights in pixels, as `log.css` has them. */
const HEIGHT = 34;
const HEIGHT_NARROW = 58;
/** So many rows before an end of what is held the next page is asked for. */
const NEAR = 60;

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
  const first = rows[(Math.floor(virtual.scrollOffset ?? 0) / height) | 0];

  const at = items.map(({ index }) => rows[index]).find((row) => row && isAt(row, cursor.value));

  useAnchor({ stream, rows, height, newestFirst, box, virtual });

  // What lies near is asked for before it is reached.
  const [begin, end] = [items[0]?.index ?? 0, items.at(-1)?.index ?? 0];
  const nearTop = begin < NEAR;
  const nearBottom = end >= rows.length - NEAR;
  // Where folded rows bring both ends into sight, what is held would be let go of at one to grow at the other, for ever.
  const isStuck = span.isFull && nearTop && nearBottom;
  useEffect(() => {
    if (isStuck) return;
    if (newestFirst ? nearBottom : nearTop) void stream.reach("older");
    if (newestFirst ? nearTop : nearBottom) void stream.reach("newer");
  }, [stream, nearTop, nearBottom, isStuck, rows, newestFirst]);
  const reachBeyond = (by: number): void => {
    if (isStuck) void stream.reach(by < 0 === newestFirst ? "newer" : "older");
  };

  const toggleRun = (run: { readonly offset: number; readonly last: number }): void => {
    // What is looked at closely stays in sight.
    stream.follows.value = false;
    openRuns.value = turnedOver(openRuns.value, run);
  };

  const edge = newestFirst ? 0 : Math.max(0, rows.length * height);
  const scrolled = (): void => {
    const at = box.current;
    if (!at) return;
    const distance = newestFirst ? at.scrollTop : edge - at.clientHeight - at.scrollTop;
    stream.follows.value = distance < height && span.isAtHead;
  };

  // Who comes to an event by a link, or by going back, sees its row.
  const wanted = chosen.value;
  const sought = useRef<number>(undefined);
  useEffect(() => {
    sought.current = wanted;
    if (wanted !== undefined) cursor.value = wanted;
  }, [stream, wanted]);
  useEffect(() => {
    if (sought.current === undefined) return;
    const at = sought.current;
    const index = rows.findIndex((row) => isAt(row, at));
    const row = rows[index];
    if (row?.kind === "run") openRuns.value = turnedOver(openRuns.value, row);
    else if (row) {
      sought.current = undefined;
      virtual.scrollToIndex(index);
    }
  }, [stream, wanted, rows]);

  // Offsets mean nothing in another stream.
  useEffect(() => {
    openRuns.value = new Set();
    if (chosen.value === undefined) cursor.value = undefined;
  }, [stream]);

  useEffect(() => {
    hands.list = {
      move: (by) => {
        if (!moved(rows, by, virtual)) reachBeyond(by);
      },
      // Offsets grow downwards or upwards; "first" is always the oldest.
      first: () => void stream.show(1).then(() => (cursor.value = 1)),
      last: () => void stream.show(),
      enter: () => entered(rows, toggleRun),
    };
    return () => delete hands.list;
  }, [stream, rows, virtual, isStuck, newestFirst]);

  return (
    <div class="log">
      <div
        ref={box}
        id="events"
        class="events"
        // An empty list has no options, as a list must.
        role={rows.length > 0 ? "listbox" : "region"}
        aria-label={`Events of ${stream.path}`}
        aria-activedescendant={at && idOf(at)}
        tabIndex={0}
        // Only what a person scrolls counts, not what the page does itself.
        onWheel={({ deltaY }) => {
          scrolled();
          reachBeyond(deltaY);
        }}
        onTouchMove={scrolled}
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
            const place = { row, top: start, isCursor: row === at, head: stream.head.value };
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
          Search further: {span.low.toLocaleString("en")} events are not looked at
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

/** @param props.change counts the changes of the span, which says itself of none */
function Nothing({ stream }: { stream: OpenStream; change: number }): JSX.Element {
  const span = stream.span.value;
  const isSearching = !isEmpty(span.filter) && !(span.isAtBegin && span.isAtHead);
  if (stream.status.value === "loading") return <p class="nothing">Loading …</p>;
  if (isSearching) return <p class="nothing">Searching … down to event {span.low.toLocaleString("en")}</p>;
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

/** Moves the cursor; false when there is no row to go to. */
function moved(rows: readonly Row[], by: number, virtual: Virtualizer<HTMLDivElement, Element>): boolean {
  const at = rows.findIndex((it) => isAt(it, cursor.value));
  const seen = virtual.getVirtualItems();
  const start = seen[Math.floor(seen.length / 2)]?.index ?? 0;
  const index = at < 0 ? start : Math.min(rows.length - 1, Math.max(0, at + by));
  const row = rows[index];
  if (!row || index === at) return false;
  cursor.value = keyOf(row);
  virtual.scrollToIndex(index);
  const shown = panel.value ?? (route.value.offset === undefined ? undefined : "event");
  if (row.kind === "event" && (shown === "event" || shown === "why")) go({ offset: row.offset }, { replace: true });
  return true;
}

function entered(rows: readonly Row[], toggleRun: (run: Extract<Row, { kind: "run" }>) => void): void {
  const row = rows.find((it) => isAt(it, cursor.value));
  if (row?.kind === "run") toggleRun(row);
  else if (row) go({ offset: row.offset, panel: panel.value === "why" ? "why" : "event" });
}

/** Keeps in place what is read while rows come and go around it; or stays at the newest. */
function useAnchor(of: {
  stream: OpenStream;
  rows: readonly Row[];
  height: number;
  newestFirst: boolean;
  box: { readonly current: HTMLDivElement | null };
  virtual: Virtualizer<HTMLDivElement, Element>;
}): void {
  const { stream, rows, height, newestFirst, box, virtual } = of;
  const before = useRef<{ rows: readonly Row[]; span: unknown; height: number }>(undefined);
  useLayoutEffect(() => {
    const at = box.current;
    if (!at) return;
    const last = before.current;
    const span = stream.span.value;
    before.current = { rows, span, height };
    // Where all of it is seen, the newest is.
    if (span.isAtHead && rows.length * height <= at.clientHeight) stream.follows.value = true;
    if (stream.follows.value) {
      at.scrollTop = newestFirst ? 0 : rows.length * height;
    } else if (last?.span !== span) {
      const wanted = stream.span.value.around ?? cursor.value ?? 1;
      const index = rows.findIndex((row) => (newestFirst ? row.offset <= wanted : row.offset >= wanted));
      at.scrollTop = Math.max(0, index * height - at.clientHeight / 3);
    } else if (last.rows !== rows) {
      const top = at.scrollTop / last.height;
      const anchor = last.rows[Math.floor(top)];
      const index = anchor ? rows.findIndex((row) => isAt(row, keyOf(anchor))) : -1;
      if (index >= 0) at.scrollTop = (index + (top % 1)) * height;
    }
  }, [stream, stream.span.value, rows, height, newestFirst, stream.follows.value, virtual.scrollRect?.height]);
}
