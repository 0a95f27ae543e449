// Route 1 to a Rust that compiles to WebAssembly: rustup.
import { readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { run, say, which } from "./step.mjs";

const target = "wasm32-unknown-unknown";

/** The oldest compiler that builds the project; an older default toolchain makes way for nightly. */
const oldest = 88;

/** A host that is out of reach must not hold anybody up: there is a second route. */
const patienceMs = 60_000;

/** What is missing: commands that would add it. Empty when everything is there. */
async function missing(env) {
  const installed = await run("rustup", ["component", "list", "--installed", "--toolchain", "nightly"], {
    env,
    quiet: true,
  });
  if (installed.code !== 0) {
    return [["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src", "--target", target]];
  }
  const has = (component) => installed.output.split("\n").some((line) => line.startsWith(component));
  const commands = [];
  if (!has("rust-src")) commands.push(["component", "add", "rust-src", "--toolchain", "nightly"]);
  if (!has(`rust-std-${target}`)) commands.push(["target", "add", target, "--toolchain", "nightly"]);
  return commands;
}

/** How much rustup has downloaded: without a terminal it does not say. */
function downloaded() {
  const folder = path.join(process.env.RUSTUP_HOME || path.join(homedir(), ".rustup"), "downloads");
  try {
    return readdirSync(folder).reduce((sum, name) => sum + statSync(path.join(folder, name)).size, 0);
  } catch {
    return 0;
  }
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {number} [idleMs] how long rustup may do nothing
 * @returns {Promise<{env?: NodeJS.ProcessEnv, wasmEnv?: NodeJS.ProcessEnv, reason?: string}>} where to find the
 *   toolchain, or why not
 */
export async function rustupRoute(env = process.env, idleMs = patienceMs) {
  if (!which("rustup", env.PATH)) return { reason: "rustup is not in PATH" };
  for (const command of await missing(env)) {
    say(`rustup ${command.join(" ")}`);
    const { code, output, timedOut } = await run("rustup", command, { env, idleMs, alive: downloaded });
    if (code === 0) continue;
    const why = timedOut ? `no progress for ${idleMs / 1000} s` : output.trim().split("\n").at(-1);
    return { reason: `rustup ${command.slice(0, 2).join(" ")} failed: ${why}` };
  }
  const nightly = { ...env, RUSTUP_TOOLCHAIN: "nightly" };
  return { env: (await isRecent(env)) ? env : nightly, wasmEnv: nightly };
}

async function isRecent(env) {
  const { code, output } = await run("cargo", ["--version"], { env, quiet: true });
  return code === 0 && Number(/cargo 1\.(\d+)/.exec(output)?.[1] ?? 0) >= oldest;
}
