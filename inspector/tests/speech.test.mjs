import assert from "node:assert/strict";
import { test } from "node:test";
import { Speeches } from "../src/event/speech.ts";

const requestId = "guide.gen.5";

const delta = (at, text, more = {}) => ({
  type: "agent.output-delta",
  payload: { agent: "guide", requestId, attempt: 1, at, text, ...more },
});
const event = (type, payload = {}, offset = 6) => ({
  offset,
  type,
  payload: { agent: "guide", requestId, ...payload },
});

function heard(...said) {
  const speeches = new Speeches();
  for (const it of said)
    if ("offset" in it) speeches.take(it);
    else speeches.hear(it);
  return speeches;
}

test("deltas are joined", () => {
  const [speech] = heard(delta(0, "Hel"), delta(3, "lo, "), delta(7, "you")).now;
  assert.equal(speech.text, "Hello, you");
  assert.equal(speech.agent, "guide");
});

test("characters are counted as code points", () => {
  const [speech] = heard(delta(0, "🌊a"), delta(2, "b🌊"), delta(4, "c")).now;
  assert.equal(speech.text, "🌊ab🌊c");
  assert.equal(speech.length, 5);
});

test("what is said twice is there once", () => {
  const [speech] = heard(delta(0, "🌊abc"), delta(2, "bc"), delta(4, "d"), delta(0, "🌊abcde")).now;
  assert.equal(speech.text, "🌊abcde");
});

test("who was late is told everything so far", () => {
  const [speech] = heard(delta(5, " you"), delta(0, "Hello you"), delta(9, "!")).now;
  assert.deepEqual([speech.text, speech.start, speech.length], ["Hello you!", 0, 10]);
});

test("after a gap the newest is shown, and where it begins is known", () => {
  const [speech] = heard(delta(0, "Hello"), delta(50, "later"), delta(55, " on")).now;
  assert.deepEqual([speech.text, speech.start, speech.length], ["later on", 50, 58]);
});

test("another attempt begins anew, and an earlier one says nothing any more", () => {
  const [speech] = heard(delta(0, "wrong"), delta(0, "right", { attempt: 2 }), delta(5, "er", { attempt: 1 })).now;
  assert.deepEqual([speech.text, speech.attempt], ["right", 2]);
});

test("a turn that has begun is thinking until something is said", () => {
  const speeches = heard(event("agent.turn-started"));
  assert.deepEqual(
    speeches.now.map(({ text, turnAt }) => [text, turnAt]),
    [["", 6]],
  );
  speeches.hear(delta(0, "Hm"));
  assert.deepEqual(
    speeches.now.map(({ text, turnAt }) => [text, turnAt]),
    [["Hm", 6]],
  );
});

for (const end of [
  event("agent.output-added"),
  event("agent.turn-interrupted"),
  event("agent.turn-failed", { final: true }),
]) {
  test(`${end.type} ends it, and nothing of it is heard afterwards`, () => {
    const speeches = heard(
      event("agent.turn-started"),
      delta(0, "Hm"),
      end,
      delta(2, "late"),
      event("agent.turn-started"),
    );
    assert.deepEqual(speeches.now, []);
  });
}

test("a failed attempt takes back what was said, and says when the next one comes", () => {
  const speeches = heard(
    event("agent.turn-started"),
    delta(0, "Hm"),
    event("agent.turn-failed", { attempt: 1, retryAt: "t", final: false }),
  );
  assert.deepEqual(
    speeches.now.map(({ text, attempt, retryAt }) => [text, attempt, retryAt]),
    [["", 2, "t"]],
  );
  speeches.hear(delta(0, "Again", { attempt: 2 }));
  assert.deepEqual(
    speeches.now.map(({ text, retryAt, turnAt }) => [text, retryAt, turnAt]),
    [["Again", undefined, 6]],
  );
});

test("an agent that has stopped says nothing; the others do", () => {
  const other = delta(0, "x", { agent: "other", requestId: "other.gen.1" });
  const speeches = heard(delta(0, "Hm"), other, { offset: 9, type: "agent.stopped", payload: { agent: "guide" } });
  assert.deepEqual(
    speeches.now.map(({ agent }) => agent),
    ["other"],
  );
});

test("a stream that begins anew has nobody who speaks", () => {
  const speeches = heard(delta(0, "Hm"), { offset: 1, type: "stream.created", payload: {} });
  assert.deepEqual(speeches.now, []);
});

test("what ended while nobody listened is gone, and what is at work is known", () => {
  const speeches = heard(event("agent.turn-started", {}, 6), delta(0, "Hm"));
  const next = { requestId: "guide.gen.30" };
  speeches.learn([event("agent.turn-started", next, 31), { offset: 32, type: "agent.stopped", payload: {} }]);
  assert.deepEqual(
    speeches.now.map((speech) => speech.requestId),
    ["guide.gen.30"],
  );
});

test("hostile deltas are passed over", () => {
  const speeches = new Speeches();
  for (const payload of [
    null,
    1,
    "x",
    [],
    {},
    { requestId: 1 },
    { ...delta(0, "x").payload, at: -1 },
    { ...delta(0, "x").payload, text: {} },
  ]) {
    assert.equal(speeches.hear({ type: "agent.output-delta", payload }), false);
  }
  assert.equal(speeches.hear({ type: "typing", payload: delta(0, "x").payload }), false);
  assert.deepEqual(speeches.now, []);
});

test("memory has a bound, however many speak and however much is said", () => {
  const speeches = new Speeches();
  for (let index = 0; index < 1_000; index += 1) speeches.hear(delta(0, "x", { requestId: `r.${index}.1` }));
  assert.equal(speeches.now.length, 64);
  assert.ok(speeches.get("r.999.1"));
  const piece = "🌊".repeat(10_000);
  for (let index = 0; index < 200; index += 1) speeches.hear(delta(index * 10_000, piece));
  const speech = speeches.get(requestId);
  assert.ok(speech.text.length <= 1 << 20);
  assert.equal(speech.length, 2_000_000);
  assert.equal(speech.start + Array.from(speech.text).length, 2_000_000);
  assert.ok(speech.text.startsWith("🌊"));
});
