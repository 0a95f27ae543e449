// What a processor as an event can do.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { answering, event, folding, start } from "./support.mjs";

let sandbox;

before(async () => {
  sandbox = await start();
});
after(() => sandbox.stop());

/** One that must succeed. */
async function run(source, batch) {
  const result = await sandbox.run(source, batch);
  assert.equal(result.error, undefined, JSON.stringify(result.error));
  return { ...result, state: JSON.parse(result.state), append: result.append.map((text) => JSON.parse(text)) };
}

/** What a piece of code in afterAppend makes of something, as JSON. */
const made = async (code, batch) =>
  (await run(answering(`append({ type: "made", payload: await (async () => { ${code} })() });`), batch)).append[0]
    .payload;

const three = [event(1), event(2, { type: "other" }), event(3)];

const COUNTS = `export default {
  initialState: { count: 0 },
  reduce: (state, event) => (event.type === "message" ? { count: state.count + 1 } : undefined),
  afterAppend({ event, state, append }) {
    append({ type: "counted", payload: { offset: event.offset, count: state.count } });
  },
};`;

test("a processor folds events into its state, and answers each with the state right after it", async () => {
  const { state, append, logs } = await run(COUNTS, { events: three });
  assert.deepEqual(state, { count: 2 }, "nothing returned is nothing changed");
  assert.deepEqual(
    append.map(({ payload }) => payload),
    [
      { offset: 1, count: 1 },
      { offset: 2, count: 1 },
      { offset: 3, count: 2 },
    ],
  );
  assert.deepEqual(logs, []);
});

test("a replay folds and answers nothing", async () => {
  const { state, append } = await run(COUNTS, { events: three, replay: true });
  assert.deepEqual([state, append], [{ count: 2 }, []]);
});

test("a batch goes on from the state that it is given", async () => {
  const { state } = await run(COUNTS, { events: three, state: '{"count":40}' });
  assert.deepEqual(state, { count: 42 });
});

test("an initial state may be a value, a function, a promise, or absent", async () => {
  const reduced = async (initial) =>
    (await run(`export default { ${initial} reduce: (state = "none") => state };`)).state;
  assert.equal(await reduced("initialState: 5,"), 5);
  assert.equal(await reduced("initialState() { return 6; },"), 6);
  assert.equal(await reduced("async initialState() { return 7; },"), 7);
  assert.equal(await reduced(""), "none");
});

test("a processor may only fold, only answer, or wait while it folds", async () => {
  assert.deepEqual((await run(folding("return event.offset;"))).state, 1);
  assert.deepEqual(
    (await run("export default { async reduce(state, event) { await null; return event.offset; } };")).state,
    1,
  );
  const answered = await run(answering("append({ type: 'seen', payload: state });"), { state: '{"kept":true}' });
  assert.deepEqual([answered.state, answered.append], [{ kept: true }, [{ type: "seen", payload: { kept: true } }]]);
});

test("a processor may be an object of a class, or functions that use this", async () => {
  const source = `class Counter { by = 2; initialState = 0; reduce(state) { return state + this.by; } }
    export default new Counter();`;
  assert.equal((await run(source, { events: three })).state, 6);
});

test("what afterAppend does with the state changes nothing that is folded", async () => {
  const source = `export default {
    initialState: { list: [] },
    reduce(state, event) { state.list.push(event.offset); return state; },
    afterAppend({ state }) { state.list.push("mine"); },
  };`;
  assert.deepEqual((await run(source, { events: three })).state, { list: [1, 2, 3] });
});

test("events are appended one by one or as a list, and are what JSON makes of them", async () => {
  const { append } = await run(
    answering(
      "append([{ type: 'a' }, { type: 'b', payload: new Date(0) }]); await append({ type: 'c', no: undefined });",
    ),
  );
  assert.deepEqual(append, [{ type: "a" }, { type: "b", payload: "1970-01-01T00:00:00.000Z" }, { type: "c" }]);
});

test("what nobody waits for is waited for, and its error is the batch's", async () => {
  const later =
    "const later = async () => { await fetch('http://a.example/echo'); append({ type: 'late' }); }; later();";
  assert.deepEqual((await run(answering(later), { mayFetch: true })).append, [{ type: "late" }]);
  const { error } = await sandbox.run(answering("\nconst f = async () => { throw new Error('lost'); };\n f();"));
  assert.deepEqual(error, {
    message: "Error: lost",
    stack: "at f (processor.js:2:35)\nat afterAppend (processor.js:3:2)",
    offset: 1,
    where: "afterAppend",
  });
});

test("an error says what it is, in which line, at which event, and nothing of the batch counts but what it logged", async () => {
  const source = `export default {
  initialState: 0,
  reduce: (state) => state + 1,
  afterAppend({ event, append }) {
    console.warn("at", event.offset);
    append({ type: "answered" });
    if (event.offset === 3) look(event.payload);
  },
};
function look(payload) {
  return payload.deep.er;
}`;
  const result = await sandbox.run(source, { events: three, state: "7" });
  assert.deepEqual([result.state, result.append], ["7", []]);
  assert.deepEqual(
    result.logs,
    [1, 2, 3].map((offset) => ({ offset, level: "warn", message: `at ${offset}` })),
  );
  assert.equal(result.error.message, "TypeError: cannot read property 'deep' of undefined");
  assert.match(result.error.stack, /^at look \(processor\.js:11:\d+\)\nat afterAppend \(processor\.js:7:\d+\)$/);
  assert.deepEqual([result.error.where, result.error.offset], ["afterAppend", 3]);
});

test("an endless loop is told with the functions that it is in", async () => {
  const { error } = await sandbox.run(folding("const spin = () => { for (;;); };\n spin();"), {
    limits: { cpuMs: 50 },
  });
  assert.equal(error.message, "reduce ran for too long: the batch's cpuMs (50) are used up");
  assert.match(error.stack, /^at spin \(processor\.js:\d+:\d+\)\nat reduce \(processor\.js:2:\d+\)$/);
});

test("the console says texts as they are and the rest as JSON", async () => {
  const { logs } = await run(
    answering(`console.log("a", 1, true, null, undefined, { b: [2] }, [3]);
      console.info(new Map([["k", 1]]), new Set([1]), 10n, function named() {});
      console.debug("${"x".repeat(9_000)}");
      console.error(new TypeError("no"));`),
  );
  assert.deepEqual(
    logs.map(({ level }) => level),
    ["log", "info", "debug", "error"],
  );
  assert.equal(logs[0].message, 'a 1 true null undefined {"b":[2]} [3]');
  assert.equal(logs[1].message, '[["k",1]] [1] 10 [function named]');
  assert.equal(logs[2].message, `${"x".repeat(8_189)}…`);
  assert.match(logs[3].message, /^TypeError: no\n\s+at afterAppend \(processor\.js:4:\d+\)$/);
});

test("of more than a hundred lines the rest is counted", async () => {
  const { logs } = await run(answering("for (let n = 0; n < 117; n++) console.log(n);"));
  assert.equal(logs.length, 101);
  assert.deepEqual(logs.at(-1), { offset: 1, level: "warn", message: "… 17 more" });
});

test("a fetch sends what it is given, and reads what comes", async () => {
  const sent = await made(
    `const response = await fetch("http://a.example/echo", { method: "put", headers: { "X-A": 1 }, body: JSON.stringify({ b: 2 }) });
     return { status: response.status, ok: response.ok, type: response.headers.get("Content-Type"), request: await response.json() };`,
    { mayFetch: true },
  );
  assert.deepEqual(sent, {
    ...{ status: 200, ok: true, type: "application/json" },
    request: { url: "http://a.example/echo", method: "PUT", headers: [["X-A", "1"]], body: '{"b":2}' },
  });
  const form = await made(
    `return (await fetch(new URL("/echo", "http://a.example"), { method: "POST", body: new URLSearchParams({ a: "b c" }) })).json();`,
    { mayFetch: true },
  );
  assert.deepEqual(form, {
    ...{ url: "http://a.example/echo", method: "POST", body: "a=b+c" },
    headers: [["content-type", "application/x-www-form-urlencoded;charset=UTF-8"]],
  });
  const missing = await made(
    `const { ok, status, statusText, ...response } = await fetch("http://a.example/missing");
     return { ok, status, statusText, none: response.headers.get("x") };`,
    { mayFetch: true },
  );
  assert.deepEqual(missing, { ok: false, status: 404, statusText: "Not Found", none: null });
});

test("a fetch that is refused can be caught, and is told with its line if it is not", async () => {
  const refused = 'await fetch("http://a.example/refused");';
  const caught = await made(`try { ${refused} } catch (error) { return String(error); }`, { mayFetch: true });
  assert.equal(caught, "TypeError: example.com is not among allowHosts");
  const { error } = await sandbox.run(answering(`\n ${refused}`), { mayFetch: true });
  assert.match(error.stack, /^at afterAppend \(processor\.js:2:\d+\)$/);
});

test("without hosts that are allowed there is no fetch", async () => {
  const { error } = await sandbox.run(answering('await fetch("http://a.example/echo");'));
  assert.equal(error.message, "TypeError: this processor may not fetch: its target has no allowHosts");
});

test("fifty fetches go out, six at once", async () => {
  const all = `const all = Array.from({ length: 50 }, (_, n) => fetch("http://a.example/echo?" + n).then((r) => r.json()));
    return (await Promise.all(all)).map(({ url }) => Number(url.split("?")[1]));`;
  assert.deepEqual(
    await made(all, { mayFetch: true }),
    Array.from({ length: 50 }, (_, n) => n),
  );
  assert.equal((await sandbox.seen()).most, 6);
});

test("chance differs between runs", async () => {
  const chance = `const bytes = crypto.getRandomValues(new Uint32Array(4));
    return [Math.random(), crypto.randomUUID(), [...bytes].join()];`;
  const [one, other] = [await made(chance), await made(chance)];
  assert.match(one[1], /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  one.forEach((value, index) => assert.notEqual(value, other[index]));
});

test("texts become bytes, and bytes texts", async () => {
  const code = `const bytes = new TextEncoder().encode("€ \\u{1f600}");
    const strict = () => { try { return new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([255])); } catch ({ name }) { return name; } };
    return [[...bytes], new TextDecoder().decode(bytes), new TextDecoder().decode(new Uint8Array([255])), strict(), btoa("a"), atob("YQ==")];`;
  assert.deepEqual(await made(code), [
    [226, 130, 172, 32, 240, 159, 152, 128],
    "€ 😀",
    "\ufffd",
    "TypeError",
    "YQ==",
    "a",
  ]);
});

test("URLs and their queries are taken apart and put together as elsewhere", async () => {
  const code = `const url = new URL("../b?x=1&y=a+b%20c&x=2#f", "https://user@example.com:8443/a/c");
    url.searchParams.append("z", "ä&=~'");
    url.searchParams.delete("y");
    url.hash = "";
    url.port = "443";
    return [url.href, url.host, url.searchParams.getAll("x"), url.searchParams.get("none"), [...url.searchParams.keys()], URL.canParse("no"), JSON.stringify({ url })];`;
  const url = new URL("../b?x=1&y=a+b%20c&x=2#f", "https://user@example.com:8443/a/c");
  url.searchParams.append("z", "ä&=~'");
  url.searchParams.delete("y");
  url.hash = "";
  url.port = "443";
  const { href, host } = url;
  assert.deepEqual(await made(code), [href, host, ["1", "2"], null, ["x", "x", "z"], false, JSON.stringify({ url })]);
});

test("structuredClone copies what is nested, and circles", async () => {
  const code = `const given = { date: new Date(5), map: new Map([["k", new Set([1])]]), bytes: new Uint8Array([1, 2]) };
    given.self = given;
    const copy = structuredClone(given);
    return [copy !== given, copy.self === copy, copy.date.getTime(), [...copy.map.get("k")], [...copy.bytes], copy.bytes.buffer !== given.bytes.buffer];`;
  assert.deepEqual(await made(code), [true, true, 5, [1], [1, 2], true]);
});

test("dates are in UTC, and now is now", async () => {
  const started = Date.now();
  const [now, hours] = await made("return [Date.now(), new Date(0).getHours()];");
  assert.ok(now >= started && now <= Date.now());
  assert.equal(hours, 0);
});

test("there is neither a timer, nor a process, nor any way to the Worker", async () => {
  const names = [
    "setTimeout",
    "setInterval",
    "process",
    "require",
    "WebAssembly",
    "caches",
    "fetch",
    "navigator",
    "std",
    "os",
  ];
  assert.deepEqual(await made(`return ${JSON.stringify(names)}.filter((name) => name in globalThis);`), []);
});

test("more work and memory are given to whom asks, up to a limit", async () => {
  const loops = folding("let n = 0; while (n < 3e6) n++; return n;");
  assert.match((await sandbox.run(loops, { limits: { cpuMs: 10 } })).error.message, /too long/);
  assert.equal((await run(loops, { limits: { cpuMs: 2_000 } })).state, 3e6);
  const holds = folding("return new Uint8Array(40 << 20).length;");
  assert.match((await sandbox.run(holds)).error.message, /its memoryMb \(32\)/);
  assert.equal((await run(holds, { limits: { memoryMb: 60 } })).state, 40 << 20);
  const large = folding("return new Uint8Array(70 << 20).length;");
  assert.match((await sandbox.run(large, { limits: { memoryMb: 1_000 } })).error.message, /its memoryMb \(64\)/);
});

test("several batches at once do not disturb each other", async () => {
  const waits = answering(
    'const { offset } = event; await fetch("http://a.example/echo"); append({ type: "x", payload: offset });',
  );
  const all = Array.from({ length: 20 }, (_, n) => run(waits, { events: [event(n)], mayFetch: true }));
  assert.deepEqual(
    (await Promise.all(all)).map(({ append }) => append[0].payload),
    Array.from({ length: 20 }, (_, n) => n),
  );
});
