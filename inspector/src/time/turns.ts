/** Turns of agents, and what an agent is at, read from the events of a stream. */
import type { StoredEvent } from "tailrace";
import { fieldsOf, listOf, numberOf, said, textOf } from "../event/payload.ts";

/** What turns and phases are read from. */
export const TYPES =
  "agent.input-added,agent.turn-*,agent.output-added,agent.interrupt-requested,agent.stopped," +
  "tool.approval-requested,tool.requested,tool.started,tool.completed,tool.failed,tool.approved,tool.denied";

export const isOfAgents = (type: string): boolean =>
  /^(agent\.(input-added|turn-\w+|output-added|interrupt-requested|stopped)|tool\.(?!configured$|removed$)[\w-]+)$/.test(
    type,
  );

const MOST_WORDS = 200;

/** An event, without what is large in it. */
export interface Step {
  readonly offset: number;
  readonly type: string;
  readonly at: number;
  readonly agent: string | undefined;
  readonly turn: number | undefined;
  readonly requestId: string | undefined;
  readonly callId: string | undefined;
  /** Of `agent.output-added`: the calls that it wants. */
  readonly calls: readonly string[];
  readonly to: string | undefined;
  readonly words: string;
  readonly isFinal: boolean;
  readonly retryAt: string | undefined;
  readonly inputTokens: number | undefined;
  readonly outputTokens: number | undefined;
  readonly latencyMs: number | undefined;
  readonly firstTokenMs: number | undefined;
  readonly finishReason: string | undefined;
  /** Of `tool.started`: where a sub-agent works. */
  readonly streamPath: string | undefined;
}

export function stepOf({ offset, type, createdAt, payload }: StoredEvent): Step {
  const fields = fieldsOf(payload);
  const usage = fieldsOf(fields["usage"]);
  const words =
    said(fields["content"]) ?? textOf(fields["error"]) ?? textOf(fields["reason"]) ?? textOf(fields["partial"]);
  return {
    offset,
    type,
    at: Date.parse(createdAt),
    agent: textOf(fields["agent"]),
    turn: numberOf(fields["turn"]),
    requestId: textOf(fields["requestId"]),
    callId: textOf(fields["callId"]),
    calls: listOf(fields["toolCalls"]).flatMap((call) => textOf(fieldsOf(call)["callId"]) ?? []),
    to: textOf(fields["to"]),
    words: (words ?? textOf(fields["name"]) ?? "").slice(0, MOST_WORDS),
    isFinal: fields["final"] === true,
    retryAt: textOf(fields["retryAt"]),
    inputTokens: numberOf(usage["inputTokens"]),
    outputTokens: numberOf(usage["outputTokens"]),
    latencyMs: numberOf(fields["latencyMs"]),
    firstTokenMs: numberOf(fields["firstTokenMs"]),
    finishReason: textOf(fields["finishReason"]),
    streamPath: textOf(fields["streamPath"]),
  };
}

export interface Turn {
  readonly agent: string;
  readonly turn: number;
  readonly started: Step;
  /** Its end; the first one counts. */
  readonly end: Step | undefined;
  /** Attempts that failed before. */
  readonly failures: readonly Step[];
}

const isEnd = ({ type, isFinal }: Step): boolean =>
  type === "agent.output-added" || type === "agent.turn-interrupted" || (type === "agent.turn-failed" && isFinal);

/** Turns, the newest first. One whose beginning is not among the steps is left out. */
export function turnsOf(steps: readonly Step[]): Turn[] {
  const turns = new Map<
    string,
    { agent: string; turn: number; started: Step; end: Step | undefined; failures: Step[] }
  >();
  for (const step of steps) {
    const { type, requestId, agent, turn } = step;
    if (requestId === undefined) continue;
    const known = turns.get(requestId);
    if (type === "agent.turn-started" && !known && agent !== undefined && turn !== undefined) {
      turns.set(requestId, { agent, turn, started: step, end: undefined, failures: [] });
    } else if (known && !known.end && isEnd(step)) known.end = step;
    else if (known && !known.end && type === "agent.turn-failed") known.failures.push(step);
  }
  return [...turns.values()].reverse();
}

/** What an agent is at. */
export interface Phase {
  readonly kind: "idle" | "debouncing" | "asking" | "retrying" | "tools" | "approval" | "stopped";
  /** The event since which it is so. */
  readonly since: Step | undefined;
  /** Calls that have not ended. */
  readonly calls: number;
}

/** @param steps the last ones of the stream, in order */
export function phaseOf(slug: string, steps: readonly Step[]): Phase {
  let kind: Phase["kind"] = "idle";
  let since: Step | undefined;
  let request: string | undefined;
  let isHeard = false;
  const calls = new Map<string, "runs" | "asks">();
  const be = (next: Phase["kind"], step: Step): void => {
    kind = next;
    since = step;
  };
  /** What comes when nothing is open: input that waited goes on, else it rests. */
  const rest = (step: Step): void => be(isHeard ? "debouncing" : "idle", step);
  for (const step of steps) {
    const { type, requestId, callId } = step;
    if (type === "agent.input-added") {
      if (step.to !== undefined && step.to !== slug) continue;
      isHeard = true;
      if (["idle", "stopped", "debouncing"].includes(kind)) be("debouncing", step);
    } else if (type === "agent.turn-started" && step.agent === slug) {
      request = requestId;
      isHeard = false;
      calls.clear();
      be("asking", step);
    } else if (type === "agent.stopped" && step.agent === slug) {
      isHeard = false;
      calls.clear();
      be("stopped", step);
    } else if (requestId !== undefined && requestId === request) {
      if (type === "agent.turn-failed" && !step.isFinal) be("retrying", step);
      else if (isEnd(step)) {
        request = undefined;
        step.calls.forEach((call) => calls.set(call, "runs"));
        if (calls.size > 0) be("tools", step);
        else rest(step);
      }
    } else if (callId !== undefined && calls.has(callId)) {
      if (type === "tool.approval-requested") calls.set(callId, "asks");
      if (type === "tool.approved" || type === "tool.requested") calls.set(callId, "runs");
      if (["tool.completed", "tool.failed", "tool.denied"].includes(type)) calls.delete(callId);
      if (calls.size === 0) be("debouncing", step);
      else if ([...calls.values()].includes("asks")) be("approval", step);
      else be("tools", step);
    }
  }
  return { kind, since, calls: calls.size };
}
