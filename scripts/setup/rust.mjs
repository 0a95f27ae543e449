// The Rust toolchain: rustup if it can, else Debian's packages.
import path from "node:path";
import { debianRoute } from "./debian.mjs";
import { inProject } from "./paths.mjs";
import { rustupRoute } from "./rustup.mjs";
import { StepError, say } from "./step.mjs";

const routes = { rustup: rustupRoute, debian: debianRoute };

/**
 * @param {NodeJS.ProcessEnv} [base] TAILRACE_TOOLCHAIN=rustup or =debian allows only that route
 * @returns {Promise<{route: string, env: NodeJS.ProcessEnv, wasmEnv: NodeJS.ProcessEnv}>} `env` for cargo on
 *   this machine, `wasmEnv` for worker-build
 */
export async function ensureRust(base = process.env) {
  const forced = base.TAILRACE_TOOLCHAIN;
  if (forced && !routes[forced]) {
    throw new StepError(
      `TAILRACE_TOOLCHAIN=${forced} is no toolchain`,
      "only rustup and debian are known",
      "unset it: the set-up then takes what is there",
    );
  }
  const reasons = [];
  for (const route of forced ? [forced] : Object.keys(routes)) {
    const { env, wasmEnv, reason } = await routes[route](base);
    if (!reason) return { route, env: withNpmBin(env), wasmEnv: withNpmBin(wasmEnv) };
    reasons.push(`${route}: ${reason}`);
    say(`not by ${route}: ${reason}`);
  }
  throw new StepError(
    "there is no Rust toolchain that compiles to WebAssembly",
    reasons.join("; "),
    "install rustup, or on Debian run this once as root or with a sudo that asks for no password",
  );
}

/** wasm-opt is a Node program: the project's Node must be the first that is found, whatever a route prepends. */
const withNpmBin = (env) => {
  const bin = inProject("node_modules", ".bin");
  return { ...env, PATH: [...splitWrappers(env.PATH, bin)].join(path.delimiter) };
};

function* splitWrappers(searchPath, bin) {
  yield bin;
  for (const folder of searchPath.split(path.delimiter)) if (folder !== bin) yield folder;
}
