// What the tests of the inspector share: a runtime, and a browser that fails a test as soon as its page does anything that
// a page of ours must not do.
/* global document, addEventListener, requestAnimationFrame -- in what runs in the page */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import { start } from "../../scripts/runtime.mjs";
import { Stream, until } from "../agents/support.mjs";

export { Stream, agentConfigured, scoped, until } from "../agents/support.mjs";

/** How long anything may take that is not expected to take time. */
export const patience = 30_000;

/** As wide as a phone. */
export const phone = { width: 390, height: 844, hasTouch: true };

/**
 * Starts a runtime that keeps its streams and its port over `kill` and `restart`. It is open unless it has a token, and
 * ends with the test, or with the file when `{ after }` of node:test is given as `t`.
 *
 * @param {{after(end: () => unknown): void}} t
 * @param {{vars?: Record<string, string>, token?: string}} [options]
 */
export async function aRuntime(t, { vars = {}, token } = {}) {
  const persistTo = mkdtempSync(path.join(tmpdir(), "tailrace-inspector-"));
  const settings = {
    ...(process.env.TAILRACE_BUILD ? { build: process.env.TAILRACE_BUILD } : {}),
    logs: process.env.TAILRACE_LOGS ?? "ignore",
    vars: {
      TAILRACE_LOOPBACK_TARGETS: "1",
      ...(token ? { TAILRACE_TOKEN: token } : { TAILRACE_OPEN: "1" }),
      ...vars,
    },
    persistTo,
  };
  let current = await start(settings);
  const { url } = current;
  t.after(async () => {
    // First the pages: they would take its end for trouble.
    await Promise.all([...pages].filter((page) => page.url.startsWith(url)).map(({ close }) => close()));
    await current.kill();
    rmSync(persistTo, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  return {
    url,
    token,
    /** A stream, by default one of its own. */
    stream: (path = `/t-${randomUUID()}`) => new Stream(url, path, headers),
    kill: () => current.kill(),
    /** Its port is free as soon as the last connection is gone. */
    async restart() {
      const port = Number(new URL(url).port);
      current = await until("the runtime starts again", () => start({ ...settings, port }).catch(() => undefined));
    },
    evict: (path) => current.evict(path),
  };
}

/** A stream of its own with a breaker that is off, so that it takes as much as comes. */
export async function aStream(runtime, at) {
  const stream = runtime.stream(at);
  await stream.append({ type: "breaker.configured", payload: { limit: null } });
  return stream;
}

/** Appends any number of events, as few requests as they need. Returns the last. */
export async function appendAll(stream, events) {
  let last;
  for (let at = 0; at < events.length; at += 1_000) last = await stream.append(...events.slice(at, at + 1_000));
  return last;
}

/** Where the browser is: what the suite found, or the first one in PATH. */
function executable() {
  const candidates = process.env.PATH.split(path.delimiter).map((folder) => path.join(folder, "chromium"));
  return process.env.TAILRACE_TEST_CHROMIUM ?? candidates.find(existsSync);
}

const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
args.push("--disable-background-networking", "--disable-component-update", "--disable-sync");

let browser;
/** The pages that are open: their URL, and what closes them and looks at what they did. */
const pages = new Set();
after(async () => (await browser)?.close());

/** The browser of this file; it ends with the file. */
export const aBrowser = () => (browser ??= chromium.launch({ executablePath: executable(), args }));

/**
 * Opens a page in a browser profile of its own. The test fails when the page logs an error, throws, breaks its policy, opens
 * a dialog, or asks for anything outside its origin.
 *
 * @param {string} url absolute
 * @param {object} [options] `width` and `height` in CSS pixels, `colorScheme`, `reducedMotion` and `hasTouch` as Playwright
 *   has them; `token` is given before the page opens; `view` is how the list is seen (see log/view.ts); `allow` are the
 *   errors that are expected, as expressions for `<message> (<url>)`
 * @returns {Promise<import("playwright-core").Page & {asked: string[], failures: string[], allow(...errors: RegExp[]): void}>}
 *   `asked` are the URLs of all requests so far, `failures` what it did that it must not
 */
export async function aPage(t, url, options = {}) {
  const { width = 1280, height = 800, token, view, allow = [], ...context } = options;
  const { origin } = new URL(url);
  const profile = await (
    await aBrowser()
  ).newContext({
    viewport: { width, height },
    locale: "en-US",
    timezoneId: "UTC",
    ...context,
  });
  await profile.grantPermissions(["clipboard-read", "clipboard-write"], { origin });
  const page = await profile.newPage();
  page.setDefaultTimeout(patience);

  const failures = [];
  const asked = [];
  const allowed = [...allow];
  const fails = (what) => {
    if (!allowed.some((error) => error.test(what))) failures.push(what);
  };
  page.on("console", (message) => {
    if (message.type() === "error") fails(`${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => fails(`${error.stack ?? error} (page)`));
  page.on("dialog", (dialog) => {
    fails(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  profile.on("page", (opened) => opened !== page && fails(`another page: ${opened.url()}`));
  page.on("websocket", (socket) => fails(`a socket: ${socket.url()}`));
  page.on("request", (request) => {
    asked.push(request.url());
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).origin !== origin) {
      fails(`a request elsewhere: ${request.url()}`);
    }
  });
  await page.addInitScript(
    ({ token, view }) => {
      addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) =>
        console.error(`the policy was violated: ${violatedDirective} ${blockedURI} ${sample}`),
      );
      if (token) sessionStorage.setItem("tailrace-token", token);
      if (view && !localStorage.getItem("tailrace-view")) localStorage.setItem("tailrace-view", JSON.stringify(view));
    },
    { token, view },
  );
  const opened = {
    url,
    async close() {
      if (!pages.delete(opened)) return;
      await profile.close();
      assert.deepEqual(failures, [], "the page did what it must not do");
    },
  };
  pages.add(opened);
  t.after(() => opened.close());
  await page.goto(url);
  return Object.assign(page, { asked, failures, allow: (...errors) => void allowed.push(...errors) });
}

/** Errors that a browser logs by itself: of an answer with this status, and of a server that is not there. */
export const answered = (status) => new RegExp(`responded with a status of ${status}`);
export const unreachable = /net::ERR_/;

/** The address of a stream's page, with what stands in its query. */
export function pageOf(stream, query = {}) {
  const parameters = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  return `${stream.base}/streams${stream.path}${parameters.size > 0 ? `?${parameters}` : ""}`;
}

/** Opens a stream and waits until its rows are there. */
export async function openStream(t, stream, { query, ...options } = {}) {
  const page = await aPage(t, pageOf(stream, query), options);
  await page.locator("#events .row").first().waitFor();
  return page;
}

/**
 * The rows that a person sees, from above: `{offset, type, said, gap, time, kind, isRun, isCursor, isChosen, top, height}`,
 * `top` in pixels below the list's upper edge. Rows of which only a part is seen count.
 */
export function rowsOf(page) {
  return page.evaluate(() => {
    const list = document.getElementById("events");
    if (!list) return [];
    const box = list.getBoundingClientRect();
    const text = (row, name) => row.querySelector(`.${name}`)?.textContent ?? "";
    return [...list.querySelectorAll(".row")]
      .map((row) => {
        const { top, bottom, height } = row.getBoundingClientRect();
        return {
          offset: Number(text(row, "offset").replaceAll(/\D/g, "")),
          type: text(row, "type"),
          said: text(row, "said"),
          gap: text(row, "gap"),
          time: text(row, "time"),
          kind: row.dataset.kind,
          isRun: row.classList.contains("run"),
          isCursor: row.dataset.cursor === "true",
          isChosen: row.dataset.chosen === "true",
          top: top - box.top,
          bottom: bottom - box.top,
          height,
        };
      })
      .filter(({ top, bottom }) => bottom > 0.5 && top < box.height - 0.5)
      .sort((one, other) => one.top - other.top);
  });
}

/** The offsets of the rows that a person sees, from above. */
export async function offsetsOf(page) {
  return (await rowsOf(page)).map(({ offset }) => offset);
}

/** Waits until the row of an event is in sight. */
export const rowOf = (page, offset) =>
  until(`event ${offset} is in sight`, async () => (await rowsOf(page)).find((row) => row.offset === offset));

/** Fails unless these count on by one, up or down, with no row twice. */
export function assertContiguous(offsets, step = 1) {
  assert.ok(offsets.length > 0, "there is no row");
  assert.deepEqual(
    offsets,
    offsets.map((_, index) => offsets[0] + index * step),
  );
}

/** Follows a link within the page, as a click on one that stands there does: without loading the page anew. */
export const follow = (page, href) =>
  page.evaluate((to) => {
    const link = Object.assign(document.createElement("a"), { href: to });
    document.querySelector(".page").append(link);
    link.click();
    link.remove();
  }, href);

/** Waits until everything that was asked of the page is painted. */
export const painted = (page) =>
  page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))));

/** Scrolls the list by pixels, and waits until it is drawn there. A wheel's turn may come later, and together with the next. */
export const scrolled = (page, by) =>
  page.evaluate((pixels) => {
    document.getElementById("events").scrollTop += pixels;
    return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())));
  }, by);

/**
 * Scrolls on by so many pixels, again and again, until a look at what is in sight says that it is enough. It may take as
 * long as it goes on.
 *
 * @param {(offsets: number[], rows: object[]) => boolean} isEnough
 */
export async function scrolledUntil(page, by, isEnough) {
  for (let [last, since] = ["", Date.now()]; ; await scrolled(page, by)) {
    const rows = await rowsOf(page);
    const offsets = rows.map(({ offset }) => offset);
    if (isEnough(offsets, rows)) return;
    if (offsets.join() !== last) [last, since] = [offsets.join(), Date.now()];
    assert.ok(Date.now() - since < patience, `it does not go on from ${last}`);
  }
}

/** The offsets in sight and where they stand, as soon as they are the same in two looks. */
export async function settled(page) {
  let before;
  return until("nothing moves any more", async () => {
    await painted(page);
    const now = (await rowsOf(page)).map(({ offset, top }) => [offset, Math.round(top)]);
    const isSame = now.length > 0 && JSON.stringify(now) === before;
    before = JSON.stringify(now);
    return isSame ? now : undefined;
  });
}

/** Waits until all of the panel is there. */
export const isLoaded = (page) =>
  until("nothing is loading any more", async () => {
    const panel = page.locator("#panel-body");
    return (await panel.locator("> *").count()) > 0 && (await panel.getByText("Loading").count()) === 0;
  });

/** Waits until what comes with the state of the stream is there: it comes later than its events. */
export const knowsState = (page) => page.getByRole("button", { name: "Pause", exact: true }).waitFor();

/** Waits until the page says how its connection is: `live`, `connection lost` … */
export const says = (page, words) =>
  until(`the page says "${words}"`, async () => (await page.locator(".status").first().textContent()).includes(words));

/** Makes an assertion again and again until it holds; in the end its last failure is thrown. */
export async function soon(assertion) {
  for (const begun = Date.now(); ; await sleep(20)) {
    try {
      return await assertion();
    } catch (error) {
      if (!(error instanceof assert.AssertionError) || Date.now() - begun > patience) throw error;
    }
  }
}

/** Keeps a picture of the page in the folder TAILRACE_TEST_SCREENSHOTS, for people; without it nothing is kept. */
export async function screenshot(t, page, name) {
  const folder = process.env.TAILRACE_TEST_SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`) });
}
