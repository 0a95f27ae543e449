import assert from "node:assert/strict";
import { test } from "node:test";
import { rowsOf } from "../src/log/rows.ts";

const plain = { grouped: false, newestFirst: false, open: new Set() };
const at = (ms) => new Date(Date.UTC(2026, 0, 1) + ms).toISOString();

/** `aab` is three events; `first` is the offset of the first. */
const log = (types, first = 1, stepMs = 10) =>
  [...types].map((type, index) => ({
    event: { offset: first + index, type, payload: {}, createdAt: at(index * stepMs) },
    size: 1,
  }));

/** Rows as words: `3` an event, `[1-4]` a run, `(1-4)` an unfolded one. */
const words = (rows) =>
  rows
    .map((row) => {
      if (row.kind === "event") return String(row.offset);
      return row.isOpen ? `(${row.offset}-${row.last})` : `[${row.offset}-${row.last}]`;
    })
    .join(" ");

test("each event is a row, oldest or newest first", () => {
  assert.equal(words(rowsOf(log("abc"), plain)), "1 2 3");
  assert.equal(words(rowsOf(log("abc"), { ...plain, newestFirst: true })), "3 2 1");
  assert.deepEqual(rowsOf([], plain), []);
});

test("a row says how long after the one before it came, whatever the order", () => {
  const rows = rowsOf(log("abc"), plain);
  assert.deepEqual(
    rows.map(({ gapMs }) => gapMs),
    [undefined, 10, 10],
  );
  const turned = rowsOf(log("abc"), { ...plain, newestFirst: true });
  assert.deepEqual(
    turned.map(({ gapMs }) => gapMs),
    [10, 10, undefined],
  );
});

test("four of a type in a row are folded into one, three are not", () => {
  const grouped = { ...plain, grouped: true };
  assert.equal(words(rowsOf(log("aaabbbbccc"), grouped)), "1 2 3 [4-7] 8 9 10");
  assert.equal(rowsOf(log("xbbbb"), grouped)[1].count, 4);
  assert.equal(rowsOf(log("xbbbb"), grouped)[1].type, "b");
});

test("an unfolded run stays above its events, oldest or newest first", () => {
  const open = { grouped: true, newestFirst: false, open: new Set([2]) };
  assert.equal(words(rowsOf(log("xaaaay"), open)), "1 (2-5) 2 3 4 5 6");
  assert.equal(words(rowsOf(log("xaaaay"), { ...open, newestFirst: true })), "6 (2-5) 5 4 3 2 1");
});

test("the time behind a folded run is counted from its last event", () => {
  const rows = rowsOf(log("aaaab"), { ...plain, grouped: true });
  assert.equal(rows[1].gapMs, 10);
});

test("a long run is several, whose bounds do not move with what is held", () => {
  const grouped = { ...plain, grouped: true };
  const whole = rowsOf(log("a".repeat(1_600)), grouped);
  assert.equal(words(whole), "[1-499] [500-999] [1000-1499] [1500-1600]");
  const part = rowsOf(log("a".repeat(1_000), 601), grouped);
  assert.deepEqual(words(part).split(" ").slice(1), ["[1000-1499]", "[1500-1600]"]);
});

test("every event is in exactly one row or one folded run", () => {
  let seed = 7;
  const random = (below) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let round = 0; round < 200; round += 1) {
    const types = Array.from({ length: 1 + random(60) }, () => "ab"[random(7) === 0 ? 1 : 0]).join("");
    const entries = log(types, 1 + random(1_200)).filter(() => random(5) > 0);
    const open = new Set(entries.filter(() => random(4) === 0).map(({ event }) => event.offset));
    for (const newestFirst of [false, true]) {
      const offsets = rowsOf(entries, { grouped: true, newestFirst, open }).flatMap((row) => {
        if (row.kind === "event") return [row.offset];
        if (row.isOpen) return [];
        const run = entries.map(({ event }) => event.offset).filter((it) => it >= row.offset && it <= row.last);
        assert.equal(run.length, row.count);
        return newestFirst ? run.reverse() : run;
      });
      const expected = entries.map(({ event }) => event.offset);
      assert.deepEqual(offsets, newestFirst ? expected.reverse() : expected);
    }
  }
});
