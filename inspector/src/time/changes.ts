/** What differs between two control states, line by line. */
import type { Difference } from "microdiff";
import { isExact } from "../event/payload.ts";

export interface Change {
  /** It is there now, it is gone, or it is another. */
  readonly sign: "+" | "−" | "~";
  /** The names that lead there. */
  readonly keys: readonly (string | number)[];
  readonly before?: unknown;
  readonly after?: unknown;
}

/** A control state, as `GET /api/state` answers. */
export type Fields = Readonly<Record<string, unknown>>;

/** What every event changes says nothing. */
const PASSING = ["head", "lastEventAt"];

/** @param diff microdiff, which is loaded when it is first needed */
export function changesOf(
  before: Fields,
  after: Fields,
  diff: (from: Record<string, unknown>, to: Record<string, unknown>) => Difference[],
): Change[] {
  return diff(lasting(before), lasting(after)).map((difference): Change => {
    const { type, path: keys } = difference;
    if (type === "CREATE") return { sign: "+", keys, after: difference.value as unknown };
    const before = difference.oldValue as unknown;
    if (type === "REMOVE") return { sign: "−", keys, before };
    return { sign: "~", keys, before, after: difference.value as unknown };
  });
}

const lasting = (state: Fields): Record<string, unknown> =>
  bare(Object.fromEntries(Object.entries(state).filter(([name]) => !PASSING.includes(name)))) as Record<
    string,
    unknown
  >;

/** Objects that inherit nothing: a slug may be `constructor`. */
function bare(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bare);
  if (typeof value !== "object" || value === null || isExact(value)) return value;
  const fields = Object.create(null) as Record<string, unknown>;
  for (const [name, field] of Object.entries(value)) fields[name] = bare(field);
  return fields;
}

/** `subscriptions.guide.target`; a name that would be read as several stands in brackets. */
export function pathOf(keys: readonly (string | number)[]): string {
  return keys
    .map((key, index) => {
      if (/^[A-Za-z_][\w-]*$/.test(String(key))) return index === 0 ? key : `.${key}`;
      return typeof key === "number" ? `[${key}]` : `[${JSON.stringify(key)}]`;
    })
    .join("");
}

/** The same for the same place, for marking it in the state. */
export const placeOf = (keys: readonly (string | number)[]): string => JSON.stringify(keys.map(String));

/** How each place changed that did. What lies above a changed place has changed in part. */
export function marksOf(changes: readonly Change[]): ReadonlyMap<string, "+" | "−" | "~"> {
  const marks = new Map<string, "+" | "−" | "~">();
  for (const { sign, keys } of changes) {
    for (let length = 1; length < keys.length; length += 1) marks.set(placeOf(keys.slice(0, length)), "~");
    marks.set(placeOf(keys), sign);
  }
  return marks;
}
