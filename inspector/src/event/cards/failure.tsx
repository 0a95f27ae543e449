/** Something went wrong: `error.occurred`. */
import type { JSX } from "preact";
import { EventLink, Field, Rest, StreamLink, Text, Value } from "../parts.tsx";
import { brief, fieldsOf, nameOf, numberOf, textOf } from "../payload.ts";
import type { CardProps } from "./card.ts";

export function Failure({ stream, payload }: CardProps): JSX.Element {
  const { message, code, target, subscription, append, offset, stack } = payload;
  const refused = fieldsOf(append);
  return (
    <>
      <div class="error">
        <Text text={textOf(message) ?? brief(message ?? null)} label="Message" />
      </div>
      <dl class="fields">
        <Field name="code">{nameOf(code) && <code>{nameOf(code)}</code>}</Field>
        <Field name="subscription">{nameOf(subscription)}</Field>
        <Field name="target">
          {target !== undefined &&
            (textOf(target) === undefined ? <Value value={target} label="target" /> : <StreamLink path={target} />)}
        </Field>
        <Field name="event">{numberOf(offset) !== undefined && <EventLink path={stream.path} offset={offset} />}</Field>
      </dl>
      {append !== undefined && (
        <section aria-label="What was refused">
          <h3>What was refused {textOf(refused["type"]) && <code>{textOf(refused["type"])}</code>}</h3>
          <Value value={append} label="append" />
        </section>
      )}
      {typeof stack === "string" && (
        <div class="code">
          <Text text={stack} label="Stack" />
        </div>
      )}
      <Rest
        fields={payload}
        but={[
          "message",
          "code",
          "target",
          "subscription",
          "append",
          ...(typeof stack === "string" ? ["stack"] : []),
          ...(numberOf(offset) === undefined ? [] : ["offset"]),
        ]}
      />
    </>
  );
}
