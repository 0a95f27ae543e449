/** An event as the graph of causes needs it: where it stands, what it says in a few words, and what it follows from. */
import { fieldsOf } from "../event/payload.ts";
import { streamPath } from "../api/path.ts";
import type { StoredEvent } from "tailrace";

/** Names an event. */
export interface Ref {
  readonly path: string;
  readonly offset: number;
}

/** An event, without what the graph does not show. */
export interface Fact extends Ref {
  readonly type: string;
  readonly words: string;
  /** What it is about, for its colour. */
  readonly kind: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly cause: Ref | undefined;
  /** What it asks for, when it is an agent's question: an event of the same stream that {@link answers} the same answers it. */
  readonly asks: string | undefined;
  /** What was asked for, when it says that and has no cause: a person's word on a call. */
  readonly answers: string | undefined;
  /** Who wrote it, as `metadata.tailrace.by` says. */
  readonly by: string | undefined;
  /** Other streams that it speaks of: what follows from it may stand there. */
  readonly mentions: readonly string[];
}

/** The same for the same event. */
export const keyOf = ({ path, offset }: Ref): string => `${path};${offset}`;

/** @param said what is shown of the event */
export function factOf(event: StoredEvent, said: { words: string; kind: string }): Fact {
  const { cause, metadata } = event;
  const { by } = fieldsOf(metadata?.["tailrace"]);
  return {
    path: event.streamPath,
    offset: event.offset,
    type: event.type,
    ...said,
    at: Date.parse(event.createdAt),
    cause: cause && { path: cause.streamPath, offset: cause.offset },
    asks: askedBy(event),
    answers: answeredBy(event),
    by: typeof by === "string" ? by : undefined,
    mentions: mentionsOf(event),
  };
}

/** What agents ask, and which events answer it by naming the same call. */
const questions: readonly { readonly asks: string; readonly answers: readonly string[] }[] = [
  { asks: "tool.approval-requested", answers: ["tool.approved", "tool.denied"] },
  { asks: "tool.requested", answers: ["tool.completed", "tool.failed"] },
];

/** Anybody who may append may write such an event; only what its agent wrote is a question. */
function askedBy({ type, payload, metadata }: StoredEvent): string | undefined {
  const { callId, agent } = fieldsOf(payload);
  if (typeof callId !== "string" || typeof agent !== "string") return undefined;
  if (fieldsOf(metadata?.["tailrace"])["by"] !== `subscription:${agent}`) return undefined;
  return questions.some(({ asks }) => asks === type) ? `${type} ${callId}` : undefined;
}

function answeredBy({ type, payload, cause }: StoredEvent): string | undefined {
  const { callId } = fieldsOf(payload);
  if (cause !== undefined || typeof callId !== "string") return undefined;
  const question = questions.find(({ answers }) => answers.includes(type));
  return question && `${question.asks} ${callId}`;
}

/** The types that answer a question. */
export const typesThatAnswer = ({ type }: Fact): readonly string[] =>
  questions.find(({ asks }) => asks === type)?.answers ?? [];

/** The type of the question that is answered. */
export const typeThatAsks = ({ type }: Fact): string | undefined =>
  questions.find(({ answers }) => answers.includes(type))?.asks;

/** Whether an event may follow from another. */
export const mayFollow = (event: StoredEvent): boolean => event.cause !== undefined || answeredBy(event) !== undefined;

const DEEPEST = 6;
const MOST_MENTIONS = 20;

/** The streams that an event speaks of: in its payload, and where it says that it comes from. */
function mentionsOf({ payload, metadata, cause, streamPath: here }: StoredEvent): string[] {
  const found = new Set<string>();
  if (cause) found.add(cause.streamPath);
  const look = (value: unknown, depth: number): void => {
    if (depth > DEEPEST || typeof value !== "object" || value === null || found.size > MOST_MENTIONS) return;
    for (const [name, within] of Object.entries(value)) {
      if (typeof within !== "string") look(within, depth + 1);
      else if (["streamPath", "path", "target", "from"].includes(name)) {
        const path = resolved(here, within, name === "streamPath");
        if (path) found.add(path);
      }
    }
  };
  look(payload, 0);
  look(metadata?.["tailrace"], 0);
  found.delete(here);
  return [...found];
}

/** The path that a text names, seen from a stream: `../a` and `a` are read as the API reads them. */
function resolved(here: string, text: string, isRelative: boolean): string | undefined {
  if (text.length > 1_000 || !/^[A-Za-z0-9._~@:/-]+$/.test(text)) return undefined;
  if (!text.startsWith("/") && !isRelative) return undefined;
  const steps = text.startsWith("/") ? [] : here.split("/").filter(Boolean);
  for (const step of text.split("/")) {
    if (step === "..") steps.pop();
    else if (step !== "" && step !== ".") steps.push(step);
  }
  return streamPath(`/${steps.join("/")}`);
}
