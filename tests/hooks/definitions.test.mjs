// A provider without a preset: its own definition, by the same data, checked when it is configured.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { basic } from "./senders.mjs";
import { aRuntime, aSource, aStream, hmac, now, presets } from "./support.mjs";

const runtime = await aRuntime();
const key = runtime.secret("CUSTOM");
const token = { scheme: "token", signature: { header: "x-theirs" }, encoding: "text", secrets: ["CUSTOM"] };

async function verdict(source, sent) {
  const { verified, scheme, key } = (await source.stored(sent)).payload;
  return [verified, scheme, key];
}

test("a custom verification: header, template, encoding and timestamp as it says", async () => {
  const source = await aSource(runtime, undefined, {
    verify: {
      scheme: "hmac-sha512",
      signature: { header: "X-Theirs", part: "sig" },
      prefix: "h:",
      encoding: "base64",
      signed: "{header:x-id}|{query:region}|{timestamp}|{body}|end",
      timestamp: { header: "x-theirs", part: "at" },
      tolerance: 60,
      secrets: ["CUSTOM_NEXT", "CUSTOM"],
    },
  });
  const body = "any {body} text";
  const url = `${source.url}&region=e%C3%BC`;
  const request = (at, id = "1") => {
    const signature = hmac(key, `1|eü|${at}|${body}|end`, "base64", "sha512");
    return { url, headers: { "x-id": id, "x-theirs": `at=${at}, sig=h:${signature}` }, body };
  };

  assert.deepEqual(await verdict(source, request(now())), [true, "custom", "CUSTOM"]);
  assert.deepEqual(await verdict(source, request(now() - 70)), [false, "custom", undefined]);
  assert.deepEqual(await verdict(source, request(now(), "2")), [false, "custom", undefined]);
});

test("a custom token: in a header, a parameter, a form's field, the body or Basic authentication", async () => {
  const form = { "content-type": "application/x-www-form-urlencoded" };
  for (const [signature, sent] of [
    [{ header: "x-theirs" }, { headers: { "X-Theirs": key }, body: "x" }],
    [{ query: "sig" }, { query: `&sig=${key}`, body: "x" }],
    [{ form: "secret" }, { headers: form, body: `a=1&secret=${key}` }],
    [{ json: "/auth/0/token" }, { body: JSON.stringify({ auth: [{ token: key }] }) }],
    [{ basic: "user" }, { headers: { authorization: basic(key, "x") }, body: "x" }],
  ]) {
    const source = await aSource(runtime, undefined, { verify: { ...token, signature } });
    const request = { ...sent, url: source.url + (sent.query ?? "") };
    assert.deepEqual(await verdict(source, request), [true, "custom", "CUSTOM"], JSON.stringify(signature));
    assert.deepEqual(await verdict(source, { body: "x" }), [false, "custom", undefined]);
  }
});

test("a secret that is not set yet verifies nothing, says so, and lets nothing through that must verify", async () => {
  const missing = { verify: { ...token, secrets: ["NOWHERE"] } };
  const source = await aSource(runtime, undefined, missing);
  const { payload } = await source.stored({ headers: { "x-theirs": key }, body: "x" });
  assert.deepEqual([payload.verified, payload.scheme, payload.key], [null, "custom", undefined]);
  assert.match(payload.reason, /none of its secrets is set/);
  const large = await source.stored({ body: "y".repeat(300_000) });
  assert.equal(large.payload.verified, null);

  const strict = await aSource(runtime, undefined, { ...missing, reject: true });
  assert.equal((await strict.send({ headers: { "x-theirs": key }, body: "x" })).status, 401);
  assert.equal((await strict.send({ body: "y".repeat(300_000) })).status, 401);

  const asked = { when: { json: { "/hi": 1 } }, verified: true, reply: { body: "told" } };
  const careful = await aSource(runtime, undefined, { ...missing, handshake: asked });
  assert.equal((await careful.send({ body: JSON.stringify({ hi: 1 }) })).status, 401);
});

test("a preset with a part of it replaced keeps the rest", async () => {
  const source = await aSource(runtime, "slack", {
    reply: { status: 201, body: "stored" },
    idempotency: { header: "x-id" },
  });
  const at = now();
  const body = '{"event_id":"same"}';
  const signature = `v0=${hmac(runtime.secret("SLACK"), `v0:${at}:${body}`)}`;
  const headers = { "x-slack-request-timestamp": `${at}`, "x-slack-signature": signature };

  const answer = await source.send({ headers: { ...headers, "x-id": "1" }, body });
  await source.send({ headers: { ...headers, "x-id": "2" }, body });
  await source.send({ headers: { ...headers, "x-id": "2" }, body });

  assert.deepEqual([answer.status, answer.text], [201, "stored"]);
  const verdicts = (await source.stream.received()).map(({ payload }) => payload.verified);
  assert.deepEqual(verdicts, [true, true]);
});

test("a custom handshake is answered as it says, with what the request has, and as text that runs nowhere", async () => {
  const source = await aSource(runtime, undefined, {
    verify: { scheme: "hmac-sha256", signature: { header: "x-theirs" }, secrets: ["CUSTOM"] },
    handshake: [
      {
        when: { method: "POST", header: ["X-Ask"], json: { "/kind": "hello", "/n": 1 } },
        verified: true,
        reply: {
          status: 202,
          headers: { "X-Echo": "{header:x-ask}/{query:q}", "content-type": "text/html" },
          body: { proof: "{hmac:/challenge}", all: ["{json:/challenge}", "{unknown}", "{json:/none}"], n: 7 },
        },
      },
    ],
  });
  const body = JSON.stringify({ kind: "hello", n: 1, challenge: '<script>"{offset}' });
  const headers = { "x-ask": "a", "x-theirs": hmac(key, body) };

  const answer = await source.send({ url: `${source.url}&q=r%0d%0aset-cookie:x`, headers, body });

  assert.equal(answer.status, 202);
  assert.equal(answer.headers.get("x-echo"), "a/rset-cookie:x");
  assert.equal(answer.headers.get("set-cookie"), null);
  const challenge = '<script>"{offset}';
  assert.deepEqual(JSON.parse(answer.text), {
    proof: hmac(key, challenge),
    all: [challenge, "{unknown}", ""],
    n: 7,
  });
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  assert.match(answer.headers.get("content-security-policy"), /sandbox/);
  assert.equal((await source.send({ headers: { "x-ask": "a" }, body })).status, 401);
  assert.equal((await source.send({ headers: { ...headers, "x-ask": "b" }, body: "{}" })).status, 200);
});

test("a reply is filled in, and never says more than the stream answered", async () => {
  const source = await aSource(runtime, undefined, {
    reply: { status: 203, headers: { "x-where": "at {offset}" }, body: '<ok offset="{offset}" name="{form:name}"/>' },
  });
  const headers = { "content-type": "application/x-www-form-urlencoded" };

  const answer = await source.send({ headers, body: "name=%3Cb%3E" });

  const { offset } = await source.last();
  assert.deepEqual([answer.status, answer.text], [203, `<ok offset="${offset}" name="<b>"/>`]);
  assert.equal(answer.headers.get("x-where"), `at ${offset}`);
  const large = await source.send({ body: "x".repeat(25 * 1024 * 1024 + 1) });
  assert.equal(large.status, 413, "a refusal is no such reply");
});

test("replies of every status are answered, not failed on", async () => {
  for (const status of [200, 204, 205, 299, 304, 302, 404, 429, 500, 599]) {
    const source = await aSource(runtime, undefined, { reply: { status, body: "text" } });
    const answer = await source.send({ body: "x" });
    assert.equal(answer.status, status, answer.text);
    assert.equal((await source.stream.received()).length, 1);
  }
});

test("replies with any header that may be set are answered, not failed on", async () => {
  for (const headers of [
    { "content-encoding": "gzip" },
    { "Content-Type": "" },
    { upgrade: "websocket" },
    { date: "x" },
    { location: "https://example.com/" },
  ]) {
    const source = await aSource(runtime, undefined, { reply: { headers, body: "text" } }).catch(() => undefined);
    if (!source) continue; // It may be refused when it is configured.
    const { status, headers: answered } = await source.send({ method: "PUT", body: "x" }).catch((error) => error);
    assert.equal(status, 200, JSON.stringify(headers));
    assert.equal(answered.get("x-content-type-options"), "nosniff");
  }
});

test("a reply cannot switch off what keeps it harmless", async () => {
  const stream = aStream(runtime);
  const reply = { headers: { "X-Content-Type-Options": "none" }, body: "text" };
  const { status } = await stream.post({ type: "webhook.configured", payload: { slug: "theirs", reply } });
  if (status === 422) return; // It may be refused when it is configured.
  const answer = await fetch(`${stream.base}/hooks${stream.path}?source=theirs`, { method: "POST", body: "x" });
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
});

test("a reply is no larger than an answer may be, whatever is filled in", async () => {
  const source = await aSource(runtime, undefined, { reply: { body: "{json:/a}".repeat(1_000) } });

  const { text } = await source.send({ body: JSON.stringify({ a: "y".repeat(200_000) }) });

  assert.ok(text.length <= 1024 * 1024, `${text.length}`);
});

test("an id of a delivery may stand in a header, a parameter or the body, and the first place that has one counts", async () => {
  const source = await aSource(runtime, undefined, {
    idempotency: [{ header: "x-id" }, { query: "id" }, { json: "/deep/0/id" }, { form: "id" }],
  });
  const form = { "content-type": "application/x-www-form-urlencoded" };
  const offsets = [];
  for (const sent of [
    { headers: { "x-id": "1" }, body: "a" },
    { url: `${source.url}&id=1`, body: "b" },
    { body: '{"deep":[{"id":1}]}' },
    { body: '{"deep":[{"id":"1"}]}' },
    { headers: form, body: "id=1" },
    { headers: { "x-id": "2" }, url: `${source.url}&id=1`, body: "c" },
    { body: '{"deep":[{"id":{"a":1}}]}' },
    { body: '{"deep":[{"id":{"a":1}}]}' },
    { body: '{"deep":[{"id":null}]}' },
    { headers: { "x-id": "y".repeat(256) }, body: "d" },
    { headers: { "x-id": "y".repeat(256) }, body: "e" },
    { headers: { "x-id": "y".repeat(257) }, body: "f" },
    { headers: { "x-id": "y".repeat(257) }, body: "g" },
    { headers: { "x-id": "" }, body: "h" },
    { headers: { "x-id": "" }, body: "i" },
  ]) {
    offsets.push(JSON.parse((await source.send(sent)).text).offset - 2);
  }
  // The same value is the same delivery; what has no id of a fitting length is one of its own.
  assert.deepEqual(offsets, [1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10]);
});

const signed = { scheme: "hmac-sha256", signature: { header: "x-theirs" }, secrets: ["CUSTOM"] };

test("a handshake whose token names no secrets takes those of the verification", async () => {
  const source = await aSource(runtime, undefined, {
    verify: signed,
    handshake: { when: { method: "GET" }, token: { query: "token" }, reply: { body: "yes" } },
  });

  const answer = await source.send({ method: "GET", url: `${source.url}&token=${key}` });

  assert.deepEqual([answer.status, answer.text], [200, "yes"]);
  assert.equal((await source.send({ method: "GET", url: `${source.url}&token=x` })).status, 401);
});

test("a handshake for who verifies is answered to nobody when nothing verifies", async () => {
  const stream = aStream(runtime);
  const handshake = { when: { method: "GET" }, verified: true, reply: { body: "yes" } };

  const { status } = await stream.post({ type: "webhook.configured", payload: { slug: "theirs", handshake } });

  // It may be refused when it is configured.
  if (status === 422) return;
  const answer = await fetch(`${stream.base}/hooks${stream.path}?source=theirs`);
  assert.notEqual(await answer.text(), "yes");
});

for (const [where, more] of [
  ["reply", { reply: { body: "{hmac:/text}" } }],
  ["handshake", { handshake: { when: { json: { "/ask": 1 } }, reply: { body: "{hmac:/text}" } } }],
]) {
  test(`the HMAC of what a stranger chooses is not told to it by a ${where}`, async () => {
    const stream = aStream(runtime);
    const payload = { slug: "theirs", verify: signed, ...more };
    const { status } = await stream.post({ type: "webhook.configured", payload });
    // It may be refused when it is configured.
    if (status === 422) return;
    const wanted = '{"forged":true}';

    const answer = await fetch(`${stream.base}/hooks${stream.path}?source=theirs`, {
      method: "POST",
      body: JSON.stringify({ ask: 1, text: wanted }),
    });

    assert.ok(!(await answer.text()).includes(hmac(key, wanted)), "with it the stranger signs what it likes");
  });
}

test("every preset can be configured as it stands", async () => {
  const stream = aStream(runtime);
  for (const { name } of presets) await stream.source({ slug: name, preset: name });
  const { hooks } = await (await stream.get(`/api/state${stream.path}`)).json();
  assert.equal(Object.keys(hooks).length, presets.length);
});

for (const [field, payload] of [
  ["slug", {}],
  ["slug", { slug: "" }],
  ["slug", { slug: "a b" }],
  ["slug", { slug: 1 }],
  ["preset", { preset: "nobody" }],
  ["preset", { preset: 1 }],
  ["verify", { verify: "x" }],
  ["verify", { verify: {} }],
  ["verify", { verify: { ...token, scheme: "md5" } }],
  ["verify", { verify: { ...token, signature: {} } }],
  ["verify", { verify: { ...token, signature: [] } }],
  ["verify", { verify: { ...token, signature: { header: "a", query: "b" } } }],
  ["verify", { verify: { ...token, signature: { cookie: "a" } } }],
  ["verify", { verify: { ...token, signature: { query: "a", part: "b" } } }],
  ["verify", { verify: { ...token, signature: { json: "no-slash" } } }],
  ["verify", { verify: { ...token, signature: { basic: "realm" } } }],
  ["verify", { verify: { ...token, nonsense: true } }],
  ["verify", { verify: { ...token, tolerance: -1 } }],
  ["verify", { verify: { ...token, timestamp: {} } }],
  ["verify", { verify: { ...token, bodyDigest: { header: "a", query: "b" } } }],
  ["verify", { verify: { ...token, secrets: [] } }],
  ["verify", { verify: { scheme: "hmac-sha256", signature: { header: "a" }, encoding: "text", secrets: ["CUSTOM"] } }],
  ["verify", { verify: { ...token, scheme: "hmac-sha256", encoding: "hex", signed: "{body}{body}" } }],
  ["verify.secrets", { verify: { ...token, secrets: ["SLACK"] } }],
  ["verify.secrets", { preset: "slack", verify: { secrets: ["GITHUB"] } }],
  ["handshake", { handshake: "x" }],
  ["handshake", { handshake: { when: {}, reply: {} } }],
  ["handshake", { handshake: { when: { method: "GET" } } }],
  ["handshake", { handshake: { when: { method: "GET" }, reply: { status: 99 } } }],
  ["handshake", { handshake: { when: { method: "GET" }, token: {}, reply: {} } }],
  ["handshake", { handshake: { when: { path: "x" }, reply: {} } }],
  ["reply", { reply: "x" }],
  ["reply", { reply: { status: 100 } }],
  ["reply", { reply: { status: 600 } }],
  ["reply", { reply: { status: "200" } }],
  ["reply", { reply: { headers: { "set-cookie": "a=b" } } }],
  ["reply", { reply: { headers: { "Content-Length": "1" } } }],
  ["reply", { reply: { headers: { "a b": "1" } } }],
  ["reply", { reply: { headers: { "x-a": "1\r\nx-b: 2" } } }],
  ["reply", { reply: { headers: { "x-a": 1 } } }],
  ["reply", { reply: { nonsense: 1 } }],
  ["idempotency", { idempotency: "x" }],
  ["idempotency", { idempotency: {} }],
  ["idempotency", { idempotency: [] }],
  ["idempotency", { idempotency: { header: "a", json: "/b" } }],
  ["reject", { reject: "yes" }],
  ["reject", { reject: true }],
  ["children", { children: 1 }],
  ["payload", { reply: { body: "x".repeat(20_000) } }],
  ["nonsense", { nonsense: 1 }],
]) {
  const given = { slug: "theirs", ...payload };
  if (field === "slug" && !("slug" in payload)) delete given.slug;

  test(`payload.${field} is named when it is wrong: ${JSON.stringify(given).slice(0, 100)}`, async () => {
    const stream = aStream(runtime);

    const response = await stream.post({ type: "webhook.configured", payload: given });

    const problem = await response.json();
    assert.equal(response.status, 422, JSON.stringify(problem));
    assert.equal(problem.code, "invalid_control_event");
    const named = field === "payload" ? /^payload/ : new RegExp(`^payload\\.${field}`);
    assert.match(problem.field, named, problem.detail);
    assert.ok(!JSON.stringify(problem).includes(key), "no value of a secret");
    assert.equal(await stream.head(), 0, "nothing is written");
  });
}

test("a secret is checked for its declared use, and its value is never said", async () => {
  const { secret } = runtime;
  const stream = aStream(runtime);
  for (const name of ["SLACK", "CUSTOM"]) {
    const response = await stream.post({
      type: "webhook.configured",
      payload: { slug: "x", preset: "github", verify: { secrets: [name] } },
    });
    const text = await response.text();
    assert.equal(response.status, 422);
    assert.match(text, new RegExp(`TAILRACE_SECRET_${name}`), "it says what to set");
    assert.ok(!text.includes(secret(name)));
  }
});

test("a digest of the body that the signature covers proves the body", async () => {
  const source = await aSource(runtime, undefined, {
    verify: {
      scheme: "hmac-sha1",
      signature: { header: "x-theirs" },
      signed: "{url}",
      bodyDigest: { query: "digest" },
      secrets: ["CUSTOM"],
    },
  });
  const body = "text";
  const url = `${source.url}&digest=${createHash("sha256").update(body).digest("hex").toUpperCase()}`;
  const headers = { "x-theirs": hmac(key, url, "hex", "sha1") };

  assert.deepEqual(await verdict(source, { url, headers, body }), [true, "custom", "CUSTOM"]);
  assert.equal((await verdict(source, { url, headers, body: "other" }))[0], false);
});

test("a signature of the URL alone proves no body", async () => {
  const source = await aSource(runtime, "twilio");
  // As Twilio signs a GET, or a POST without fields. Its own middleware refuses any body beside it.
  const headers = { "x-twilio-signature": hmac(runtime.secret("TWILIO"), source.url, "base64", "sha1") };
  assert.equal((await verdict(source, { method: "GET", headers }))[0], true);
  for (const contentType of ["application/json", "text/plain", "multipart/form-data; boundary=b"]) {
    const sent = { headers: { ...headers, "content-type": contentType }, body: '{"Body":"not from Twilio"}' };
    assert.equal((await verdict(source, sent))[0], false, contentType);
  }
});
