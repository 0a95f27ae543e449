// For tests and measurements in JavaScript: a local runtime as an object. It runs in a process of its own
// (scripts/runtime/serve.mjs, which tests in other languages start themselves).
import { createInterface } from "node:readline";
import { inProject } from "./setup/paths.mjs";
import { end, spawnTied } from "./runtime/processes.mjs";

/**
 * @param {object} [options]
 * @param {string} [options.build] folder of the build
 * @param {number} [options.port] 0 takes a free one
 * @param {string} [options.persistTo] where streams are kept; without it they are gone afterwards
 * @param {Record<string, string>} [options.vars] the Worker's TAILRACE_… variables; none of them: open
 * @param {"inherit" | "ignore"} [options.logs] what becomes of the Worker's console
 * @returns {Promise<{url: string, pid: number, stop(): Promise<void>, kill(): Promise<void>,
 *   evict(path: string): Promise<void>}>} `stop` ends it in good order; `kill` is a kill -9 of the runtime; `evict` puts
 *   the object of one stream to sleep
 */
export async function start({ build = inProject("build"), port = 0, persistTo, vars = {}, logs = "inherit" } = {}) {
  const args = ["--build", build, "--port", String(port), "--until-stdin-closes"];
  if (persistTo) args.push("--persist-to", persistTo);
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TAILRACE_")));
  const child = spawnTied(inProject("scripts", "runtime", "serve.mjs"), args, {
    env: { ...env, ...vars },
    stdio: ["pipe", "pipe", logs],
  });
  const lines = createInterface(child.stdout);
  const line = () => new Promise((resolve) => lines.once("line", (text) => resolve(JSON.parse(text))));
  const url = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => reject(new Error(`the runtime ended while it started (${signal ?? code})`)));
    line().then((started) => resolve(started.url));
  });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  return {
    url,
    pid: child.pid,
    stop: () => end(child),
    async kill() {
      child.kill("SIGKILL");
      await gone;
    },
    async evict(path) {
      const evicted = line();
      child.stdin.write(`evict ${path}\n`);
      await evicted;
    },
  };
}
