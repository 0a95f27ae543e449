// The processors of the README: as they stand there, against the real runtime.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { inProject } from "../../scripts/setup/paths.mjs";
import { aRuntime, aStream, until } from "./support.mjs";

const folder = inProject("examples", "ten-lines");
const read = (name) => readFileSync(`${folder}/${name}`, "utf8");

test("the README shows every processor as it is in its file, and none has more than ten lines", () => {
  const blocks = readFileSync(inProject("README.md"), "utf8").matchAll(/^```\w+\n(.*?)^```$/gms);
  const shown = new Set([...blocks].map(([, text]) => text));
  const names = readdirSync(folder).filter((name) => name.startsWith("processor."));
  assert.deepEqual(names.sort(), ["processor.mjs", "processor.py", "processor.sh"]);
  for (const name of names) {
    assert(shown.has(read(name)), `${name} is not in the README as it is`);
    assert(read(name).trimEnd().split("\n").length <= 10, name);
  }
});

// The one in Python runs in tests/python/test_processors.py.
test("a processor in JavaScript counts exactly, although it is killed in the middle", async (t) => {
  const port = await freePort();
  await countsExactly(t, { url: `http://127.0.0.1:${port}` }, () =>
    started(process.execPath, ["processor.mjs", String(port)]),
  );
});

test("a processor in shell counts exactly, although it is killed in the middle", async (t) => {
  await countsExactly(t, { pull: true }, (stream) =>
    started("sh", ["processor.sh", `${stream.base}/api`, stream.path.slice(1)]),
  );
});

/** Messages come all the time, meanwhile the processor is killed at any point of its work, and comes again. */
async function countsExactly(t, target, start) {
  const runtime = await aRuntime(t);
  const stream = await aStream(runtime);
  let processor = start(stream);
  t.after(() => processor.kill());
  await stream.append({ type: "subscription.configured", payload: { slug: "count", types: ["message"], target } });

  const talk = messages(stream);
  t.after(talk.stop);
  await until("it counted a few", async () => (await counted(stream)).length >= 3);
  await processor.kill();
  const before = (await counted(stream)).length;
  processor = start(stream);
  await until("it goes on after its death", async () => (await counted(stream)).length > before);
  await talk.stop();

  const events = await stream.events();
  const asked = events.filter(({ type }) => type === "message").map(({ offset }) => offset);
  const subscription = () => fetch(`${stream.base}/api/subscriptions${stream.path}?slug=count`).then((it) => it.json());
  await until("all is counted", async () => (await subscription()).state === asked.length);
  const answers = await counted(stream);
  assert.equal(answers.at(-1).payload.count, asked.length);
  for (const { payload, cause, metadata } of answers) {
    // Each says how many messages there were up to the one that it answers.
    assert.equal(payload.count, asked.filter((offset) => offset <= cause.offset).length);
    assert.deepEqual(metadata, { tailrace: { by: "subscription:count" } });
  }
  assert.equal(new Set(answers.map(({ cause }) => cause.offset)).size, answers.length);
}

/** Appends messages, at a pace at which the stream stays short, until it is stopped. */
function messages(stream) {
  let goesOn = true;
  const written = (async () => {
    for (let n = 0; goesOn; n += 1) {
      await stream.append({ type: "message", payload: { n, text: "a\nb" } });
      await sleep(10);
    }
  })();
  return {
    stop() {
      goesOn = false;
      return written;
    },
  };
}

const counted = async (stream) => (await stream.events()).filter(({ type }) => type === "counted");

/** Starts a processor as the README does it; `kill` is a kill -9 of it and of what it runs. */
function started(command, args) {
  const child = spawn(command, args, { cwd: folder, stdio: "ignore", detached: true });
  const gone = once(child, "exit");
  return {
    async kill() {
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGKILL");
      await gone;
    },
  };
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
