/** One subscription: where it stands, what failed and when it is tried again, and what a person can do about it. */
import type { ComponentChildren, JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { ask } from "../api/connection.ts";
import { pageOf } from "../api/path.ts";
import type { OpenStream } from "../log/open.ts";
import { act } from "./act.ts";
import { edit } from "./edit.ts";
import { useDetails, type Attempt, type Report } from "./report.ts";
import { targetWords } from "./target.ts";
import { notify } from "../ui/notices.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { FoldedJson } from "../ui/fold.tsx";
import { clock, span } from "../ui/time.tsx";

interface Of {
  readonly stream: OpenStream;
  readonly report: Report;
}

export function SubscriptionCard(props: Of & { now: number; isOpen: boolean; toggle: () => void }): JSX.Element {
  const { stream, report, now, isOpen } = props;
  const { slug, status, cursor, head, halted } = report;
  const { kind, words } = targetWords(report);
  return (
    <>
      <div class="card-head">
        <h2>{slug}</h2>
        <span class="pill" data-status={status}>
          {status}
        </span>
        <span class="dim">{kind}</span>
        <span>{words}</span>
      </div>
      <Lag report={report} />
      {halted && (
        <p class="halted" role="status">
          <strong>Halted:</strong> {halted.reason}
          {halted.lastStatus !== null &&
            !halted.reason.includes(String(halted.lastStatus)) &&
            ` (answered ${halted.lastStatus})`}{" "}
          at <a href={pageOf(stream.path, halted.offset)}>event {halted.offset}</a>, which was not delivered. Nothing is
          skipped.
        </p>
      )}
      {!halted && report.lastError !== null && <p class="error">{report.lastError}</p>}
      {report.nextAttempt !== null && status === "retrying" && (
        <p>
          Tried {report.failedAttempts} {report.failedAttempts === 1 ? "time" : "times"}, again{" "}
          {until(report.nextAttempt, now)}
        </p>
      )}
      <Acts stream={stream} report={report} />
      <button type="button" class="quiet more" aria-expanded={isOpen} onClick={props.toggle}>
        {isOpen ? "▾ Less" : `▸ More · at ${cursor.toLocaleString("en")} of ${head.toLocaleString("en")}`}
        <span class="unseen"> of {slug}</span>
      </button>
      {isOpen && <More stream={stream} report={report} now={now} />}
    </>
  );
}

/** How far it has come, as a bar. */
function Lag({ report: { cursor, head, lag, lagSeconds, slug } }: { report: Report }): JSX.Element {
  const behind = lag > 0 ? `${lag.toLocaleString("en")} behind, for ${span(lagSeconds * 1_000)}` : "nothing waits";
  return (
    <div class="lag">
      <meter
        min={0}
        max={head}
        value={lag > 0 ? Math.min(cursor, head) : head}
        aria-label={`How far ${slug} has come`}
        aria-valuetext={`${cursor} of ${head}, ${behind}`}
      />
      <span class="dim">{behind}</span>
    </div>
  );
}

function Acts({ stream, report }: Of): JSX.Element {
  const { slug, status } = report;
  const done = async (type: string, payload: object): Promise<boolean> =>
    (await act(stream.path, { type, payload })) !== undefined;
  const tool = slug.startsWith("tool.") ? slug.slice("tool.".length) : undefined;
  return (
    <div class="card-acts">
      {(status === "halted" || status === "retrying") && (
        <>
          <button
            type="button"
            class="primary"
            aria-label={`${status === "halted" ? "Resume" : "Try now"} ${slug}`}
            onClick={() => void done("subscription.resumed", { slug })}
          >
            {status === "halted" ? "Resume" : "Try now"}
          </button>
          <Skip stream={stream} report={report} done={done} />
        </>
      )}
      <Replay report={report} done={done} />
      <button type="button" aria-label={`Edit ${slug}`} onClick={() => void edit(stream, report.offset)}>
        Edit
      </button>
      <Confirm
        button="Remove"
        label={`Remove ${slug}`}
        title={tool ? `Remove the tool ${tool}` : `Remove the subscription ${slug}`}
        isDanger
        act={() => (tool ? done("tool.removed", { name: tool }) : done("subscription.removed", { slug }))}
      >
        <p>
          {tool
            ? "Models can call it no more, and nothing is pushed for it."
            : "It is handed nothing more, and its cursor and state are gone. What it has appended stays."}
        </p>
      </Confirm>
    </div>
  );
}

/** The event that is not delivered. */
const standsAt = ({ halted, lease, lastAttempt }: Report): number | undefined =>
  halted?.offset ?? lease?.first ?? lastAttempt?.first;

type Done = (type: string, payload: object) => Promise<boolean>;

/** Past one event that cannot be delivered. The question names it. */
function Skip({ stream, report, done }: Of & { done: Done }): JSX.Element | null {
  const [type, setType] = useState<string | undefined>(undefined);
  const offset = standsAt(report);
  // What is named when the question is asked; meanwhile it may have gone on, and would skip another one.
  const named = useRef(offset);
  if (offset === undefined) return null;
  const skip = async (): Promise<boolean> => {
    const now = await ask<Report>("subscriptions", stream.path, { slug }).catch(() => undefined);
    if (now && standsAt(now) === named.current && ["halted", "retrying"].includes(now.status))
      return done("subscription.resumed", { slug, skip: true });
    notify({ words: `${slug} does not stand at event ${named.current} any more: nothing was skipped.`, isError: true });
    return true;
  };
  const { slug } = report;
  const opened = (): void => {
    setType(undefined);
    named.current = offset;
    // Its type is a help; the offset says enough.
    stream.event(offset).then(
      (event) => setType(event?.type),
      () => {},
    );
  };
  return (
    <Confirm
      button="Skip this event"
      label={`Skip this event, ${offset}, for ${slug}`}
      title={`Skip event ${named.current ?? offset}`}
      yes="Skip"
      isDanger
      opened={opened}
      act={skip}
    >
      <p>
        <code>{slug}</code> goes on behind <a href={pageOf(stream.path, offset)}>event {offset}</a>
        {type !== undefined && (
          <>
            {" "}
            (<code>{type}</code>)
          </>
        )}
        . That event is never handed to it, unless it is replayed.
      </p>
    </Confirm>
  );
}

function Replay({ report, done }: { report: Report; done: Done }): JSX.Element {
  const { slug, head } = report;
  const [from, setFrom] = useState("1");
  const [redo, setRedo] = useState(false);
  const replay = (): Promise<boolean> =>
    done("subscription.resumed", { slug, from: Number(from), ...(redo ? { redo } : {}) });
  return (
    <Confirm
      button="Replay"
      label={`Replay ${slug}`}
      title={`Replay ${slug}`}
      yes="Replay"
      opened={() => {
        setFrom("1");
        setRedo(false);
      }}
      act={replay}
    >
      <label>
        From event (1 to {head.toLocaleString("en")})
        <input
          type="number"
          required
          min={1}
          max={head}
          step={1}
          value={from}
          onInput={({ currentTarget }) => setFrom(currentTarget.value)}
        />
      </label>
      <label class="check">
        <input type="checkbox" checked={redo} onChange={({ currentTarget }) => setRedo(currentTarget.checked)} />
        Redo
      </label>
      <p class="dim">
        {redo
          ? "The events are handed over as if they were new: what was done for them is done once more."
          : "The events it has had come marked as a replay: it folds them into its state, and does nothing else for them."}
      </p>
    </Confirm>
  );
}

function More({ stream, report, now }: Of & { now: number }): JSX.Element {
  const { details } = useDetails(stream, report.slug);
  const { cursor, head, settled, lease, types, where, outbox, inheritedFrom, version, grants } = report;
  return (
    <div class="subscription-more">
      <dl class="facts">
        <Fact name="Cursor">
          {cursor.toLocaleString("en")} of {head.toLocaleString("en")}
          {settled > cursor && `, settled once up to ${settled.toLocaleString("en")}`}
        </Fact>
        <Fact name="Types">{types ? <code>{types.join(", ")}</code> : "all"}</Fact>
        {where !== undefined && (
          <Fact name="Where">
            <code>{where}</code>
          </Fact>
        )}
        {version !== undefined && <Fact name="Version">{version}</Fact>}
        {grants && <Fact name="Grants">{grants.join(", ")}</Fact>}
        {report.whilePaused && <Fact name="While paused">goes on</Fact>}
        {lease && (
          <Fact name="Lease">
            {range(lease)}, ends {until(lease.expiresAt, now)}
          </Fact>
        )}
        {outbox.waiting > 0 && (
          <Fact name="Outbox">
            {outbox.waiting.toLocaleString("en")} wait
            {outbox.targets.map(({ target, waiting, attempts }) => (
              <div key={target}>
                <a href={pageOf(target)}>{target}</a>: {waiting}, tried {attempts} {attempts === 1 ? "time" : "times"}
              </div>
            ))}
          </Fact>
        )}
        {inheritedFrom !== undefined && (
          <Fact name="Configured in">
            <a href={pageOf(inheritedFrom)}>{inheritedFrom}</a>
          </Fact>
        )}
        <Fact name="Configured by">
          <a href={pageOf(stream.path, report.offset)}>event {report.offset}</a>
        </Fact>
      </dl>
      {details && (
        <>
          <h3>Last attempts</h3>
          {details.attempts.length === 0 ? (
            <p class="dim">None yet.</p>
          ) : (
            <ol class="attempts" aria-label={`Last attempts of ${report.slug}`}>
              {details.attempts.map((attempt, index) => (
                <AttemptRow
                  key={`${attempt.at} ${attempt.first}`}
                  attempt={attempt}
                  isAsAbove={attempt.error === details.attempts[index - 1]?.error}
                />
              ))}
            </ol>
          )}
          <FoldedJson title={details.state === null ? "State: null" : "State"} value={details.state} />
        </>
      )}
    </div>
  );
}

const Fact = ({ name, children }: { name: string; children: ComponentChildren }): JSX.Element => (
  <>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </>
);

/** One attempt. What went wrong is said once while it stays the same. */
function AttemptRow({ attempt, isAsAbove }: { attempt: Attempt; isAsAbove: boolean }): JSX.Element {
  const { at, status, ms, error } = attempt;
  return (
    <li data-failed={error !== null}>
      <time dateTime={at} title={at}>
        {clock(new Date(at)).replace(/\.\d{3}$/, "")}
      </time>
      <span>{range(attempt)}</span>
      <span>{status ?? (error === null ? "ok" : "no answer")}</span>
      <span>{span(ms)}</span>
      {error !== null && !isAsAbove && <span class="error">{error}</span>}
    </li>
  );
}

const range = ({ first, last }: { first: number; last: number }): string =>
  first === last ? `event ${first}` : `events ${first} to ${last}`;

const until = (instant: string, now: number): string => {
  const ms = Date.parse(instant) - now;
  return ms < 1_000 ? "now" : `in ${span(Math.round(ms / 1_000) * 1_000)}`;
};
