/** What cards are made of. Whatever an event says is text here, and never markup. */
import "./parts.css";
import type { ComponentChildren, JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { pageOf, streamPath } from "../api/path.ts";
import { beginning, chunks, type Piece } from "./json.ts";
import { brief, isExact, nameOf, textOf } from "./payload.ts";

/** So much of a text is shown at first. */
const TEXT = 2_000;
/** So much of JSON in a card, and of the event itself. */
const JSON_IN_CARD = 4_000;
/** Chunks that the browser lays out only when they are seen. */
const CHUNK = 8_000;

/** A name and what it stands for; nothing when there is nothing. Stands in a `dl`. */
export function Field({ name, children }: { name: string; children?: ComponentChildren }): JSX.Element | null {
  if (children === undefined || children === null || children === "" || children === false) return null;
  return (
    <div class="field">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** A text, line ends kept. A long one shows its beginning, until one wants all. */
export function Text({ text, label = "text" }: { text: string; label?: string }): JSX.Element {
  const [isOpen, open] = useState(false);
  const isLong = text.length > TEXT;
  const parts = isOpen && isLong ? split(text) : [isLong ? text.slice(0, TEXT) : text];
  return (
    <div class="text-box">
      <div class="text" dir="auto">
        {parts.length === 1
          ? parts[0]
          : parts.map((part, index) => (
              <span class="chunk" key={index}>
                {part}
              </span>
            ))}
        {isLong && !isOpen && " …"}
      </div>
      {isLong && <Fold isOpen={isOpen} toggle={() => open(!isOpen)} what={label.toLowerCase()} length={text.length} />}
    </div>
  );
}

/** JSON, indented and coloured. A long one shows its beginning, until one wants all. */
export function Json({
  text,
  most = JSON_IN_CARD,
  label = "value",
}: {
  text: string;
  most?: number;
  label?: string;
}): JSX.Element {
  const [isOpen, open] = useState(false);
  const { pieces, isWhole } = useMemo(() => beginning(text, most), [text, most]);
  const all = useMemo(() => (isOpen && !isWhole ? chunks(text, CHUNK) : undefined), [text, isOpen, isWhole]);
  return (
    <div class="json-box">
      <pre class="json" tabIndex={0} aria-label={label}>
        {all?.map((part, index) => (
          <span class="chunk" key={index}>
            {part}
          </span>
        )) ?? pieces.map(colour)}
        {!isWhole && !isOpen && " …"}
      </pre>
      {!isWhole && <Fold isOpen={isOpen} toggle={() => open(!isOpen)} what={label} length={text.length} />}
    </div>
  );
}

const colour = ({ kind, text }: Piece, index: number): JSX.Element | string =>
  kind === "mark" ? (
    text
  ) : (
    <span key={index} class={`json-${kind}`}>
      {text}
    </span>
  );

function Fold(props: { isOpen: boolean; toggle: () => void; what: string; length: number }): JSX.Element {
  return (
    <button type="button" class="quiet show-all" aria-expanded={props.isOpen} onClick={props.toggle}>
      {props.isOpen ? "▾ Show less" : `▸ Show all (${sizeOf(props.length)})`}
      <span class="unseen"> of the {props.what}</span>
    </button>
  );
}

/** Any value: texts as text, what has parts as JSON. */
export function Value({ value, label = "value" }: { value: unknown; label?: string }): JSX.Element | null {
  if (value === undefined) return null;
  if (typeof value === "string")
    return value === "" ? <span class="dim">empty text</span> : <Text text={value} label={label} />;
  if (value === null || typeof value !== "object" || isExact(value)) {
    const kind = value === null || typeof value === "boolean" ? "word" : "number";
    return <code class={`json-${kind}`}>{nameOf(value) ?? JSON.stringify(value)}</code>;
  }
  const text = JSON.stringify(value);
  return text.length < 3 ? <code>{text}</code> : <Json text={text} label={label} />;
}

/** The fields of a payload that no card has a place for. */
export function Rest({
  fields,
  but = [],
}: {
  fields: Readonly<Record<string, unknown>>;
  but?: readonly string[];
}): JSX.Element | null {
  const [isOpen, open] = useState(false);
  const rest = Object.keys(fields).filter((name) => !but.includes(name));
  const shown = isOpen ? rest : rest.slice(0, MOST_FIELDS);
  if (rest.length === 0) return null;
  return (
    <>
      <dl class="fields">
        {shown.map((name) => (
          <Field key={name} name={name.slice(0, 200)}>
            <Value value={fields[name]} label={name.slice(0, 80)} />
          </Field>
        ))}
      </dl>
      {rest.length > MOST_FIELDS && (
        <button type="button" class="quiet show-all" aria-expanded={isOpen} onClick={() => open(!isOpen)}>
          {isOpen ? "▾ Show less" : `▸ Show all ${rest.length.toLocaleString("en")} fields`}
        </button>
      )}
    </>
  );
}

const MOST_FIELDS = 40;

/** A link to a stream, or to an event in it; what is no path of a stream stays text. */
export function StreamLink(props: {
  path: unknown;
  offset?: number | undefined;
  children?: ComponentChildren;
}): JSX.Element | null {
  const path = typeof props.path === "string" && props.path.startsWith("/") ? streamPath(props.path) : undefined;
  if (path === undefined) return props.path === undefined ? null : <>{textOf(props.path) ?? brief(props.path)}</>;
  return (
    <a class="stream-link" href={pageOf(path, props.offset)}>
      {props.children ?? (props.offset === undefined ? path : `${path} · event ${props.offset}`)}
    </a>
  );
}

/** An event of the same stream. */
export function EventLink(props: { path: string; offset: unknown; children?: ComponentChildren }): JSX.Element | null {
  const { offset } = props;
  if (typeof offset !== "number" || !Number.isSafeInteger(offset) || offset < 1) return null;
  return <a href={pageOf(props.path, offset)}>{props.children ?? `event ${offset}`}</a>;
}

/** A link that leads away, when it is one that a browser may follow; else text. */
export function Outward({ href }: { href: string }): JSX.Element {
  let isWeb: boolean;
  try {
    isWeb = ["http:", "https:"].includes(new URL(href).protocol);
  } catch {
    isWeb = false;
  }
  if (!isWeb) return <code class="url">{href}</code>;
  return (
    <a class="url" href={href} target="_blank" rel="noopener noreferrer">
      {href}
    </a>
  );
}

/** A word on how something stands. */
export function Badge({
  is,
  children,
}: {
  is: "good" | "bad" | "warn" | "plain";
  children: ComponentChildren;
}): JSX.Element {
  return (
    <span class="mark" data-is={is}>
      {children}
    </span>
  );
}

export function sizeOf(characters: number): string {
  if (characters < 1_024) return `${characters} characters`;
  return characters < 1_048_576
    ? `${Math.round(characters / 1_024)} KiB`
    : `${(characters / 1_048_576).toFixed(1)} MiB`;
}

/** Parts that the browser lays out by themselves; cut at line ends, where there are any near. */
function split(text: string): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length;) {
    const line = text.lastIndexOf("\n", at + CHUNK);
    let end = line > at && at + CHUNK < text.length ? line + 1 : Math.min(text.length, at + CHUNK);
    const last = text.charCodeAt(end - 1);
    if (last >= 0xd800 && last < 0xdc00 && end < text.length) end -= 1;
    parts.push(text.slice(at, end));
    at = end;
  }
  return parts;
}
