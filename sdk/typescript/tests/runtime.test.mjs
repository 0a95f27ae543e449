// Against the real runtime, which is killed meanwhile.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, request as requestTo } from "node:http";
import { buffer } from "node:stream/consumers";
import { before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { aRuntime, followOverKills, until } from "../../../tests/clients/support.mjs";
import { built } from "../scripts/build.mjs";

let Tailrace, TailraceError, handler, run;
before(async () => {
  await built();
  ({ Tailrace, TailraceError, handler, run } = await import("../dist/index.js"));
});

describe("against the real runtime", { concurrency: 3 }, () => {
  test("a tail goes on over kills of the server, without a gap or a double", (t) =>
    followOverKills(t, ({ base, path }, seen) => {
      const stop = new AbortController();
      const tail = new Tailrace(base).stream(path).tail({ signal: stop.signal });
      void (async () => {
        for await (const event of tail) seen(event);
      })();
      return () => stop.abort();
    }));

  test("what is done to a stream is what the client says of it", async (t) => {
    const { url } = await aRuntime(t);
    const tailrace = new Tailrace(url);
    const stream = tailrace.stream(`/t-${randomUUID()}`);
    assert.equal(await stream.head(), undefined);
    await assert.rejects(collect(stream.read()), { name: "TailraceError", status: 404, code: "stream_not_found" });

    const one = await stream.append({ type: "one", payload: { text: "\u2028\0\ud800", __proto__: null } });
    await tailrace.stream(`${stream.path}/below/deep`).append([{ type: "two" }, { type: "three" }]);
    await stream.append({ type: "stream.metadata-updated", payload: { metadata: { name: "anna" } } });

    assert.deepEqual([one.offset, one.type, one.payload.text], [2, "one", "\u2028\0\ufffd"]);
    assert.deepEqual((await stream.state()).metadata, { name: "anna" });
    assert.deepEqual((await stream.state({ at: 2 })).metadata, {});
    await until("the parents know", async () => (await collect(stream.children({ recursive: true }))).length === 2);
    assert.deepEqual(
      (await collect(stream.children({ details: true }))).map(({ path, paused }) => [path, paused]),
      [[`${stream.path}/below`, false]],
    );
    const { head, generation, paused } = await stream.head();
    assert.equal((await stream.state()).generation, generation);
    assert.deepEqual([head, paused], [(await collect(stream.read())).length, false]);
    await assert.rejects(stream.append({ type: "one", idempotencyKey: one.idempotencyKey }), {
      code: "idempotency_conflict",
    });
    await assert.rejects(stream.append({ type: "breaker.configured", payload: { limit: "many" } }), (error) => {
      assert(error instanceof TailraceError);
      return error.status === 422 && error.field === "payload.limit" && !error.retryable;
    });
    await stream.delete({ children: true });
    await until("it is gone", async () => (await stream.head()) === undefined);
  });

  test("a lost answer never doubles an event", async (t) => {
    const runtime = await aRuntime(t);
    // Every second answer is lost on the way, the request is not.
    const proxy = await aProxy(t, runtime.url, (count) => count % 2 === 1);
    const stream = new Tailrace(proxy.url).stream(`/t-${randomUUID()}`);
    await stream.append({ type: "breaker.configured", payload: { limit: null } });

    const written = [];
    for (let n = 0; n < 20; n += 1) written.push(await stream.append({ type: "message", payload: { n } }));
    await stream.append([{ type: "batch" }, { type: "batch" }]);

    assert(proxy.lost() >= 20);
    const stored = await collect(new Tailrace(runtime.url).stream(stream.path).read({ types: ["message", "batch"] }));
    assert.deepEqual(
      stored.map(({ type, payload }) => payload.n ?? type),
      [...Array(20).keys(), "batch", "batch"],
    );
    assert.deepEqual(stored.slice(0, 20), written);
  });

  test("a processor over a subtree handles every event once, also in streams that are born later, while all are killed", async (t) => {
    const runtime = await aRuntime(t);
    const root = new Tailrace(runtime.url).stream(`/t-${randomUUID()}`);
    const off = { type: "breaker.configured", payload: { limit: null, children: true } };
    await root.append(off);
    const below = (n) => new Tailrace(runtime.url).stream(`${root.path}/${n % 2}/${n}`);
    const say = async (n, count) => {
      for (let at = 0; at < count; at += 1) await below(n).append({ type: "message", payload: { at } });
    };

    const counter = {
      slug: "count",
      initialState: { count: 0 },
      reduce: ({ count }) => ({ count: count + 1 }),
      afterAppend: ({ state, append }) => append({ type: "counted", payload: state }),
    };
    const begin = () => {
      const stop = new AbortController();
      const ended = run(counter, {
        stream: root,
        children: true,
        types: ["message"],
        from: "start",
        concurrency: 3,
        leaseSeconds: 2,
        signal: stop.signal,
      });
      return { ended, stop: () => stop.abort() };
    };
    let worker = begin();
    t.after(() => worker.stop());
    await until("it has subscribed", async () => (await root.head()) && (await root.state()).subscriptions.count);
    await Promise.all([0, 1, 2].map((n) => say(n, 8)));
    await runtime.killAndRestart();
    // A worker that stops in good order, and one that goes on.
    worker.stop();
    await worker.ended;
    worker = begin();
    await Promise.all([0, 1, 3, 4].map((n) => say(n, 8)));

    const expected = { 0: 16, 1: 16, 2: 8, 3: 8, 4: 8 };
    for (const [n, count] of Object.entries(expected)) {
      const counted = await until(`${count} are counted in ${n}`, async () => {
        const found = await collect(below(Number(n)).read({ types: "counted" }));
        return found.length >= count && found;
      });
      // By what each says and is caused by: every message once, in order.
      assert.deepEqual(
        counted.map(({ payload }) => payload.count),
        Array.from({ length: count }, (_, index) => index + 1),
      );
      const messages = await collect(below(Number(n)).read({ types: "message" }));
      assert.deepEqual(
        counted.map(({ cause }) => cause.offset),
        messages.map(({ offset }) => offset),
      );
    }
    worker.stop();
    await worker.ended;
  });

  test("a handler takes pushes with the deployment's own signature, answers, and is asked again after an error", async (t) => {
    const { url } = await aRuntime(t);
    const stream = new Tailrace(url).stream(`/t-${randomUUID()}`);
    let fails = true;
    const echo = {
      initialState: { seen: [] },
      reduce: ({ seen }, { offset }) => ({ seen: [...seen, offset] }),
      afterAppend({ event, append }) {
        if (event.type === "bad" && fails) {
          fails = false;
          throw new Error("not yet");
        }
        append({ type: "echo", payload: { of: event.offset } });
      },
    };
    let handle;
    const statuses = [];
    const endpoint = await anEndpoint(t, async (request) => {
      const response = await handle(request);
      statuses.push(response.status);
      return response;
    });
    const payload = { slug: "echo", target: { url: endpoint }, types: ["message", "bad"] };
    await stream.append({ type: "subscription.configured", payload });
    const { secret } = await (await fetch(`${url}/api/subscriptions${stream.path}?slug=echo&reveal=secret`)).json();
    handle = handler(echo, { secret: ["whsec_bm90IHRoaXMgb25l", secret] });

    await stream.append([{ type: "message" }, { type: "message" }, { type: "bad" }]);
    const seen = [];
    for await (const { type, payload, cause } of stream.tail({ types: ["echo"] })) {
      seen.push([type, payload.of, cause.offset]);
      if (seen.length === 3) break;
    }
    assert.deepEqual(
      seen,
      [3, 4, 5].map((offset) => ["echo", offset, offset]),
    );
    assert.deepEqual((await stream.subscription("echo")).state, { seen: [3, 4, 5] });
    assert.deepEqual([statuses[0], statuses.at(-1)], [500, 200]);

    handle = handler(echo, { secret: "whsec_bm90IHRoaXMgb25l" });
    await stream.append({ type: "message" });
    await until("it was refused", () => statuses.includes(401));
  });

  test("a tail that is left lets go of its connection, also when it waits", async (t) => {
    const runtime = await aRuntime(t);
    let open = 0;
    const proxy = await aProxy(
      t,
      runtime.url,
      () => false,
      (more) => (open += more),
    );
    const stream = new Tailrace(proxy.url).stream(`/t-${randomUUID()}`);
    await stream.append({ type: "one" });

    for await (const { type } of stream.tail()) if (type === "one") break;
    await until("it is gone after a break", () => open === 0);

    const tail = stream.tail({ afterOffset: 2 });
    const waiting = tail.next();
    await until("it waits", () => open === 1);
    await tail.return();
    assert.deepEqual(await waiting, { done: true, value: undefined });
    await until("it is gone after a return", () => open === 0);

    const stop = new AbortController();
    let caughtUp = 0;
    const ended = collect(stream.tail({ signal: stop.signal, onCaughtUp: () => (caughtUp += 1) }));
    await until("it has caught up", () => caughtUp === 1);
    stop.abort();
    assert.deepEqual(
      (await ended).map(({ offset }) => offset),
      [1, 2],
    );
    await until("it is gone after an abort", () => open === 0);
  });

  test("a tail that nobody takes from does not read on", async (t) => {
    const runtime = await aRuntime(t);
    let passed = 0;
    const proxy = await aProxy(
      t,
      runtime.url,
      () => false,
      undefined,
      (bytes) => (passed += bytes),
    );
    const stream = new Tailrace(runtime.url).stream(`/t-${randomUUID()}`);
    const text = "x".repeat(500_000);
    for (let n = 0; n < 60; n += 1) await stream.append({ type: "large", payload: { text } });

    const tail = new Tailrace(proxy.url).stream(stream.path).tail();
    t.after(() => tail.return());
    await tail.next();
    let before = -1;
    // What the sockets between us hold comes still.
    await until("it stands still", async () => {
      const stands = passed === before;
      before = passed;
      await sleep(200);
      return stands;
    });
    assert(passed < 60 * 500_000 * 0.7, `${passed} bytes were read`);
    const rest = [];
    for await (const { offset } of tail) {
      rest.push(offset);
      if (offset === 61) break;
    }
    assert.deepEqual(
      rest,
      Array.from({ length: 60 }, (_, index) => index + 2),
    );
  });
});

async function collect(events) {
  const all = [];
  for await (const event of events) all.push(event);
  return all;
}

/** A server on `fetch` types. */
async function anEndpoint(t, answer) {
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    const answered = await answer(new Request("http://it/", { method: "POST", headers: request.headers, body }));
    response.writeHead(answered.status, Object.fromEntries(answered.headers));
    response.end(Buffer.from(await answered.arrayBuffer()));
  });
  return `${await listening(t, server)}/`;
}

/** Passes requests on; loses those answers that it is told to. */
async function aProxy(t, target, loses, connected = () => {}, passes = () => {}) {
  let [count, lost] = [0, 0];
  const server = createServer((request, response) => {
    const isLost = loses((count += 1));
    const { method, headers, url } = request;
    const onward = requestTo(target + url, { method, headers }, (answered) => {
      if (isLost) {
        lost += 1;
        answered.resume().on("end", () => response.destroy());
        return;
      }
      connected(1);
      response.writeHead(answered.statusCode, answered.headers);
      response.flushHeaders();
      answered.on("data", (piece) => passes(piece.length));
      answered.pipe(response);
      answered.on("error", () => {});
      response.on("close", () => {
        connected(-1);
        onward.destroy();
      });
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  });
  return { url: await listening(t, server), lost: () => lost };
}

async function listening(t, server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}
