/**
 * What of a draft outlives the page: it is kept as it stands for the session of this tab, where the token is kept too. What
 * is secret has no place in an event, and so in no draft: events name the secrets of the deployment.
 */
import { keep, kept } from "../ui/kept.ts";

/** What is kept of a draft; nothing of it stands for what a draft begins with. */
export interface Remembered {
  readonly mode?: "event" | undefined;
  readonly message?: string | undefined;
  readonly to?: string | undefined;
  readonly event?: string | undefined;
}

const KEY = "tailrace-drafts";
/** So many characters of all drafts together, as they are kept; those written longest ago are forgotten first. */
export const MOST = 512 * 1_024;

/** What was kept, by stream, the one that was written last at the end. */
function all(): Map<string, Remembered> {
  try {
    return new Map(JSON.parse(kept("sessionStorage", KEY) ?? "[]") as [string, Remembered][]);
  } catch {
    return new Map();
  }
}

/** What was kept of the draft for a stream. */
export function recall(path: string): Remembered {
  const { mode, message, to, event } = all().get(path) ?? {};
  const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
  return { mode: mode === "event" ? mode : undefined, message: text(message), to: text(to), event: text(event) };
}

/** Keeps these drafts, by stream, in place of what was kept of them. One that does not fit by itself is not kept. */
export function remember(drafts: ReadonlyMap<string, Remembered>): void {
  const now = all();
  for (const [path, draft] of drafts) {
    now.delete(path);
    const isDraft = Object.values(draft).some((value) => value !== undefined);
    if (isDraft && JSON.stringify([[path, draft]]).length <= MOST) now.set(path, draft);
  }
  let text = JSON.stringify([...now]);
  for (const path of now.keys()) {
    if (text.length <= MOST) break;
    now.delete(path);
    text = JSON.stringify([...now]);
  }
  keep("sessionStorage", KEY, now.size === 0 ? null : text);
}
