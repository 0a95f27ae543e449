// The npm packages, among them the Node that everything else runs on.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { inProject, npmBin, root } from "./paths.mjs";
import { StepError, run, say, tied } from "./step.mjs";

const stamp = inProject("node_modules", ".tailrace-installed");

/** Changes when the packages have to be installed again. */
function wanted() {
  const lock = readFileSync(inProject("package-lock.json"));
  return createHash("sha256").update(lock).update(`${process.platform} ${process.arch}`).digest("hex");
}

/** Installs the packages if the lock file changed since the last time. */
export async function ensurePackages() {
  const hash = wanted();
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash && existsSync(npmBin("node"))) return;
  say("installing the npm packages");
  const { code, output, timedOut } = await run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    idleMs: 10 * 60_000,
  });
  if (code !== 0) {
    throw new StepError(
      "installing the npm packages (npm ci) failed",
      timedOut ? "npm said nothing for ten minutes" : firstErrors(output) || `npm ended with ${code}`,
      "check that npm can reach its registry (npm ping), then run the same command again",
    );
  }
  writeFileSync(stamp, hash);
}

/**
 * Installs the packages and makes sure that this script runs on the Node they contain: wrangler needs a newer
 * one than many machines have. Resolves with true when the caller may go on; with false when the
 * script has already run in a second process and nothing is left to do.
 */
export async function underProjectNode() {
  await ensurePackages();
  const wantedNode = JSON.parse(readFileSync(inProject("node_modules", "node", "package.json"), "utf8")).version;
  if (process.version === `v${wantedNode}`) return true;

  const [command, ...args] = tied(npmBin("node"), ...process.argv.slice(1));
  const child = spawn(command, args, { stdio: "inherit" });
  // This process only passes signals on. From a terminal the child gets them as well, and twice does no harm.
  const forward = (signal) => child.kill(signal);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, forward);
  const code = await new Promise((resolve) => {
    child.once("error", (error) => {
      say(`the Node of the npm packages does not start: ${error.message}. Remove node_modules and try again.`);
      resolve(1);
    });
    child.once("exit", (exitCode, signal) => resolve(signal ? 1 : exitCode));
  });
  process.exitCode = code;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.off(signal, forward);
  return false;
}

/** npm's errors begin with what matters and end with advice. */
const firstErrors = (text) => {
  const errors = text.split("\n").filter((line) => line.startsWith("npm error") && line.length > 10);
  return errors.slice(0, 5).join("\n    ");
};
