import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { curlOf } from "../src/event/curl.ts";

const place = { origin: "http://127.0.0.1:8787", path: "/x", hasToken: false };

/** What a shell hands to curl: the arguments of each call, and what stands at its input. */
function run(command, env = {}) {
  const fake = `curl() { for it in "$@"; do printf '%s\\0' "$it"; done; case "$*" in *@-*) cat;; esac; printf '\\1'; }\n`;
  const { stdout, stderr, status } = spawnSync("sh", [], {
    input: fake + command,
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  assert.equal(stderr, "");
  assert.equal(status, 0);
  return stdout
    .split("\u0001")
    .slice(0, -1)
    .map((call) => {
      const [globOff, ...args] = call.split("\0");
      assert.equal(globOff, "-g", "brackets in a URL would be ranges");
      return args;
    });
}

const lineOf = (fields) =>
  JSON.stringify({ offset: 7, ...fields, streamPath: "/x", createdAt: "2026-01-01T00:00:00Z" });

test("the command appends the same type, payload and metadata again, and nothing else of the event", () => {
  const line =
    '{"offset":7,"type":"m","payload":{"n":9007199254740993},"metadata":{"a":1,"tailrace":{"by":"bob"}},"idempotencyKey":"k","cause":{"streamPath":"/x","offset":1,"hops":0,"turns":0},"streamPath":"/x","createdAt":"t"}';
  const [call] = run(curlOf(line, place));
  assert.deepEqual(call.slice(0, 3), [
    "http://127.0.0.1:8787/api/streams/x",
    "-d",
    '{"type":"m","payload":{"n":9007199254740993},"metadata":{"a":1}}',
  ]);
});

test("whatever an event says stays inside its quotes", () => {
  const hostile = [
    `'; touch /tmp/owned; '`,
    "$(id) `id` \\",
    "\n'\n!!",
    `"'"'"`,
    "\u001b[201~\u009b\u202e",
    "-d @/etc/passwd",
    "'\\''",
  ];
  for (const text of hostile) {
    const event = { type: `m ${text.replaceAll(/\p{Cc}/gu, "")}`, payload: { [text]: text } };
    const [call, ...more] = run(curlOf(lineOf(event), place));
    assert.deepEqual(more, []);
    assert.deepEqual(JSON.parse(call[2]), event);
  }
});

test("what one cannot see is written as an escape", () => {
  const command = curlOf(lineOf({ type: "m", payload: "a\u009bb\u202ec\u200bd\ufeff" }), place);
  assert.match(command, /a\\u009bb\\u202ec\\u200bd\\ufeff/);
});

test("a token is named, not given", () => {
  const [call] = run(curlOf(lineOf({ type: "m" }), { ...place, hasToken: true }), { TAILRACE_TOKEN: "secret" });
  assert.deepEqual(call.slice(0, 2), ["-H", "Authorization: Bearer secret"]);
});

test("a body that no argument can hold goes through the input", () => {
  const event = { type: "m", payload: { text: "it's '\nTAILRACE_EVENT\n".repeat(20_000) } };
  const [call] = run(curlOf(lineOf(event), place));
  assert.deepEqual(call.slice(0, 3), ["http://127.0.0.1:8787/api/streams/x", "--data-binary", "@-"]);
  assert.deepEqual(JSON.parse(call[3]), event);
});

test("a hook is sent again with its own bytes, headers and query, without what was of the way", () => {
  const headers = {
    host: "a",
    "content-length": "3",
    "cf-ray": "x",
    authorization: "[redacted]",
    "content-type": "application/json",
    "x-github-event": "it's $(id)\r\nx-evil: 1",
  };
  const payload = {
    method: "PUT",
    url: "https://other.example/hooks/x?source=git'hub&a=1#f",
    headers,
    size: 3,
    body: "abc",
  };
  const command = curlOf(lineOf({ type: "webhook.received", payload }), { ...place, hasToken: true });
  const [raw, again] = command.split(" | ");
  const env = { TAILRACE_TOKEN: "secret" };
  assert.deepEqual(run(raw, env)[0].slice(0, -1), [
    "-s",
    "-H",
    "Authorization: Bearer secret",
    "http://127.0.0.1:8787/api/raw/x?offset=7",
  ]);
  assert.deepEqual(run(`printf abc | ${again}`)[0], [
    "-X",
    "PUT",
    "-H",
    "content-type: application/json",
    "-H",
    "x-github-event: it's $(id)x-evil: 1",
    "--data-binary",
    "@-",
    "http://127.0.0.1:8787/hooks/x?source=git'hub&a=1",
    "abc",
  ]);
});

test("what only the system writes is read", () => {
  for (const type of ["stream.created", "subscription.halted", "imported.stream.paused"]) {
    const [call] = run(curlOf(lineOf({ type, payload: {} }), place));
    assert.equal(call[0], "http://127.0.0.1:8787/api/streams/x?afterOffset=6&beforeOffset=8");
  }
});
