/** What is wrong with a path that somebody types: `streamPath` says that it is none, this says why. */
import { streamPath } from "../api/path.ts";

const MOST_SEGMENTS = 16;
const MOST_IN_A_SEGMENT = 128;
const MOST_IN_ALL = 1_000;

/** The rule that a text breaks, in words; `undefined` exactly when `streamPath` takes it. */
export function whyNot(text: string): string | undefined {
  if (streamPath(text) !== undefined) return undefined;
  let path: string;
  try {
    path = decodeURIComponent(text.trim());
  } catch {
    return "After a % come two hexadecimal digits, as in %41. Better leave the % out.";
  }
  const inner = path.replace(/^\//, "").replace(/\/$/, "");
  const segments = inner.split("/");
  for (const segment of segments) {
    const broken = whyNotSegment(segment);
    if (broken) return broken;
  }
  if (segments.length > MOST_SEGMENTS)
    return `A path has at most ${MOST_SEGMENTS} parts; this one has ${segments.length}.`;
  return `A path has at most ${MOST_IN_ALL.toLocaleString("en")} characters; this one has ${(inner.length + 1).toLocaleString("en")}.`;
}

function whyNotSegment(segment: string): string | undefined {
  if (segment === "") return "There is nothing between two slashes.";
  if (segment === "." || segment === "..") return `No part of a path may be “${segment}”.`;
  if (segment.startsWith("_")) return `No part of a path begins with _: “${shortened(segment)}” does.`;
  const [strange] = /[^A-Za-z0-9._~@:-]/u.exec(segment) ?? [];
  if (strange !== undefined) {
    return `${named(strange)} is not allowed: a path is made of A–Z a–z 0–9 . _ ~ @ : - between slashes.`;
  }
  if (segment.length > MOST_IN_A_SEGMENT) {
    return `A part of a path has at most ${MOST_IN_A_SEGMENT} characters; “${shortened(segment)}” has ${segment.length}.`;
  }
  return undefined;
}

const shortened = (text: string): string => (text.length > 24 ? `${text.slice(0, 23)}…` : text);

/** A character so that a person sees which: many are invisible, or look like others. */
function named(character: string): string {
  if (character === " ") return "A space";
  const code = `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
  if (/[\p{C}\p{Z}\p{M}]/u.test(character)) return `The character ${code}`;
  return character.charCodeAt(0) < 128 ? `The character “${character}”` : `The character “${character}” (${code})`;
}
