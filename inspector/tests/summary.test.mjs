import assert from "node:assert/strict";
import { test } from "node:test";
import { summary } from "../src/event/summary.ts";

const of = (type, payload) =>
  summary({ offset: 1, type, payload, streamPath: "/x", createdAt: "2026-01-01T00:00:00Z" });

const calls = [
  { callId: "a", name: "search", arguments: {} },
  { callId: "b", name: "weather", arguments: {} },
];
const breaker = { limit: 100, windowMs: 1_000, observed: 101 };
const said = [
  { type: "text", text: "look" },
  { type: "image", url: "https://x.example/a.png" },
];

const cases = [
  ["message", { text: "hello" }, "hello"],
  ["message", "hello", "hello"],
  ["message", {}, ""],
  ["order", { id: 1, items: ["a"] }, '{"id":1, "items":["a"]}'],
  ["order", [1, 2], "[1, 2]"],
  ["order", null, "null"],
  ["agent.input-added", { content: "hi", from: "anna" }, "anna: hi"],
  ["agent.input-added", { content: said, to: "guide" }, "to guide: look\n[image https://x.example/a.png]"],
  ["agent.context-added", { content: "it rains" }, "it rains"],
  ["agent.turn-started", { agent: "guide", turn: 3 }, "guide · turn 3"],
  ["agent.output-added", { content: "Yes." }, "Yes."],
  ["agent.output-added", { content: "", toolCalls: calls }, "calls search, weather"],
  ["agent.output-added", { content: "I look.", toolCalls: calls }, "I look. · calls search, weather"],
  ["agent.turn-failed", { attempt: 2, error: "HTTP 500", final: false }, "attempt 2 · HTTP 500 · tries again"],
  ["agent.turn-failed", { attempt: 5, error: "HTTP 500", final: true }, "attempt 5 · HTTP 500 · gives up"],
  ["agent.turn-interrupted", { partial: "Once upon" }, "after “Once upon”"],
  ["agent.turn-interrupted", { partial: "" }, "before it spoke"],
  ["agent.interrupt-requested", {}, "every agent of the stream"],
  ["agent.stopped", { agent: "guide", reason: "maxTurns" }, "guide · maxTurns"],
  ["tool.configured", { name: "weather", description: "The weather" }, "weather · The weather"],
  [
    "tool.requested",
    { callId: "c", name: "weather", arguments: { city: "Oslo", days: [1] } },
    'weather(city: "Oslo", days: [1])',
  ],
  ["tool.approval-requested", { callId: "c", name: "pay", arguments: {} }, "pay() · waits for approval"],
  ["tool.approved", { callId: "c.0" }, "c.0"],
  ["tool.denied", { callId: "c.0", reason: "no" }, "no · c.0"],
  ["tool.started", { callId: "c.0", attempt: 2 }, "c.0 · attempt 2"],
  ["tool.completed", { callId: "c.0", result: { sky: "blue" } }, '{"sky":"blue"}'],
  ["tool.completed", { callId: "c.0", result: "blue" }, "blue"],
  ["tool.failed", { callId: "c.0", error: "timeout" }, "timeout"],
  [
    "webhook.received",
    { source: "github", method: "POST", headers: { "x-github-event": "push" }, verified: true },
    "POST github push verified",
  ],
  [
    "webhook.received",
    {
      source: "stripe",
      method: "POST",
      body: { type: "invoice.paid" },
      verified: false,
      reason: "the signature is old",
    },
    "POST stripe invoice.paid does not verify: the signature is old",
  ],
  ["webhook.received", { method: "PUT", verified: null }, "PUT not verified"],
  ["schedule.configured", { slug: "tick", every: 600_000, event: { type: "ping" } }, "tick: every 10 minutes → ping"],
  ["schedule.ended", { slug: "tick", reason: "maxRuns", runs: 3 }, "tick · maxRuns · 3 runs"],
  [
    "subscription.configured",
    { slug: "count", types: ["message"], target: { url: "https://x.example/" } },
    "count → https://x.example/ · message",
  ],
  ["subscription.configured", { slug: "guide", target: { agent: { model: "gpt" } } }, "guide → the model gpt"],
  ["subscription.halted", { slug: "count", offset: 12, reason: "HTTP 410" }, "count at event 12: HTTP 410"],
  ["subscription.resumed", { slug: "count", from: 3 }, "count · again from 3"],
  ["stream.child-created", { path: "/x/a" }, "/x/a"],
  ["stream.paused", { reason: "lunch" }, "lunch"],
  ["stream.paused", { reason: "breaker", breaker }, "101 events in 1 second, 100 are allowed"],
  ["breaker.configured", { limit: null }, "off"],
  ["error.occurred", { message: "it broke", code: "boom" }, "it broke · boom"],
];

for (const [type, payload, words] of cases) {
  test(`${type} ${JSON.stringify(payload)} is “${words.replaceAll("\n", " ")}”`, () => {
    assert.equal(of(type, payload), words);
  });
}

test("whatever a payload is, there are words of at most 300 characters", () => {
  const long = "x".repeat(1_000_000);
  const odd = [undefined, null, 1, true, "", long, [], [long], {}, { [long]: long }];
  const types = [...new Set(cases.map(([type]) => type)), "constructor", "__proto__", "toString"];
  const fields = [
    "content",
    "error",
    "arguments",
    "result",
    "name",
    "slug",
    "target",
    "headers",
    "body",
    "reason",
    "message",
    "breaker",
    "partial",
    "toolCalls",
    "types",
    "event",
    "every",
    "cron",
    "path",
    "metadata",
    "from",
    "limit",
  ];
  for (const type of types) {
    for (const value of odd) {
      for (const payload of [value, ...fields.map((name) => ({ [name]: value }))]) {
        const words = of(type, payload);
        assert.equal(typeof words, "string");
        assert.ok(words.length <= 300, `${type} ${words.length}`);
      }
    }
  }
});
