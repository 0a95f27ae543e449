// npm run lint: everything that can be said about the code without running it. Warnings are errors.
import { existsSync, globSync } from "node:fs";
import { aptInstall } from "./setup/debian.mjs";
import { underProjectNode } from "./setup/packages.mjs";
import { inProject, npmBin, root } from "./setup/paths.mjs";
import { main, run, say } from "./setup/step.mjs";

const scripts = ["**/*.{js,mjs,ts,tsx}", "inspector/**/*.{css,html}", "package.json"];
const deny = ["--", "-D", "warnings"];

const checks = {
  async rust() {
    const { ensureRust } = await import("./setup/rust.mjs");
    const rust = await ensureRust();
    // cargo looks for its subcommands in ~/.cargo/bin first, where rustup's clippy may lie: name Debian's.
    const debians = "/usr/bin/cargo-clippy";
    if (rust.route === "debian" && !existsSync(debians)) await aptInstall(["rust-web-clippy"]);
    const cargo = (args, env = rust.env) => ran(rust.route === "debian" ? debians : "cargo", args, env);

    // Debian's rustc-web comes without rustfmt, and its other rustfmt is too old for the edition.
    const formatted =
      rust.route === "debian"
        ? say("no rustfmt by this route: skipped") || true
        : await cargo(["fmt", "--all", "--check"]);
    const native = await cargo(["clippy", "--workspace", "--all-targets", ...deny]);
    return [formatted, native, await clippyForWasm(rust, cargo)].every(Boolean);
  },
  javascript: async () =>
    (
      await Promise.all([
        ran(npmBin("eslint"), ["--config", "scripts/eslint.config.mjs", "--max-warnings", "0", "."]),
        ran(npmBin("tsc"), ["--project", "inspector"]),
        ran(npmBin("prettier"), ["--check", "--log-level", "warn", ...scripts]),
      ])
    ).every(Boolean),
  async python() {
    if (globSync(["tests/**/*.py", "sdk/**/*.py", "examples/**/*.py", "bench/**/*.py"], { cwd: root }).length === 0)
      return true;
    const { ensurePython } = await import("./setup/python.mjs");
    const bin = await ensurePython(inProject("scripts", "setup", "ruff.txt"));
    const checked = await ran(`${bin}/ruff`, ["check", "--no-cache", "."]);
    const formatted = await ran(`${bin}/ruff`, ["format", "--no-cache", "--check", "--quiet", "sdk/python"]);
    return checked && formatted;
  },
};

/** The code that exists only in the Worker. */
async function clippyForWasm(rust, cargo) {
  const target = "wasm32-unknown-unknown";
  const args = [
    "clippy",
    "-p",
    "tailrace",
    "-p",
    "tailrace-durable",
    "-p",
    "tailrace-sdk",
    "--lib",
    "--target",
    target,
  ];
  if (rust.route === "debian") {
    return cargo([...args, "-Zbuild-std=std,panic_unwind", ...deny], { ...rust.wasmEnv, RUSTC_BOOTSTRAP: "1" });
  }
  // The compiler that checks the rest has no std for wasm yet, perhaps.
  await run("rustup", ["target", "add", target], { env: rust.env, cwd: root, idleMs: 60_000 });
  return cargo([...args, ...deny]);
}

const ran = async (command, args, env = process.env) => (await run(command, args, { cwd: root, env })).code === 0;

await main(async () => {
  if (!(await underProjectNode())) return undefined;
  const failed = [];
  for (const [name, check] of Object.entries(checks)) {
    say(`lint: ${name}`);
    if (!(await check())) failed.push(name);
  }
  say(failed.length ? `lint FAILED: ${failed.join(", ")}` : "lint passed");
  return failed.length ? 1 : 0;
});
