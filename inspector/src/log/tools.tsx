/** What is shown of the log, and how. */
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { isEmpty } from "./filter.ts";
import type { OpenStream } from "./open.ts";
import { go, route, type Route } from "../route.ts";
import { view, type View } from "./view.ts";

/** Filters are asked for when somebody stops typing. */
const TYPING_MS = 250;

export function Tools({ stream }: { stream: OpenStream }): JSX.Element {
  const { types, text, only } = route.value;
  const { newestFirst, grouped, absoluteTime } = view.value;
  const set = (change: Partial<View>): void => void (view.value = { ...view.value, ...change });
  return (
    <div class="tools" role="search" aria-label="Filter the events">
      <Typed id="filter-text" label="Text" placeholder="Search  /" value={text} name="text" />
      <Typed id="filter-types" label="Types" placeholder="agent.*, message" value={types} name="types" />
      <label class="unseen" for="filter-only">
        Outcome
      </label>
      <select
        id="filter-only"
        value={only ?? ""}
        onChange={({ currentTarget }) => go({ only: (currentTarget.value || undefined) as Route["only"] })}
      >
        <option value="">all</option>
        <option value="failed">failed</option>
        <option value="verified">verified</option>
        <option value="unverified">not verified</option>
      </select>
      {!isEmpty({ types, text, only }) && (
        <button type="button" class="quiet" onClick={() => go({ types: undefined, text: undefined, only: undefined })}>
          Clear
        </button>
      )}
      <span class="spring" />
      <Toggle is={newestFirst} set={(is) => set({ newestFirst: is })} title="Newest first (o)">
        Newest first
      </Toggle>
      <Toggle is={grouped} set={(is) => set({ grouped: is })} title="Fold runs of the same type (r)">
        Fold runs
      </Toggle>
      <Toggle is={absoluteTime} set={(is) => set({ absoluteTime: is })} title="Clock time, or how long ago (t)">
        Clock
      </Toggle>
      <Toggle
        is={stream.follows.value}
        set={(is) => (is ? void stream.show() : (stream.follows.value = false))}
        title="Stay at the newest event (G)"
      >
        Follow
      </Toggle>
    </div>
  );
}

function Toggle(props: { is: boolean; set(is: boolean): void; title: string; children: string }): JSX.Element {
  return (
    <button
      type="button"
      class="toggle"
      aria-pressed={props.is}
      title={props.title}
      onClick={() => props.set(!props.is)}
    >
      {props.children}
    </button>
  );
}

function Typed(props: {
  id: string;
  label: string;
  placeholder: string;
  value: string | undefined;
  name: "text" | "types";
}): JSX.Element {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <>
      <label class="unseen" for={props.id}>
        {props.label}
      </label>
      <input
        id={props.id}
        type="search"
        autocomplete="off"
        spellcheck={false}
        placeholder={props.placeholder}
        value={props.value ?? ""}
        onInput={({ currentTarget: { value } }) => {
          clearTimeout(timer.current);
          timer.current = setTimeout(() => go({ [props.name]: value || undefined }, { replace: true }), TYPING_MS);
        }}
        onKeyDown={(key) => {
          if (key.key !== "Escape") return;
          key.currentTarget.blur();
          document.getElementById("events")?.focus();
        }}
      />
    </>
  );
}
