import { append } from "./append.js";
import { TailraceError } from "./error.js";
import { ask, type Connection } from "./http.js";
import type { State, Subscription } from "./state.js";

/** Which events a processor is handed, and how. As `subscription.configured` has it. */
export interface Wanted {
  /** Only these types or globs; all by default. */
  readonly types?: readonly string[];
  /** Only those that this is true for: CEL over `event`. */
  readonly where?: string;
  /** Where it begins, when it is new: `"now"` (by default), `"start"`, or an offset. */
  readonly from?: "now" | "start" | number;
  /** When it changes, the state begins anew and history is folded again. */
  readonly version?: string | number;
  /** Events in one lease at most, 1 to 1,000; 100 by default. */
  readonly batch?: number;
  /** Events are handed out while the stream is paused, too. */
  readonly whilePaused?: boolean;
  /** What it may append beyond events that nothing obeys: types or globs. */
  readonly grants?: readonly string[];
  /** All streams below as well, also those born later. Each has a state of its own. */
  readonly children?: boolean;
}

/** Configures a pulled subscription, if it is missing or is not what is wanted. Returns why it is halted, if it is. */
export async function configured(
  connection: Connection,
  path: string,
  slug: string,
  { types, where, from, version, batch, whilePaused, grants, children }: Wanted,
  signal: AbortSignal,
): Promise<string | undefined> {
  const found = (await state(connection, path, signal))?.subscriptions[slug];
  const wanted = { types, where, from, version, batch, whilePaused, grants, children };
  if (found && same(found, wanted)) return found.halted?.reason;
  const payload = { slug, target: { pull: true }, ...wanted };
  await append(connection, path, { type: "subscription.configured", payload }, { signal });
  return undefined;
}

async function state(connection: Connection, path: string, signal: AbortSignal): Promise<State | undefined> {
  try {
    return await ask<State>(connection, { api: "state", path, signal });
  } catch (error) {
    if (error instanceof TailraceError && error.code === "stream_not_found") return undefined;
    throw error;
  }
}

function same(found: Subscription, wanted: { [Name in keyof Wanted]: Wanted[Name] | undefined }): boolean {
  const list = (value: readonly string[] | undefined): string => JSON.stringify(value?.length ? value : []);
  return (
    found.target["pull"] === true &&
    list(found.types) === list(wanted.types) &&
    list(found.grants) === list(wanted.grants) &&
    found.where === wanted.where &&
    // Once it has begun, where it began matters only to a new version.
    (wanted.from === undefined || (found.from ?? "now") === wanted.from) &&
    String(found.version) === String(wanted.version) &&
    (found.batch ?? 100) === (wanted.batch ?? 100) &&
    (found.whilePaused ?? false) === (wanted.whilePaused ?? false) &&
    (found.children ?? false) === (wanted.children ?? false)
  );
}
