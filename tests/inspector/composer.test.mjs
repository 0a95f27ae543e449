// The composer, as a person uses it: a message to the agent, and any event as JSON.
/* global document, history, dispatchEvent, PopStateEvent -- in what runs in the page */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  aRuntime,
  aStream,
  agentConfigured,
  answered,
  openStream,
  aPage,
  pageOf,
  screenshot,
  soon,
  until,
} from "./support.mjs";
import { templates, textOf, titleOf } from "../../inspector/src/hands/templates.ts";

// What a template names must be there.
const TAILRACE_SECRET_OPENAI = JSON.stringify({ value: "sk-test", send: ["api.openai.com"] });
const runtime = await aRuntime({ after }, { vars: { TAILRACE_SECRET_OPENAI } });

/** An agent whose model is never reached: what is said to it is all that counts here. */
const anAgent = (slug) => agentConfigured(slug, { api: "chat", model: "none", baseUrl: "http://127.0.0.1:9/v1" });

const message = (page) => page.locator("#composer-text");
const code = (page) => page.locator(".editor .cm-content");
const verdict = (page) => page.locator("#event-verdict");

/** Turns to the editor and waits until it is there. */
async function writeEvent(page) {
  await page.locator("#composer-event").click();
  await code(page).waitFor();
}

/** Puts a text in place of all that the editor holds. */
async function replace(page, text) {
  await code(page).click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(typeof text === "string" ? text : JSON.stringify(text));
}

const saysOf = (page, words) => soon(async () => assert.match((await verdict(page).textContent()) ?? "", words));
const last = async (stream) => (await stream.events()).at(-1);

test("Enter sends what is written as a message, and the page shows which event it became", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream);
  await page.keyboard.press("c");
  await page.keyboard.type("hello there");
  await page.keyboard.press("Enter");

  await page.locator(".notices").getByRole("link", { name: "event 3" }).waitFor();
  const { type, payload } = await last(stream);
  assert.deepEqual({ type, payload }, { type: "message", payload: { text: "hello there" } });
  assert.equal(await message(page).inputValue(), "");
  await page.locator(".notices a").click();
  await page.waitForURL(/offset=3/);
});

test("Shift and Enter begins a new line, and the field grows with it", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream);
  const { height: before } = await message(page).boundingBox();
  await message(page).fill("one");
  await message(page).press("Shift+Enter");
  await page.keyboard.type("two");
  await soon(async () => assert.ok((await message(page).boundingBox()).height > before));
  assert.equal((await last(stream)).offset, 2, "nothing is sent yet");
  await page.keyboard.press("Enter");
  await until("it is sent", async () => (await last(stream)).payload.text === "one\ntwo");
  await soon(async () => assert.equal((await message(page).boundingBox()).height, before));
});

test("Enter that chooses a word of an input method sends nothing", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream);
  await message(page).fill("にほ");
  await message(page).dispatchEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true });
  await message(page).press("End");
  await page.keyboard.type("ん");
  assert.equal(await message(page).inputValue(), "にほん");
  await page.keyboard.press("Enter");
  const { payload } = await until("it is sent", async () => (await last(stream)).type === "message" && last(stream));
  assert.equal(payload.text, "にほん");
  assert.equal((await stream.events("message")).length, 1);
});

test("what is said goes to the agent, and with several to the one that is chosen", async (t) => {
  const stream = await aStream(runtime);
  await stream.append(anAgent("anna"));
  const page = await openStream(t, stream);
  await page.getByLabel("Say something to anna").fill("to the only one");
  await page.keyboard.press("Enter");
  const [first] = await stream.until("agent.input-added");
  assert.deepEqual(first.payload, { content: "to the only one" });

  await stream.append(anAgent("bert"));
  await page.getByLabel("To", { exact: true }).selectOption("bert");
  await message(page).fill("only you");
  await page.keyboard.press("Enter");
  const [, second] = await stream.until("agent.input-added", 2);
  assert.deepEqual(second.payload, { content: "only you", to: "bert" });

  await page.getByLabel("To", { exact: true }).selectOption({ label: "all agents" });
  await message(page).fill("everybody");
  await page.keyboard.press("Enter");
  const third = (await stream.until("agent.input-added", 3))[2];
  assert.deepEqual(third.payload, { content: "everybody" });
});

test("messages land in the order in which they were sent", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream);
  await message(page).focus();
  for (let n = 0; n < 8; n += 1) {
    await page.keyboard.type(`m${n}`);
    await page.keyboard.press("Enter");
  }
  const texts = (await stream.until("message", 8)).map(({ payload }) => payload.text);
  assert.deepEqual(texts, ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"]);
});

test("the first message makes the stream", async (t) => {
  const stream = runtime.stream();
  const page = await aPage(t, pageOf(stream), { allow: [answered(404)] });
  await message(page).fill("the first");
  await page.keyboard.press("Enter");
  const [{ offset }] = await stream.until("message");
  assert.equal(offset, 2);
});

test("an event is written as JSON, judged by the server as one types, and appended by Ctrl and Enter", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream, { allow: [answered(422)] });
  await writeEvent(page);
  await replace(page, {
    type: "schedule.configured",
    payload: { slug: "a b", every: "PT1M", event: { type: "tick" } },
  });
  await saysOf(page, /^payload\.slug: 1 to 64 characters/);
  const marked = page.locator(".editor .cm-lintRange-error");
  assert.equal((await marked.allTextContents()).join(""), '"slug":"a b"');
  await screenshot(t, page, "composer-wrong");

  await replace(page, { type: "schedule.configured", payload: { slug: "a", every: "PT1M", event: { type: "tick" } } });
  await saysOf(page, /would take it/);
  assert.equal(await marked.count(), 0);
  assert.equal((await last(stream)).offset, 2, "looking at it writes nothing");

  await page.keyboard.press("ControlOrMeta+Enter");
  await saysOf(page, /^Appended: event 3/);
  assert.equal((await last(stream)).type, "schedule.configured");
  await page.locator(".notices").getByRole("link", { name: "event 3" }).waitFor();
});

test("text that is no JSON is marked, and cannot be appended", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream);
  await writeEvent(page);
  await replace(page, '{"type": "a", "payload": }');
  await saysOf(page, /JSON|Unexpected/);
  assert.ok(await page.getByRole("button", { name: "Append" }).isDisabled());
  await page.locator(".editor .cm-lint-marker-error").waitFor();
  assert.ok(!page.asked.some((url) => url.includes("check=true") && url.includes("payload")));
});

test("several events are appended as one, and the bad one among them is found", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream, { allow: [answered(422), answered(400)] });
  await writeEvent(page);
  await replace(page, [{ type: "one" }, { type: "stream.paused", payload: { reason: 7 } }]);
  await saysOf(page, /payload\.reason/);
  assert.equal((await page.locator(".editor .cm-lintRange-error").allTextContents()).join(""), '"reason":7');
  await replace(page, [{ type: "one" }, { type: "two" }]);
  await saysOf(page, /would take it/);
  await page.getByRole("button", { name: "Append" }).click();
  await saysOf(page, /^Appended: event 3 to 4/);
  assert.deepEqual(await stream.types(2), ["one", "two"]);
});

test("a number that JavaScript cannot hold is appended as it was written", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream);
  await writeEvent(page);
  await replace(page, '{"type": "number", "payload": 12345678901234567890.10}');
  await page.getByRole("button", { name: "Append" }).click();
  await saysOf(page, /^Appended/);
  const stored = await (await stream.call("GET", `/api/streams${stream.path}?types=number`)).text();
  assert.match(stored, /"payload":12345678901234567890\.10/);
});

test("names of types and fields are offered while one types", async (t) => {
  const stream = await aStream(runtime);
  await stream.append({ type: "subway.arrived" });
  const page = await openStream(t, stream, { allow: [answered(422)] });
  await writeEvent(page);
  await replace(page, "");
  await page.keyboard.type('{"type": "sub');
  const options = page.locator(".editor .cm-tooltip-autocomplete li");
  await soon(async () => {
    const offered = (await options.allTextContents()).join(" ");
    assert.match(offered, /subway\.arrived/);
    assert.match(offered, /subscription\.configured/);
  });
  await options.getByText('"subscription.resumed"').click();
  await page.keyboard.type(', "payload": {"sk');
  await options.getByText('"skip"').click();
  await soon(async () =>
    assert.equal(await code(page).textContent(), '{"type": "subscription.resumed", "payload": {"skip": }}'),
  );
});

test("Escape leaves the editor, so that Tab is no trap", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream);
  await writeEvent(page);
  await code(page).focus();
  await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.activeElement.classList.contains("editor")), "Tab indents");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Append");

  // From anywhere else the key that leads to the composer leads to the editor.
  const text = await code(page).textContent();
  await page.locator("#events").focus();
  await page.keyboard.press("c");
  assert.ok(await page.evaluate(() => document.activeElement.classList.contains("editor")));
  assert.ok(await page.evaluate(() => document.activeElement.shadowRoot.activeElement.isContentEditable));
  assert.equal(await code(page).textContent(), text);
});

test("drafts stay: of a message and of an event, while one looks at other things", async (t) => {
  const stream = await aStream(runtime);
  const other = await aStream(runtime);
  await stream.append({ type: "message", payload: { text: "look at me" } });
  const page = await openStream(t, stream, { allow: [answered(422)] });
  await message(page).fill("half a mess");
  await writeEvent(page);
  await replace(page, '{"type": "half.an.event"}');
  await page.locator("#event-3").click();
  await page.waitForURL(/offset=3/);
  await page.locator("#composer-message").click();
  assert.equal(await message(page).inputValue(), "half a mess");
  await page.evaluate((path) => history.pushState(null, "", path), new URL(pageOf(other)).pathname);
  await page.evaluate(() => dispatchEvent(new PopStateEvent("popstate")));
  await soon(async () => assert.equal(await message(page).inputValue(), "", "another stream has a draft of its own"));
  await page.goBack();
  await soon(async () => assert.equal(await message(page).inputValue(), "half a mess"));
  await writeEvent(page);
  assert.equal(await code(page).textContent(), '{"type": "half.an.event"}');
});

const drafts = (page) => page.evaluate(() => sessionStorage.getItem("tailrace-drafts"));

test("drafts survive that the page is loaded anew, each with its stream, until they are appended", async (t) => {
  const stream = await aStream(runtime);
  const other = await aStream(runtime);
  const page = await openStream(t, stream, { allow: [answered(422)] });
  await message(page).fill("half a mess");
  await writeEvent(page);
  await replace(page, '{"type": "half.an.event"}');
  await page.reload();
  await code(page).waitFor();
  assert.equal(await code(page).textContent(), '{"type": "half.an.event"}');
  await page.locator("#composer-message").click();
  assert.equal(await message(page).inputValue(), "half a mess");
  await page.goto(pageOf(other));
  await message(page).waitFor();
  assert.equal(await message(page).inputValue(), "");

  await page.goto(pageOf(stream));
  await message(page).press("Enter");
  await stream.until("message");
  await writeEvent(page);
  await saysOf(page, /would take it/);
  await page.getByRole("button", { name: "Append" }).click();
  await saysOf(page, /^Appended/);
  await page.locator("#composer-message").click();
  await page.reload();
  await message(page).waitFor();
  assert.equal(await message(page).inputValue(), "");
  await writeEvent(page);
  assert.match(await code(page).textContent(), /"hello"/, "it begins with the example again");
  await page.locator("#composer-message").click();
  await soon(async () => assert.equal(await drafts(page), null));
});

test("a draft that is too large lasts as long as the page", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream);
  await message(page).fill("half a mess");
  await soon(async () => assert.match((await drafts(page)) ?? "", /half a mess/));
  await message(page).fill("x".repeat(600_000));
  await page.reload();
  await message(page).waitFor();
  assert.equal(await message(page).inputValue(), "");
});

test("a template is put into the editor, and what stood there comes back by undoing", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream);
  await writeEvent(page);
  await replace(page, '{"type": "mine"}');
  await page.getByLabel("Begin with a template").selectOption("breaker.configured");
  await soon(async () => assert.match(await code(page).textContent(), /breaker\.configured/));
  await saysOf(page, /would take it/);
  await page.keyboard.press("ControlOrMeta+z");
  await soon(async () => assert.equal(await code(page).textContent(), '{"type": "mine"}'));
});

test("every template is an event that the server takes as it stands", async () => {
  const known = new Set(templates.map(titleOf));
  assert.equal(known.size, templates.length, "no title is given twice");
  for (const template of templates) {
    const stream = await aStream(runtime);
    if (template.type === "subscription.resumed") {
      await stream.append({ type: "subscription.configured", payload: { slug: "worker", target: { pull: true } } });
    }
    const response = await stream.call("POST", `/api/streams${stream.path}`, textOf(template));
    const answer = await response.json();
    assert.equal(response.status, 200, `${titleOf(template)}: ${answer.detail}`);
    assert.equal(answer.event.type, template.type);
    assert.deepEqual(answer.event.payload, template.payload);
  }
});

test("there is a template for every control event that a person may write", async () => {
  const { readFileSync } = await import("node:fs");
  const docs = readFileSync(new URL("../../docs/events.md", import.meta.url), "utf8");
  const rows = [...docs.matchAll(/^\| `([a-z.-]+)` \| (?:you|.*\byou\b)[^|]*\|/gm)].map(([, type]) => type);
  assert.ok(rows.length > 15, "the table was read");
  const types = new Set(templates.map(({ type }) => type));
  assert.deepEqual(
    rows.filter((type) => !types.has(type)),
    [],
  );
});

test("while the stream is paused the composer says so, and resumes it", async (t) => {
  const stream = await aStream(runtime);
  await stream.append({ type: "stream.paused", payload: { reason: "lunch" } });
  const page = await openStream(t, stream);
  const composer = page.getByRole("region", { name: "Write to the stream" });
  await composer.getByText("appends are refused").waitFor();
  await message(page).fill("not now");
  await page.keyboard.press("Enter");
  assert.equal(await message(page).inputValue(), "not now");
  await writeEvent(page);
  await saysOf(page, /refused while the stream is paused/);
  await composer.getByRole("button", { name: "Resume" }).click();
  await composer.getByText("appends are refused").waitFor({ state: "detached" });
  await saysOf(page, /would take it/);
  assert.equal((await last(stream)).type, "stream.resumed");
});

test("what the server refuses of a message stands in the field again", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream, { allow: [answered(413)] });
  const text = "x".repeat(1_100_000);
  await message(page).fill(text);
  await message(page).press("Enter");
  await page.locator(".notices li[data-error=true]").waitFor();
  assert.equal((await message(page).inputValue()).length, text.length);
});
