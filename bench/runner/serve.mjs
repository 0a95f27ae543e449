// Runs one contender in workerd, on a loopback port that leads straight to it: miniflare's own entry Worker, which
// other local servers put in front, takes longer than what is measured here.
//
//   node bench/runner/serve.mjs CONTENDER BUILD WATCHED STATE-FOLDER
//
// Writes one line, {"url", "pid" (of workerd), "contender"}, and ends on SIGTERM.
import { readFileSync } from "node:fs";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";
import { withTiedWorkerd } from "../../scripts/runtime/processes.mjs";
import { contenders } from "./contenders.mjs";

const [name, build, watched, persistTo] = process.argv.slice(2);
Object.assign(process.env, withTiedWorkerd());
const worker = await contenders[name].worker(build, watched === "true");
const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    telemetry: { enabled: false },
    handleStructuredLogs: ({ message }) => process.stderr.write(`${message}\n`),
    resourcePersistencePath: persistTo,
    workers: [{ ...worker, unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] }],
  }),
);

const stop = async () => {
  await miniflare.dispose();
  process.exit(0);
};
process.once("SIGTERM", stop);
process.once("SIGINT", stop);

await miniflare.ready;
const { origin } = await miniflare.unsafeGetDirectURL(worker.name);
process.stdout.write(`${JSON.stringify({ url: origin, pid: workerd(), contender: name })}\n`);

/** Undefined where there is no /proc. */
function workerd() {
  try {
    const children = readFileSync(`/proc/self/task/${process.pid}/children`, "latin1").trim().split(" ").map(Number);
    return children.find((pid) => readFileSync(`/proc/${pid}/comm`, "latin1").startsWith("workerd"));
  } catch {
    return undefined;
  }
}
