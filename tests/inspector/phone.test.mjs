// The page in a hand: 390 pixels wide, and touched.
/* global document, getComputedStyle -- in what runs in the page */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  aPage,
  aRuntime,
  aStream,
  appendAll,
  isLoaded,
  knowsState,
  offsetsOf,
  openStream,
  painted,
  phone,
  rowOf,
  rowsOf,
  says,
  screenshot,
  soon,
  until,
} from "./support.mjs";

const runtime = await aRuntime({ after });
const panels = ["state", "agents", "subscriptions", "schedules", "hooks"];
let stream;

before(async () => {
  stream = await aStream(runtime, "/phone/a-stream-with-a-rather-long-name-that-does-not-fit/and-one-below");
  await appendAll(stream, [
    ...Array.from({ length: 100 }, (_, n) => ({ type: "message", payload: { text: `message ${n}` } })),
    { type: "message", payload: { text: "x".repeat(500) } },
    { type: "a.type.that.is.much.too.long.for.the.width.of.any.phone.that.was.ever.sold", payload: { a: 1 } },
    { type: "subscription.configured", payload: { slug: "worker", target: { pull: true } } },
    { type: "schedule.configured", payload: { slug: "soon", after: "P1D", event: { type: "message" } } },
    { type: "webhook.configured", payload: { slug: "anyone" } },
  ]);
});

/** What is wider than the window, unless it can be scrolled where it stands. */
const overflowing = (page) =>
  page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const found = document.documentElement.scrollWidth > width ? ["the document"] : [];
    const scrolls = (element) => {
      for (let at = element.parentElement; at; at = at.parentElement) {
        if (getComputedStyle(at).overflowX !== "visible") return true;
      }
      return false;
    };
    for (const element of document.querySelectorAll("body *")) {
      const { right, left } = element.getBoundingClientRect();
      if ((right > width + 1 || left < -1) && element.checkVisibility() && !scrolls(element)) {
        if (!element.matches(".skip, .unseen")) found.push(element.outerHTML.slice(0, 120));
      }
    }
    return found;
  });

/** Controls that a finger would miss: lower than 36 pixels. */
const small = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("button, select, input, textarea, summary, [role=tab], [role=option]")]
      .filter((element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
      .map((element) => ({ element, box: element.getBoundingClientRect() }))
      .filter(({ element, box }) => box.width > 1 && box.height > 1 && !element.closest(".unseen"))
      // A box to tick is as large as its label.
      .filter(({ element }) => !(element.matches("[type=checkbox], [type=radio]") && element.closest("label")))
      .filter(({ element, box }) => box.height < 35.5 && !element.matches("[type=range]"))
      .map(({ element, box }) => `${Math.round(box.height)} px: ${element.outerHTML.slice(0, 120)}`),
  );

test("the list takes the whole width, each row two lines", async (t) => {
  const page = await openStream(t, stream, phone);
  await says(page, "live");
  await rowOf(page, 107);
  assert.deepEqual(await overflowing(page), []);
  assert.deepEqual(await small(page), []);
  const rows = await rowsOf(page);
  assert.ok(rows.every(({ height }) => Math.round(height) === 58));
  const boxes = await page.locator("#event-102").evaluate((row) => {
    const of = (name) => row.querySelector(name).getBoundingClientRect().toJSON();
    return { row: row.getBoundingClientRect().toJSON(), type: of(".type"), said: of(".said"), time: of(".time") };
  });
  assert.ok(boxes.type.bottom <= boxes.said.top + 1, "what it says stands below its type");
  assert.ok(Math.abs(boxes.type.top - boxes.time.top) < 6, "its time stands beside its type");
  assert.ok(boxes.row.width > 350, `${boxes.row.width} px wide`);
  const list = await page.locator("#events").boundingBox();
  assert.ok(list.height > 350, `the list is ${list.height} px high`);
  await screenshot(t, page, "phone-light");
});

test("in the dark it is dark", async (t) => {
  const page = await openStream(t, stream, { ...phone, colorScheme: "dark" });
  await rowOf(page, 107);
  const light = await page.evaluate(() => {
    const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
    return red + green + blue;
  });
  assert.ok(light < 200, String(light));
  await screenshot(t, page, "phone-dark");
});

test("the tree is a drawer that comes and goes", async (t) => {
  const page = await openStream(t, stream, phone);
  await says(page, "live");
  const tree = page.locator(".tree");
  assert.ok(!(await tree.isVisible()));
  await page.getByRole("button", { name: "Streams", exact: true }).tap();
  await tree.waitFor({ state: "visible" });
  assert.deepEqual(await overflowing(page), []);
  await screenshot(t, page, "phone-drawer");
  // It has the focus one frame after it is seen, and the keys with it.
  await until("it has the focus", () => page.evaluate(() => document.activeElement.closest(".tree") !== null));
  await page.keyboard.press("Escape");
  await tree.waitFor({ state: "hidden" });

  await page.getByRole("button", { name: "Streams", exact: true }).tap();
  await tree.waitFor({ state: "visible" });
  await tree.getByText("phone", { exact: true }).first().tap();
  await soon(async () => assert.equal(new URL(page.url()).pathname, "/streams/phone"));
  await tree.waitFor({ state: "hidden" });
});

test("an event opens as a sheet over the list, and closes again", async (t) => {
  const page = await openStream(t, stream, phone);
  await rowOf(page, 107);
  await page.locator("#event-102").tap();
  const panel = page.getByRole("complementary", { name: "Details" });
  await panel.waitFor();
  const box = await panel.boundingBox();
  assert.ok(box.width === 390 && box.height > 600, JSON.stringify(box));
  await page.locator("#panel-body").getByText("102 of").waitFor();
  assert.deepEqual(await overflowing(page), []);
  assert.deepEqual(await small(page), []);
  await screenshot(t, page, "phone-event");
  await page.getByRole("button", { name: "Close the panel" }).tap();
  await panel.waitFor({ state: "detached" });
  // The list is where it was.
  await rowOf(page, 102);
});

for (const panel of panels) {
  test(`the panel "${panel}" fits`, async (t) => {
    const page = await openStream(t, stream, { ...phone, query: { panel } });
    await says(page, "live");
    await knowsState(page);
    await isLoaded(page);
    assert.deepEqual(await overflowing(page), []);
    assert.deepEqual(await small(page), []);
    await screenshot(t, page, `phone-${panel}`);
  });
}

test("one writes to the stream, also while the keyboard takes half of the height", async (t) => {
  const own = await aStream(runtime);
  await own.append({
    type: "subscription.configured",
    payload: { slug: "helper", target: { agent: { api: "chat", model: "m", baseUrl: "http://127.0.0.1:9" } } },
  });
  const page = await openStream(t, own, phone);
  await says(page, "live");
  const field = page.locator("#composer-text");
  await field.tap();
  await page.setViewportSize({ width: 390, height: 460 });
  await field.fill("hello from a phone");
  await painted(page);
  const send = page.getByRole("button", { name: "Send" });
  for (const part of [field, send]) {
    const { x, y, width, height } = await part.boundingBox();
    assert.ok(x >= 0 && x + width <= 390 && y >= 0 && y + height <= 460, JSON.stringify({ x, y, width, height }));
  }
  assert.ok((await page.locator("#events").boundingBox()).height > 58, "some of the list is seen");
  await screenshot(t, page, "phone-composer");
  await send.tap();
  await until("it is in the list", async () =>
    (await rowsOf(page)).some(({ said }) => said.includes("hello from a phone")),
  );
});

test("held across, it fits as well", async (t) => {
  const page = await openStream(t, stream, { ...phone, width: 844, height: 390 });
  await rowOf(page, 107);
  assert.deepEqual(await overflowing(page), []);
  assert.ok((await page.locator("#events").boundingBox()).height > 100);
  await screenshot(t, page, "phone-across");
});

test("the page at home fits", async (t) => {
  const page = await aPage(t, `${runtime.url}/`, phone);
  await page.getByText("/phone", { exact: false }).first().waitFor();
  assert.deepEqual(await overflowing(page), []);
  assert.deepEqual(await small(page), []);
  await screenshot(t, page, "phone-home");
});

test("a finger scrolls the list, and following stops", async (t) => {
  const page = await openStream(t, stream, phone);
  await rowOf(page, 107);
  const wire = await page.context().newCDPSession(page);
  const touch = (type, ...touchPoints) => wire.send("Input.dispatchTouchEvent", { type, touchPoints });
  for (let swipe = 0; swipe < 3; swipe += 1) {
    await touch("touchStart", { x: 195, y: 250 });
    for (let y = 270; y < 650; y += 20) await touch("touchMove", { x: 195, y });
    await touch("touchEnd");
  }
  await soon(async () => assert.ok((await offsetsOf(page)).at(-1) < 100));
  const follow = page.getByRole("button", { name: "Follow" });
  await soon(async () => assert.equal(await follow.getAttribute("aria-pressed"), "false"));
});
