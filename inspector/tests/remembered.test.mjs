// What of a draft is kept for when the page is loaded anew.
import assert from "node:assert/strict";
import { test } from "node:test";
import { keepable, LONGEST, recall, remember, withoutSecrets } from "../src/hands/remembered.ts";
import { templates, textOf, titleOf } from "../src/hands/templates.ts";

test("an event without a secret is kept as it was written, also half-written", () => {
  const written = '{ "type": "a",\n  "payload": [1e400, 12345678901234567890.10, "\\u0041", null] }';
  for (const text of [
    written,
    '{"type": "half',
    '{"type": "a", "payload": }',
    '{"max_tokens": 100, "secretVersion": "a"',
  ])
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
    '{"a": "Bearer abcdefgh12345678"',
    '{"name": "API_KEY=abc',
    "password: hunter2",
    '{"x-api-key: "abc"}',
  ]) {
    assert.equal(withoutSecrets(text), undefined, text);
  }
});

/** An event whose payload is one text, and what is kept of that. */
const keptOf = (text) => JSON.parse(withoutSecrets(JSON.stringify({ type: "a", payload: { text } }))).payload.text;

const jwt = `eyJ${"a".repeat(30)}.eyJ${"b".repeat(30)}`;
const secrets = [
  "sk-0123456789abcdef0123",
  "sk_live_0123456789abcdef",
  `ghp_${"a".repeat(36)}`,
  `npm_${"a".repeat(36)}`,
  "xoxb-123456789012-abcdefghijkl",
  `AKIA${"A1".repeat(8)}`,
  `AIza${"b".repeat(35)}`,
  jwt,
  "-----BEGIN PRIVATE KEY-----",
  "Bearer abcdefgh12345678",
  "basic YWxhZGRpbjpvcGVuc2VzYW1l",
  "Authorization: Bearer abcdefgh",
  "https://anna:hunter2@example.com",
  "https://ghp_x@example.com",
  "https://hooks.slack.com/services/T0/B0/abc",
  ...["token", "access_token", "api_key", "apikey", "auth", "key", "sig"].map((name) => `https://a.b/?${name}=x`),
  ...["client_secret", "X-Amz-Signature", "X-Amz-Credential"].map((name) => `https://a.b/?c=d&${name}=x`),
  "password: hunter2hunter2",
  "password=1234",
  "passphrase: correct horse battery staple",
  "TOKEN=abc123",
  "export AWS_SECRET_ACCESS_KEY=abc",
  "my api key is 5f4dcc3b",
  "the password is hunter2",
  '{"password":"x"}',
  '{"clientSecret": "abc',
];

for (const secret of secrets) {
  test(`not kept, whatever its field is called: ${secret}`, () => {
    assert.equal(keepable(secret), undefined);
    assert.equal(keepable(`this is it:\n${secret}\nbye`), undefined);
    assert.equal(keptOf(secret), "");
  });
}

const sentences = [
  "hello",
  "ask-me-anything-you-would-like",
  "Explain the basic principles of Rust.",
  "You have basic knowledge of ships.",
  "basic JavaScript/TypeScript-knowledge",
  "What a bearer certificate is, and a cookie?",
  "see skills.my-company.example",
  "https://pkg.registry.example.com/a?b=c&sort_key=d&author=e",
  "https://example.com/@anna, git@example.com:a/b and ssh://git@example.com/a",
  "npm-install-everything-now",
  "The secret is to stay calm.",
  "Secrets: never tell them.",
  "The token is 8192 characters long.",
  "max_tokens: 100",
  "How do I reset my password?",
  '{"max_tokens": 100, "secretVersion": 2}',
];

for (const sentence of sentences) {
  test(`kept: ${sentence}`, () => {
    assert.equal(keepable(sentence), sentence);
    assert.equal(keptOf(sentence), sentence);
  });
}

const secretFields = [
  ...["secret", "secretKey", "accessKey", "secret_access_key", "AWS_SECRET_ACCESS_KEY", "clientSecretValue"],
  ...["token", "tokens", "accessToken", "apiKey", "apiKeys", "apikey", "x-api-key", "signingKey", "encryptionKey"],
  ...["password", "pwd", "passcode", "jwt", "bearer", "auth", "authorization", "cookie", "credentials", "headers"],
];

for (const name of secretFields) {
  test(`a secret field: ${name}`, () => {
    for (const value of ["abc", ["abc"], { x: "abc" }, { x: [{ y: "abc" }] }]) {
      assert.doesNotMatch(withoutSecrets(JSON.stringify({ payload: { [name]: value } })), /abc/);
    }
    assert.equal(withoutSecrets(`{"${name}": "abc`), undefined);
    assert.doesNotMatch(withoutSecrets(JSON.stringify({ value: "abc", name })), /abc/);
  });
}

const plainFields = [
  { secretVersion: 2, signature: { header: "x-signature" }, keyword: "a", author: "b", description: "c", monkey: "d" },
  { maxToken: 5, usage: { token: 7, tokens: [1, 2] }, max_tokens: 8_192, token: false },
  { headers: { "content-type": "application/json", Accept: "text/plain" } },
  { name: "weather", value: "sunny" },
];

for (const fields of plainFields) {
  const text = JSON.stringify(fields);
  test(`plain fields: ${text}`, () => assert.equal(withoutSecrets(text), text));
}

test("what is too long is not kept", () => {
  assert.equal(keepable("a".repeat(LONGEST)).length, LONGEST);
  assert.equal(keepable("a".repeat(LONGEST + 1)), undefined);
  assert.equal(withoutSecrets(JSON.stringify({ type: "a".repeat(LONGEST) })), undefined);
});

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

const nothing = { mode: undefined, message: undefined, to: undefined, event: undefined, lacks: undefined };
const messageOf = (path) => recall(path).message;

test("a draft comes back as it was, each with its stream, and without one nothing is kept", (t) => {
  const items = aTab(t);
  const draft = { mode: "event", message: "a", to: "guide", event: "{}", lacks: true };
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
  for (const path of paths) remember(new Map([[path, { message: "x".repeat(LONGEST) }]]));
  assert.equal(messageOf("/0"), undefined);
  assert.equal(messageOf("/1").length, LONGEST);
  remember(new Map([["/1", { message: "again" }]]));
  remember(new Map([["/8", { message: "x".repeat(LONGEST) }]]));
  remember(new Map([["/9", { message: "x".repeat(LONGEST) }]]));
  assert.deepEqual([messageOf("/1"), messageOf("/2")], ["again", undefined]);
  assert.equal(messageOf("/9").length, LONGEST);
});

test("a draft that is too large by itself forgets no other", (t) => {
  aTab(t);
  remember(new Map([["/a", { message: "a" }]]));
  const control = "\u0001".repeat(LONGEST);
  remember(new Map([["/b", { message: control, event: control }]]));
  assert.deepEqual([messageOf("/a"), messageOf("/b")], ["a", undefined]);
});

test("what somebody else put there is no draft", (t) => {
  for (const text of [
    "no json",
    "7",
    "null",
    "[7]",
    '[["/a", null]]',
    '[["/a", {"message": 7, "mode": "x", "lacks": 1}]]',
  ]) {
    aTab(t, { "tailrace-drafts": text });
    assert.deepEqual(recall("/a"), nothing, text);
    remember(new Map([["/b", { message: "b" }]]));
    assert.equal(messageOf("/b"), "b", text);
  }
});
