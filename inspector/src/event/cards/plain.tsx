/** An event of a type that nobody knows: its fields. And one that says something, whatever its type. */
import type { JSX } from "preact";
import { EventLink, Field, Outward, Rest, StreamLink, Text, Value } from "../parts.tsx";
import { fieldsOf, MOST_PARTS, nameOf, numberOf, said, textOf } from "../payload.ts";
import type { CardProps } from "./card.ts";

export function Plain({ event, payload }: CardProps): JSX.Element {
  if (typeof event.payload !== "object" || event.payload === null || Array.isArray(event.payload)) {
    return <Value value={event.payload} label="payload" />;
  }
  if (Object.keys(payload).length === 0) return <p class="dim">It says nothing beyond its type.</p>;
  return <Rest fields={payload} />;
}

/** The field that holds what is said. */
const sayings = ["text", "content", "message"] as const;

export const isSaying = (payload: Readonly<Record<string, unknown>>): boolean =>
  sayings.some((name) => typeof payload[name] === "string") || said(payload["content"]) !== undefined;

/** A message: what is said, then by whom and to whom. */
export function Message({ stream, payload }: CardProps): JSX.Element {
  const name = sayings.find((it) => typeof payload[it] === "string") ?? "content";
  const { role, from, to, replyTo, level, subscription, offset } = payload;
  const reply = fieldsOf(replyTo);
  const isKnown = textOf(reply["streamPath"]) !== undefined;
  const places = ["role", "from", "to", "level", "subscription", "offset"];
  return (
    <>
      <Content content={payload[name]} />
      <dl class="fields">
        <Field name="role">{nameOf(role)}</Field>
        <Field name="from">{nameOf(from)}</Field>
        <Field name="to">{nameOf(to)}</Field>
        <Field name="level">{nameOf(level)}</Field>
        <Field name="subscription">{nameOf(subscription)}</Field>
        {numberOf(offset) !== undefined && (
          <Field name="event">
            <EventLink path={stream.path} offset={offset} />
          </Field>
        )}
        {isKnown && (
          <Field name="replies to">
            <StreamLink path={reply["streamPath"]} /> <code class="dim">{nameOf(reply["callId"])}</code>
          </Field>
        )}
      </dl>
      <Rest
        fields={payload}
        but={[name, ...places.filter((it) => shown(payload[it])), ...(isKnown ? ["replyTo"] : [])]}
      />
    </>
  );
}

const shown = (value: unknown): boolean => nameOf(value) !== undefined;

/** A text, or a list of texts and images. Images are links: the page loads nothing of strangers. */
export function Content({ content }: { content: unknown }): JSX.Element | null {
  if (typeof content === "string") {
    return content === "" ? <p class="dim">An empty text.</p> : <Text text={content} label="Text" />;
  }
  if (!Array.isArray(content)) return <Value value={content} label="content" />;
  return (
    <>
      {content.slice(0, MOST_PARTS).map((part: unknown, index) => {
        const { type, text, url } = fieldsOf(part);
        if (typeof text === "string") return <Text key={index} text={text} label="Text" />;
        if (type !== "image" || typeof url !== "string") return <Value key={index} value={part} label="part" />;
        return (
          <p key={index} class="image">
            Image: {url.length > 500 ? <Text text={url} label="URL" /> : <Outward href={url} />}
          </p>
        );
      })}
      {content.length > MOST_PARTS && (
        <p class="dim">
          and {(content.length - MOST_PARTS).toLocaleString("en")} more parts, which stand in the JSON below
        </p>
      )}
    </>
  );
}
