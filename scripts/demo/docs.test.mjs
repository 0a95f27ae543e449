// What the README and docs/agents.md say that one should type, typed.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { LLMock } from "@copilotkit/aimock";
import { start } from "../runtime.mjs";
import { inProject } from "../setup/paths.mjs";

const run = promisify(execFile);
const key = "sk-the-key-that-nobody-may-see";
const provider = new LLMock({ port: 0, host: "127.0.0.1", logLevel: "silent" });
let runtime;

before(async () => {
  provider.on({ predicate: () => true }, { content: "It is where the water leaves the mill." });
  await provider.start();
  const secret = { value: key, send: ["127.0.0.1"] };
  runtime = await start({
    ...(process.env.TAILRACE_BUILD ? { build: process.env.TAILRACE_BUILD } : {}),
    vars: { TAILRACE_OPEN: "1", TAILRACE_LOOPBACK_TARGETS: "1", TAILRACE_SECRET_OPENAI: JSON.stringify(secret) },
    logs: "ignore",
  });
});
after(async () => {
  await runtime.stop();
  await provider.stop();
});

/** A section of a document, up to the next of its kind. */
function section(file, title) {
  const text = readFileSync(inProject(file), "utf8");
  const [, rest] = text.split(`\n## ${title}\n`);
  assert(rest, `${file} has no section ${title}`);
  return rest.split("\n## ")[0];
}

const blocks = (text, language) =>
  [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, of]) => of === language).map(([, , code]) => code);

/** Types what a section says; what was answered, one for each line. `stream` stands in for the one that is named there. */
async function typed(text, stream) {
  const commands = blocks(text, "sh").flatMap((block) => block.split("\n").filter((line) => line.startsWith("curl ")));
  const answers = [];
  for (const command of commands) {
    const here = command
      .replace("curl ", "curl -sS --fail-with-body ")
      .replace("http://localhost:8787", runtime.url)
      .replace(/\/anna\b/, `/${stream}`)
      .replace('"api":"chat"', `"api":"chat","baseUrl":"${provider.url}/v1"`);
    const { stdout } = await run("sh", ["-c", here]);
    answers.push(JSON.parse(stdout));
  }
  return answers;
}

const ask = (path) => fetch(runtime.url + path).then((response) => response.json());
const append = (stream, event) =>
  fetch(`${runtime.url}/api/streams/${stream}`, { method: "POST", body: JSON.stringify(event) });

for (const [file, title] of [
  ["README.md", "An agent in one minute"],
  ["docs/agents.md", "The smallest one"],
]) {
  test(`the agent of ${file} answers`, async () => {
    const stream = file.replace(/\W/g, "-");
    const answers = await typed(section(file, title), stream);
    const [said] = answers.at(-1).events;
    assert.equal(said.type, "agent.output-added");
    assert.equal(said.payload.content, "It is where the water leaves the mill.");
    // What it is, aimock does not keep.
    assert(provider.getLastRequest().headers.authorization);
    assert(!JSON.stringify(await ask(`/api/streams/${stream}`)).includes(key));
  });
}

test("what docs/agents.md says of tools and of the log can be typed as it stands", async () => {
  const stream = "docs-agents-md";
  await typed(section("docs/agents.md", "Tools"), stream);
  assert.deepEqual(Object.keys((await ask(`/api/state/${stream}`)).tools), ["weather"]);
  const [turn] = await typed(section("docs/agents.md", "The log holds everything"), stream);
  assert.equal(turn.matches, true);
  assert.equal(JSON.parse(turn.request.body).messages.at(-1).content, "What is a tailrace?");
});

test("the safety processor of docs/agents.md keeps an input from the model", async () => {
  const stream = "docs-safety";
  await typed(section("docs/agents.md", "Waiting for others: a safety processor"), stream);
  const asked = provider.getRequests().length;
  await append(stream, { type: "agent.input-added", payload: { content: "My password is fish." } });
  const ends = `/api/streams/${stream}?types=agent.stopped,agent.turn-started&wait=30`;
  const [first] = (await ask(ends)).events;
  assert.deepEqual([first.type, first.payload.reason], ["agent.stopped", "interrupted"]);
  assert.equal(provider.getRequests().length, asked);

  await append(stream, { type: "agent.input-added", payload: { content: "How are you?" } });
  const { events } = await ask(`${ends}&afterOffset=${first.offset}`);
  assert.equal(events[0].type, "agent.turn-started");
});

test("the way to join deltas in docs/agents.md joins them", () => {
  const [code] = blocks(section("docs/agents.md", "While it speaks"), "js");
  const { said, delta } = new Function(`${code}; return { said, delta };`)();
  const take = (attempt, at, text) => {
    delta({ requestId: "r", attempt, at, text });
    return said.get("r")?.text;
  };
  assert.equal(take(1, 5, "late"), undefined, "its beginning was missed");
  assert.equal(take(1, 0, "fish 🐟"), "fish 🐟");
  assert.equal(take(1, 6, " and"), "fish 🐟 and");
  assert.equal(take(1, 40, "!"), "fish 🐟 and", "something was missed");
  assert.equal(take(1, 0, "fish 🐟 and chips"), "fish 🐟 and chips", "all of it, told again");
  assert.equal(take(2, 0, "a"), "a", "another attempt begins anew");
  assert.equal(take(1, 16, "!"), "a", "what is left of the one before");
});
