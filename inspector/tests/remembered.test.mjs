// What of a draft is kept for when the page is loaded anew.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST, recall, remember } from "../src/hands/remembered.ts";

/** Seven of these fit, and not an eighth. */
const LARGE = MOST / 8;

/** A tab's storage, as long as a test. */
function aTab(t, stored = {}) {
  const items = new Map(Object.entries(stored));
  globalThis.window = {
    sessionStorage: {
      getItem: (key) => items.get(key) ?? null,
      setItem: (key, value) => items.set(key, value),
      removeItem: (key) => items.delete(key),
    },
  };
  t.after(() => delete globalThis.window);
  return items;
}

const nothing = { mode: undefined, message: undefined, to: undefined, event: undefined };
const messageOf = (path) => recall(path).message;

test("a draft comes back as it was, each with its stream, and without one nothing is kept", (t) => {
  const items = aTab(t);
  const draft = { mode: "event", message: "a", to: "guide", event: "{}" };
  remember(new Map([["/a", draft]]));
  remember(new Map([["/b", { message: "b" }]]));
  assert.deepEqual(recall("/a"), draft);
  assert.deepEqual(recall("/b"), { ...nothing, message: "b" });
  assert.deepEqual(recall("/c"), nothing);
  remember(new Map([["/a", nothing], ["/b", {}]])); // prettier-ignore
  assert.equal(items.size, 0);
});

test("when all are too large together those are forgotten that were written first", (t) => {
  aTab(t);
  const paths = Array.from({ length: 8 }, (_, n) => `/${n}`);
  for (const path of paths) remember(new Map([[path, { message: "x".repeat(LARGE) }]]));
  assert.equal(messageOf("/0"), undefined);
  assert.equal(messageOf("/1").length, LARGE);
  remember(new Map([["/1", { message: "again" }]]));
  remember(new Map([["/8", { message: "x".repeat(LARGE) }]]));
  remember(new Map([["/9", { message: "x".repeat(LARGE) }]]));
  assert.deepEqual([messageOf("/1"), messageOf("/2")], ["again", undefined]);
  assert.equal(messageOf("/9").length, LARGE);
});

test("a draft that is too large by itself forgets no other", (t) => {
  aTab(t);
  remember(new Map([["/a", { message: "a" }]]));
  const control = "\u0001".repeat(LARGE);
  remember(new Map([["/b", { message: control, event: control }]]));
  assert.deepEqual([messageOf("/a"), messageOf("/b")], ["a", undefined]);
});

test("what somebody else put there is no draft", (t) => {
  for (const text of ["no json", "7", "null", "[7]", '[["/a", null]]', '[["/a", {"message": 7, "mode": "x"}]]']) {
    aTab(t, { "tailrace-drafts": text });
    assert.deepEqual(recall("/a"), nothing, text);
    remember(new Map([["/b", { message: "b" }]]));
    assert.equal(messageOf("/b"), "b", text);
  }
});
