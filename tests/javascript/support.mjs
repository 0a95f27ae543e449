// A Worker of its own for processors as events, without the rest of the system.
import { Miniflare, convertV4MiniflareOptions } from "miniflare";
import { bundle } from "../../scripts/runtime/bundle.mjs";
import { withTiedWorkerd } from "../../scripts/runtime/processes.mjs";
import { inProject } from "../../scripts/setup/paths.mjs";

const build = process.env.TAILRACE_BUILD ?? inProject("build");

/**
 * @returns {Promise<{run(batch: object): Promise<object>, ping(): Promise<string>, seen(): Promise<object>,
 *   stop(): Promise<void>}>} `run` takes a processor's source and what differs from one event and no state
 */
export async function start() {
  Object.assign(process.env, withTiedWorkerd());
  const runtime = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      telemetry: { enabled: false },
      handleStructuredLogs: () => {},
      workers: [
        {
          name: "sandbox",
          compatibilityDate: "2026-10-01",
          modules: await bundle(inProject("tests", "javascript", "worker.js"), build),
          modulesRoot: "/",
        },
      ],
    }),
  );
  const url = (await runtime.ready).origin;
  return {
    async run(source, batch = {}) {
      const body = JSON.stringify({ source, events: [event(1)], state: "null", ...batch });
      const response = await fetch(`${url}/run`, { method: "POST", body });
      return response.json();
    },
    ping: async () => (await fetch(`${url}/ping`)).text(),
    seen: async () => (await fetch(`${url}/seen`)).json(),
    stop: () => runtime.dispose(),
  };
}

/** An event's line. */
export const event = (offset, more = {}) => JSON.stringify({ type: "message", offset, ...more });

/** A processor whose afterAppend is this code. */
export const answering = (code) => `export default { async afterAppend({ event, state, append, fetch }) { ${code} } }`;

/** A processor whose reduce is this code. */
export const folding = (code) => `export default { reduce(state, event) { ${code} } }`;
