/** Finding streams by a part of their path. */

/** The order in which a tree is read from above: a stream, then all below it, then its neighbour. */
export function inTreeOrder(one: string, other: string): number {
  const [a, b] = [one.replaceAll("/", "\u0001"), other.replaceAll("/", "\u0001")];
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What was found. */
export interface Found {
  /** The best first. */
  readonly paths: readonly string[];
  /** How many more match. */
  readonly more: number;
}

/**
 * The paths of which a text is a part, in any case. Best is the stream of that name, then what begins with it, then what
 * has it anywhere.
 *
 * @param most so many are given
 */
export function matching(paths: Iterable<string>, text: string, most: number): Found {
  const words = text.trim().toLowerCase();
  const ranked: { path: string; rank: number }[] = [];
  for (const path of paths) {
    const rank = rankOf(path.toLowerCase(), words);
    if (rank !== undefined) ranked.push({ path, rank });
  }
  ranked.sort((one, other) => one.rank - other.rank || inTreeOrder(one.path, other.path));
  const best = ranked.slice(0, most).map(({ path }) => path);
  return { paths: best, more: ranked.length - best.length };
}

function rankOf(path: string, words: string): number | undefined {
  if (path === words || path === `/${words}`) return 0;
  const at = path.indexOf(words);
  if (at < 0) return undefined;
  if (words.startsWith("/")) return at === 0 ? 1 : 3;
  const last = path.slice(path.lastIndexOf("/"));
  if (last === `/${words}`) return 1;
  if (last.startsWith(`/${words}`)) return 2;
  return path.includes(`/${words}`) ? 3 : 4;
}

/**
 * Where typing letters leads in a list of names: the next one that begins with them. The same letter again goes on to the
 * one after.
 *
 * @param from the place of the name that one is on
 * @returns a place; `undefined` when none begins with what was typed
 */
export function typedAhead(names: readonly string[], from: number, typed: string): number | undefined {
  const letters = typed.toLowerCase();
  const isRepeated = letters === letters.charAt(0).repeat(letters.length);
  const wanted = isRepeated ? letters.charAt(0) : letters;
  const first = isRepeated ? from + 1 : from;
  for (let step = 0; step < names.length; step += 1) {
    const at = (first + step) % names.length;
    if (names[at]?.toLowerCase().startsWith(wanted)) return at;
  }
  return undefined;
}
