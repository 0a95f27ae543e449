// Compiles the Worker: Rust to WebAssembly with unwinding panics, in `build/`, and beside it QuickJS with fuel and the
// files of the inspector.
//
//   node scripts/build.mjs [--features NAME] [--out-dir DIR] [--max-size kB] [--force]
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { fuelInputs, fuelledQuickJs } from "./fuel.mjs";
import { buildInspector } from "./inspector.mjs";
import { withLock } from "./setup/lock.mjs";
import { underProjectNode } from "./setup/packages.mjs";
import { inProject, root } from "./setup/paths.mjs";
import { ensureRust } from "./setup/rust.mjs";
import { StepError, main, run, say } from "./setup/step.mjs";
import { ensureTools } from "./setup/tools.mjs";

/** Everything a build is made from. When nothing here changed there is nothing to do. */
const inputs = ["src", "agent", "durable", "model", "Cargo.toml", "Cargo.lock"];
inputs.push("scripts/build.mjs", "scripts/setup/tools.mjs", "scripts/setup/wrappers", ...fuelInputs);

/**
 * Builds if anything changed.
 *
 * @param {object} [options]
 * @param {string} [options.features] cargo features, comma-separated
 * @param {string} [options.outDir] relative to the project
 * @param {boolean} [options.force] build even if nothing changed
 * @returns {Promise<string>} the folder with index.js and index_bg.wasm
 */
export async function build({ features = "", outDir = "build", force = false } = {}) {
  const folder = inProject(outDir);
  // One build at a time: they share a target folder, whose last artifact is taken up by name.
  return withLock(inProject("target", "wasm.lock"), "another build", async () => {
    const before = fingerprint(features);
    if (!force && upToDate(folder, before)) {
      await buildInspector(folder);
      return folder;
    }

    const started = Date.now();
    const rust = await ensureRust();
    const tools = await ensureTools(rust.env);
    say(`building ${outDir} with Rust from ${rust.route}`);
    const { code, signal } = await run(
      tools.WORKER_BUILD_BIN,
      [
        ...[".", "--release", "--panic-unwind", "--out-dir", outDir, "--"],
        // From here on: for cargo.
        ...["--target-dir", inProject("target", `wasm-${rust.route}`)],
        ...(features ? ["--features", features] : []),
        // While one works on the dependencies, cargo may bring the lock file up to date.
        ...(process.env.CI ? ["--locked"] : []),
      ],
      // worker-build would show its own backtrace below the compiler's words.
      { cwd: root, env: { ...rust.wasmEnv, ...tools, RUST_BACKTRACE: "0" } },
    );
    if (code !== 0) {
      throw new StepError(
        `building ${outDir} failed`,
        signal ? `it was ended by ${signal}` : "the compiler's words are above",
        "correct what it names and run the same command again",
      );
    }
    stripNames(path.join(folder, "index_bg.wasm"));
    writeFileSync(path.join(folder, "quickjs.wasm"), await fuelledQuickJs());
    await buildInspector(folder);
    // What was read before the build: a file that changed while it ran makes the next one build again.
    writeFileSync(path.join(folder, stampName), JSON.stringify({ ...before, route: rust.route }));
    say(`built ${outDir} in ${Math.round((Date.now() - started) / 1000)} s`);
    return folder;
  });
}

const stampName = ".built-from.json";

/** @returns {{hash: string}} */
function fingerprint(features) {
  const hash = createHash("sha256").update(features);
  const add = (relative) => {
    const file = inProject(relative);
    if (!existsSync(file)) return;
    if (statSync(file).isDirectory()) {
      for (const name of readdirSync(file).sort()) {
        if (name !== "node_modules" && name !== "target") add(path.join(relative, name));
      }
    } else {
      hash.update(`\0${relative}\0`).update(readFileSync(file));
    }
  };
  inputs.forEach(add);
  return { hash: hash.digest("hex") };
}

function upToDate(folder, { hash }) {
  try {
    const stamp = JSON.parse(readFileSync(path.join(folder, stampName), "utf8"));
    const forced = process.env.TAILRACE_TOOLCHAIN;
    return stamp.hash === hash && (!forced || forced === stamp.route) && existsSync(path.join(folder, "index.js"));
  } catch {
    return false;
  }
}

/** Takes the functions' names out, a sixth of the module: a panic says its file and line without them. */
function stripNames(file) {
  const wasm = readFileSync(file);
  const leb = (at) => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = wasm[at++];
      value += (byte & 127) * shift;
      if (byte < 128) return [value, at];
    }
  };
  const kept = [wasm.subarray(0, 8)];
  for (let at = 8; at < wasm.length;) {
    const [length, begin] = leb(at + 1);
    const [nameLength, name] = leb(begin);
    const isName = wasm[at] === 0 && wasm.toString("latin1", name, name + nameLength) === "name";
    if (!isName) kept.push(wasm.subarray(at, begin + length));
    at = begin + length;
  }
  writeFileSync(file, Buffer.concat(kept));
}

/** The size of the wasm, in bytes: as it is, and compressed as a deployment counts it. */
export function wasmSize(folder) {
  const sizes = ["index_bg.wasm", "quickjs.wasm"].map((name) => {
    const wasm = readFileSync(path.join(folder, name));
    return [wasm.length, gzipSync(wasm, { level: 9 }).length];
  });
  const [bytes, compressed] = [0, 1].map((at) => sizes.reduce((sum, size) => sum + size[at], 0));
  return { bytes, compressed };
}

async function command() {
  const { values } = parseArgs({
    options: {
      features: { type: "string", default: "" },
      "out-dir": { type: "string", default: "build" },
      "max-size": { type: "string" },
      force: { type: "boolean", default: false },
    },
  });
  if (!(await underProjectNode())) return;
  const folder = await build({ features: values.features, outDir: values["out-dir"], force: values.force });
  const size = wasmSize(folder);
  const kB = (bytes) => `${Math.round(bytes / 1000)} kB`;
  console.log(`${values["out-dir"]}: ${kB(size.bytes)} of wasm, ${kB(size.compressed)} compressed`);
  if (values["max-size"] && size.compressed > Number(values["max-size"]) * 1000) {
    throw new StepError(
      "the Worker is too large",
      `${kB(size.compressed)} compressed, ${values["max-size"]} kB allowed`,
      "look for what the last change pulled in (cargo tree -p tailrace)",
    );
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main(command);
