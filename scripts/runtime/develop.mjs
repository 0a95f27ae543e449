// The local server for development: `wrangler dev`, on the loopback address only.
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import path from "node:path";
import { inProject, root } from "../setup/paths.mjs";
import { StepError, say } from "../setup/step.mjs";
import { end, freePort, runnableDate, spawnTied, withTiedWorkerd } from "./processes.mjs";
import { workerVars, writeVars } from "./vars.mjs";

const require = createRequire(import.meta.url);
const wrangler = require.resolve("wrangler");
const host = "127.0.0.1";

/**
 * @param {{port: number, persistTo: string}} options
 * @returns {Promise<{stop(): void, ended(wanted: () => boolean): Promise<number>}>}
 */
export async function develop({ port, persistTo }) {
  await freePort(port).catch((error) => {
    const taken = error.code === "EADDRINUSE";
    throw new StepError(
      `${host}:${port} cannot be used`,
      taken ? "another program listens on this port" : error.message,
      taken
        ? `stop that program, or take another port: npm start -- --port ${port + 1}`
        : "take another port: npm start -- --port N",
    );
  });

  const vars = workerVars();
  const secrets = writeVars(`vars-${port}.env`, vars);
  const args = ["dev", "--ip", host, "--port", String(port), "--inspector-ip", host];
  args.push("--inspector-port", String(await freePort()), "--persist-to", path.resolve(persistTo));
  args.push("--local", "--env-file", secrets.file, "--show-interactive-dev-session=false", "--log-level", "warn");
  const { compatibility_date: date } = require("wrangler").unstable_readConfig({ config: inProject("wrangler.toml") });
  args.push("--compatibility-date", runnableDate(date));
  const child = spawnTied(wrangler, args, { cwd: root, env: environment(), stdio: ["ignore", "inherit", "inherit"] });
  const gone = new Promise((resolve) => {
    child.once("exit", resolve);
    child.once("error", resolve);
  }).finally(secrets.remove);

  const welcome = async () => {
    if (!(await answers(port, child))) return;
    // stdout is for whoever waits for the address.
    process.stdout.write(`Tailrace: http://localhost:${port}\n`);
    const folder = path.relative(process.cwd(), persistTo) || ".";
    say(`listening on ${host}:${port} only; streams are kept in ${folder}; Ctrl-C stops it`);
    if (vars.TAILRACE_OPEN) say("open: no token is needed. Set TAILRACE_TOKEN to try it as a deployment");
  };
  return {
    stop: () => void end(child),
    async ended(wanted) {
      // Not awaited alone: one must be able to stop a server that never answers.
      await Promise.all([gone, welcome()]);
      if (wanted()) return 0;
      throw new StepError("the local server ended by itself", "its words are above", "run npm start again");
    },
  };
}

/** Nothing is reported, looked up or asked. */
const environment = () => ({
  ...withTiedWorkerd(),
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_NO_SKILLS_UPDATE_PROMPTS: "true",
  WRANGLER_LOG_PATH: inProject(".wrangler", "logs"),
});

/** Waits until the Worker answers, whatever it says; false when the process ended first. */
async function answers(port, child) {
  const complaint = setTimeout(() => {
    say(`http://${host}:${port} does not answer yet. wrangler's words above may say why; Ctrl-C stops it`);
  }, 30_000);
  try {
    for (; child.exitCode === null && child.signalCode === null; await sleep(100)) {
      try {
        await fetch(`http://${host}:${port}/`, { redirect: "manual", signal: AbortSignal.timeout(5000) });
        return true;
      } catch {
        // Not yet.
      }
    }
    return false;
  } finally {
    clearTimeout(complaint);
  }
}
