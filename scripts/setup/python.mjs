// Python packages, in a virtual environment in the user's cache.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { aptInstall } from "./debian.mjs";
import { inCache } from "./paths.mjs";
import { StepError, run, say, which } from "./step.mjs";

/**
 * Makes an environment with the packages of a requirements file.
 *
 * @param {string} requirements the file, absolute
 * @returns {Promise<string>} the folder with its programs (python, pytest …)
 */
export async function ensurePython(requirements) {
  const version = (await run("python3", ["--version"], { quiet: true })).output;
  const hash = createHash("sha256").update(version).update(readFileSync(requirements)).digest("hex").slice(0, 16);
  const home = inCache("python", hash);
  const bin = path.join(home, "bin");
  // Environments cannot be moved, so a file marks the finished one instead of a rename.
  const finished = path.join(home, ".finished");
  if (existsSync(finished)) return bin;

  say(`installing ${path.basename(requirements)} into ${home}`);
  mkdirSync(path.dirname(home), { recursive: true });
  rmSync(home, { recursive: true, force: true });
  if (!which("python3") || (await create(home)).code !== 0) {
    const failed = await aptInstall(["python3", "python3-venv"]);
    const result = failed ? { code: 1, output: failed } : await create(home);
    if (result.code !== 0) {
      throw new StepError(
        "Python's virtual environment cannot be made",
        result.output.trim(),
        "install Python 3.10 or newer with its module venv",
      );
    }
  }
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements];
  const { code, output } = await run(path.join(bin, "python"), pip, { idleMs: 10 * 60_000 });
  if (code !== 0) {
    throw new StepError(
      `installing ${path.basename(requirements)} failed`,
      output.trim().split("\n").at(-1),
      "check that pip can reach its registry, then run the same command again",
    );
  }
  writeFileSync(finished, "");
  return bin;
}

const create = (home) => run("python3", ["-m", "venv", home], { quiet: true });
