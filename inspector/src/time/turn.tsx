/** A turn of an agent: the exact request that was sent for it, and what came of it. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { StoredEvent } from "tailrace";
import { ask, heed, page, wordsOf } from "../api/connection.ts";
import { Badge, EventLink, Json, StreamLink, Text } from "../event/parts.tsx";
import { brief, fieldsOf, listOf, said, textOf, MOST_PARTS } from "../event/payload.ts";
import type { OpenStream } from "../log/open.ts";
import { go } from "../route.ts";
import { Copy } from "../ui/copy.tsx";
import { Fold } from "../ui/fold.tsx";
import { span, Time } from "../ui/time.tsx";
import { numbersOf, Outcome } from "./outcome.tsx";
import { conversationOf } from "./conversation.ts";
import { Talk } from "./talk.tsx";
import { stepOf, turnsOf, type Turn } from "./turns.ts";

/** What `GET /api/agents` answers: the request, made anew from the log. */
interface Sent {
  readonly agent: string;
  readonly turn: number;
  readonly requestId: string;
  readonly upTo: number;
  readonly requestSha256: string;
  readonly sha256: string;
  /** Whether what is made now is what was sent. */
  readonly matches: boolean;
  readonly harness: string;
  readonly harnessNow: string;
  readonly request: {
    readonly method: string;
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
  };
}

/** @param props.turns those that are known of the stream, the newest first */
export function TurnView(props: {
  stream: OpenStream;
  agent: string;
  turn: number;
  turns: readonly Turn[];
}): JSX.Element {
  const { stream, agent, turn, turns } = props;
  const own = turns.filter((it) => it.agent === agent);
  const { sent, trouble } = useSent(stream, agent, turn);
  const known = own.find((it) => (sent ? it.started.requestId === sent.requestId : it.turn === turn));
  const { events, started } = useTurnEvents(stream, sent?.requestId, sent?.upTo, known);
  const steps = turnsOf(events.map(stepOf));
  const shown = known ?? steps[0];
  const at = own.findIndex((it) => it === known);
  return (
    <article class="turn" aria-label={`Turn ${turn} of ${agent}`} aria-busy={!sent && !trouble}>
      <div class="turn-steps">
        <button type="button" class="quiet" onClick={() => go({ offset: undefined, panel: "agents" })}>
          All turns
        </button>
        <span class="spring" />
        <Step label="Previous turn" to={at < 0 ? undefined : own[at + 1]}>
          ←
        </Step>
        <Step label="Next turn" to={at < 0 ? undefined : own[at - 1]}>
          →
        </Step>
      </div>
      <h2>
        {agent}, turn {turn} {shown && <Outcome turn={shown} />}
      </h2>
      {shown && <Numbers turn={shown} path={stream.path} />}
      {trouble && (
        <p class="error" role="alert">
          {wordsOf(trouble)}
        </p>
      )}
      {sent && <Proof sent={sent} path={stream.path} started={started} />}
      {sent && <Request sent={sent} />}
      <Answer stream={stream} events={events} />
    </article>
  );
}

function Step({ label, to, children }: { label: string; to: Turn | undefined; children: string }): JSX.Element {
  return (
    <button
      type="button"
      class="quiet"
      aria-label={label}
      title={to && `Turn ${to.turn}`}
      disabled={!to}
      onClick={() => to && go({ offset: to.started.offset, panel: "agents" })}
    >
      {children}
    </button>
  );
}

function Numbers({ turn, path }: { turn: Turn; path: string }): JSX.Element {
  const { started, end, failures } = turn;
  const words = [
    numbersOf(turn),
    ...(end?.firstTokenMs === undefined ? [] : [`first token after ${span(end.firstTokenMs)}`]),
    ...(end?.finishReason === undefined ? [] : [`finish reason ${end.finishReason}`]),
  ];
  return (
    <>
      <p>
        <Time at={new Date(started.at).toISOString()} /> <span class="dim">{words.filter(Boolean).join(" · ")}</span>
      </p>
      {failures.map((failure) => (
        <p key={failure.offset}>
          <Badge is="warn">attempt failed</Badge> <EventLink path={path} offset={failure.offset} />: {failure.words}
        </p>
      ))}
    </>
  );
}

/** Whether what is shown is what was sent. */
function Proof(props: { sent: Sent; path: string; started: number | undefined }): JSX.Element {
  const { sent, path, started } = props;
  const { matches, sha256, requestSha256, harness, harnessNow, upTo } = sent;
  return (
    <div class="proof" data-matches={matches}>
      <p>
        {matches ? (
          <>
            <Badge is="good">as it was sent</Badge> Made anew from the log up to <EventLink path={path} offset={upTo} />
            : byte for byte the body that was sent.
          </>
        ) : (
          <>
            <Badge is="warn">not as it was sent</Badge> What this version makes of the log up to{" "}
            <EventLink path={path} offset={upTo} /> differs from what was sent.
          </>
        )}
      </p>
      <dl>
        <div>
          <dt>sha256</dt>
          <dd>
            <code>{sha256}</code>
          </dd>
        </div>
        {!matches && (
          <div>
            <dt>sent</dt>
            <dd>
              <code>{requestSha256}</code> by {harness}; this is {harnessNow}
            </dd>
          </div>
        )}
        {started !== undefined && (
          <div>
            <dt>begun by</dt>
            <dd>
              <EventLink path={path} offset={started} />
            </dd>
          </div>
        )}
      </dl>
    </div>
  );
}

function Request({ sent: { request } }: { sent: Sent }): JSX.Element {
  const { method, url, headers, body } = request;
  const conversation = conversationOf(body);
  return (
    <section aria-label="The request">
      <h3>The request</h3>
      {conversation ? (
        <>
          <Talk said={conversation.said} />
          <Fold title={`Tools that it may call (${conversation.tools.length})`}>
            {() => (
              <dl class="told-tools">
                {conversation.tools.map(({ name, description }, index) => (
                  <div key={index}>
                    <dt>
                      <code>{name}</code>
                    </dt>
                    <dd>{description}</dd>
                  </div>
                ))}
              </dl>
            )}
          </Fold>
          <p class="dim">{brief(conversation.options, 400)}</p>
        </>
      ) : (
        <p class="dim">The body is not one of the three that this page reads.</p>
      )}
      <Fold title="Method, URL and headers">
        {() => (
          <pre class="raw-text" tabIndex={0}>
            {[`${method} ${url}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)].join("\n")}
          </pre>
        )}
      </Fold>
      <Fold title="Body, indented">{() => <Json text={body} most={20_000} label="The body, indented" />}</Fold>
      <Fold title={`Body, byte for byte (${new Blob([body]).size.toLocaleString("en")} bytes)`}>
        {() => <Raw body={body} />}
      </Fold>
      <Copy text={body} label="Copy the body as it was sent">
        Copy the body
      </Copy>
    </section>
  );
}

/** So much of a body is laid out at once. */
const MOST_RAW = 200_000;

function Raw({ body }: { body: string }): JSX.Element {
  const [isWhole, show] = useState(body.length <= MOST_RAW);
  return (
    <>
      <pre class="raw-text" tabIndex={0} aria-label="The body, byte for byte">
        {isWhole ? body : `${body.slice(0, MOST_RAW)} …`}
      </pre>
      {!isWhole && (
        <button type="button" class="quiet" onClick={() => show(true)}>
          All {body.length.toLocaleString("en")} characters
        </button>
      )}
    </>
  );
}

/** What the model answered, and what became of its calls. */
function Answer({ stream, events }: { stream: OpenStream; events: readonly StoredEvent[] }): JSX.Element | null {
  const end = events.find(({ type }) => /^agent\.(output-added|turn-interrupted)$/.test(type));
  if (!end) return null;
  const fields = fieldsOf(end.payload);
  const words = said(fields["content"]) ?? textOf(fields["partial"]) ?? "";
  const calls = listOf(fields["toolCalls"]).slice(0, MOST_PARTS).map(fieldsOf);
  return (
    <section aria-label="The answer">
      <h3>
        The answer <EventLink path={stream.path} offset={end.offset} />
      </h3>
      {words !== "" && <Text text={words} label="answer" />}
      {calls.map((call) => {
        const callId = textOf(call["callId"]) ?? "";
        return <Call key={callId} {...{ stream, call, callId, events }} />;
      })}
    </section>
  );
}

function Call(props: {
  stream: OpenStream;
  call: Readonly<Record<string, unknown>>;
  callId: string;
  events: readonly StoredEvent[];
}): JSX.Element {
  const { stream, call, callId, events } = props;
  const own = events.filter(({ type, payload }) => type.startsWith("tool.") && fieldsOf(payload)["callId"] === callId);
  const places = own.flatMap(({ payload }) => textOf(fieldsOf(payload)["streamPath"]) ?? []);
  return (
    <div class="told-call">
      <p>
        <code>
          {textOf(call["name"])}({brief(call["arguments"], 300)})
        </code>
      </p>
      {places.map((path) => (
        <p key={path}>
          A sub-agent works in <StreamLink path={path} />
        </p>
      ))}
      <ul role="list">
        {own.map((event) => (
          <li key={event.offset}>
            <EventLink path={stream.path} offset={event.offset} /> {event.type}{" "}
            <span class="dim">{brief(outcomeOf(event), 200)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function outcomeOf({ payload }: StoredEvent): unknown {
  const { result, error, reason } = fieldsOf(payload);
  return result ?? error ?? reason ?? "";
}

function useSent(
  stream: OpenStream,
  agent: string,
  turn: number,
): { sent: Sent | undefined; trouble: Error | undefined } {
  const [state, hold] = useState<{ sent?: Sent; trouble?: Error }>({});
  useEffect(() => {
    const stop = new AbortController();
    hold({});
    ask<Sent>("agents", stream.path, { slug: agent, turn }, { signal: stop.signal }).then(
      (sent) => hold({ sent }),
      (error: unknown) => {
        if (!stop.signal.aborted) hold({ trouble: heed(error) });
      },
    );
    return () => stop.abort();
  }, [stream, agent, turn]);
  return { sent: state.sent, trouble: state.trouble };
}

const EVENTS = "agent.turn-*,agent.output-added,tool.*";
const MOST_EVENTS = 300;

/** What belongs to a turn, live: its end, and what became of its calls. */
function useTurnEvents(
  stream: OpenStream,
  requestId: string | undefined,
  upTo: number | undefined,
  known: Turn | undefined,
): { events: readonly StoredEvent[]; started: number | undefined } {
  const [events, hold] = useState<readonly StoredEvent[]>([]);
  useEffect(() => {
    hold([]);
    if (requestId === undefined || upTo === undefined) return undefined;
    const stop = new AbortController();
    const belongs = ({ payload }: StoredEvent): boolean => {
      const fields = fieldsOf(payload);
      return fields["requestId"] === requestId || (textOf(fields["callId"]) ?? "").startsWith(`${requestId}.`);
    };
    const take = (more: readonly StoredEvent[]): void =>
      hold((before) => {
        const all = new Map([...before, ...more.filter(belongs)].map((event) => [event.offset, event]));
        return [...all.values()].sort((a, b) => a.offset - b.offset);
      });
    const unheard = stream.onEvent((event) => {
      if (belongs(event)) take([event]);
    });
    page(stream.path, { types: EVENTS, afterOffset: upTo, limit: MOST_EVENTS }, stop.signal).then(
      ({ entries }) => take(entries.map(({ event }) => event)),
      (error: unknown) => {
        if (!stop.signal.aborted) heed(error);
      },
    );
    return () => {
      stop.abort();
      unheard();
    };
  }, [stream, requestId, upTo]);
  const started = known?.started.offset ?? events.find(({ type }) => type === "agent.turn-started")?.offset;
  return { events, started };
}
