// A program for each SDK that does what the bench measures: made ready here, started by the measures.
import { copyFile } from "node:fs/promises";
import path from "node:path";
import { inProject, npmBin, root } from "../../scripts/setup/paths.mjs";
import { run } from "../../scripts/setup/step.mjs";

const inBench = (...parts) => inProject("bench", "sdk", ...parts);

const make = {
  async typescript() {
    const node = npmBin("node");
    const { code } = await run(node, [inProject("sdk", "typescript", "scripts", "build.mjs")], { cwd: root });
    if (code !== 0) throw new Error("the SDK in TypeScript does not compile");
    return [node, "--expose-gc", inBench("typescript", "driver.mjs")];
  },
  async python() {
    const { ensurePython } = await import("../../scripts/setup/python.mjs");
    const bin = await ensurePython(inBench("python", "requirements.txt"));
    return [`${bin}/python`, inBench("python", "driver.py")];
  },
  async rust() {
    const { ensureRust } = await import("../../scripts/setup/rust.mjs");
    const { env } = await ensureRust();
    const target = path.resolve(root, env.CARGO_TARGET_DIR ?? "target");
    const manifest = inBench("rust", "Cargo.toml");
    // With the versions that the workspace has.
    await copyFile(inProject("Cargo.lock"), inBench("rust", "Cargo.lock"));
    const args = ["build", "--quiet", "--release", "--manifest-path", manifest, "--target-dir", target];
    const { code } = await run("cargo", args, { cwd: root, env });
    if (code !== 0) throw new Error("the driver in Rust does not compile");
    return [path.join(target, "release", "tailrace-bench-driver")];
  },
};

const made = {};

/**
 * Makes a driver ready, once; it may take minutes.
 *
 * @param {string} sdk
 * @returns {Promise<string[] | undefined>} the command that starts it; none for what is no SDK
 */
export const driver = (sdk) => (made[sdk] ??= make[sdk]?.());
