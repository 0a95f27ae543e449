/**
 * What may stand where in an event: names of fields, and values where there are only a few. For completion alone; what
 * holds is what the server says.
 */
import { templates } from "./templates.ts";

/** The fields of an object: what each is for; `values` where there are only a few, `fields` where it is an object. */
export interface Field {
  readonly is: string;
  readonly values?: readonly (string | number | boolean | null)[];
  readonly fields?: Fields;
}
export type Fields = Readonly<Record<string, Field>>;

const flag = (is: string): Field => ({ is, values: [true, false] });
const slug: Field = { is: "its name: 1 to 64 of A-Z a-z 0-9 . _ ~ @ : -" };
const children = flag("it holds for every stream below as well");
const reason: Field = { is: "why, in words" };
const callId: Field = { is: "which call" };
const named: Fields = { slug, children };

const content: Field = { is: "a text, or a list of texts and images" };
const to: Field = { is: "only for the agent of this slug" };
const metadata: Field = { is: "an object beside the payload" };

const agent: Fields = {
  api: { is: "how the model is spoken to", values: ["chat", "responses", "messages"] },
  model: { is: "its name, as the provider knows it" },
  baseUrl: { is: "what stands before /chat/completions, /responses or /messages" },
  secret: { is: "the name of the secret that is the provider's key" },
  system: { is: "what the model is told before everything else" },
  tools: { is: "globs over the names of tools that it may call" },
  allow: { is: "globs over paths that its built-in tools may reach" },
  debounceMs: { is: "how long it waits for more input before it answers" },
  onInput: { is: "what input does that comes while it is busy", values: ["queue", "interrupt"] },
  maxTurns: { is: "turns in one chain of causes; then it stops" },
  waitFor: { is: "slugs of subscriptions that must have seen the input first" },
  timeouts: {
    is: "how long a call of the model may take",
    fields: { totalMs: { is: "in all" }, idleMs: { is: "silent" } },
  },
  options: { is: "what else the request says" },
};

const place: Fields = {
  header: { is: "in this header" },
  part: { is: "the part of it, in a=1,b=2" },
  query: { is: "in this parameter" },
  json: { is: "at this JSON pointer of the body" },
  form: { is: "in this field of a form" },
};

const tool: Fields = {
  name: { is: "1 to 59 of A-Z a-z 0-9 _ -" },
  description: { is: "what it is for, told to the model" },
  parameters: { is: "JSON Schema of its arguments" },
  url: { is: "each call is pushed there" },
  headers: { is: "headers of these pushes" },
  approval: flag("somebody must approve each call"),
  timeoutMs: { is: "how long a call may take" },
  children,
};

/** What the payload of each type may say. */
const payloads: Readonly<Record<string, Fields>> = {
  "stream.metadata-updated": { metadata: { is: "what is merged into the stream's metadata" } },
  "stream.paused": { reason, children },
  "stream.resumed": { reason, children },
  "breaker.configured": {
    limit: { is: "so many events in the window; null is off", values: [null] },
    windowMs: { is: "1 to 60,000" },
    children,
  },
  "schedule.configured": {
    slug,
    event: { is: "what is appended", fields: { type: { is: "its type" }, payload: { is: "any JSON" }, metadata } },
    at: { is: "once, at an instant: 2030-01-31T09:00:00Z" },
    after: { is: "once, so much later: PT1H30M, or milliseconds" },
    every: { is: "again and again, so far apart: PT15M" },
    cron: { is: "whenever the clock shows it: 0 9 * * 1-5" },
    timezone: { is: "with cron: an IANA zone; UTC if nothing is said" },
    maxRuns: { is: "it ends after so many" },
    until: { is: "it ends at this instant" },
    children,
  },
  "schedule.removed": named,
  "subscription.configured": {
    slug,
    target: {
      is: "who gets the events",
      fields: {
        url: { is: "they are pushed there" },
        pull: { is: "workers fetch them", values: [true] },
        agent: { is: "a language model answers", fields: agent },
        javascript: { is: "code that stands here", fields: { source: { is: "a module" } } },
      },
    },
    types: { is: "only these: a list of types or globs" },
    where: { is: "only those that this CEL is true for" },
    from: { is: "where it begins: now, start, or an offset", values: ["now", "start"] },
    state: { is: "the state it begins with" },
    version: { is: "when it changes, the state begins anew" },
    batch: { is: "events in one delivery at most" },
    plain: flag("the body of a push is the event alone"),
    timeoutMs: { is: "how long a push may take" },
    headers: { is: "headers of a push" },
    grants: { is: "what its answers may append beyond plain events" },
    whilePaused: flag("events are delivered while the stream is paused"),
    secretVersion: { is: "when it changes, so does the secret of pushes" },
    children,
  },
  "subscription.removed": named,
  "subscription.resumed": {
    slug,
    from: { is: "again from this offset" },
    redo: flag("with from: do it again, not only fold it"),
    skip: flag("behind the event at which it stands"),
  },
  "webhook.configured": {
    slug,
    preset: { is: "what is known of a provider" },
    verify: {
      is: "how requests are signed",
      fields: {
        scheme: {
          is: "how",
          values: ["hmac-sha1", "hmac-sha256", "hmac-sha512", "ed25519", "ecdsa-p256", "token"],
        },
        signature: { is: "where the signature stands", fields: place },
        prefix: { is: "what stands before it" },
        encoding: { is: "how it is written", values: ["hex", "base64", "text"] },
        signed: { is: "what is signed: {timestamp}.{body}" },
        timestamp: { is: "where the time stands", fields: place },
        tolerance: { is: "how many seconds old it may be" },
        key: { is: "how the secret is written", values: ["text", "base64", "hex"] },
        secrets: { is: "the names of secrets" },
      },
    },
    handshake: { is: "what the provider asks first, and the answers" },
    reply: {
      is: "how what is stored is answered",
      fields: { status: { is: "the HTTP status" }, body: { is: "a text" } },
    },
    reject: flag("what does not verify is refused"),
    idempotency: { is: "what names a delivery", fields: place },
    children,
  },
  "webhook.removed": named,
  "agent.input-added": {
    content,
    role: { is: "who says it", values: ["user", "system", "assistant"] },
    from: { is: "a name" },
    to,
  },
  "agent.context-added": { content, to },
  "agent.interrupt-requested": { agent: { is: "its slug; else every agent" } },
  "tool.configured": tool,
  "tool.removed": { name: { is: "its name" }, children },
  "tool.approved": { callId },
  "tool.denied": { callId, reason },
  "tool.started": { callId, attempt: { is: "1, 2, …" }, streamPath: { is: "a sub-agent's" } },
  "tool.completed": { callId, result: { is: "any JSON" } },
  "tool.failed": { callId, error: { is: "why, in words" } },
  "error.occurred": { message: { is: "what went wrong" }, code: { is: "a name for it" } },
};

/** What an event itself may say. */
export const event: Fields = {
  type: { is: "what happened", values: [...new Set(templates.map(({ type }) => type))] },
  payload: { is: "any JSON" },
  metadata,
  idempotencyKey: { is: "two with the same are one" },
  offset: { is: "only if it gets this offset" },
  cause: {
    is: "the event that it follows from",
    fields: { streamPath: { is: "its stream" }, offset: { is: "its offset" } },
  },
};

/**
 * What may stand in an object of an event.
 *
 * @param type the event's type, as far as it stands there
 * @param path the names that lead there: `["payload", "target"]`
 */
export function fieldsAt(type: string | undefined, path: readonly string[]): Fields {
  const [first, ...rest] = path;
  if (first === undefined) return event;
  let fields: Fields | undefined = first === "payload" ? payloads[type ?? ""] : event[first]?.fields;
  for (const name of rest) fields = fields?.[name]?.fields;
  return fields ?? {};
}
