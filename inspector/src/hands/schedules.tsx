/** What the stream is to be told later: each schedule, when it fires next, and how it is taken back. */
import "./hands.css";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { wordsOf } from "../api/connection.ts";
import { pageOf } from "../api/path.ts";
import { rhythm } from "../event/words.ts";
import type { OpenStream } from "../log/open.ts";
import { act } from "./act.ts";
import { Begin } from "./begin.tsx";
import { edit } from "./edit.ts";
import { pausedOf } from "./pause.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { Fold, Json } from "../ui/fold.tsx";
import { useNow } from "../ui/now.ts";
import { clock, span } from "../ui/time.tsx";

/** As `/api/state` has it. */
interface Schedule {
  readonly slug: string;
  readonly at?: string;
  readonly after?: number;
  readonly every?: number;
  readonly cron?: string;
  readonly timezone?: string;
  readonly maxRuns?: number;
  readonly until?: string;
  readonly event: { readonly type: string };
  readonly children?: true;
  /** The event that configured it. */
  readonly offset: number;
  readonly nextRun?: string;
  /** The same, and those that come then. */
  readonly nextRuns?: readonly string[];
  readonly runs?: number;
}

const variants = [
  ["every", "schedule.configured (every)"],
  ["cron", "schedule.configured (cron)"],
  ["at", "schedule.configured (at)"],
  ["after", "schedule.configured (after)"],
] as const;

export function Schedules({ stream }: { stream: OpenStream }): JSX.Element {
  const schedules = Object.values(stream.state.value?.schedules ?? {}) as unknown as Schedule[];
  const now = useNow();
  // A run is no control event, and moves the next one all the same.
  useEffect(() => {
    return stream.onEvent(({ metadata }) => {
      const of = metadata?.["tailrace"] as { schedule?: unknown } | undefined;
      if (of?.schedule) stream.refreshState();
    });
  }, [stream]);
  const sorted = schedules.toSorted((one, other) => nextOf(one) - nextOf(other));
  return (
    <>
      <Begin stream={stream} title="Schedule" variants={variants}>
        {schedules.length === 0 &&
          "A schedule appends an event later: once, every so often, or by the clock on the wall."}
      </Begin>
      {pausedOf(stream) && schedules.length > 0 && (
        <p class="dim">The stream is paused: what falls due waits, and is made up for by one event.</p>
      )}
      <ul class="cards">
        {sorted.map((schedule) => (
          <li key={schedule.slug} class="card">
            <Card stream={stream} schedule={schedule} now={now} />
          </li>
        ))}
      </ul>
    </>
  );
}

/** When it fires next; the end of time when it does not. */
function nextOf({ nextRun, at }: Schedule): number {
  const next = Date.parse(nextRun ?? at ?? "");
  return Number.isNaN(next) ? Infinity : next;
}

function Card({ stream, schedule, now }: { stream: OpenStream; schedule: Schedule; now: number }): JSX.Element {
  const { slug, cron, offset, runs, event } = schedule;
  const next = nextOf(schedule);
  const further = schedule.nextRuns?.slice(1) ?? [];
  return (
    <>
      <div class="card-head">
        <h2>{slug}</h2>
        <span>{rhythm({ ...schedule })}</span>
        {cron !== undefined && <code>{cron}</code>}
      </div>
      <dl class="facts">
        <dt>Next run</dt>
        <dd>
          {next === Infinity ? (
            "none"
          ) : (
            <time dateTime={new Date(next).toISOString()} title={new Date(next).toISOString()}>
              {next <= now ? "now" : `in ${countdown(next - now)}`}, {clock(new Date(next)).replace(/\.\d{3}$/, "")}
            </time>
          )}
          {further.length > 0 && (
            <span class="dim">
              , then {further.map((at) => clock(new Date(at)).replace(/\.\d{3}$/, "")).join(", ")}
            </span>
          )}
        </dd>
        <dt>Runs</dt>
        <dd>{(runs ?? 0).toLocaleString("en")}</dd>
        <dt>Appends</dt>
        <dd>
          <code>{event.type}</code>
        </dd>
      </dl>
      <Fold title="The event inside">{() => <Inside stream={stream} offset={offset} />}</Fold>
      <div class="card-acts">
        <button type="button" aria-label={`Edit ${slug}`} onClick={() => void edit(stream, offset)}>
          Edit
        </button>
        <Confirm
          button="Remove"
          label={`Remove ${slug}`}
          title={`Remove the schedule ${slug}`}
          isDanger
          act={async () => (await act(stream.path, { type: "schedule.removed", payload: { slug } })) !== undefined}
        >
          <p>It fires no more. What it has appended stays.</p>
        </Confirm>
        <span class="spring" />
        <a href={pageOf(stream.path, offset)}>event {offset}</a>
      </div>
    </>
  );
}

/** `1 h 12 min` while that is long, `14 s` at the end. */
function countdown(ms: number): string {
  if (ms < 1_000) return "1 s";
  const minutes = Math.floor(ms / 60_000);
  if (ms < 3_600_000)
    return minutes === 0 ? `${Math.floor(ms / 1_000)} s` : `${minutes} min ${Math.floor(ms / 1_000) % 60} s`;
  return ms < 86_400_000 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : span(ms);
}

/** What a schedule appends: all of it stands in the event that configured it. */
function Inside({ stream, offset }: { stream: OpenStream; offset: number }): JSX.Element {
  const [found, set] = useState<{ event?: unknown; words?: string } | undefined>(undefined);
  useEffect(() => {
    const stop = new AbortController();
    stream.event(offset, stop.signal).then(
      (event) => set({ event: (event?.payload as { event?: unknown } | undefined)?.event }),
      (error: unknown) => set({ words: wordsOf(error) }),
    );
    return () => stop.abort();
  }, [stream, offset]);
  if (!found) return <p class="dim">Loading …</p>;
  return found.words === undefined ? <Json value={found.event} /> : <p class="error">{found.words}</p>;
}
