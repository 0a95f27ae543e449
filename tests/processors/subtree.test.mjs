// One processor over many streams that are born, deleted and born again, while its worker is killed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { aRuntime, until } from "../clients/support.mjs";
import { Tailrace, aWorker, all, goesOn, languages, programs, random, setting } from "./support.mjs";

/** How many streams; more for who has the time. */
const count = setting("TAILRACE_TEST_STREAMS", 60);
const itemsOfEach = 6;
const leaseSeconds = 2;
const wanted = Array.from({ length: itemsOfEach }, (_, n) => n + 1);

test(`${count} streams have one processor, which is killed again and again: every event is handled, once and in order`, async (t) => {
  const programsOf = await programs();
  const { url } = await aRuntime(t);
  const tailrace = new Tailrace(url);
  const root = tailrace.stream("/all");
  await root.append({ type: "breaker.configured", payload: { limit: null, children: true } });
  const wish = { does: "subtree", url, path: root.path, leaseSeconds, concurrency: 4 };
  // Another language each time: the state is JSON, and the slug is the same.
  let worker;
  const kills = Object.fromEntries(languages.map((language) => [language, 0]));
  const begin = (language) => {
    const next = aWorker(t, programsOf[language], wish);
    worker = {
      async kill() {
        await next.kill();
        kills[language] += 1;
      },
    };
  };
  begin("rust");
  await until("it is subscribed", async () => (await root.state()).subscriptions.count);

  const begun = Date.now();
  const streams = Array.from({ length: count }, (_, n) => aStream(tailrace.stream(pathOf(root, n)), n));
  let isWritten = false;
  const writing = Promise.all(
    // So many live at the same time.
    Array.from({ length: 8 }, async (_, lane) => {
      for (let n = lane; n < count; n += 8) await streams[n].lives();
    }),
  ).then(() => (isWritten = true));
  const seen = () => streams.reduce((sum, { said }) => sum + said(), 0);
  for (let next = 0; !isWritten; next += random(1, (count * itemsOfEach) / 10)) {
    await goesOn(`${next} items are said`, seen, (items) => isWritten || items >= next);
    await worker.kill();
    begin(languages[random(0, languages.length)]);
  }
  await writing;

  let events = 0;
  for (const stream of streams) events += await stream.isHandled();
  const total = Object.values(kills).reduce((sum, n) => sum + n, 0);
  assert(total > 5, `killed ${total} times`);
  const deleted = streams.filter(({ deleted }) => deleted).length;
  const reborn = streams.filter(({ reborn }) => reborn).length;
  t.diagnostic(
    `${events} items in ${count} streams in ${(Date.now() - begun) / 1_000} s, ${deleted} of them deleted and ${reborn} born again; ` +
      `killed: ${Object.entries(kills).map((it) => it.join(" "))}`,
  );
});

/** Some lie deeper than others. */
const pathOf = (root, n) => `${root.path}/${n % 10}${"/deep".repeat(n % 3)}/${n}`;

/** A stream's life: every fifth is deleted in the middle, and every second of those is born again. */
function aStream(stream, n) {
  const deleted = n % 5 === 4;
  const reborn = deleted && n % 2 === 0;
  let said = 0;
  const says = async (life, items) => {
    for (const n of items) {
      await stream.append({ type: "item", payload: { n, life } });
      said += 1;
    }
  };
  return {
    deleted,
    reborn,
    said: () => said,

    async lives() {
      // Some of what it said may never be handled.
      await says(1, deleted ? wanted.slice(0, random(1, itemsOfEach)) : wanted);
      if (deleted) await stream.delete();
      if (reborn) await says(2, wanted);
    },

    /** All its items are handled, if it lives; how many. */
    async isHandled() {
      if (deleted && !reborn) {
        assert.equal(await stream.head(), undefined, `${stream.path}: what is late does not bring it back`);
        return 0;
      }
      await goesOn(
        `${stream.path} is handled`,
        async () => (await all(stream, { types: ["handled"] })).length,
        (handled) => handled >= wanted.length,
      );
      const events = await all(stream);
      const items = events.filter(({ type }) => type === "item");
      const handled = events.filter(({ type }) => type === "handled");
      assert.deepEqual(
        handled.map(({ payload, cause }) => ({ ...payload, of: cause.offset })),
        items.map(({ payload, offset }, index) => ({ item: payload, count: index + 1, of: offset })),
        stream.path,
      );
      assert.deepEqual(
        items.map(({ payload }) => payload),
        wanted.map((n) => ({ n, life: reborn ? 2 : 1 })),
      );
      assert.equal((await stream.subscription("count")).state, wanted.length);
      return items.length;
    },
  };
}
