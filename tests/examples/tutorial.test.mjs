// docs/tutorial.md: its steps, in order, as they are, with a model of our own.
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { inProject } from "../../scripts/setup/paths.mjs";
import { aProvider, aRuntime, until, wants } from "../agents/support.mjs";
import { processing, ran, started, vars } from "./support.mjs";

const doc = readFileSync(inProject("docs", "tutorial.md"), "utf8");
const programs = readdirSync(inProject("examples", "tutorial")).filter((name) => name !== "README.md");
const [runtime, provider] = await Promise.all([aRuntime({ vars }), aProvider()]);
const stream = runtime.stream("/tutorial");
const anna = stream.below("anna");

const textOf = ({ content }) =>
  typeof content === "string" ? content : (content ?? []).map(({ text }) => text ?? "").join("");
const model = provider.model(answer, { latency: 5 });
const env = { TAILRACE_URL: runtime.url, MODEL: model.name, MODEL_URL: model.baseUrl, OPENAI_API_KEY: "sk-a-key" };

/** What the model says, by what was said last. */
function answer({ messages }) {
  const last = messages.at(-1);
  const said = textOf(last);
  if (last.role === "tool") return { content: `I was told: ${said}` };
  const by = [
    [
      /anybody there/,
      { content: `Yes. You have asked ${messages.filter(({ role }) => role === "user").length} times.` },
    ],
    [/Who are you/, { content: "I am Anna." }],
    [/very long story/, { content: "Once upon a time there was a mill. ".repeat(2_000) }],
    [/time is it in Tokyo/, { content: "", toolCalls: [wants("clock", { timezone: "Asia/Tokyo" })] }],
    [/time is it in Atlantis/, { content: "", toolCalls: [wants("clock", { timezone: "Atlantis" })] }],
    [/Spawn a poet/, { content: "", toolCalls: [wants("spawn", { input: "One line about water." })] }],
    [/^One line about water/, { content: "It finds its way." }],
    [/Where are you/, { content: "Everywhere." }],
  ];
  return by.find(([asked]) => asked.test(said))?.[1] ?? { content: `What? ${said}` };
}

const step = (t, file, how = {}) => ran(t, `tutorial/${file}`, { ...how, env: { ...env, ...how.env } });
const say = (t, text, how) => step(t, "say.mjs", { args: [text], ...how });
const process_ = (t, of, slug, file) => processing(t, of, slug, `tutorial/${file}`, { env });

test("the tutorial shows every program as it is, in order, and no other", () => {
  const shown = [...doc.matchAll(/^```(?:js|sh)\n(.*?)^```$/gms)].map(([, text]) => text);
  const files = new Map(programs.map((name) => [readFileSync(inProject("examples/tutorial", name), "utf8"), name]));
  const names = shown.map((text) => files.get(text)).filter(Boolean);
  assert.deepEqual(names.toSorted(), programs);
  const steps = names.filter((name) => name !== "say.mjs");
  assert.deepEqual(steps, steps.toSorted());
  for (const name of programs) assert(doc.includes(` ${name}`), `${name} is run`);
});

test("1: one curl is a stream", async (t) => {
  const { event } = JSON.parse(await step(t, "01-first-event.sh"));
  assert.deepEqual([event.offset, event.payload.text], [2, "Is anybody there?"]);
});

test("2: it has a history", async (t) => {
  const out = await step(t, "02-history.sh");
  assert.match(out, /stream\.created[^]*"message"[^]*"message"/);
});

test("3: who follows it has all of it, is told so, and hears what comes", async (t) => {
  const tail = started(t, "tutorial/03-catch-up.mjs", { env });
  await until("it has caught up", () => tail.out.includes("-- that is all, up to 2 --"));
  assert.match(tail.out, /^1 stream\.created .*\n2 message .*\n--/);
  await step(t, "01-first-event.sh");
  await until("it hears more", () => /--\n3 message \{"text"/.test(tail.out));
});

test("4: a processor counts, with what was there before", async (t) => {
  const processor = await process_(t, stream, "counter", "04-processor.mjs");
  await step(t, "01-first-event.sh");
  await stream.event("counted", { count: 3 });
  await processor.kill();
  await step(t, "01-first-event.sh");
  await process_(t, stream, "counter", "04-processor.mjs");
  await stream.event("counted", { count: 4 });
  assert.equal((await stream.events("counted")).length, 2);
});

test("5: a model answers, and knows what was said before", async (t) => {
  await process_(t, stream, "agent", "05-llm.mjs");
  await step(t, "01-first-event.sh");
  await stream.event("answer", { text: "Yes. You have asked 5 times." });
  assert.equal(model.requests[0].headers.authorization, "Bearer sk-a-key");
});

test("6: one event is an agent", async (t) => {
  await step(t, "06-agent.mjs");
  assert.equal(await say(t, "Hello! Who are you?"), "I am Anna.\n");
  assert.equal((await anna.turn("anna", 1)).matches, true);
});

test("7: it can be interrupted", async (t) => {
  const out = await step(t, "07-interrupt.mjs");
  const [, heard] = /^Once upon a time[^]*\n-- it had said (\d+) characters --\n$/.exec(out);
  assert(Number(heard) >= 100 && Number(heard) < 70_000, heard);
  await say(t, "Where were you?");
  assert(model.requests.at(-1).json.messages.some((message) => textOf(message).startsWith("Once upon a time")));
});

test("8: it uses a tool, and is told when that fails", async (t) => {
  await process_(t, anna, "clock", "08-tools.mjs");
  const out = await say(t, "What time is it in Tokyo?");
  assert.match(out, /\(clock {"timezone":"Asia\/Tokyo"}\)\nI was told: \d\d:\d\d:\d\d\n$/);
  assert.match(await say(t, "What time is it in Atlantis?"), /I was told: failed: Invalid time zone/);
});

test("9: it has a sub-agent work", async (t) => {
  const out = await step(t, "09-sub-agents.sh");
  assert.match(out, /\(spawn .*\)\nI was told: It finds its way\.\n/);
  const { children } = JSON.parse(out.slice(out.indexOf('{"children')));
  assert.equal(children.length, 1);
});

test("10: what is deployed is the same, with a token", async (t) => {
  const token = "a-token-of-at-least-thirty-two-characters";
  const deployed = await aRuntime({ token, vars });
  // Cloudflare is not there: its two commands are only heard.
  const bin = mkdtempSync(path.join(tmpdir(), "tailrace-tutorial-"));
  t.after(() => rmSync(bin, { recursive: true, force: true }));
  for (const name of ["npm", "npx"]) {
    writeFileSync(path.join(bin, name), `#!/bin/sh\necho "${name} $*: $([ ${name} = npx ] && cat)"\n`);
    chmodSync(path.join(bin, name), 0o755);
  }
  const out = await step(t, "10-deploy.sh", {
    env: { TAILRACE_URL: deployed.url, TAILRACE_TOKEN: token, PATH: bin },
  });
  assert.equal(
    out,
    [
      "npm run deploy: ",
      `npx wrangler secret put TAILRACE_TOKEN: ${token}`,
      'npx wrangler secret put TAILRACE_SECRET_OPENAI: {"value":"sk-a-key","send":["api.openai.com"]}',
      "Everywhere.",
      "",
    ].join("\n"),
  );
  assert.equal((await fetch(`${deployed.url}/api/streams/tutorial/anna`)).status, 401);
});
