/** What can be done with a stream of the tree. One menu for all of them. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { notify } from "../ui/notices.tsx";
import { toCreate } from "./create.tsx";
import { toDelete } from "./delete.tsx";

const at = signal<{ readonly path: string; readonly beside: HTMLElement } | undefined>(undefined);

/** Opens the menu of a stream beside its button. */
export function openMenu(path: string, beside: HTMLElement | undefined): void {
  if (beside) at.value = { path, beside };
}

const items: readonly { title: string; does: (path: string) => void; isDanger?: boolean }[] = [
  { title: "New stream below", does: (path) => void (toCreate.value = path === "/" ? "/" : `${path}/`) },
  { title: "Copy the path", does: (path) => void copy(path) },
  { title: "Copy the URL", does: (path) => void copy(`${location.origin}/api/streams${path}`) },
  { title: "Delete …", does: (path) => void (toDelete.value = path), isDanger: true },
];

async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    notify({ words: `Copied ${text}` });
  } catch {
    notify({ words: "The browser does not let this page copy", isError: true });
  }
}

export function Menu(): JSX.Element {
  const menu = useRef<HTMLDivElement>(null);
  const now = at.value;
  useEffect(() => {
    const element = menu.current;
    if (!now || !element) return;
    element.showPopover();
    const { left, bottom, top } = now.beside.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = element;
    element.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 4))}px`;
    element.style.top = `${bottom + height > innerHeight ? Math.max(4, top - height) : bottom}px`;
    element.querySelector("button")?.focus();
  }, [now]);
  const close = (): void => {
    menu.current?.hidePopover();
    now?.beside.focus();
  };
  const press = (event: KeyboardEvent): void => {
    const buttons = [...(menu.current?.querySelectorAll("button") ?? [])];
    const place = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const to = { ArrowDown: place + 1, ArrowUp: place - 1 + buttons.length, Home: 0, End: buttons.length - 1 }[
      event.key
    ];
    if (to !== undefined) buttons[to % buttons.length]?.focus();
    else if (event.key === "Tab" || event.key === "Escape") close();
    else return;
    event.preventDefault();
  };
  return (
    <div
      ref={menu}
      popover="auto"
      class="choices"
      role="menu"
      aria-label={now ? `What can be done with ${now.path}` : undefined}
      onKeyDown={press}
      onToggle={(event) => {
        if (event.newState === "closed" && at.value === now) at.value = undefined;
      }}
    >
      {now &&
        items.map(({ title, does, isDanger }) => (
          <button
            key={title}
            type="button"
            role="menuitem"
            tabIndex={-1}
            class={isDanger ? "quiet danger" : "quiet"}
            onClick={() => {
              close();
              does(now.path);
            }}
          >
            {title}
          </button>
        ))}
    </div>
  );
}
