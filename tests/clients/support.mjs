// What the tests of clients share: a runtime that can be killed, and what happens to a stream meanwhile.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { start } from "../../scripts/runtime.mjs";

/** How long anything may take that is not expected to take time: a client may come again after ten seconds. */
export const patience = 60_000;

/** Starts a runtime that keeps its streams and its port over `killAndRestart`. It ends with the test. */
export async function aRuntime(t) {
  const persistTo = mkdtempSync(path.join(tmpdir(), "tailrace-clients-"));
  const settings = { persistTo, logs: "ignore" };
  if (process.env.TAILRACE_BUILD) settings.build = process.env.TAILRACE_BUILD;
  let process_ = await start(settings);
  const { url } = process_;
  t.after(async () => {
    await process_.kill();
    rmSync(persistTo, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });
  return {
    url,
    kill: () => process_.kill(),
    async restart() {
      // Its port is free as soon as the last connection is gone.
      process_ = await until("the runtime starts again", () =>
        start({ ...settings, port: Number(new URL(url).port) }).catch(() => undefined),
      );
    },
    async killAndRestart() {
      await this.kill();
      await this.restart();
    },
  };
}

/** A stream of its own, whose breaker is off. */
export async function aStream({ url }) {
  const stream = new Stream(url, `/t-${randomUUID()}`);
  await stream.append({ type: "breaker.configured", payload: { limit: null } });
  return stream;
}

export class Stream {
  constructor(base, at) {
    this.base = base;
    this.path = at;
    this.url = `${base}/api/streams${at}`;
  }

  async append(event) {
    const response = await fetch(this.url, { method: "POST", body: JSON.stringify(event) });
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()).event;
  }

  async events() {
    const events = [];
    for (let after = 0; ;) {
      const page = await (await fetch(`${this.url}?afterOffset=${after}&limit=1000`)).json();
      events.push(...page.events);
      if (page.upToDate) return events;
      after = page.afterOffset;
    }
  }
}

/** Asks again and again until there is an answer. */
export async function until(what, ask) {
  for (const begun = Date.now(); Date.now() - begun < patience; await sleep(20)) {
    const answer = await ask();
    if (answer) return answer;
  }
  throw new Error(`waited in vain until ${what}`);
}

/**
 * The story that every client goes through: events before it comes, while it listens, and around kills of the server.
 *
 * @param {(stream: Stream, seen: (event: object) => void) => () => void} follow starts a client; returns how to end it
 */
export async function followOverKills(t, follow) {
  const runtime = await aRuntime(t);
  const stream = await aStream(runtime);
  for (let n = 0; n < 20; n += 1) await stream.append({ type: "before", payload: { n } });

  const offsets = [];
  const stop = follow(stream, (event) => offsets.push(event.offset));
  t.after(stop);
  for (let kill = 0; kill < 2; kill += 1) {
    for (let n = 0; n < 20; n += 1) await stream.append({ type: "live", payload: { n, text: "é\n".repeat(n * 50) } });
    // In the middle of the conversation, not behind its end.
    const writing = [1, 2, 3].map((n) => stream.append({ type: "around", payload: { n } }).catch(() => {}));
    await runtime.kill();
    await Promise.all(writing);
    await runtime.restart();
    await stream.append({ type: "after" });
  }

  const stored = (await stream.events()).map((event) => event.offset);
  assert.deepEqual(
    stored,
    stored.map((_, index) => index + 1),
  );
  await until("the client has seen everything", () => offsets.length >= stored.length);
  assert.deepEqual(offsets, stored);
}
