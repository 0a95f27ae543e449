/** A stream in the tree, as one line. */
import type { ItemInstance } from "@headless-tree/core";
import type { JSX } from "preact";
import { pageOf } from "../api/path.ts";
import { open } from "../log/open.ts";
import { leaving } from "./leaving.ts";
import { openMenu } from "./menu.tsx";
import { short, Since } from "./since.tsx";
import { current, heard } from "./streams.ts";

/** Pixels by which each level is set in, and the level from which on there is no more place for that. */
const STEP = 13;
const DEEPEST = 9;

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** The last part of a path; the root is called by its slash. */
export const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1) || "/";

interface Standing {
  readonly head: number | undefined;
  readonly lastEventAt: string | undefined;
  readonly isPaused: boolean;
}

/** How a stream stands: what the open one hears is newer than what was loaded. */
function standingOf(path: string): Standing {
  const loaded = current().stream(path);
  const stream = open.value?.path === path ? open.value : undefined;
  const last = heard.value?.path === path ? heard.value.at : undefined;
  const before = loaded?.lastEventAt;
  return {
    head: stream ? Math.max(stream.head.value, loaded?.head ?? 0) : loaded?.head,
    lastEventAt: last !== undefined && last > (before ?? "") ? last : before,
    isPaused: stream?.state.value ? stream.state.value.paused !== null : loaded?.paused === true,
  };
}

const eventsOf = (head: number): string => `${head.toLocaleString("en")} ${head === 1 ? "event" : "events"}`;

/**
 * What Headless Tree says of a row, without its name, which is what stands in it, and without its click, which would fold:
 * here a click opens the stream, and the mark at the left folds.
 */
function propsOf(item: ItemInstance<string>): { ref: (at: Element | null) => void; aria: Record<string, unknown> } {
  const { ref, onClick: _click, "aria-label": _name, ...aria } = item.getProps();
  return { ref: ref as (at: Element | null) => void, aria };
}

/** Where a row stands. It is drawn anew when this changes: the tree's items themselves stay the same ones. */
export interface Place {
  readonly item: ItemInstance<string>;
  readonly top: number;
  readonly isFocused: boolean;
  readonly isExpanded: boolean;
}

export function Node(props: Place & { choose: () => void }): JSX.Element {
  const { item, top, isFocused, isExpanded, choose } = props;
  const path = item.getId();
  const { level } = item.getItemMeta();
  const isOpen = open.value?.path === path;
  const isLeaving = leaving.value.has(path);
  const isUnborn = isOpen && open.value?.head.value === 0 && open.value.status.value === "waiting";
  const isCertain = current().hasBelow(path) === true;
  const { head, lastEventAt, isPaused } = standingOf(path);
  const said = isLeaving ? "is being deleted" : isUnborn ? "no event yet" : undefined;
  const below = current().countBelow(path);
  const { ref, aria } = propsOf(item);
  const last = lastEventAt === undefined ? undefined : short(Date.now() - Date.parse(lastEventAt));
  return (
    <div
      {...aria}
      ref={ref}
      class="branch"
      aria-selected={isOpen}
      aria-current={isOpen ? "page" : undefined}
      data-path={path}
      data-open={isOpen}
      data-unborn={isUnborn || isLeaving}
      title={below ? `${path} (${below.toLocaleString("en")} right below)` : path}
      // The keys go on from where the focus was put, by whatever.
      onFocusIn={() => isFocused || item.setFocused()}
      style={{ transform: `translateY(${top}px)`, paddingLeft: `${4 + Math.min(level, DEEPEST) * STEP}px` }}
    >
      <span
        class="fold"
        aria-hidden="true"
        data-certain={isCertain}
        onClick={() => {
          item.setFocused();
          if (isExpanded) item.collapse();
          else item.expand();
        }}
      >
        {item.isFolder() && (isExpanded ? "▾" : "▸")}
      </span>
      <a
        class="name"
        href={pageOf(path)}
        tabIndex={-1}
        onClick={() => {
          item.setFocused();
          choose();
        }}
      >
        {nameOf(path)}
      </a>
      {/* What is short for the eye is said in words to who listens. */}
      {said && (
        <span class="dim">
          <span class="unseen">, </span>
          {said}
        </span>
      )}
      <span class="count" title={head ? eventsOf(head) : undefined}>
        <span aria-hidden="true">{head ? compact.format(head) : ""}</span>
        {head ? <span class="unseen">, {eventsOf(head)}</span> : null}
      </span>
      <span class="last">
        <span aria-hidden="true">
          <Since at={lastEventAt} />
        </span>
        {last !== undefined && <span class="unseen">, last {last === "now" ? "just now" : `${last} ago`}</span>}
      </span>
      {isPaused && (
        <span class="held" title="paused">
          <span class="unseen">, paused</span>
        </span>
      )}
      <button
        type="button"
        class="quiet dots"
        tabIndex={isFocused ? 0 : -1}
        aria-label={`Menu of ${nameOf(path)}`}
        aria-haspopup="menu"
        onClick={({ currentTarget }) => {
          item.setFocused();
          openMenu(path, currentTarget);
        }}
      >
        ⋯
      </button>
    </div>
  );
}

/** A line that is no stream: that more can be loaded, or why there is nothing. */
export function Line(props: Place & { words: string; act?: () => void }): JSX.Element {
  const { item, top, isFocused, words, act } = props;
  const { ref, aria } = propsOf(item);
  const { level } = item.getItemMeta();
  return (
    <div
      {...aria}
      ref={ref}
      class="branch line"
      data-acts={act !== undefined}
      title={words}
      onFocusIn={() => isFocused || item.setFocused()}
      style={{ transform: `translateY(${top}px)`, paddingLeft: `${22 + Math.min(level, DEEPEST) * STEP}px` }}
      onClick={() => {
        item.setFocused();
        act?.();
      }}
    >
      {words}
    </div>
  );
}
