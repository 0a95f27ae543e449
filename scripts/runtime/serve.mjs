// Runs a built Worker in workerd, without wrangler and its proxy: for tests and measurements.
//
//   node scripts/runtime/serve.mjs [--build build] [--port 0] [--persist-to DIR] [--until-stdin-closes]
//
// TAILRACE_… variables of the environment become the Worker's. When it answers, one line is written to
// stdout: {"url": "http://127.0.0.1:PORT"}. It ends on SIGTERM or SIGINT; SIGKILL ends workerd with it. All that
// the Worker logs goes to stderr. With --until-stdin-closes it takes commands there; see `obey`.
import path from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";
import { unstable_getMiniflareWorkerOptions as workerOptionsOf } from "wrangler";
import { inProject } from "../setup/paths.mjs";
import { StepError, main } from "../setup/step.mjs";
import { bundle } from "./bundle.mjs";
import { runnableDate, withTiedWorkerd } from "./processes.mjs";
import { workerVars } from "./vars.mjs";

await main(async () => {
  const { values } = parseArgs({
    options: {
      build: { type: "string", default: "build" },
      port: { type: "string", default: "0" },
      "persist-to": { type: "string" },
      "until-stdin-closes": { type: "boolean", default: false },
    },
  });
  Object.assign(process.env, withTiedWorkerd());

  // wrangler.toml is read by wrangler itself, so that nothing has to be said twice.
  const { workerOptions, main: entry } = workerOptionsOf(inProject("wrangler.toml"), undefined, { envFiles: [] });
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: Number(values.port),
      cf: false,
      telemetry: { enabled: false },
      handleStructuredLogs: ({ message }) => process.stderr.write(`${message}\n`),
      ...(values["persist-to"] ? { resourcePersistencePath: path.resolve(values["persist-to"], "v3") } : {}),
      workers: [
        {
          ...workerOptions,
          name: workerOptions.name ?? "tailrace",
          compatibilityDate: runnableDate(workerOptions.compatibilityDate),
          modulesRules: undefined,
          modules: await bundle(entry, path.resolve(values.build)),
          modulesRoot: "/",
          bindings: { ...workerOptions.bindings, ...workerVars() },
        },
      ],
    }),
  );

  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    await miniflare.dispose();
    process.exit(0);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  if (values["until-stdin-closes"]) {
    const lines = createInterface(process.stdin);
    lines.on("line", (line) => obey(miniflare, line));
    lines.once("close", stop);
  }

  const url = (await ready(miniflare)).origin;
  process.stdout.write(`${JSON.stringify({ url })}\n`);
});

/** `evict /path`: the object of that stream is put to sleep as the platform does it, its sockets stay open. */
async function obey(miniflare, line) {
  const [command, name] = line.split(" ");
  if (command !== "evict") return;
  try {
    await miniflare.unsafeEvictDurableObject("tailrace", "Stream", { name, webSockets: "hibernate" });
  } catch (error) {
    if (!/not currently running/.test(error.message)) throw error;
  }
  process.stdout.write(`${JSON.stringify({ evicted: name })}\n`);
}

/** Without workerd there is nothing to wait for; miniflare alone would keep this process alive. */
async function ready(miniflare) {
  try {
    return await miniflare.ready;
  } catch (error) {
    await miniflare.dispose().catch(() => {});
    throw new StepError("the local runtime does not start", error.message, "look at wrangler.toml and at the build");
  }
}
