// What events change in the control state, and finding these events in a long log.
import assert from "node:assert/strict";
import { test } from "node:test";
import diff from "microdiff";
import { changesOf, marksOf, pathOf, placeOf } from "../src/time/changes.ts";
import { Controls } from "../src/time/controls.ts";

test("what was added, removed and changed is told with where it stands", () => {
  const before = { head: 4, paused: null, metadata: { title: "A", tags: ["x"] }, schedules: { daily: { every: 5 } } };
  const after = {
    head: 5,
    paused: { reason: "lunch" },
    metadata: { title: "B" },
    schedules: { daily: { every: 5, until: 1 } },
  };
  const lines = changesOf(before, after, diff).map(({ sign, keys, before: from, after: to }) => [
    sign,
    pathOf(keys),
    structuredClone(from),
    structuredClone(to),
  ]);
  assert.deepEqual(
    lines.sort(),
    [
      ["+", "schedules.daily.until", undefined, 1],
      ["~", "metadata.title", "A", "B"],
      ["~", "paused", null, { reason: "lunch" }],
      ["−", "metadata.tags", ["x"], undefined],
    ].sort(),
  );
});

test("a name that every object inherits is a name like others", () => {
  const made = changesOf({ schedules: {} }, { schedules: { constructor: { every: 5 } } }, diff);
  assert.deepEqual(
    made.map(({ sign, keys }) => [sign, ...keys]),
    [["+", "schedules", "constructor"]],
  );
  const gone = changesOf({ metadata: { toString: 1 } }, { metadata: {} }, diff);
  assert.deepEqual(
    gone.map(({ sign, before }) => [sign, before]),
    [["−", 1]],
  );
});

test("an event that is no control event changes nothing", () => {
  const state = { paused: null, metadata: {} };
  assert.deepEqual(changesOf({ ...state, head: 4 }, { ...state, head: 5 }, diff), []);
});

test("a path is read in one way only", () => {
  assert.equal(pathOf(["subscriptions", "tool.weather", "types", 0]), 'subscriptions["tool.weather"].types[0]');
  assert.equal(pathOf(["a", "b-c"]), "a.b-c");
});

test("what changed is marked, and what it lies in as changed in part", () => {
  const marks = marksOf([{ sign: "+", keys: ["tools", "weather"] }]);
  assert.deepEqual(
    [...marks],
    [
      [placeOf(["tools"]), "~"],
      [placeOf(["tools", "weather"]), "+"],
    ],
  );
});

/** A log of so many events, of which some are control events. */
function aLog(head, controls) {
  const asked = [];
  const all = controls.map((offset) => ({ offset, type: "stream.paused" }));
  const read = async ({ afterOffset = 0, beforeOffset = Infinity, last, limit }) => {
    asked.push({ afterOffset, beforeOffset });
    const events = all.filter(({ offset }) => offset > afterOffset && offset < beforeOffset);
    const page = last === undefined ? events.slice(0, limit) : events.slice(-last);
    const isCut = limit !== undefined && events.length > limit;
    return { events: page, upTo: isCut ? page.at(-1).offset : head, head };
  };
  return { asked, read };
}

const { signal } = new AbortController();
const offsets = (events) => events.map(({ offset }) => offset);

test("the control events around an offset are found, and what is known is not asked for again", async () => {
  const log = aLog(1_000, [1, 400, 490, 510, 900]);
  const controls = new Controls(500, log.read);
  assert.equal(controls.isKnown(500, 1_000), false);
  await controls.reach(500, 1_000, signal);
  assert.equal(controls.isKnown(500, 1_000), true);
  assert.deepEqual([controls.before(500)?.offset, controls.behind(500)?.offset], [490, 510]);
  assert.deepEqual(offsets(controls.near(500, 1)), [490, 510]);
  assert.deepEqual(offsets(controls.near(490, 1)), [400, 490, 510]);
  const { length } = log.asked;
  await controls.reach(510, 1_000, signal);
  assert.deepEqual([controls.before(510)?.offset, controls.behind(510)?.offset], [490, 900]);
  assert.equal(log.asked.length, length);
});

test("at the ends of the log there is none before, and none behind", async () => {
  const log = aLog(100, [1, 50]);
  const controls = new Controls(100, log.read);
  await controls.reach(100, 100, signal, 4);
  assert.deepEqual(offsets(controls.events), [1, 50]);
  assert.equal(controls.behind(50), undefined);
  assert.equal(controls.before(1), undefined);
  assert.deepEqual([controls.low, controls.high], [0, 100]);
});

test("where it was not looked back to the first event there may be more, and the next look goes on there", async () => {
  const log = aLog(900, [3]);
  const read = async (query) => ({ ...(await log.read({ ...query, afterOffset: Math.max(0, query.beforeOffset - 401) })), from: query.beforeOffset - 400 }); // prettier-ignore
  const controls = new Controls(900, read);
  await controls.reach(900, 900, signal);
  assert.deepEqual(
    log.asked.map(({ beforeOffset }) => beforeOffset),
    [901, 501, 101],
  );
  assert.equal(controls.before(900)?.offset, 3);
});

test("page by page all of them are reached", async () => {
  const every = Array.from({ length: 200 }, (_, index) => index + 1);
  const log = aLog(200, every);
  const controls = new Controls(1, log.read);
  for (let at = 1; at < 200; at += 1) {
    await controls.reach(at, 200, signal);
    assert.equal(controls.behind(at)?.offset, at + 1);
  }
  assert.deepEqual(offsets(controls.events), every);
});

test("far from what is known it begins anew, so that nothing is missed in between", async () => {
  const log = aLog(1_000, [10, 500, 990]);
  const controls = new Controls(5, log.read);
  controls.low = 4;
  controls.high = 6;
  await controls.reach(995, 1_000, signal);
  assert.deepEqual([controls.before(995)?.offset, controls.behind(995)], [990, undefined]);
  await controls.reach(700, 1_000, signal);
  assert.deepEqual([controls.before(700)?.offset, controls.behind(700)?.offset], [500, 990]);
});

test("an event that comes now is heard when nothing lies between", async () => {
  const log = aLog(10, [1]);
  const controls = new Controls(10, log.read);
  await controls.reach(10, 10, signal);
  assert.equal(controls.hear({ offset: 11, type: "message" }), false);
  assert.equal(controls.hear({ offset: 12, type: "tool.configured" }), true);
  assert.equal(controls.hear({ offset: 20, type: "stream.paused" }), false);
  assert.deepEqual(offsets(controls.events), [1, 12]);
  assert.equal(controls.high, 12);
});
