/** The tree itself: rows that exist only while they are seen, loaded level by level as they are unfolded. */
import type { ItemInstance } from "@headless-tree/core";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { tailrace, wordsOf } from "../api/connection.ts";
import { parentOf } from "../api/path.ts";
import { go, path } from "../route.ts";
import { useVirtualizer } from "../ui/virtual.ts";
import { useTree } from "./binding.ts";
import { toDelete } from "./delete.tsx";
import type { Known } from "./known.ts";
import { typedAhead } from "./match.ts";
import { openMenu } from "./menu.tsx";
import { Line, nameOf, Node } from "./node.tsx";
import { isDrawer, isTreeOpen } from "./shown.ts";
import { isShut, version } from "./streams.ts";

/** Heights in pixels, as `tree.css` has them. */
const HEIGHT = 30;
const HEIGHT_TOUCHED = 40;
/** Letters that come later than this begin a new word. */
const TYPING_MS = 700;
/** What is seen is asked anew so often at most; the more is unfolded, the more seldom, within bounds. */
const FRESH_MS = 8_000;
const FRESH_MS_A_ROW = 40;
const SELDOM_MS = 30_000;
/** How a stream stands is asked for where one rests so long. */
const REST_MS = 150;
/** So many streams are asked each time whether they have any below. */
const PROBES = 4;

// Rows that are no streams are told apart by how their ids begin: a path begins with a slash.
const MORE = "more:";
const NOTE = "note:";
const isStream = (id: string): boolean => id.startsWith("/");

export function Branches({
  known,
  isHidden,
  choose,
}: {
  known: Known;
  isHidden: boolean;
  choose: () => void;
}): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const height = isDrawer.value ? HEIGHT_TOUCHED : HEIGHT;
  const wantsFocus = useRef(false);
  const { tree, unfold } = useTree({
    change: version.value,
    top: [known.root],
    unfolded: [known.root],
    below: (id) => belowOf(known, id),
    // A stream that is not born yet has none below, and is not asked.
    isFolder: (id) => isStream(id) && (known.hasBelow(id) ?? known.stream(id) !== undefined),
    focus: () => {
      wantsFocus.current = true;
      const { index } = tree.getFocusedItem().getItemMeta();
      if (index >= 0) virtual.scrollToIndex(index);
    },
  });
  const items = tree.getItems();
  // Asked of each of thousands of rows this would take longer than a frame.
  const focused = items.length === 0 ? -1 : tree.getFocusedItem().getItemMeta().index;
  const virtual = useVirtualizer({ count: items.length, height, box, kept: focused });
  const seen = virtual.getVirtualItems().flatMap(({ index }) => items[index] ?? []);

  // The row that the keys were on is gone: they go on from the one in its place.
  const last = useRef(0);
  const isFocusInside = box.current?.contains(document.activeElement) === true;
  useLayoutEffect(() => {
    if (focused >= 0) last.current = focused;
    else if (items.length > 0) {
      wantsFocus.current ||= isFocusInside;
      items[Math.min(last.current, items.length - 1)]?.setFocused();
    }
  });

  useLayoutEffect(() => {
    const element = wantsFocus.current ? items[focused]?.getElement() : undefined;
    if (!element) return;
    wantsFocus.current = false;
    element.focus({ preventScroll: true });
  });

  // Levels are loaded when they are unfolded.
  useEffect(() => {
    for (const id of tree.getState().expandedItems) {
      const { after, isLoading, trouble } = known.level(id);
      const isKnown = id === known.root || known.hasBelow(id) === true || known.stream(id) !== undefined;
      const isThere = isKnown && tree.getItemInstance(id).getItemMeta().index >= 0;
      if (isThere && after === undefined && !isLoading && !trouble && !isShut.value)
        void known.load(id).catch(() => {});
    }
  });

  useShown({ known, at: path.value, items, unfold, scrollTo: (index) => virtual.scrollToIndex(index) });
  useFresh(known, () => ({ seen, rows: items.length }));
  useDetails(known, seen);

  const act = (item: ItemInstance<string>): void => {
    const id = item.getId();
    if (isStream(id)) {
      go({ path: id });
      choose();
    } else if (id.startsWith(MORE)) void known.loadMore(id.slice(MORE.length)).catch(() => {});
    else if (id.startsWith(NOTE)) void known.load(id.slice(NOTE.length)).catch(() => {});
  };

  const typed = useRef({ letters: "", at: 0 });
  const press = (event: KeyboardEvent): void => {
    const item = items[focused];
    if (event.ctrlKey || event.metaKey || event.altKey || !item) return;
    // The buttons in a row are pressed by the browser.
    if ((event.target as Element).closest("button") && ["Enter", " "].includes(event.key)) return;
    const id = item.getId();
    if (event.key === "Enter" || (event.key === " " && typed.current.letters === "")) act(item);
    else if (event.key === "Delete" && isStream(id)) toDelete.value = id;
    else if ((event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey)) && isStream(id)) {
      openMenu(id, item.getElement()?.querySelector<HTMLElement>(".dots") ?? undefined);
    } else if (event.key.length === 1 && event.key !== " ") {
      const { letters, at } = typed.current;
      typed.current = { letters: (event.timeStamp - at < TYPING_MS ? letters : "") + event.key, at: event.timeStamp };
      const names = items.map((it) => (isStream(it.getId()) ? nameOf(it.getId()) : ""));
      const to = items[typedAhead(names, focused, typed.current.letters) ?? -1];
      to?.setFocused();
      if (to) tree.updateDomFocus();
      // Only these scroll when nobody takes them.
    } else if (!["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
  };

  const container = tree.getContainerProps("Streams") as { ref: (at: Element | null) => void };
  return (
    <div ref={box} class="branches" hidden={isHidden}>
      <div {...container} class="rows" style={{ height: `${items.length * height}px` }} onKeyDown={press}>
        {virtual.getVirtualItems().map(({ index, start }) => {
          const item = items[index];
          if (!item) return null;
          const id = item.getId();
          const place = { item, top: start, isFocused: index === focused, isExpanded: item.isExpanded() };
          if (isStream(id)) return <Node key={id} {...place} choose={choose} />;
          const { words, acts } = wordsOfLine(known, id);
          return <Line key={id} {...place} words={words} {...(acts ? { act: () => act(item) } : {})} />;
        })}
      </div>
    </div>
  );
}

function belowOf(known: Known, id: string): readonly string[] {
  if (!isStream(id)) return [];
  const { after, isLoading, trouble } = known.level(id);
  const streams = known.shown(id);
  if (typeof after === "string") return [...streams, MORE + id];
  const hasNote =
    trouble !== undefined || (after === undefined && isLoading) || (streams.length === 0 && id === known.root);
  return hasNote ? [...streams, NOTE + id] : streams;
}

function wordsOfLine(known: Known, id: string): { words: string; acts: boolean } {
  const level = known.level(id.slice(id.indexOf("/")));
  if (level.isLoading) return { words: "Loading …", acts: false };
  if (isShut.value) return { words: "A token is needed", acts: false };
  if (id.startsWith(MORE)) return { words: "More …", acts: true };
  if (level.trouble) return { words: `${wordsOf(level.trouble)} Try again`, acts: true };
  return { words: "No stream yet", acts: false };
}

/** Unfolds the stream that is open and what lies above it, and brings it into sight, once. */
function useShown(of: {
  known: Known;
  at: string | null | undefined;
  items: readonly ItemInstance<string>[];
  unfold: (ids: readonly string[]) => void;
  scrollTo: (index: number) => void;
}): void {
  const { known, at, items, unfold, scrollTo } = of;
  const sought = useRef<string>(undefined);
  useLayoutEffect(() => {
    if (typeof at !== "string") return;
    const above: string[] = [];
    for (let it: string | undefined = at; it !== undefined; it = parentOf(it)) above.unshift(it);
    unfold(above.filter((it) => it.length >= known.root.length));
    sought.current = at;
  }, [known, at]);
  useLayoutEffect(() => {
    if (sought.current === undefined) return;
    const index = items.findIndex((item) => item.getId() === sought.current);
    if (index < 0) return;
    items[index]?.setFocused();
    scrollTo(index);
    // What is still loading above it moves it once more.
    const parent = parentOf(sought.current);
    if (parent === undefined || known.level(parent).after !== undefined) sought.current = undefined;
  }, [items]);
}

/** Looks again at what is seen, as long as it is. */
function useFresh(known: Known, now: () => { seen: readonly ItemInstance<string>[]; rows: number }): void {
  const current = useRef(now);
  current.current = now;
  const isSeen = isTreeOpen.value || !isDrawer.value;
  useEffect(() => {
    if (!isSeen) return undefined;
    let timer: ReturnType<typeof setTimeout>;
    let isOver = false;
    const wait = (): void => {
      const { rows } = current.current();
      timer = setTimeout(() => void look(), Math.min(SELDOM_MS, Math.max(FRESH_MS, rows * FRESH_MS_A_ROW)));
    };
    const look = async (): Promise<void> => {
      if (!document.hidden && !isShut.value) await refresh(known, current.current().seen).catch(() => {});
      if (!isOver) wait();
    };
    // The survey says at once which of the first streams have others below.
    if (known.survey.seen === 0 && !isShut.value) {
      void known
        .surveyOn()
        .then(() => lookAtRoot(known))
        .catch(() => {});
    }
    wait();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [known, isSeen, isShut.value]);
}

/** Asks how those stand that are in sight, and were loaded without it: a page of a level at a time. */
function useDetails(known: Known, seen: readonly ItemInstance<string>[]): void {
  const asked = useRef(new Set<string>());
  // One after the other: what an answer brings need not be asked for.
  const [isAsking, setAsking] = useState(false);
  const bare = seen.map((item) => item.getId()).find((id) => known.isBare(id) && !asked.current.has(id));
  const next = isAsking ? undefined : bare;
  useEffect(() => {
    if (next === undefined || isShut.value) return undefined;
    const timer = setTimeout(() => {
      // It is asked for once: who does not say how it stands is not asked again and again.
      asked.current.add(next);
      setAsking(true);
      void known
        .loadAround(next)
        .catch(() => {})
        .finally(() => setAsking(false));
    }, REST_MS);
    return () => clearTimeout(timer);
  }, [known, next, isShut.value]);
}

/** The root stands on nobody's list. */
async function lookAtRoot(known: Known): Promise<void> {
  if (known.shown(known.root).length === 0) return;
  const now = await tailrace.value.stream(known.root).head();
  if (now) known.learn({ path: known.root, createdAt: "", head: now.head, paused: now.paused });
}

/** One page of each level that is in sight, one after the other; then a few that may have got streams below. */
async function refresh(known: Known, seen: readonly ItemInstance<string>[]): Promise<void> {
  await lookAtRoot(known);
  const first = new Map<string, string | undefined>();
  const streams = seen.map((item) => item.getId()).filter(isStream);
  for (const id of streams) {
    const parent = id === known.root ? undefined : parentOf(id);
    if (parent !== undefined && !first.has(parent)) first.set(parent, id);
  }
  for (const item of seen) {
    if (isStream(item.getId()) && item.isExpanded() && !first.has(item.getId())) first.set(item.getId(), undefined);
  }
  for (const [parent, child] of first) {
    if (known.level(parent).after === undefined) continue;
    await (child === undefined ? known.load(parent) : known.loadAround(child));
  }
  for (const id of streams.filter((it) => known.isDoubtful(it)).slice(0, PROBES)) await known.probe(id);
}
