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

/**
 * A client's request; the stream that it appends to; the courier with what that made due; the Runner that is to call a
 * model; what that tells the stream meanwhile, and in the end. Without a Runner it is one less: the courier settles.
 */
const DEEPEST = 5;

/**
 * What an object may be handling when it calls another, or the courier: its alarm, or a call from outside. A Runner that is
 * asked by the courier speaks to its stream, which calls nobody then.
 */
const MAY_CALL = [
  /^Stream\.alarm$/,
  /^Front\.fetch > Stream\.(append|hook|fetch)$/,
  /^Runner\.alarm$/,
  /^(Front\.fetch > Stream\.(append|hook|fetch)|Stream\.alarm) > Courier\.deliver > Runner\.(ask|breakOff)$/,
];

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
    if (name === "v1/chat/completions") return think(response, JSON.parse(body).messages);
    received.get(name)?.push(...JSON.parse(body).events);
    return response.end(JSON.stringify(answers.get(name)?.(JSON.parse(body)) ?? {}));
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

/** What the model wants to have called when it hears `work`. */
const CALLS = [
  ["look", {}],
  ["append_event", { type: "noted" }],
  ["append_event", { type: "noted", streamPath: "below" }],
  ["read_stream", {}],
  ["schedule", { content: "remember", after: "PT1S" }],
  ["spawn", { input: "small task", path: "child" }],
];

let refusals = 1;

/**
 * The model: calls tools for `work`, talks and talks at `ramble`, refuses `retry` once, and says a word to anything else.
 */
function think(response, messages) {
  const at = messages.findLastIndex(({ role }) => role === "user");
  const isCalled = messages.slice(at).some(({ role }) => role === "tool");
  const words = messages[at].content;
  if (words === "retry" && refusals-- > 0) return response.writeHead(503).end();
  response.writeHead(200, { "content-type": "text/event-stream" });
  const choose = (choice) => response.write(`data: ${JSON.stringify({ choices: [{ index: 0, ...choice }] })}\n\n`);
  if (words === "ramble") {
    const talks = setInterval(() => choose({ delta: { content: "and so on " } }), 5);
    return response.once("close", () => clearInterval(talks));
  }
  const calls = CALLS.map(([name, given], index) => ({
    ...{ index, id: `call-${index}` },
    function: { name, arguments: JSON.stringify(given) },
  }));
  const works = words === "work" && !isCalled;
  choose({ delta: works ? { tool_calls: calls } : { content: `done with ${words}` } });
  choose({ delta: {}, finish_reason: works ? "tool_calls" : "stop" });
  return response.end("data: [DONE]\n\n");
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

/** Everything that agents and hosted code make the parts do. */
async function agents() {
  const code = (source) => ({ javascript: { source: `export default { afterAppend({ append }) { ${source} } };` } });
  const model = { api: "chat", model: "any", baseUrl: `${subscriberUrl}/v1`, debounceMs: 0, onInput: "interrupt" };
  const input = (content) => ({ type: "agent.input-added", payload: { content } });
  const tool = (name, more) => ({ type: "tool.configured", payload: { name, ...more } });
  answers.set("look", () => ({ seen: "a lot" }));
  received.set("look", []);
  await append(
    "/agents",
    tool("look", { url: `${subscriberUrl}/look`, approval: true }),
    configured("agent", { agent: model }),
    configured("code", code(`append([{ type: "coded" }, { type: "told", streamPath: "/depth/elsewhere" }]);`), {
      types: ["agent.output-added", "noted"],
    }),
  );
  const finished = async (words) => {
    for (let count = 1; ; count++) {
      const outputs = await events("/agents", "agent.output-added", count);
      if (outputs.some(({ payload }) => payload.content === `done with ${words}`)) return;
    }
  };
  await append("/agents", input("work"));
  const [{ payload }] = await events("/agents", "tool.approval-requested");
  await append("/agents", { type: "tool.approved", payload: { callId: payload.callId } });
  // It may be reminded before it is done, which interrupts it.
  await finished("remember");
  await events("/agents/child", "agent.output-added");
  await events("/agents/below", "noted");
  await events("/agents", "coded", 3);
  await append("/agents", input("retry"));
  await finished("retry");
  await append("/agents", input("ramble"));
  // A follower, so that what is said is told.
  const stops = new AbortController();
  const followed = await fetch(`${url}/api/streams/agents?live=true`, { signal: stops.signal });
  let heard = "";
  for await (const piece of followed.body.pipeThrough(new TextDecoderStream())) {
    heard += piece;
    if (heard.includes("and so on")) break;
  }
  stops.abort();
  await append("/agents", input("never mind"));
  await finished("never mind");
  await events("/agents", "agent.turn-interrupted");
  await call("GET", "/api/agents/agents?slug=agent&turn=1");
}

test("no chain of calls is deeper than a client, a stream, the courier, a Runner and what it tells the stream", async () => {
  await everything();
  await agents();
  const chains = await (await fetch(`${url}/chains`)).json();

  // What is not called by the front Worker or the courier is called by an object.
  const byObjects = chains.filter((chain) => !/(Front|Courier)\.\w+ > [^>]+$/.test(chain));
  assert.deepEqual(
    byObjects.filter((chain) => !MAY_CALL.some((one) => one.test(chain.slice(0, chain.lastIndexOf(" > "))))),
    [],
    "an object calls another only from its alarm, or while it handles a call from outside",
  );
  assert.deepEqual(
    chains.filter((chain) => / > Runner\.\w+$/.test(chain) && !/Courier\.deliver > Runner\.\w+$/.test(chain)),
    [],
    "only the courier calls a Runner",
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
    "Front.fetch > Stream.append > Courier.deliver > Runner.ask > Stream.endRequest",
    "Front.fetch > Stream.append > Courier.deliver > Runner.ask > Stream.say",
    "Front.fetch > Stream.append > Courier.deliver > Runner.breakOff",
    "Stream.alarm > Courier.deliver > Runner.ask > Stream.endRequest",
    "Runner.alarm > Stream.endRequest",
  ]) {
    assert.ok(chains.includes(chain), `${chain} is not among\n${chains.join("\n")}`);
  }
});
