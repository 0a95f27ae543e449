// What the tests of processors share: a worker in each language, as a process that can be killed.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inProject, root } from "../../scripts/setup/paths.mjs";
import { ensurePython } from "../../scripts/setup/python.mjs";
import { ensureRust } from "../../scripts/setup/rust.mjs";
import { built } from "../../sdk/typescript/scripts/build.mjs";

export const languages = ["rust", "typescript", "python"];

/** The SDK for TypeScript, for what the tests do themselves. */
await built();
export const { Tailrace } = await import("../../sdk/typescript/dist/index.js");

/** A number that may be set by the environment. */
export const setting = (name, usual) => Number(process.env[name] ?? usual);

/** A whole number from `least` on, below `most`. */
export const random = (least, most) => Math.floor(least + Math.random() * (most - least));

/** How each worker is started. */
export async function programs() {
  const python =
    process.env.TAILRACE_PYTHON ?? `${await ensurePython(inProject("tests/python/requirements.txt"))}/python`;
  return {
    rust: [await compiled()],
    typescript: [process.execPath, inProject("tests/processors/worker.mjs")],
    python: [python, inProject("tests/processors/worker.py")],
  };
}

async function compiled() {
  const { env } = await ensureRust();
  const args = ["build", "--quiet", "-p", "tailrace-sdk", "--example", "worker"];
  const [code] = await once(spawn("cargo", args, { cwd: root, env, stdio: ["ignore", "ignore", "inherit"] }), "close");
  assert.equal(code, 0, "the worker in Rust does not compile");
  return path.resolve(root, env.CARGO_TARGET_DIR ?? "target", "debug", "examples", "worker");
}

/**
 * A worker that can be killed and started again, with the same wish. It ends with the test.
 *
 * @param {import("node:test").TestContext} t
 * @param {string[]} program one of `programs`
 * @param {object} wish what it shall do
 * @param {(line: string) => void} [told] is told each line that it writes
 */
export function aWorker(t, [command, ...args], wish, told = () => {}) {
  let child, gone;
  let err = "";
  const worker = {
    kills: 0,
    start() {
      child = spawn(command, [...args, JSON.stringify(wish)], {
        cwd: root,
        env: {
          ...process.env,
          PYTHONPATH: inProject("sdk/python/src"),
          PYTHONDONTWRITEBYTECODE: "1",
        },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let rest = "";
      child.stdout.setEncoding("utf8").on("data", (text) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop();
        lines.forEach(told);
      });
      child.stderr.setEncoding("utf8").on("data", (text) => (err += text));
      gone = once(child, "close");
    },
    /** `kill -9`. It was at work until then. */
    async kill() {
      assert.equal(child.exitCode, null, `it ended by itself\n${err}`);
      child.kill("SIGKILL");
      await gone;
      worker.kills += 1;
    },
    async restart() {
      await worker.kill();
      worker.start();
    },
  };
  worker.start();
  t.after(() => child.kill("SIGKILL"));
  return worker;
}

/** All events of a stream, or those that are asked for. */
export async function all(stream, asked) {
  const events = [];
  for await (const event of stream.read(asked)) events.push(event);
  return events;
}

/** Waits as long as it goes on: for `done`, while `progress` changes at least every minute. */
export async function goesOn(what, progress, done) {
  let [last, since] = [undefined, Date.now()];
  for (;;) {
    const now = await progress();
    if (done(now)) return now;
    if (now !== last) [last, since] = [now, Date.now()];
    assert(Date.now() - since < 60_000, `it does not go on until ${what}: ${now}`);
    await sleep(20);
  }
}
