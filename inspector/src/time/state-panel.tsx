/** Time travel: the control state of the stream as it was after any event, and what that event changed. */
import "./values.css";
import "./state.css";
import type { Difference } from "microdiff";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { TailraceError, type StoredEvent } from "tailrace";
import { heed, lastOf, page, wordsOf } from "../api/connection.ts";
import { Json } from "../event/parts.tsx";
import { summary } from "../event/summary.ts";
import type { OpenStream } from "../log/open.ts";
import { go, offset } from "../route.ts";
import { Copy } from "../ui/copy.tsx";
import { Fold } from "../ui/fold.tsx";
import { Time } from "../ui/time.tsx";
import { useCalm } from "./calm.ts";
import { Changes } from "./changed.tsx";
import { changesOf, marksOf, type Change, type Fields } from "./changes.ts";
import { Controls, type Read } from "./controls.ts";
import { StateTree } from "./fields.tsx";
import { useLife } from "./life.ts";
import { Slider } from "./slider.tsx";
import { States, type StateAt } from "./states.ts";

type Diff = (from: Record<string, unknown>, to: Record<string, unknown>) => Difference[];

/** A hand on the slider passes many; only where it rests is asked for. */
const REST_MS = 120;
/** So many control events are seen at each side. */
const SEEN = 4;

interface Seen {
  readonly at: number;
  readonly state: StateAt;
  readonly changes: readonly Change[];
  readonly event: StoredEvent | undefined;
}

export function StatePanel({ stream }: { stream: OpenStream }): JSX.Element | null {
  const head = useCalm(stream.head.value);
  // `undefined`: now, whatever comes.
  const [chosen, choose] = useState<number | undefined>(offset.value);
  useEffect(() => choose(offset.value), [stream, offset.value]);
  const at = chosen === undefined ? head : Math.min(chosen, Math.max(head, 1));

  const life = useLife(stream);
  const states = useMemo(() => new States(stream.path), [life]);
  const { diff, isFailed } = useDiff();
  const { seen, trouble } = useSeen(stream, states, at, diff);
  const { controls, changes } = useControls(stream, life, at, head);
  const brief = useBrief(states, controls.near(at, SEEN), changes, diff);

  if (head === 0) {
    const words = {
      loading: "Loading …",
      waiting: `Nothing was written at ${stream.path} yet, so it has no state.`,
    }[stream.status.value as string];
    return <p class="dim">{words}</p>;
  }
  const marks = marksOf(seen?.changes ?? []);
  return (
    <div class="travel">
      <Slider at={at} head={head} isNow={chosen === undefined} controls={controls} choose={choose} />
      {(trouble ?? isFailed) && (
        <p class="error" role="alert">
          {trouble ? wordsOf(trouble) : "A part of the page could not be loaded. Open it again."}
        </p>
      )}
      {seen && (
        <>
          <Event seen={seen} stream={stream} />
          <section aria-label={`What changed at event ${seen.at}`}>
            <h2>What changed at event {seen.at.toLocaleString("en")}</h2>
            <Changes changes={seen.changes} />
          </section>
        </>
      )}
      <section aria-label="Control events">
        <h2>Control events around</h2>
        <Nearby events={controls.near(at, SEEN)} at={at} brief={brief} choose={choose} />
      </section>
      {seen && (
        <section aria-label={`The state after event ${seen.at}`} aria-busy={seen.at !== at}>
          <h2>The state after event {seen.at.toLocaleString("en")}</h2>
          <StateTree fields={seen.state.fields} marks={marks} />
          <Fold title="As JSON">
            {() => (
              <>
                <Copy text={seen.state.text} label="Copy the state as JSON">
                  Copy
                </Copy>
                <Json text={seen.state.text} most={20_000} label={`The state after event ${seen.at}`} />
              </>
            )}
          </Fold>
        </section>
      )}
    </div>
  );
}

function Event({ seen: { at, event }, stream }: { seen: Seen; stream: OpenStream }): JSX.Element | null {
  if (!event) return null;
  const show = (): void => {
    go({ offset: at });
    void stream.show(at);
  };
  return (
    <p class="travel-event">
      <span class="travel-type">{event.type}</span> <Time at={event.createdAt} />{" "}
      <span class="dim">{event.payload === undefined ? "" : summary(event)}</span>{" "}
      <button type="button" class="quiet" onClick={show}>
        Show in the log
      </button>
    </p>
  );
}

function Nearby(props: {
  events: readonly StoredEvent[];
  at: number;
  brief: ReadonlyMap<number, readonly Change[]>;
  choose: (at: number) => void;
}): JSX.Element {
  const { events, at, brief, choose } = props;
  if (events.length === 0) return <p class="dim">None is known here yet.</p>;
  // Between two of them one may be where nothing changed.
  const last = events.findLast(({ offset: here }) => here <= at);
  return (
    <ol class="travel-near" role="list">
      {events.map((event) => (
        <li key={event.offset} data-behind={event.offset > at}>
          <button
            type="button"
            aria-current={event.offset === at ? "true" : event === last ? "step" : undefined}
            onClick={() => choose(event.offset)}
          >
            <span class="travel-line">
              <span class="dim">{event.offset}</span> <span class="travel-type">{event.type}</span>{" "}
              <span class="dim travel-words">{event.payload === undefined ? "" : summary(event)}</span>
            </span>
          </button>
          {event.offset !== at && <Changes changes={brief.get(event.offset)} isBrief />}
        </li>
      ))}
    </ol>
  );
}

function useDiff(): { diff: Diff | undefined; isFailed: boolean } {
  const [diff, load] = useState<{ of: Diff } | undefined>(undefined);
  const [isFailed, fail] = useState(false);
  useEffect(() => {
    import("microdiff").then(
      (module) => load({ of: module.default }),
      () => fail(true),
    );
  }, []);
  return { diff: diff?.of, isFailed };
}

/** The state at an offset and what changed there; the one before stays until it is known. */
function useSeen(
  stream: OpenStream,
  states: States,
  at: number,
  diff: Diff | undefined,
): { seen: Seen | undefined; trouble: Error | undefined } {
  const [seen, see] = useState<Seen | undefined>(undefined);
  const [trouble, fail] = useState<Error | undefined>(undefined);
  useEffect(() => {
    if (!diff || at < 1) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      const { signal } = stop;
      Promise.all([states.at(at, signal), states.at(at - 1, signal), stream.event(at, signal)]).then(
        ([state, before, event]) => {
          if (signal.aborted) return;
          fail(undefined);
          see({ at, state, changes: changesOf(before.fields, state.fields, diff), event });
        },
        (error: unknown) => {
          if (!signal.aborted) fail(heed(error));
        },
      );
    }, REST_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [stream, states, at, diff]);
  return { seen, trouble };
}

/** The control events around an offset, and how often more of them became known. */
function useControls(
  stream: OpenStream,
  life: number,
  at: number,
  head: number,
): { controls: Controls; changes: number } {
  const [changes, change] = useState(0);
  const controls = useRef<{ life: number; controls: Controls }>(undefined);
  if (controls.current?.life !== life) {
    const read: Read = async (query, signal) => {
      const { types, beforeOffset, last } = query;
      const {
        entries,
        beforeOffset: from,
        afterOffset: upTo,
        head: end,
      } = await (last === undefined
        ? page(stream.path, query, signal)
        : lastOf(stream.path, { types, beforeOffset, last }, signal));
      return { events: entries.map(({ event }) => event), from, upTo, head: end };
    };
    controls.current = { life, controls: new Controls(at, read) };
  }
  const known = controls.current.controls;
  useEffect(
    () =>
      stream.onEvent((event) => {
        if (known.hear(event)) change((count) => count + 1);
      }),
    [stream, known],
  );
  const isKnown = head === 0 || known.isKnown(at, head, SEEN);
  useEffect(() => {
    if (isKnown) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      known.reach(at, head, stop.signal, SEEN).then(
        () => change((count) => count + 1),
        (error: unknown) => {
          const isGone = error instanceof TailraceError && error.status === 404;
          if (!stop.signal.aborted && !isGone) heed(error);
        },
      );
    }, REST_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [known, at, head, isKnown]);
  return { controls: known, changes };
}

/** What each of these events changed, one after the other, when nobody moves any more. */
function useBrief(
  states: States,
  events: readonly StoredEvent[],
  changes: number,
  diff: Diff | undefined,
): ReadonlyMap<number, readonly Change[]> {
  const [brief, know] = useState<ReadonlyMap<number, readonly Change[]>>(new Map());
  const wanted = events.map(({ offset: at }) => at).join();
  useEffect(() => know(new Map()), [states]);
  useEffect(() => {
    if (!diff || wanted === "") return undefined;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      const look = async (): Promise<void> => {
        // Between two control events nothing changes: the state after one is the state before the next.
        let before: Fields | undefined;
        for (const at of wanted.split(",").map(Number)) {
          before ??= (await states.at(at - 1, stop.signal)).fields;
          const { fields } = await states.at(at, stop.signal);
          const found = changesOf(before, fields, diff);
          know((known) => new Map(known).set(at, found));
          before = fields;
        }
      };
      // What is missing here is missing quietly: the state itself says what went wrong.
      look().catch(() => {});
    }, 2 * REST_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [states, wanted, changes, diff]);
  return brief;
}
