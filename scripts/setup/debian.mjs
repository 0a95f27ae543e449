// Route 2 to a Rust that compiles to WebAssembly: the packages of Debian, where a current Rust is called
// rustc-web. It has no std for wasm, but its source, from which worker-build's build makes one.
import { existsSync } from "node:fs";
import path from "node:path";
import { inProject } from "./paths.mjs";
import { run, say, which } from "./step.mjs";

const packages = ["rustc-web", "cargo-web", "rust-web-src", "lld-22", "gcc", "libc6-dev"];
const linker = "/usr/bin/wasm-ld-22";
const wrappers = inProject("scripts", "setup", "wrappers");

/** The oldest compiler that builds the project. Debian's package `rustc` is often older, hence the version. */
const oldest = 88;

async function isInstalled() {
  if (!existsSync(linker) || !existsSync("/usr/lib/rustlib/src/rust/library/Cargo.lock") || !which("cc")) return false;
  for (const program of ["/usr/bin/cargo", "/usr/bin/rustc"]) {
    const { code, output } = await run(program, ["--version"], { quiet: true });
    if (code !== 0 || Number(/ 1\.(\d+)/.exec(output)?.[1] ?? 0) < oldest) return false;
  }
  return true;
}

/** Runs apt-get with the rights it needs. */
export async function apt(...args) {
  const command = process.getuid?.() === 0 ? ["apt-get"] : ["sudo", "-n", "apt-get"];
  const [program, ...rest] = [...command, ...args];
  say([...command, ...args].join(" "));
  return run(program, rest, { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" }, idleMs: 5 * 60_000 });
}

/** Installs packages; refreshes apt's lists when they do not know them. Resolves with undefined, or why not. */
export async function aptInstall(names) {
  if (!which("apt-get")) return "there is no apt-get on this machine";
  const install = () => apt("install", "-y", "--no-install-recommends", ...names);
  let result = await install();
  if (result.code !== 0) {
    await apt("update");
    result = await install();
  }
  return result.code === 0 ? undefined : `apt-get install failed: ${result.output.trim().split("\n").at(-1)}`;
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<{env?: NodeJS.ProcessEnv, wasmEnv?: NodeJS.ProcessEnv, reason?: string}>} as `rustupRoute`
 */
export async function debianRoute(env = process.env) {
  if (!(await isInstalled())) {
    const failed = await aptInstall(packages);
    if (failed) return { reason: failed };
    if (!(await isInstalled()))
      return { reason: "the packages are installed, but their Rust is too old or incomplete" };
  }
  // rustup's programs must not be found (cargo-clippy would be its), and its variables choose another compiler.
  const { RUSTC, CARGO, RUSTUP_TOOLCHAIN, ...rest } = env; // eslint-disable-line no-unused-vars
  const others = (env.PATH ?? "").split(path.delimiter).filter((folder) => !which("rustup", folder));
  const native = { ...rest, PATH: ["/usr/bin", "/bin", ...others].join(path.delimiter) };
  return {
    env: native,
    wasmEnv: {
      ...native,
      // For the wasm build only: programs that make worker-build believe in nightly and rustup.
      PATH: [wrappers, native.PATH].join(path.delimiter),
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: linker,
    },
  };
}
