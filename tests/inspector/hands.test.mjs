// What a person does to a stream: pause and resume, approve, schedules, subscriptions, hooks. Every act is an event, and
// the page shows which.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { aProvider, aServer, toolConfigured, wants } from "../agents/support.mjs";
import { presets } from "../../inspector/src/hands/presets.ts";
import { sendSample } from "../../inspector/src/hands/sample.ts";
import { aRuntime, aStream, answered, openStream, scoped, screenshot, soon, until } from "./support.mjs";

const SECRET = "the-secret-of-github";
const vars = { TAILRACE_SECRET_GITHUB: JSON.stringify({ value: SECRET, verify: ["github"] }) };
const [runtime, provider] = await Promise.all([aRuntime({ after }, { vars }), aProvider()]);

const panel = (page, name) => page.locator(".parts").getByRole("button", { name, exact: false }).click();
const card = (page, name) => page.locator(".card").filter({ has: page.getByRole("heading", { name, exact: true }) });
const dialog = (page) => page.getByRole("dialog");
const last = async (stream) => (await stream.events()).at(-1);

/** Waits until the page has said that an act became the newest event, which is of this type. */
async function became(page, stream, type) {
  const notices = page.locator(".notices li").filter({ hasText: type });
  const { payload } = await until(`the last event is ${type}, and the page says so`, async () => {
    // One of that type may have been there before.
    const event = await last(stream);
    const isSaid = await notices.getByRole("link", { name: `event ${event.offset}` }).isVisible();
    return event.type === type && isSaid && event;
  });
  return payload;
}

/** A receiver of pushes on loopback: `answer` says the status of each. */
async function aReceiver(answer) {
  const received = [];
  const url = await aServer((request, response, body) => {
    const push = JSON.parse(body.toString());
    received.push(push);
    response.writeHead(answer(push, received.length)).end();
  });
  return { url: `${url}/events`, received };
}

const subscribed = (slug, target, more = {}) => ({
  type: "subscription.configured",
  payload: { slug, target, ...more },
});

test("the breaker's reason stands in plain sight, and one click resumes", async (t) => {
  const stream = runtime.stream();
  await stream.append({ type: "breaker.configured", payload: { limit: 100, windowMs: 60_000 } });
  const page = await openStream(t, stream);
  const burst = (text) => stream.post(...Array.from({ length: 60 }, () => ({ type: "burst", payload: text })));
  await burst("a");
  await burst("b");
  const banner = page.getByRole("region", { name: "The stream is paused" });
  await banner.getByText(/Paused by the breaker: 1\d\d events in 60000 ms, limit 100/).waitFor();
  await banner.getByText("Appends are refused").waitFor();
  const pause = (await stream.events("stream.paused"))[0];
  await banner.getByRole("link", { name: `event ${pause.offset}` }).waitFor();
  await screenshot(t, page, "hands-breaker");
  await banner.getByRole("button", { name: "Resume" }).click();
  await became(page, stream, "stream.resumed");
  await banner.waitFor({ state: "detached" });
});

test("Pause asks for a reason, which stands there until the stream is resumed", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream);
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await dialog(page).getByLabel("Reason").fill("it talks too much");
  await dialog(page).getByRole("button", { name: "Pause" }).click();
  assert.deepEqual(await became(page, stream, "stream.paused"), { reason: "it talks too much" });
  await page.getByRole("region", { name: "The stream is paused" }).getByText("Paused: it talks too much").waitFor();
  await page.locator(".top").getByRole("button", { name: "Resume" }).click();
  await became(page, stream, "stream.resumed");
  await page.getByRole("button", { name: "Pause", exact: true }).waitFor();
});

test("who paused it is named, and who may only read is told so", async (t) => {
  const token = "the-deployment-s-token-0123456789abcdef";
  const closed = await aRuntime(t, { token });
  const stream = await aStream(closed);
  const carla = await scoped(token, { by: "carla", can: ["read", "append", "control"] });
  await stream.as(carla).append({ type: "stream.paused", payload: { reason: "lunch" } });
  const reader = await scoped(token, { by: "a reader", can: ["read"] });
  const page = await openStream(t, stream, { token: reader, allow: [answered(403)] });
  const banner = page.getByRole("region", { name: "The stream is paused" });
  await banner.getByText(/, by carla/).waitFor();
  await banner.getByRole("button", { name: "Resume" }).click();
  await page.locator(".notices li[data-error=true]").getByText("stream.resumed was refused").waitFor();
  assert.equal((await last(stream)).type, "stream.paused");
});

test("a pause of all below says where it came from, and is resumed with all below", async (t) => {
  const stream = await aStream(runtime);
  const below = stream.below("child");
  await below.append({ type: "message" });
  const page = await openStream(t, stream);
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await dialog(page).getByLabel("All streams below as well").check();
  await dialog(page).getByRole("button", { name: "Pause" }).click();
  assert.deepEqual(await became(page, stream, "stream.paused"), { children: true });
  await below.until("stream.paused");
  const pageBelow = await openStream(t, below);
  await pageBelow
    .getByRole("region", { name: "The stream is paused" })
    .getByRole("link", { name: stream.path })
    .waitFor();
  await page.getByRole("button", { name: "Resume with all below" }).click();
  await below.until("stream.resumed");
  await pageBelow.getByRole("region", { name: "The stream is paused" }).waitFor({ state: "detached" });
});

test("hooks that are parked while the stream is paused are counted, and let in when it is resumed", async (t) => {
  const stream = await aStream(runtime);
  await stream.append({ type: "stream.paused", payload: { reason: "being moved" } });
  const page = await openStream(t, stream);
  const banner = page.getByRole("region", { name: "The stream is paused" });
  await banner.waitFor();
  for (let n = 0; n < 3; n += 1) {
    const response = await fetch(`${runtime.url}/hooks${stream.path}`, { method: "POST", body: `{"n":${n}}` });
    assert.equal(response.status, 202);
  }
  await banner.getByText("3 hooks are parked").waitFor();
  await screenshot(t, page, "hands-parked");
  await banner.getByRole("button", { name: "Resume" }).click();
  await stream.until("webhook.received", 3);
  await page.getByText("3 hooks are parked").waitFor({ state: "detached" });
});

/** A stream whose agent waits for somebody's word on two calls. */
async function waiting(stream = runtime.stream()) {
  const model = provider.model((request) =>
    request.messages.some(({ role }) => role === "tool")
      ? { content: "done" }
      : {
          content: "",
          toolCalls: [wants("deploy", { to: "prod", note: "<b>now</b>" }), wants("deploy", { to: "test" })],
        },
  );
  await stream.append(toolConfigured("deploy", { approval: true }));
  await stream.agent("bot", model.of("chat"));
  await stream.input("go");
  const asked = await stream.until("tool.approval-requested", 2);
  return { stream, ids: asked.map(({ payload }) => payload.callId) };
}

test("a call that waits is shown with its arguments as text, and runs when it is approved", async (t) => {
  const { stream, ids } = await waiting();
  const page = await openStream(t, stream);
  const approvals = page.getByRole("region", { name: "Approvals waiting" });
  await approvals.getByText('{"to":"prod","note":"<b>now</b>"}').waitFor();
  await approvals
    .getByText(/expires in 2\d h/)
    .first()
    .waitFor();
  await screenshot(t, page, "hands-approvals");
  const first = approvals.locator(".approval").filter({ hasText: "prod" });
  await first.getByRole("button", { name: "Approve deploy" }).click();
  const [approved] = await stream.until("tool.approved");
  assert.deepEqual(approved.payload, { callId: ids[0] });
  await stream.event("tool.requested", { callId: ids[0] });
  await first.waitFor({ state: "detached" });

  await approvals.getByRole("button", { name: "Deny deploy" }).click();
  await dialog(page).getByLabel(/Why/).fill("not on a Friday");
  await dialog(page).getByRole("button", { name: "Deny" }).click();
  const [denied] = await stream.until("tool.denied");
  assert.deepEqual(denied.payload, { callId: ids[1], reason: "not on a Friday" });
  await approvals.waitFor({ state: "detached" });
});

test("an approval shows while one looks, and goes when somebody else has answered", async (t) => {
  const stream = runtime.stream();
  await stream.append({ type: "message" });
  const page = await openStream(t, stream);
  const { ids } = await waiting(stream);
  const approvals = page.getByRole("region", { name: "Approvals waiting" });
  await soon(async () => assert.equal(await approvals.locator(".approval").count(), 2));
  for (const callId of ids) await stream.append({ type: "tool.denied", payload: { callId } });
  await approvals.waitFor({ state: "detached" });
});

test("what a stranger writes to look like an approval is not shown", async (t) => {
  const { stream, ids } = await waiting();
  const payload = { callId: ids[0], name: "harmless", arguments: {}, agent: "bot", expiresAt: "2100-01-01T00:00:00Z" };
  await stream.append({ type: "tool.approval-requested", payload });
  await stream.append({ type: "tool.approval-requested", payload: { ...payload, callId: "another" } });
  const page = await openStream(t, stream);
  const approvals = page.getByRole("region", { name: "Approvals waiting" });
  await soon(async () => assert.equal(await approvals.locator(".approval").count(), 2));
  assert.equal(await approvals.getByText("harmless").count(), 0);
});

test("schedules stand there with their rule in words, count down, and are taken back", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream);
  await panel(page, "Schedules");
  await page.getByText("A schedule appends an event later").waitFor();

  await page.getByRole("button", { name: "New schedule: cron" }).click();
  await soon(async () => assert.match(await page.locator("#event-verdict").textContent(), /would take it/));
  await page.getByRole("button", { name: "Append" }).click();
  await became(page, stream, "schedule.configured");
  const morning = card(page, "morning");
  await morning.getByText("at 09:00, Monday to Friday, Europe/Berlin").waitFor();
  await morning.getByText(/^in \d+ (d|h|min|s)/).waitFor();
  await morning.getByText(/^, then .*:00:00, .*:00:00/).waitFor();
  await morning.getByText("The event inside").click();
  await morning.getByText("Good morning. What is due today?").waitFor();
  await screenshot(t, page, "hands-schedules");

  await stream.append({
    type: "schedule.configured",
    payload: { slug: "often", every: 1_000, event: { type: "tick" } },
  });
  await soon(async () => assert.ok(Number(await card(page, "often").locator("dd").nth(1).textContent()) >= 2));

  await card(page, "often").getByRole("button", { name: "Remove often" }).click();
  await dialog(page).getByRole("button", { name: "Remove" }).click();
  await stream.until("schedule.removed");
  await card(page, "often").waitFor({ state: "detached" });
});

test("a schedule is edited as the event that configured it", async (t) => {
  const stream = await aStream(runtime);
  const configured = { slug: "tick", every: "PT1H", event: { type: "tick", payload: { deep: [1, 2] } } };
  const text = JSON.stringify({ type: "schedule.configured", payload: configured });
  const exact = text.replace("[1,2]", "[12345678901234567890,2]");
  assert.equal((await stream.call("POST", `/api/streams${stream.path}`, exact)).status, 200);
  const page = await openStream(t, stream, { query: { panel: "schedules" } });
  await page.getByRole("button", { name: "Edit tick" }).click();
  const code = page.locator(".editor .cm-content");
  await soon(async () => assert.equal((await code.textContent()).replaceAll(/\s/g, ""), exact, "no number is rounded"));
  await code.getByText('"PT1H"').dblclick();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(
    JSON.stringify({ type: "schedule.configured", payload: { ...configured, every: "PT2H" } }),
  );
  await page.keyboard.press("ControlOrMeta+Enter");
  await became(page, stream, "schedule.configured");
  await card(page, "tick").getByText("every 2 hours").waitFor();
});

test("a push that fails shows its attempts and the next one, and halts with a reason; Resume goes on", async (t) => {
  const stream = await aStream(runtime);
  let status = 500;
  const receiver = await aReceiver(() => status);
  await stream.append(subscribed("push", { url: receiver.url }, { types: ["message"] }));
  await stream.append({ type: "message", payload: { n: 1 } });
  const page = await openStream(t, stream);
  await panel(page, "Subscriptions");
  const push = card(page, "push");
  await push.getByText("retrying").waitFor();
  await push.getByText(new URL(receiver.url).host).waitFor();
  await push.getByText(/again (in|now)/).waitFor();
  await push.getByText(/behind, for/).waitFor();
  await push.getByRole("list", { name: "Last attempts of push" }).getByText("500", { exact: true }).first().waitFor();
  await screenshot(t, page, "hands-retrying");

  const again = receiver.received.length;
  await push.getByRole("button", { name: "Try now push" }).click();
  await became(page, stream, "subscription.resumed");
  await until("it was tried again", () => receiver.received.length > again);

  status = 410;
  // Or it is tried by itself before that.
  void push
    .getByRole("button", { name: "Try now push" })
    .click()
    .catch(() => {});
  const [halted] = await stream.until("subscription.halted");
  await push.getByText("Halted:").waitFor();
  await push.getByText(halted.payload.reason).first().waitFor();
  await push
    .locator(".halted")
    .getByRole("link", { name: `event ${halted.payload.offset}` })
    .waitFor();
  await screenshot(t, page, "hands-halted");

  status = 200;
  await push.getByRole("button", { name: "Resume push" }).click();
  assert.deepEqual(await became(page, stream, "subscription.resumed"), { slug: "push" });
  await push.getByText("idle").waitFor();
  await push.getByText("nothing waits").waitFor();
  assert.deepEqual(
    receiver.received.at(-1).events.map(({ payload }) => payload),
    [{ n: 1 }],
  );
});

test("Skip names the event and goes on behind it; Replay delivers again, and Redo says so", async (t) => {
  const stream = await aStream(runtime);
  const receiver = await aReceiver(({ events }) => (events[0].payload.bad ? 410 : 200));
  await stream.append(subscribed("push", { url: receiver.url }, { types: ["message"], batch: 1 }));
  const bad = await stream.append({ type: "message", payload: { bad: true } });
  await stream.append({ type: "message", payload: { n: 2 } });
  await stream.until("subscription.halted");
  const page = await openStream(t, stream, { query: { panel: "subscriptions" } });
  const push = card(page, "push");

  await push.getByRole("button", { name: `Skip this event, ${bad.offset}, for push` }).click();
  await dialog(page)
    .getByRole("heading", { name: `Skip event ${bad.offset}` })
    .waitFor();
  await dialog(page).getByText("message", { exact: true }).waitFor();
  await dialog(page).getByRole("button", { name: "Skip" }).click();
  assert.deepEqual(await became(page, stream, "subscription.resumed"), { slug: "push", skip: true });
  await push.getByText("idle").waitFor();
  const delivered = () => receiver.received.map(({ events, replay }) => [events[0].payload, replay]);
  await soon(async () => assert.deepEqual(delivered().at(-1), [{ n: 2 }, false]));

  const next = bad.offset + 1;
  await push.getByRole("button", { name: "Replay push" }).click();
  await dialog(page)
    .getByLabel(/From event/)
    .fill(String(next));
  await dialog(page).getByText("marked as a replay").waitFor();
  await dialog(page).getByRole("button", { name: "Replay" }).click();
  await until("it is replayed", () => delivered().length >= 3 && delivered().at(-1)[1] === true);
  assert.deepEqual((await last(stream)).payload, { slug: "push", from: next });

  await push.getByText("idle").waitFor();
  await push.getByRole("button", { name: "Replay push" }).click();
  await dialog(page)
    .getByLabel(/From event/)
    .fill(String(next));
  await dialog(page).getByLabel("Redo").check();
  await dialog(page).getByText("once more").waitFor();
  await dialog(page).getByRole("button", { name: "Replay" }).click();
  await until("it is done again", () => delivered().length >= 4 && delivered().at(-1)[1] === false);
  assert.deepEqual((await last(stream)).payload, { slug: "push", from: next, redo: true });
});

test("a subscription shows its lease, its state and its filters, and is removed", async (t) => {
  const stream = await aStream(runtime);
  const more = { types: ["message", "agent.*"], where: "event.payload.n > 0", state: { seen: ["<i>one</i>"] } };
  await stream.append(subscribed("worker", { pull: true }, more));
  const { offset } = await stream.append({ type: "message", payload: { n: 1 } });
  await stream.lease("worker");
  // It may be asked for in the moment when it is removed.
  const page = await openStream(t, stream, { query: { panel: "subscriptions" }, allow: [answered(404)] });
  const worker = card(page, "worker");
  await worker.getByText("delivering").waitFor();
  await worker.getByText(new RegExp(`event ${offset}, ends in`)).waitFor();
  await worker.getByText("message, agent.*").waitFor();
  await worker.getByText("event.payload.n > 0").waitFor();
  await worker.getByText("State", { exact: true }).click();
  await worker.getByText('"<i>one</i>"').waitFor();
  await screenshot(t, page, "hands-subscription");
  await worker.getByRole("button", { name: "Remove worker" }).click();
  await dialog(page).getByRole("button", { name: "Remove" }).click();
  assert.deepEqual(await became(page, stream, "subscription.removed"), { slug: "worker" });
  await page.getByText("A subscription hands the stream's events").waitFor();
});

test("what an answer says to another stream that is paused waits, and the panel says where", async (t) => {
  const stream = await aStream(runtime);
  const other = await aStream(runtime);
  await other.append({ type: "stream.paused" });
  await stream.append(subscribed("worker", { pull: true }, { types: ["message"] }));
  await stream.append({ type: "message" });
  const { lease, events } = await stream.lease("worker");
  await stream.settle({
    lease,
    upTo: events.at(-1).offset,
    append: [{ streamPath: other.path, event: { type: "for.you" } }],
  });
  const page = await openStream(t, stream, { query: { panel: "subscriptions" } });
  const worker = card(page, "worker");
  await worker.getByText("1 wait").waitFor();
  await worker.getByRole("link", { name: other.path }).waitFor();
});

test("the hook URL is copied, and a sample lands as an event", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream);
  await panel(page, "Hooks");
  await page.getByRole("button", { name: "Copy the hook URL" }).click();
  const url = `${runtime.url}/hooks${stream.path}`;
  await soon(async () => assert.equal(await page.evaluate(() => navigator.clipboard.readText()), url));
  await page.getByRole("button", { name: "Send a sample" }).click();
  const [{ offset, payload }] = await stream.until("webhook.received");
  assert.equal(payload.verified, null);
  await page
    .locator(".sample")
    .getByRole("link", { name: `event ${offset}` })
    .waitFor();
  await page.locator(".card").first().getByText("1 not verified").waitFor();
});

test("the sample of every provider lands as it would send it, with its own form", async () => {
  for (const preset of presets) {
    const stream = await aStream(runtime);
    await stream.append({ type: "webhook.configured", payload: { slug: "source", preset: preset.name } });
    const answer = await sendSample(`${runtime.url}/hooks${stream.path}?source=source`, preset);
    if (preset.definition.reject) {
      assert.match(answer.words, /^401: the request does not verify/, preset.name);
      continue;
    }
    assert.equal(answer.isRefused, false, `${preset.name}: ${answer.words}`);
    const [{ payload }] = await stream.events("webhook.received");
    assert.equal(payload.encoding, preset.sample.form ? "form" : "json", preset.name);
    assert.doesNotMatch(JSON.stringify(payload.form ?? payload.body), /\{(random|number)\}/);
    if (preset.name === "twilio") assert.equal(payload.form.From, "+15550100");
  }
});

test("a preset is one click, has a URL of its own, and says how its requests were verified", async (t) => {
  const { createHmac } = await import("node:crypto");
  const stream = await aStream(runtime);
  const page = await openStream(t, stream, { query: { panel: "hooks" }, allow: [answered(401)] });
  const offered = page.getByRole("list", { name: "Providers" }).getByRole("button");
  await soon(async () => assert.equal(await offered.count(), presets.length));
  await page.getByRole("button", { name: "Add GitHub" }).click();
  assert.deepEqual(await became(page, stream, "webhook.configured"), { slug: "github", preset: "github" });
  const github = card(page, "github");
  const url = `${runtime.url}/hooks${stream.path}?source=github`;
  await github.getByText(url).waitFor();
  await github.getByText("TAILRACE_SECRET_GITHUB").waitFor();
  await github.getByText("docs/webhooks/github.md").waitFor();

  const body = '{"zen":"Design for failure."}';
  const signature = `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`;
  const headers = { "content-type": "application/json", "x-hub-signature-256": signature };
  assert.equal((await fetch(url, { method: "POST", headers, body })).status, 200);
  await github.getByText("1 verified").waitFor();
  await github.getByRole("button", { name: "Send a sample to github" }).click();
  await github.getByText("1 failed").waitFor();
  await screenshot(t, page, "hands-hooks");

  await github.getByRole("button", { name: /^Reject/ }).click();
  await dialog(page).getByRole("button", { name: "Reject" }).click();
  assert.deepEqual(await became(page, stream, "webhook.configured"), {
    slug: "github",
    preset: "github",
    reject: true,
  });
  await github.getByText("rejects what does not verify").waitFor();
  await github.getByRole("button", { name: "Send a sample to github" }).click();
  await github.getByText(/^401/).waitFor();
  assert.equal((await stream.events("webhook.received")).length, 2, "what was refused is not stored");

  await github.getByRole("button", { name: "Remove github" }).click();
  await dialog(page).getByRole("button", { name: "Remove" }).click();
  await became(page, stream, "webhook.removed");
  await github.waitFor({ state: "detached" });
});
