/** An event in a few words, for its row. Every row of the list asks, so no more is read of a payload than is shown. */
import type { StoredEvent } from "tailrace";
import { brief, briefArguments, fieldsOf, listOf, nameOf, numberOf, said, textOf, type Fields } from "./payload.ts";
import { unturned } from "../ui/visible.ts";
import { breakerWords, lasting, rhythm, targetWords, verifiedWords } from "./words.ts";

const MOST = 300;

/** At most 300 characters on one line. */
export function summary({ type, payload }: StoredEvent): string {
  try {
    const words = Object.hasOwn(known, type) ? known[type]?.(fieldsOf(payload)) : undefined;
    return unturned(cut(words || plain(payload)));
  } catch {
    // Nobody foresaw such a payload; the event itself can be looked at.
    return "";
  }
}

/** What stands in most events that somebody made up: a text by one of the usual names, else the payload itself. */
function plain(payload: unknown): string {
  if (typeof payload === "string") return payload;
  const { text, content, message } = fieldsOf(payload);
  return textOf(text) ?? said(content) ?? textOf(message) ?? (isEmpty(payload) ? "" : brief(payload, MOST));
}

const known: Readonly<Record<string, (payload: Fields) => string | undefined>> = {
  "agent.input-added": ({ content, from, to }) => addressed(said(content), nameOf(from), nameOf(to)),
  "agent.context-added": ({ content, to }) => addressed(said(content), undefined, nameOf(to)),
  "agent.turn-started": ({ agent, turn }) =>
    joined(textOf(agent), turn === undefined ? undefined : `turn ${nameOf(turn)}`),
  "agent.output-added": ({ content, toolCalls }) => joined(said(content), calls(toolCalls)),
  "agent.turn-failed": ({ error, attempt, final }) =>
    joined(nameOf(attempt) && `attempt ${nameOf(attempt)}`, textOf(error), final === true ? "gives up" : "tries again"),
  "agent.turn-interrupted": ({ partial }) =>
    textOf(partial) ? `after “${cut(String(partial), 200)}”` : "before it spoke",
  "agent.interrupt-requested": ({ agent }) => textOf(agent) ?? "every agent of the stream",
  "agent.stopped": ({ agent, reason }) => joined(textOf(agent), textOf(reason)),
  "tool.configured": ({ name, description }) => joined(nameOf(name), textOf(description)),
  "tool.removed": ({ name }) => nameOf(name),
  "tool.requested": call,
  "tool.approval-requested": (payload) => joined(call(payload), "waits for approval"),
  "tool.approved": ({ callId }) => nameOf(callId),
  "tool.denied": ({ callId, reason }) => joined(textOf(reason), nameOf(callId)),
  "tool.started": ({ callId, attempt, streamPath }) =>
    joined(textOf(streamPath), nameOf(callId), (numberOf(attempt) ?? 1) > 1 ? `attempt ${String(attempt)}` : undefined),
  "tool.completed": ({ result }) => (typeof result === "string" ? result : brief(result ?? null, MOST)),
  "tool.failed": ({ error }) => (typeof error === "string" ? error : brief(error ?? null, MOST)),
  "webhook.received": hook,
  "webhook.configured": ({ slug, preset, reject }) =>
    joined(nameOf(slug), textOf(preset), reject === true ? "refuses what does not verify" : undefined),
  "webhook.removed": ({ slug }) => nameOf(slug),
  "schedule.configured": (payload) => {
    const type = textOf(fieldsOf(payload["event"])["type"]);
    return `${nameOf(payload["slug"]) ?? ""}: ${rhythm(payload)}${type ? ` → ${type}` : ""}`;
  },
  "schedule.removed": ({ slug }) => nameOf(slug),
  "schedule.ended": ({ slug, reason, runs }) =>
    joined(
      nameOf(slug),
      textOf(reason),
      runs === undefined ? undefined : `${nameOf(runs)} ${runs === 1 ? "run" : "runs"}`,
    ),
  "subscription.configured": ({ slug, target, types }) =>
    `${nameOf(slug) ?? ""} → ${targetWords(target)}${types === undefined ? "" : ` · ${typesOf(types)}`}`,
  "subscription.removed": ({ slug }) => nameOf(slug),
  "subscription.halted": ({ slug, offset, reason }) =>
    `${nameOf(slug) ?? ""} at event ${nameOf(offset) ?? "?"}: ${textOf(reason) ?? ""}`,
  "subscription.resumed": ({ slug, from, skip }) =>
    joined(
      nameOf(slug),
      from === undefined ? undefined : `again from ${nameOf(from) ?? "?"}`,
      skip === true ? "skips one event" : undefined,
    ),
  "stream.created": ({ path }) => textOf(path),
  "stream.child-created": ({ path }) => textOf(path),
  "stream.child-deleted": ({ path }) => textOf(path),
  "stream.metadata-updated": ({ metadata }) => brief(metadata, MOST),
  "stream.paused": ({ reason, breaker }) => joined(breakerWords(breaker) ?? textOf(reason)),
  "stream.resumed": ({ reason }) => textOf(reason),
  "breaker.configured": ({ limit, windowMs }) =>
    limit === null ? "off" : `${nameOf(limit) ?? "100"} events in ${lasting(numberOf(windowMs) ?? 1_000)}`,
  "error.occurred": ({ message, code }) => joined(textOf(message) ?? brief(message, MOST), textOf(code)),
};

function call({ name, arguments: given }: Fields): string {
  return `${nameOf(name) ?? "?"}(${given === undefined ? "" : briefArguments(given, MOST)})`;
}

function calls(toolCalls: unknown): string | undefined {
  const names = listOf(toolCalls)
    .slice(0, 20)
    .map((it) => nameOf(fieldsOf(it)["name"]) ?? "?");
  return names.length > 0 ? `calls ${names.join(", ")}` : undefined;
}

/** `POST github push verified`. */
function hook(payload: Fields): string {
  const { method, source } = payload;
  return [textOf(method), textOf(source), topicOf(payload), verifiedWords(payload)].filter(Boolean).join(" ");
}

/** What a provider says that a hook is about: in a header, or in the body. */
export function topicOf({ headers, body, form }: Fields): string | undefined {
  const sent = fieldsOf(headers);
  const names = ["x-github-event", "x-gitlab-event", "x-shopify-topic", "x-event-key", "ce-type"];
  const header = names.map((name) => textOf(sent[name])).find(Boolean);
  const inBody = [fieldsOf(body), fieldsOf(form)].flatMap(({ type, event, event_type: named }) => [type, event, named]);
  const topic = header ?? inBody.find((it): it is string => typeof it === "string");
  return topic === undefined ? undefined : cut(topic, 80);
}

function addressed(words: string | undefined, from: string | undefined, to: string | undefined): string | undefined {
  if (words === undefined) return undefined;
  const who = [from, to && `to ${to}`].filter(Boolean).join(" ");
  return who ? `${cut(who, 80)}: ${words}` : words;
}

const typesOf = (types: unknown): string =>
  typeof types === "string" ? types : listOf(types).slice(0, 10).map(String).join(", ");

const joined = (...words: (string | undefined)[]): string => words.filter(Boolean).join(" · ");

const isEmpty = (payload: unknown): boolean =>
  payload === undefined || (typeof payload === "object" && payload !== null && Object.keys(payload).length === 0);

function cut(text: string, most = MOST): string {
  // A line break is a space in a row anyway.
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
