// Workers outside: they lease what is due and settle it, each event once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stream, aRuntime, aStream, until } from "./support.mjs";

const STREAMS = 6;
const EVENTS = 20;

test("two workers share what is due below a stream, and each event is handled once", async (t) => {
  const runtime = await aRuntime(t);
  const { root, below } = await aTree(runtime);
  for (const stream of below) {
    await stream.append(Array.from({ length: EVENTS }, (_, n) => ({ type: "message", payload: { n } })));
  }

  // Each begins with a lease of its own before the other settles: they work at the same time.
  const met = [Promise.withResolvers(), Promise.withResolvers()];
  const workers = met.map((mine, index) => work(root, { begun: mine.resolve, mayGoOn: met[1 - index].promise }));
  t.after(() => Promise.all(workers.map((worker) => worker.stop())));
  await until("all is handled", async () => {
    const states = await Promise.all(below.map((stream) => stateOf(stream)));
    return states.every((state) => state?.length === EVENTS);
  });
  await Promise.all(workers.map((worker) => worker.stop()));

  const order = Array.from({ length: EVENTS }, (_, n) => n);
  for (const stream of below) {
    assert.deepEqual(await stateOf(stream), order);
    const handled = (await stream.events()).filter(({ type }) => type === "handled");
    assert.deepEqual(
      handled.flatMap(({ payload }) => payload.n),
      order,
    );
  }
  const [one, other] = workers.map((worker) => worker.leases);
  assert(one.length > 0 && other.length > 0);
  assert.notEqual(one[0].streamPath, other[0].streamPath);
  assert.equal(new Set([...one, ...other].map(({ lease }) => lease)).size, one.length + other.length);
});

test("a worker that waits is handed what comes below, also in a stream that is born meanwhile", async (t) => {
  const runtime = await aRuntime(t);
  const { root } = await aTree(runtime, 0);
  const waiting = lease(root, { wait: 30 });

  const born = new Stream(runtime.url, `${root.path}/born/later`);
  await born.append({ type: "message", payload: { n: 1 } });

  const { streamPath, events } = await waiting;
  assert.equal(streamPath, born.path);
  assert.deepEqual(
    events.map(({ payload }) => payload),
    [{ n: 1 }],
  );
});

test("what a worker leased that died is handed to another, and the dead one cannot settle it any more", async (t) => {
  const runtime = await aRuntime(t);
  const { root, below } = await aTree(runtime, 1);
  const [stream] = below;
  await stream.append({ type: "message", payload: { n: 1 } });

  const begun = Date.now();
  const lost = await lease(stream, { children: false, for: 1 });
  // Who looks meanwhile finds nothing, and what was there is not forgotten for that. A slow machine may look when the time
  // is over already.
  const early = await lease(root);
  if (early) assert.ok(Date.now() - begun >= 1_000, "it is leased by two");
  const found = early ?? (await until("it is given on", () => lease(root, { wait: 5 })));

  assert.deepEqual(found.events, lost.events);
  assert.notEqual(found.lease, lost.lease);
  const late = await settle(stream, { lease: lost.lease, state: ["late"] });
  assert.equal(late.status, 409);
  assert.equal((await late.json()).code, "lease_lost");
  assert.equal((await settle(stream, { lease: found.lease, state: [1] })).status, 200);
  assert.deepEqual(await stateOf(stream), [1]);
});

/** A stream whose pulled subscription holds for all below it, and some streams there. */
async function aTree(runtime, streams = STREAMS) {
  const root = await aStream(runtime);
  const payload = { slug: "work", types: ["message"], target: { pull: true }, batch: 3, children: true };
  await root.append({ type: "subscription.configured", payload });
  const below = [];
  for (let n = 0; n < streams; n += 1) {
    const stream = new Stream(runtime.url, `${root.path}/deep/${n}`);
    await stream.append({ type: "begun" });
    // It knows what holds for it as soon as those above know that it is there.
    await until("it has the subscription", async () => (await stateOf(stream)) !== undefined);
    below.push(stream);
  }
  return { root, below };
}

/** Leases and settles until it is stopped: the state is the numbers of all messages so far. */
function work(root, { begun, mayGoOn }) {
  const leases = [];
  let goesOn = true;
  const done = (async () => {
    while (goesOn) {
      const leased = await lease(root, { wait: 1 });
      if (!leased) continue;
      leases.push(leased);
      begun();
      await mayGoOn;
      const n = leased.events.map(({ payload }) => payload.n);
      const append = { type: "handled", payload: { n } };
      const state = [...(leased.state ?? []), ...n];
      const settled = await settle({ ...root, path: leased.streamPath }, { lease: leased.lease, state, append });
      assert.equal(settled.status, 200, await settled.text());
    }
  })();
  return {
    leases,
    stop() {
      goesOn = false;
      return done;
    },
  };
}

/** What is due to a worker at or below a stream; nothing if nothing is. */
async function lease({ base, path }, settings) {
  const query = new URLSearchParams({ slug: "work", children: "true", ...settings });
  const response = await fetch(`${base}/api/lease${path}?${query}`, { method: "POST" });
  if (response.status === 204) return undefined;
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

const settle = ({ base, path }, body) =>
  fetch(`${base}/api/settle${path}`, { method: "POST", body: JSON.stringify(body) });

/** The state that the subscription has in a stream; `undefined` when it has none there. */
async function stateOf({ base, path }) {
  const response = await fetch(`${base}/api/subscriptions${path}?slug=work`);
  return response.status === 200 ? (await response.json()).state : undefined;
}
