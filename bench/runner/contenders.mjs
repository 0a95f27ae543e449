// The Workers that are compared, as miniflare takes them.
import { readFileSync } from "node:fs";
import { unstable_getMiniflareWorkerOptions as workerOptionsOf } from "wrangler";
import { bundle } from "../../scripts/runtime/bundle.mjs";
import { runnableDate } from "../../scripts/runtime/processes.mjs";
import { inProject } from "../../scripts/setup/paths.mjs";

export const contenders = {
  bare: { title: "bare floor", worker: () => floor("bare.js") },
  packed: { title: "packed floor", worker: () => floor("packed.js") },
  tailrace: { title: "Tailrace", worker: tailrace },
};

function floor(file) {
  const { workerOptions } = workerOptionsOf(inProject("wrangler.toml"), undefined, { envFiles: [] });
  const module = (name) => ({
    type: "ESModule",
    path: name,
    contents: readFileSync(inProject("bench", "floors", name), "utf8"),
  });
  return {
    name: "floor",
    compatibilityDate: runnableDate(workerOptions.compatibilityDate),
    modules: [module(file), module("front.js")],
    modulesRoot: "/",
    durableObjects: { STREAM: { className: "Stream", useSQLite: true } },
  };
}

async function tailrace() {
  const { workerOptions, main } = workerOptionsOf(inProject("wrangler.toml"), undefined, { envFiles: [] });
  return {
    ...workerOptions,
    name: workerOptions.name ?? "tailrace",
    compatibilityDate: runnableDate(workerOptions.compatibilityDate),
    modulesRules: undefined,
    modules: await bundle(main, inProject("build")),
    modulesRoot: "/",
    bindings: { ...workerOptions.bindings, TAILRACE_OPEN: "1" },
  };
}
