// JavaScript as an event, end to end: what the code of a subscription may do, and what it does not get away with.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { aRuntime, aServer, short, until } from "./support.mjs";

const SECRET = "s3cret-of-crm";

const runtime = await aRuntime({
  vars: {
    TAILRACE_SECRET_CRM: JSON.stringify({ value: SECRET, send: ["127.0.0.1"] }),
    TAILRACE_SECRET_ELSEWHERE: JSON.stringify({ value: "for-others", send: ["api.example.com"] }),
  },
});

/** The event that makes code a part of the stream; `more` stands beside the target, `target` beside the source. */
function configured(source, { slug = "code", target = {}, ...more } = {}) {
  return { type: "subscription.configured", payload: { slug, target: { javascript: { source, ...target } }, ...more } };
}

/** A processor whose afterAppend is this code. */
const answering = (code) => `export default { async afterAppend({ event, state, append, fetch }) { ${code} } }`;

/** One that counts in its state, says in its console that it folds, and answers each event with the count. */
const COUNTER = `export default {
  initialState: { count: 0 },
  reduce(state, event) {
    console.log("folding", event.payload.n);
    return { count: state.count + 1 };
  },
  afterAppend: ({ state, append }) => append({ type: "counted", payload: state }),
};`;

const say = (n) => ({ type: "said", payload: { n } });
const counts = (events) => events.map(({ payload }) => payload.count);
const messages = (events) => events.map(({ payload }) => payload.message);

/** Waits until everything was handed to the subscription. */
const isQuiet = (stream, slug = "code") =>
  until(`${slug} has seen all of ${stream.path}`, async () => {
    const { cursor, head } = await stream.subscription(slug);
    return cursor === head;
  });

/** A stream with this code in it. */
async function coded(source, more) {
  const stream = runtime.stream();
  await stream.append(configured(source, more));
  return stream;
}

test("an event with code turns any stream into an agent", async () => {
  const stream = runtime.stream();
  await stream.append(say(0));
  await stream.append(configured(COUNTER, { types: ["said"] }));
  await stream.append(say(1), say(2));
  const counted = await stream.until("counted", 2);
  assert.deepEqual(counts(counted), [1, 2], "from the next event on, each answered with the state right after it");
  assert.equal(counted[0].metadata.tailrace.by, "subscription:code");
  assert.deepEqual((await stream.subscription("code")).state, { count: 2 });
});

test("its state survives a restart, and nothing is folded twice", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "tailrace-javascript-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const first = await aRuntime({ persistTo: folder });
  const before = first.stream("/survives");
  await before.append(configured(COUNTER, { types: ["said"] }));
  await before.append(say(1), say(2), say(3));
  await before.until("counted", 3);
  await first.kill();

  const stream = (await aRuntime({ persistTo: folder })).stream("/survives");
  await stream.append(say(4));
  assert.deepEqual(counts(await stream.until("counted", 4)), [1, 2, 3, 4]);
  assert.deepEqual(
    messages(await stream.events("javascript.logged")),
    [1, 2, 3, 4].map((n) => `folding ${n}`),
  );
});

test("new code takes over at once, with the state of the old", async () => {
  const stream = await coded(COUNTER, { types: ["said"] });
  await stream.append(say(1));
  await stream.until("counted");
  const doubled = COUNTER.replace("payload: state", "payload: { count: state.count * 100 }");
  await stream.append(configured(doubled, { types: ["said"] }), say(2));
  assert.deepEqual(counts(await stream.until("counted", 2)), [1, 200]);
});

test("a new version folds history anew and does nothing else", async () => {
  const called = [];
  const url = await aServer((request, response) => {
    called.push(request.url);
    response.end("{}");
  });
  const source = (by) => `export default {
    initialState: { count: 0 },
    reduce: (state) => ({ count: state.count + ${by} }),
    async afterAppend({ event, state, append, fetch }) {
      await fetch("${url}/" + event.payload.n);
      append({ type: "counted", payload: state });
    },
  };`;
  const more = { types: ["said"], target: { allowHosts: [new URL(url).host] } };
  const stream = await coded(source(1), more);
  await stream.append(say(1), say(2));
  await stream.until("counted", 2);
  const head = await stream.head();
  await stream.append(configured(source(10), { ...more, version: 2 }));
  await until("history was folded", async () => (await stream.subscription("code")).state?.count === 20);
  assert.equal(await stream.head(), head + 1, "nothing was appended");
  await stream.append(say(3));
  assert.deepEqual(counts(await stream.until("counted", 3)), [1, 2, 30]);
  assert.deepEqual(called, ["/1", "/2", "/3"]);
});

test("what it may hear is said by types and where, in batches, from the start", async () => {
  const stream = runtime.stream();
  await stream.append(say(1), say(20), { type: "whispered", payload: { n: 30 } });
  const source = `export default {
    reduce: (state, event) => [...(state ?? []), event.payload.n],
    afterAppend: ({ event, append }) => append({ type: "heard", payload: event.payload }),
  };`;
  const more = { types: ["said"], where: "event.payload.n > 10", batch: 1, from: "start" };
  await stream.append(configured(source, more));
  await stream.append(say(2), say(40), { type: "whispered", payload: { n: 50 } }, say(60));
  const heard = await stream.until("heard", 2);
  assert.deepEqual(
    heard.map(({ payload }) => payload.n),
    [40, 60],
    "what is older is only folded",
  );
  const { state, attempts } = await stream.subscription("code");
  assert.deepEqual(state, [20, 40, 60]);
  assert.ok(attempts.length >= 3, `a batch of one: ${JSON.stringify(attempts)}`);
});

test("code for all streams below runs in each of them, with a state of its own", async () => {
  const above = runtime.stream();
  await above.append(configured(COUNTER, { types: ["said"], children: true }));
  for (const name of ["a", "b/c"]) {
    const stream = above.below(name);
    await stream.append(say(1));
    await stream.append(say(2));
    assert.deepEqual(counts(await stream.until("counted", 2)), [1, 2]);
  }
  assert.deepEqual(await above.events("counted"), []);
});

test("nothing is kept but the state, and nothing is shared", async () => {
  const source = `let calls = 0;
    export default {
      afterAppend({ append }) {
        globalThis.all = (globalThis.all ?? 0) + 1;
        Array.prototype.spoiled = true;
        append({ type: "seen", payload: { calls: ++calls, all: globalThis.all } });
      },
    };`;
  const [one, other] = [await coded(source, { types: ["said"] }), await coded(source, { types: ["said"] })];
  for (const stream of [one, other, one]) {
    const before = (await stream.events("seen")).length;
    await stream.append(say(1));
    const seen = (await stream.until("seen", before + 1)).at(-1);
    assert.deepEqual(seen.payload, { calls: 1, all: 1 });
  }
});

test("it speaks to other streams, once", async () => {
  const stream = runtime.stream();
  const other = stream.below("other");
  const code = `append([{ type: "told", payload: event.payload, streamPath: "other" }, { type: "done" }]);`;
  await stream.append(configured(answering(code), { types: ["said"] }));
  await stream.append(say(1), say(2));
  const told = await other.until("told", 2);
  assert.deepEqual(
    told.map(({ payload, cause }) => [payload.n, cause.streamPath]),
    [
      [1, stream.path],
      [2, stream.path],
    ],
  );
  await stream.until("done", 2);
});

test("it configures nothing without a grant, and cannot resume what was stopped with any", async () => {
  const code = `append({ type: event.payload.type, payload: event.payload.with });`;
  const wish = (type, payload) => ({ type: "wished", payload: { type, with: payload } });
  const schedule = { slug: "later", after: "PT1H", event: { type: "later" } };

  const poor = await coded(answering(code), { types: ["wished"] });
  await poor.append(wish("schedule.configured", schedule));
  const halted = await poor.event("subscription.halted");
  assert.match(halted.payload.reason, /not granted|schedule\.configured/);
  assert.deepEqual(await poor.events("schedule.*"), []);

  const granted = await coded(answering(code), { types: ["wished"], grants: ["schedule.*"] });
  await granted.append(wish("schedule.configured", schedule));
  await granted.until("schedule.configured");
  await granted.append(wish("tool.approved", { callId: "x" }));
  await granted.event("subscription.halted");
  assert.deepEqual(await granted.events("tool.approved"), []);

  for (const type of ["stream.resumed", "breaker.configured", "stream.created"]) {
    const greedy = await coded(answering(code), { types: ["wished"], grants: ["*"] });
    await greedy.append(wish(type, {}));
    await greedy.event("subscription.halted");
    assert.equal((await greedy.events(type)).length, type === "stream.created" ? 1 : 0);
  }
});

test("its console is in the log", async () => {
  const stream = await coded(answering(`console.warn("look", { at: [event.payload.n] }); append({ type: "done" });`), {
    types: ["said"],
  });
  const { offset } = await stream.append(say(7));
  const { payload, cause } = await stream.event("javascript.logged");
  assert.deepEqual(payload, { subscription: "code", level: "warn", message: 'look {"at":[7]}', offset });
  assert.equal(cause.offset, offset);
});

test("what it throws is in the log with the line, and new code is tried at once", async () => {
  const broken = `export default {
  afterAppend({ event }) {
    console.log("before");
    throw new TypeError("no such thing");
  },
};`;
  const stream = await coded(broken, { types: ["said"] });
  const { offset } = await stream.append(say(1));
  const { payload, offset: failedAt } = await stream.event("error.occurred");
  assert.deepEqual(payload, {
    ...{ message: "TypeError: no such thing", code: "javascript", subscription: "code", where: "afterAppend" },
    ...{ stack: payload.stack, offset, attempt: 1 },
  });
  assert.match(payload.stack, /afterAppend \(processor\.js:4:\d+\)/);
  const logged = (await stream.events("javascript.logged")).filter((event) => event.offset < failedAt);
  assert.deepEqual(messages(logged), ["before"], "what it said until then counts");
  const again = await stream.event("error.occurred", { attempt: 2 });
  assert.equal(again.payload.offset, offset, "it is tried again with the same event");

  const standing = await stream.subscription("code");
  assert.ok(standing.nextAttemptAt ?? standing.nextAttempt, JSON.stringify(standing));
  const fixed = answering(`append({ type: "done", payload: event.payload });`);
  await stream.append(configured(fixed, { types: ["said"] }));
  assert.deepEqual((await stream.event("done")).payload, { n: 1 }, "what it failed at is not lost");
});

test("one that hears its own logs does not answer them", async () => {
  const stream = await coded(answering(`console.log("heard", event.type); append({ type: "echo" });`), {
    types: ["said", "javascript.*", "error.*"],
  });
  await stream.append(say(1));
  await stream.until("echo");
  await isQuiet(stream);
  assert.deepEqual(messages(await stream.events("javascript.logged")), ["heard said"]);

  const throws = await coded(answering(`throw new Error("at " + event.type);`), { batch: 1 });
  await throws.append({ type: "error.occurred", payload: { message: "of somebody else" } });
  const first = await throws.event("error.occurred", { code: "javascript" });
  assert.equal(first.payload.message, "Error: at error.occurred", "what others say went wrong is heard");
});

test("one that answers itself is stopped by the breaker, and cannot free itself", async () => {
  const stream = await coded(answering(`append([{ type: "again" }, { type: "again" }]);`));
  await stream.append(say(1));
  const { payload } = await stream.event("stream.paused");
  assert.equal(payload.breaker.limit, 100);
  assert.equal((await stream.post(say(2))).status, 423);
  const head = await stream.head();
  await stream.append({ type: "subscription.removed", payload: { slug: "code" } }, { type: "stream.resumed" });
  await stream.append(say(3));
  assert.equal(await stream.head(), head + 3);
});

test("two that answer each other in two streams are stopped by their hops", async () => {
  const [ping, pong] = [runtime.stream(), runtime.stream()];
  const to = ({ path: streamPath }) =>
    configured(answering(`append({ type: "ball", streamPath: ${JSON.stringify(streamPath)} });`), { types: ["ball"] });
  await ping.append(to(pong));
  await pong.append(to(ping));
  await ping.append({ type: "ball" });
  const refusal = async (stream) => (await stream.events("error.occurred"))[0];
  const { payload } = await until("one of them is refused", async () => (await refusal(ping)) ?? (await refusal(pong)));
  assert.equal(payload.code, "hop_limit", JSON.stringify(payload));
});

test("the eleventh code within a minute has to wait", async () => {
  const stream = runtime.stream();
  for (let number = 1; number <= 10; number++) await stream.append(configured(answering(`// ${number}`)));
  const head = await stream.head();
  const response = await stream.post(configured(answering("// 11")));
  assert.equal(response.status, 503);
  const seconds = Number(response.headers.get("retry-after"));
  assert.ok(seconds >= 1 && seconds <= 60, `${seconds}`);
  const problem = await response.json();
  assert.deepEqual([problem.code, problem.retryable], ["unavailable", true]);
  assert.equal(await stream.head(), head, "nothing was written");
  await stream.append(say(1));
  const others = { slug: "other", target: { pull: true } };
  await stream.append({ type: "subscription.configured", payload: others });
  await runtime.stream().append(configured(answering("// 12")));
});

test("it fetches from hosts that it may, with secrets that it never sees", async () => {
  const heard = [];
  const url = await aServer((request, response, body) => {
    heard.push({ url: request.url, method: request.method, headers: request.headers, body: body.toString() });
    if (request.url === "/away") {
      response.writeHead(302, { location: "/elsewhere" });
      return response.end();
    }
    response.writeHead(200, { "content-type": "application/json", "x-echo": request.headers.authorization ?? "" });
    return response.end(JSON.stringify({ authorization: request.headers.authorization ?? null }));
  });
  const { host } = new URL(url);
  const fetching = (code) =>
    answering(`try { const response = await ${code};
        append({ type: "fetched", payload: { status: response.status, echo: response.headers.get("x-echo"),
          location: response.headers.get("location"), text: await response.text() } });
      } catch (error) { append({ type: "refused", payload: { message: String(error) } }); }`);
  const target = { allowHosts: [host, "*.example.com", "169.254.169.254", "metadata.google.internal", "[fd00::1]"] };
  const ask = async (code) => {
    const stream = await coded(fetching(code), { types: ["said"], target });
    await stream.append(say(1));
    const [{ type, payload }] = await stream.until("fetched,refused");
    for (const event of await stream.events()) assert.ok(!JSON.stringify(event).includes(SECRET), short(event));
    return { type, ...payload };
  };

  const post = `fetch("${url}/look", { method: "POST", body: "{}", headers: { authorization: "Bearer {{secret:CRM}}" } })`;
  const found = await ask(post);
  assert.deepEqual([found.type, found.status], ["fetched", 200]);
  const [{ method, headers, body }] = heard;
  assert.deepEqual([method, headers.authorization, body], ["POST", `Bearer ${SECRET}`, "{}"]);
  assert.deepEqual(JSON.parse(found.text), { authorization: "Bearer [secret]" }, "not even when it is told back");

  const away = await ask(`fetch("${url}/away")`);
  assert.deepEqual([away.status, away.location], [302, "/elsewhere"], "where a redirect leads it must ask for itself");

  const refused = {
    [`fetch("${url}/x", { headers: { a: "{{secret:ELSEWHERE}}" } })`]: /ELSEWHERE/,
    [`fetch("${url}/x", { headers: { a: "{{secret:NONE}}" } })`]: /NONE/,
    [`fetch("${url.replace("127.0.0.1", "localhost")}/x")`]: /localhost:\d+ is not among allowHosts/,
    'fetch("http://127.0.0.1:1/x")': /127\.0\.0\.1.* is not among allowHosts/,
    'fetch("https://example.com/")': /example\.com is not among allowHosts/,
    'fetch("http://169.254.169.254/latest/meta-data/")': /fetch: /,
    'fetch("http://0xa9fea9fe/")': /fetch: /,
    'fetch("https://metadata.google.internal/")': /fetch: /,
    'fetch("https://[fd00::1]/")': /fetch: /,
    'fetch("https://[::ffff:169.254.169.254]/")': /not among allowHosts/,
    'fetch("/relative")': /no absolute URL|URL/,
    'fetch("file:///etc/passwd")': /fetch|allowHosts/,
    'fetch("data:text/plain,hello")': /fetch|allowHosts/,
  };
  const reached = heard.length;
  await Promise.all(
    Object.entries(refused).map(async ([code, reason]) => {
      const { type, message } = await ask(code);
      assert.equal(type, "refused", code);
      assert.match(message, reason, code);
    }),
  );
  assert.equal(heard.length, reached, "nothing of it left");

  const none = await coded(fetching(`fetch("${url}/x")`), { types: ["said"] });
  await none.append(say(1));
  assert.match((await none.event("refused")).payload.message, /no allowHosts/);
});

test("a secret that an answer's headers tell back is not told to the code", async () => {
  const url = await aServer((request, response) => {
    response.writeHead(200, { "x-echo": request.headers.authorization });
    response.end();
  });
  const code = `const { headers } = await fetch("${url}", { headers: { authorization: "{{secret:CRM}}" } });
    append({ type: "heard", payload: { echo: headers.get("x-echo") } });`;
  const stream = await coded(answering(code), { types: ["said"], target: { allowHosts: [new URL(url).host] } });
  await stream.append(say(1));
  assert.deepEqual((await stream.event("heard")).payload, { echo: "[secret]" });
});

/** What does no good, and what is said about it. */
const BAD = {
  "loops forever": ["for (;;);", /ran for too long/],
  "eats memory": ["const all = []; for (;;) all.push(new Array(1e5).fill(1));", /ran out of memory/],
  "waits forever": ["await new Promise(() => {});", /never happen/],
  "appends no event": ["append(5);", /an event must be an object with a type/],
  "appends an endless list": ["for (;;) append({ type: 'x' });", /at most 1,000 events/],
  "throws nothing": ["throw undefined;", /threw undefined/],
};

const BAD_MODULES = {
  "is no JavaScript": ["this is no JavaScript", /SyntaxError/],
  "exports nothing": ["const a = 1;", /export/],
  imports: ['import "node:fs"; export default {};', /import|module/i],
  "imports later": ["export default { afterAppend: () => import('node:fs') };", /import|module/i],
  "has a state that is too large": ["export default { reduce: () => 'x'.repeat(300_000) };", /state is too large/],
  "has a state that is no JSON": ["export default { reduce: () => () => 1 };", /must be JSON/],
};

test("whatever code does, its stream and the others go on", async () => {
  const bad = Object.entries({
    ...Object.fromEntries(Object.entries(BAD).map(([name, [code, reason]]) => [name, [answering(code), reason]])),
    ...BAD_MODULES,
  });
  const bystander = runtime.stream();
  const run = async ([name, [source, reason]]) => {
    const stream = await coded(source, { types: ["said"], target: { limits: { cpuMs: 200, memoryMb: 16 } } });
    await stream.append(say(1));
    await stream.append({ type: "meanwhile" });
    const { payload } = await stream.event("error.occurred");
    assert.match(payload.message, reason, name);
    assert.equal(payload.code, "javascript", name);
    await stream.append({ type: "afterwards" });
    assert.equal((await stream.subscription("code")).state, null, name);
  };
  const others = async () => {
    for (let number = 0; number < 50; number++) await bystander.append(say(number));
  };
  await Promise.all([others(), ...bad.map(run)]);
  assert.equal((await bystander.events("said")).length, 50);

  const well = await coded(COUNTER, { types: ["said"] });
  await well.append(say(1));
  assert.deepEqual(counts(await well.until("counted")), [1], "and code that does well is run");
});
