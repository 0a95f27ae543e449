// What an agent is at, and its turns, read from events.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isOfAgents, phaseOf, stepOf, turnsOf } from "../src/time/turns.ts";

/** Events as `[type, payload]`, as steps. */
const steps = (...events) =>
  events.map(([type, payload = {}], index) =>
    stepOf({ offset: index + 1, type, payload, streamPath: "/a", createdAt: "2026-01-01T00:00:00Z" }),
  );

const input = (more) => ["agent.input-added", { content: "Hello", ...more }];
const started = (turn, agent = "guide") => ["agent.turn-started", { agent, turn, requestId: `${agent}.${turn}` }];
const output = (turn, calls = [], agent = "guide") => [
  "agent.output-added",
  { agent, turn, requestId: `${agent}.${turn}`, content: "Hi", toolCalls: calls.map((callId) => ({ callId })) },
];
const failed = (turn, final) => [
  "agent.turn-failed",
  { agent: "guide", turn, requestId: `guide.${turn}`, error: "500", final },
];
const tool = (type, callId) => [`tool.${type}`, { callId }];

const phase = (...events) => {
  const { kind, since, calls } = phaseOf("guide", steps(...events));
  return [kind, since?.offset, calls];
};

test("an agent is idle, hears, asks, and is idle again", () => {
  assert.deepEqual(phase(), ["idle", undefined, 0]);
  assert.deepEqual(phase(input()), ["debouncing", 1, 0]);
  assert.deepEqual(phase(input(), started(1)), ["asking", 2, 0]);
  assert.deepEqual(phase(input(), started(1), output(1)), ["idle", 3, 0]);
});

test("input that comes while it asks is answered afterwards", () => {
  assert.deepEqual(phase(input(), started(1), input()), ["asking", 2, 0]);
  assert.deepEqual(phase(input(), started(1), input(), output(1)), ["debouncing", 4, 0]);
});

test("it waits for its tools, for a person first where one must approve, and goes on when all have ended", () => {
  const asked = [input(), started(1), output(1, ["c.0", "c.1"])];
  assert.deepEqual(phase(...asked), ["tools", 3, 2]);
  const waits = [...asked, tool("approval-requested", "c.0"), tool("requested", "c.1")];
  assert.deepEqual(phase(...waits), ["approval", 5, 2]);
  const goesOn = [...waits, tool("approved", "c.0"), tool("completed", "c.1")];
  assert.deepEqual(phase(...goesOn), ["tools", 7, 1]);
  assert.deepEqual(phase(...goesOn, tool("failed", "c.0")), ["debouncing", 8, 0]);
  assert.deepEqual(phase(...waits, tool("denied", "c.0")), ["tools", 6, 1]);
});

test("it tries again, and stops", () => {
  assert.deepEqual(phase(input(), started(1), failed(1, false)), ["retrying", 3, 0]);
  assert.deepEqual(phase(input(), started(1), failed(1, true), ["agent.stopped", { agent: "guide" }]), [
    "stopped",
    4,
    0,
  ]);
  assert.deepEqual(phase(["agent.stopped", { agent: "guide" }], input()), ["debouncing", 2, 0]);
});

test("what others of the stream do is nothing to it", () => {
  assert.deepEqual(phase(input({ to: "other" })), ["idle", undefined, 0]);
  assert.deepEqual(phase(input({ to: "guide" }), started(1, "other")), ["debouncing", 1, 0]);
  assert.deepEqual(phase(started(1), output(1, [], "other"), ["agent.stopped", { agent: "other" }]), ["asking", 1, 0]);
  assert.deepEqual(phase(started(1), output(1, ["c"]), tool("completed", "another")), ["tools", 2, 1]);
});

test("turns are the newest first, each with its first end and the attempts before it", () => {
  const turns = turnsOf(
    steps(output(1), started(2), failed(2, false), output(2, ["c"]), failed(2, true), started(3), started(1, "other")),
  );
  assert.deepEqual(
    turns.map(({ agent, turn, started: { offset }, end, failures }) => [
      agent,
      turn,
      offset,
      end?.type,
      failures.length,
    ]),
    [
      ["other", 1, 7, undefined, 0],
      ["guide", 3, 6, undefined, 0],
      ["guide", 2, 2, "agent.output-added", 1],
    ],
  );
});

test("of an event what is large is not held, whatever stands in it", () => {
  const [step] = steps([
    "agent.output-added",
    { content: "x".repeat(100_000), usage: { inputTokens: 3 }, latencyMs: "odd" },
  ]);
  assert.equal(step.words.length, 200);
  assert.deepEqual([step.inputTokens, step.latencyMs, step.calls], [3, undefined, []]);
  for (const payload of [null, 5, "text", [], { toolCalls: 5, usage: [], content: {} }]) {
    assert.equal(steps(["agent.output-added", payload])[0].words, "");
  }
});

test("what configures tools is no step of an agent", () => {
  const types = [
    "agent.turn-started",
    "tool.requested",
    "tool.approval-requested",
    "tool.configured",
    "tool.removed",
    "message",
  ];
  assert.deepEqual(types.filter(isOfAgents), types.slice(0, 3));
});
