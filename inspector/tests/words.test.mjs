import assert from "node:assert/strict";
import { test } from "node:test";
import { durationMs, lasting, ofCron, rhythm } from "../src/event/words.ts";

test("durations are milliseconds or ISO 8601", () => {
  assert.deepEqual([5_000, "PT1H30M", "P1DT1S", "P2W", "PT0.5S", "soon", undefined].map(durationMs), [
    5_000,
    5_400_000,
    86_401_000,
    1_209_600_000,
    500,
    undefined,
    undefined,
  ]);
});

test("durations are said in words", () => {
  assert.deepEqual([250, 1_000, 1_500, 600_000, 5_400_000, 86_400_000].map(lasting), [
    "250 ms",
    "1 second",
    "1.5 seconds",
    "10 minutes",
    "1 hour 30 minutes",
    "1 day",
  ]);
});

test("schedules are said in words", () => {
  const cases = [
    [{ every: 600_000 }, "every 10 minutes"],
    [{ every: "PT1H" }, "every hour"],
    [{ after: "PT6S" }, "once, 6 seconds later"],
    [{ at: "2026-01-01T00:00:00Z" }, "once, at 2026-01-01T00:00:00Z"],
    [{ cron: "0 9 * * 1-5", timezone: "Europe/Berlin" }, "at 09:00, Monday to Friday, Europe/Berlin"],
    [
      { every: 1_000, maxRuns: 3, until: "2027-01-01T00:00:00Z" },
      "every second, 3 times at most, until 2027-01-01T00:00:00Z",
    ],
    [{ every: "whenever" }, "every whenever"],
    [{}, "never"],
  ];
  for (const [payload, words] of cases) assert.equal(rhythm(payload), words);
});

test("common cron expressions are said in words, others are shown", () => {
  const cases = {
    "* * * * *": "every minute",
    "*/5 * * * *": "every 5 minutes",
    "0 * * * *": "every hour",
    "15 * * * *": "every hour, at 15 past",
    "30 7 * * *": "every day at 07:30",
    "0 30 7 * * 0": "at 07:30, Sunday",
    "0 9 * * MON,fri": "at 09:00, Monday, Friday",
    "*/7 * * * *": "whenever the clock shows */7 * * * *",
    "0 9 1 * *": "whenever the clock shows 0 9 1 * *",
    "30 0 9 * * *": "whenever the clock shows 30 0 9 * * *",
    nonsense: "whenever the clock shows nonsense",
  };
  for (const [cron, words] of Object.entries(cases)) assert.equal(ofCron(cron), words);
});
