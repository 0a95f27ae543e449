// When schedules fire, in words.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cronWords, duration, endWords, ruleWords } from "../src/hands/rule.ts";

const schedule = (rule) => ({ slug: "a", event: { type: "tick" }, offset: 2, ...rule });

test("a duration is exact, however odd", () => {
  const words = [0, 250, 1_000, 5_400_000, 90_061_001].map(duration);
  assert.deepEqual(words, ["0 s", "250 ms", "1 s", "1 h 30 min", "1 d 1 h 1 min 1 s 1 ms"]);
});

test("each kind of rule has words", () => {
  const rules = [{ every: 900_000 }, { at: "2030-01-01T00:00:00Z" }, { after: 0 }, { after: 60_000 }];
  const words = rules.map((rule) => ruleWords(schedule(rule)));
  assert.deepEqual(words, ["every 15 min", "once", "once, at once", "once, after 1 min"]);
});

test("usual cron expressions are said in words", () => {
  for (const [cron, words] of [
    ["* * * * *", "every minute"],
    ["*/5 * * * *", "every 5 min of an hour"],
    ["5 * * * *", "at :05 of every hour"],
    ["0 9 * * 1-5", "at 09:00, Monday to Friday"],
    ["30 18 * * 0,6", "at 18:30, Sunday, Saturday"],
    ["0 0 12 * * *", "at 12:00, every day"],
    ["*/10 * * * * *", "every 10 s of a minute"],
  ]) {
    assert.equal(cronWords(cron), words, cron);
  }
});

test("an unusual cron expression is not guessed at", () => {
  for (const cron of [
    "0 9 1 * *",
    "0 9 * 1 *",
    "0 9 * * MON",
    "0 9-17 * * *",
    "0 9 * * 1#2",
    "5 0 9 * * *",
    "nonsense",
  ]) {
    assert.equal(cronWords(cron), undefined, cron);
    assert.equal(ruleWords(schedule({ cron })), "by the clock");
  }
});

test("what ends a schedule is said", () => {
  assert.equal(endWords(schedule({})), "");
  assert.equal(
    endWords(schedule({ maxRuns: 3, until: "2030-01-01T00:00:00Z" })),
    "at most 3 times, until 2030-01-01T00:00:00Z",
  );
});
