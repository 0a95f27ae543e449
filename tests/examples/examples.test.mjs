// The examples, as they are, against the real runtime.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { existsSync, globSync, readFileSync, readdirSync } from "node:fs";
import { describe, test } from "node:test";
import { inProject } from "../../scripts/setup/paths.mjs";
import { aProvider, aRuntime, aServer, until, wants } from "../agents/support.mjs";
import { compiled, processing, ran, started, vars } from "./support.mjs";

const signingSecret = "8f742231b10e8888abcd99yyyzzz85a5";
const secret = (value, more) => JSON.stringify({ value, ...more });
const [runtime, provider] = await Promise.all([
  aRuntime({
    vars: {
      ...vars,
      TAILRACE_SECRET_SLACK: secret(signingSecret, { verify: ["slack"] }),
      TAILRACE_SECRET_SLACK_BOT: secret("xoxb-a-token", { send: ["127.0.0.1"] }),
    },
  }),
  aProvider(),
]);
const here = { TAILRACE_URL: runtime.url };
const withModel = (model) => ({ ...here, MODEL: model.name, MODEL_URL: model.baseUrl });
const textOf = ({ content }) =>
  typeof content === "string" ? content : (content ?? []).map(({ text }) => text ?? "").join("");
/** The last that was said in a request, as chat puts it. */
const last = ({ messages }) => textOf(messages.at(-1));
const texts = ({ json }) => json.messages.map(textOf);

describe("examples", { concurrency: true }, () => {
  test("hello-world: all languages speak in one stream, and see each other", async (t) => {
    await ran(t, "hello-world/hello.mjs", { env: here });
    const seen = await ran(t, "hello-world/hello.py", { env: here });
    assert.match(seen, /^2 Hello from JavaScript!\n3 Hello from Python!\n$/);
    assert.match(
      await ran(t, "hello-world/hello.sh", { env: here }),
      /JavaScript![^]*Python![^]*Hello from the shell!/,
    );
  });

  test("ping-pong: TypeScript and Python play, both are killed, and Rust takes up the game of the one", async (t) => {
    const program = await compiled("ping-pong", "pong");
    const stream = runtime.stream("/ping-pong");
    const ping = await processing(t, stream, "ping", "ping-pong/ping.ts", { env: here });
    const pong = await processing(t, stream, "pong", "ping-pong/pong.py", { env: here });
    await stream.append({ type: "ping", payload: { round: 1 } });
    await stream.event("pong", { round: 3 });
    await ping.kill();
    started(t, "ping-pong/ping.ts", { env: here });
    await pong.kill();
    started(t, "ping-pong/pong.rs", { env: here, program });
    await stream.event("pong", { round: 10 });

    const game = await stream.events("ping,pong");
    const rounds = Array.from({ length: 10 }, (_, index) => index + 1);
    assert.deepEqual(
      game.map(({ type, payload }) => `${type} ${payload.round}`),
      rounds.flatMap((round) => [`ping ${round}`, `pong ${round}`]),
    );
    for (const [index, { cause }] of game.entries()) {
      if (index > 0) assert.equal(cause.offset, game[index - 1].offset);
    }
  });

  test("bash-mode: commands run within their limits, and what they wrote comes back as input", async (t) => {
    const stream = runtime.stream("/bash-mode");
    const block = (script) => ({ content: `Let me see.\n\`\`\`bash\n${script}\n\`\`\`` });
    const steps = [
      [/^How much/, block('echo $((6 * 7)) > sum; cat sum; echo "$SECRET|$HOME|$PWD"')],
      [/42\n\|/, block("cat sum; exit 3")],
      [/^42\n\n\[exit 3\]/, block("while :; do echo again; done")],
      [/wrote more than 16384 bytes/, block("sleep 60 & echo started; wait")],
      [/^started\n\n\[ended: it took longer than 5 s\]/, block("head -c 9000000 /dev/zero > large; ls -s large")],
      [/8192 large/, { content: "It is 42." }],
    ];
    const model = provider.model((request) => steps.find(([asked]) => asked.test(last(request)))?.[1] ?? "lost");
    const program = await processing(t, stream, "bash", "bash-mode/bash_mode.py", {
      env: { ...withModel(model), BASH_SECONDS: "5", SECRET: "hunter2" },
    });
    await stream.input("How much is six times seven?");
    await stream.event("agent.output-added", { content: "It is 42." });

    const results = (await stream.events("agent.input-added")).filter(({ payload }) => payload.from === "bash");
    assert.equal(results.length, 5);
    const [, home, folder] = /^42\n\|(.*)\|(.*)\n/.exec(results[0].payload.content);
    assert.equal(home, folder);
    await program.kill("SIGTERM");
    assert.throws(() => readdirSync(folder), { code: "ENOENT" }, "its folder is thrown away");
  });

  test("slack: a signed mention is answered in its thread, and nothing else is", async (t) => {
    const posted = [];
    const slack = await aServer(async ({ url, headers }, response, body) => {
      posted.push({ url, authorization: headers.authorization, ...JSON.parse(body) });
      // The first attempt finds Slack busy.
      const answer = posted.length === 1 ? { ok: false, error: "ratelimited" } : { ok: true, ts: "1.2" };
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
    });
    const model = provider.model((request) => ({ content: `You said: ${last(request)}` }));
    await ran(t, "slack/setup.mjs", { env: { ...withModel(model), SLACK_URL: slack } });
    const asked = (event, secret) => slackAsks({ type: "event_callback", event_id: `Ev-${event.ts}`, event }, secret);

    const question = await slackAsks({ type: "url_verification", challenge: "3eZbrw1a" });
    assert.deepEqual([question.status, await question.text()], [200, "3eZbrw1a"]);
    const mention = { type: "app_mention", user: "U061F7AUR", text: "<@U0LAN0Z89> is it up?", ts: "1515449522.000016" };
    const one = { ...mention, channel: "C123ABC456" };
    assert.equal((await asked(one, "another-secret")).status, 401);
    for (let time = 0; time < 2; time += 1) assert.equal((await asked(one)).status, 200);
    const direct = {
      ...one,
      type: "message",
      channel_type: "im",
      channel: "D024BE91L",
      text: "hi",
      ts: "1515449600.1",
    };
    assert.equal((await asked({ ...direct, ts: "1515449600.2", bot_id: "B1" })).status, 200);
    assert.equal((await asked({ ...direct, thread_ts: "1515449500.7" })).status, 200);

    // It comes again after five seconds.
    await until("both are answered", () => posted.length >= 3);
    const [failed, ...answers] = posted;
    assert.deepEqual(
      new Set(answers.map(({ channel, thread_ts, text }) => `${channel} ${thread_ts} ${text}`)),
      new Set(["C123ABC456 1515449522.000016 You said: is it up?", "D024BE91L 1515449500.7 You said: hi"]),
    );
    for (const { url, authorization } of [failed, ...answers]) {
      assert.deepEqual([url, authorization], ["/api/chat.postMessage", "Bearer xoxb-a-token"]);
    }
    assert.equal(model.requests.length, 2);
  });

  test("safety: what holds a secret pauses the stream before the model hears of it", async (t) => {
    const stream = runtime.stream("/safety");
    const model = provider.model({ content: "You are welcome." });
    await processing(t, stream, "safety", "safety/safety.py", { env: here });
    await ran(t, "safety/agent.mjs", { env: withModel(model) });

    const harmless = await stream.input("Hello!");
    await stream.outputs();
    const [passed] = await stream.events("safety.passed");
    assert.equal(passed.payload.of, harmless.offset);
    const [turn] = await stream.events("agent.turn-started");
    assert(passed.offset < turn.offset, "it was seen before the turn began");

    const bad = await stream.input("My card is 4111 1111 1111 1111.");
    const paused = await stream.event("stream.paused");
    assert.equal(paused.payload.reason, `event ${bad.offset} may hold a secret`);
    assert.equal(paused.cause.offset, bad.offset);
    assert.equal((await stream.post({ type: "agent.input-added", payload: { content: "?" } })).status, 423);
    await stream.append({ type: "stream.resumed" });
    await stream.event("agent.stopped", { reason: "interrupted" });
    assert.equal(model.requests.length, 1, "the model was not asked");
    const next = await stream.input("Then a coffee.");
    await stream.outputs(2);
    const turns = await stream.events("agent.turn-started");
    assert.equal(turns.at(-1).cause.offset, next.offset);
    assert.equal(model.requests.length, 2);
  });

  test("heartbeat: the agent wakes itself, goes on beyond its turns, and rests when it is told to", async (t) => {
    const stream = runtime.stream("/heartbeat");
    const model = provider.model(({ messages }) => {
      const made = messages.flatMap((message) => message.tool_calls ?? []).map((call) => call.function.arguments);
      const heard = messages.map(textOf);
      const call = (args) => ({ content: "So be it.", toolCalls: [wants("schedule", args)] });
      if (made.length === 0) return call({ name: "heartbeat", every: "PT1S", content: "heartbeat" });
      // Beats may have come with it.
      if (made.length === 1 && heard.includes("Rest now.")) return call({ remove: "heartbeat" });
      return { content: "quiet" };
    });
    await ran(t, "heartbeat/agent.mjs", { env: withModel(model) });
    await stream.input("The bins go out on Mondays.");
    const beats = await stream.until("agent.input-added", (events) => events.length >= 4);
    for (const beat of beats.slice(1)) assert.equal(beat.payload.content, "heartbeat");
    const turns = new Set(beats.slice(1).map(({ cause }) => cause.turns));
    assert.equal(turns.size, 1, "a beat lengthens no chain");
    await stream.input("Rest now.");
    await stream.event("schedule.removed");
    assert.deepEqual(Object.keys((await stream.state()).schedules), []);
  });

  test("retrieval: the note is in the request that answers", async (t) => {
    const stream = runtime.stream("/retrieval");
    const model = provider.model({ content: "Open the blue tap." });
    await processing(t, stream, "retrieval", "retrieval/retrieval.mjs", { env: withModel(model) });
    const { offset } = await stream.input("The boiler shows E4. What now?");
    await stream.outputs();
    const [added] = await stream.events("agent.context-added");
    assert.equal(added.cause.offset, offset);
    const [request] = model.requests;
    assert.match(texts(request).join("\n"), /From boiler\.md:\nThe boiler in the cellar shows E4/);
    assert.doesNotMatch(texts(request).join("\n"), /apple trees/);
    assert.equal((await stream.turn("helper", 1)).matches, true);
  });

  test("conversation: the breaker ends it, a person lets it go on, and then ends it", async (t) => {
    const stream = runtime.stream("/conversation");
    const model = provider.model((_, count) => ({ content: `And you? (${count})` }));
    await ran(t, "conversation/conversation.mjs", { env: withModel(model) });
    await stream.input("Where shall we go?", { to: "anna" });
    const first = await stream.event("stream.paused");
    assert.equal(first.payload.breaker.limit, 30);
    const speakers = (await stream.events("agent.output-added")).map(({ payload }) => payload.agent);
    assert.deepEqual(
      speakers,
      speakers.map((_, index) => (index % 2 ? "ben" : "anna")),
    );

    const commands = readme("conversation").filter((line) => line.includes("stream.resumed"));
    const [goOn, end] = commands.map((line) => JSON.parse(/-d '(.*)'$/.exec(line)[1]));
    await stream.append(goOn);
    await stream.until("stream.paused", 2);
    await stream.append(...end);
    await stream.until("agent.stopped", 1);
    const { paused, subscriptions } = await stream.state();
    assert.equal(paused, null);
    assert(!("relay" in subscriptions));
    // Whoever speaks is answered, once.
    const { offset } = await stream.input("Ben?", { to: "ben" });
    const said = await stream.until("agent.output-added", (events) => events.at(-1)?.offset > offset);
    assert.equal(said.at(-1).payload.agent, "ben");
  });
});

describe("bridge", { concurrency: true }, () => {
  const payloads = async (stream) => (await stream.events("message")).map(({ payload }) => payload.n);
  const count = (length) => Array.from({ length }, (_, n) => n);

  test("two that face each other, in one deployment: each event is on each side once", async (t) => {
    const [left, right] = [runtime.stream("/left"), runtime.stream("/right")];
    for (const stream of [left, right]) await stream.append({ type: "born" });
    const bridged = async (from, to) => {
      const args = [runtime.url, from.path, runtime.url, to.path];
      const program = started(t, "bridge/bridge.mjs", { args });
      await from.event("subscription.configured");
      return program;
    };
    await bridged(left, right);
    await bridged(right, left);
    await left.append(...count(5).map((n) => ({ type: "message", payload: { n }, metadata: { mine: n } })));
    const mirrored = await right.until("message", 5);
    assert.deepEqual(
      mirrored.map(({ payload }) => payload.n),
      count(5),
    );
    const [{ metadata, cause }] = mirrored;
    assert.equal(metadata.mine, 0);
    assert.deepEqual(cause, { streamPath: "/left", offset: metadata.bridge.offset, hops: 1, turns: 0 });
    await right.append({ type: "message", payload: { n: 5 } });
    await left.until("message", 6);
    // What went back would be there before this.
    await right.append({ type: "message", payload: { n: 6 } });
    await left.until("message", 7);
    assert.deepEqual(await payloads(left), count(7));
    assert.deepEqual(await payloads(right), count(7));
  });

  test("between two deployments it is killed in the middle, and each event lands once, in order", async (t) => {
    const other = await aRuntime();
    const [near, far] = [runtime.stream("/near"), other.stream("/far")];
    await near.append({ type: "born" });
    const args = [runtime.url, near.path, other.url, far.path];
    let bridge = started(t, "bridge/bridge.mjs", { args });
    const back = started(t, "bridge/bridge.mjs", { args: [other.url, far.path, runtime.url, near.path] });
    await near.event("subscription.configured");
    await far.event("subscription.configured");
    for (const n of count(40)) {
      await near.append({ type: "message", payload: { n } });
      if (n === 10 || n === 30) {
        await far.until("message", n - 4);
        await bridge.kill();
        bridge = started(t, "bridge/bridge.mjs", { args });
      }
    }
    await far.until("message", 40);
    await far.append({ type: "message", payload: { n: 40 } });
    await near.until("message", 41);
    assert.deepEqual(await payloads(far), count(41));
    assert.deepEqual(await payloads(near), count(41));
    assert.equal(back.err, "");
  });
});

test("every example has a README and a row in the list, and what they link to is there", () => {
  const examples = globSync("*/", { cwd: inProject("examples") }).filter((name) => name !== "node_modules");
  const read = (file) => readFileSync(inProject(file), "utf8");
  const links = (file) => [...read(file).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link]) => link);
  for (const name of examples) assert.match(read("examples/README.md"), new RegExp(`^\\| \\[${name}\\]`, "m"));
  const withReadme = examples.filter((name) => name !== "ten-lines").map((name) => `examples/${name}/README.md`);
  for (const file of [...withReadme, "examples/README.md", "docs/tutorial.md"]) {
    for (const link of links(file)) assert(existsSync(inProject(file, "..", link)), `${file} links to ${link}`);
  }
});

/** The lines of an example's README. */
function readme(name) {
  return readFileSync(inProject("examples", name, "README.md"), "utf8").split("\n");
}

/** A request as Slack makes it: docs.slack.dev, "Verifying requests from Slack". */
function slackAsks(said, secret = signingSecret) {
  const body = JSON.stringify(said);
  const timestamp = String(Math.floor(Date.now() / 1_000));
  const signature = createHmac("sha256", secret).update(`v0:${timestamp}:${body}`).digest("hex");
  return fetch(`${runtime.url}/hooks/slack?source=slack`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-slack-request-timestamp": timestamp,
      "x-slack-signature": `v0=${signature}`,
    },
    body,
  });
}
