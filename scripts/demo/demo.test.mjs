// The demo, as it is started, without anybody who watches.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { promisify } from "node:util";
import { LLMock } from "@copilotkit/aimock";
import { inProject } from "../setup/paths.mjs";
import { answer } from "./script.mjs";
import { Speech } from "./speech.mjs";

/** Whoever runs the tests may have keys. */
const withoutKeys = () =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(OPENAI|ANTHROPIC)_/.test(name)));

function started(args, env = {}) {
  return spawn(process.execPath, [inProject("scripts", "demo.mjs"), "--quick", ...args], {
    env: { ...withoutKeys(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** Runs the whole scene; all that was written. */
async function played(env) {
  const demo = started(["--once"], env);
  const [out, said, [code]] = await Promise.all([text(demo.stdout), text(demo.stderr), once(demo, "exit")]);
  assert.equal(code, 0, `${out}\n${said}`);
  return out + said;
}

/** That all of it happened, in this order. */
function expectScene(out) {
  const lines = [
    /On a page: http:\/\/127\.0\.0\.1:\d+\/streams\/demo\/travel/,
    /agent\.input-added +anna: Hello!/,
    /agent\.turn-started +turn 1/,
    /agent\.output-delta +I will look\./,
    /tool\.requested .*weather\({"city":"Lisbon"}\)/,
    /tool\.completed .*"celsius":24/,
    /agent\.output-added +In Lisbon it is windy/,
    /schedule\.configured +guide\./,
    /tool\.started .* by \/demo\/travel\//,
    /agent\.output-added +\[.*\] Two shirts/,
    /agent\.output-added +.*And the list: Two shirts/,
    /tool\.approval-requested .*book_room/,
    /approve it: curl http.*"type":"tool.approved"/,
    /tool\.approved/,
    /tool\.completed .*R-4711/,
    /agent\.output-added +Booked: a quiet room/,
  ];
  let rest = out;
  for (const line of lines) {
    const found = line.exec(rest);
    assert(found, `${line} does not come, or not there:\n${out}`);
    rest = rest.slice(found.index);
  }
  assert.match(out, /agent\.input-added +schedule: Reminder: pack/);
}

test("the demo plays its scene without a key, and ends", async () => {
  expectScene(await played());
});

for (const [name, at] of [
  ["OPENAI_API_KEY", "OPENAI_BASE_URL"],
  ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"],
]) {
  test(`with ${name} the demo asks that provider, and shows the key nowhere`, async (t) => {
    const provider = new LLMock({ port: 0, host: "127.0.0.1", logLevel: "silent" });
    provider.on({ predicate: () => true }, answer);
    await provider.start();
    t.after(() => provider.stop());
    const key = "sk-the-key-that-nobody-may-see";
    const out = await played({ [name]: key, [at]: `${provider.url}/v1`, TAILRACE_DEMO_MODEL: "wanted-model" });
    expectScene(out);
    assert(!out.includes(key));
    assert.match(out, /The model is wanted-model of/);
    const requests = provider.getRequests();
    assert(requests.length >= 7);
    assert(requests.every(({ body }) => body.model === "wanted-model"));
  });
}

test(
  "after the scene one can talk to the agent, and approve, until it is told to end",
  { timeout: 120_000 },
  async (t) => {
    const demo = started([]);
    t.after(() => demo.kill("SIGKILL"));
    const out = aReader(demo.stdout);
    const url = (await out.until(/curl (http\S+\/api\/streams\/demo\/travel) -d '{"type":"agent\.input-added"/))[1];
    const payload = { content: "What is the weather in Oslo?" };
    await fetch(url, { method: "POST", body: JSON.stringify({ type: "agent.input-added", payload }) });
    await out.until(/agent\.output-added +In Oslo it is/);

    const book = { content: "Book a room in Rome." };
    await fetch(url, { method: "POST", body: JSON.stringify({ type: "agent.input-added", payload: book }) });
    const [, approve] = await out.until(/book_room\({"city":"Rome".*\n +approve it: (curl .*)\n/);
    await promisify(execFile)("sh", ["-c", approve]);
    await out.until(/agent\.output-added +Booked: a quiet room in Rome/);

    demo.kill("SIGINT");
    assert.deepEqual(await once(demo, "exit"), [0, null]);
    await assert.rejects(fetch(url), "the server ended as well");
  },
);

/** Output that is waited for. */
function aReader(stream) {
  let all = "";
  let woken = Promise.withResolvers();
  const wake = () => {
    woken.resolve();
    woken = Promise.withResolvers();
  };
  stream.setEncoding("utf8").on("data", (piece) => {
    all += piece;
    wake();
  });
  let isOver = false;
  stream.once("end", () => {
    isOver = true;
    wake();
  });
  return {
    async until(pattern) {
      for (;;) {
        const found = pattern.exec(all);
        if (found) return found;
        assert(!isOver, `${pattern} did not come:\n${all}`);
        await woken.promise;
      }
    },
  };
}

test("an answer is joined from its deltas, wherever one joins and whichever attempt it is", () => {
  const speech = new Speech("r");
  const take = (attempt, at, text) => [speech.take({ attempt, at, text }), speech.text];
  assert.deepEqual(take(1, 0, "fish 🐟"), [true, "fish 🐟"]);
  assert.deepEqual(take(1, 6, " and"), [true, "fish 🐟 and"]);
  assert.deepEqual(take(1, 0, "fish 🐟 and"), [false, "fish 🐟 and"], "all of it, told again");
  assert.deepEqual(take(1, 6, " and chips"), [true, "fish 🐟 and chips"]);
  assert.deepEqual(take(1, 40, "!"), [false, "fish 🐟 and chips"], "something was missed");
  assert.deepEqual(take(2, 0, "a"), [true, "a"], "a new attempt begins anew");
  assert.deepEqual(take(1, 16, "!"), [false, "a"], "what is left of the old one");
});
