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
  const by = fieldsOf(metadata?.["tailrace"])["by"];
  return {
    path: event.streamPath,
    offset: event.offset,
    type: event.type,
    ...said,
    at: Date.parse(event.createdAt),
    cause: cause && { path: cause.streamPath, offset: cause.offset },
    by: typeof by === "string" ? by : undefined,
    mentions: mentionsOf(event),
  };
}

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
