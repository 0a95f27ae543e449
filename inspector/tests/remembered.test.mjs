// What of a draft is kept for when the page is loaded anew.
import assert from "node:assert/strict";
import { test } from "node:test";
import { keepable, LONGEST, withoutSecrets } from "../src/hands/remembered.ts";
import { templates, textOf, titleOf } from "../src/hands/templates.ts";

test("an event without a secret is kept as it was written, also half-written", () => {
  const written = '{ "type": "a",\n  "payload": [1e400, 12345678901234567890.10, "\\u0041", null] }';
  for (const text of [written, '{"type": "half', '{"type": "a", "payload": }'])
    assert.equal(withoutSecrets(text), text);
});

test("the values of secret fields are emptied, whatever they are, and nothing else is", () => {
  const written = {
    type: "subscription.configured",
    payload: {
      slug: "a",
      secretVersion: 2,
      headers: { authorization: "one", "x-plain": "two", deep: { er: ["three"] } },
      target: { agent: { secret: "four", options: { max_tokens: 8_192 }, system: "Be brief." } },
      verify: { secrets: ["five", "six"], signature: { header: "x-signature" } },
      password: 7,
      apiKey: 'ei"ght',
      "\u0074oken": "nine",
      after: "kept",
    },
  };
  const { payload } = JSON.parse(withoutSecrets(JSON.stringify(written, null, 2)));
  assert.deepEqual(payload, {
    slug: "a",
    secretVersion: 2,
    headers: { authorization: "", "x-plain": "", deep: { er: [""] } },
    target: { agent: { secret: "", options: { max_tokens: 8_192 }, system: "Be brief." } },
    verify: { secrets: ["", ""], signature: { header: "x-signature" } },
    password: "",
    apiKey: "",
    token: "",
    after: "kept",
  });
});

test("a name that is written with escapes is a secret's all the same", () => {
  assert.equal(
    withoutSecrets('{"\\u0073ecret": "x", "text": "\\u0073k-0123456789abcdef0123"}'),
    '{"\\u0073ecret": "", "text": ""}',
  );
});

test("of every template all is kept but the values of its secret fields", () => {
  for (const template of templates) {
    const kept = withoutSecrets(textOf(template));
    assert.doesNotMatch(kept, /OPENAI|ACME/, titleOf(template));
    assert.equal(kept, textOf(template).replace('"OPENAI"', '""').replace('"ACME"', '""'), titleOf(template));
  }
});

test("where it is not JSON yet, a word that smells of a secret keeps all of it back", () => {
  for (const text of [
    '{"secret": "abc',
    '{"headers": {"x": "abc"}',
    '{"a": "Bearer abcdefghij"',
    "password: hunter2",
    '{"x-api-key: "abc"}',
  ]) {
    assert.equal(withoutSecrets(text), undefined, text);
  }
});

test("what looks like a key is not kept, whatever its field is called", () => {
  const keys = ["sk-0123456789abcdef0123", `ghp_${"a".repeat(36)}`, "-----BEGIN PRIVATE KEY-----", "Bearer abcdefgh"];
  keys.push(`eyJ${"a".repeat(30)}.eyJ${"b".repeat(30)}`, "https://anna:hunter2@example.com", "https://a.b/?token=x");
  for (const key of keys) {
    assert.equal(keepable(`this is it: ${key}`), undefined, key);
    assert.equal(
      withoutSecrets(JSON.stringify({ type: "a", payload: { text: key } })),
      '{"type":"a","payload":{"text":""}}',
    );
  }
  for (const text of ["hello", "ask-me-anything-you-would-like", "basic things"]) assert.equal(keepable(text), text);
});

test("what is too long is not kept", () => {
  assert.equal(keepable("a".repeat(LONGEST)).length, LONGEST);
  assert.equal(keepable("a".repeat(LONGEST + 1)), undefined);
  assert.equal(withoutSecrets(JSON.stringify({ type: "a".repeat(LONGEST) })), undefined);
});
