// The agents of a stream, what they are at, and what exactly a model was sent at each turn.
import assert from "node:assert/strict";
import { test } from "node:test";
import { toolConfigured } from "../agents/support.mjs";
import { aConversation, fits, provider, runtime } from "./panels.mjs";
import { aPage, aStream, openStream, pageOf, phone, screenshot, soon } from "./support.mjs";

const agent = (page, slug = "guide") => page.getByRole("region", { name: `Agent ${slug}` });
const turn = (page, number, slug = "guide") => page.getByRole("article", { name: `Turn ${number} of ${slug}` });

test("the exact request of a turn is seen: byte for byte what the provider was sent", async (t) => {
  const { stream, model, poet } = await aConversation();
  const page = await openStream(t, stream, { query: { panel: "agents" } });
  await agent(page)
    .getByRole("button", { name: /Turn 2/ })
    .click();
  const second = turn(page, 2);
  await second.getByText("as it was sent", { exact: true }).waitFor();

  const sent = model.requests.at(-1);
  await second.getByText(/^Body, byte for byte/).click();
  assert.equal(await second.getByLabel("The body, byte for byte").textContent(), sent.body);
  await second.getByRole("button", { name: "Copy the body as it was sent" }).click();
  await soon(async () => assert.equal(await page.evaluate(() => navigator.clipboard.readText()), sent.body));

  const talk = second.getByRole("list", { name: "The conversation that the model was sent" });
  const said = await talk.locator("> li").allTextContents();
  assert.deepEqual(
    said.map((text) => text.replace(/\{[^]*\}/, "{…}")),
    [
      "systemBe <b>brief</b>.",
      "userHave a poem written.",
      "assistantI ask a poet.calls spawn{…}",
      "toolresult of spawnRoses are red.",
    ],
  );
  await soon(async () => assert.match(await second.textContent(), /The answer.*Here: Roses are red/));
  assert.match(await second.textContent(), / ms · .* tokens · .*finish reason stop/);
  await second.getByText("Method, URL and headers").click();
  const posted = new RegExp(`POST ${sent.url.length > 0 ? model.baseUrl : ""}/chat/completions`);
  await soon(async () => assert.match(await second.textContent(), posted));
  await screenshot(t, page, "turn");

  await page.getByRole("button", { name: "Previous turn" }).click();
  const first = turn(page, 1);
  await soon(async () => assert.match(await first.textContent(), /spawn\(.*tool\.completed.*Roses/));
  // Its sub-agent is a link away, and had the same harness.
  await first.getByRole("link", { name: poet.path }).click();
  await page.waitForURL(new RegExp(`${poet.path}$`));
});

test("from the event that began it a turn is one link away", async (t) => {
  const { stream } = await aConversation();
  const [started] = await stream.until("agent.turn-started");
  const page = await aPage(t, pageOf(stream, { offset: started.offset, panel: "agents" }));
  await turn(page, 1).getByText("as it was sent", { exact: true }).waitFor();
  await turn(page, 1)
    .getByRole("link", { name: `event ${started.payload.upTo}` })
    .click();
  await page.waitForURL(new RegExp(`offset=${started.payload.upTo}$`));
});

test("what an agent is at is said as it changes", async (t) => {
  const asked = Promise.withResolvers();
  const model = provider.scripted(async ({ response, json }) => {
    const last = json.messages.at(-1);
    if (last.role !== "tool") await asked.promise;
    const delta =
      last.role === "tool"
        ? { content: "Booked." }
        : { tool_calls: [{ index: 0, id: "c", type: "function", function: { name: "book", arguments: "{}" } }] };
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta }] })}\n\n`);
    const finish = last.role === "tool" ? "stop" : "tool_calls";
    response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: finish }] })}\n\n`);
    response.end("data: [DONE]\n\n");
  });
  const stream = runtime.stream();
  await stream.append(toolConfigured("book", { approval: true }));
  await stream.agent("guide", model.of("chat"));
  const page = await openStream(t, stream, { query: { panel: "agents" } });
  const is = (words) => agent(page).getByRole("status").filter({ hasText: words }).waitFor();
  await is("idle");
  await stream.input("Book it.");
  await is("asking the model");
  asked.resolve();
  await is("waits for approval");
  const { payload } = await stream.event("tool.approval-requested");
  await stream.append({ type: "tool.approved", payload: { callId: payload.callId } });
  await is("waits for tools");
  await stream.append({ type: "tool.completed", payload: { callId: payload.callId, result: "done" } });
  await stream.outputs(2);
  await is("idle");
  const turns = agent(page).getByRole("button", { name: /^Turn \d/ });
  await soon(async () => assert.equal(await turns.count(), 2));
  await stream.append({ type: "stream.paused" });
  await agent(page).getByText("the stream is paused").waitFor();
  await screenshot(t, page, "agents");
});

test("a long conversation and a long request are folded, and fit on a phone", async (t) => {
  const stream = await aStream(runtime);
  const model = provider.model({ content: "Yes." });
  await stream.agent("guide", model.of("chat", { system: "<script>alert(1)</script>".repeat(2_000) }));
  const said = Array.from({ length: 40 }, (_, n) => ({
    type: "agent.context-added",
    payload: { content: `${"wide".repeat(60)} ${n}` },
  }));
  await stream.append(...said, { type: "agent.input-added", payload: { content: "Well?" } });
  await stream.outputs(1);
  const [started] = await stream.until("agent.turn-started");
  const page = await openStream(t, stream, { query: { offset: started.offset, panel: "agents" }, ...phone });
  const only = turn(page, 1);
  await only.getByText("as it was sent", { exact: true }).waitFor();
  const talk = only.getByRole("list", { name: "The conversation that the model was sent" });
  const more = talk.getByRole("button", { name: /more messages/ });
  await more.click();
  assert.ok((await talk.textContent()).includes("Well?"));
  await only.getByText(/^Body, byte for byte/).click();
  await only.getByText("Body, indented").click();
  assert.ok(await fits(page));
  assert.equal(await only.getByLabel("The body, byte for byte").textContent(), model.requests[0].body);
});

test("a stream without an agent says so", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream, { query: { panel: "agents" } });
  await page.getByText("has no agent").waitFor();
});
