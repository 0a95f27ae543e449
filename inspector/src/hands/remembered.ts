/**
 * What of a draft outlives the page: it is kept for the session of this tab, without what looks like a secret, and no
 * more than fits.
 */
import { fieldsOf } from "../event/payload.ts";
import { keep, kept } from "../ui/kept.ts";

/** What is kept of a draft; nothing of it stands for what a draft begins with. */
export interface Remembered {
  readonly mode?: "event" | undefined;
  readonly message?: string | undefined;
  readonly to?: string | undefined;
  readonly event?: string | undefined;
  /** Whether a secret was left out of the event. */
  readonly lacks?: true | undefined;
}

const KEY = "tailrace-drafts";
/** So many characters of a text are kept; a longer one is not. */
export const LONGEST = 65_536;
/** So many of all drafts together; the oldest are forgotten first. */
const MOST = 512 * 1_024;

/** Fields whose values are kept from here in any case: also a number or a whole sentence may be a password. */
const passName = /(?:passw(?:or)?d|passphrase|passcode|pwd|authorization|^headers)s?(?: value| hash)?$/;
/** Fields whose texts are: of their like are counts too (`max_tokens: 100`). */
const keyName =
  /(?:secrets?|tokens?|(?:api|access|private|signing|encryption|secret|auth) ?keys?|credentials?|cookies?|\b(?:auth|jwt|bearer))(?: (?:value|key)s?)?$/;
/** Parameters that are secrets in an address, where others of the name need not be. */
const parameterName = /^(?:key|sig|sas)$|signature$/;
/** Headers that say nothing secret. */
const plainHeader = /^(?:accept.*|content-type|user-agent)$/i;

/** Texts that are secrets wherever they stand: keys of well-known kinds and addresses that are one or carry one. */
const secretText = new RegExp(
  [
    /\b(?:[spr]k[-_]|xox[a-z]-|glpat-)(?=[\w-]*\d)[\w-]{16,}/,
    /\b(?:gh[a-z]|github_pat|npm|hf|whsec)_\w{16,}/,
    /\b(?:AKIA|ASIA)[\dA-Z]{16}|\bAIza[\w-]{30}|\beyJ[\w-]{8,}\.[\w-]{8,}/,
    // Plain words may follow as well: a "bearer certificate", "basic principles".
    /\b(?:[Bb]earer|BEARER|[Bb]asic|BASIC)\s+(?=[\w.~+/-]*[\d=])[\w.~+/=-]{16,}/,
    /-----BEGIN/,
    /:\/\/(?!git@)[^/\s@]*@/,
    /hooks\.slack\.com\/\w+\/\w|discord(?:app)?\.com\/api\/webhooks\/\d/,
  ]
    .map(({ source }) => source)
    .join("|"),
);
/** `name: value`, `NAME=value`, `"name": "value"`, also with escapes, and `name is value`, with what follows. */
const assigned = /(?<![\w-])((?:\w{1,40} )?[\w-]{1,60})["'\\]*(?:\s*[:=]|\s+(is)\b)[\s"'\\]*(?=(.{0,60}))/g;
const parameter = /[?&#]([\w.-]{1,60})=\w/g;
const bareNumber = /^-?\d+(?:\.\d+)?(?![\w.]*\w)/;
const prose = /^[A-Za-z][a-z]{0,15},? [a-z]/;

/** How secret the values of a field are: all of them, or its texts. */
type Secrecy = "all" | "texts" | undefined;

function secrecyOf(name: string): Secrecy {
  const words = name
    .replaceAll(/([a-z\d])(?=[A-Z])/g, "$1 ")
    .toLowerCase()
    .replaceAll(/[^a-z\d]+/g, " ")
    .trim();
  if (passName.test(words)) return "all";
  return keyName.test(words) ? "texts" : undefined;
}

/** Whether a text is a secret or tells one. */
function isSecret(text: string): boolean {
  if (secretText.test(text)) return true;
  for (const [, name = "", is, value = ""] of text.matchAll(assigned)) {
    const secrecy = secrecyOf(name);
    if (secrecy === undefined || value === "") continue;
    // "The secret is to stay calm", but "the password is hunter2".
    if (is === undefined ? secrecy === "all" : /^\S*\d/.test(value) && !bareNumber.test(value)) return true;
    if (is === undefined && !bareNumber.test(value) && !prose.test(value)) return true;
  }
  return [...text.matchAll(parameter)].some(
    ([, name = ""]) => secrecyOf(name) !== undefined || parameterName.test(name.toLowerCase()),
  );
}

/** What a person said, if it may be kept. */
export const keepable = (text: string): string | undefined =>
  text === "" || text.length > LONGEST || isSecret(text) ? undefined : text;

/**
 * The text of an event with every secret emptied, otherwise as it was written; `undefined` when nothing of it may be kept.
 * Where the text is not whole JSON yet nobody knows what is a value of what: then one suspicion is enough.
 */
export function withoutSecrets(text: string): string | undefined {
  if (text.trim() === "" || text.length > LONGEST) return undefined;
  /** Values that a field beside them names: `{"name": "API_KEY", "value": "…"}`. */
  const named = new Set<unknown>();
  try {
    JSON.parse(text, (_, it: unknown) => {
      const { name, key, value } = fieldsOf(it);
      if ([name, key].some((by) => typeof by === "string" && secrecyOf(by) !== undefined)) named.add(value);
      return it;
    });
  } catch {
    return isSecret(text) ? undefined : text;
  }
  /** For each object and list that is open, how secret it is as a whole. */
  const within: Secrecy[] = [];
  let own: Secrecy;
  let isPlain = false;
  return text.replaceAll(
    /("(?:[^"\\]|\\.)*")(\s*:)?|[{}[\],]|[^\s{}[\],":]+/g,
    (piece, quoted?: string, colon?: string) => {
      const said = quoted === undefined ? undefined : (JSON.parse(quoted) as string);
      if (said !== undefined && colon !== undefined) {
        own = secrecyOf(said);
        isPlain = plainHeader.test(said);
        return piece;
      }
      const secrecy = within.at(-1) === "all" ? "all" : (own ?? within.at(-1));
      if (piece === "{" || piece === "[") within.push(secrecy);
      else if (piece === "}" || piece === "]") within.pop();
      if (/^[{}[\],]$/.test(piece)) {
        own = undefined;
        isPlain = false;
        return piece;
      }
      if (said === undefined) return secrecy === "all" ? '""' : piece;
      const isOne = (secrecy !== undefined && !isPlain) || named.has(said) || isSecret(said);
      return isOne ? '""' : piece;
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
  const { mode, message, to, event, lacks } = all().get(path) ?? {};
  const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
  return {
    mode: mode === "event" ? mode : undefined,
    message: text(message),
    to: text(to),
    event: text(event),
    lacks: lacks === true ? lacks : undefined,
  };
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
