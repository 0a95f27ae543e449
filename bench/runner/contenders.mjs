// The Workers that are compared, as miniflare takes them; and the clients, which all have one server of Tailrace.
import { readFileSync } from "node:fs";
import { unstable_getMiniflareWorkerOptions as workerOptionsOf } from "wrangler";
import { bundle } from "../../scripts/runtime/bundle.mjs";
import { runnableDate } from "../../scripts/runtime/processes.mjs";
import { inProject } from "../../scripts/setup/paths.mjs";
import { benchSecret } from "./secret.mjs";

export const contenders = {
  bare: { title: "bare floor", worker: () => floor(["bare.js", "front.js"]) },
  packed: { title: "packed floor", worker: () => floor(["packed.js", "front.js"]) },
  pushing: {
    title: "pushing floor",
    worker: (build, watched) => (watched ? watchedFloor(build) : floor(["pushing.js", "bare.js", "front.js"])),
  },
  tailrace: { title: "Tailrace", worker: tailrace },
  raw: { title: "raw HTTP", server: "tailrace" },
  curl: { title: "`curl -N`", server: "tailrace" },
  typescript: { title: "TypeScript", server: "tailrace" },
  python: { title: "Python", server: "tailrace" },
  rust: { title: "Rust", server: "tailrace" },
};

/** Those that are compared where a measure names no others. */
export const usual = ["bare", "packed", "tailrace"];

/** @param {string[]} files the entry first */
function floor(files) {
  const module = (name) => ({
    type: "ESModule",
    path: name,
    contents: readFileSync(inProject("bench", "floors", name), "utf8"),
  });
  return floorOf(files.map(module));
}

async function watchedFloor(build) {
  return floorOf(await bundle(inProject("bench", "watched", "pushing.js"), build));
}

function floorOf(modules) {
  const { workerOptions } = workerOptionsOf(inProject("wrangler.toml"), undefined, { envFiles: [] });
  return {
    name: "floor",
    compatibilityDate: runnableDate(workerOptions.compatibilityDate),
    modules,
    modulesRoot: "/",
    durableObjects: { STREAM: { className: "Stream", useSQLite: true } },
  };
}

async function tailrace(build, watched) {
  const { workerOptions, main } = workerOptionsOf(inProject("wrangler.toml"), undefined, { envFiles: [] });
  return {
    ...workerOptions,
    name: workerOptions.name ?? "tailrace",
    compatibilityDate: runnableDate(workerOptions.compatibilityDate),
    modulesRules: undefined,
    modules: await bundle(watched ? inProject("bench", "watched", "tailrace.js") : main, build),
    modulesRoot: "/",
    bindings: {
      ...workerOptions.bindings,
      TAILRACE_OPEN: "1",
      TAILRACE_LOOPBACK_TARGETS: "1",
      TAILRACE_SECRET_GITHUB: JSON.stringify({ value: benchSecret, verify: ["github"] }),
    },
  };
}
