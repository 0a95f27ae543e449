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
export function isFailure(event: StoredEvent): boolean {
  return /(^|[.-])(failed|halted|denied|interrupted)([.-]|$)|error/.test(event.type) || verdict(event) === false;
}

/** What a hook's verification said; `null` when nobody could look, `undefined` when this is no hook. */
export function verdict({ type, payload }: StoredEvent): boolean | null | undefined {
  if (type !== "webhook.received") return undefined;
  if (typeof payload !== "object" || payload === null || !("verified" in payload)) return null;
  return typeof payload.verified === "boolean" ? payload.verified : null;
}

/** As the server has it: `*` stands for any run of characters. On a mismatch only the last one is tried again. */
function globMatches(glob: string, text: string): boolean {
  let [g, t, star, mark] = [0, 0, -1, 0];
  while (t < text.length) {
    if (glob[g] === "*") [star, mark, g] = [g, t, g + 1];
    else if (g < glob.length && glob[g] === text[t]) [g, t] = [g + 1, t + 1];
    else if (star >= 0) [g, mark, t] = [star + 1, mark + 1, mark + 1];
    else return false;
  }
  while (glob[g] === "*") g += 1;
  return g === glob.length;
}

/** Makes the test of a filter, for entries that may come from anywhere. */
export function matcher({ types, text, only }: Filter): (entry: Entry) => boolean {
  const globs = (types ?? "")
    .split(",")
    .map((glob) => glob.trim())
    .filter(Boolean);
  const words = text?.toLowerCase();
  // Quotes and line ends stand in JSON in another way than one types them.
  const asJson = JSON.stringify(words ?? "").slice(1, -1);
  return ({ event }) => {
    if (globs.length > 0 && !globs.some((glob) => globMatches(glob, event.type))) return false;
    if (only === "failed" && !isFailure(event)) return false;
    const verified = verdict(event);
    if (only === "verified" && verified !== true) return false;
    if (only === "unverified" && (verified === undefined || verified)) return false;
    if (words === undefined || words === "" || event.type.toLowerCase().includes(words)) return true;
    const text = said(event).toLowerCase();
    return text.includes(words) || text.includes(asJson);
  };
}

const said = ({ payload, metadata }: StoredEvent): string =>
  JSON.stringify(payload) + (metadata ? JSON.stringify(metadata) : "");
