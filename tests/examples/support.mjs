// What the tests of the examples share: the programs, run as they are.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, symlinkSync } from "node:fs";
import path from "node:path";
import { inProject } from "../../scripts/setup/paths.mjs";
import { ensurePython } from "../../scripts/setup/python.mjs";
import { ensureRust } from "../../scripts/setup/rust.mjs";
import { built } from "../../sdk/typescript/scripts/build.mjs";

/** The secret that agents of the examples name, for models on this machine. */
export const vars = { TAILRACE_SECRET_OPENAI: JSON.stringify({ value: "sk-a-key", send: ["127.0.0.1"] }) };

const python =
  process.env.TAILRACE_PYTHON ?? `${await ensurePython(inProject("tests/python/requirements.txt"))}/python`;
await installed();

/** What `npm install` makes in examples/: a link to the SDK. */
async function installed() {
  await built();
  const modules = inProject("examples", "node_modules");
  mkdirSync(modules, { recursive: true });
  try {
    symlinkSync(path.join("..", "..", "sdk", "typescript"), path.join(modules, "tailrace"), "dir");
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
}

const commands = { ".mjs": process.execPath, ".ts": process.execPath, ".py": python, ".sh": "sh" };

/** Compiles an example in Rust, once: its program. */
export async function compiled(folder, name) {
  const target = process.env.CARGO_TARGET_DIR ?? inProject("target");
  const { env } = await ensureRust();
  const args = ["build", "--quiet", "--locked", "--target-dir", target];
  const [code] = await once(
    spawn("cargo", args, { cwd: inProject("examples", folder), env, stdio: ["ignore", "ignore", "inherit"] }),
    "close",
  );
  assert.equal(code, 0, `${folder} does not compile`);
  return path.join(target, "debug", name);
}

/**
 * Starts a program of the examples in its folder. It is killed with the test, if it is still there.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} file below examples/
 * @param {object} [how]
 * @param {string[]} [how.args]
 * @param {Record<string, string>} [how.env]
 * @param {string} [how.program] what `compiled` made of the file
 */
export function started(t, file, { args = [], env = {}, program: compiledTo } = {}) {
  const { dir, base, ext } = path.parse(inProject("examples", file));
  const child = spawn(compiledTo ?? commands[ext], [...(compiledTo ? [] : [base]), ...args], {
    cwd: dir,
    env: {
      PYTHONPATH: inProject("sdk/python/src"),
      PYTHONDONTWRITEBYTECODE: "1",
      PYTHONUNBUFFERED: "1",
      ...env,
      // The shell's programs call this Node as well.
      PATH: [env.PATH, path.dirname(process.execPath), process.env.PATH].filter(Boolean).join(":"),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const program = { out: "", err: "", pid: child.pid };
  child.stdout.setEncoding("utf8").on("data", (text) => (program.out += text));
  child.stderr.setEncoding("utf8").on("data", (text) => (program.err += text));
  const closed = once(child, "close");
  program.kill = async (signal = "SIGKILL") => {
    child.kill(signal);
    await closed;
  };
  /** Waits for its end; what it wrote. */
  program.ended = async () => {
    const [code] = await closed;
    assert.equal(code, 0, `${file}\n${program.out}${program.err}`);
    return program.out;
  };
  t.after(() => program.kill());
  return program;
}

/** Runs a program to its end; what it wrote. */
export const ran = (t, file, how) => started(t, file, how).ended();

/** Starts a processor, and waits until it is subscribed. */
export async function processing(t, stream, slug, file, how) {
  const program = started(t, file, how);
  await stream.event("subscription.configured", { slug });
  return program;
}
