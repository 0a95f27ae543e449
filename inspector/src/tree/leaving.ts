/** Streams that are being deleted with all below: the server works that off, from below, and here one sees how far it is. */
import { signal } from "@preact/signals";
import { TailraceError } from "tailrace";
import { ask, tailrace, wordsOf } from "../api/connection.ts";
import { notify } from "../ui/notices.tsx";
import type { Answer } from "./known.ts";
import { known } from "./streams.ts";

/** How many streams are counted at most. */
export const COUNTED = 1_000;

const LOOK_MS = 1_500;

/** Each with how many streams are left below; `undefined` while nobody has counted. */
export const leaving = signal<ReadonlyMap<string, number | undefined>>(new Map());

/** Follows a deletion to its end. */
export async function follow(path: string, generation: string | undefined): Promise<void> {
  put(path, undefined);
  try {
    for (let left = await leftOf(path, generation); left !== undefined; left = await leftOf(path, generation)) {
      put(path, left);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    known.value.died(path);
    notify({ words: `${path} and all below are deleted` });
  } catch (error) {
    notify({ words: `Nobody can see how far the deletion of ${path} is: ${wordsOf(error)}`, isError: true });
  } finally {
    const rest = new Map(leaving.value);
    rest.delete(path);
    leaving.value = rest;
  }
}

/** How many are left below; `undefined` when the stream is gone, or lives anew. */
async function leftOf(path: string, generation: string | undefined): Promise<number | undefined> {
  const now = await tailrace.value.stream(path).head();
  if (now === undefined || (generation !== undefined && now.generation !== generation)) return undefined;
  return (await countBelow(path)).count;
}

/** How many streams lie below, at any depth, up to {@link COUNTED}. */
export async function countBelow(path: string): Promise<{ count: number; isAll: boolean }> {
  try {
    const { children, after } = await ask<Answer>("children", path, { recursive: true, limit: COUNTED });
    return { count: children.length, isAll: after === null };
  } catch (error) {
    if (error instanceof TailraceError && error.status === 404) return { count: 0, isAll: true };
    throw error;
  }
}

const put = (path: string, left: number | undefined): void => {
  leaving.value = new Map(leaving.value).set(path, left);
};
