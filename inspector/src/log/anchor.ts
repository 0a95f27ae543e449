/** What is read stays in place while rows come and go around it; or the newest stays in sight. */
import type { Virtualizer } from "@tanstack/virtual-core";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { cursor } from "./cursor.ts";
import type { OpenStream } from "./open.ts";
import { isAt, keyOf, type Row } from "./rows.ts";

export interface Placed {
  readonly stream: OpenStream;
  readonly rows: readonly Row[];
  /** Of every row, in pixels. */
  readonly height: number;
  readonly newestFirst: boolean;
  readonly box: { readonly current: HTMLDivElement | null };
  readonly virtual: Virtualizer<HTMLDivElement, Element>;
}

export function useAnchor(of: Placed): void {
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
      scroll(at, newestFirst ? 0 : rows.length * height);
    } else if (last?.span !== span) {
      const wanted = span.around ?? cursor.value ?? 1;
      const index = rows.findIndex((row) => (newestFirst ? row.offset <= wanted : row.offset >= wanted));
      scroll(at, Math.max(0, index * height - at.clientHeight / 3));
    } else if (last.rows !== rows) {
      const top = at.scrollTop / last.height;
      const anchor = last.rows[Math.floor(top)];
      const index = anchor ? rows.findIndex((row) => isAt(row, keyOf(anchor))) : -1;
      if (index >= 0) scroll(at, (index + (top % 1)) * height);
    }
  }, [stream, stream.span.value, rows, height, newestFirst, stream.follows.value, virtual.scrollRect?.height]);
}

/** Scrolls, and says so at once: the browser would say it after a frame in which other rows than these are drawn. */
function scroll(box: HTMLElement, top: number): void {
  const before = box.scrollTop;
  box.scrollTop = top;
  if (box.scrollTop !== before) box.dispatchEvent(new Event("scroll"));
}

/**
 * Scrolls to an event as soon as its row is there: for who comes by a link, or by going back. A run that it is folded into
 * is unfolded.
 */
export function useSought(
  wanted: number | undefined,
  of: Placed,
  unfold: (run: Extract<Row, { kind: "run" }>) => void,
): void {
  const { stream, rows, virtual } = of;
  const sought = useRef<number>(undefined);
  useEffect(() => {
    sought.current = wanted;
    if (wanted !== undefined) cursor.value = wanted;
  }, [stream, wanted]);
  useEffect(() => {
    const at = sought.current;
    if (at === undefined) return;
    const index = rows.findIndex((row) => isAt(row, at));
    const row = rows[index];
    if (row?.kind === "run") unfold(row);
    else if (row) {
      sought.current = undefined;
      virtual.scrollToIndex(index);
    }
  }, [stream, wanted, rows]);
}

/** So many rows before an end of what is held the next page is asked for. */
const NEAR = 60;

/**
 * Asks for what lies near before it is reached.
 *
 * @returns asks for what lies beyond an end (by < 0: the upper one), where that is not done by itself
 */
export function useReach({ stream, rows, newestFirst, virtual }: Placed): (by: number) => void {
  const items = virtual.getVirtualItems();
  const nearTop = (items[0]?.index ?? 0) < NEAR;
  const nearBottom = (items.at(-1)?.index ?? 0) >= rows.length - NEAR;
  // Where folded rows bring both ends into sight, what is held would be let go of at one to grow at the other, for ever.
  const isStuck = stream.span.value.isFull && nearTop && nearBottom;
  useEffect(() => {
    if (isStuck) return;
    if (newestFirst ? nearBottom : nearTop) void stream.reach("older");
    if (newestFirst ? nearTop : nearBottom) void stream.reach("newer");
  }, [stream, nearTop, nearBottom, isStuck, rows, newestFirst]);
  return (by) => {
    if (isStuck) void stream.reach(by < 0 === newestFirst ? "newer" : "older");
  };
}
