/** A turn of a model: what it was asked with, what it says as it says it, and how that ended. */
import type { JSX } from "preact";
import type { StoredEvent } from "tailrace";
import { Countdown } from "../countdown.tsx";
import { Growing } from "../growing.tsx";
import { heardIn } from "../heard.ts";
import { Badge, EventLink, Field, Rest, Text } from "../parts.tsx";
import { brief, briefArguments, fieldsOf, listOf, nameOf, numberOf, textOf } from "../payload.ts";
import { useRelated } from "../related.ts";
import { lasting } from "../words.ts";
import { Content } from "./plain.tsx";
import { isEndOfCall } from "./tool.tsx";
import type { CardProps } from "./card.ts";
import { unturned } from "../../ui/visible.ts";

const ENDS = "agent.output-added,agent.turn-failed,agent.turn-interrupted";

const isEnd = ({ type, payload }: StoredEvent): boolean =>
  type !== "agent.turn-failed" || fieldsOf(payload)["final"] === true;

/** `agent.turn-started`: its answer grows here while it is said. */
export function TurnStarted({ stream, event, payload }: CardProps): JSX.Element {
  const requestId = textOf(payload["requestId"]);
  const { events, isRead } = useRelated(stream, event.offset, "behind", requestId ?? "", {
    types: ENDS,
    belongs: (other) => fieldsOf(other.payload)["requestId"] === requestId,
    isAll: (found) => requestId === undefined || found.some(isEnd),
  });
  const end = events.find(isEnd);
  const failures = events.filter((it) => !isEnd(it));
  const speech = heardIn(stream).speeches.value.find((it) => it.requestId === requestId);
  return (
    <>
      <Head payload={payload}>
        {end ? (
          <Ended type={end.type} />
        ) : (
          <Badge is="plain">{speech?.text ? "speaking" : isRead ? "thinking" : "…"}</Badge>
        )}
      </Head>
      {end ? <Answer event={end} /> : <Growing speech={speech} />}
      {failures.length > 0 && (
        <ul class="failures">
          {failures.map((failure) => (
            <li key={failure.offset}>
              <EventLink path={stream.path} offset={failure.offset}>
                attempt {nameOf(fieldsOf(failure.payload)["attempt"]) ?? "?"} failed
              </EventLink>
              : {brief(fieldsOf(failure.payload)["error"], 200)}
            </li>
          ))}
        </ul>
      )}
      <dl class="fields">
        <Field name="ended by">
          {end && <EventLink path={stream.path} offset={end.offset}>{`${end.type} (${end.offset})`}</EventLink>}
        </Field>
        <Field name="made of">
          <EventLink path={stream.path} offset={payload["upTo"]}>
            everything up to event {nameOf(payload["upTo"]) ?? "?"}
          </EventLink>
        </Field>
        <Field name="request">{requestId && <code>{requestId}</code>}</Field>
        <Field name="SHA-256">
          {textOf(payload["requestSha256"]) && <code>{textOf(payload["requestSha256"])}</code>}
        </Field>
        <Field name="harness">{textOf(payload["harness"])}</Field>
      </dl>
      <Rest fields={payload} but={["agent", "turn", "requestId", "upTo", "requestSha256", "harness"]} />
    </>
  );
}

function Ended({ type }: { type: string }): JSX.Element {
  if (type === "agent.output-added") return <Badge is="good">answered</Badge>;
  return type === "agent.turn-failed" ? <Badge is="bad">failed</Badge> : <Badge is="warn">interrupted</Badge>;
}

function Answer({ event: { type, payload } }: { event: StoredEvent }): JSX.Element | null {
  const { content, toolCalls, error, partial } = fieldsOf(payload);
  if (type === "agent.turn-failed") return <Text text={textOf(error) ?? brief(error)} label="Error" />;
  if (type === "agent.turn-interrupted") return textOf(partial) ? <Text text={String(partial)} label="Text" /> : null;
  const names = listOf(toolCalls).map((it) => nameOf(fieldsOf(it)["name"]) ?? "?");
  return (
    <>
      {content !== undefined && content !== "" && content !== null && <Content content={content} />}
      {names.length > 0 && <p class="dim">calls {names.slice(0, 20).join(", ")}</p>}
    </>
  );
}

/** `agent.output-added`: what was said, and each call that it asks for. */
export function Output({ stream, event, payload }: CardProps): JSX.Element {
  const { content, toolCalls, usage, model, finishReason, latencyMs, firstTokenMs, requestId } = payload;
  const used = fieldsOf(usage);
  const more = Object.entries(used).filter(([name]) => !["inputTokens", "outputTokens"].includes(name));
  return (
    <>
      <Head payload={payload}>
        {(numberOf(payload["attempt"]) ?? 1) > 1 && <Badge is="warn">attempt {nameOf(payload["attempt"])}</Badge>}
      </Head>
      {content !== "" && content !== null && content !== undefined && <Content content={content} />}
      {listOf(toolCalls).length > 0 && <Calls stream={stream} event={event} calls={listOf(toolCalls)} />}
      <dl class="fields">
        <Field name="model">{nameOf(model)}</Field>
        <Field name="finished by">{nameOf(finishReason)}</Field>
        <Field name="took">
          {numberOf(latencyMs) !== undefined && lasting(numberOf(latencyMs) ?? 0)}
          {numberOf(firstTokenMs) !== undefined && `, the first word after ${lasting(numberOf(firstTokenMs) ?? 0)}`}
        </Field>
        <Field name="tokens">
          {used["inputTokens"] !== undefined &&
            `${nameOf(used["inputTokens"]) ?? "?"} in, ${nameOf(used["outputTokens"]) ?? "?"} out`}
          {more.length > 0 && (
            <span class="dim">{` (${more
              .map(([name, value]) => `${name} ${brief(value, 40)}`)
              .join(", ")
              .slice(0, 300)})`}</span>
          )}
        </Field>
        <Field name="turn">
          {event.cause?.streamPath === stream.path && (
            <EventLink path={stream.path} offset={event.cause.offset}>
              began with event {event.cause.offset}
            </EventLink>
          )}
        </Field>
        <Field name="request">{textOf(requestId) && <code>{textOf(requestId)}</code>}</Field>
      </dl>
      <Rest
        fields={payload}
        but={[
          "agent",
          "turn",
          "requestId",
          "attempt",
          "content",
          "toolCalls",
          "usage",
          "model",
          "finishReason",
          "latencyMs",
          "firstTokenMs",
        ]}
      />
    </>
  );
}

/** More calls than this an answer seldom has; the rest stands in the JSON. */
const MOST_CALLS = 50;

function Calls({
  stream,
  event,
  calls,
}: {
  stream: CardProps["stream"];
  event: StoredEvent;
  calls: readonly unknown[];
}): JSX.Element {
  const shown = calls.slice(0, MOST_CALLS).map(fieldsOf);
  const ids = new Set(shown.map(({ callId }) => textOf(callId)).filter((id) => id !== undefined));
  const { events, isRead } = useRelated(stream, event.offset, "behind", [...ids].join("\n"), {
    types: "tool.*",
    belongs: ({ payload }) => ids.has(textOf(fieldsOf(payload)["callId"]) ?? ""),
    isAll: (found) => found.filter(isEndOfCall).length >= ids.size,
  });
  return (
    <ul class="calls" aria-label="Calls of tools">
      {shown.map(({ callId, name, arguments: given }, index) => {
        const its = events.filter(({ payload }) => fieldsOf(payload)["callId"] === callId);
        const asked =
          its.find(({ type }) => ["tool.requested", "tool.approval-requested"].includes(type)) ?? its.find(isEndOfCall);
        const end = its.find(isEndOfCall);
        const words = (
          <code>{unturned(`${nameOf(name) ?? "?"}(${given === undefined ? "" : briefArguments(given, 200)})`)}</code>
        );
        return (
          <li key={index}>
            {asked ? (
              <EventLink path={stream.path} offset={asked.offset}>
                {words}
              </EventLink>
            ) : (
              words
            )}{" "}
            {end ? (
              <Badge is={end.type === "tool.completed" ? "good" : "bad"}>{end.type.replace("tool.", "")}</Badge>
            ) : (
              <Badge is="plain">
                {its.at(-1)?.type.replace("tool.", "").replace("-", " ") ?? (isRead ? "not asked for" : "…")}
              </Badge>
            )}
          </li>
        );
      })}
      {calls.length > MOST_CALLS && <li class="dim">and {calls.length - MOST_CALLS} more</li>}
    </ul>
  );
}

/** `agent.turn-failed`: why, and when it is tried again. */
export function TurnFailed({ stream, event, payload }: CardProps): JSX.Element {
  const { error, status, retryAt, final, requestId, attempt } = payload;
  const { events } = useRelated(stream, event.offset, "behind", textOf(requestId) ?? "", {
    types: ENDS,
    belongs: (other) => fieldsOf(other.payload)["requestId"] === requestId,
    isAll: (found) => requestId === undefined || found.some(isEnd),
  });
  const next = events[0];
  const when = textOf(retryAt);
  return (
    <>
      <Head payload={payload}>
        <Badge is={final === true ? "bad" : "warn"}>
          {final === true ? "gives up" : `attempt ${nameOf(attempt) ?? "?"} failed`}
        </Badge>
      </Head>
      <div class="error">
        <Text text={textOf(error) ?? brief(error)} label="Error" />
      </div>
      <dl class="fields">
        <Field name="HTTP status">{nameOf(status)}</Field>
        <Field name="attempt">{nameOf(attempt)}</Field>
        <Field name="tries again">{final !== true && !next && when && <Countdown to={when} />}</Field>
        <Field name="then">
          {next && <EventLink path={stream.path} offset={next.offset}>{`${next.type} (${next.offset})`}</EventLink>}
        </Field>
        <Field name="request">{textOf(requestId) && <code>{textOf(requestId)}</code>}</Field>
      </dl>
      <Rest fields={payload} but={["agent", "turn", "requestId", "attempt", "error", "status", "retryAt", "final"]} />
    </>
  );
}

/** `agent.turn-interrupted`: what it had said. */
export function TurnInterrupted({ payload }: CardProps): JSX.Element {
  const partial = textOf(payload["partial"]);
  return (
    <>
      <Head payload={payload}>
        <Badge is="warn">interrupted</Badge>
      </Head>
      {partial ? (
        <>
          <p class="dim">It had said:</p>
          <Text text={partial} label="Text" />
        </>
      ) : (
        <p class="dim">It had said nothing yet.</p>
      )}
      <Rest fields={payload} but={["agent", "turn", ...(partial === undefined ? [] : ["partial"])]} />
    </>
  );
}

const reasons: Readonly<Record<string, string>> = {
  maxTurns: "So many turns in one chain of causes are not allowed. It goes on when somebody speaks to it.",
  interrupted: "It was interrupted. The next input goes on.",
};

/** `agent.stopped`, and `agent.interrupt-requested`. */
export function Stopped({ event, payload }: CardProps): JSX.Element {
  const reason = textOf(payload["reason"]);
  return (
    <>
      <Head payload={payload}>
        <Badge is="warn">{event.type === "agent.stopped" ? "stopped" : "is to stop"}</Badge>
      </Head>
      {reason !== undefined && (
        <Text text={(Object.hasOwn(reasons, reason) && reasons[reason]) || reason} label="Reason" />
      )}
      {event.type === "agent.interrupt-requested" && payload["agent"] === undefined && (
        <p>Every agent of the stream.</p>
      )}
      <Rest fields={payload} but={["agent", ...(reason === undefined ? [] : ["reason"])]} />
    </>
  );
}

function Head({
  payload,
  children,
}: {
  payload: CardProps["payload"];
  children?: JSX.Element | false | undefined;
}): JSX.Element {
  const turn = nameOf(payload["turn"]);
  return (
    <p class="title">
      <strong class="name">{nameOf(payload["agent"]) ?? "an agent"}</strong>
      {turn !== undefined && <span class="dim">turn {turn}</span>} {children}
    </p>
  );
}
