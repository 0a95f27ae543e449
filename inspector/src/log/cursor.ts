/** The row that the keys move: known by its key (see `rows.ts`). */
import { signal } from "@preact/signals";
import type { Virtualizer } from "@tanstack/virtual-core";
import { isAt, keyOf, type Row } from "./rows.ts";
import { go, panel, route } from "../route.ts";

export const cursor = signal<number | undefined>(undefined);

/** Moves the cursor; false when there is no row to go to. */
export function moveCursor(rows: readonly Row[], by: number, virtual: Virtualizer<HTMLDivElement, Element>): boolean {
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

/** Opens the event at the cursor, or turns over its run. */
export function enter(rows: readonly Row[], toggleRun: (run: Extract<Row, { kind: "run" }>) => void): void {
  const row = rows.find((it) => isAt(it, cursor.value));
  if (row?.kind === "run") toggleRun(row);
  else if (row) go({ offset: row.offset, panel: panel.value === "why" ? "why" : "event" });
}
