import assert from "node:assert/strict";
import { test } from "node:test";
import { isEmpty, isFailure, isSearched, matcher } from "../src/log/filter.ts";

const entry = (type, payload = {}, more = {}) => ({ event: { offset: 1, type, payload, ...more }, size: 1 });
const shows = (filter, ...of) => matcher(filter)(entry(...of));

test("without a filter everything is shown", () => {
  assert.ok(isEmpty({}));
  assert.ok(isEmpty({ types: "", text: "" }));
  assert.ok(shows({}, "message"));
});

test("types are globs, any of which may fit the whole type", () => {
  const filter = { types: "agent.*, message" };
  assert.ok(!isEmpty(filter));
  assert.ok(shows(filter, "agent.output-added"));
  assert.ok(shows(filter, "message"));
  assert.ok(!shows(filter, "message.sent"));
  assert.ok(!shows(filter, "my.agent.x"));
  assert.ok(shows({ types: "*" }, "anything"));
  assert.ok(shows({ types: "," }, "anything"));
});

test("what means something in an expression is only itself in a glob", () => {
  assert.ok(!shows({ types: "a.b" }, "axb"));
  assert.ok(shows({ types: "a(b[c{d" }, "a(b[c{d"));
  assert.ok(shows({ types: "a+?^$|\\" }, "a+?^$|\\"));
  assert.ok(shows({ types: "a*b" }, "a\u2028b"));
});

test("text is looked for in the type, the payload and the metadata, in any case", () => {
  assert.ok(shows({ text: "HELLO" }, "message", { text: "well, hello there" }));
  assert.ok(shows({ text: "mess" }, "Message"));
  assert.ok(shows({ text: "trace-7" }, "message", {}, { metadata: { id: "trace-7" } }));
  assert.ok(shows({ text: "straße" }, "message", { text: "Straße" }));
  assert.ok(!shows({ text: "bye" }, "message", { text: "hello" }));
});

test("text with quotes and backslashes is found as a person sees it", () => {
  const payload = { text: 'he said "yes"\nin C:\\temp' };
  assert.ok(shows({ text: 'said "yes"' }, "message", payload));
  assert.ok(shows({ text: "C:\\temp" }, "message", payload));
});

test("the server alone says what matches of types, not of texts and outcomes", () => {
  assert.ok(!isSearched({ types: "a" }));
  assert.ok(isSearched({ text: "a" }));
  assert.ok(isSearched({ only: "failed" }));
});

test("what went wrong is a failure, whoever says it", () => {
  const failed = [
    ..."error.occurred tool.failed tool.denied subscription.halted agent.turn-failed agent.turn-interrupted".split(" "),
    ..."payment-failed error my.error error-seen".split(" "),
  ];
  for (const type of failed) assert.ok(isFailure(entry(type).event), type);
  for (const type of ["message", "tool.completed", "agent.output-added", "prefailed", "unfailed.x", "halter"]) {
    assert.ok(!isFailure(entry(type).event), type);
    assert.ok(!shows({ only: "failed" }, type), type);
  }
});

test("a hook is verified, or not, or nobody could say; its own content says nothing", () => {
  const hook = (verified) => ["webhook.received", { verified, body: { verified: true } }];
  assert.ok(shows({ only: "verified" }, ...hook(true)));
  assert.ok(!shows({ only: "verified" }, ...hook(false)));
  assert.ok(!shows({ only: "verified" }, ...hook(null)));
  assert.ok(shows({ only: "unverified" }, ...hook(false)));
  assert.ok(shows({ only: "unverified" }, ...hook(null)));
  assert.ok(!shows({ only: "unverified" }, ...hook(true)));
  assert.ok(shows({ only: "failed" }, ...hook(false)));
  assert.ok(!shows({ only: "failed" }, ...hook(null)));
});

test("an event that is no hook cannot call itself verified", () => {
  assert.ok(!shows({ only: "verified" }, "message", { verified: true }));
  assert.ok(!shows({ only: "unverified" }, "message", { verified: false }));
  assert.ok(!shows({ only: "failed" }, "user.checked", { verified: false }));
});

test("any payload can be looked at", () => {
  for (const payload of [null, 0, "", "text", [], [1], true, { verified: "yes" }]) {
    for (const filter of [{ text: "x" }, { only: "failed" }, { only: "verified" }, { only: "unverified" }]) {
      assert.equal(typeof shows(filter, "webhook.received", payload), "boolean");
    }
  }
});

test("all parts of a filter must fit", () => {
  const filter = { types: "webhook.*", text: "octo", only: "verified" };
  assert.ok(shows(filter, "webhook.received", { verified: true, body: "octocat" }));
  assert.ok(!shows(filter, "webhook.received", { verified: true, body: "cat" }));
  assert.ok(!shows(filter, "webhook.received", { verified: false, body: "octocat" }));
  assert.ok(!shows(filter, "message", { verified: true, body: "octocat" }));
});
