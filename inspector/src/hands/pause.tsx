/** Pausing and resuming, and what waits for a person: why the stream is paused, what is parked, what is to be approved. */
import "./hands.css";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { StoredEvent } from "tailrace";
import { pageOf } from "../api/path.ts";
import type { OpenStream } from "../log/open.ts";
import { act } from "./act.ts";
import { Approvals } from "./approvals.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { useEvery, useNow } from "../ui/now.ts";
import { ago, clock } from "../ui/time.tsx";

/** As `/api/state` has it. */
interface Paused {
  readonly reason: string | null;
  readonly since: string;
  readonly offset: number;
  readonly breaker?: { readonly limit: number; readonly windowMs: number; readonly observed: number };
}

/** What is parked changes without an event. */
const REFRESH_MS = 3_000;

export const pausedOf = (stream: OpenStream): Paused | null => (stream.state.value?.paused ?? null) as Paused | null;

export function Pause({ stream }: { stream: OpenStream }): JSX.Element {
  const paused = pausedOf(stream);
  return (
    <>
      {paused && <Banner stream={stream} paused={paused} />}
      {!paused && <Parked stream={stream} />}
      <Approvals stream={stream} />
    </>
  );
}

function Banner({ stream, paused }: { stream: OpenStream; paused: Paused }): JSX.Element {
  const event = useEventAt(stream, paused.offset);
  const now = useNow();
  useEvery(REFRESH_MS, () => stream.refreshState(), [stream]);
  const { breaker } = paused;
  const goOn = Object.values(stream.state.value?.subscriptions ?? {}).filter(({ whilePaused }) => whilePaused);
  const children = hasChildren(event);
  return (
    <section class="paused" aria-label="The stream is paused">
      <div class="paused-said">
        <p class="paused-why" role="status">
          {breaker ? (
            <>
              <strong>Paused by the breaker:</strong> {breaker.observed.toLocaleString("en")} events in{" "}
              {breaker.windowMs} ms, limit {breaker.limit.toLocaleString("en")}
            </>
          ) : (
            <>
              <strong>Paused</strong>
              {paused.reason ? `: ${paused.reason}` : ", no reason was given"}
            </>
          )}
        </p>
        <p class="dim">
          <time dateTime={paused.since} title={paused.since}>
            {ago(now - Date.parse(paused.since))}, at {clock(new Date(paused.since))}
          </time>
          {byWords(event, breaker !== undefined)} ·{" "}
          <a href={pageOf(stream.path, paused.offset)}>event {paused.offset}</a>
          <Inherited event={event} />
        </p>
        <p class="dim">
          Appends are refused and nothing is delivered or run
          {goOn.length > 0 && `, but for ${goOn.map(({ slug }) => slug).join(", ")}`}; schedules wait. Reading and
          configuring go on, and hooks are parked.
        </p>
        <ParkedWords stream={stream} />
      </div>
      <div class="paused-acts">
        <button type="button" class="primary" onClick={() => void resume(stream)}>
          Resume
        </button>
        {children && (
          <button type="button" onClick={() => void resume(stream, true)}>
            Resume with all below
          </button>
        )}
      </div>
    </section>
  );
}

/** Takes events again: this stream, or with all below it. */
export const resume = (stream: OpenStream, children = false): Promise<StoredEvent | undefined> =>
  act(stream.path, { type: "stream.resumed", payload: children ? { children } : {} });

export function PauseButton({ stream }: { stream: OpenStream }): JSX.Element | null {
  const [reason, setReason] = useState("");
  const [children, setChildren] = useState(false);
  if (!stream.state.value) return null;
  if (pausedOf(stream)) {
    return (
      <button type="button" onClick={() => void resume(stream)}>
        Resume
      </button>
    );
  }
  const pause = async (): Promise<boolean> => {
    const payload = { ...(reason.trim() ? { reason: reason.trim() } : {}), ...(children ? { children } : {}) };
    return (await act(stream.path, { type: "stream.paused", payload })) !== undefined;
  };
  return (
    <Confirm
      button="Pause"
      title={`Pause ${stream.path}`}
      act={pause}
      opened={() => {
        setReason("");
        setChildren(false);
      }}
    >
      <p>It takes no more events, and delivers and runs nothing, until somebody resumes it. Nothing is lost.</p>
      <label>
        Reason (optional)
        <input value={reason} autocomplete="off" onInput={({ currentTarget }) => setReason(currentTarget.value)} />
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={children}
          onChange={({ currentTarget }) => setChildren(currentTarget.checked)}
        />
        All streams below as well
      </label>
    </Confirm>
  );
}

/** Hooks wait for the breaker's pace also while the stream is not paused. */
function Parked({ stream }: { stream: OpenStream }): JSX.Element | null {
  if (parkedOf(stream).count === 0) return null;
  return <LettingIn stream={stream} />;
}

function LettingIn({ stream }: { stream: OpenStream }): JSX.Element {
  useEvery(REFRESH_MS, () => stream.refreshState(), [stream]);
  return (
    <section class="paused" aria-label="Hooks are parked">
      <ParkedWords stream={stream} />
    </section>
  );
}

function ParkedWords({ stream }: { stream: OpenStream }): JSX.Element | null {
  const { count, bytes } = parkedOf(stream);
  if (count === 0) return null;
  const size = bytes < 1_024 ? `${bytes} bytes` : `${Math.round(bytes / 1_024).toLocaleString("en")} KiB`;
  return (
    <p>
      <strong>
        {count.toLocaleString("en")} {count === 1 ? "hook is" : "hooks are"} parked
      </strong>{" "}
      ({size}): {pausedOf(stream) ? "let in when the stream is resumed" : "let in now"}, in order, at the breaker's
      pace.
    </p>
  );
}

function parkedOf(stream: OpenStream): { count: number; bytes: number } {
  const parked = stream.state.value?.["parked"] as { count: number; bytes: number } | undefined;
  return parked ?? { count: 0, bytes: 0 };
}

/** The event at an offset, as soon as it is there. */
function useEventAt(stream: OpenStream, offset: number): StoredEvent | undefined {
  const [event, set] = useState<StoredEvent | undefined>(undefined);
  useEffect(() => {
    const stop = new AbortController();
    set(undefined);
    // Who paused it is good to know; without that the reason still stands there.
    stream.event(offset, stop.signal).then(set, () => {});
    return () => stop.abort();
  }, [stream, offset]);
  return event;
}

function byWords(event: StoredEvent | undefined, isBreaker: boolean): string {
  const { by } = systemPart(event);
  if (isBreaker || typeof by !== "string") return "";
  return by === "inherited" ? "" : `, by ${by}`;
}

/** A pause that came from above. */
function Inherited({ event }: { event: StoredEvent | undefined }): JSX.Element | null {
  const { from } = systemPart(event);
  if (typeof from !== "string" || !from.startsWith("/")) return null;
  return (
    <>
      {" "}
      · from <a href={pageOf(from)}>{from}</a>
    </>
  );
}

const systemPart = (event: StoredEvent | undefined): { by?: unknown; from?: unknown } =>
  event?.metadata?.["tailrace"] ?? {};

const hasChildren = (event: StoredEvent | undefined): boolean =>
  (event?.payload as { children?: unknown } | undefined)?.children === true;
