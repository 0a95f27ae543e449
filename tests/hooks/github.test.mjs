// Everything that GitHub sends, signed by its library, lands once and verifies again from what is stored.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Webhooks } from "@octokit/webhooks";
import { anId } from "./senders.mjs";
import { aRuntime, aSource, asStored, until } from "./support.mjs";

const kinds = createRequire(import.meta.url)("@octokit/webhooks-examples/api.github.com/index.json");

test("329 deliveries of GitHub, signed by its library, verify here and from what is stored", async () => {
  const runtime = await aRuntime();
  const webhooks = new Webhooks({ secret: runtime.secret("GITHUB") });
  const source = await aSource(runtime, "github");
  const sent = new Map();
  for (const { name, examples } of kinds) {
    for (const example of examples) {
      const id = anId();
      const body = JSON.stringify(example);
      const signature = await webhooks.sign(body);
      const headers = { "x-github-event": name, "x-github-delivery": id, "x-hub-signature-256": signature };
      sent.set(id, { headers: { "content-type": "application/json", ...headers }, body });
    }
  }
  assert.equal(sent.size, 329);

  // Each twice, at once: what was not heard in time is delivered again.
  const waiting = [...sent.values()].flatMap((request) => [request, request]);
  const sender = async () => {
    for (let request = waiting.pop(); request; request = waiting.pop()) {
      const { status } = await source.send(request);
      assert.ok([200, 202].includes(status), `${status}`);
    }
  };
  await Promise.all(Array.from({ length: 6 }, sender));
  const events = await until("all are let in", async () => {
    const received = await source.stream.received();
    return received.length >= sent.size && received;
  });

  assert.equal(events.length, sent.size);
  assert.equal(await source.stream.head(), 2 + sent.size);
  for (const event of events) {
    const { payload } = event;
    const id = payload.headers["x-github-delivery"];
    const { headers, body } = sent.get(id);
    sent.delete(id);
    assert.deepEqual([payload.verified, payload.scheme, payload.key], [true, "github", "GITHUB"]);
    assert.equal(payload.headers["x-github-event"], headers["x-github-event"]);
    const stored = await asStored(source.stream, event);
    assert.equal(stored.text, body);
    assert.equal(await webhooks.verify(stored.text, stored.headers["x-hub-signature-256"]), true);
  }
});
