/** Which events are shown: by type (asked of the server), and by text or outcome (looked at here). */
import type { StoredEvent } from "tailrace";
import type { Entry } from "../api/connection.ts";

export interface Filter {
  /** Globs, comma-separated: `agent.*,message`. */
  readonly types?: string | undefined;
  /** A part of the type or of the payload, in any case. */
  readonly text?: string | undefined;
  readonly only?: "failed" | "verified" | "unverified" | undefined;
}

export const isEmpty = ({ types, text, only }: Filter): boolean => !types && !text && !only;

/** True when the server alone cannot say what matches. */
export const isSearched = ({ text, only }: Filter): boolean => Boolean(text) || Boolean(only);

/** Whether something went wrong with what the event tells of. */
export function isFailure({ type, payload }: StoredEvent): boolean {
  if (/(^|\.)(error|failed|halted|denied|interrupted)([.-]|$)|error/.test(type)) return true;
  return type === "webhook.received" && verdict(payload) === false;
}

/** What a hook's verification said; `null` when nobody could look, `undefined` when this is no hook. */
export function verdict(payload: unknown): boolean | null | undefined {
  if (typeof payload !== "object" || payload === null || !("verified" in payload)) return undefined;
  return typeof payload.verified === "boolean" ? payload.verified : null;
}

/** Makes the test of a filter, for entries that may come from anywhere. */
export function matcher({ types, text, only }: Filter): (entry: Entry) => boolean {
  const globs = (types ?? "")
    .split(",")
    .map((glob) => glob.trim())
    .filter(Boolean)
    .map((glob) => new RegExp(`^${glob.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*")}$`));
  const words = text?.toLowerCase();
  return ({ event }) => {
    if (globs.length > 0 && !globs.some((glob) => glob.test(event.type))) return false;
    if (only === "failed" && !isFailure(event)) return false;
    if (only === "verified" && verdict(event.payload) !== true) return false;
    if (only === "unverified" && !(event.type === "webhook.received" && verdict(event.payload) !== true)) return false;
    return !words || event.type.toLowerCase().includes(words) || said(event).toLowerCase().includes(words);
  };
}

const said = ({ payload, metadata }: StoredEvent): string =>
  JSON.stringify(payload) + (metadata ? JSON.stringify(metadata) : "");
