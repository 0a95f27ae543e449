// The state of a stream as it was, and what changed it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fits, runtime } from "./panels.mjs";
import { aStream, appendAll, openStream, phone, screenshot, soon } from "./support.mjs";

/** Its state changes at each event but the second. */
async function aHistory() {
  const stream = await aStream(runtime);
  await stream.append({ type: "message", payload: { text: "nothing of this is control" } });
  await stream.append({
    type: "stream.metadata-updated",
    payload: { metadata: { title: "A <b>title</b>", tags: ["a"] } },
  });
  await stream.append({
    type: "schedule.configured",
    payload: { slug: "daily", cron: "0 9 * * *", event: { type: "message" } },
  });
  await stream.append({ type: "stream.paused", payload: { reason: "lunch" } });
  await stream.append({ type: "stream.resumed" });
  await stream.append({ type: "schedule.removed", payload: { slug: "daily" } });
  await stream.append({ type: "stream.metadata-updated", payload: { metadata: { title: "Another", tags: null } } });
  return stream;
}
const at = { metadata: 4, schedule: 5, paused: 6, resumed: 7, removed: 8, last: 9 };
const field = (page) => page.getByRole("spinbutton", { name: "Event" });
const slider = (page) => page.getByRole("slider", { name: "After which event" });
const state = (page, offset) => page.getByRole("region", { name: `The state after event ${offset}` });
const lines = async (page, offset) => {
  const changes = page.getByRole("region", { name: `What changed at event ${offset}` });
  const texts = await changes.getByRole("listitem").allTextContents();
  return texts.map((text) => text.replaceAll(/\s+/g, " ").trim());
};

test("the state is seen as it was, and what changed there", async (t) => {
  const stream = await aHistory();
  const page = await openStream(t, stream, { query: { panel: "state" } });
  await state(page, at.last).waitFor();
  assert.match(await state(page, at.last).textContent(), /Pausedno.*titleAnother/);
  assert.deepEqual(await lines(page, at.last), [
    '~changed: metadata.title "A <b>title</b>" → "Another"',
    '−removed: metadata.tags ["a"]',
  ]);

  await field(page).fill(String(at.paused));
  await state(page, at.paused).waitFor();
  const then = await state(page, at.paused).textContent();
  assert.match(then, /Paused.*reasonlunch.*titleA <b>title<\/b>.*Schedules 1.*daily/s);
  assert.match((await lines(page, at.paused))[0], /~changed: paused null → \{"reason":"lunch"/);
  // The same as the API says.
  const { paused } = await stream.json("GET", `/api/state${stream.path}?at=${at.paused}`);
  assert.equal(paused.reason, "lunch");
  await screenshot(t, page, "state");

  await field(page).fill("3");
  await state(page, 3).waitFor();
  assert.match(await page.getByRole("region", { name: "What changed at event 3" }).textContent(), /Nothing\./);
});

test("one steps from control event to control event, and slides", async (t) => {
  const stream = await aHistory();
  const page = await openStream(t, stream, { query: { offset: at.schedule, panel: "state" } });
  await state(page, at.schedule).waitFor();
  assert.match((await lines(page, at.schedule))[0], /^\+added: schedules\.daily \{/);
  await page.getByRole("button", { name: "Next control event" }).click();
  await state(page, at.paused).waitFor();
  const back = page.getByRole("button", { name: "Previous control event" });
  for (const offset of [at.schedule, at.metadata, 2]) {
    await back.click();
    await state(page, offset).waitFor();
  }
  await slider(page).focus();
  await page.keyboard.press("End");
  await state(page, at.last).waitFor();
  await page.keyboard.press("ArrowLeft");
  await state(page, at.removed).waitFor();
  assert.deepEqual(
    (await lines(page, at.removed)).map((line) => line.slice(0, 25)),
    ["−removed: schedules.daily"],
  );

  // The list of them says what each changed, and leads there.
  const near = page.getByRole("region", { name: "Control events" });
  await soon(async () => assert.match(await near.textContent(), /stream\.paused.*lunch.*changed: paused/));
  await near.getByRole("button", { name: /stream\.paused/ }).click();
  await state(page, at.paused).waitFor();
  await page.getByRole("button", { name: "Show in the log" }).click();
  assert.match(page.url(), new RegExp(`offset=${at.paused}&panel=state`));
  await page.locator(`.row[data-offset="${at.paused}"][data-chosen=true]`).waitFor();
});

test("at the newest it goes along, and at any other it stays", async (t) => {
  const stream = await aHistory();
  const page = await openStream(t, stream, { query: { panel: "state" } });
  await state(page, at.last).waitFor();
  await stream.append({ type: "stream.paused", payload: { reason: "supper" } });
  await state(page, at.last + 1).waitFor();
  assert.match(await state(page, at.last + 1).textContent(), /supper/);

  await field(page).fill(String(at.paused));
  await state(page, at.paused).waitFor();
  await stream.append({ type: "stream.resumed" });
  await page.getByText(`of ${at.last + 2}`).waitFor();
  assert.match(await state(page, at.paused).textContent(), /lunch/);
  await page.getByRole("button", { name: "Now", exact: true }).click();
  await state(page, at.last + 2).waitFor();
  assert.match(await state(page, at.last + 2).textContent(), /Pausedno/);
});

test("a hand on the slider asks only where it rests", async (t) => {
  const stream = await aStream(runtime);
  await appendAll(
    stream,
    Array.from({ length: 400 }, (_, n) => ({ type: "message", payload: { n } })),
  );
  const page = await openStream(t, stream, { query: { panel: "state" } });
  await state(page, 402).waitFor();
  const before = page.asked.length;
  // As fast as a hand.
  await slider(page).evaluate((input) => {
    for (let value = 401; value >= 100; value -= 1) {
      input.value = String(value);
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }
  });
  await state(page, 100).waitFor();
  const asked = page.asked.slice(before).filter((url) => url.includes("/api/state/"));
  const passed = asked.map((url) => Number(new URL(url).searchParams.get("at"))).filter((at) => at > 100);
  assert.deepEqual(passed, []);
});

test("the state is there as JSON, byte for byte as the API says it", async (t) => {
  const stream = await aHistory();
  const page = await openStream(t, stream, { query: { offset: at.schedule, panel: "state" }, ...phone });
  await state(page, at.schedule).waitFor();
  await page.getByText("As JSON").click();
  await page.getByRole("button", { name: "Copy the state as JSON" }).click();
  const { url } = stream;
  const said = await (await fetch(`${url.replace("/api/streams", "/api/state")}?at=${at.schedule}`)).text();
  await soon(async () => assert.equal(await page.evaluate(() => navigator.clipboard.readText()), said));
  assert.ok(await fits(page));
});
