// The token: asked for once, kept for the session of a tab, in no URL. What it does not allow is said in words.
/* global document, history -- in what runs in the page */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { aPage, aRuntime, answered, pageOf, painted, scoped, screenshot, soon } from "./support.mjs";

const secret = "the-secret-of-this-test";
const runtime = await aRuntime({ after }, { token: secret });
const allow = [answered(401), answered(403), answered(404)];

const dialog = (page) => page.getByRole("dialog", { name: "This Tailrace asks for a token" });
const branch = (page, { path }) => page.locator(`.branch[data-path="${path}"]`);

async function give(page, token) {
  await dialog(page).getByLabel("Token").fill(token);
  await dialog(page).getByRole("button", { name: "Use it" }).click();
}

async function aStream() {
  const stream = runtime.stream();
  await stream.append({ type: "message", payload: { text: "hello" } });
  return stream;
}

test("the token is asked for once, kept for the session only, and never in a URL", async (t) => {
  const stream = await aStream();
  const page = await aPage(t, pageOf(stream), { allow });
  await dialog(page).waitFor();
  assert.equal(await dialog(page).getByLabel("Token").getAttribute("type"), "password");
  assert.equal(await dialog(page).getByLabel("Token").getAttribute("autocomplete"), "off");
  await screenshot(t, page, "token");
  await give(page, secret);
  await page.locator("#events .row").nth(1).waitFor();
  await branch(page, stream).waitFor();

  // It is in no place that outlives the tab, and nowhere on the page.
  const kept = await page.evaluate(() => ({
    local: JSON.stringify(localStorage),
    session: JSON.stringify(sessionStorage),
    cookies: document.cookie,
    page: document.documentElement.outerHTML,
    state: JSON.stringify(history.state),
  }));
  assert.match(kept.session, new RegExp(secret));
  for (const place of ["local", "cookies", "page", "state"])
    assert.doesNotMatch(kept[place], new RegExp(secret), place);

  await page.reload();
  await page.locator("#events .row").nth(1).waitFor();
  await painted(page);
  assert.equal(await dialog(page).count(), 0, "it is not asked for again");

  for (const url of [...page.asked, page.url()]) assert.doesNotMatch(url, new RegExp(`${secret}|bearer`, "i"));
  assert.ok(page.asked.some((url) => url.includes("live=true")));

  const another = await aPage(t, pageOf(stream), { allow });
  await dialog(another).waitFor();
});

test("a token that does not hold is not taken, and the person is told", async (t) => {
  const stream = await aStream();
  const page = await aPage(t, pageOf(stream), { allow });
  await dialog(page).waitFor();
  for (const wrong of ["nonsense", "žluťoučký", `${secret}x`]) {
    await give(page, wrong);
    await dialog(page)
      .getByRole("alert")
      .filter({ hasText: /does not hold|is no token/ })
      .waitFor();
    await soon(async () => assert.equal(await page.evaluate(() => sessionStorage.getItem("tailrace-token")), null));
  }
  await give(page, secret);
  await page.locator("#events .row").nth(1).waitFor();
});

test("a token that held once and does not any more is asked for anew", async (t) => {
  const stream = await aStream();
  const page = await aPage(t, pageOf(stream), { token: "an-old-one", allow });
  await dialog(page).getByRole("alert").filter({ hasText: "does not hold" }).waitFor();
  await give(page, secret);
  await page.locator("#events .row").nth(1).waitFor();
});

test("who closes the question is not asked again by itself, and may give a token later", async (t) => {
  const stream = await aStream();
  const page = await aPage(t, pageOf(stream), { allow });
  await dialog(page).waitFor();
  await page.keyboard.press("Escape");
  await dialog(page).waitFor({ state: "hidden" });
  await page.getByText("A token is needed").first().waitFor();
  await page.getByRole("button", { name: "Give a token" }).click();
  await give(page, secret);
  await page.locator("#events .row").nth(1).waitFor();
});

test("a token is forgotten when a person says so", async (t) => {
  const stream = await aStream();
  const page = await aPage(t, pageOf(stream), { token: secret, allow });
  await page.locator("#events .row").nth(1).waitFor();
  await page.getByRole("button", { name: "Forget the token" }).click();
  await dialog(page).waitFor();
  assert.equal(await page.evaluate(() => JSON.stringify(sessionStorage)), "{}");
  assert.doesNotMatch(await page.locator("#events").textContent(), /hello/);
  assert.equal(await branch(page, stream).locator(".count").textContent(), "", "nothing is known any more");
});

test("a token for a part of the tree sees that part, and is told so elsewhere", async (t) => {
  const [stream, other] = [await aStream(), await aStream()];
  await stream.below("child").append({ type: "message" });
  const token = await scoped(secret, { by: "anna", path: stream.path, can: ["read", "append"] });
  const page = await aPage(t, pageOf(stream), { token, allow });
  await branch(page, stream.below("child")).waitFor();
  assert.equal(await branch(page, stream).getAttribute("aria-level"), "1");
  assert.equal(await branch(page, { path: "/" }).count(), 0);
  await page.getByText(`anna: may read, append at ${stream.path} and below`).waitFor();

  await page.getByRole("navigation", { name: "Streams" }).getByRole("button", { name: "New stream" }).click();
  await page.getByRole("textbox", { name: "Path" }).fill(other.path);
  await page.getByText(`Your token is for ${stream.path} and below only.`).waitFor();
  await page.keyboard.press("Escape");

  await page.goto(pageOf(other));
  await page.getByText(`the token is for ${stream.path} and below`).first().waitFor();
  assert.equal(await dialog(page).count(), 0, "another token is not asked for");

  await page.goto(`${runtime.url}/`);
  await soon(async () => assert.deepEqual(await page.locator(".recent a").allTextContents(), [`${stream.path}/child`]));
  const children = page.asked.filter((url) => url.includes("/api/children/")).map((url) => new URL(url).pathname);
  assert.ok(children.every((path) => path.startsWith(`/api/children${stream.path}`)));
});

test("a token that may only read says that it may not delete", async (t) => {
  const stream = await aStream();
  const token = await scoped(secret, { by: "reader", can: ["read"] });
  const page = await aPage(t, pageOf(stream), { token, allow });
  await branch(page, stream).waitFor();
  await page.getByRole("button", { name: `Delete ${stream.path}` }).click();
  const question = page.getByRole("dialog", { name: "Delete a stream" });
  await question.getByText("it lacks the right “control”").waitFor();
  assert.equal(await question.getByRole("button", { name: "Delete" }).isDisabled(), true);
  await page.keyboard.press("Escape");

  await page.getByText("reader: may read at / and below").waitFor();
  assert.equal((await stream.call("GET", `/api/state${stream.path}`)).status, 200);
});

test("a token without the right to read says so where the tree would be", async (t) => {
  const token = await scoped(secret, { by: "writer", can: ["append"] });
  const page = await aPage(t, `${runtime.url}/`, { token, allow });
  await page.getByText("the token does not give the right read").first().waitFor();
  assert.equal(await dialog(page).count(), 0);
});

test("the lines for a terminal name the token, and do not have it in them", async (t) => {
  const page = await aPage(t, `${runtime.url}/`, { token: secret });
  const line = page.getByRole("region", { name: "Read them all" });
  assert.equal(
    await line.textContent(),
    `curl ${runtime.url}/api/streams/demo -H "Authorization: Bearer $TAILRACE_TOKEN"`,
  );
});

test("a hostile name in a token is text", async (t) => {
  const by = "<img src=x onerror=alert(1)>";
  const token = await scoped(secret, { by, can: ["read"] });
  const page = await aPage(t, `${runtime.url}/`, { token });
  await page.getByText(`${by}: may read at / and below`).waitFor();
  assert.equal(await page.locator(".token img").count(), 0);
});
