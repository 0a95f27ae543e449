/** Which calls of tools wait for somebody's word. */
import { fieldsOf } from "../event/payload.ts";
import type { StoredEvent } from "tailrace";

/** A call that waits. */
export interface Waiting {
  readonly callId: string;
  readonly name: string;
  /** What the model would call it with, as it came: any JSON. */
  readonly arguments: unknown;
  /** The slug of the agent that wants it. */
  readonly agent: string;
  readonly expiresAt: string;
  /** The event that asks. */
  readonly offset: number;
}

/** What ends a call, or lets it run; the first counts. */
export const ends = ["tool.approved", "tool.denied", "tool.requested", "tool.completed", "tool.failed"];

/** The type that asks. */
export const asks = "tool.approval-requested";

/**
 * Takes an event into account; the same list when it says nothing new.
 *
 * Anybody who may append may write such an event, with harmless arguments and the name of a true call. So only what its
 * agent wrote counts, which the system's own part of the metadata says.
 */
export function heard(waiting: readonly Waiting[], event: StoredEvent): readonly Waiting[] {
  const { callId, name, expiresAt, agent, arguments: wanted } = fieldsOf(event.payload);
  if (typeof callId !== "string") return waiting;
  if (ends.includes(event.type)) {
    const left = waiting.filter((call) => call.callId !== callId);
    return left.length === waiting.length ? waiting : left;
  }
  if (event.type !== asks || typeof name !== "string" || typeof expiresAt !== "string") return waiting;
  if (typeof agent !== "string" || fieldsOf(event.metadata?.["tailrace"])["by"] !== `subscription:${agent}`)
    return waiting;
  if (waiting.some((call) => call.callId === callId && call.agent === agent)) return waiting;
  return [...waiting, { callId, name, arguments: wanted, agent, expiresAt, offset: event.offset }];
}

/** Without those whose time is over: the agent denies them itself. */
export const current = (waiting: readonly Waiting[], now: number): readonly Waiting[] =>
  waiting.filter(({ expiresAt }) => Date.parse(expiresAt) > now);
