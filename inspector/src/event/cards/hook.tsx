/** A request of a third party, as it came: `webhook.received`. */
import type { JSX } from "preact";
import { Badge, Field, Json, Rest, Text, Value, sizeOf } from "../parts.tsx";
import { fieldsOf, nameOf, numberOf, textOf } from "../payload.ts";
import { topicOf } from "../summary.ts";
import type { CardProps } from "./card.ts";

const places = ["source", "method", "url", "headers", "contentType", "encoding", "body", "form", "unpacked", "size"];

export function Hook({ event, payload }: CardProps): JSX.Element {
  const { source, method, url, headers, contentType, encoding, form, unpacked, size, sha256, scheme, key } = payload;
  const reason = textOf(fieldsOf(fieldsOf(event.metadata)["tailrace"])["reason"]);
  return (
    <>
      <p class="title">
        <strong class="name">{nameOf(method) ?? "?"}</strong>
        {nameOf(source) && <strong>{nameOf(source)}</strong>}
        {topicOf(payload) && <span>{topicOf(payload)}</span>} <Verified payload={payload} />
      </p>
      {reason !== undefined && <p class="dim">It was appended, and kept as a hook because it is no event: {reason}</p>}
      <dl class="fields">
        {/* Never a link: following it would call the hook. */}
        <Field name="URL">{textOf(url) && <code class="url">{textOf(url)}</code>}</Field>
        <Field name="looked at by">
          {[textOf(scheme), textOf(key) && `the secret ${String(key)}`].filter(Boolean).join(", ")}
        </Field>
      </dl>
      <section aria-label="Body">
        <h3>
          Body{" "}
          <span class="dim">
            {[nameOf(contentType), numberOf(size) === undefined ? "" : bytes(numberOf(size) ?? 0)]
              .filter(Boolean)
              .join(", ")}
          </span>
        </h3>
        <Body payload={payload} />
      </section>
      {form !== undefined && <Table title="Form" of={form} />}
      {unpacked !== undefined && (
        <section aria-label="Unpacked">
          <h3>Unpacked</h3>
          <Value value={unpacked} label="unpacked" />
        </section>
      )}
      <Table title="Headers" of={headers} />
      <dl class="fields">
        <Field name="SHA-256">{textOf(sha256) && <code>{textOf(sha256)}</code>}</Field>
        <Field name="encoding">{nameOf(encoding)}</Field>
      </dl>
      <Rest fields={payload} but={[...places, "sha256", "verified", "scheme", "key", "reason"]} />
    </>
  );
}

function Verified({ payload: { verified, reason } }: Pick<CardProps, "payload">): JSX.Element {
  const why = textOf(reason);
  return (
    <>
      {verified === true && <Badge is="good">verified</Badge>}
      {verified === false && <Badge is="bad">does not verify</Badge>}
      {verified !== true && verified !== false && <Badge is="warn">not verified</Badge>}
      {why && <span class="dim">{why}</span>}
    </>
  );
}

function Body({ payload: { encoding, body, size, contentType } }: Pick<CardProps, "payload">): JSX.Element {
  const length = bytes(numberOf(size) ?? 0);
  if (encoding === "none" || size === 0) return <p class="dim">None.</p>;
  if (encoding === "raw") return <p class="dim">{length}, too large to stand in the event: download the raw bytes.</p>;
  if (encoding === "base64") {
    return (
      <p class="dim">{`${length} of ${textOf(contentType) || "something"} that is no text: download the raw bytes.`}</p>
    );
  }
  if (typeof body === "string") return <Text text={body} label="Body" />;
  return <Json text={JSON.stringify(body ?? null)} label="body" />;
}

/** Names and values, as they came. */
function Table({ title, of }: { title: string; of: unknown }): JSX.Element | null {
  const rows = Object.entries(fieldsOf(of)).slice(0, 200);
  if (rows.length === 0) return null;
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      <table>
        <thead class="unseen">
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Value</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>
                {typeof value === "string" ? <Text text={value} label={name} /> : <Value value={value} label={name} />}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

const bytes = (count: number): string => (count < 1_024 ? `${count} bytes` : sizeOf(count));

/** `webhook.configured`, `webhook.removed`: how requests of a source are verified and answered. */
export function HookConfigured({ payload }: CardProps): JSX.Element {
  const { slug, preset, reject } = payload;
  return (
    <>
      <p class="title">
        <strong class="name">{nameOf(slug) ?? "?"}</strong>
        {textOf(preset) && <span>as {textOf(preset)} sends</span>}
        {reject === true && <Badge is="warn">refuses what does not verify</Badge>}
      </p>
      <Rest fields={payload} but={["slug", ...(textOf(preset) === undefined ? [] : ["preset"]), "reject"]} />
    </>
  );
}
