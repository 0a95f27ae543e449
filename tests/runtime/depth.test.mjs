// Networks limit how deep a Worker and objects may call each other in one chain; the local runtime does not. So the chains
// are written down here as they happen, and judged.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";
import { unstable_getMiniflareWorkerOptions as workerOptionsOf } from "wrangler";
import { bundle } from "../../scripts/runtime/bundle.mjs";
import { runnableDate, withTiedWorkerd } from "../../scripts/runtime/processes.mjs";
import { inProject } from "../../scripts/setup/paths.mjs";

/** A client's request; the stream that it appends to; the courier with what that made due; the settle. */
const DEEPEST = 4;

/** What an object may be handling when it calls another, or the courier: its alarm, or a call from outside. */
const MAY_CALL = [/^Stream\.alarm$/, /^Front\.fetch > Stream\.(append|hook|fetch)$/];

const build = process.env.TAILRACE_BUILD ?? inProject("build");
const answers = new Map();
const received = new Map();
let runtime;
let subscriber;
let subscriberUrl;
let url;

before(async () => {
  Object.assign(process.env, withTiedWorkerd());
  const { workerOptions } = workerOptionsOf(inProject("wrangler.toml"), undefined, { envFiles: [] });
  runtime = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      telemetry: { enabled: false },
      handleStructuredLogs: () => {},
      workers: [
        {
          ...workerOptions,
          name: workerOptions.name ?? "tailrace",
          compatibilityDate: runnableDate(workerOptions.compatibilityDate),
          compatibilityFlags: [...workerOptions.compatibilityFlags, "nodejs_als"],
          modulesRules: undefined,
          modules: await bundle(inProject("tests", "runtime", "depth", "traced.js"), build),
          modulesRoot: "/",
          bindings: { ...workerOptions.bindings, TAILRACE_OPEN: "1", TAILRACE_LOOPBACK_TARGETS: "1" },
        },
      ],
    }),
  );
  url = (await runtime.ready).origin;
  subscriber = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    const name = request.url.slice(1);
    received.get(name)?.push(...JSON.parse(body).events);
    response.end(JSON.stringify(answers.get(name)?.(JSON.parse(body)) ?? {}));
  });
  await new Promise((resolve) => subscriber.listen(0, "127.0.0.1", resolve));
  subscriberUrl = `http://127.0.0.1:${subscriber.address().port}`;
});
after(async () => {
  subscriber.closeAllConnections();
  subscriber.close();
  await runtime.dispose();
});

async function call(method, path, body) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(url + path, { method, body: text });
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${response.ok ? "" : await response.text()}`);
  return response.status === 204 ? undefined : response.json();
}

const append = (stream, ...events) => call("POST", `/api/streams${stream}`, events);
const configured = (slug, target, more = {}) => ({
  type: "subscription.configured",
  payload: { slug, target, ...more },
});

/** A subscription by URL, whose events are answered with what `answer` says. */
function pushed(name, answer, more = {}) {
  answers.set(name, answer);
  received.set(name, []);
  return configured(name, { url: `${subscriberUrl}/${name}` }, more);
}

/** Waits until there are so many events of a type. */
async function events(stream, type, count = 1) {
  for (let after = 0, found = []; ;) {
    const page = await call("GET", `/api/streams${stream}?types=${type}&wait=20&afterOffset=${after}`).catch(() => {});
    found = [...found, ...(page?.events ?? [])];
    after = page?.afterOffset ?? after;
    if (found.length >= count) return found;
    if (page?.upToDate && page.events.length === 0) assert.fail(`${found.length} of ${count} ${type} in ${stream}`);
  }
}

/** Everything by which one part calls another. */
async function everything() {
  // An answer appends here, which is pushed again, and to another stream, where it is pushed as well.
  const echo = ({ events }) => ({
    state: { seen: events.length },
    append: events
      .filter(({ type }) => type === "asked")
      .flatMap(() => [{ type: "answered" }, { type: "told", streamPath: "/depth/elsewhere" }]),
  });
  await append(
    "/depth/elsewhere",
    pushed("relay", ({ events }) => ({ append: events.map(() => ({ type: "heard", streamPath: "/depth/here" })) }), {
      types: ["told"],
    }),
  );
  await append(
    "/depth/here",
    pushed("echo", echo, { types: ["asked", "answered", "heard", "tick"], batch: 1 }),
    pushed("where", echo, { types: ["asked", "answered"], where: "event.payload.n == 2" }),
  );
  await append("/depth/here", { type: "asked", payload: { n: 1 } }, { type: "asked", payload: { n: 2 } });
  await append("/depth/here", { type: "asked", payload: { n: 3 } });
  await events("/depth/here", "heard", 4);

  // A schedule rings, and what it appends is pushed; so is a hook, and what comes too long for a text.
  await append("/depth/here", {
    type: "schedule.configured",
    payload: { slug: "soon", after: 1, event: { type: "tick" } },
  });
  await events("/depth/here", "tick");
  await append(
    "/depth/hooked",
    pushed("hooked", () => ({ append: [{ type: "told", streamPath: "/depth/elsewhere" }] })),
  );
  await call("POST", "/hooks/depth/hooked", "anything");
  await append("/depth/here", { type: "asked", payload: { text: "x".repeat(700_000) } });
  await events("/depth/here", "heard", 5);

  // A wire for all below, children that are born later, workers that lease from any of them.
  await append(
    "/depth",
    configured("below", { pull: true }, { children: true, types: ["job"] }),
    pushed("wired", () => ({ append: [{ type: "done" }, { type: "told", streamPath: "../../elsewhere" }] }), {
      children: true,
      types: ["job"],
    }),
  );
  const leased = call("POST", "/api/lease/depth?slug=below&children=true&wait=20");
  await append("/depth/a/b", { type: "job" });
  const { lease, streamPath } = await leased;
  await call("POST", `/api/settle${streamPath}`, { lease, append: [{ type: "told", streamPath: "/depth/elsewhere" }] });
  await events("/depth/a/b", "done");
  await events("/depth/elsewhere", "told", 8);
  await events("/depth", "stream.child-created", 4);
  await call("POST", "/api/lease/depth?slug=below&children=true");
  await call("DELETE", "/api/streams/depth/a?children=true");
  await events("/depth", "stream.child-deleted");
}

test("no chain of calls is deeper than a client, a stream, the courier and its settle", async () => {
  await everything();
  const chains = await (await fetch(`${url}/chains`)).json();

  // What is not called by the front Worker or the courier is called by an object.
  const byObjects = chains.filter((chain) => !/(Front|Courier)\.\w+ > [^>]+$/.test(chain));
  assert.deepEqual(
    byObjects.filter((chain) => !MAY_CALL.some((one) => one.test(chain.slice(0, chain.lastIndexOf(" > "))))),
    [],
    "an object calls another only from its alarm, or while it handles a call from outside",
  );
  assert.equal(Math.max(...chains.map((chain) => chain.split(" > ").length)), DEEPEST, chains.join("\n"));

  // What it is about did happen.
  for (const chain of [
    "Front.fetch > Stream.append > Courier.deliver > Stream.settleLease",
    "Front.fetch > Stream.append > Courier.deliver > Stream.hold",
    "Front.fetch > Stream.hook > Courier.deliver > Stream.settleLease",
    "Front.fetch > Stream.fetch > Courier.deliver > Stream.settleLease",
    "Front.fetch > Stream.settleLease",
    "Front.fetch > Stream.lease",
    "Front.fetch > Stream.pick",
    "Stream.alarm > Stream.hear",
    "Stream.alarm > Courier.deliver > Stream.settleLease",
  ]) {
    assert.ok(chains.includes(chain), `${chain} is not among\n${chains.join("\n")}`);
  }
});
