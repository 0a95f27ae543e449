/** Which stream this is, and how it stands. */
import type { JSX } from "preact";
import { pageOf } from "../api/path.ts";
import { Copy } from "../ui/copy.tsx";
import { go, panel, type Panel } from "../route.ts";
import { MenuButton } from "../tree/menu-button.tsx";
import { PauseButton } from "../hands/pause.tsx";
import type { OpenStream, Status } from "./open.ts";

const words: Record<Status, string> = {
  loading: "loading",
  live: "live",
  trouble: "connection lost, trying again",
  waiting: "waiting for the first event",
  refused: "refused",
};

const panels: readonly { name: Panel; title: string }[] = [
  { name: "state", title: "State" },
  { name: "agents", title: "Agents" },
  { name: "subscriptions", title: "Subscriptions" },
  { name: "schedules", title: "Schedules" },
  { name: "hooks", title: "Hooks" },
];

export function Top({ stream }: { stream: OpenStream }): JSX.Element {
  const status = stream.status.value;
  const head = stream.head.value;
  return (
    <header class="top">
      <div class="top-row">
        <MenuButton />
        <h1 class="path" ref={toItsEnd}>
          <Steps path={stream.path} />
        </h1>
        <Copy text={`${location.origin}/api/streams${stream.path}`} label="Copy URL of the stream">
          Copy URL
        </Copy>
        <span class="spring" />
        <span class="status" data-status={status}>
          {words[status]}
          {status === "live" && <span class="count"> · {head.toLocaleString("en")} events</span>}
        </span>
        {/* The number changes too often to be read out. */}
        <span class="unseen" role="status">
          {words[status]}
        </span>
        <PauseButton stream={stream} />
      </div>
      <nav class="parts" aria-label="What the stream is made of">
        {panels.map(({ name, title }) => (
          <button
            key={name}
            type="button"
            class="quiet"
            aria-pressed={panel.value === name}
            onClick={() => go({ panel: panel.value === name ? undefined : name, offset: undefined })}
          >
            {title}
            <Count of={countOf(stream, name)} />
          </button>
        ))}
      </nav>
      {status === "refused" && (
        <p class="error" role="alert">
          {stream.trouble.value?.message}
        </p>
      )}
    </header>
  );
}

/** What one wants of a path that is too long is its end. */
const toItsEnd = (path: HTMLElement | null): void => path?.scrollTo({ left: path.scrollWidth });

/** The path, each step a link to the stream there. */
function Steps({ path }: { path: string }): JSX.Element {
  const segments = path.split("/").filter(Boolean);
  return (
    <>
      <a href={pageOf("/")} aria-label="The root stream">
        /
      </a>
      {segments.map((segment, index) => {
        const here = `/${segments.slice(0, index + 1).join("/")}`;
        return (
          <span key={here}>
            {index > 0 && "/"}
            <a href={pageOf(here)} aria-current={here === path ? "page" : undefined}>
              {segment}
            </a>
          </span>
        );
      })}
    </>
  );
}

function countOf({ state }: OpenStream, name: Panel): number {
  const now = state.value;
  if (!now) return 0;
  const targets = Object.values(now.subscriptions).map(({ target }) => target);
  const agents = targets.filter((target) => "agent" in target).length;
  if (name === "agents") return agents;
  if (name === "subscriptions") return targets.length;
  if (name === "schedules") return Object.keys(now.schedules).length;
  return name === "hooks" ? Object.keys(now.hooks).length : 0;
}

const Count = ({ of }: { of: number }): JSX.Element | null => (of > 0 ? <span class="badge">{of}</span> : null);
