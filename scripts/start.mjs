// npm start: sets up what is missing, builds what changed, runs Tailrace on this machine.
//
//   npm start -- [--port 8787] [--persist-to .tailrace/state]
import { parseArgs } from "node:util";
import { underProjectNode } from "./setup/packages.mjs";
import { inProject } from "./setup/paths.mjs";
import { StepError, main, say, stopRunning } from "./setup/step.mjs";

/** Set when somebody asked to stop; until the server runs there is only the set-up to end. */
let stopping = false;
let stopServer = () => {};

function stop() {
  stopping = true;
  stopRunning();
  stopServer();
}

await main(async () => {
  const { port, persistTo } = options();
  if (!(await underProjectNode())) return undefined;

  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, stop);
  // Whoever read the output is gone (`npm start | head`): nobody is left to stop it by hand.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", stop);
  watchNpm();

  // Only now: these modules need the installed packages.
  const { build } = await import("./build.mjs");
  const { develop } = await import("./runtime/develop.mjs");
  try {
    await build();
    if (stopping) return 0;
    const server = await develop({ port, persistTo });
    stopServer = server.stop;
    if (stopping) stopServer();
    return await server.ended(() => stopping);
  } catch (error) {
    if (stopping) return 0;
    throw error;
  }
});

function options() {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: "string", default: "8787" },
        "persist-to": { type: "string", default: inProject(".tailrace", "state") },
      },
    });
    const port = Number(values.port);
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Error(`--port ${values.port} is no port`);
    return { port, persistTo: values["persist-to"] };
  } catch (error) {
    throw new StepError(
      "npm start does not understand its options",
      error.message,
      "npm start -- --port 8787 --persist-to DIR",
    );
  }
}

/** npm passes SIGTERM on, but it can be killed; then this process would go on for nobody. */
function watchNpm() {
  const npm = process.ppid;
  if (!process.env.npm_lifecycle_event) return;
  setInterval(() => {
    if (process.ppid === npm) return;
    say("npm is gone: stopping");
    stop();
  }, 250).unref();
}
