/**
 * Events to begin with: a complete, valid example of everything that a person may say to a stream. The names in them are
 * placeholders. They are data; a test appends each of them.
 */
export interface Template {
  readonly type: string;
  /** What it does, in a few words. */
  readonly does: string;
  /** More than one example of a type. */
  readonly variant?: string;
  readonly payload: unknown;
}

/** What stands above them in a list. */
export interface Group {
  readonly title: string;
  readonly templates: readonly Template[];
}

const TOMORROW_MS = 86_400_000;
/** An instant that lies ahead, whenever the page is opened. */
const tomorrow = new Date(Math.ceil(Date.now() / TOMORROW_MS) * TOMORROW_MS + TOMORROW_MS).toISOString();

export const groups: readonly Group[] = [
  {
    title: "Yours",
    templates: [
      { type: "message", does: "Any type is yours, with any JSON", payload: { text: "hello" } },
      {
        type: "error.occurred",
        does: "Something went wrong",
        payload: { message: "It does not answer", code: "timeout" },
      },
    ],
  },
  {
    title: "Stream",
    templates: [
      { type: "stream.paused", does: "Take no more events until resumed", payload: { reason: "Being looked at" } },
      { type: "stream.resumed", does: "Take events again", payload: {} },
      {
        type: "stream.metadata-updated",
        does: "Merge into the stream's metadata",
        payload: { metadata: { title: "Support", owner: "anna" } },
      },
      {
        type: "breaker.configured",
        does: "Pause when more events come than this; limit null is off",
        payload: { limit: 100, windowMs: 1_000 },
      },
    ],
  },
  {
    title: "Schedules",
    templates: [
      {
        type: "schedule.configured",
        variant: "every",
        does: "Append an event again and again",
        payload: { slug: "tick", every: "PT15M", event: { type: "tick", payload: {} } },
      },
      {
        type: "schedule.configured",
        variant: "cron",
        does: "Append an event by the clock on the wall",
        payload: {
          slug: "morning",
          cron: "0 9 * * 1-5",
          timezone: "Europe/Berlin",
          event: { type: "agent.input-added", payload: { content: "Good morning. What is due today?" } },
        },
      },
      {
        type: "schedule.configured",
        variant: "at",
        does: "Append an event once, at an instant",
        payload: { slug: "deadline", at: tomorrow, event: { type: "message", payload: { text: "It is due" } } },
      },
      {
        type: "schedule.configured",
        variant: "after",
        does: "Append an event once, in a while",
        payload: { slug: "reminder", after: "PT1H30M", event: { type: "message", payload: { text: "Remember" } } },
      },
      { type: "schedule.removed", does: "Take a schedule back", payload: { slug: "tick" } },
    ],
  },
  {
    title: "Subscriptions",
    templates: [
      {
        type: "subscription.configured",
        variant: "pull",
        does: "Workers fetch the events from /api/lease",
        payload: { slug: "worker", target: { pull: true }, types: ["message"], from: "now" },
      },
      {
        type: "subscription.configured",
        variant: "push",
        does: "Events are pushed to a URL",
        payload: { slug: "push", target: { url: "https://example.com/events" }, types: ["message"] },
      },
      {
        type: "subscription.configured",
        variant: "javascript",
        does: "Code in the stream answers",
        payload: {
          slug: "echo",
          types: ["message"],
          target: {
            javascript: {
              source:
                'export default { afterAppend({ event, append }) { append({ type: "echo", payload: event.payload }) } }',
            },
          },
        },
      },
      {
        type: "subscription.resumed",
        variant: "go on",
        does: "Go on after a halt, with the same event",
        payload: { slug: "worker" },
      },
      {
        type: "subscription.resumed",
        variant: "skip",
        does: "Go on behind the event at which it stands",
        payload: { slug: "worker", skip: true },
      },
      {
        type: "subscription.resumed",
        variant: "replay",
        does: "Go on again from an offset; redo: not only to fold",
        payload: { slug: "worker", from: 1, redo: false },
      },
      { type: "subscription.removed", does: "Hand it nothing more", payload: { slug: "worker" } },
    ],
  },
  {
    title: "Agents and tools",
    templates: [
      {
        type: "subscription.configured",
        variant: "agent",
        does: "A language model answers",
        payload: {
          slug: "helper",
          target: { agent: { api: "chat", model: "gpt-4.1-mini", secret: "OPENAI", system: "Be brief." } },
        },
      },
      {
        type: "agent.input-added",
        does: "Say something to the agents; to: only to this one",
        payload: { content: "What is a tailrace?", to: "helper" },
      },
      {
        type: "agent.context-added",
        does: "What the agent is to know from its next turn on",
        payload: { content: "The person speaks English." },
      },
      { type: "agent.interrupt-requested", does: "Stop what the agent does", payload: { agent: "helper" } },
      {
        type: "tool.configured",
        does: "What models may call",
        payload: {
          name: "weather",
          description: "The weather in a city",
          parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
          approval: true,
        },
      },
      { type: "tool.removed", does: "Take a tool back", payload: { name: "weather" } },
      { type: "tool.approved", does: "A call that waits may run", payload: { callId: "request.0" } },
      {
        type: "tool.denied",
        does: "A call that waits may not run",
        payload: { callId: "request.0", reason: "Not today" },
      },
      { type: "tool.started", does: "Somebody is at a call", payload: { callId: "request.0", attempt: 1 } },
      {
        type: "tool.completed",
        does: "The result of a call",
        payload: { callId: "request.0", result: { degrees: 21 } },
      },
      { type: "tool.failed", does: "A call failed", payload: { callId: "request.0", error: "There is no such city" } },
    ],
  },
  {
    title: "Hooks",
    templates: [
      {
        type: "webhook.configured",
        variant: "preset",
        does: "How requests of a source are verified and answered",
        payload: { slug: "github", preset: "github" },
      },
      {
        type: "webhook.configured",
        variant: "own",
        does: "The same for a source of your own",
        payload: {
          slug: "acme",
          verify: {
            scheme: "hmac-sha256",
            signature: { header: "x-acme-signature" },
            prefix: "sha256=",
            signed: "{timestamp}.{body}",
            timestamp: { header: "x-acme-timestamp" },
            secrets: ["ACME"],
          },
          idempotency: { header: "x-acme-delivery" },
          reply: { status: 204 },
          reject: true,
        },
      },
      { type: "webhook.removed", does: "Take that back", payload: { slug: "github" } },
    ],
  },
];

/** All of them. */
export const templates: readonly Template[] = groups.flatMap((group) => group.templates);

/** How a template is called: `schedule.configured (cron)`. */
export const titleOf = ({ type, variant }: Template): string => (variant ? `${type} (${variant})` : type);

/** The template of this title. */
export function template(title: string): Template {
  const found = templates.find((each) => titleOf(each) === title);
  if (!found) throw new Error(`there is no template ${title}`);
  return found;
}

/** The text that an editor begins with. */
export const textOf = ({ type, payload }: { type: string; payload: unknown }): string =>
  JSON.stringify({ type, payload }, null, 2);
