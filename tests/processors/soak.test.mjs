// A tail of every SDK, side by side, while the server is killed again and again: for as long as it is wanted.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { aRuntime } from "../clients/support.mjs";
import { Tailrace, aWorker, all, goesOn, programs, setting } from "./support.mjs";

const minutes = setting("TAILRACE_SOAK_MINUTES", 0.5);
const eventsPerSecond = 50;
/** Between two kills: 20 s, less when there is less time. */
const killEveryMs = Math.min(20_000, (minutes * 60_000) / 4);

test(`for ${minutes} minutes tails in all languages see each event once and in order, while the server is killed`, async (t) => {
  const { rust, typescript, python } = await programs();
  const runtime = await aRuntime(t);
  const stream = new Tailrace(runtime.url, { retry: { forMs: 300_000 } }).stream("/soak");
  await stream.append({ type: "breaker.configured", payload: { limit: null } });
  const wish = { does: "tail", url: runtime.url, path: stream.path };
  const tails = Object.entries({
    rust: [rust, wish],
    typescript: [typescript, wish],
    python: [python, wish],
    "python, with asyncio": [python, { ...wish, async: true }],
  }).map(([name, [program, wish]]) => {
    const saw = [];
    aWorker(t, program, wish, (line) => saw.push(JSON.parse(line)));
    return { name, saw };
  });
  const begun = Date.now();
  const end = begun + minutes * 60_000;
  let [kills, written] = [0, 0];
  const killing = (async () => {
    for (;;) {
      await sleep(killEveryMs);
      if (Date.now() >= end) return;
      await runtime.killAndRestart();
      kills += 1;
    }
  })();
  // Several, so that those that wait for the server are not all there are. What could not be said meanwhile is said then.
  const writing = Array.from({ length: 5 }, async () => {
    while (Date.now() < end) {
      const n = (written += 1);
      await sleep(Math.max(0, begun + (n * 1_000) / eventsPerSecond - Date.now()));
      await stream.append({ type: "tick", payload: { n } });
    }
  });
  await Promise.all([killing, ...writing]);

  assert(kills > 0, "the server was killed");
  const stored = (await all(stream)).map(({ offset, payload }) => [offset, payload.n ?? null]);
  assert.deepEqual(
    stored.map(([offset]) => offset),
    stored.map((_, index) => index + 1),
  );
  assert.deepEqual(
    stored.flatMap(([, n]) => n ?? []).sort((a, b) => a - b),
    Array.from({ length: written }, (_, index) => index + 1),
    "no lost answer doubled an event, and none is lost",
  );
  for (const { name, saw } of tails) {
    await goesOn(
      `${name} has seen all`,
      () => saw.length,
      (count) => count >= stored.length,
    );
    assert.deepEqual(saw, stored, name);
  }
  t.diagnostic(
    `${written} events in ${minutes} minutes, seen by ${tails.length}; the server was killed ${kills} times`,
  );
});
