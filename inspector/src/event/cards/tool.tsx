/** A call of a tool: its arguments, and its result beside them, from whichever of its events one comes. */
import type { ComponentChildren, JSX } from "preact";
import type { StoredEvent } from "tailrace";
import { Countdown } from "../countdown.tsx";
import { Badge, EventLink, Field, Outward, Rest, StreamLink, Value } from "../parts.tsx";
import { fieldsOf, nameOf, numberOf, textOf } from "../payload.ts";
import { useRelated } from "../related.ts";
import { lasting } from "../words.ts";
import type { CardProps } from "./card.ts";

const ends = ["tool.completed", "tool.failed", "tool.denied"];
export const isEndOfCall = ({ type }: StoredEvent): boolean => ends.includes(type);

/** A call that waits for approval begins with asking for it, any other with the request. */
const isBeginning = ({ type, metadata }: StoredEvent): boolean =>
  type === "tool.approval-requested" ||
  (type === "tool.requested" && fieldsOf(fieldsOf(metadata)["tailrace"])["approved"] === undefined);

export function ToolCall({ stream, event, payload }: CardProps): JSX.Element {
  const callId = textOf(payload["callId"]);
  const belongs = (other: StoredEvent): boolean => callId !== undefined && fieldsOf(other.payload)["callId"] === callId;
  const key = callId ?? "";
  const isNone = callId === undefined;
  const before = useRelated(stream, event.offset, "before", key, {
    types: "tool.*",
    belongs,
    isAll: (found) => isNone || [event, ...found].some(isBeginning),
  });
  const behind = useRelated(stream, event.offset, "behind", key, {
    types: "tool.*",
    belongs,
    isAll: (found) => isNone || [event, ...found].some(isEndOfCall),
  });
  if (isNone) return <Rest fields={payload} />;

  const events = [...before.events, event, ...behind.events];
  const of = (...types: string[]): StoredEvent | undefined => events.find(({ type }) => types.includes(type));
  const asked = of("tool.requested", "tool.approval-requested");
  const call = fieldsOf(asked?.payload);
  const end = events.find(isEndOfCall);
  const child = events.map(({ payload: it }) => fieldsOf(it)["streamPath"]).find((it) => typeof it === "string");
  const ran = of("tool.requested", "tool.started") ?? asked;
  const ms = end && ran ? Date.parse(end.createdAt) - Date.parse(ran.createdAt) : undefined;
  const isRead = before.isRead && behind.isRead;
  return (
    <>
      <p class="title">
        <strong class="name">{nameOf(call["name"]) ?? (isRead ? "a call" : "…")}</strong>{" "}
        <State events={events} end={end} />
        {end?.type === "tool.completed" && ms !== undefined && ms >= 0 && <span class="dim">after {lasting(ms)}</span>}
      </p>
      <div class="call">
        <section aria-label="Arguments">
          <h3>Arguments</h3>
          {asked ? (
            <Value value={call["arguments"] ?? null} label="arguments" />
          ) : (
            <NotThere isRead={isRead}>Nobody asked for this call in this stream.</NotThere>
          )}
        </section>
        <section aria-label="Result">
          <h3>{end && end.type !== "tool.completed" ? "Why not" : "Result"}</h3>
          <Result end={end} isRead={behind.isRead} />
        </section>
      </div>
      <dl class="fields">
        <Field name="sub-agent">{child !== undefined && <StreamLink path={child} />}</Field>
        <Field name="agent">{nameOf(call["agent"])}</Field>
        <Field name="steps">
          <ol class="steps">
            {events.map((step) => (
              <li key={step.offset} aria-current={step === event ? "step" : undefined}>
                {step === event ? (
                  stepOf(step)
                ) : (
                  <EventLink path={stream.path} offset={step.offset}>
                    {stepOf(step)}
                  </EventLink>
                )}
              </li>
            ))}
          </ol>
        </Field>
        <Field name="call">
          <code>{callId}</code>
        </Field>
      </dl>
      <Rest
        fields={payload}
        but={[
          "callId",
          "name",
          "arguments",
          "agent",
          "result",
          "error",
          "reason",
          "streamPath",
          "expiresAt",
          "attempt",
        ]}
      />
    </>
  );
}

function stepOf({ type, offset, payload }: StoredEvent): string {
  const attempt = numberOf(fieldsOf(payload)["attempt"]);
  return `${type.replace("tool.", "").replace("-", " ")}${attempt !== undefined && attempt > 1 ? `, attempt ${attempt}` : ""} (${offset})`;
}

function State({ events, end }: { events: readonly StoredEvent[]; end: StoredEvent | undefined }): JSX.Element {
  if (end?.type === "tool.completed") return <Badge is="good">completed</Badge>;
  if (end) return <Badge is="bad">{end.type === "tool.denied" ? "denied" : "failed"}</Badge>;
  const last = events.at(-1);
  if (last?.type === "tool.approval-requested") {
    const expires = textOf(fieldsOf(last.payload)["expiresAt"]);
    return (
      <>
        <Badge is="warn">waits for approval</Badge>
        {expires && (
          <span class="dim">
            ends <Countdown to={expires} />
          </span>
        )}
      </>
    );
  }
  if (last?.type === "tool.started") return <Badge is="plain">running</Badge>;
  return <Badge is="plain">{last?.type === "tool.approved" ? "approved" : "requested"}</Badge>;
}

function Result({ end, isRead }: { end: StoredEvent | undefined; isRead: boolean }): JSX.Element | null {
  if (!end) return <NotThere isRead={isRead}>Not yet.</NotThere>;
  const { result, error, reason } = fieldsOf(end.payload);
  if (end.type === "tool.completed") return <Value value={result ?? null} label="result" />;
  const why = end.type === "tool.denied" ? (reason ?? "no reason was given") : (error ?? null);
  return (
    <div class="error">
      <Value value={why} label="error" />
    </div>
  );
}

const NotThere = ({ isRead, children }: { isRead: boolean; children: ComponentChildren }): JSX.Element => (
  <p class="dim">{isRead ? children : "Looking …"}</p>
);

/** `tool.configured`, `tool.removed`. */
export function Tool({ payload }: CardProps): JSX.Element {
  const { name, description, parameters, url, approval, timeoutMs } = payload;
  return (
    <>
      <p class="title">
        <strong class="name">{nameOf(name) ?? "?"}</strong>
        {approval === true && <Badge is="warn">asks for approval</Badge>}
      </p>
      {typeof description === "string" && <Value value={description} label="description" />}
      <dl class="fields">
        <Field name="run by">
          {typeof url === "string" ? (
            <Outward href={url} />
          ) : url === undefined && parameters !== undefined ? (
            "whoever hears tool.requested"
          ) : null}
        </Field>
        <Field name="may take">{typeof timeoutMs === "number" && lasting(timeoutMs)}</Field>
        <Field name="parameters">{parameters !== undefined && <Value value={parameters} label="parameters" />}</Field>
      </dl>
      <Rest
        fields={payload}
        but={[
          "name",
          "description",
          "parameters",
          "approval",
          ...(typeof url === "string" ? ["url"] : []),
          ...(typeof timeoutMs === "number" ? ["timeoutMs"] : []),
        ]}
      />
    </>
  );
}
