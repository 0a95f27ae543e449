// An event, looked at closely: its card, its JSON, and what one can take of it with one. And what is being said right now.
/* global document -- in what runs in the page */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { aProvider, aServer, over, said, toolConfigured, wants } from "../agents/support.mjs";
import { aPage, aRuntime, aStream, answered, openStream, pageOf, screenshot, soon } from "./support.mjs";

const secret = "it is a secret";
const runtime = await aRuntime(
  { after },
  { vars: { TAILRACE_SECRET_GITHUB: JSON.stringify({ value: secret, verify: ["github"] }) } },
);
const provider = await aProvider();

const open = (t, stream, offset, options) => openStream(t, stream, { query: { offset, panel: "event" }, ...options });
const card = (page) => page.locator(".event .card");
const strips = (page) => page.locator(".speaking .strip");
const json = (page) => page.locator(".event .raw pre");

/** Waits until a part of the page says all of these. */
const says = (part, ...words) =>
  soon(async () => {
    const text = await part.innerText().catch(() => "");
    for (const word of words) assert.ok(text.includes(word), `"${word}" is not in ${JSON.stringify(text)}`);
  });

/** The event's line as the API tells it. */
const lineOf = async (stream, offset) => {
  const query = `afterOffset=${offset - 1}&beforeOffset=${offset + 1}`;
  const response = await fetch(`${stream.url}?${query}`, {
    headers: { ...stream.headers, accept: "application/x-ndjson" },
  });
  return (await response.text()).trimEnd();
};

/** Presses a button that copies, and returns what is in the clipboard then. */
async function copied(page, name) {
  const button = await page.getByRole("button", { name, exact: true }).elementHandle();
  await button.click();
  await soon(async () => assert.equal(await button.textContent(), "Copied"));
  return page.evaluate(() => navigator.clipboard.readText());
}

/** A model whose words come when the test lets them: `say(text)`, `end()`. */
function aSpeaker() {
  const turns = [];
  const waiting = [];
  const model = provider.scripted(({ response }) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    const turn = {
      say: (text) => response.write(said.chat(text)),
      end: () => response.end(over.chat),
    };
    turns.push(turn);
    waiting.splice(0).forEach((resolve) => resolve());
  });
  return {
    of: (more) => model.of("chat", more),
    /** The answer to the request of this number, as soon as there is one. */
    async turn(number = 1) {
      while (turns.length < number) await new Promise((resolve) => waiting.push(resolve));
      return turns[number - 1];
    },
  };
}

test("a message is its text, line ends kept; the fields beside it are told", async (t) => {
  const stream = await aStream(runtime);
  await stream.append({ type: "message", payload: { text: "one\n  two\tthree", from: "anna", mood: { good: true } } });
  const page = await open(t, stream, 3);
  await says(card(page), "one\n  two\tthree", "from", "anna", '"good": true');
  await says(page.locator(".event-head"), "message", `3 of ${stream.path}`);
});

test("an event of an unknown type is its fields, texts as texts, long ones folded", async (t) => {
  const stream = await aStream(runtime);
  const long = "many words\n".repeat(2_000);
  await stream.append({
    type: "order.placed",
    payload: { id: 7, note: "a\nb", paid: null, items: [{ sku: "x" }], long },
  });
  const page = await open(t, stream, 3);
  await says(card(page), "id", "7", "note", "a\nb", "paid", "null", '"sku": "x"');
  assert.ok((await card(page).innerText()).length < 10_000);
  await card(page)
    .getByRole("button", { name: /Show all/ })
    .click();
  await soon(async () => assert.ok((await card(page).textContent()).includes(long)));
});

test("the JSON is exactly what is stored, whatever its numbers, and is copied so", async (t) => {
  const stream = await aStream(runtime);
  const payload =
    '{"big":9007199254740993,"long":1234567890123456789012345678901234567890,"real":0.1000000000000000055,"text":"ü🌊"}';
  await stream.post(`{"type":"number","payload":${payload}}`);
  const page = await open(t, stream, 3);
  await says(
    json(page),
    '"big": 9007199254740993',
    '"long": 1234567890123456789012345678901234567890',
    "0.1000000000000000055",
  );
  await says(card(page), "9007199254740993", "0.1000000000000000055");
  assert.equal(await copied(page, "Copy JSON"), await lineOf(stream, 3));
  assert.equal(await copied(page, "Copy link"), `${runtime.url}/streams${stream.path}?offset=3`);
});

test("the command that is copied appends the same again, and runs nothing else", async (t) => {
  const stream = await aStream(runtime);
  const hostile = `'; echo owned >&2; '$(echo owned >&2)\`echo owned >&2\`\\"\n!!\u202e`;
  const event = {
    type: `it's "${hostile.replaceAll(/\p{Cc}/gu, "")}"`,
    payload: { [hostile]: hostile },
    metadata: { hostile },
  };
  await stream.append({ ...event, idempotencyKey: "once", cause: { offset: 2 } });
  const page = await open(t, stream, 3);

  const command = await copied(page, "Copy as curl");
  const { stderr } = await promisify(execFile)("sh", ["-c", command.replace("curl", "curl -sS")]);

  assert.equal(stderr, "");
  const { type, payload, metadata } = await stream
    .event(event.type, {})
    .then(() => stream.events().then((all) => all[3]));
  assert.deepEqual({ type, payload, metadata }, event);
  assert.equal((await stream.events()).length, 4);
});

test("what caused an event is a link, and so are the events before and behind", async (t) => {
  const stream = await aStream(runtime);
  const other = await aStream(runtime);
  await other.append({ type: "question" });
  await stream.append({ type: "answer", idempotencyKey: "k1", cause: { streamPath: other.path, offset: 3 } });
  await stream.append({ type: "last" });
  const page = await open(t, stream, 3);
  await says(page.locator(".event-head"), "answer", "idempotency key", "k1", `${other.path} · event 3`);

  await page.getByRole("button", { name: "Next event" }).click();
  await says(page.locator(".event-head h2"), "last");
  assert.match(page.url(), /offset=4/);
  assert.ok(await page.getByRole("button", { name: "Next event" }).isDisabled());
  await page.getByRole("button", { name: "Previous event" }).click();
  await says(page.locator(".event-head h2"), "answer");
  await page
    .locator(".event-head")
    .getByRole("link", { name: /event 3/ })
    .click();
  await says(page.locator(".event-head h2"), "question");
  assert.equal(new URL(page.url()).pathname, `/streams${other.path}`);
});

test("an event that is not there yet is said so, and shown as soon as it is", async (t) => {
  const stream = await aStream(runtime);
  const page = await open(t, stream, 3);
  await says(page.locator(".event"), "There is no event 3 yet. The last one is 2.");
  await stream.append({ type: "here", payload: { text: "at last" } });
  await says(card(page), "at last");
});

test("an event of a megabyte shows its beginning; all of it when one wants it", async (t) => {
  const stream = await aStream(runtime);
  const list = Array.from({ length: 60_000 }, (_, index) => index);
  await stream.append({ type: "large", payload: { list, text: "x".repeat(600_000), last: "the end" } });
  const page = await open(t, stream, 3);
  await json(page).waitFor();
  const length = () => json(page).evaluate((it) => it.textContent.length);
  assert.ok((await length()) < 20_000);
  assert.ok((await page.locator(".event *").count()) < 10_000);
  await page
    .locator(".event .raw")
    .getByRole("button", { name: /Show all/ })
    .click();
  await soon(async () => assert.ok((await length()) > 1_000_000));
  assert.match(await json(page).evaluate((it) => it.textContent), /"last": "the end"/);
  assert.ok((await page.locator(".event *").count()) < 10_000);
  assert.equal(await copied(page, "Copy JSON"), await lineOf(stream, 3));
  await page
    .locator(".event .raw")
    .getByRole("button", { name: /Show less/ })
    .click();
  await soon(async () => assert.ok((await length()) < 20_000));
});

test("a model's answer grows token by token, in the card of its turn and below the list", async (t) => {
  const stream = await aStream(runtime);
  const speaker = aSpeaker();
  await stream.agent("guide", speaker.of());
  await stream.input("speak");
  const turn = await speaker.turn();
  const [started] = await stream.until("agent.turn-started");
  const page = await open(t, stream, started.offset);
  await says(card(page), "guide", "turn 1", "thinking", "Nothing is said yet.");
  await says(strips(page), "guide", "thinking …");

  const words = ["Once", " upon", " a", " time 🌊", " <b>there</b>"];
  for (const [index, word] of words.entries()) {
    turn.say(word);
    const sofar = words.slice(0, index + 1).join("");
    await says(card(page), "speaking", sofar);
    await says(strips(page), sofar);
  }
  await screenshot(t, page, "event-speaking");

  turn.end();
  const [output] = await stream.outputs();
  await says(card(page), "answered", words.join(""), `agent.output-added (${output.offset})`);
  await soon(async () => assert.equal(await strips(page).count(), 0));
});

test("who comes late sees all that was said so far, and a click on it opens the turn", async (t) => {
  const stream = await aStream(runtime);
  const speaker = aSpeaker();
  await stream.agent("guide", speaker.of());
  const tail = await stream.live();
  await stream.input("speak");
  const turn = await speaker.turn();
  turn.say("said before");
  await tail.until(() => tail.deltas.some(({ text }) => text.includes("before")));
  tail.stop();
  const page = await openStream(t, stream);
  await says(strips(page), "said before");
  turn.say(", and after");
  await says(strips(page), "said before, and after");
  await strips(page).click();
  await says(page.locator(".event-head h2"), "agent.turn-started");
  await says(card(page), "said before, and after");
  turn.end();
});

test("several that speak at once have a strip each, and an interrupted one is gone with what it had said kept", async (t) => {
  const stream = await aStream(runtime);
  const speakers = { anna: aSpeaker(), bert: aSpeaker() };
  for (const [slug, speaker] of Object.entries(speakers)) await stream.agent(slug, speaker.of());
  const page = await openStream(t, stream);
  await stream.input("speak, both");
  const [anna, bert] = await Promise.all([speakers.anna.turn(), speakers.bert.turn()]);
  anna.say("I am Anna");
  bert.say("I am Bert");
  await says(strips(page).filter({ hasText: "anna" }), "I am Anna");
  await says(strips(page).filter({ hasText: "bert" }), "I am Bert");

  await stream.append({ type: "agent.interrupt-requested", payload: { agent: "anna" } });
  const [interrupted] = await stream.until("agent.turn-interrupted");
  await soon(async () => assert.equal(await strips(page).count(), 1));
  await page.locator(`#event-${interrupted.offset}`).click();
  await says(card(page), "anna", "interrupted", "It had said:", "I am Anna");
  const [stopped] = await stream.until("agent.stopped");
  await page.locator(`#event-${stopped.offset}`).click();
  await says(card(page), "anna", "stopped", "The next input goes on.");
  bert.end();
});

test("in a stream that was deleted nobody speaks", async (t) => {
  const stream = await aStream(runtime);
  const page = await openStream(t, stream, { allow: [answered(404)] });
  // What nobody has begun is kept for nobody who comes later.
  await says(page.locator(".status").first(), "live");
  const payload = { agent: "guide", requestId: "guide.g.1", attempt: 1, at: 0, text: "still here" };
  await stream.call("POST", `/api/streams${stream.path}?ephemeral=true`, { type: "agent.output-delta", payload });
  await says(strips(page), "still here");
  assert.equal((await stream.delete()).status, 200);
  await soon(async () => assert.equal(await strips(page).count(), 0));
});

test("a failed attempt says why, and counts down to the next", async (t) => {
  const stream = await aStream(runtime);
  const model = provider.scripted(({ response }) => {
    response.writeHead(503, { "retry-after": "100" }).end("too many <b>people</b>");
  });
  await stream.agent("guide", model.of("chat"));
  await stream.input("speak");
  const [failed] = await stream.until("agent.turn-failed");
  const page = await open(t, stream, failed.offset);
  await says(card(page), "attempt 1 failed", "too many <b>people</b>", "HTTP status", "503", "tries again");
  const left = async () => Number(/in (\d+) s/.exec(await card(page).innerText())?.[1]);
  const before = await left();
  assert.ok(before <= 100);
  await soon(async () => assert.ok((await left()) < before));
  await says(strips(page), "attempt 1 failed");
  const [started] = await stream.until("agent.turn-started");
  await page.goto(pageOf(stream, { offset: started.offset }));
  await says(card(page), "The next one begins in", "attempt 1 failed", "too many <b>people</b>");
});

test("the last failed attempt ends its turn, which lists the others", async (t) => {
  const stream = await aStream(runtime);
  const model = provider.scripted(({ response, count }) => {
    if (count === 1) response.writeHead(503).end("too many people");
    else response.writeHead(401).end("no such key");
  });
  await stream.agent("guide", model.of("chat"));
  await stream.input("speak");
  const [first, final] = await stream.until("agent.turn-failed", 2);
  const page = await open(t, stream, first.offset);
  await says(card(page), "then", `agent.turn-failed (${final.offset})`);
  await card(page)
    .getByRole("link", { name: /agent.turn-failed/ })
    .click();
  await says(card(page), "gives up", "no such key", "401");
  const [started] = await stream.until("agent.turn-started");
  await page.goto(pageOf(stream, { offset: started.offset }));
  await says(card(page), "failed", "no such key", "attempt 1 failed");
  assert.equal(await strips(page).count(), 0);
});

test("a call of a tool has its result beside it, from whichever of its events one comes", async (t) => {
  const stream = await aStream(runtime);
  const model = provider.model((_, count) =>
    count === 1
      ? { content: "I look.", toolCalls: [wants("weather", { city: "Oslo" }), wants("pay", { sum: 3 })] }
      : { content: "It is cold." },
  );
  await stream.append(toolConfigured("weather"), toolConfigured("pay", { approval: true }));
  await stream.agent("guide", model.of("chat"));
  await stream.input("the weather?");
  const [output] = await stream.outputs();
  const asked = await stream.event("tool.requested", { name: "weather" });
  const wanted = await stream.event("tool.approval-requested", { name: "pay" });

  const page = await open(t, stream, output.offset);
  await says(
    card(page),
    "I look.",
    'weather(city: "Oslo")',
    "requested",
    "pay(sum: 3)",
    "approval requested",
    "took",
    "tokens",
  );
  await card(page)
    .getByRole("link", { name: /weather/ })
    .click();
  await says(page.locator(".event-head h2"), "tool.requested");
  await says(card(page), "weather", "requested", '"city": "Oslo"', "Not yet.");

  const { callId } = asked.payload;
  await stream.append({ type: "tool.started", payload: { callId, attempt: 1 } });
  await says(card(page), "running");
  const completed = await stream.append({ type: "tool.completed", payload: { callId, result: { sky: "grey" } } });
  await says(card(page), "completed", '"sky": "grey"');
  const box = (name) => card(page).getByRole("region", { name }).boundingBox();
  const [left, right] = [await box("Arguments"), await box("Result")];
  assert.ok(left.x + left.width <= right.x && Math.abs(left.y - right.y) < 2, "they stand side by side");
  await screenshot(t, page, "event-tool");

  await card(page)
    .getByRole("link", { name: /^completed/ })
    .click();
  await says(page.locator(".event-head h2"), "tool.completed");
  assert.match(page.url(), new RegExp(`offset=${completed.offset}`));
  await says(card(page), "weather", '"city": "Oslo"', '"sky": "grey"');

  await page.goto(pageOf(stream, { offset: wanted.offset }));
  await says(card(page), "pay", "waits for approval", '"sum": 3');
  await stream.append({ type: "tool.denied", payload: { callId: wanted.payload.callId, reason: "too dear" } });
  await says(card(page), "denied", "Why not", "too dear");
});

test("a call that was approved tells by which event; a sub-agent's is a link to its stream", async (t) => {
  const stream = await aStream(runtime);
  const model = provider.model((request, count) => {
    if (count === 1) return { toolCalls: [wants("pay", {}), wants("spawn", { input: "help me" })] };
    return { content: "done" };
  });
  await stream.append(toolConfigured("pay", { approval: true }));
  await stream.agent("guide", model.of("chat"));
  await stream.input("go");
  const wanted = await stream.event("tool.approval-requested", { name: "pay" });
  const approved = await stream.append({ type: "tool.approved", payload: { callId: wanted.payload.callId } });
  const requested = await stream.event("tool.requested", { name: "pay" });
  const page = await open(t, stream, requested.offset);
  await says(page.locator(".event-head"), "approved by", `event ${approved.offset}`);

  const spawned = await stream.event("tool.requested", { name: "spawn" });
  const started = await stream.event("tool.started", { callId: spawned.payload.callId });
  await page.goto(pageOf(stream, { offset: spawned.offset }));
  await says(card(page), "sub-agent", started.payload.streamPath);
  const [child] = await stream.until("stream.child-created");
  await page.goto(pageOf(stream, { offset: child.offset }));
  await says(card(page), "A stream was born below");
  await card(page).getByRole("link", { name: started.payload.streamPath }).click();
  await page.waitForURL((url) => url.pathname === `/streams${started.payload.streamPath}`);
});

test("a hook shows its request: method, URL, headers, whether it verifies, and its body", async (t) => {
  const stream = await aStream(runtime);
  await stream.append({ type: "webhook.configured", payload: { slug: "github", preset: "github" } });
  const body = '{"ref":"refs/heads/main","id":12345678901234567890,"note":"<script>alert(1)</script>"}';
  const send = (key) =>
    fetch(`${runtime.url}/hooks${stream.path}?source=github&a=1`, {
      method: "POST",
      body,
      headers: {
        "content-type": "application/json",
        "x-github-event": "push",
        "x-github-delivery": key,
        "x-hub-signature-256": `sha256=${createHmac("sha256", key).update(body).digest("hex")}`,
      },
    });
  await send(secret);
  await send("a wrong one");
  const page = await open(t, stream, 4);
  await says(
    card(page),
    "POST",
    "github",
    "push",
    "verified",
    `/hooks${stream.path}?source=github&a=1`,
    "x-github-event",
  );
  await says(
    card(page),
    "12345678901234567890",
    "<script>alert(1)</script>",
    "application/json",
    `${body.length} bytes`,
  );
  assert.equal(await card(page).locator('[data-is="good"]').innerText(), "verified");
  await screenshot(t, page, "event-hook");
  await page.getByRole("button", { name: "Next event" }).click();
  await says(card(page), "does not verify");
  assert.equal(await card(page).locator('[data-is="good"]').count(), 0);
});

test("the raw bytes of a hook are a download of exactly what came, and never shown", async (t) => {
  const stream = await aStream(runtime);
  const bytes = Buffer.concat([Buffer.from("<script>alert(1)</script>"), randomBytes(3_000)]);
  const headers = { "content-type": "text/html" };
  await fetch(`${runtime.url}/hooks${stream.path}`, { method: "POST", body: bytes, headers });
  const page = await open(t, stream, 3);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name: "Raw bytes" }).click(),
  ]);
  assert.equal(download.suggestedFilename(), "hook-3");
  assert.deepEqual(await readFile(await download.path()), bytes);
  assert.match(page.url(), /\/streams\//);

  await promisify(execFile)("sh", ["-c", await copied(page, "Copy as curl")]);
  const [came, again] = await stream.until("webhook.received", 2);
  assert.equal(again.payload.sha256, came.payload.sha256, "the command sends the same bytes again");
  assert.equal(again.payload.contentType, "text/html");
});

test("with a token the bytes and commands need it as well, and it stands nowhere", async (t) => {
  const token = "a-token-of-more-than-thirty-two-characters";
  const closed = await aRuntime(t, { token });
  const stream = await aStream(closed);
  const bytes = randomBytes(500);
  const sent = await fetch(`${closed.url}/hooks${stream.path}`, { method: "POST", body: bytes });
  assert.equal(sent.status, 200);
  await stream.append({ type: "message", payload: { text: "hello" } });
  const page = await open(t, stream, 3, { token });
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Raw bytes" }).click(),
  ]);
  assert.deepEqual(await readFile(await download.path()), bytes);

  for (const offset of [3, 4]) {
    await page.goto(pageOf(stream, { offset }));
    await json(page).waitFor();
    const command = await copied(page, "Copy as curl");
    assert.ok(command.includes('-H "Authorization: Bearer $TAILRACE_TOKEN"'));
    assert.ok(!command.includes(token));
  }
  const env = { ...process.env, TAILRACE_TOKEN: token };
  await promisify(execFile)("sh", ["-c", await copied(page, "Copy as curl")], { env });
  assert.equal((await stream.until("message", 2))[1].payload.text, "hello");
  assert.ok(!page.asked.some((url) => url.includes(token)));
});

test("a schedule is said in words, with its next runs; what it appends says when it was due", async (t) => {
  const stream = await aStream(runtime);
  const event = { type: "tick", payload: { text: "tock" } };
  await stream.append({ type: "schedule.configured", payload: { slug: "often", every: "PT10M", event } });
  await stream.append({
    type: "schedule.configured",
    payload: { slug: "mornings", cron: "0 9 * * 1-5", timezone: "Europe/Berlin", event },
  });
  await stream.append({ type: "schedule.configured", payload: { slug: "once", after: 1, event } });
  const page = await open(t, stream, 3);
  await says(card(page), "often", "every 10 minutes", "next runs", "in 10 min", "tick", "tock", "0 times");
  assert.equal(await card(page).locator(".runs li").count(), 3);
  await page.goto(pageOf(stream, { offset: 4 }));
  await says(card(page), "mornings", "at 09:00, Monday to Friday, Europe/Berlin", "next runs");
  assert.equal(await card(page).locator(".runs li").count(), 3, "of cron too");

  const [tick] = await stream.until("tick");
  await page.goto(pageOf(stream, { offset: tick.offset }));
  await says(page.locator(".event-head"), "the schedule", "once, due", "run 1", "event 5");
  const [ended] = await stream.until("schedule.ended");
  await page.goto(pageOf(stream, { offset: ended.offset }));
  await says(card(page), "once", "ended", "It was for once");
  await page.goto(pageOf(stream, { offset: 5 }));
  await says(card(page), "once, 1 ms later", "It has ended, or was removed.");
});

test("a push that fails shows its last attempts: status, how long it took, why, and when the next one is", async (t) => {
  const stream = await aStream(runtime);
  const receiver = await aServer((_, response) => response.writeHead(500).end("it <b>burns</b>"));
  const target = { url: `${receiver}/events` };
  await stream.append({ type: "subscription.configured", payload: { slug: "count", types: ["message"], target } });
  await stream.append({ type: "message", payload: { text: "hello" } });
  const page = await open(t, stream, 3);
  await says(
    card(page),
    "count",
    target.url,
    "types",
    "message",
    "retrying",
    "500",
    "it <b>burns</b>",
    "next attempt",
    "ms",
  );
  const link = card(page).getByRole("link", { name: target.url });
  assert.deepEqual(
    [await link.getAttribute("target"), await link.getAttribute("rel")],
    ["_blank", "noopener noreferrer"],
  );
  await screenshot(t, page, "event-push");
});

test("a subscription that gave up says at which event and why", async (t) => {
  const stream = await aStream(runtime);
  const receiver = await aServer((_, response) => response.writeHead(410).end("gone"));
  await stream.append({
    type: "subscription.configured",
    payload: { slug: "count", types: ["message"], target: { url: receiver } },
  });
  await stream.append({ type: "message" });
  const [halted] = await stream.until("subscription.halted");
  const page = await open(t, stream, halted.offset);
  await says(card(page), "count", "halted", halted.payload.reason, "stands at", "event 4", "410");
  const resumed = await stream.append({ type: "subscription.resumed", payload: { slug: "count", skip: true } });
  await page.goto(pageOf(stream, { offset: resumed.offset }));
  await says(card(page), "count", "resumed", "skips", "idle");
});

test("an error shows its message, code, target, and what was refused", async (t) => {
  const stream = await aStream(runtime);
  const payload = { message: "it broke", code: "boom", target: "/elsewhere", append: { type: "x", payload: { a: 1 } } };
  await stream.append({ type: "error.occurred", payload });
  const page = await open(t, stream, 3);
  await says(card(page), "it broke", "code", "boom", "target", "/elsewhere", "What was refused", '"a": 1');
  assert.equal(await card(page).getByRole("link", { name: "/elsewhere" }).getAttribute("href"), "/streams/elsewhere");
});

test("a pause says why: a person's reason, or what the breaker saw", async (t) => {
  const stream = runtime.stream();
  await stream.append({ type: "breaker.configured", payload: { limit: 5, windowMs: 60_000 } });
  await stream.append({ type: "stream.metadata-updated", payload: { metadata: { owner: "anna", old: null } } });
  await stream.append({ type: "stream.paused", payload: { reason: "lunch" } });
  await stream.append({ type: "stream.resumed" });
  for (let count = 0; count < 6; count += 1) await stream.append({ type: "m" });
  const paused = (await stream.until("stream.paused", 2))[1];
  const page = await open(t, stream, 2);
  await says(card(page), "more than 5 events come within 1 minute");
  const next = async (...words) => {
    await page.getByRole("button", { name: "Next event" }).click();
    await says(card(page), ...words);
  };
  await next("owner", "anna", "old", "removed");
  await next("paused", "lunch", "until stream.resumed");
  await next("resumed", "takes events again");
  await page.goto(pageOf(stream, { offset: paused.offset }));
  await says(
    card(page),
    "paused",
    "by the breaker",
    `${paused.payload.breaker.observed} events in 1 minute, 5 are allowed`,
  );
});

test("whatever strangers write stays text, in every card", async (t) => {
  const stream = await aStream(runtime);
  const hostile = `<img src=x onerror="document.title='owned'"></script><script>document.title='owned'</script><a href="javascript:alert(1)">x</a>`;
  const url = "javascript:document.title='owned'";
  const requestId = `${hostile}.g.1`;
  const callId = "c.g.1.0";
  const content = [
    { type: "text", text: hostile },
    { type: "image", url },
    { type: "image", url: `data:text/html,${hostile}` },
  ];
  const wanted = { type: hostile, payload: { [hostile]: hostile, url } };
  const named = { agent: hostile, turn: hostile, requestId, attempt: hostile };
  const toolCalls = [{ callId, name: hostile, arguments: { [hostile]: url } }, hostile, null];
  const events = [
    ["message", { text: hostile, from: hostile, replyTo: { streamPath: url, callId: hostile } }],
    [hostile, { [hostile]: [hostile, { [hostile]: url }], url, href: url }],
    ["agent.input-added", { content, from: hostile, to: "nobody", replyTo: { streamPath: "/../x", callId: hostile } }],
    ["agent.context-added", { content: hostile }],
    ["agent.turn-started", { ...named, upTo: hostile, requestSha256: hostile, harness: hostile }],
    [
      "agent.output-added",
      {
        ...named,
        content: hostile,
        toolCalls,
        usage: { inputTokens: hostile, [hostile]: url },
        model: hostile,
        finishReason: url,
        latencyMs: hostile,
      },
    ],
    ["agent.turn-failed", { ...named, error: hostile, status: hostile, retryAt: hostile, final: hostile }],
    ["agent.turn-interrupted", { ...named, partial: hostile }],
    ["agent.stopped", { agent: hostile, reason: hostile }],
    ["tool.requested", { callId, name: hostile, arguments: { [hostile]: url } }],
    ["tool.approval-requested", { callId: "other", name: hostile, arguments: hostile, expiresAt: hostile }],
    ["tool.started", { callId, attempt: 1, streamPath: url }],
    ["tool.completed", { callId, result: { [hostile]: url } }],
    ["tool.failed", { callId: "third", error: hostile }],
    [
      "error.occurred",
      { message: hostile, code: hostile, target: url, subscription: hostile, append: wanted, stack: hostile },
    ],
    ["stream.metadata-updated", { metadata: { [hostile]: hostile, url } }],
    ["schedule.configured", { slug: "s", every: 600_000, event: wanted }],
    ["subscription.configured", { slug: "p", target: { pull: true }, types: [hostile.slice(0, 200)] }],
    ["subscription.configured", { slug: "j", target: { javascript: { source: `export default {} // ${hostile}` } } }],
    ["tool.configured", { name: "t", description: hostile, parameters: { [hostile]: url } }],
    ["stream.paused", { reason: hostile }],
    ["stream.resumed", { reason: hostile }],
  ];
  for (const [type, payload] of events) {
    const response = await stream.post({ type, payload, metadata: { [hostile]: url }, idempotencyKey: undefined });
    assert.ok([200, 422].includes(response.status), await response.text());
  }
  const headers = { "content-type": "text/html", "x-evil": hostile };
  await fetch(`${runtime.url}/hooks${stream.path}?a=${encodeURIComponent(hostile)}`, {
    method: "POST",
    body: hostile,
    headers,
  });
  await fetch(`${runtime.url}/hooks${stream.path}`, { method: "POST", body: new URLSearchParams({ [hostile]: url }) });

  const all = await stream.events();
  const [first] = all.filter(({ offset }) => offset > 2);
  // The system has its say in between: what it says is its own.
  const isStrangers = (event) => /<img src=x|javascript:/.test(JSON.stringify(event.payload));
  assert.ok(all.filter(isStrangers).length >= events.length);
  const page = await open(t, stream, first.offset);
  for (const event of all.filter((it) => it.offset >= first.offset)) {
    const { offset, type } = event;
    await says(page.locator(".event-head h2"), type);
    await json(page).waitFor();
    const shown = await page.evaluate(() => ({
      made: document.querySelectorAll(".event :is(img, script, iframe, object, embed, style, svg, form)").length,
      links: [...document.querySelectorAll("a")].map((link) => link.getAttribute("href")),
      title: document.title,
      cards: document.querySelectorAll(".event .card").length,
    }));
    assert.deepEqual([shown.made, shown.cards], [0, 1], `event ${offset} ${type}`);
    assert.ok(!/owned/.test(shown.title));
    assert.ok(
      shown.links.every((href) => /^(\/|#|https?:)/.test(href)),
      `${type}: ${shown.links.join(" ")}`,
    );
    assert.ok(
      !isStrangers(event) || /<img src=x|javascript:/.test(await card(page).innerText()),
      `${type} says it as text`,
    );
    if (offset < all.length) await page.getByRole("button", { name: "Next event" }).click();
  }

  await stream.call("POST", `/api/streams${stream.path}?ephemeral=true`, {
    type: "agent.output-delta",
    payload: { agent: hostile, requestId: "new.g.1", attempt: 1, at: 0, text: hostile },
  });
  await says(strips(page).last(), hostile);
  assert.equal(await page.locator(".speaking :is(img, script)").count(), 0);
});

test("a stream that is not there says so instead of an event", async (t) => {
  const stream = runtime.stream();
  const page = await aPage(t, pageOf(stream, { offset: 5 }), { allow: [answered(404)] });
  await says(page.locator(".event"), `There is no stream at ${stream.path}.`);
});
