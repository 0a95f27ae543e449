// Starting processes that do not outlive their parent, and finding ports for them.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import net from "node:net";
import { inProject } from "../setup/paths.mjs";
import { say, tied } from "../setup/step.mjs";

const require = createRequire(import.meta.url);

/** The compatibility date to run with here: workerd refuses a date after its own. */
export function runnableDate(wanted) {
  const { compatibilityDate: newest } = require("workerd");
  if (wanted <= newest) return wanted;
  say(`this workerd knows no compatibility date after ${newest}: running with that instead of ${wanted}`);
  return newest;
}

/** The environment in which miniflare (and so wrangler) starts workerd through the script beside this file. */
export const withTiedWorkerd = (env = process.env) => ({
  ...env,
  MINIFLARE_WORKERD_PATH: inProject("scripts", "runtime", "workerd"),
  TAILRACE_WORKERD: require("workerd").default,
});

/**
 * Starts a Node script in a process group of its own, so that a Ctrl-C reaches only this process, which then
 * ends the other in good order; and, on Linux, so that the kernel ends it when this process dies.
 */
export function spawnTied(script, args, options) {
  const [command, ...rest] = tied(process.execPath, "--no-warnings", script, ...args);
  return spawn(command, rest, { detached: true, ...options });
}

/** Ends a process and, should it not end by itself, its whole group. Resolves when it is gone. */
export async function end(child, patienceMs = 5000) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      child.kill("SIGKILL");
    }
  }, patienceMs);
  await gone;
  clearTimeout(timer);
}

/** Listens for a moment: resolves with the port (a free one for 0), rejects when it is taken. */
export function freePort(port = 0) {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once("error", reject);
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const found = server.address().port;
      server.close(() => resolve(found));
    });
  });
}
