// The two Rust programs that turn the compiled code into a Worker. They are built once per version and kept in
// the user's cache.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { inCache, inProject, npmBin } from "./paths.mjs";
import { StepError, run, say } from "./step.mjs";

/** `library` is the crate in Cargo.lock whose version the tool must have. */
export const tools = [
  { name: "worker-build", version: "0.8.7", library: "worker", flags: ["--locked"] },
  // Its lock file names crates that were withdrawn: --locked does not work.
  { name: "wasm-bindgen-cli", version: "0.2.130", library: "wasm-bindgen", flags: [] },
];

const home = (tool) => inCache("tools", `${tool.name}-${tool.version}`);

/** The version of a crate in Cargo.lock, or undefined. */
export function lockedVersion(lock, crate) {
  return new RegExp(`name = "${crate}"\\nversion = "([^"]+)"`).exec(lock)?.[1];
}

/** A tool of another version than its library makes a Worker that breaks in strange ways: refuse early. */
export function checkVersions(lock = readFileSync(inProject("Cargo.lock"), "utf8")) {
  for (const tool of tools) {
    const locked = lockedVersion(lock, tool.library);
    if (locked === tool.version) continue;
    throw new StepError(
      `${tool.name} ${tool.version} does not fit the project`,
      `Cargo.lock has ${tool.library} ${locked ?? "in no version"}, and both versions must be the same`,
      `set the version in scripts/setup/tools.mjs and in Cargo.toml to the same number`,
    );
  }
}

/**
 * Makes sure that the tools are there.
 *
 * @param {NodeJS.ProcessEnv} env where to find cargo
 * @returns {Promise<Record<string, string>>} the variables by which worker-build finds its helpers
 */
export async function ensureTools(env) {
  checkVersions();
  for (const tool of tools) {
    if (!existsSync(home(tool))) await install(tool, env);
  }
  const [workerBuild, wasmBindgen] = tools.map((tool) => path.join(home(tool), "bin"));
  return {
    WORKER_BUILD_BIN: path.join(workerBuild, "worker-build"),
    WASM_BINDGEN_BIN: path.join(wasmBindgen, "wasm-bindgen"),
    WASM_OPT_BIN: npmBin("wasm-opt"),
    ESBUILD_BIN: npmBin("esbuild"),
  };
}

async function install(tool, env) {
  say(`compiling ${tool.name} ${tool.version}: once, a few minutes`);
  mkdirSync(inCache("tools"), { recursive: true });
  // Into a folder of its own, then renamed: a half-installed tool is never taken for a whole one.
  const temporary = mkdtempSync(inCache("tools", ".new-"));
  try {
    const { code, output } = await run(
      "cargo",
      // --debug compiles in half the time; nobody waits for these programs to run.
      ["install", tool.name, "--version", tool.version, ...tool.flags, "--debug", "--root", temporary],
      // idleMs: cargo prints a line per crate.
      { env: { ...env, CARGO_PROFILE_DEV_DEBUG: "0", CARGO_INSTALL_ROOT: temporary }, idleMs: 20 * 60_000 },
    );
    if (code !== 0) {
      throw new StepError(
        `compiling ${tool.name} ${tool.version} failed`,
        output.trim().split("\n").slice(-3).join("\n    "),
        "check that cargo can reach its registry and that a C compiler is there, then run the same command again",
      );
    }
    try {
      renameSync(temporary, home(tool));
    } catch (error) {
      // Another checkout was faster: its copy is as good.
      if (!existsSync(home(tool))) throw error;
    }
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
