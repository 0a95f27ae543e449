// A push is signed as Standard Webhooks has it: the libraries of its receivers verify it, and nothing else.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";
import { start } from "../../scripts/runtime.mjs";
import { aRuntime, aStream } from "./support.mjs";

const libraries = { standardwebhooks: StandardWebhook, svix: SvixWebhook };

for (const [name, Webhook] of Object.entries(libraries)) {
  test(`with ${name}`, async (t) => {
    const runtime = await aRuntime(t);

    await t.test("a push verifies", async (t) => {
      const { stream, subscriber, secret } = await subscribed(t, runtime);

      const { body, headers } = await pushed(stream, subscriber);

      assert.doesNotThrow(() => new Webhook(secret).verify(body, headers));
      assert.deepEqual(JSON.parse(body).events[0].payload, { text: "héllo\n" });
    });

    await t.test("a plain push verifies", async (t) => {
      const { stream, subscriber, secret } = await subscribed(t, runtime, { plain: true });

      const { body, headers } = await pushed(stream, subscriber);

      assert.doesNotThrow(() => new Webhook(secret).verify(body, headers));
      assert.equal(JSON.parse(body).type, "message");
    });

    await t.test("what was changed on the way does not verify", async (t) => {
      const { stream, subscriber, secret } = await subscribed(t, runtime);

      const { body, headers } = await pushed(stream, subscriber);

      const refuses = (body, headers) =>
        assert.throws(() => new Webhook(secret).verify(body, headers), /No matching signature/);
      refuses(body.replace("llo", "llO"), headers);
      for (const header of ["webhook-id", "webhook-timestamp"]) {
        const last = headers[header].at(-1) === "1" ? "2" : "1";
        refuses(body, { ...headers, [header]: headers[header].slice(0, -1) + last });
      }
    });

    await t.test("the secret of another subscription does not verify", async (t) => {
      const { stream, subscriber } = await subscribed(t, runtime);
      const other = await subscribe(stream, subscriber, { slug: "other", types: ["never"] });

      const { body, headers } = await pushed(stream, subscriber);

      assert.throws(() => new Webhook(other).verify(body, headers), /No matching signature/);
    });

    await t.test("after a change of the secret both verify", async (t) => {
      const { stream, subscriber, secret: old } = await subscribed(t, runtime);
      const now = await subscribe(stream, subscriber, { secretVersion: 2 });

      const { body, headers } = await pushed(stream, subscriber);

      assert.notEqual(old, now);
      for (const secret of [old, now]) assert.doesNotThrow(() => new Webhook(secret).verify(body, headers));
    });
  });
}

test("after a change of the deployment's key the secrets of both verify, as long as it knows the one before", async (t) => {
  const persistTo = mkdtempSync(path.join(tmpdir(), "tailrace-keys-"));
  t.after(() => rmSync(persistTo, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }));
  const withKeys = async (vars, run) => {
    const runtime = await start({ build: process.env.TAILRACE_BUILD, persistTo, vars, logs: "ignore" });
    return run(runtime).finally(runtime.kill);
  };
  const subscriber = await aSubscriber(t);
  const [place, old] = await withKeys({ TAILRACE_SIGNING_KEY: "key one" }, async (runtime) => {
    const stream = await aStream(runtime);
    return [stream.path, await subscribe(stream, subscriber)];
  });

  const vars = { TAILRACE_SIGNING_KEY: "key two", TAILRACE_SIGNING_KEY_PREVIOUS: "key one" };
  await withKeys(vars, async ({ url }) => {
    const stream = Object.assign(await aStream({ url }), { base: url, path: place, url: `${url}/api/streams${place}` });
    const { body, headers } = await pushed(stream, subscriber);

    const now = await secretOf(stream, "s");
    assert.notEqual(now, old);
    for (const secret of [old, now]) assert.doesNotThrow(() => new StandardWebhook(secret).verify(body, headers));
  });
});

/** A stream with a subscription. */
async function subscribed(t, runtime, settings) {
  const stream = await aStream(runtime);
  const subscriber = await aSubscriber(t);
  return { stream, subscriber, secret: await subscribe(stream, subscriber, settings) };
}

/** Subscribes, and returns the secret. */
async function subscribe(stream, { url }, settings) {
  const payload = { slug: "s", types: ["message"], target: { url }, ...settings };
  await stream.append({ type: "subscription.configured", payload });
  return secretOf(stream, payload.slug);
}

async function secretOf({ base, path }, slug) {
  const response = await fetch(`${base}/api/subscriptions${path}?slug=${slug}&reveal=secret`);
  return (await response.json()).secret;
}

/** Appends an event, and waits for its push. */
async function pushed(stream, subscriber) {
  const push = subscriber.next();
  await stream.append({ type: "message", payload: { text: "héllo\n" } });
  return push;
}

/** Takes pushes. */
async function aSubscriber(t) {
  let take;
  const server = createServer(async (request, response) => {
    take({ body: await text(request), headers: request.headers });
    response.writeHead(204).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    next: () => new Promise((resolve) => (take = resolve)),
  };
}
