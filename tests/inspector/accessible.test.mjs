// For those who do not look, or do not use a mouse: axe finds nothing serious anywhere, and the keyboard reaches everything.
/* global window, document, getComputedStyle -- in what runs in the page */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import {
  aPage,
  aRuntime,
  aStream,
  answered,
  appendAll,
  openStream,
  pageOf,
  follow,
  isLoaded,
  knowsState,
  painted,
  phone,
  rowOf,
  says,
  until,
} from "./support.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const runtime = await aRuntime({ after });
const turn = { turn: 1, requestId: "r1", attempt: 1, agent: "helper" };
let stream;

/** Offsets of events of each kind, by type. */
const kinds = new Map();

before(async () => {
  stream = await aStream(runtime, "/accessible/stream");
  const agent = { api: "chat", model: "a-model", baseUrl: "http://127.0.0.1:9", system: "You help." };
  await appendAll(stream, [
    ...Array.from({ length: 30 }, (_, n) => ({
      type: "message",
      payload: { text: `message ${n}`, n, ok: true, none: null },
    })),
    { type: "agent.context-added", payload: { content: "It is Monday." } },
    { type: "agent.turn-started", payload: { ...turn, upTo: 5, requestSha256: "0".repeat(64), harness: "1" } },
    {
      type: "agent.output-added",
      payload: {
        ...turn,
        content: "I call.",
        toolCalls: [{ callId: "r1.0", name: "look", arguments: { at: "x" } }],
        usage: { inputTokens: 10, outputTokens: 3 },
        model: "a-model",
        finishReason: "stop",
        latencyMs: 300,
      },
    },
    {
      type: "tool.approval-requested",
      payload: { callId: "r1.0", name: "look", arguments: { at: "x" }, expiresAt: "2999-01-01T00:00:00Z" },
    },
    { type: "tool.requested", payload: { callId: "r1.1", name: "look", arguments: { at: "x" } } },
    { type: "tool.completed", payload: { callId: "r1.1", result: { found: [1, 2, 3] } } },
    { type: "tool.failed", payload: { callId: "r1.2", error: "not there" } },
    { type: "agent.turn-failed", payload: { ...turn, requestId: "r2", error: "overloaded", status: 529, final: true } },
    { type: "error.occurred", payload: { message: "something is wrong", code: "x" } },
    { type: "subscription.configured", payload: { slug: "worker", target: { pull: true } } },
    { type: "subscription.configured", payload: { slug: "push", target: { url: "http://127.0.0.1:9/hook" } } },
    { type: "subscription.configured", payload: { slug: "helper", target: { agent } } },
    { type: "schedule.configured", payload: { slug: "soon", after: "P1D", event: { type: "message" } } },
    { type: "webhook.configured", payload: { slug: "anyone" } },
  ]);
  await fetch(`${runtime.url}/hooks${stream.path}?source=anyone`, { method: "POST", body: '{"a":1}' });
  await runtime.stream(`${stream.path}/below`).append({ type: "message" });
  for (const { type, offset } of await stream.events()) if (!kinds.has(type)) kinds.set(type, offset);
});

/** What axe finds that is serious or worse within a part of the page, each with where it stands. */
async function findings(page, within = "html") {
  await painted(page);
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  return page.evaluate(async (root) => {
    const { violations } = await window.axe.run(root, {
      resultTypes: ["violations"],
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
      elementRef: true,
    });
    return (
      violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .flatMap(({ id, help, nodes }) => nodes.map((node) => ({ id, help, ...node })))
        // A branch of the tree is said in words where it shows numbers.
        .filter(({ id, element }) => id !== "label-content-name-mismatch" || !element.matches("[role=treeitem]"))
        .map(
          ({ id, help, html, any }) =>
            `${id} (${help}): ${html.slice(0, 160)} ${(any[0]?.message ?? "").slice(0, 160)}`,
        )
    );
  }, within);
}

/** Gathers what is found in several places: each once, with where it was found first. */
function gathered(page) {
  const found = new Map();
  return {
    async look(where, within) {
      for (const what of await findings(page, within)) if (!found.has(what)) found.set(what, where);
    },
    nothing: () =>
      assert.deepEqual(
        [...found].map(([what, where]) => `${where}: ${what}`),
        [],
      ),
  };
}

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds nothing serious at home and in the log, ${colorScheme}`, async (t) => {
    const page = await aPage(t, `${runtime.url}/`, { colorScheme, allow: [answered(404)] });
    const { look, nothing } = gathered(page);
    await page.getByText(stream.path, { exact: false }).first().waitFor();
    await look("home");

    await page.goto(pageOf(runtime.stream("/accessible/nothing-yet")));
    await says(page, "waiting");
    await look("an empty stream");

    await page.goto(pageOf(stream));
    await says(page, "live");
    await rowOf(page, await stream.head());
    await page.keyboard.press("k");
    await page.keyboard.press("k");
    await look("a busy stream");
    nothing();
  });

  test(`axe finds nothing serious in the panels, ${colorScheme}`, async (t) => {
    const page = await openStream(t, stream, { colorScheme, query: { offset: 1 } });
    const { look, nothing } = gathered(page);
    await says(page, "live");
    for (const [type, offset] of kinds) {
      await follow(page, pageOf(stream, { offset }));
      await page.locator("#panel-body").getByText(`${offset} of`).first().waitFor();
      await look(type, ".panel");
    }
    await follow(page, pageOf(stream, { offset: kinds.get("tool.completed"), panel: "why" }));
    await page.locator("#panel-body a").first().waitFor();
    await look("why", ".panel");
    for (const panel of ["state", "agents", "subscriptions", "schedules", "hooks"]) {
      await follow(page, pageOf(stream, { panel }));
      await isLoaded(page);
      await look(panel, ".panel");
    }
    nothing();
  });

  test(`axe finds nothing serious at a phone's width, ${colorScheme}`, async (t) => {
    const page = await openStream(t, stream, { ...phone, colorScheme });
    const { look, nothing } = gathered(page);
    await says(page, "live");
    await look("the list");
    await page.getByRole("button", { name: "Streams", exact: true }).tap();
    await page.locator(".tree").waitFor({ state: "visible" });
    await look("the drawer");
    await page.goto(pageOf(stream, { offset: 5 }));
    await page.locator("#panel-body").getByText("5 of").first().waitFor();
    await look("the sheet");
    nothing();
  });
}

test("axe finds nothing serious in dialogs, and each gives the focus back", async (t) => {
  const page = await openStream(t, stream);
  await says(page, "live");
  const dialog = page.locator("dialog[open]");
  const opens = async (where, open, opener) => {
    await open();
    await dialog.waitFor();
    assert.ok(await dialog.evaluate((element) => element.contains(document.activeElement)), `${where} has the focus`);
    assert.deepEqual(await findings(page), [], where);
    // The focus stays within, however often one goes on.
    for (let n = 0; n < 15; n += 1) {
      await page.keyboard.press("Tab");
      const isOutside = await page.evaluate(() => {
        const at = document.activeElement;
        return at !== document.body && !at.closest("dialog[open]");
      });
      assert.ok(!isOutside, `${where} keeps the focus`);
    }
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    if (opener)
      assert.ok(await opener.evaluate((element) => element === document.activeElement), `${where} gives it back`);
  };
  await opens("keys", () => page.keyboard.press("?"));
  const create = page.getByRole("button", { name: "New stream" });
  await opens("a new stream", () => create.click(), create);
  const remove = page.getByRole("button", { name: /^Delete / }).first();
  await opens("deletion", () => remove.click(), remove);
});

/** What has the focus, as a selector that a person can find again; and whether one sees it. */
const focused = (page) =>
  page.evaluate(() => {
    const at = document.activeElement;
    if (!at || at === document.body) return undefined;
    at.dataset.reached = "true";
    const seen = (element) => {
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
      return (outlineStyle !== "none" && parseFloat(outlineWidth) >= 1) || boxShadow !== "none";
    };
    const isSeen = seen(at) || seen(at.parentElement) || at.closest(".editor, .cm-editor") !== null;
    const { left, right, top, bottom } = at.getBoundingClientRect();
    const isThere = right > 0 && bottom > 0 && left < window.innerWidth && top < window.innerHeight;
    return { what: at.outerHTML.slice(0, 140), isSeen, isThere };
  });

for (const panel of ["event", "subscriptions"]) {
  test(`the Tab key reaches every control beside the panel "${panel}", is seen, and is never trapped`, async (t) => {
    const page = await openStream(t, stream, { query: { panel, offset: 10 } });
    await says(page, "live");
    await isLoaded(page);
    // What comes with the state of the stream, and with that of the streams beside it, comes later than its events.
    await knowsState(page);
    await page.getByRole("treeitem").first().waitFor();
    await page.evaluate(() => document.activeElement.blur());
    const unseen = [];
    let isThrough = false;
    for (let presses = 0; presses < 250 && !isThrough; presses += 1) {
      await page.keyboard.press("Tab");
      const at = await focused(page);
      isThrough = at === undefined;
      if (at && !(at.isSeen && at.isThere)) unseen.push(at.what);
    }
    assert.ok(isThrough, "the Tab key leads out of the page again");
    assert.deepEqual(unseen, [], "what has the focus is seen");
    const missed = await page.evaluate(() =>
      [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
        .filter((element) => element.tabIndex >= 0 && !element.disabled && !element.dataset.reached)
        .filter(
          (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest("dialog:not([open])"),
        )
        .map((element) => element.outerHTML.slice(0, 140)),
    );
    assert.deepEqual(missed, []);
  });
}

test("what the Tab key passes over is reached with the arrows", async (t) => {
  const page = await openStream(t, stream, { query: { offset: 10 } });
  await says(page, "live");
  const active = () => page.evaluate(() => document.activeElement.textContent.trim());
  await page.locator("#tab-event").focus();
  const names = [];
  for (let n = 0; n < 7; n += 1) {
    names.push(await active());
    await page.keyboard.press("ArrowRight");
    await painted(page);
  }
  assert.deepEqual(names, ["Event", "Why", "State", "Agents", "Subscriptions", "Schedules", "Hooks"]);

  const tree = page.getByRole("tree");
  await tree.getByText("stream", { exact: true }).first().waitFor();
  await page.evaluate(() => document.querySelector("[role=tree] [tabindex='0'], [role=tree][tabindex='0']").focus());
  const before = await page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  await until("another stream has the focus", () =>
    page.evaluate((was) => {
      const at = document.activeElement;
      return (
        at.closest("[role=tree]") && (at.getAttribute("aria-activedescendant") ?? (at.id || at.textContent)) !== was
      );
    }, before),
  );
});

test("the first key leads past everything to the events", async (t) => {
  const page = await openStream(t, stream);
  await says(page, "live");
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("Tab");
  const skip = page.getByRole("link", { name: "Skip to the events" });
  assert.ok(await skip.evaluate((link) => link === document.activeElement));
  const { y } = await skip.boundingBox();
  assert.ok(y >= 0, "it is seen");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.activeElement.closest("main") !== null));
});

test("who wants no motion gets none, and colours that are forced leave everything readable", async (t) => {
  const page = await openStream(t, stream, { reducedMotion: "reduce", forcedColors: "active" });
  await says(page, "live");
  await page.keyboard.press("?");
  await page.locator("dialog[open]").waitFor();
  const running = await page.evaluate(() => document.getAnimations().length);
  assert.equal(running, 0);
});

test("twice as large a text is still there to be read", async (t) => {
  const page = await openStream(t, stream, { width: 640, height: 400 });
  await says(page, "live");
  await knowsState(page);
  const { width, scroll, list } = await page.evaluate(() => ({
    width: document.documentElement.clientWidth,
    scroll: document.documentElement.scrollWidth,
    list: document.getElementById("events").clientHeight,
  }));
  assert.ok(scroll <= width);
  assert.ok(list > 58, `the list is ${list} px high`);
});
