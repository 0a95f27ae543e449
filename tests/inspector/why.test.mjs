// Why something happened, and what followed from it, in any stream.
/* global document -- in what runs in the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import { toolConfigured, wants } from "../agents/support.mjs";
import { aConversation, fits, provider, runtime } from "./panels.mjs";
import { aStream, appendAll, openStream, phone, screenshot, soon } from "./support.mjs";

const chain = (page) => page.getByRole("list", { name: "The chain of causes" });
const links = (page) => chain(page).getByRole("link");
/** The graph, as `12 agent.input-added` for each row. */
const shown = (page) =>
  links(page).evaluateAll((all) =>
    all.map((link) => [".why-offset", ".why-type"].map((name) => link.querySelector(name).textContent).join(" ")),
  );
const told = (page) => page.locator(".why-told").textContent();
/** Waits until nothing more is looked for. */
const looked = (page) => page.locator(".why[aria-busy=false]").waitFor();
const present = (page) => chain(page).locator("[aria-current]");

test("from an answer one comes to what somebody said, through the stream of a sub-agent, and back", async (t) => {
  const { stream, input, answer, poet } = await aConversation();
  const page = await openStream(t, stream, { query: { offset: answer.offset } });
  await page.getByRole("tab", { name: "Why" }).click();
  await looked(page);

  const causes = await links(page).allTextContents();
  assert.match(causes[0], new RegExp(`^${input.offset}agent\\.input-added.*Have a poem written`));
  assert.match(causes.at(-1), new RegExp(`^${answer.offset}agent\\.output-added.*Here: Roses`));
  const types = (await shown(page)).map((row) => row.split(" ")[1]);
  const way = ["input-added", "turn-started", "output-added"].map((type) => `agent.${type}`);
  const back = ["tool.completed", "agent.turn-started", "agent.output-added"];
  assert.deepEqual(types, [...way, "tool.requested", ...way, ...back]);
  assert.match(
    await told(page),
    new RegExp(`goes back to event ${input.offset}, 9 steps up: from outside.*Nothing followed`),
  );
  assert.match(await present(page).textContent(), new RegExp(`^${answer.offset}`));
  assert.equal(await chain(page).getByText(poet.path, { exact: true }).count(), 1, "where it goes to another stream");
  await screenshot(t, page, "why-upward");

  await links(page).first().click();
  await soon(async () => assert.match(await present(page).textContent(), /Have a poem written/));
  await looked(page);
  assert.match(page.url(), new RegExp(`offset=${input.offset}&panel=why`));
  const all = (await links(page).allTextContents()).length;
  assert.match(
    await told(page),
    new RegExp(`Nothing caused it: it came from outside\\.${all - 1} events followed, within .*, in 2 streams`),
  );
  await screenshot(t, page, "why-downward");

  // An event of the sub-agent is in its own stream.
  await links(page).filter({ hasText: "Roses are red" }).first().click();
  await page.waitForURL(new RegExp(`${poet.path}\\?offset=\\d+&panel=why$`));
  await looked(page);
  assert.match(await present(page).textContent(), /agent\.output-added.*Roses are red/);
  assert.match(await told(page), new RegExp(`goes back to event ${input.offset} of ${stream.path}, 6 steps up`));
  await page.goBack();
  await soon(async () => assert.match(await present(page).textContent(), /Have a poem written/));
});

/** An agent that deployed what a person approved. The tool is a person as well: both answer without naming a cause. */
async function anApproval({ result = "deployed" } = {}) {
  const model = provider.model(({ messages }) =>
    messages.at(-1).role === "tool" ? { content: "Done." } : { toolCalls: [wants("deploy", { to: "prod" })] },
  );
  const stream = runtime.stream();
  await stream.append(toolConfigured("deploy", { approval: true }));
  await stream.agent("bot", model.of("chat"));
  const input = await stream.input("Deploy.");
  const question = await stream.event("tool.approval-requested");
  const { callId } = question.payload;
  const approved = await stream.append({ type: "tool.approved", payload: { callId } });
  await stream.event("tool.requested");
  const completed = await stream.append({ type: "tool.completed", payload: { callId, result } });
  await stream.outputs(2);
  return { stream, input, question, approved, completed };
}

/** The types of the rows that are marked as answers. */
const answering = (page) =>
  links(page)
    .filter({ has: page.getByText("answers", { exact: true }) })
    .locator(".why-type")
    .allTextContents();

test("from what a person approved one comes to the question, and on to what was said first", async (t) => {
  const { stream, input, question, approved, completed } = await anApproval();
  const page = await openStream(t, stream, { query: { offset: completed.offset, panel: "why" } });
  await looked(page);
  const types = (await shown(page)).map((row) => row.split(" ")[1]);
  const way = ["agent.input-added", "agent.turn-started", "agent.output-added", "tool.approval-requested"];
  const call = ["tool.approved", "tool.requested", "tool.completed"];
  assert.deepEqual(types, [...way, ...call]);
  assert.match(await told(page), new RegExp(`goes back to event ${input.offset}, 6 steps up: from outside`));
  assert.deepEqual(await answering(page), ["tool.approved", "tool.completed"]);
  const row = links(page).filter({ hasText: "tool.approved" });
  assert.match(await row.textContent(), /answers.*after what it answers/);
  assert.equal(await page.locator(".why-graph path[data-answer=true]").count(), 2);
  await screenshot(t, page, "why-answers");

  await row.click();
  await soon(async () => assert.match(await present(page).textContent(), /tool\.approved/));
  await looked(page);
  assert.match(await told(page), new RegExp(`goes back to event ${input.offset}, 4 steps up`));
  assert.equal((await shown(page))[3], `${question.offset} tool.approval-requested`);

  await links(page).first().click();
  await soon(async () => assert.match(await present(page).textContent(), /Deploy\./));
  await looked(page);
  await soon(async () => assert.match(await told(page), /8 events followed/));
  assert.ok((await shown(page)).includes(`${approved.offset} tool.approved`));
  assert.deepEqual(await answering(page), ["tool.approved", "tool.completed"]);
});

test("an answer that is large is an answer all the same, also in the middle of the way", async (t) => {
  const { stream, input } = await anApproval({ result: "x".repeat(70_000) });
  const { offset } = (await stream.events()).findLast(({ type }) => type === "agent.output-added");
  const page = await openStream(t, stream, { query: { offset, panel: "why" } });
  await looked(page);
  assert.match(await told(page), new RegExp(`goes back to event ${input.offset}, `));
});

test("a decision about a call that nobody asked for says so", async (t) => {
  const stream = await aStream(runtime);
  const { offset } = await stream.append({ type: "tool.denied", payload: { callId: "unknown.0" } });
  const page = await openStream(t, stream, { query: { offset, panel: "why" } });
  await looked(page);
  assert.match(await chain(page).textContent(), /no question about that call was found/);
  assert.deepEqual(await shown(page), [`${offset} tool.denied`]);
});

test("the key w asks why, and the graph is walked with the keyboard", async (t) => {
  const stream = await aStream(runtime);
  const { offset: first } = await stream.append({ type: "message", payload: { text: "first" } });
  const { offset } = await stream.append({ type: "message", payload: { text: "second" }, cause: { offset: first } });
  const page = await openStream(t, stream, { query: { offset } });
  await page.keyboard.press("w");
  await looked(page);
  assert.deepEqual(await shown(page), [`${first} message`, `${offset} message`]);
  await links(page).first().focus();
  await page.keyboard.press("ArrowDown");
  assert.equal(await present(page).evaluate((link) => link === document.activeElement), true);
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await soon(async () => assert.match(await present(page).textContent(), /first/));
  assert.equal(await present(page).evaluate((link) => link === document.activeElement), true, "the focus stays there");
});

test("what followed in other streams is found: below, beside, and where an event says so", async (t) => {
  const above = runtime.stream();
  const stream = above.below("one");
  const { offset } = await stream.append({ type: "asked", payload: { streamPath: "/elsewhere/far" } });
  const cause = { streamPath: stream.path, offset };
  const elsewhere = runtime.stream("/elsewhere/far");
  await stream.below("child").append({ type: "below", cause });
  await above.below("two").append({ type: "beside", cause });
  const { offset: far } = await elsewhere.append({ type: "far", cause });
  await elsewhere.append({ type: "further", cause: { offset: far } });
  const page = await openStream(t, stream, { query: { offset, panel: "why" } });
  await looked(page);
  const types = await chain(page).locator(".why-type").allTextContents();
  assert.deepEqual(types.sort(), ["asked", "below", "beside", "far", "further"]);
  assert.match(await told(page), /4 events followed, within .*, in 3 streams/);
});

test("where nothing points to, one can look in more streams", async (t) => {
  const stream = runtime.stream(`/lonely-${Date.now()}/one`);
  const { offset } = await stream.append({ type: "asked" });
  await runtime
    .stream(`/hidden-${Date.now()}/a/b`)
    .append({ type: "heard", cause: { streamPath: stream.path, offset } });
  const page = await openStream(t, stream, { query: { offset, panel: "why" } });
  await looked(page);
  assert.match(await told(page), /Nothing followed from it/);
  const more = page.getByRole("button", { name: "Look in more streams" });
  await soon(async () => {
    // It is gone as soon as there are no more.
    await more.click({ timeout: 500 }).catch(() => {});
    assert.match(await told(page), /1 event followed/);
  });
});

test("a thousand followers are folded, and unfolded at will", async (t) => {
  const stream = await aStream(runtime);
  const { offset } = await stream.append({ type: "asked" });
  const answers = Array.from({ length: 1_000 }, (_, n) => ({
    type: "answered",
    payload: { text: `answer ${n}` },
    cause: { offset },
  }));
  await appendAll(stream, answers);
  const page = await openStream(t, stream, { query: { offset, panel: "why" } });
  await looked(page);
  // All that a page holds is known; beyond it the event is asked for by name.
  await soon(async () => assert.match(await told(page), /1,000 events followed/));
  assert.equal(await links(page).count(), 9);
  const more = chain(page).getByRole("button", { name: /more that followed from event/ });
  assert.equal(await more.textContent(), "992 more");
  await more.click();
  assert.equal(await more.textContent(), "942 more");
  assert.equal(await links(page).count(), 59);
  assert.ok(await fits(page));
});

test("a cause that is gone is said", async (t) => {
  const [gone, stream] = [runtime.stream(), await aStream(runtime)];
  const { offset: there } = await gone.append({ type: "asked" });
  const { offset } = await stream.append({ type: "answered", cause: { streamPath: gone.path, offset: there } });
  await gone.delete();
  const page = await openStream(t, stream, { query: { offset, panel: "why" }, allow: [/status of 404/] });
  await looked(page);
  assert.match(await chain(page).textContent(), new RegExp(`Caused by event ${there} of ${gone.path}, which is gone`));
  assert.deepEqual(await shown(page), [`${offset} answered`]);
});

test("what follows while one looks appears", async (t) => {
  const stream = await aStream(runtime);
  const { offset } = await stream.append({ type: "asked" });
  const page = await openStream(t, stream, { query: { offset, panel: "why" } });
  await looked(page);
  assert.match(await told(page), /Nothing followed/);
  await stream.append({ type: "answered", cause: { offset } });
  await soon(async () => assert.match(await told(page), /1 event followed/));
  assert.deepEqual((await shown(page)).at(-1), `${offset + 1} answered`);
});

test("whatever an event says is text in the graph, and it fits on a phone", async (t) => {
  const stream = await aStream(runtime);
  const markup = '<img src=x onerror="alert(1)">';
  const { offset } = await stream.append({
    type: `<b>${"wide".repeat(50)}</b>`,
    payload: { text: markup.repeat(20) },
  });
  let at = offset;
  for (let depth = 0; depth < 30; depth += 1) {
    const cause = { offset: at };
    await stream.append({ type: "branch", payload: { text: "unbroken".repeat(40) }, cause });
    ({ offset: at } = await stream.append({ type: "trunk", payload: { text: markup }, cause }));
  }
  const page = await openStream(t, stream, { query: { offset, panel: "why" }, ...phone });
  await looked(page);
  assert.equal(await links(page).count(), 61);
  assert.ok(await fits(page));
  assert.equal(await chain(page).locator("img, b").count(), 0);
  await screenshot(t, page, "why-phone");
});
