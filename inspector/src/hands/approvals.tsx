/** Calls of tools that wait for a person's word, with the two words there are. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { StoredEvent } from "tailrace";
import { heed, lastOf, page } from "../api/connection.ts";
import { pageOf } from "../api/path.ts";
import type { OpenStream } from "../log/open.ts";
import { act } from "./act.ts";
import { asks, current, ends, heard, type Waiting } from "./approvals.ts";
import { Confirm } from "../ui/confirm.tsx";
import { FoldedJson } from "../ui/fold.tsx";
import { useNow } from "../ui/now.ts";
import { span } from "../ui/time.tsx";
import { visible } from "../ui/visible.ts";

/** So many arguments are shown at once; what is longer is folded. */
const SHORT = 400;

export function Approvals({ stream }: { stream: OpenStream }): JSX.Element | null {
  const waiting = useWaiting(stream);
  const now = useNow();
  const subscriptions = stream.state.value?.subscriptions ?? {};
  // Others than agents ask for nothing that could be approved.
  const shown = current(waiting, now).filter(({ agent }) => "agent" in (subscriptions[agent]?.target ?? {}));
  if (shown.length === 0) return null;
  return (
    <section class="approvals" aria-label="Approvals waiting">
      {shown.map((call) => (
        <Approval key={call.callId} stream={stream} call={call} now={now} />
      ))}
    </section>
  );
}

function Approval(props: { stream: OpenStream; call: Waiting; now: number }): JSX.Element {
  const { stream, call, now } = props;
  const [reason, setReason] = useState("");
  const [isActing, acting] = useState(false);
  const text = call.arguments === undefined ? "" : visible(JSON.stringify(call.arguments));
  const approve = async (): Promise<void> => {
    acting(true);
    await act(stream.path, { type: "tool.approved", payload: { callId: call.callId } });
    acting(false);
  };
  const deny = async (): Promise<boolean> => {
    const payload = { callId: call.callId, ...(reason.trim() ? { reason: reason.trim() } : {}) };
    return (await act(stream.path, { type: "tool.denied", payload })) !== undefined;
  };
  return (
    <div class="approval">
      <div class="approval-said">
        <p>
          <strong>{call.agent}</strong> wants to call <strong class="name">{call.name}</strong>{" "}
          <a href={pageOf(stream.path, call.offset)}>event {call.offset}</a>{" "}
          <span class="dim">expires in {span(Math.max(0, Date.parse(call.expiresAt) - now))}</span>
        </p>
        {text.length <= SHORT ? (
          <pre class="json-text">{text}</pre>
        ) : (
          <FoldedJson title={`Arguments, ${text.length.toLocaleString("en")} characters`} value={call.arguments} />
        )}
      </div>
      <button
        type="button"
        class="primary"
        aria-label={`Approve ${call.name}`}
        disabled={isActing || stream.state.value?.paused != null}
        onClick={() => void approve()}
      >
        Approve
      </button>
      <Confirm
        button="Deny"
        label={`Deny ${call.name}`}
        title={`Deny ${call.name}`}
        isDanger
        isDisabled={stream.state.value?.paused != null}
        opened={() => setReason("")}
        act={deny}
      >
        <label>
          Why, for the model to know (optional)
          <textarea rows={3} value={reason} onInput={({ currentTarget }) => setReason(currentTarget.value)} />
        </label>
      </Confirm>
    </div>
  );
}

/** What waits, from the log and then live. */
function useWaiting(stream: OpenStream): readonly Waiting[] {
  const [waiting, set] = useState<readonly Waiting[]>([]);
  const generation = stream.state.value?.generation;
  useEffect(() => {
    let stop = new AbortController();
    let early: StoredEvent[] = [];
    let isRead = false;
    const read = (): void => {
      stop.abort();
      stop = new AbortController();
      [isRead, early] = [false, []];
      readWaiting(stream.path, stop.signal).then(
        (found) => {
          isRead = true;
          set(early.reduce(heard, found));
        },
        (error: unknown) => {
          // Without a stream nothing waits; anything else shows in the log as well.
          if (!stop.signal.aborted) heed(error);
        },
      );
    };
    const seen = (): void => {
      // A tab that nobody sees hears nothing after a while.
      if (!document.hidden) read();
    };
    set([]);
    read();
    document.addEventListener("visibilitychange", seen);
    const ended = stream.onEvent((event) => {
      if (event.type !== asks && !ends.includes(event.type)) return;
      if (isRead) set((known) => heard(known, event));
      else early.push(event);
    });
    return () => {
      ended();
      stop.abort();
      document.removeEventListener("visibilitychange", seen);
    };
  }, [stream, generation]);
  return waiting;
}

/** What waits according to the log: the calls that ask and are not over yet, without those that were answered since. */
async function readWaiting(path: string, signal: AbortSignal): Promise<readonly Waiting[]> {
  const asked = (await lastOf(path, { types: asks, last: 1_000 }, signal)).entries;
  let waiting = current(asked.map(({ event }) => event).reduce<readonly Waiting[]>(heard, []), Date.now());
  let after = waiting[0]?.offset;
  while (after !== undefined && waiting.length > 0) {
    const answers = await page(path, { types: ends.join(","), afterOffset: after, limit: 1_000 }, signal);
    waiting = answers.entries.map(({ event }) => event).reduce(heard, waiting);
    after = answers.afterOffset > after && answers.afterOffset < answers.head ? answers.afterOffset : undefined;
  }
  return waiting;
}
