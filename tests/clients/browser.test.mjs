// A browser's own EventSource, on a page of the same origin, following all that GitHub sends.
/* global window, EventSource -- in the functions that run in the page */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { Stream, aRuntime, patience, until } from "./support.mjs";

const examples = createRequire(import.meta.url)("@octokit/webhooks-examples");
const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
args.push("--disable-background-networking", "--disable-component-update", "--disable-sync");

/** Where the browser is: what the suite found, or the first one in PATH. */
function executable() {
  const candidates = process.env.PATH.split(path.delimiter).map((folder) => path.join(folder, "chromium"));
  return process.env.TAILRACE_TEST_CHROMIUM ?? candidates.find(existsSync);
}

async function aPage(t, url) {
  const browser = await chromium.launch({ executablePath: executable(), args });
  t.after(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(patience);
  await page.goto(`${url}/api/openapi.json`);
  return page;
}

/** Lets the page follow a stream: every offset it sees, and how often its connection opened. */
const follow = (page, stream) =>
  page.evaluate((url) => {
    window.offsets = [];
    window.opened = 0;
    const source = new EventSource(url);
    source.onopen = () => (window.opened += 1);
    source.onmessage = ({ data }) => window.offsets.push(JSON.parse(data).offset);
    return new Promise((resolve) => source.addEventListener("tail", resolve, { once: true }));
  }, new URL(stream.url).pathname);

const deliveries = () =>
  examples.flatMap(({ name, examples: payloads }) =>
    payloads.map((payload) => ({ name, id: randomUUID(), body: JSON.stringify(payload) })),
  );

/** POSTs them as GitHub does, a few at a time; returns those that were not answered. */
async function deliver({ url }, wanted, answered = () => {}) {
  const queue = [...wanted];
  const failed = [];
  let count = 0;
  const send = async () => {
    for (let next = queue.pop(); next; next = queue.pop()) {
      const { name, id, body } = next;
      const headers = { "content-type": "application/json", "user-agent": "GitHub-Hookshot/044aadd" };
      Object.assign(headers, { "x-github-event": name, "x-github-delivery": id });
      try {
        const response = await fetch(`${url}/hooks/github/octo-org`, { method: "POST", headers, body });
        assert.ok([200, 202].includes(response.status), await response.text());
        answered((count += 1));
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        failed.push(next);
      }
    }
  };
  await Promise.all([send(), send(), send(), send()]);
  return failed;
}

async function letIn({ url }) {
  await until("all are let in", async () => {
    const state = await (await fetch(`${url}/api/state/github/octo-org`)).json();
    return state.parked.count === 0;
  });
}

const count = (number) => Array.from({ length: number }, (_, index) => index + 1);

test("a browser follows the 329 hooks", async (t) => {
  const runtime = await aRuntime(t);
  const stream = new Stream(runtime.url, "/github/octo-org");
  const page = await aPage(t, runtime.url);
  await follow(page, stream);

  const failed = await deliver(runtime, deliveries());

  assert.deepEqual(failed, []);
  await page.waitForFunction(() => window.offsets.length >= 330);
  assert.deepEqual(await page.evaluate(() => window.offsets), count(330));
});

test("a browser that follows the 329 hooks resumes when the server is killed in between", async (t) => {
  const runtime = await aRuntime(t);
  const stream = new Stream(runtime.url, "/github/octo-org");
  await deliver(runtime, deliveries().slice(0, 1));
  const page = await aPage(t, runtime.url);
  await follow(page, stream);

  let killed;
  const failed = await deliver(runtime, deliveries(), (answered) => {
    if (answered === 100) killed = runtime.kill();
  });
  await killed;
  await runtime.restart();
  assert.ok(failed.length > 0);
  assert.deepEqual(await deliver(runtime, failed), []);
  await letIn(runtime);

  const stored = (await stream.events()).map((event) => event.offset);
  assert.deepEqual(stored, count(stored.length));
  await page.waitForFunction((wanted) => window.offsets.length >= wanted, stored.length);
  assert.deepEqual(await page.evaluate(() => window.offsets), stored);
  assert.ok((await page.evaluate(() => window.opened)) >= 2);
});
