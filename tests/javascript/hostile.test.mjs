// What a stranger's program may try. Each ends with an error that says what happened, and the Worker goes on.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { answering, event, folding, start } from "./support.mjs";

let sandbox;

before(async () => {
  sandbox = await start();
});
after(() => sandbox.stop());

const TOO_LONG = /^(reduce|afterAppend|the module) ran for too long: the batch's cpuMs \(100\) are used up$/;
const NO_MEMORY = /^(reduce|afterAppend) ran out of memory: its memoryMb \(32\) are used up$/;
const TOO_DEEP = /Maximum call stack size exceeded|is nested too deeply/;
const NEVER = /^(reduce|afterAppend|the module) waits for something that will never happen$/;

/** Runs it with little time; the Worker must answer right after. */
async function told(source, batch = {}) {
  const result = await sandbox.run(source, { ...batch, limits: { cpuMs: 100, ...batch.limits } });
  assert.equal(await sandbox.ping(), "pong");
  if (result.error) assert.deepEqual([result.state, result.append], ["null", []], "nothing of a failed batch counts");
  return result;
}

/** Code of a reduce, and what is said about it. */
const FOLDS = {
  "a loop": ["for (;;);", TOO_LONG],
  "a loop in a catch": ["for (;;) { try { for (;;); } catch {} }", TOO_LONG],
  "a loop in a finally": ["try { for (;;); } finally { for (;;); }", TOO_LONG],
  "a loop that catches where it is interrupted": [
    "const f = () => { try { for (;;); } catch { f(); } }; f();",
    TOO_LONG,
  ],
  "a getter": ["return { get x() { for (;;); } };", TOO_LONG],
  "a toJSON": ["return { toJSON() { for (;;); } };", TOO_LONG],
  "a proxy": ["return Object.keys(new Proxy({}, { ownKeys() { for (;;); } }));", TOO_LONG],
  "an iterator": ["for (const x of { [Symbol.iterator]: () => ({ next: () => ({}) }) });", TOO_LONG],
  "a set that grows while it is read": [
    "const s = new Set([1]); for (const x of s) { s.delete(x); s.add(x + 1); }",
    TOO_LONG,
  ],
  "a generator": ["function* g() { while (true) yield 1; } for (const x of g());", TOO_LONG],
  "an evil regular expression": ['return /(a+)+$/.test("a".repeat(40) + "b");', TOO_LONG],
  "indexOf over holes": ["return new Array(4294967295).indexOf(1);", TOO_LONG],
  "join over holes": ['return new Array(4294967295).join("");', TOO_LONG],
  "sort over holes": ["return new Array(1e9).sort();", TOO_LONG],
  "concat over holes": ["return [].concat(new Array(4294967294));", TOO_LONG],
  "flat over holes": ["return new Array(4294967295).flat();", TOO_LONG],
  "reverse of something long": ["return Array.prototype.reverse.call({ length: 2 ** 50 });", TOO_LONG],
  "a search of a text in a text": ['return "a".repeat(1e7).indexOf("a".repeat(5e6) + "b");', TOO_LONG],
  "JSON that doubles": ["let o = {}; for (let i = 0; i < 40; i++) o = { a: o, b: o }; return o;", TOO_LONG],
  "filling memory again and again": ["const t = new Uint8Array(2e7); for (;;) t.fill(1);", TOO_LONG],
  "asking for the time": ["for (;;) Date.now();", TOO_LONG],
  "asking for chance": ["for (;;) crypto.randomUUID();", TOO_LONG],
  "microtasks without end": ["const f = () => Promise.resolve().then(f); f();", TOO_LONG],
  "rejections without end": ["for (;;) Promise.reject(1);", /too long|out of memory/],
  "an error that loops when it is told": [
    "throw { get message() { for (;;); }, toString() { for (;;); } };",
    /too long|threw/,
  ],
  "an Error that loops when it is told": [
    'throw Object.defineProperty(new Error(), "message", { get() { for (;;); } });',
    TOO_LONG,
  ],
  lists: ["const a = []; for (;;) a.push(new Array(1e5).fill(1));", NO_MEMORY],
  buffers: ["const a = []; for (;;) a.push(new Uint8Array(1e6));", NO_MEMORY],
  "one large list": ["return new Array(4294967295).fill(1);", NO_MEMORY],
  "one large text": ['return "x".repeat(2 ** 29);', NO_MEMORY],
  "lists although it catches": ["const a = []; for (;;) try { a.push(new Array(1e5).fill(1)); } catch {}", TOO_LONG],
  "a text that doubles": ['let s = "x"; for (;;) s += s;', /string too long/],
  "a number that doubles": ["let b = 3n; for (;;) b = b * b;", /too large|too long/],
  recursion: ["const f = (n) => 1 + f(n + 1); return f(0);", TOO_DEEP],
  "recursion through natives": ['const f = () => "a".replace(/a/, f); return f();', TOO_DEEP],
  "deep JSON": ['return JSON.parse("[".repeat(1e5) + "]".repeat(1e5));', TOO_DEEP],
  "deep source": ['return eval("(".repeat(2e4) + "1" + ")".repeat(2e4));', TOO_DEEP],
  "deep state": ["let a = []; for (let i = 0; i < 2e4; i++) a = [a]; return a;", TOO_DEEP],
  "a chain of proxies": ["let p = {}; for (let i = 0; i < 1e4; i++) p = new Proxy(p, {}); return p.x;", TOO_DEEP],
  "a promise that never settles": ["return new Promise(() => {});", NEVER],
  "a thenable that never settles": ["return { then() {} };", NEVER],
  "throw null": ["throw null;", /^threw null, which is no Error$/],
  "throw undefined": ["throw undefined;", /^threw undefined, which is no Error$/],
  "throw a symbol": ["throw Symbol('x');", /^threw Symbol\(x\), which is no Error$/],
  "throw something that cannot be shown": ["throw { toJSON() { throw 1; }, toString() { throw 2; } };", /threw/],
  "a function as state": ["return () => 1;", /^TypeError: the state must be JSON, and this is of type function$/],
  "a circle as state": ["const o = {}; o.o = o; return o;", /^TypeError: circular reference$/],
  "a BigInt as state": ["return 1n;", /^TypeError: /],
  "a state that is too large": [
    'return "€".repeat(1e5);',
    /^the state is too large: 300,002 bytes as JSON, of 262,144$/,
  ],
  "an import": ['return import("node:fs");', /^Error: a processor is one file: it cannot import node:fs$/],
};

for (const [what, [code, said]] of Object.entries(FOLDS)) {
  test(`a processor does no harm with ${what}`, async () => {
    const limits = said === NO_MEMORY ? { cpuMs: 1_000 } : {};
    const { error } = await told(folding(code), { events: [event(7)], limits });
    assert.match(error?.message ?? "no error", said);
    assert.deepEqual([error.where, error.offset], ["reduce", 7]);
  });
}

/** Code of an afterAppend. */
const ANSWERS = {
  "a loop after an await": ["await null; for (;;);", TOO_LONG],
  "a loop after a fetch": ['await fetch("http://a.example/echo"); for (;;);', TOO_LONG],
  "awaiting without end": ["for (;;) await null;", TOO_LONG],
  "awaiting what never settles": ["await new Promise(() => {});", NEVER],
  "a log without end": ["for (;;) console.log(1);", TOO_LONG],
  "large logs without end": ['const z = "€".repeat(4e6); for (;;) console.log(z);', TOO_LONG],
  "appends without end": [
    'for (;;) append({ type: "x" });',
    /^RangeError: at most 1,000 events can be appended in a batch$/,
  ],
  "appends although it catches": ['for (;;) try { append({ type: "x" }); } catch {}', TOO_LONG],
  "an append that is too large": [
    'append({ type: "x", payload: "y".repeat(1 << 20) });',
    /^RangeError: at most 1,048,576 bytes can be appended in a batch$/,
  ],
  "appends that are too large together": [
    'for (;;) append({ type: "x", payload: "€".repeat(1e5) });',
    /^RangeError: at most 1,048,576 bytes can be appended in a batch$/,
  ],
  "appending what is no event": [
    "append('hello');",
    /^RangeError: an event must be an object with a type, which is a string$/,
  ],
  "appending nothing": ["append();", /an event must be an object/],
  "appending a circle": ["const o = { type: 'x' }; o.o = o; append(o);", /^TypeError: circular reference$/],
  "fetches without end": ["for (;;) await fetch('http://a.example/echo');", /^TypeError: at most 50 fetches a batch$/],
  "a request that is too large": [
    "await fetch('http://a.example/', { method: 'POST', body: 'x'.repeat(2e6) });",
    /^TypeError: a request has at most 1048576 bytes$/,
  ],
  "a body that is no text": [
    "await fetch('http://a.example/', { method: 'POST', body: { a: 1 } });",
    /^TypeError: a body must be a string \(JSON.stringify makes one\), and this is of type object$/,
  ],
};

for (const [what, [code, said]] of Object.entries(ANSWERS)) {
  test(`a processor does no harm when it answers with ${what}`, async () => {
    const { error, logs } = await told(answering(code), { events: [event(7)], mayFetch: true });
    assert.match(error?.message ?? "no error", said);
    assert.deepEqual([error.where, error.offset], ["afterAppend", 7]);
    assert.ok(logs.length <= 101 && logs.every(({ message }) => Buffer.byteLength(message) <= 8_192));
  });
}

/** Whole modules. */
const MODULES = {
  "that loops while it is loaded": ["for (;;);\nexport default {};", TOO_LONG],
  "that never loads": ["await new Promise(() => {});\nexport default {};", NEVER],
  "that throws": ["\n\nthrow new Error('no');", /^Error: no$/],
  "that imports": [
    "import fs from 'node:fs';\nexport default {};",
    /^Error: a processor is one file: it cannot import node:fs$/,
  ],
  "with a mistake": ["export default { reduce( };", /^SyntaxError: /],
  "without an export": ["const a = 1;", /this has no default export$/],
  "whose export is null": ["export default null;", /the default export is null$/],
  "whose export is a number": ["export default 5;", /the default export is of type number$/],
  "whose export has nothing": ["export default {};", /this has neither reduce nor afterAppend$/],
  "whose reduce is none": [
    "export default { reduce: 5 };",
    /^TypeError: reduce must be a function, and this is of type number$/,
  ],
  "whose export loops when it is read": ["export default { get reduce() { for (;;); } };", TOO_LONG],
  "that is itself a promise": ["export default { reduce() {} };\nexport function then() {}", NEVER],
  "whose initial state never comes": [
    "export default { initialState: () => new Promise(() => {}), reduce() {} };",
    NEVER,
  ],
};

for (const [what, [source, said]] of Object.entries(MODULES)) {
  test(`a module ${what} is told so`, async () => {
    const { error } = await told(source);
    assert.match(error?.message ?? "no error", said);
    assert.deepEqual([error.where, error.offset], ["load", undefined]);
  });
}

test("what one run does to its globals, no other sees", async () => {
  const spoil = `JSON.parse = () => 1; JSON.stringify = () => "[]"; Array.prototype.map = () => [];
    Object.prototype.polluted = 1; globalThis.left = 1; Promise.prototype.then = 5; return { mine: 1 };`;
  assert.equal((await told(folding(spoil))).state, '{"mine":1}');
  const { state } = await told(
    folding("return [typeof left, typeof ({}).polluted, [1].map((n) => n + 1), JSON.parse('2')];"),
  );
  assert.deepEqual(JSON.parse(state), ["undefined", "undefined", [2], 2]);
});

test("whoever gets hold of the functions around it gains nothing", async () => {
  // A stack can be asked for its functions, and toJSON is called by the ones that serve the processor.
  const { state, error } = await told(
    `const found = new Set();
     Error.prepareStackTrace = (_, sites) => sites.map((site) => site.getFunction?.());
     const toJSON = () => { for (const one of new Error().stack) if (one) found.add(one); return { type: "x" }; };
     export default {
       reduce: () => found.size,
       async afterAppend({ append }) {
         append({ toJSON });
         const given = [Promise.resolve({ default: this }), "not JSON", {}, () => 1];
         for (const one of found) for (const first of given) try { await one(first, "1", "[]", "true"); } catch {}
         throw new Error("found " + found.size);
       },
     };`,
  );
  assert.equal(state, "null");
  assert.match(error.message, /^(Error: found \d|SyntaxError|the sandbox failed)/);
});

test("at the end of a batch, whatever it still fetches is aborted", async () => {
  const before = (await sandbox.seen()).aborted;
  const { error } = await told(answering("await fetch('http://a.example/never');"), {
    mayFetch: true,
    limits: { timeoutMs: 20 },
  });
  assert.equal(error.message, "afterAppend waited for too long: the batch's timeoutMs (20) are over");
  const failed = await told(answering("fetch('http://a.example/never'); throw new Error('no');"), { mayFetch: true });
  assert.equal(failed.error.message, "Error: no");
  assert.equal((await sandbox.seen()).aborted, before + 2);
});

test("a batch that is ended from outside says so", async () => {
  const { error } = await told(answering("await fetch('http://a.example/never');"), { mayFetch: true, endAfterMs: 1 });
  assert.equal(error.message, "the batch was ended from outside");
});

test("two hundred that eat memory leave none behind", { skip: process.platform !== "linux" }, async () => {
  const eats = folding("const a = []; for (;;) a.push(new Uint8Array(1e6).fill(1));");
  const eat = (count) => Promise.all(Array.from({ length: count }, () => sandbox.run(eats)));
  await eat(4);
  const before = memoryOfChildren();
  for (let round = 0; round < 50; round++) {
    for (const { error } of await eat(4)) assert.match(error.message, /ran out of memory/);
  }
  const grown = memoryOfChildren() - before;
  assert.ok(grown < 300, `${grown} MiB more than before, of 6,400 that were eaten`);
  assert.equal(await sandbox.ping(), "pong");
});

/** In MiB: the runtime and what is between it and this process. */
function memoryOfChildren(pid = process.pid) {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    for (const child of readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean)) {
      const [, kB] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child}/status`, "utf8")) ?? [0, 0];
      sum += kB / 1024 + memoryOfChildren(child);
    }
  }
  return Math.round(sum);
}
