// The page mends itself: over kills of the server, and over the end of a stream and its second life.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  aRuntime,
  aStream,
  answered,
  appendAll,
  assertContiguous,
  offsetsOf,
  openStream,
  painted,
  rowOf,
  rowsOf,
  says,
  scrolledUntil,
  settled,
  soon,
  unreachable,
  until,
} from "./support.mjs";

const runtime = await aRuntime({ after });

/** What a browser logs by itself when its server dies, and while it is away. */
const allow = [unreachable, answered(502), answered(503)];

/** Appends as a client that comes again does: with a key, until it is answered. */
async function keeps(stream, event) {
  const body = { ...event, idempotencyKey: randomUUID() };
  for (;;) {
    const response = await stream.post(body).catch(() => undefined);
    if (response?.ok) return (await response.json()).event;
    await sleep(50);
  }
}

/** Every offset from the newest up to the first, as one sees them who scrolls back. */
async function allOf(page) {
  const seen = new Map();
  await scrolledUntil(page, -500, (offsets, rows) => {
    assertContiguous(offsets);
    for (const { offset, said } of rows) seen.set(offset, said);
    return offsets[0] === 1;
  });
  return seen;
}

test("over kills of the server nothing is missing, nothing is twice, and the page says how it stands", async (t) => {
  const stream = await aStream(runtime);
  await appendAll(
    stream,
    Array.from({ length: 50 }, (_, n) => ({ type: "before", payload: { text: `before ${n}` } })),
  );
  const page = await openStream(t, stream, { allow });
  await says(page, "live");

  const written = new Map();
  let isWriting = true;
  const writing = (async () => {
    for (let n = 0; isWriting; n += 1) {
      const text = `meanwhile ${n}`;
      const { offset } = await keeps(stream, { type: "meanwhile", payload: { text } });
      written.set(offset, text);
      await sleep(20);
    }
  })();
  for (let kill = 0; kill < 2; kill += 1) {
    const before = written.size;
    await until("more was written", () => written.size > before + 10);
    await runtime.kill();
    await says(page, "connection lost");
    await runtime.restart();
    await says(page, "live");
  }
  isWriting = false;
  await writing;
  const head = await stream.head();
  await rowOf(page, head);
  const seen = await allOf(page);
  assert.equal(seen.size, head);
  for (const [offset, text] of written) assert.equal(seen.get(offset), text);
});

test("who reads further up while the server is killed goes on reading there", async (t) => {
  const stream = await aStream(runtime);
  await appendAll(
    stream,
    Array.from({ length: 2_000 }, (_, n) => ({ type: "before", payload: { text: `before ${n}` } })),
  );
  const page = await openStream(t, stream, { allow, query: { offset: 1_000 } });
  await rowOf(page, 1_000);
  await says(page, "live");
  const before = await settled(page);
  await runtime.kill();
  await says(page, "connection lost");
  assert.deepEqual(await settled(page), before);
  await runtime.restart();
  await appendAll(stream, [{ type: "after" }, { type: "after" }]);
  await says(page, "live");
  await until("the page knows of it", async () => /2,004/.test(await page.locator(".status").first().textContent()));
  assert.deepEqual(await settled(page), before);
  await page.keyboard.press("G");
  await rowOf(page, 2_004);
});

test("a page that could not be fetched while the server was away is fetched when it is back", async (t) => {
  const stream = await aStream(runtime);
  await appendAll(
    stream,
    Array.from({ length: 3_000 }, (_, n) => ({ type: "before", payload: { text: `before ${n}` } })),
  );
  const page = await openStream(t, stream, { allow });
  await says(page, "live");
  await rowOf(page, 3_002);
  await runtime.kill();
  await says(page, "connection lost");
  await page.locator("#events").hover();
  for (let n = 0; n < 10; n += 1) {
    await page.mouse.wheel(0, -6_000);
    await painted(page);
  }
  await runtime.restart();
  await says(page, "live");
  await until("scrolling goes on", async () => {
    await page.mouse.wheel(0, -3_000);
    await painted(page);
    const offsets = await offsetsOf(page);
    if (offsets.length > 0) assertContiguous(offsets);
    return offsets[0] < 1_500;
  });
});

test("a stream that is deleted and begun anew is shown in its new life, and only that", async (t) => {
  const stream = await aStream(runtime);
  await appendAll(
    stream,
    Array.from({ length: 300 }, (_, n) => ({ type: "first.life", payload: { text: `first ${n}` } })),
  );
  const page = await openStream(t, stream, { allow: [...allow, answered(404), answered(410)] });
  await rowOf(page, 302);
  await says(page, "live");
  assert.ok((await stream.delete()).ok);
  await soon(async () => assert.deepEqual(await offsetsOf(page), []));

  await stream.append({ type: "second.life", payload: { text: "second 1" } });
  await soon(async () => assert.deepEqual(await offsetsOf(page), [1, 2]));
  await stream.append({ type: "second.life", payload: { text: "second 2" } });
  await soon(async () => assert.deepEqual(await offsetsOf(page), [1, 2, 3]));
  assert.deepEqual(
    (await rowsOf(page)).slice(1).map(({ said }) => said),
    ["second 1", "second 2"],
  );
  await says(page, "live");
});

test("a stream that is begun anew at once is shown in its new life", async (t) => {
  const stream = await aStream(runtime);
  await appendAll(stream, [{ type: "first.life" }, { type: "first.life" }]);
  const page = await openStream(t, stream, { allow: [...allow, answered(404), answered(410)] });
  await rowOf(page, 4);
  await says(page, "live");
  await stream.delete();
  for (let n = 0; n < 6; n += 1) await stream.append({ type: "second.life" });
  await soon(async () =>
    assert.deepEqual((await rowsOf(page)).map(({ type }) => type).slice(1), Array(6).fill("second.life")),
  );
  assert.deepEqual(await offsetsOf(page), [1, 2, 3, 4, 5, 6, 7]);
});
