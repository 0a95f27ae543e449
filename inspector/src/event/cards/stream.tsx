/** What happens to a stream itself: it is born, paused, resumed, and has streams below. */
import type { JSX } from "preact";
import { Badge, Field, Rest, StreamLink, Text, Value } from "../parts.tsx";
import { fieldsOf, nameOf, numberOf, textOf } from "../payload.ts";
import { breakerWords, lasting } from "../words.ts";
import type { CardProps } from "./card.ts";

const births: Readonly<Record<string, string>> = {
  "stream.created": "This stream was born",
  "stream.child-created": "A stream was born below",
  "stream.child-deleted": "A stream below was deleted",
};

export function Born({ event, payload }: CardProps): JSX.Element {
  return (
    <>
      <p class="title">
        <span>{births[event.type]}:</span> <StreamLink path={payload["path"]} />
      </p>
      <dl class="fields">
        <Field name="generation">{nameOf(payload["generation"])}</Field>
      </dl>
      <Rest fields={payload} but={["path", "generation"]} />
    </>
  );
}

/** `stream.paused` and `stream.resumed`, by a person or by the breaker. */
export function Paused({ event, payload }: CardProps): JSX.Element {
  const { reason, breaker, children } = payload;
  const isPaused = event.type === "stream.paused";
  const why = textOf(reason);
  const tripped = breakerWords(breaker);
  return (
    <>
      <p class="title">
        <Badge is={isPaused ? "warn" : "good"}>{isPaused ? "paused" : "resumed"}</Badge>
        {breaker !== undefined && <span>by the breaker{tripped && `: ${tripped}`}</span>}
      </p>
      {why !== undefined && <Text text={why} label="Reason" />}
      <p class="dim">
        {isPaused
          ? `It takes no more events until stream.resumed${children === true ? ", and all streams below neither" : ""}.`
          : `It takes events again${children === true ? ", and all streams below, too" : ""}. The breaker's window begins anew.`}
      </p>
      <Rest
        fields={payload}
        but={["children", ...(why === undefined ? [] : ["reason"]), ...(tripped === undefined ? [] : ["breaker"])]}
      />
    </>
  );
}

export function BreakerConfigured({ payload }: CardProps): JSX.Element {
  const { limit, windowMs, children } = payload;
  const window = numberOf(windowMs) ?? 1_000;
  return (
    <>
      <p>
        {limit === null
          ? "The breaker is off: nothing pauses the stream by itself."
          : `The stream pauses when more than ${nameOf(limit) ?? "100"} events come within ${lasting(window)}.`}
        {children === true && " Also every stream below."}
      </p>
      <Rest fields={payload} but={["limit", "windowMs", "children"]} />
    </>
  );
}

export function MetadataUpdated({ payload }: CardProps): JSX.Element {
  const changes = fieldsOf(payload["metadata"]);
  return (
    <>
      <dl class="fields">
        {Object.entries(changes)
          .slice(0, 100)
          .map(([name, value]) => (
            <Field key={name} name={name.slice(0, 200)}>
              {value === null ? <span class="dim">removed</span> : <Value value={value} label={name.slice(0, 80)} />}
            </Field>
          ))}
      </dl>
      <Rest fields={payload} but={["metadata"]} />
    </>
  );
}
