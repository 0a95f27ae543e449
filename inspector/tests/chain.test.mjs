// Causes and followers, found in streams that are played here.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Followers, LONGEST_CHAIN, upward } from "../src/why/chain.ts";
import { factOf } from "../src/why/fact.ts";

const { signal } = new AbortController();
const nothing = () => {};

/** Streams of events that are made as `[type, cause?, more?]`; a second passes between them. */
class Streams {
  asked = [];
  #at = 1_000_000;
  #streams = new Map();

  constructor({ page = 100, near = [], any = [] } = {}) {
    Object.assign(this, { page, nearest: near, anywhere: any });
  }

  add(path, type, cause, more = {}) {
    const facts = this.#streams.get(path) ?? [];
    this.#streams.set(path, facts);
    const event = {
      offset: facts.length + 1,
      type,
      payload: {},
      streamPath: path,
      createdAt: new Date((this.#at += 1_000)).toISOString(),
      ...(cause ? { cause: { streamPath: cause.path, offset: cause.offset, hops: 0, turns: 0 } } : {}),
      ...more,
    };
    const fact = factOf(event, { words: type, kind: "plain" });
    facts.push(fact);
    return fact;
  }

  of(path) {
    this.asked.push(path);
    return this.#streams.get(path) ?? [];
  }

  question = async ({ path, offset, answers }) =>
    this.of(path).findLast((it) => it.offset < offset && it.asks === answers);

  before = async ({ path, offset }) => this.of(path).filter((it) => it.offset <= offset && it.offset > offset - 3);

  after = async (path, offset, since) => {
    const all = this.of(path);
    const wanted = all.filter((it) => it.offset > offset && it.at >= since);
    const facts = wanted.slice(0, this.page);
    const upTo = wanted.length > facts.length ? facts.at(-1).offset : all.length;
    return { facts, upTo, head: all.length };
  };

  caused = async (by, path, offset) => {
    const all = this.of(path);
    const isCaused = ({ cause, answers }) =>
      (cause?.path === by.path && cause.offset === by.offset) || (answers !== undefined && answers === by.asks);
    const facts = all.filter((it) => it.offset > offset && isCaused(it));
    return { facts, upTo: all.length, head: all.length };
  };

  near = async () => this.nearest;

  any = async () => ({ paths: this.anywhere, after: null });
}

const names = (facts) => facts.map(({ type }) => type);

test("causes are followed through streams, up to the first that has none", async () => {
  const streams = new Streams();
  streams.add("/a", "unrelated");
  const first = streams.add("/a", "input");
  const second = streams.add("/b", "asked", first);
  const third = streams.add("/b", "answered", second);
  const last = streams.add("/a", "told", third);
  const { causes, end } = await upward(last, streams, signal);
  assert.deepEqual(names(causes), ["input", "asked", "answered"]);
  assert.deepEqual(end, { kind: "outside" });
  assert.equal(streams.asked.length, 2, "what came along is not asked for again");
});

test("a chain ends at a cause that is gone, and says which", async () => {
  const streams = new Streams();
  const orphan = streams.add("/a", "orphan", { path: "/gone", offset: 7 });
  const last = streams.add("/a", "last", orphan);
  const { causes, end } = await upward(last, streams, signal);
  assert.deepEqual(names(causes), ["orphan"]);
  assert.deepEqual(end, { kind: "gone", ref: { path: "/gone", offset: 7 } });
});

test("an event of a later life of the stream is not taken for the cause", async () => {
  const streams = new Streams();
  const orphan = streams.add("/a", "orphan", { path: "/b", offset: 1 });
  for (let count = 0; count < 9; count += 1) streams.add("/a", "time passes");
  streams.add("/b", "somebody else");
  const { causes, end } = await upward(orphan, streams, signal);
  assert.deepEqual(causes, []);
  assert.equal(end.kind, "replaced");
});

test("events that name each other as causes end the chain", async () => {
  const streams = new Streams();
  const one = streams.add("/a", "one", { path: "/a", offset: 2 });
  const two = streams.add("/a", "two", one);
  const { causes, end } = await upward(two, streams, signal);
  assert.deepEqual(names(causes), ["one"]);
  assert.deepEqual(end, { kind: "loop", ref: { path: "/a", offset: 2 } });
  const followers = new Followers(one, streams);
  await followers.look(signal, nothing);
  assert.deepEqual(names(followers.all()), ["two"]);
});

/** An agent's question about a call, or an answer to it, as the third of what is added to a stream. */
const asks = (callId) => ({
  payload: { callId, agent: "bot" },
  metadata: { tailrace: { by: "subscription:bot" } },
});
const answers = (callId) => ({ payload: { callId } });

test("a person's word goes on to the question that it answers, up and down", async () => {
  const streams = new Streams();
  const input = streams.add("/a", "input");
  const other = streams.add("/a", "tool.approval-requested", input, asks("r.1"));
  const question = streams.add("/a", "tool.approval-requested", input, asks("r.0"));
  const forged = streams.add("/a", "tool.approval-requested", undefined, { payload: { callId: "r.0", agent: "bot" } });
  const approved = streams.add("/a", "tool.approved", undefined, answers("r.0"));
  const requested = streams.add("/a", "tool.requested", approved, asks("r.0"));
  const completed = streams.add("/a", "tool.completed", undefined, answers("r.0"));
  const last = streams.add("/a", "last", completed);
  const { causes, end } = await upward(last, streams, signal);
  assert.deepEqual(causes, [input, question, approved, requested, completed]);
  assert.deepEqual(end, { kind: "outside" });

  const followers = new Followers(input, streams);
  await followers.look(signal, nothing);
  assert.deepEqual(followers.behind(question), [approved]);
  assert.deepEqual(followers.behind(requested), [completed]);
  assert.deepEqual(followers.behind(other), []);
  assert.deepEqual(followers.behind(forged), []);
  assert.deepEqual(names(followers.all()).length, 6);
  assert.equal(followers.hear(streams.add("/a", "tool.denied", undefined, answers("r.1"))), true);
  assert.deepEqual(names(followers.behind(other)), ["tool.denied"]);
});

test("where an answer has a cause of its own, that is what it follows from", async () => {
  const streams = new Streams();
  streams.add("/a", "tool.approval-requested", undefined, asks("r.0"));
  const rule = streams.add("/a", "rule");
  const approved = streams.add("/a", "tool.approved", rule, answers("r.0"));
  assert.deepEqual((await upward(approved, streams, signal)).causes, [rule]);
});

test("an answer to what nobody asked is a beginning, and says so", async () => {
  const streams = new Streams();
  const approved = streams.add("/a", "tool.approved", undefined, answers("r.0"));
  const last = streams.add("/a", "last", approved);
  const { causes, end } = await upward(last, streams, signal);
  assert.deepEqual(causes, [approved]);
  assert.deepEqual(end, { kind: "unasked" });
});

test("of a stream that is too long, the answer to a question is asked for", async () => {
  const streams = new Streams({ page: 5 });
  const of = streams.add("/a", "tool.approval-requested", undefined, asks("r.0"));
  for (let count = 0; count < 20; count += 1) streams.add("/a", "noise");
  streams.add("/a", "tool.denied", undefined, answers("r.0"));
  const followers = new Followers(of, streams);
  await followers.look(signal, nothing);
  assert.deepEqual(names(followers.all()), ["tool.denied"]);
});

test("a long chain is not read to its end, and a cause that cannot be read is no cause that is gone", async () => {
  const streams = new Streams();
  let at = streams.add("/a", "first");
  for (let count = 0; count < LONGEST_CHAIN + 10; count += 1) at = streams.add("/a", "step", at);
  const { causes, end } = await upward(at, streams, signal);
  assert.equal(causes.length, LONGEST_CHAIN);
  assert.deepEqual(end, { kind: "further", ref: { path: "/a", offset: 10 } });

  const error = new Error("not now");
  const refused = await upward(at, { ...streams, before: () => Promise.reject(error) }, signal);
  assert.deepEqual(refused.end, { kind: "failed", ref: at.cause, error });
});

test("followers are found in the event's own stream, in those around, and in those that they speak of", async () => {
  const streams = new Streams({ near: ["/a/child"] });
  const before = streams.add("/a", "before");
  const of = streams.add("/a", "of", before);
  streams.add("/a", "beside", before);
  const spawned = streams.add("/a", "spawned", of, { payload: { arguments: { streamPath: "../elsewhere" } } });
  const there = streams.add("/elsewhere", "there", spawned);
  streams.add("/elsewhere", "then", there);
  streams.add("/a/child", "copy", of);
  streams.add("/a/child", "alien");
  const followers = new Followers(of, streams);
  let grew = 0;
  await followers.look(signal, () => (grew += 1));
  assert.deepEqual(names(followers.behind(of)), ["spawned", "copy"]);
  assert.deepEqual(names(followers.all()), ["spawned", "copy", "there", "then"]);
  assert.deepEqual([...followers.looked.keys()].sort(), ["/a", "/a/child", "/elsewhere"]);
  assert.deepEqual(followers.unfinished, []);
  assert.ok(grew >= 2, "what is known is shown while the rest is looked for");
});

test("of a stream that is too long a part is read, and what the event itself caused", async () => {
  const streams = new Streams({ page: 5 });
  const of = streams.add("/a", "of");
  for (let count = 0; count < 20; count += 1) streams.add("/a", "noise");
  const late = streams.add("/a", "late", of);
  streams.add("/a", "later", late);
  const followers = new Followers(of, streams);
  await followers.look(signal, nothing);
  assert.deepEqual(names(followers.all()), ["late"]);
  assert.deepEqual(
    followers.unfinished.map(({ path, upTo, head }) => [path, upTo, head]),
    [["/a", 6, 23]],
    "what `late` caused is not known",
  );

  await followers.lookFurther("/a", signal, nothing);
  assert.deepEqual(names(followers.all()), ["late", "later"]);
  assert.deepEqual(followers.unfinished, []);
});

test("a stream that is full of followers is read page by page", async () => {
  const streams = new Streams({ page: 50 });
  const of = streams.add("/a", "of");
  let at = of;
  for (let count = 0; count < 220; count += 1) at = streams.add("/a", "step", at);
  const followers = new Followers(of, streams);
  await followers.look(signal, nothing);
  assert.equal(followers.all().length, 50);
  await followers.lookFurther("/a", signal, nothing);
  assert.equal(followers.all().length, 220);
  assert.deepEqual(followers.unfinished, []);
});

test("where nothing followed, a long stream need not be read to know it", async () => {
  const streams = new Streams({ page: 5 });
  const of = streams.add("/a", "of");
  for (let count = 0; count < 20; count += 1) streams.add("/a", "noise");
  const followers = new Followers(of, streams);
  await followers.look(signal, nothing);
  assert.deepEqual(followers.all(), []);
  assert.deepEqual(followers.unfinished, []);
});

test("other streams are looked at when one asks for it", async () => {
  const streams = new Streams({ any: ["/far"] });
  const of = streams.add("/a", "of");
  streams.add("/far", "heard", of);
  const followers = new Followers(of, streams);
  await followers.look(signal, nothing);
  assert.deepEqual(names(followers.all()), []);
  assert.equal(followers.mayBeElsewhere, true);
  await followers.lookElsewhere(signal, nothing);
  assert.deepEqual(names(followers.all()), ["heard"]);
  assert.equal(followers.mayBeElsewhere, false);
});

test("a stream that does not answer is named, and can be asked again", async () => {
  const streams = new Streams({ near: ["/b"] });
  const of = streams.add("/a", "of");
  streams.add("/b", "heard", of);
  const error = new Error("not now");
  let fails = true;
  const after = (path, ...rest) => (fails && path === "/b" ? Promise.reject(error) : streams.after(path, ...rest));
  const followers = new Followers(of, { ...streams, after });
  await followers.look(signal, nothing);
  assert.deepEqual(followers.unfinished, [{ path: "/b", upTo: 0, head: 0, asked: new Map(), error }]);
  fails = false;
  await followers.lookFurther("/b", signal, nothing);
  assert.deepEqual(names(followers.all()), ["heard"]);
  assert.deepEqual(followers.unfinished, []);
});

test("an event that comes while one looks is heard once, and only when something caused it", async () => {
  const streams = new Streams();
  const of = streams.add("/a", "of");
  const followers = new Followers(of, streams);
  await followers.look(signal, nothing);
  const live = streams.add("/a", "live", of);
  assert.equal(followers.hear(live), true);
  assert.equal(followers.hear(live), false);
  assert.equal(followers.hear(streams.add("/a", "alien")), false);
  assert.deepEqual(names(followers.all()), ["live"]);
});

test("what is spoken of is a path only if it could be one", () => {
  const payload = {
    path: "/x",
    streamPath: "child/../other",
    target: { url: "http://a/b" },
    from: "anna",
    deep: [{ streamPath: "/y" }, { path: "not absolute" }, { path: "/<b>" }],
  };
  const event = { offset: 1, type: "t", payload, streamPath: "/here", createdAt: "2026-01-01T00:00:00Z" };
  assert.deepEqual(factOf(event, { words: "", kind: "plain" }).mentions, ["/x", "/here/other", "/y"]);
});
