// Three processors in three languages answer each other in a circle, and are killed all the while.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { aRuntime, until } from "../clients/support.mjs";
import { Tailrace, aWorker, all, goesOn, languages, programs, random, setting } from "./support.mjs";

/** How many rounds; more for who has the time. */
const rounds = setting("TAILRACE_TEST_ROUNDS", 150);
/** So long an event may lie that was meant for one who died. */
const leaseSeconds = 2;

test(`${rounds} rounds in three languages, each of which is killed again and again: none twice, none left out`, async (t) => {
  const programsOf = await programs();
  const { url } = await aRuntime(t);
  const stream = new Tailrace(url).stream("/rounds");
  await stream.append({ type: "breaker.configured", payload: { limit: null } });
  /** Rust answers Python's, TypeScript Rust's, Python TypeScript's. */
  const before = (index) => languages.at((index % 3) - 1);
  const players = languages.map((me, index) =>
    aWorker(t, programsOf[me], {
      does: "rounds",
      url,
      path: stream.path,
      me,
      other: before(index),
      rounds,
      leaseSeconds,
    }),
  );
  await until("all are subscribed", async () => Object.keys((await stream.state()).subscriptions).length === 3);
  const begun = Date.now();
  await stream.append({ type: "round", payload: { n: 1, by: "python" } });

  const played = async () => (await all(stream, { types: ["round"], last: 1 }))[0].payload.n;
  for (let next = random(1, 10); next < rounds; next += random(1, 20)) {
    await goesOn(`round ${next}`, played, (n) => n >= next);
    // Anywhere between two rounds.
    await sleep(random(0, 30));
    await players[random(0, 3)].restart();
  }
  await goesOn("the last round", played, (n) => n >= rounds);
  const seconds = (Date.now() - begun) / 1_000;

  const heard = (index) => Array.from({ length: rounds }, (_, n) => n % 3).filter((it) => it === index).length;
  for (const [index, slug] of languages.entries()) {
    // Whatever they would say twice has been said by then.
    const state = await until(`${slug} has seen all`, async () => {
      const { state, status, lease } = await stream.subscription(slug);
      return status === "idle" && !lease && state;
    });
    assert.equal(state, heard(index), `${slug} counted each once`);
  }
  const events = await all(stream);
  const game = events.filter(({ type }) => type === "round");
  assert.deepEqual(
    game.map(({ payload }) => [payload.n, payload.by]),
    Array.from({ length: rounds }, (_, n) => [n + 1, before(n)]),
  );
  for (const [index, { cause }] of game.entries()) {
    if (index > 0) assert.equal(cause.offset, game[index - 1].offset);
  }
  // What an SDK says of an error, or configures once more.
  assert.deepEqual(
    events.filter(({ type }) => type !== "round").map(({ type }) => type),
    ["stream.created", "breaker.configured", ...languages.map(() => "subscription.configured")],
  );
  const kills = languages.map((language, index) => `${language} ${players[index].kills}`);
  t.diagnostic(`${rounds} rounds in ${seconds} s; killed: ${kills.join(", ")}`);
});
