// npm run demo: an agent at work, without a key and without a network, every event of it in the terminal.
//
//   npm run demo -- [--port 8787] [--once] [--quick]
//
// With OPENAI_API_KEY or ANTHROPIC_API_KEY the model is a real one (TAILRACE_DEMO_MODEL names it, OPENAI_BASE_URL or
// ANTHROPIC_BASE_URL say where it is). It goes on until Ctrl-C, and can be talked to. --once ends it with the scene.
import { parseArgs } from "node:util";
import { underProjectNode } from "./setup/packages.mjs";
import { StepError, main, stopRunning } from "./setup/step.mjs";

await main(async () => {
  const settings = options();
  if (!(await underProjectNode())) return undefined;

  const stops = new AbortController();
  const stop = () => {
    stopRunning();
    stops.abort();
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, stop);
  // Whoever read the output is gone.
  process.stdout.on("error", stop);

  // Only now: these modules need the installed packages.
  const { build } = await import("./build.mjs");
  const { demonstrate } = await import("./demo/demonstrate.mjs");
  try {
    // Who has a build names it: nothing is built then.
    const folder = process.env.TAILRACE_BUILD ?? (await build());
    return stops.signal.aborted ? 0 : await demonstrate({ ...settings, build: folder, signal: stops.signal });
  } catch (error) {
    if (stops.signal.aborted) return 0;
    throw error;
  }
});

function options() {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: "string" },
        once: { type: "boolean", default: false },
        quick: { type: "boolean", default: false },
      },
    });
    const port = values.port === undefined ? undefined : Number(values.port);
    const isPort = port === undefined || (Number.isInteger(port) && port >= 1 && port <= 65_535);
    if (!isPort) throw new Error(`--port ${values.port} is no port`);
    return { ...values, port };
  } catch (error) {
    throw new StepError(
      "npm run demo does not understand its options",
      error.message,
      "npm run demo -- --port 8787 --once --quick",
    );
  }
}
