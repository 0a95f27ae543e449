// The tree of streams, as a person uses it: with a mouse, with the keys, on a narrow page.
/* global document, requestAnimationFrame -- in what runs in the page */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { aPage, aRuntime, answered, pageOf, patience, phone, screenshot, soon } from "./support.mjs";

const runtime = await aRuntime({ after });
/** Where nothing was written yet. */
const missing = answered(404);

/** The row of a stream in the tree. */
const branch = (page, { path }) => page.locator(`.branch[data-path="${path}"]`);

/** The paths that the tree shows, from above; with the words of lines that are no streams. */
const shown = (page) =>
  page.locator(".branch").evaluateAll((rows) =>
    rows
      .map((row) => ({ top: row.getBoundingClientRect().top, name: row.dataset.path ?? row.textContent }))
      .sort((one, other) => one.top - other.top)
      .map(({ name }) => name),
  );

/** What a screen reader says of a row, but for its menu. */
const said = (page, stream) =>
  branch(page, stream).evaluate((row) => {
    const heard = row.cloneNode(true);
    heard.querySelectorAll("[aria-hidden], button").forEach((it) => it.remove());
    return heard.textContent;
  });

/** These words with a time between them that was less than two minutes ago: a slow machine is not wrong. */
const lately = (before, behind = "") => new RegExp(`^${before} (just now|[\\d.]+ s ago)${behind}$`);

/** The path of the row that has the focus. */
const focused = (page) => page.evaluate(() => document.activeElement?.dataset.path);

/** Makes a stream with others below it: `{ a: { b: {} } }`. */
async function grow(stream, below) {
  await stream.append({ type: "message", payload: { text: "hello" } });
  await Promise.all(Object.entries(below).map(([name, further]) => grow(stream.below(name), further)));
  return stream;
}

/** Whether a page asked for the children of a stream, not of all below it. */
const hasAskedBelow = (page, { path }) =>
  page.asked.some((url) => new URL(url).pathname === `/api/children${path}` && url.includes("details=true"));

test("the tree says of each stream how many events it has, when it heard the last, and whether it is paused", async (t) => {
  const stream = await grow(runtime.stream(), { quiet: {}, held: {} });
  await stream.below("quiet").append({ type: "message" }, { type: "message" });
  await stream.below("held").append({ type: "stream.paused", payload: { reason: "lunch" } });
  const page = await aPage(t, pageOf(stream));
  await soon(async () => assert.match(await said(page, stream.below("quiet")), lately("quiet, 4 events, last")));
  await soon(async () =>
    assert.match(await said(page, stream.below("held")), lately("held, 3 events, last", ", paused")),
  );
  assert.equal(await branch(page, stream.below("quiet")).locator(".count [aria-hidden]").textContent(), "4");
  await screenshot(t, page, "tree");
});

test("the stream that is open is marked, and what lies above it is unfolded", async (t) => {
  const stream = await grow(runtime.stream(), { a: { b: { c: {} } }, z: {} });
  const open = stream.below("a").below("b").below("c");
  const page = await aPage(t, pageOf(open));
  await branch(page, open).waitFor();
  assert.equal(await branch(page, open).getAttribute("aria-current"), "page");
  assert.equal(await page.locator('.branch[aria-current="page"]').count(), 1);
  for (const above of [stream, stream.below("a"), stream.below("a").below("b")]) {
    assert.equal(await branch(page, above).getAttribute("aria-expanded"), "true");
  }
  // What is beside the way is there, and has nothing to unfold.
  await soon(async () => assert.equal(await branch(page, stream.below("z")).getAttribute("aria-expanded"), null));
});

test("a level is loaded when it is unfolded, and not before", async (t) => {
  const stream = await grow(runtime.stream(), { a: { b: {} } });
  const page = await aPage(t, pageOf(stream));
  await branch(page, stream.below("a")).waitFor();
  assert.equal(hasAskedBelow(page, stream.below("a")), false);
  await branch(page, stream.below("a")).locator(".fold").click();
  await branch(page, stream.below("a").below("b")).waitFor();
  assert.equal(hasAskedBelow(page, stream.below("a")), true);
  await branch(page, stream.below("a")).locator(".fold").click();
  await branch(page, stream.below("a").below("b")).waitFor({ state: "detached" });
  assert.equal(new URL(page.url()).pathname, `/streams${stream.path}`, "unfolding opens nothing");
});

test("the keys of a tree move in it, unfold, and open", async (t) => {
  const stream = await grow(runtime.stream(), { anna: { diary: {} }, bob: {}, berta: {} });
  const page = await aPage(t, pageOf(stream));
  await branch(page, stream.below("bob")).waitFor();
  await branch(page, stream).focus();
  const steps = [
    ["ArrowDown", stream.below("anna")],
    ["ArrowDown", stream.below("berta")],
    ["ArrowUp", stream.below("anna")],
    ["ArrowRight", stream.below("anna")],
    ["ArrowRight", stream.below("anna").below("diary")],
    ["ArrowLeft", stream.below("anna")],
    ["ArrowLeft", stream.below("anna")],
    ["ArrowLeft", stream],
  ];
  for (const [key, at] of steps) {
    await page.keyboard.press(key);
    await soon(async () => assert.equal(await focused(page), at.path, key));
    // The diary is loaded from the server before the next step leads to it.
    if (key === "ArrowRight") await branch(page, stream.below("anna").below("diary")).waitFor();
  }
  await page.keyboard.type("be");
  await soon(async () => assert.equal(await focused(page), stream.below("berta").path));
  await page.keyboard.press("Home");
  await soon(async () => assert.equal(await focused(page), "/"));
  await page.keyboard.press("End");
  await soon(async () => assert.equal(await focused(page), (await shown(page)).at(-1)));
  await branch(page, stream.below("berta")).focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/streams${stream.path}/bob`);
});

test("a stream that is born or dies while somebody looks comes and goes", async (t) => {
  const stream = await grow(runtime.stream(), {});
  const page = await aPage(t, pageOf(stream));
  await branch(page, stream).waitFor();
  await grow(stream.below("baby"), {});
  await soon(async () => assert.match(await said(page, stream.below("baby")), lately("baby, 2 events, last")));
  await stream.call("DELETE", `/api/streams${stream.path}/baby`);
  await branch(page, stream.below("baby")).waitFor({ state: "detached" });
});

test("what happens in a stream that is seen and not open is seen before long", async (t) => {
  const stream = await grow(runtime.stream(), { other: {} });
  const page = await aPage(t, pageOf(stream));
  await soon(async () => assert.match(await said(page, stream.below("other")), /2 events/));
  await stream.below("other").append({ type: "message" }, { type: "stream.paused" });
  await grow(stream.below("other").below("child"), {});
  await soon(async () => assert.match(await said(page, stream.below("other")), /5 events, last .*, paused/));
  await soon(async () =>
    assert.equal(
      await branch(page, stream.below("other")).getAttribute("aria-expanded"),
      "false",
      "it has a child now",
    ),
  );
});

/** Scrolls through the tree, from above again and again, until something of it is there. */
async function comes(page, what, locator) {
  // However long the way is, and however slow: it is in vain when it led to the end more than once.
  for (let [ends, begun] = [0, Date.now()]; (await locator.count()) === 0;) {
    ends += await page.locator(".branches").evaluate((box) => {
      const isAtEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 1;
      box.scrollTop = isAtEnd ? 0 : box.scrollTop + 400;
      return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(isAtEnd ? 1 : 0))));
    });
    assert.ok(ends < 3 || Date.now() - begun < patience, `${what} does not come`);
  }
}

test("a level of many streams comes page by page, and any of them is found by a part of its path", async (t) => {
  const stream = await grow(runtime.stream(), {});
  const names = Array.from({ length: 130 }, (_, n) => `s${String(n).padStart(3, "0")}`);
  await Promise.all(names.map((name) => grow(stream.below(name), {})));
  await grow(stream.below("s128").below("needle"), {});
  const needle = stream.below("s128").below("needle");
  const page = await aPage(t, pageOf(needle));
  // Its page of the level is not loaded; the way to it is there all the same.
  await branch(page, needle).waitFor();

  const more = page.getByRole("treeitem", { name: "More …" });
  await comes(page, "the line for more", more);
  await more.click();
  await comes(page, "the last one", branch(page, stream.below("s129")));
  await soon(async () => assert.match(await said(page, stream.below("s129")), /2 events/));
  assert.equal(await more.count(), 0);
  assert.ok((await page.locator(".branch").count()) < 80, "rows that nobody sees are not there");

  await page.goto(pageOf(stream));
  await page.getByRole("combobox", { name: "Search or open a path" }).fill("NEED");
  const option = page.locator(`[role=option][data-path="${stream.path}/s128/needle"]`);
  await option.waitFor();
  assert.equal(await option.locator("mark").textContent(), "need");
  await screenshot(t, page, "tree-search");
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/streams${stream.path}/s128/needle`);
  await branch(page, needle).waitFor();
});

/** Answers for the streams below one as if there were thousands, which would take minutes to make. */
async function playBelow(page, stream, paths) {
  const all = [...paths].sort();
  await page.route(/\/api\/children\//, (route) => {
    const url = new URL(route.request().url());
    const at = decodeURIComponent(url.pathname).slice("/api/children".length);
    const { recursive, details, limit = "100", after = "" } = Object.fromEntries(url.searchParams);
    if (at === "/" && !recursive) return route.continue();
    const start = at === "/" ? `${stream.path}/` : `${at}/`;
    const below = all.filter((it) => it.startsWith(start) && (recursive || !it.slice(start.length).includes("/")));
    const rest = below.filter((it) => it > after);
    const found = rest.slice(0, Number(limit));
    const createdAt = "2026-01-31T12:00:00.000Z";
    const how = details ? { head: 7, lastEventAt: createdAt, paused: false } : {};
    const children = found.map((path) => ({ path, createdAt, ...how }));
    return route.fulfill({ json: { children, after: rest.length > found.length ? found.at(-1) : null } });
  });
}

test("in a tree of thousands few rows exist and little is asked for, and any stream is found", async (t) => {
  const stream = await grow(runtime.stream(), {});
  const name = (letter, n, digits) => letter + String(n).padStart(digits, "0");
  const paths = Array.from({ length: 3_000 }, (_, n) => `${stream.path}/${name("c", n, 4)}`);
  for (let n = 0; n < 500; n += 1) {
    paths.push(`${stream.path}/c0000/${name("d", n, 3)}`, `${stream.path}/c0000/d000/${name("e", n, 3)}`);
  }
  const page = await aPage(t, `${runtime.url}/`);
  await playBelow(page, stream, paths);
  await page.goto(pageOf(stream));
  const at = (path) => ({ path: stream.path + path });
  await branch(page, at("/c0000")).waitFor();
  // A page that nobody sees asks for nothing anew by itself: what is counted is asked because somebody looks.
  await page.evaluate(() => Object.defineProperty(document, "hidden", { value: true, configurable: true }));
  const asked = () => page.asked.filter((url) => url.includes("/api/children")).length;
  const before = asked();
  const box = page.locator(".branches");
  let most = 0;
  const rows = async () => (most = Math.max(most, await page.locator(".branch").count()));

  const more = page.getByRole("treeitem", { name: "More …" });
  for (const next of ["/c1049", "/c2049"]) {
    await comes(page, "the line for more", more);
    await more.click();
    await comes(page, next, branch(page, at(next)));
    await rows();
  }
  await comes(page, "the line for more", more);
  await more.press("Enter");
  // It is gone, and the keys go on from what came in its place.
  await soon(async () => assert.match((await focused(page)) ?? "", /\/c2\d{3}$/));
  await comes(page, "the last one", branch(page, at("/c2999")));
  assert.equal(await more.count(), 0);
  await soon(async () => assert.match(await said(page, at("/c2999")), /c2999, 7 events/));

  // Through all of it, and down into what is nested.
  await box.evaluate((it) => (it.scrollTop = 0));
  for (let isEnd = false; !isEnd;) {
    isEnd = await box.evaluate((it) => {
      it.scrollTop += 4_000;
      return it.scrollTop + it.clientHeight >= it.scrollHeight - 1;
    });
    await rows();
  }
  await box.evaluate((it) => (it.scrollTop = 0));
  for (const path of ["/c0000", "/c0000/d000"]) {
    await branch(page, at(path)).locator(".fold").click();
    await branch(page, at(`${path}${path === "/c0000" ? "/d000" : "/e000"}`)).waitFor();
    await rows();
  }
  assert.ok(most < 80, `${most} rows`);
  // A page of 50 says how those stand that were looked at, and each is asked for about once.
  assert.ok(asked() - before < 120, `${asked() - before} questions`);
  await page.evaluate(() => delete document.hidden);

  const find = page.getByRole("combobox", { name: "Search or open a path" });
  for (const [part, path] of [
    ["c2987", "/c2987"],
    ["e499", "/c0000/d000/e499"],
  ]) {
    await find.fill(part);
    await page.locator(`[role=option][data-path="${stream.path}${path}"]`).waitFor();
  }
  await find.fill("c");
  await soon(async () => assert.match(await page.locator(".results").textContent(), /more match: type more/));
  assert.ok((await page.locator(".results [role=option]").count()) <= 61);
});

test("any path opens: the first event makes its stream", async (t) => {
  const stream = await grow(runtime.stream(), {});
  const page = await aPage(t, pageOf(stream), { allow: [missing] });
  await page.getByRole("combobox", { name: "Search or open a path" }).fill(`${stream.path}/to/come`);
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/streams${stream.path}/to/come`);
  const coming = stream.below("to").below("come");
  await soon(async () => assert.equal(await said(page, coming), "come, no event yet"));
  await coming.append({ type: "message" });
  await soon(async () => assert.match(await said(page, coming), lately("come, 2 events, last")));
});

test("what cannot be a path is refused with the rule that it breaks", async (t) => {
  const stream = await grow(runtime.stream(), {});
  const page = await aPage(t, pageOf(stream));
  await page.getByRole("combobox", { name: "Search or open a path" }).fill("/a b");
  await page.keyboard.press("Enter");
  await page.getByText("A space is not allowed").waitFor();
  await page.keyboard.press("Escape");

  await page.getByRole("navigation", { name: "Streams" }).getByRole("button", { name: "New stream" }).click();
  const field = page.getByRole("textbox", { name: "Path" });
  assert.equal(await field.inputValue(), `${stream.path}/`);
  await field.fill("/a/_b");
  await page.getByText("No part of a path begins with _").waitFor();
  assert.equal(await page.getByRole("button", { name: "Open", exact: true }).isDisabled(), true);
  await field.fill(`${stream.path}/fine`);
  await page.getByText(`Opens ${stream.path}/fine`).waitFor();
  page.allow(missing);
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/streams${stream.path}/fine`);
});

test("a stream is deleted when its path is typed, and one is led above it", async (t) => {
  const stream = await grow(runtime.stream(), { doomed: {} });
  const doomed = stream.below("doomed");
  const page = await aPage(t, pageOf(doomed), { allow: [missing] });
  await page.getByRole("button", { name: `Delete ${doomed.path}` }).click();
  const dialog = page.getByRole("dialog", { name: "Delete a stream" });
  await dialog.getByText("its 2 events").waitFor();
  const confirm = dialog.getByRole("button", { name: "Delete" });
  for (const typed of ["", "doomed", stream.path, `${doomed.path}/`]) {
    await dialog.getByRole("textbox").fill(typed);
    assert.equal(await confirm.isDisabled(), true, typed);
  }
  await dialog.getByRole("textbox").fill(doomed.path);
  await screenshot(t, page, "tree-delete");
  await confirm.click();
  await page.waitForURL(`**/streams${stream.path}`);
  await branch(page, doomed).waitFor({ state: "detached" });
  assert.equal((await stream.call("GET", `/api/state${doomed.path}`)).status, 404);
});

test("a stream is deleted with all below from its menu, and one sees that it goes on", async (t) => {
  const below = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`c${n}`, { d: {} }]));
  const stream = await grow(runtime.stream(), { tree: below });
  const tree = stream.below("tree");
  const page = await aPage(t, pageOf(stream), { allow: [missing] });
  await branch(page, tree).hover();
  await branch(page, tree).getByRole("button").click();
  await page.getByRole("menuitem", { name: "Delete …" }).click();
  const dialog = page.getByRole("dialog", { name: "Delete a stream" });
  await dialog.getByRole("checkbox", { name: "and all 24 streams below" }).check();
  await dialog.getByRole("textbox").fill(tree.path);
  await dialog.getByRole("button", { name: "Delete them all" }).click();
  await page.getByText(`Deleting ${tree.path} and all below`).waitFor();
  await page.getByText(`${tree.path} and all below are deleted`).waitFor();
  await branch(page, tree).waitFor({ state: "detached" });
  for (const gone of [tree, tree.below("c7").below("d")]) {
    assert.equal((await stream.call("GET", `/api/state${gone.path}`)).status, 404);
  }
});

test("a deletion that is refused says why, and nothing is deleted", async (t) => {
  const stream = await grow(runtime.stream(), { gone: {} });
  const page = await aPage(t, pageOf(stream), { allow: [missing] });
  await branch(page, stream.below("gone")).focus();
  await page.keyboard.press("Delete");
  const dialog = page.getByRole("dialog", { name: "Delete a stream" });
  await dialog.getByText("its 2 events").waitFor();
  await stream.call("DELETE", `/api/streams${stream.path}/gone`);
  await dialog.getByRole("textbox").fill(`${stream.path}/gone`);
  await dialog.getByRole("button", { name: "Delete" }).click();
  await dialog.getByText("It is gone already.").waitFor();
  await page.keyboard.press("Escape");
  await branch(page, stream).waitFor();
  assert.equal((await stream.call("GET", `/api/state${stream.path}`)).status, 200);
});

test("on a phone the tree is a drawer that takes the focus and gives it back", async (t) => {
  const stream = await grow(runtime.stream(), { a: {} });
  const page = await aPage(t, pageOf(stream), phone);
  const tree = page.getByRole("navigation", { name: "Streams" });
  const button = page.getByRole("button", { name: "Streams", exact: true });
  const isInside = () => page.evaluate(() => document.activeElement?.closest("nav.tree") !== null);
  assert.equal(await tree.isVisible(), false);

  await button.tap();
  await tree.waitFor();
  await soon(async () => assert.equal(await isInside(), true));
  for (let times = 0; times < 12; times += 1) {
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement?.closest("main, aside") ?? null), null);
  }
  await screenshot(t, page, "tree-phone");
  await page.keyboard.press("Escape");
  await tree.waitFor({ state: "hidden" });
  await soon(async () => assert.equal(await button.evaluate((it) => it === document.activeElement), true));

  await button.tap();
  await page.mouse.click(380, 400);
  await tree.waitFor({ state: "hidden" });

  await button.tap();
  await branch(page, stream.below("a")).locator(".name").tap();
  await page.waitForURL(`**/streams${stream.path}/a`);
  await tree.waitFor({ state: "hidden" });
});

test("home says what this is, who was active last, and what to paste into a terminal", async (t) => {
  const stream = await grow(runtime.stream(), { deep: { down: {} } });
  await stream.below("deep").below("down").append({ type: "message" });
  const page = await aPage(t, `${runtime.url}/`);
  await page.getByRole("heading", { name: "Every agent is a stream with a URL." }).waitFor();
  const newest = page.locator(".recent li").first();
  await soon(async () => assert.match(await newest.textContent(), /\/deep\/down3 events/));
  await page.getByRole("button", { name: "Copy: Read them all" }).click();
  await soon(async () =>
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `curl ${runtime.url}/api/streams/demo`),
  );
  assert.equal(await page.getByRole("link", { name: "openapi.json" }).getAttribute("href"), "/api/openapi.json");
  await screenshot(t, page, "home");
  await newest.getByRole("link").click();
  await page.waitForURL(`**/streams${stream.path}/deep/down`);
});

test("home says of how many streams it knows who was active last, and looks at more when one wants", async (t) => {
  const stream = await grow(runtime.stream(), {});
  const paths = Array.from({ length: 1_500 }, (_, n) => `${stream.path}/c${String(n).padStart(4, "0")}`);
  const page = await aPage(t, `${runtime.url}/streams/`);
  await playBelow(page, stream, paths);
  await page.goto(`${runtime.url}/`);
  const recent = page.getByRole("region", { name: "Recently active" });
  await recent.getByText("Of the first 200 streams by path; there are more.").waitFor();
  await screenshot(t, page, "home-more");
  await recent.getByRole("button", { name: "Look at 1,000 more" }).click();
  await recent.getByText("Of the first 1,200 streams by path").waitFor();
  await recent.getByRole("button", { name: "Look at 1,000 more" }).click();
  await recent.getByText("Of the first").waitFor({ state: "detached" });
  assert.equal(await recent.getByRole("listitem").count(), 10);
});

test("an address that can be no stream says so, and stays text", async (t) => {
  const page = await aPage(t, `${runtime.url}/streams/a/%3Cimg%20src=x%20onerror=alert(1)%3E`);
  await page.getByRole("heading", { name: "No stream can have this path." }).waitFor();
  await page.getByText("/a/<img src=x onerror=alert(1)>", { exact: true }).waitFor();
  await page.getByText("“<” is not allowed").waitFor();
  assert.equal(await page.locator("main img").count(), 0);
});
