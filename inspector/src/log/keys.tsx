/** The keys that work anywhere on the page, and the list of them. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Dialog } from "../ui/dialog.tsx";
import { go, path } from "../route.ts";
import { view } from "./view.ts";

/** What the keys move. The list says how, while it is there. */
export const hands: {
  list?: { move(by: number): void; first(): void; last(): void; enter(): void };
} = {};

export const isHelpOpen = signal(false);

const help: readonly [keys: string, does: string][] = [
  ["j  k  ↓  ↑", "next, previous event"],
  ["Enter", "open the event, or unfold the run"],
  ["Esc", "close what is open"],
  ["g  G", "first event; newest, and follow"],
  ["/", "search"],
  ["o", "newest first, or oldest first"],
  ["r", "fold runs of the same type"],
  ["t", "clock time, or how long ago"],
  ["w", "why: what caused the event, and what followed"],
  ["c", "write an event"],
  ["?", "this list"],
];

const actions: Record<string, () => void> = {
  j: () => hands.list?.move(1),
  k: () => hands.list?.move(-1),
  ArrowDown: () => hands.list?.move(1),
  ArrowUp: () => hands.list?.move(-1),
  Enter: () => hands.list?.enter(),
  g: () => hands.list?.first(),
  G: () => hands.list?.last(),
  "/": () => document.getElementById("filter-text")?.focus(),
  o: () => void (view.value = { ...view.value, newestFirst: !view.value.newestFirst }),
  r: () => void (view.value = { ...view.value, grouped: !view.value.grouped }),
  t: () => void (view.value = { ...view.value, absoluteTime: !view.value.absoluteTime }),
  w: () => go({ panel: "why" }),
  c: () => document.getElementById("composer-text")?.focus(),
  "?": () => void (isHelpOpen.value = true),
  Escape: () => go({ offset: undefined, panel: undefined }),
};

/** Whether a key belongs to what is focused: a field, a button, a dialog, an editor. */
function isTaken({ target, key }: KeyboardEvent): boolean {
  if (!(target instanceof Element)) return false;
  if (target.closest("input, textarea, select, dialog[open], [contenteditable], .editor, [role=tree]")) return true;
  const isButton = target.closest("button, a, summary, [role=tab]") !== null;
  return isButton && ["Enter", " "].includes(key);
}

export function Keys(): JSX.Element {
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || isTaken(event)) return;
      const isScroll = event.key.startsWith("Arrow") && !(event.target as Element | null)?.closest("#events");
      const action = isScroll ? undefined : actions[event.key];
      if (!action || path.value === undefined) return;
      event.preventDefault();
      action();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  return (
    <Dialog title="Keys" isOpen={isHelpOpen.value} close={() => (isHelpOpen.value = false)}>
      <dl class="keys">
        {help.map(([keys, does]) => (
          <div key={keys}>
            <dt>
              {keys.split("  ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
