// What a stream makes of the deliveries of a source: repeats, large ones, first ones; and how a configuration that
// changes takes effect.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { anId, discordSigned, sendgridSigned } from "./senders.mjs";
import { aRuntime, aSource, aStream, asStored, hmac, now, sha256, Source, until } from "./support.mjs";

const runtime = await aRuntime();
const json = { "content-type": "application/json" };

/** A delivery as GitHub signs it. */
function delivery({ id = anId(), body = JSON.stringify({ random: anId() }), secret = "GITHUB", ...headers } = {}) {
  const signature = `sha256=${hmac(runtime.secret(secret), body)}`;
  return { headers: { ...json, "x-github-delivery": id, "x-hub-signature-256": signature, ...headers }, body };
}

const answered = ({ status, text }) => [status, JSON.parse(text)];

test("a repeat is answered with the first offset, whatever differs, and nothing is written", async () => {
  const source = await aSource(runtime, "github");
  const id = anId();
  const { offset } = await source.stored(delivery({ id }));
  await source.stored(delivery());
  const before = await source.stream.events();

  for (const again of [
    delivery({ id }),
    delivery({ id, "x-github-event": "other", "user-agent": "Other/2" }),
    { ...delivery({ id }), method: "PUT" },
    delivery({ id, body: "x".repeat(300 * 1024) }),
    delivery({ id, body: "" }),
  ]) {
    assert.deepEqual(answered(await source.send(again)), [200, { offset }]);
  }

  assert.deepEqual(await source.stream.events(), before);
});

test("repeats of large deliveries leave nothing behind", async (t) => {
  const persistTo = mkdtempSync(path.join(tmpdir(), "tailrace-repeats-"));
  t.after(() => rmSync(persistTo, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }));
  const kept = await aRuntime({ persistTo });
  const source = await aSource(kept, "github");
  const [size, id] = [4 * 1024 * 1024, anId()];
  const body = randomBytes(size);
  const signature = `sha256=${hmac(kept.secret("GITHUB"), body)}`;
  const sent = { headers: { "x-github-delivery": id, "x-hub-signature-256": signature }, body };

  for (let n = 0; n < 6; n += 1) assert.equal((await source.send(sent)).status, 200);
  await source.stream.append({ type: "stream.paused" });
  const waiting = { ...sent, headers: { ...sent.headers, "x-github-delivery": anId() } };
  for (let n = 0; n < 6; n += 1) assert.equal((await source.send(waiting)).status, 202);

  await kept.stop();
  const files = readdirSync(persistTo, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  const bytes = files.reduce((sum, file) => sum + statSync(path.join(file.parentPath, file.name)).size, 0);
  // Two deliveries, and the room that a third took while it was looked at, in the database and in its journal.
  assert.ok(bytes < 4.5 * size, `${Math.round(bytes / size)} times the body are kept`);
});

test("many repeats at once land once", async () => {
  const source = await aSource(runtime, "github");
  const id = anId();

  const answers = await Promise.all(Array.from({ length: 20 }, () => source.send(delivery({ id }))));

  const [{ offset }, ...others] = await source.stream.received();
  assert.equal(others.length, 0);
  for (const answer of answers) assert.deepEqual(answered(answer), [200, { offset }]);
});

test("the same id from another source, or in another stream, is another delivery", async () => {
  const source = await aSource(runtime, "github");
  const other = await source.stream.source({ slug: "other", preset: "github" });
  const elsewhere = await aSource(runtime, "github");
  const sent = delivery();

  for (const to of [source, other, elsewhere]) await to.stored(sent);

  assert.equal((await source.stream.received()).length, 2);
  assert.equal((await elsewhere.stream.received()).length, 1);
});

test("a repeat lands once while the stream is paused", async () => {
  const source = await aSource(runtime, "github");
  const [before, during, next] = [delivery(), delivery(), delivery()];
  const { offset } = await source.stored(before);
  await source.stream.append({ type: "stream.paused" });

  const repeat = await source.send(before);
  const first = await source.send(during);
  const again = await source.send({ ...during, headers: { ...during.headers, "x-attempt": "2" } });
  const other = await source.send(next);
  const stillRepeat = await source.send(before);

  assert.deepEqual(answered(repeat), [200, { offset }]);
  assert.deepEqual([first.status, again.status, other.status], [202, 202, 202]);
  assert.deepEqual(answered(stillRepeat), [200, { offset }], "also while others wait");
  await source.stream.append({ type: "stream.resumed" });
  await until("both are let in", async () => (await source.stream.received()).length === 3);
  const late = await source.send(during);
  const events = await source.stream.received();
  assert.deepEqual(
    events.map(({ payload }) => payload.headers["x-github-delivery"]),
    [before, during, next].map(({ headers }) => headers["x-github-delivery"]),
  );
  assert.deepEqual(answered(late), [200, { offset: events[1].offset }]);
});

test("repeats land once while the breaker's window is full, large ones too", async () => {
  const source = await aSource(runtime, "github");
  await source.stream.append({ type: "breaker.configured", payload: { limit: 2, windowMs: 2000 } });
  const sent = [...Array.from({ length: 6 }, () => delivery()), delivery({ body: "x".repeat(400 * 1024) })];

  const answers = [];
  for (const request of sent) {
    answers.push(await source.send(request));
    answers.push(await source.send(request));
  }

  assert.ok(
    answers.some(({ status }) => status === 202),
    "some had to wait",
  );
  await until("all are let in", async () => (await source.stream.received()).length >= sent.length);
  for (const request of sent) assert.equal((await source.send(request)).status, 200);
  const events = await source.stream.received();
  assert.deepEqual(
    events.map(({ payload }) => payload.headers["x-github-delivery"]),
    sent.map(({ headers }) => headers["x-github-delivery"]),
  );
  for (const [index, event] of events.entries()) {
    assert.equal((await asStored(source.stream, event)).text, sent[index].body);
  }
});

test("a stranger's delivery that waits does not keep the true one out", async () => {
  const source = await aSource(runtime, "github");
  await source.stream.append({ type: "stream.paused" });
  const id = anId();

  const stranger = await source.send(delivery({ id, secret: "GITHUB_NEXT" }));
  const owner = await source.send(delivery({ id }));

  assert.deepEqual([stranger.status, owner.status], [202, 202]);
  await source.stream.append({ type: "stream.resumed" });
  const events = await until("both are let in", async () => {
    const events = await source.stream.received();
    return events.length === 2 && events;
  });
  assert.deepEqual(
    events.map(({ payload }) => payload.verified),
    [false, true],
  );
});

for (const size of [256 * 1024 + 1, 3 * 1024 * 1024 + 17, 25 * 1024 * 1024]) {
  test(`a body of ${size} bytes verifies while it goes by, and from what is stored`, async () => {
    const source = await aSource(runtime, "github");
    const body = randomBytes(size);
    const sent = delivery({ body });

    const event = await source.stored(sent);
    const repeat = await source.send(sent);

    const { verified, key, encoding, size: stored } = event.payload;
    assert.deepEqual(
      { verified, key, encoding, stored },
      { verified: true, key: "GITHUB", encoding: "raw", stored: size },
    );
    const { headers, body: raw } = await asStored(source.stream, event);
    assert.ok(raw.equals(body));
    assert.equal(headers["x-hub-signature-256"], `sha256=${hmac(runtime.secret("GITHUB"), raw)}`);
    assert.deepEqual(answered(repeat), [200, { offset: event.offset }]);
    body[size - 1] ^= 1;
    const changed = await source.stored({ ...delivery(), body });
    assert.equal(changed.payload.verified, false);
  });
}

test("a large body that does not verify is refused with reject, and leaves nothing", async () => {
  const source = await aSource(runtime, "github", { reject: true });
  const before = await source.stream.head();
  const body = randomBytes(2 * 1024 * 1024);

  const refused = await source.send({ ...delivery(), body });
  const taken = await source.send(delivery({ body }));

  assert.equal(refused.status, 401, refused.text);
  assert.deepEqual(answered(taken), [200, { offset: before + 1 }]);
  assert.ok((await source.stream.raw(before + 1)).equals(body));
});

test("a large Twilio request verifies by the digest of its body", async () => {
  const source = await aSource(runtime, "twilio");
  const body = JSON.stringify({ text: "x".repeat(400 * 1024) });
  const url = `${source.url}&bodySHA256=${sha256(body)}`;
  const headers = { ...json, "x-twilio-signature": hmac(runtime.secret("TWILIO"), url, "base64", "sha1") };

  assert.equal((await source.stored({ url, headers, body })).payload.verified, true);
  const changed = await source.stored({ url, headers, body: `${body} ` });
  assert.deepEqual([changed.payload.verified, changed.payload.reason], [false, "the digest of the body does not fit"]);
});

test("what a source above gave to its children holds for the very first hook of a stream that does not exist yet", async () => {
  const root = aStream(runtime);
  await root.source({ slug: "theirs", preset: "github", children: true });
  const below = new Source(aStream(runtime, `${root.path}/a/b`), "theirs");

  const sent = delivery();
  const first = await below.stored(sent);
  const again = await below.send(sent);

  assert.equal(first.payload.verified, true);
  assert.deepEqual(answered(again), [200, { offset: first.offset }]);
  await until("it heard of what holds for it", async () =>
    (await below.stream.events()).some(({ type }) => type === "webhook.configured"),
  );
  assert.deepEqual(answered(await below.send(sent)), [200, { offset: first.offset }], "a repeat stays one");
  assert.equal((await below.stored(delivery())).payload.verified, true);
  assert.equal((await below.stored(delivery({ secret: "GITHUB_NEXT" }))).payload.verified, false);
});

test("a stranger's first hook below a source that rejects bears no stream", async () => {
  const root = aStream(runtime);
  await root.source({ slug: "theirs", preset: "github", reject: true, children: true });
  const below = new Source(aStream(runtime, `${root.path}/x`), "theirs");

  for (const body of ["{}", "x".repeat(300 * 1024)]) {
    const { status, text } = await below.send({ ...delivery({ secret: "GITHUB_NEXT" }), body });
    assert.equal(status, 401, text);
  }

  assert.equal(await below.stream.head(), 0);
  const children = await (await root.get(`/api/children${root.path}`)).json();
  assert.deepEqual(children.children, []);
});

test("a path that lived before rejects what a source above that came meanwhile rejects", async () => {
  const root = aStream(runtime);
  await root.append({ type: "first" });
  const below = new Source(aStream(runtime, `${root.path}/x`), "theirs");
  await below.stream.append({ type: "first" });
  const forged = delivery({ secret: "GITHUB_NEXT" });
  // Whoever takes hooks has learned by now that nothing is configured here.
  const listed = async () => (await (await root.get(`/api/children${root.path}`)).json()).children.length;
  await until("the stream above knows of it", listed);
  for (let n = 0; n < 2; n += 1) assert.equal((await below.stored(forged)).payload.verified, null);

  await fetch(below.stream.url, { method: "DELETE" });
  await root.source({ slug: "theirs", preset: "github", reject: true, children: true });
  for (const body of [forged.body, "x".repeat(300 * 1024)]) {
    const { status, text } = await below.send({ ...forged, body });
    assert.equal(status, 401, text);
  }
  assert.equal(await below.stream.head(), 0);

  assert.equal((await below.stored(delivery())).payload.verified, true);
  assert.equal((await below.send(forged)).status, 401);
  assert.equal((await below.stream.received()).length, 1);
});

test("a first hook is understood by a handshake above", async () => {
  const root = aStream(runtime);
  await root.source({ slug: "theirs", preset: "discord", children: true });
  const below = new Source(aStream(runtime, `${root.path}/x`), "theirs");
  const body = JSON.stringify({ type: 1, id: "1" });

  const answer = await below.send({
    headers: { ...json, ...discordSigned(runtime.secret("DISCORD"), now(), body) },
    body,
  });

  assert.deepEqual(answered(answer), [200, { type: 1 }]);
});

test("what a stream configured itself is not replaced by what was configured above before", async () => {
  const root = aStream(runtime);
  await root.source({ slug: "theirs", preset: "github", children: true });
  const below = aStream(runtime, `${root.path}/a`);

  const source = await below.source({ slug: "theirs", preset: "github", verify: { secrets: ["GITHUB_NEXT"] } });

  await until("the parent heard of it", async () =>
    (await root.events()).some(({ type }) => type === "stream.child-created"),
  );
  await until("the stream is not told more", async () => {
    const before = await below.head();
    await new Promise((resolve) => setTimeout(resolve, 300));
    return (await below.head()) === before;
  });
  const { payload } = await source.stored(delivery({ secret: "GITHUB_NEXT" }));
  assert.equal(payload.verified, true);
});

test("what is configured without children holds for one stream only", async () => {
  const root = aStream(runtime);
  await root.source({ slug: "theirs", preset: "github" });
  const below = new Source(aStream(runtime, `${root.path}/x`), "theirs");

  const { payload } = await below.stored(delivery());

  assert.equal(payload.verified, null);
  assert.equal(payload.source, "theirs");
});

test("what is removed above for its children holds no longer, for those there and those to come", async () => {
  const root = aStream(runtime);
  await root.source({ slug: "theirs", preset: "github", children: true });
  const there = new Source(aStream(runtime, `${root.path}/there`), "theirs");
  assert.equal((await there.stored(delivery())).payload.verified, true);
  await until("it heard of what holds for it", async () =>
    (await there.stream.events()).some(({ type }) => type === "webhook.configured"),
  );

  await root.append({ type: "webhook.removed", payload: { slug: "theirs", children: true } });

  const young = new Source(aStream(runtime, `${root.path}/young/er`), "theirs");
  assert.equal((await young.stored(delivery())).payload.verified, null);
  await until("it heard of that", async () =>
    (await there.stream.events()).some(({ type }) => type === "webhook.removed"),
  );
  assert.equal((await there.stored(delivery())).payload.verified, null);
});

test("a hook is answered whatever its processors do", async (t) => {
  const asked = [];
  const never = createServer((request) => asked.push(request)).listen(0, "127.0.0.1");
  await once(never, "listening");
  t.after(() => {
    never.closeAllConnections();
    never.close();
  });
  const source = await aSource(runtime, "github");
  const target = { url: `http://127.0.0.1:${never.address().port}/` };
  await source.stream.append({ type: "subscription.configured", payload: { slug: "slow", target, timeoutMs: 25_000 } });

  for (let n = 0; n < 5; n += 1) assert.equal((await source.send(delivery())).status, 200);

  await until("the processor was asked", () => asked.length > 0);
  assert.ok(!asked[0].socket.destroyed, "five of them while it is still asked of the first");
});

test("another configuration, and its removal, hold for the next hook", async () => {
  const source = await aSource(runtime, "github");
  const verdict = async (more) => {
    const { verified, scheme, key } = (await source.stored(delivery(more))).payload;
    return [verified, scheme, key];
  };
  for (let round = 0; round < 5; round += 1) {
    await source.stream.source({ slug: "theirs", preset: "github" });
    assert.deepEqual(await verdict(), [true, "github", "GITHUB"]);
    await source.stream.source({ slug: "theirs", preset: "github", verify: { secrets: ["GITHUB_NEXT"] } });
    assert.deepEqual(await verdict(), [false, "github", undefined]);
    assert.deepEqual(await verdict({ secret: "GITHUB_NEXT" }), [true, "github", "GITHUB_NEXT"]);
    await source.stream.append({ type: "webhook.removed", payload: { slug: "theirs" } });
    assert.deepEqual(await verdict(), [null, undefined, undefined]);
  }
  await source.stream.source({ slug: "theirs", preset: "github", reject: true });
  assert.equal((await source.send(delivery({ secret: "GITHUB_NEXT" }))).status, 401);
  const large = { ...delivery(), body: "x".repeat(300 * 1024) };
  assert.equal((await source.send(large)).status, 401);
  await source.stream.append({ type: "webhook.removed", payload: { slug: "theirs" } });
  assert.equal((await source.send(large)).status, 200);
});

test("configurations that change while hooks arrive never mix", async () => {
  const source = await aSource(runtime, "github", { reject: true });
  await source.stream.append({ type: "breaker.configured", payload: { limit: null } });
  let going = true;
  const configuring = (async () => {
    for (let n = 0; going; n += 1) {
      const secret = n % 2 ? "GITHUB" : "GITHUB_NEXT";
      await source.stream.source({ slug: "theirs", preset: "github", reject: true, verify: { secrets: [secret] } });
    }
  })();
  const send = async (n) => source.send(delivery({ secret: n % 2 ? "GITHUB" : "GITHUB_NEXT" }));
  const answers = [];
  for (let n = 0; n < 60; n += 1) answers.push(...(await Promise.all([send(n), send(n + 1)])));
  going = false;
  await configuring;

  // 503 says that it changes too fast to be sure; a provider comes again.
  for (const { status, text } of answers) assert.ok([200, 401, 503].includes(status), `${status} ${text}`);
  // What is in the log was verified with the secret that held at that very place.
  let holds;
  let stored = 0;
  for (const { type, payload } of await source.stream.events()) {
    if (type === "webhook.configured") holds = payload.verify?.secrets[0] ?? "GITHUB";
    if (type !== "webhook.received") continue;
    assert.deepEqual([payload.verified, payload.key], [true, holds]);
    stored += 1;
  }
  assert.equal(stored, answers.filter(({ status }) => status === 200).length);
  assert.ok(stored > 0);
});

test("a source of a stream that was deleted and born again is configured anew", async () => {
  const source = await aSource(runtime, "github");
  assert.equal((await source.stored(delivery())).payload.verified, true);

  const { status } = await fetch(source.stream.url, { method: "DELETE" });

  assert.ok(status < 300);
  const sent = delivery();
  assert.equal((await source.stored(sent)).payload.verified, null);
  await source.stream.source({ slug: "theirs", preset: "github" });
  assert.equal((await source.stored(sent)).payload.verified, true);
});

test("a slug that nobody configured, or that cannot be one, is kept as what it is", async () => {
  const stream = aStream(runtime);
  for (const slug of ["nobody", "a b", "é", "x".repeat(65), "../x", randomUUID()]) {
    const source = new Source(stream, encodeURIComponent(slug));
    const { payload } = await source.stored(delivery());
    assert.deepEqual([payload.verified, payload.source], [null, slug]);
  }
});

test("a signature is of one delivery: its id cannot be cut in two to land again", async () => {
  const source = await aSource(runtime, "standard-webhooks");
  const [body, id, at] = ['{"type":"paid"}', `msg_${anId()}`, now()];
  const signature = new Webhook(runtime.secret("STANDARD_WEBHOOKS")).sign(id, new Date(at * 1000), body);
  const signed = { "webhook-timestamp": `${at}`, "webhook-signature": signature };
  await source.stored({ headers: { ...signed, "webhook-id": id }, body });

  const { payload } = await source.stored({
    headers: { ...signed, "webhook-id": id.slice(0, 6), "svix-id": id.slice(6) },
    body,
  });

  assert.equal(payload.verified, false);
});

test("a batch of SendGrid's, which may have 768 KB, verifies", async () => {
  const source = await aSource(runtime, "sendgrid");
  const body = JSON.stringify([{ event: "delivered", pad: "x".repeat(700 * 1024) }]);
  const headers = { ...json, ...sendgridSigned(runtime.secret("SENDGRID"), now(), body) };

  assert.equal((await source.stored({ headers, body })).payload.verified, true);
});
