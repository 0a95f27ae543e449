/** The panel at the side: an event, why it happened, or what the stream is made of. */
import type { JSX } from "preact";
import { Agents } from "./time/agents.tsx";
import { EventPanel } from "./event/panel.tsx";
import { Guard } from "./ui/guard.tsx";
import { Hooks } from "./hands/hooks.tsx";
import type { OpenStream } from "./log/open.ts";
import { go, offset, panel, type Panel as Name } from "./route.ts";
import { Schedules } from "./hands/schedules.tsx";
import { StatePanel } from "./time/state.tsx";
import { Subscriptions } from "./hands/subscriptions.tsx";
import { Why } from "./why/why.tsx";

const tabs: readonly {
  name: Name;
  title: string;
  needsEvent?: boolean;
  show(stream: OpenStream): JSX.Element | null;
}[] = [
  { name: "event", title: "Event", needsEvent: true, show: (stream) => <EventPanel stream={stream} /> },
  { name: "why", title: "Why", needsEvent: true, show: (stream) => <Why stream={stream} /> },
  { name: "state", title: "State", show: (stream) => <StatePanel stream={stream} /> },
  { name: "agents", title: "Agents", show: (stream) => <Agents stream={stream} /> },
  { name: "subscriptions", title: "Subscriptions", show: (stream) => <Subscriptions stream={stream} /> },
  { name: "schedules", title: "Schedules", show: (stream) => <Schedules stream={stream} /> },
  { name: "hooks", title: "Hooks", show: (stream) => <Hooks stream={stream} /> },
];

export function Panel({ stream }: { stream: OpenStream }): JSX.Element {
  const hasEvent = offset.value !== undefined;
  const wanted = panel.value ?? "event";
  const shown = tabs.filter(({ needsEvent }) => !needsEvent || hasEvent);
  const chosen = shown.find(({ name }) => name === wanted) ?? shown[0];
  const turn = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = shown.findIndex((tab) => tab === chosen);
    const next = step === undefined ? undefined : shown[(at + step + shown.length) % shown.length];
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    go({ panel: next.name }, { replace: true });
    document.getElementById(`tab-${next.name}`)?.focus();
  };
  return (
    <aside class="panel" aria-label="Details">
      <div class="panel-head">
        <div class="tabs" role="tablist" aria-label="What is shown" onKeyDown={turn}>
          {shown.map(({ name, title }) => (
            <button
              key={name}
              id={`tab-${name}`}
              type="button"
              role="tab"
              aria-selected={name === chosen?.name}
              aria-controls="panel-body"
              tabIndex={name === chosen?.name ? 0 : -1}
              onClick={() => go({ panel: name }, { replace: true })}
            >
              {title}
            </button>
          ))}
        </div>
        <button
          type="button"
          class="quiet close"
          aria-label="Close the panel"
          onClick={() => go({ offset: undefined, panel: undefined })}
        >
          ✕
        </button>
      </div>
      <div class="panel-body" id="panel-body" role="tabpanel" aria-labelledby={`tab-${chosen?.name}`} tabIndex={0}>
        <Guard of={`${chosen?.name} ${offset.value}`} otherwise={() => <p class="error">This cannot be shown.</p>}>
          {chosen?.show(stream)}
        </Guard>
      </div>
    </aside>
  );
}
