// The log, as a person uses it: what is seen, what moves, and what does not.
/* global document -- in what runs in the page */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  aPage,
  aRuntime,
  aStream,
  answered,
  appendAll,
  assertContiguous,
  follow,
  offsetsOf,
  openStream,
  pageOf,
  painted,
  rowOf,
  rowsOf,
  says,
  screenshot,
  scrolledUntil,
  settled,
  soon,
  until,
} from "./support.mjs";

const runtime = await aRuntime({ after });

const messages = (count, from = 1) =>
  Array.from({ length: count }, (_, n) => ({ type: "message", payload: { text: `message ${from + n}` } }));

/** A stream of `count` messages: they begin at offset 3, behind its birth and its breaker. */
async function aLog(count) {
  const stream = await aStream(runtime);
  await appendAll(stream, messages(count));
  return stream;
}

/** Waits until this is the newest, and the last row in sight. */
const ends = (page, offset) => soon(async () => assert.equal((await offsetsOf(page)).at(-1), offset));

/** Turns the wheel over the list, by pixels. */
async function wheel(page, by) {
  await page.locator("#events").hover();
  await page.mouse.wheel(0, by);
}

const follows = (page) => page.getByRole("button", { name: "Follow" }).getAttribute("aria-pressed");

/** Scrolls until an event is out of sight and nothing moves any more; returns what is in sight then. */
async function scrollAway(page, by) {
  await wheel(page, by);
  await until("it no longer follows", async () => (await follows(page)) === "false");
  return settled(page);
}

test("a stream opens at its newest event and shows what comes, as it comes", async (t) => {
  const stream = await aLog(200);
  const page = await openStream(t, stream);
  await ends(page, 202);
  assertContiguous(await offsetsOf(page));
  await says(page, "live");
  for (let n = 1; n <= 5; n += 1) {
    await stream.append({ type: "more", payload: { text: `more ${n}` } });
    await ends(page, 202 + n);
  }
  const last = (await rowsOf(page)).at(-1);
  assert.deepEqual([last.type, last.said], ["more", "more 5"]);
  assert.match(await page.locator(".status").textContent(), /207 events/);
  await screenshot(t, page, "log");
});

test("following stops when one scrolls, nothing moves then, and one button leads back", async (t) => {
  const stream = await aLog(500);
  const page = await openStream(t, stream);
  await ends(page, 502);
  const before = await scrollAway(page, -2_000);
  assert.ok(before.at(-1)[0] < 480);

  await appendAll(stream, messages(50));
  await until("the page knows of them", async () => /552/.test(await page.locator(".status").textContent()));
  assert.deepEqual(await settled(page), before);

  await page.getByRole("button", { name: "Newest", exact: false }).last().click();
  await ends(page, 552);
  assert.equal(await follows(page), "true");
  await stream.append({ type: "more" });
  await ends(page, 553);
});

test("who scrolls down to the newest event follows again", async (t) => {
  const stream = await aLog(300);
  const page = await openStream(t, stream);
  await ends(page, 302);
  await scrollAway(page, -700);
  await wheel(page, 5_000);
  await until("it follows", async () => (await follows(page)) === "true");
  await stream.append({ type: "more" });
  await ends(page, 303);
});

test("what is read stays where it is while 7,000 events come", async (t) => {
  const stream = await aLog(500);
  const page = await openStream(t, stream);
  await ends(page, 502);
  const before = await scrollAway(page, -3_000);
  for (let n = 0; n < 7; n += 1) await appendAll(stream, messages(1_000));
  await until("the page knows of them", async () => /7,502/.test(await page.locator(".status").textContent()));
  assert.deepEqual(await settled(page), before);
  await page.keyboard.press("G");
  await ends(page, 7_502);
});

test("scrolling back reaches the first event, page by page, without a gap", async (t) => {
  const stream = await aLog(800);
  const page = await openStream(t, stream);
  await ends(page, 802);
  const seen = new Set();
  await scrolledUntil(page, -600, (offsets) => {
    assertContiguous(offsets);
    offsets.forEach((offset) => seen.add(offset));
    return offsets[0] === 1;
  });
  assert.equal(seen.size, 802);
});

test("newest first, the newest event is above, and what comes pushes down", async (t) => {
  const stream = await aLog(300);
  const page = await openStream(t, stream);
  await ends(page, 302);
  await page.getByRole("button", { name: "Newest first" }).click();
  await soon(async () => assert.equal((await offsetsOf(page))[0], 302));
  assertContiguous(await offsetsOf(page), -1);
  await stream.append({ type: "more" });
  await soon(async () => assert.equal((await offsetsOf(page))[0], 303));

  const before = await scrollAway(page, 1_500);
  await appendAll(stream, messages(40));
  await until("the page knows of them", async () => /343/.test(await page.locator(".status").textContent()));
  assert.deepEqual(await settled(page), before);

  await page.reload();
  await soon(async () => assert.equal((await offsetsOf(page))[0], 343));
});

test("newest first, scrolling down reaches the first event without a gap", async (t) => {
  const page = await openStream(t, await aLog(700), { view: { newestFirst: true } });
  await soon(async () => assert.equal((await offsetsOf(page))[0], 702));
  await scrolledUntil(page, 600, (offsets) => {
    assertContiguous(offsets, -1);
    return offsets.at(-1) === 1;
  });
});

test("types are filtered by globs, in the address too, and what comes is filtered as well", async (t) => {
  const stream = await aStream(runtime);
  const types = ["order.made", "order.paid", "message", "reorder.made"];
  await appendAll(
    stream,
    Array.from({ length: 800 }, (_, n) => ({ type: types[n % 4] })),
  );
  const page = await openStream(t, stream);
  await ends(page, 802);
  await page.getByLabel("Types").fill("order.*");
  const shown = async () => (await rowsOf(page)).map(({ type }) => type);
  await soon(async () => assert.deepEqual([...new Set(await shown())].sort(), ["order.made", "order.paid"]));
  assert.equal(new URL(page.url()).searchParams.get("types"), "order.*");
  await stream.append({ type: "message" });
  await stream.append({ type: "order.lost" });
  await ends(page, 804);

  await page.reload();
  await ends(page, 804);
  assert.deepEqual([...new Set(await shown())].sort(), ["order.lost", "order.made", "order.paid"]);

  await page.getByLabel("Types").fill("nothing.*");
  await page.getByText("No event matches.").waitFor();
  await page.getByRole("button", { name: "Clear" }).click();
  await soon(async () => assertContiguous(await offsetsOf(page)));
  assert.equal(await page.getByLabel("Types").inputValue(), "");
});

test("a text is found wherever it stands, though nobody scrolled there", async (t) => {
  const stream = await aStream(runtime);
  await stream.append({ type: "found", payload: { text: "The Needle is here" } });
  await appendAll(stream, messages(3_000));
  await stream.append({ type: "other", payload: { deep: [{ er: 'a "needle" too' }] } });
  const page = await openStream(t, stream);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "filter-text");
  await page.keyboard.type("needle");
  await soon(async () => assert.deepEqual(await offsetsOf(page), [3, 3_004]));
  await stream.append({ type: "message", payload: { text: "no" } });
  await stream.append({ type: "message", payload: { text: "needles!" } });
  await soon(async () => assert.deepEqual(await offsetsOf(page), [3, 3_004, 3_006]));
  await page.getByLabel("Text").fill('"needle"');
  await soon(async () => assert.deepEqual(await offsetsOf(page), [3_004]));
  assert.equal(new URL(page.url()).searchParams.get("text"), '"needle"');
});

test("where the server looks back no further for a type, the page says how far, and goes on when one wants", async (t) => {
  const stream = await aStream(runtime);
  await stream.append({ type: "rare" });
  await appendAll(stream, messages(20));
  const page = await openStream(t, stream);
  // The log is played to be longer than what is looked at in one go; its beginning is the true one.
  const head = 2_500_000;
  await page.route(/[?&]types=rare/, (route) => {
    const before = Number(new URL(route.request().url()).searchParams.get("beforeOffset") ?? head + 1);
    if (before <= 1_000_000) return route.continue();
    const beforeOffset = before - 1_000_000;
    return route.fulfill({ json: { events: [], afterOffset: before - 1, beforeOffset, head, upToDate: true } });
  });
  await page.getByLabel("Types").fill("rare");
  const further = page.getByRole("button", { name: /look further/ });
  await soon(async () => assert.equal(await further.textContent(), "Looked back to event 1,500,001: look further"));
  await page.getByText("Nothing found down to event 1,500,001").waitFor();
  await screenshot(t, page, "log-looked-back");
  await further.click();
  await soon(async () => assert.equal(await further.textContent(), "Looked back to event 500,001: look further"));
  assert.deepEqual(await offsetsOf(page), []);
  await further.click();
  await soon(async () => assert.deepEqual(await offsetsOf(page), [3]));
  assert.equal(await further.count(), 0);
});

test("what failed and what was verified can be looked at alone", async (t) => {
  const stream = await aStream(runtime);
  await appendAll(stream, messages(10));
  await stream.append({ type: "tool.failed", payload: { callId: "r.0", error: "no" } });
  await stream.append({ type: "user.checked", payload: { verified: true } });
  const response = await fetch(`${runtime.url}/hooks${stream.path}?source=anyone`, { method: "POST", body: "{}" });
  assert.ok(response.ok, String(response.status));
  const page = await openStream(t, stream);
  const types = async () => (await rowsOf(page)).map(({ type }) => type);
  await page.getByLabel("Outcome").selectOption("failed");
  await soon(async () => assert.deepEqual(await types(), ["tool.failed"]));
  await page.getByLabel("Outcome").selectOption("unverified");
  await soon(async () => assert.deepEqual(await types(), ["webhook.received"]));
  await page.getByLabel("Outcome").selectOption("verified");
  await page.getByText("No event matches.").waitFor();
});

test("runs of a type are folded into one row, and unfold where they stand", async (t) => {
  const stream = await aStream(runtime);
  await appendAll(stream, [...messages(30), { type: "end" }, { type: "end" }]);
  const page = await openStream(t, stream);
  await page.getByRole("button", { name: "Fold runs" }).click();
  await soon(async () => assert.deepEqual(await offsetsOf(page), [1, 2, 3, 33, 34]));
  const run = (await rowsOf(page))[2];
  assert.ok(run.isRun);
  assert.match(run.said, /30/);

  await page.locator(".row.run").click();
  await soon(async () => assert.equal((await page.locator("#events .row").count()) > 20, true));
  await page.locator(".row.run").click();
  await soon(async () => assert.deepEqual(await offsetsOf(page), [1, 2, 3, 33, 34]));

  // What comes goes into the run that is at the end.
  await appendAll(stream, [{ type: "end" }, { type: "end" }, { type: "end" }]);
  await soon(async () => assert.deepEqual(await offsetsOf(page), [1, 2, 3, 33]));
});

test("an unfolded run of one stream unfolds nothing in another", async (t) => {
  const [one, other] = [await aLog(10), await aLog(10)];
  const page = await openStream(t, one, { view: { grouped: true } });
  await page.locator(".row.run").click();
  await soon(async () => assert.equal((await rowsOf(page)).length, 13));
  await follow(page, pageOf(other));
  await soon(async () => assert.equal(new URL(page.url()).pathname, `/streams${other.path}`));
  await soon(async () => assert.deepEqual(await offsetsOf(page), [1, 2, 3]));
});

test("times are a clock's, or how long ago; and how long after the one before stands beside", async (t) => {
  const stream = await aStream(runtime);
  await stream.append({ type: "one" });
  await until("some time went by", () => new Promise((done) => setTimeout(() => done(true), 1_100)));
  await stream.append({ type: "two" });
  const page = await openStream(t, stream);
  const last = async () => (await rowsOf(page)).at(-1);
  assert.match((await last()).time, /^\d\d:\d\d:\d\d\.\d{3}$/);
  assert.match((await last()).gap, /^\+\d+(\.\d+)? s$/);
  await page.keyboard.press("t");
  await soon(async () => assert.match((await last()).time, /^(now|\d+ s ago)$/));
  await page.getByRole("button", { name: "Clock" }).click();
  await soon(async () => assert.match((await last()).time, /^\d\d:\d\d/));
  const time = page.locator("#events time").last();
  assert.ok(!Number.isNaN(Date.parse(await time.getAttribute("datetime"))));
});

test("the keyboard alone leads through the log", async (t) => {
  const stream = await aLog(1_000);
  const page = await openStream(t, stream);
  await ends(page, 1_002);
  const cursor = async () => (await rowsOf(page)).find(({ isCursor }) => isCursor)?.offset;
  const isAt = (offset) => soon(async () => assert.equal(await cursor(), offset));

  await page.keyboard.press("g");
  await isAt(1);
  assert.equal(await follows(page), "false");
  for (let n = 0; n < 30; n += 1) await page.keyboard.press("j");
  await isAt(31);
  await page.keyboard.press("k");
  await isAt(30);

  await page.keyboard.press("Enter");
  await page.getByRole("complementary", { name: "Details" }).waitFor();
  assert.equal(new URL(page.url()).searchParams.get("offset"), "30");
  // The panel goes with the cursor.
  await page.keyboard.press("j");
  await soon(async () => assert.equal(new URL(page.url()).searchParams.get("offset"), "31"));
  await page.keyboard.press("Escape");
  await page.getByRole("complementary", { name: "Details" }).waitFor({ state: "detached" });
  assert.equal(new URL(page.url()).search, "");

  await page.keyboard.press("G");
  await ends(page, 1_002);
  assert.equal(await follows(page), "true");

  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "Keys" });
  await help.waitFor();
  assert.match(await help.textContent(), /newest first/);
  await page.keyboard.press("Escape");
  await help.waitFor({ state: "hidden" });
  // What had the focus in it keeps it for a frame, and the keys with it.
  await until("the focus has left it", () => page.evaluate(() => !document.activeElement.closest("dialog")));

  await page.keyboard.press("o");
  await soon(async () => assert.equal((await offsetsOf(page))[0], 1_002));
  await page.keyboard.press("o");
  await ends(page, 1_002);
  await page.keyboard.press("r");
  await until("runs are folded", async () => (await rowsOf(page)).some(({ isRun }) => isRun));
});

test("keys that are typed into a field move nothing", async (t) => {
  const page = await openStream(t, await aLog(100));
  await ends(page, 102);
  await page.getByLabel("Text").fill("message");
  await page.getByLabel("Text").press("j");
  await page.getByLabel("Text").press("G");
  await page.getByLabel("Text").press("?");
  assert.equal(await page.getByLabel("Text").inputValue(), "messagejG?");
  assert.equal(await page.locator("dialog[open]").count(), 0);
});

test("a link to an event shows it, chosen, in the midst of the log", async (t) => {
  const stream = await aLog(3_000);
  for (const offset of [1, 700, 2_000, 3_002]) {
    const page = await openStream(t, stream, { query: { offset } });
    assert.ok((await rowOf(page, offset)).isChosen, `event ${offset}`);
    await page.getByRole("complementary", { name: "Details" }).waitFor();
    assertContiguous((await settled(page)).map(([shown]) => shown));
    await page.close();
  }
});

test("a link to an event beyond the end shows what there is, and the event when it comes", async (t) => {
  const stream = await aLog(50);
  const page = await openStream(t, stream, { query: { offset: 60 } });
  await rowOf(page, 52);
  await appendAll(stream, messages(10));
  await until("it is known", async () => /62/.test(await page.locator(".status").textContent()));
  await page.keyboard.press("G");
  await ends(page, 62);
});

test("a link to an event within a folded run unfolds the run", async (t) => {
  const stream = await aLog(2_000);
  const page = await openStream(t, stream, { query: { offset: 1_234 }, view: { grouped: true } });
  assert.ok((await rowOf(page, 1_234)).isChosen);
});

test("a link to another event of the same stream, and the step back, show that event", async (t) => {
  const stream = await aLog(5_000);
  const page = await openStream(t, stream, { query: { offset: 4_000 } });
  await rowOf(page, 4_000);
  const click = (offset) => follow(page, pageOf(stream, { offset }));
  await click(100);
  assert.ok((await rowOf(page, 100)).isChosen);
  await click(2_500);
  assert.ok((await rowOf(page, 2_500)).isChosen);
  await page.goBack();
  assert.ok((await rowOf(page, 100)).isChosen);
  await page.goBack();
  assert.ok((await rowOf(page, 4_000)).isChosen);
});

test("an event that is clicked is chosen, and its address can be given to somebody", async (t) => {
  const stream = await aLog(300);
  const page = await openStream(t, stream);
  await ends(page, 302);
  await page.locator("#event-295").click();
  await soon(async () => assert.equal(new URL(page.url()).searchParams.get("offset"), "295"));
  const other = await openStream(t, stream, { query: { offset: 295 } });
  assert.ok((await rowOf(other, 295)).isChosen);
  await page.goBack();
  await page.getByRole("complementary", { name: "Details" }).waitFor({ state: "detached" });
});

test("drawing the rail leads to any place of the log, whatever is open", async (t) => {
  const stream = await aLog(5_000);
  const page = await openStream(t, stream, { query: { offset: 4_900 } });
  await rowOf(page, 4_900);
  await page.keyboard.press("j");
  const rail = page.getByLabel("Place in the log");
  const draw = (offset) =>
    rail.evaluate((element, value) => {
      element.value = value;
      element.dispatchEvent(new Event("input", { bubbles: true }));
    }, offset);
  for (const offset of [2_000, 10, 3_500]) {
    await draw(offset);
    await rowOf(page, offset);
    assertContiguous((await settled(page)).map(([shown]) => shown));
  }
  await page.getByRole("button", { name: "Newest first" }).click();
  for (const offset of [2_000, 10, 3_500]) {
    await draw(offset);
    await rowOf(page, offset);
    assertContiguous(
      (await settled(page)).map(([shown]) => shown),
      -1,
    );
  }
  await draw(5_002);
  await soon(async () => assert.equal((await offsetsOf(page))[0], 5_002));
  assert.equal(await follows(page), "true");
});

test("newest first, g leads to the first event though another one is open", async (t) => {
  const stream = await aLog(3_000);
  const page = await openStream(t, stream, { query: { offset: 2_900 }, view: { newestFirst: true } });
  await rowOf(page, 2_900);
  await page.locator("#events").focus();
  await page.keyboard.press("g");
  await rowOf(page, 1);
});

test("the newest event stays in sight when the list gets lower", async (t) => {
  const stream = await aLog(100);
  const page = await openStream(t, stream);
  await ends(page, 102);
  await page.setViewportSize({ width: 1280, height: 500 });
  await ends(page, 102);
  await stream.append({ type: "stream.paused", payload: { reason: "lunch\n".repeat(20) } });
  await page.getByRole("region", { name: "The stream is paused" }).waitFor();
  await soon(async () => {
    const last = (await rowsOf(page)).at(-1);
    const { height } = await page.locator("#events").boundingBox();
    assert.equal(last?.offset, 103);
    assert.ok(last.bottom <= height + 1, `it ends ${last.bottom - height} px below the list`);
  });
});

test("a stream that nobody wrote to yet waits for its first event", async (t) => {
  const stream = runtime.stream();
  const page = await aPage(t, pageOf(stream), { allow: [answered(404)] });
  await page.locator("#events").getByText("No event yet").waitFor();
  await says(page, "waiting");
  await stream.append({ type: "message", payload: { text: "first" } });
  await soon(async () => assert.deepEqual(await offsetsOf(page), [1, 2]));
  await says(page, "live");
});

test("an address that is no stream's says so", async (t) => {
  const page = await aPage(t, `${runtime.url}/streams/_no%20stream`);
  await painted(page);
  assert.equal(await page.locator("#events").count(), 0);
  assert.deepEqual(
    page.asked.filter((url) => url.includes("_no")),
    [`${runtime.url}/streams/_no%20stream`],
  );
});

test("a large event is in the list without being kept whole", async (t) => {
  const stream = await aStream(runtime);
  await stream.append({ type: "large", payload: { text: "x".repeat(900_000) } });
  await stream.append({ type: "small", payload: { text: "y" } });
  const page = await openStream(t, stream);
  await soon(async () => assert.deepEqual(await offsetsOf(page), [1, 2, 3, 4]));
  assert.ok((await rowsOf(page))[2].said.length < 400);
});

test("an event whose content looks like the end of a page ends nothing", async (t) => {
  const stream = await aStream(runtime);
  await appendAll(stream, messages(400));
  const payload = { afterOffset: 1, head: 1, upToDate: true };
  await stream.append({ type: "x", payload });
  const page = await openStream(t, stream);
  await ends(page, 403);
  await says(page, "live");
  assert.match(await page.locator(".status").textContent(), /403 events/);
  await stream.append({ type: "x", payload, metadata: payload });
  await ends(page, 404);
  await page.reload();
  await ends(page, 404);
  assertContiguous(await offsetsOf(page));
});

test("a screen reader hears a list, which event of how many, and how the connection is", async (t) => {
  const stream = await aLog(500);
  const page = await openStream(t, stream);
  await ends(page, 502);
  const list = page.getByRole("listbox", { name: `Events of ${stream.path}` });
  await list.focus();
  await page.keyboard.press("g");
  await rowOf(page, 1);
  await page.keyboard.press("j");
  const active = await soon(async () => {
    const id = await list.getAttribute("aria-activedescendant");
    assert.equal(id, "event-2");
    return page.locator(`#${id}`);
  });
  assert.equal(await active.getAttribute("role"), "option");
  assert.equal(await active.getAttribute("aria-posinset"), "2");
  assert.equal(await active.getAttribute("aria-setsize"), "502");
  await says(page, "live");
  const said = await page.getByRole("status").allTextContents();
  assert.ok(said.includes("live"), String(said));
});

test("a token goes in a header, and never stands in an address", async (t) => {
  const token = "a-token-of-the-deployment-for-tests";
  const closed = await aRuntime(t, { token });
  const stream = await aStream(closed);
  await appendAll(stream, messages(10));
  const page = await openStream(t, stream, { token });
  await ends(page, 12);
  await stream.append({ type: "more" });
  await ends(page, 13);
  assert.deepEqual(
    page.asked.filter((url) => url.includes(token)),
    [],
  );
  assert.ok(!(await page.content()).includes(token));
});
