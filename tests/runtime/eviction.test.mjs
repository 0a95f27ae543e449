// An object may be put to sleep between any two calls. Nobody may notice.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { start } from "../../scripts/runtime.mjs";

let runtime;

before(async () => {
  runtime = await start({
    logs: "ignore",
    ...(process.env.TAILRACE_BUILD ? { build: process.env.TAILRACE_BUILD } : {}),
  });
});
after(() => runtime.kill());

/** A stream whose object is evicted before every call. */
function sleepy(path) {
  const url = `${runtime.url}/api/streams${path}`;
  const call = async (target, options) => {
    await runtime.evict(path);
    return fetch(target, options);
  };
  return {
    append: (event, query = "") => call(url + query, { method: "POST", body: JSON.stringify(event) }),
    read: async (query = "") => (await call(url + query)).json(),
    hook: (body) => call(`${runtime.url}/hooks${path}`, { method: "POST", body }),
    state: async (query = "") => (await call(`${runtime.url}/api/state${path}${query}`)).json(),
    delete: () => call(url, { method: "DELETE" }),
  };
}

test("offsets, keys and pages are the same to an object that slept", async () => {
  const stream = sleepy("/keys");
  for (let number = 1; number <= 5; number++) {
    const response = await stream.append({ type: "n", payload: { number }, idempotencyKey: `k${number}` });
    assert.equal((await response.json()).event.offset, number + 1);
  }
  const again = await stream.append({ type: "n", payload: { number: 3 }, idempotencyKey: "k3" });
  assert.equal(again.headers.get("tailrace-duplicate"), "true");
  assert.equal((await again.json()).event.offset, 4);
  const page = await stream.read("?afterOffset=2&limit=2");
  assert.deepEqual(
    page.events.map((event) => event.offset),
    [3, 4],
  );
});

test("the breaker counts to the event across naps, and a pause lasts", async () => {
  const stream = sleepy("/breaker");
  await stream.append({ type: "breaker.configured", payload: { limit: 5, windowMs: 60_000 } });
  for (let number = 1; number <= 5; number++) {
    assert.equal((await stream.append({ type: "n" })).headers.get("tailrace-paused"), null);
  }
  assert.equal((await stream.append({ type: "n" })).headers.get("tailrace-paused"), "true");
  assert.equal((await stream.append({ type: "n" })).status, 423);
  const parked = await stream.hook("while paused");
  assert.equal(parked.status, 202);
  assert.equal((await stream.state()).parked.count, 1);
  assert.equal((await stream.state("?at=8")).paused, null);
  await stream.append({ type: "stream.resumed" });
  // What was parked comes by the alarm, which rings for an object that sleeps as well.
  const waited = await fetch(`${runtime.url}/api/streams/breaker?types=webhook.received&wait=30`);
  assert.equal((await waited.json()).events[0].payload.body, "while paused");
});

test("a live reader follows an object through its sleep, its death and its next life", async () => {
  const stream = sleepy("/live");
  const cut = new AbortController();
  const response = await fetch(`${runtime.url}/api/streams/live?live=true`, { signal: cut.signal });
  const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  const until = async (what) => {
    while (!seen.includes(what)) seen += (await text.read()).value ?? assert.fail(`the end before ${what}`);
  };
  await until("event: tail");
  for (let number = 1; number <= 3; number++) {
    await stream.append({ type: "n", payload: { number } });
    await until(`"number":${number}`);
  }
  assert.deepEqual(
    [...seen.matchAll(/^id: (\d+)\.\w+\ndata: \{"offset":(\d+),"type"/gm)].map((match) => match[2]),
    ["1", "2", "3", "4"],
  );
  await stream.delete();
  assert.equal((await text.read()).done, true);
  cut.abort();
  const born = (await (await stream.append({ type: "again" })).json()).event;
  assert.equal(born.offset, 2);
});
