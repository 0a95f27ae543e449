// Which calls of tools wait for a person, according to the events.
import assert from "node:assert/strict";
import { test } from "node:test";
import { current, heard } from "../src/hands/approvals.ts";

const asked = (callId, { agent = "bot", by = `subscription:${agent}`, name = "deploy", offset = 5 } = {}) => ({
  offset,
  type: "tool.approval-requested",
  payload: { callId, name, arguments: { to: "prod" }, agent, expiresAt: "2030-01-01T00:00:00Z" },
  metadata: { tailrace: { by } },
});
const ended = (type, callId) => ({ offset: 9, type, payload: { callId } });
const after = (...events) => events.reduce(heard, []).map(({ callId }) => callId);

test("a call waits until somebody has said a word or it is over", () => {
  assert.deepEqual(after(asked("a.0"), asked("a.1")), ["a.0", "a.1"]);
  for (const type of ["tool.approved", "tool.denied", "tool.requested", "tool.completed", "tool.failed"]) {
    assert.deepEqual(after(asked("a.0"), asked("a.1"), ended(type, "a.0")), ["a.1"], type);
  }
});

test("what only looks like an agent's question is not shown", () => {
  for (const by of [undefined, "subscription:other", "somebody", "hook"]) {
    assert.deepEqual(after(asked("a.0", { by: by ?? null })), []);
  }
  assert.deepEqual(after({ ...asked("a.0"), metadata: undefined }), []);
});

test("a forged question before the true one does not take its place", () => {
  const forged = {
    ...asked("a.0", { by: "somebody" }),
    payload: { ...asked("a.0").payload, arguments: { to: "test" } },
  };
  const [waiting] = [forged, asked("a.0")].reduce(heard, []);
  assert.deepEqual(waiting.arguments, { to: "prod" });
});

test("events of any shape do no harm", () => {
  for (const payload of [null, 1, "text", [], { callId: 1 }, { callId: "a.0", name: {}, expiresAt: 1 }]) {
    assert.deepEqual(after({ ...asked("a.0"), payload }), []);
  }
});

test("what has expired waits no longer", () => {
  const waiting = [asked("a.0")].reduce(heard, []);
  assert.equal(current(waiting, Date.parse("2029-12-31T23:59:59Z")).length, 1);
  assert.equal(current(waiting, Date.parse("2030-01-01T00:00:00Z")).length, 0);
});
