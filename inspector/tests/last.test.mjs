// How far back the last events of some types are looked for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lastBy } from "../src/api/last.ts";

const LOOK = 1_000_000;

/** A log of so many events, of which these match; a question looks back a million of them. */
function aLog(head, matching, { cut = Infinity } = {}) {
  const asked = [];
  const read = async ({ afterOffset, beforeOffset = head + 1, last, limit }) => {
    asked.push(beforeOffset);
    const from = last === undefined ? afterOffset + 1 : Math.max(1, beforeOffset - LOOK);
    const all = matching.filter((offset) => offset >= from && offset < beforeOffset);
    const found = last === undefined ? all.slice(0, limit) : all.slice(-last);
    const entries = found.slice(0, cut).map((offset) => ({ event: { offset } }));
    const isCut = entries.length < found.length;
    const rest = last !== undefined && found.length < last && from > 1 ? { beforeOffset: from } : {};
    return { entries, afterOffset: isCut ? entries.at(-1).event.offset : beforeOffset - 1, ...rest, head };
  };
  const look = async (query) => {
    const { entries, beforeOffset } = await lastBy(read, query);
    return [entries.map(({ event }) => event.offset), beforeOffset];
  };
  return { asked, look };
}

test("what is rare is looked for a few times, and where that ended one can go on", async () => {
  const { asked, look } = aLog(5 * LOOK, [7, LOOK + 3, 3 * LOOK, 5 * LOOK]);
  assert.deepEqual(await look({ last: 9 }), [[3 * LOOK, 5 * LOOK], 2 * LOOK + 1]);
  assert.deepEqual(asked, [5 * LOOK + 1, 4 * LOOK + 1, 3 * LOOK + 1]);
  assert.deepEqual(await look({ last: 9, beforeOffset: 2 * LOOK + 1 }), [[7, LOOK + 3], undefined]);
});

test("where enough is found it is looked no further", async () => {
  const { asked, look } = aLog(5 * LOOK, [7, 4 * LOOK, 5 * LOOK]);
  assert.deepEqual(await look({ last: 2 }), [[4 * LOOK, 5 * LOOK], undefined]);
  assert.equal(asked.length, 2);
});

test("a page that is cut is read to its end", async () => {
  const { look } = aLog(50, [10, 20, 30, 40], { cut: 1 });
  assert.deepEqual(await look({ last: 3 }), [[20, 30, 40], undefined]);
});
