// Running one step of the set-up: show what it does, stop when it hangs, say what to do when it fails.
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import path from "node:path";

/** A failure that a person can do something about. It is printed without a stack. */
export class StepError extends Error {
  /**
   * @param {string} what what failed
   * @param {string} why the reason, as far as it is known
   * @param {string} todo what the reader can do about it
   */
  constructor(what, why, todo) {
    super(`${what}\n  why:        ${why}\n  what to do: ${todo}`);
    this.name = "StepError";
  }
}

/** Children of this process that still run, so that a signal can be passed on to them. */
const running = new Set();

/** One line to the person who waits. Progress goes to stderr: stdout belongs to the result. */
export function say(text) {
  process.stderr.write(`tailrace: ${text}\n`);
}

/** Ends every command that `run` started and that has not ended yet. */
export function stopRunning(signal = "SIGTERM") {
  for (const child of running) child.kill(signal);
}

/**
 * Runs a command and resolves with `{code, signal, output, timedOut}`; it never rejects for an exit code.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {object} [options]
 * @param {NodeJS.ProcessEnv} [options.env]
 * @param {string} [options.cwd]
 * @param {boolean} [options.quiet] collect the output and show nothing
 * @param {number} [options.idleMs] end it when it has shown no sign of life for so long
 * @param {() => unknown} [options.alive] a further sign of life: any value that changes while it works
 */
export function run(command, args, { env = process.env, cwd, quiet = false, idleMs, alive } = {}) {
  return new Promise((resolve) => {
    // With a limit or quietly, the output has to pass through here; otherwise the child gets the
    // terminal itself, and with it colours and progress bars.
    const piped = quiet || idleMs !== undefined;
    const child = spawn(command, args, { env, cwd, stdio: ["ignore", piped ? "pipe" : 2, piped ? "pipe" : 2] });
    running.add(child);
    let output = "";
    let timedOut = false;
    let lastSign = Date.now();
    let lastAlive = alive?.();

    const take = (chunk) => {
      lastSign = Date.now();
      output += chunk;
      if (!quiet) process.stderr.write(chunk);
    };
    child.stdout?.on("data", take);
    child.stderr?.on("data", take);

    const watch =
      idleMs === undefined
        ? undefined
        : setInterval(() => {
            const now = alive?.();
            if (now !== lastAlive) {
              lastAlive = now;
              lastSign = Date.now();
            }
            if (Date.now() - lastSign < idleMs) return;
            timedOut = true;
            child.kill("SIGKILL");
          }, 1000);

    const done = (result) => {
      clearInterval(watch);
      running.delete(child);
      resolve({ output, timedOut, code: null, signal: null, ...result });
    };
    child.once("error", (error) => done({ code: 127, output: String(error.message) }));
    child.once("close", (code, signal) => done({ code, signal }));
  });
}

/** The full path of an executable, or undefined. */
export function which(name, searchPath = process.env.PATH ?? "") {
  for (const folder of searchPath.split(path.delimiter)) {
    if (!folder) continue;
    const file = path.join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not here: the next folder.
    }
  }
  return undefined;
}

/** A command that, on Linux, the kernel ends with SIGTERM when the process that starts it dies. */
export const tied = (...command) => (which("setpriv") ? ["setpriv", "--pdeathsig", "TERM", ...command] : command);

/** Runs a script's main function: a StepError is shown as it is, everything else with its stack. */
export async function main(work) {
  try {
    const code = await work();
    if (typeof code === "number") process.exitCode = code;
  } catch (error) {
    say(error instanceof StepError ? error.message : (error?.stack ?? String(error)));
    process.exitCode = 1;
  }
}
