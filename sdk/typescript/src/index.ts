/**
 * Read and append the events of agents, follow them live, and process them.
 *
 * - {@link Tailrace} and its {@link Stream}s: `append`, `read`, `tail`, `state`, `children`.
 * - {@link Processor}: `{initialState, reduce, afterAppend}`; {@link run} pulls events to it, {@link handler} takes them as
 *   pushes.
 *
 * @module
 */
export { Tailrace, type Options } from "./client.js";
export { TailraceError, type Problem } from "./error.js";
export { Stream, type CallOptions } from "./stream.js";
export { Tail, type TailOptions } from "./tail.js";
export { run, type RunOptions, type Where } from "./run.js";
export { handler, type HandlerOptions } from "./handler.js";
export type { AppendOptions } from "./append.js";
export type { ReadOptions } from "./read.js";
export type { Retry } from "./retry.js";
export type { Child, ChildrenOptions, Head, State, Subscription } from "./state.js";
export type { Context, Processor } from "./processor.js";
export type { Wanted } from "./subscription.js";
export type {
  Answer,
  Appendable,
  AppendableOf,
  Cause,
  EphemeralEvent,
  EventOf,
  Kind,
  NewEvent,
  OtherType,
  StoredEvent,
  SystemType,
} from "./event.js";
