/**
 * What of a draft outlives the page: it is kept for the session of this tab, without what looks like a secret, and no
 * more than fits.
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
/** So many characters of a text are kept; a longer one is not. */
export const LONGEST = 65_536;
/** So many of all drafts together; the oldest are forgotten first. */
const MOST = 512 * 1_024;

/** Names of fields whose values are secrets, or stand where one is easily put by mistake. */
const secretName =
  /secrets?$|passw|passphrase|token$|authoriz|api[-_]?key$|credential|cookie|private[-_]?key|^headers$/i;
/** Texts that are secrets wherever they stand: keys of well-known kinds, tokens, and addresses that carry one. */
const secretText =
  /\b(?:sk|pk|rk|whsec|xox[a-z]|gh[a-z]|glpat|npm|AKIA|eyJ)[-_]?[\w.-]{16,}|\b(?:Bearer|Basic)\s+\S{8,}|-----BEGIN|:\/\/[^/\s]*:[^/\s]*@|[?&](?:token|key|secret|signature|sig|password)=/i;

/** What a person said, if it may be kept. */
export const keepable = (text: string): string | undefined =>
  text === "" || text.length > LONGEST || secretText.test(text) ? undefined : text;

/**
 * The text of an event with every secret emptied, otherwise as it was written; `undefined` when nothing of it may be kept.
 * Where the text is not whole JSON yet nobody knows what is a value of what: then one suspicious word is enough.
 */
export function withoutSecrets(text: string): string | undefined {
  if (text.trim() === "" || text.length > LONGEST) return undefined;
  try {
    JSON.parse(text);
  } catch {
    const isSuspicious = secretText.test(text) || text.split(/[^\w-]+/).some((word) => secretName.test(word));
    return isSuspicious ? undefined : text;
  }
  /** For each object and list that is open, whether it is a secret as a whole. */
  const within: boolean[] = [];
  let isNamed = false;
  return text.replaceAll(
    /("(?:[^"\\]|\\.)*")(\s*:)?|[{}[\],]|[^\s{}[\],":]+/g,
    (piece, quoted?: string, colon?: string) => {
      if (quoted !== undefined && colon !== undefined) {
        isNamed = secretName.test(JSON.parse(quoted) as string);
        return piece;
      }
      const isSecret = isNamed || within.at(-1) === true;
      if (piece === "{" || piece === "[") within.push(isSecret);
      else if (piece === "}" || piece === "]") within.pop();
      if (/^[{}[\],]$/.test(piece)) {
        isNamed = false;
        return piece;
      }
      return isSecret || secretText.test(quoted === undefined ? piece : (JSON.parse(quoted) as string)) ? '""' : piece;
    },
  );
}

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

/** Keeps these drafts, by stream, in place of what was kept of them. */
export function remember(drafts: ReadonlyMap<string, Remembered>): void {
  const now = all();
  for (const [path, draft] of drafts) {
    now.delete(path);
    if (Object.values(draft).some((value) => value !== undefined)) now.set(path, draft);
  }
  let text = JSON.stringify([...now]);
  for (const path of now.keys()) {
    if (text.length <= MOST) break;
    now.delete(path);
    text = JSON.stringify([...now]);
  }
  keep("sessionStorage", KEY, now.size === 0 ? null : text);
}
