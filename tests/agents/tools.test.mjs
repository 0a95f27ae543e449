// Tools: what a model wants called, who runs it, and that the model is told once how each call ended.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { aProvider, aRuntime, aServer, apis, toolConfigured, until, wants } from "./support.mjs";

const [runtime, provider] = await Promise.all([aRuntime(), aProvider()]);

/** What servers of tools were asked, by the first segment of the path; `answers` has what they say. */
const pushed = new Map();
const answers = new Map();
const toolsUrl = await aServer(async (request, response, body) => {
  const name = request.url.slice(1);
  const pushes = pushed.get(name) ?? [];
  pushed.set(name, pushes);
  pushes.push({ headers: request.headers, body: JSON.parse(body.toString() || "null") });
  await answers.get(name)?.(response, pushes.length, pushes.at(-1).body);
});

let tools = 0;
/** A tool by URL; `answer(response, count, batch)`. */
function served(answer, more = {}) {
  const name = `t${++tools}`;
  answers.set(name, answer);
  pushed.set(name, []);
  return {
    name,
    configured: toolConfigured(name, { url: `${toolsUrl}/${name}`, ...more }),
    get pushes() {
      return pushed.get(name);
    },
  };
}

const resultsOf = (request) => request.messages.filter(({ role }) => role === "tool").map(({ content }) => content);
/** A model that wants these calls once, and then says what it was told. */
const caller = (calls) =>
  provider.model((request) => {
    const results = resultsOf(request);
    return results.length ? { content: JSON.stringify(results) } : { content: "", toolCalls: calls };
  });
/** What the model was told, once it was. */
const told = async (stream) => {
  const outputs = await stream.until("agent.output-added", (events) =>
    events.some(({ payload }) => !payload.toolCalls),
  );
  return JSON.parse(outputs.find(({ payload }) => !payload.toolCalls).payload.content);
};

/** A stream in which the model's calls were made, with tools that somebody outside runs. */
async function calling(calls, { api = "chat", agent = {}, tools: configured = [] } = {}) {
  const stream = runtime.stream();
  const model = caller(calls);
  for (const tool of configured) await stream.append(tool);
  await stream.agent("bot", model.of(api, agent));
  await stream.input("go");
  return { stream, model };
}

for (const api of apis) {
  describe(`spoken to as ${api}`, { concurrency: true }, () => {
    test("parallel calls are requested at once, and the model goes on when all have ended, in whatever order", async () => {
      const { stream, model } = await calling([wants("a", { n: 1 }), wants("b", { n: 2 }), wants("a", { n: 3 })], {
        api,
        tools: [toolConfigured("a"), toolConfigured("b")],
      });
      const requested = await stream.until("tool.requested", 3);
      const [output] = await stream.outputs();
      assert.deepEqual(
        requested.map(({ payload: { callId, name, arguments: args, agent } }) => ({ callId, name, args, agent })),
        [
          { callId: `${output.payload.requestId}.0`, name: "a", args: { n: 1 }, agent: "bot" },
          { callId: `${output.payload.requestId}.1`, name: "b", args: { n: 2 }, agent: "bot" },
          { callId: `${output.payload.requestId}.2`, name: "a", args: { n: 3 }, agent: "bot" },
        ],
        "ids are ours",
      );
      assert.deepEqual(
        output.payload.toolCalls,
        requested.map(({ payload: { callId, name, arguments: args } }) => ({ callId, name, arguments: args })),
      );
      const end = (index, type, payload) =>
        stream.append({ type, payload: { callId: requested[index].payload.callId, ...payload } });
      await end(2, "tool.completed", { result: "third" });
      await end(0, "tool.failed", { error: "no luck" });
      await end(2, "tool.completed", { result: "third again" });
      await end(0, "tool.completed", { result: "luck after all" });
      await end(1, "tool.completed", { result: [1, null, "x"] });
      assert.deepEqual(
        await told(stream),
        ["failed: no luck", '[1,null,"x"]', "third"],
        "the first end of each counts",
      );
      await end(1, "tool.completed", { result: "late" });
      await stream.input("once more");
      await stream.outputs(3);
      assert.equal(model.requests.length, 3);
      assert.deepEqual(
        JSON.parse((await stream.outputs(3))[2].payload.content),
        ["failed: no luck", '[1,null,"x"]', "third"],
        "what came late is logged and unused",
      );
    });

    test("what the model cannot call fails, and the model is told why", async () => {
      const { stream, model } = await calling(
        [wants("missing", { a: 1 }), wants("known", "[1,2]"), wants("known", '"text"'), wants("hidden", {})],
        {
          api,
          agent: { tools: ["known", "missing"] },
          tools: [toolConfigured("known"), toolConfigured("hidden")],
        },
      );
      const results = await told(stream);
      assert.equal(results.length, 4);
      assert.match(results[0], /there is no tool missing/);
      assert.match(results[1], /not a JSON object/);
      assert.match(results[2], /not a JSON object/);
      assert.match(results[3], /there is no tool hidden/);
      assert.deepEqual(await stream.events("tool.requested"), []);
      assert.equal((await stream.events("tool.failed")).length, 4);
      assert.equal(model.requests.length, 2);
      assert.deepEqual(
        (model.requests[0].json.tools ?? []).map((tool) => tool.name ?? tool.function?.name),
        ["known"],
      );
    });
  });
}

describe("a tool by URL", { concurrency: true }, () => {
  test("answers with any JSON, and that is the result", async () => {
    const tool = served((response) => response.end(JSON.stringify({ temperature: 21, ok: true })), {
      headers: { "X-Own": "1" },
    });
    const { stream } = await calling([wants(tool.name, { city: "Paris" })], { tools: [tool.configured] });
    assert.deepEqual(await told(stream), ['{"temperature":21,"ok":true}']);
    const [requested] = await stream.events("tool.requested");
    const [started] = await stream.events("tool.started");
    const [completed] = await stream.events("tool.completed");
    const { callId } = requested.payload;
    assert.deepEqual(started.payload, { ...started.payload, callId, attempt: 1 });
    assert.deepEqual(completed.payload, { ...completed.payload, callId, result: { temperature: 21, ok: true } });
    assert.ok(requested.offset < started.offset && started.offset < completed.offset);
    assert.equal(tool.pushes.length, 1);
    const [{ headers, body }] = tool.pushes;
    assert.equal(headers["x-own"], "1");
    assert.ok(headers["webhook-signature"] && headers["webhook-id"]);
    assert.deepEqual(
      body.events.map(({ type, payload }) => [type, payload.name, payload.arguments]),
      [["tool.requested", tool.name, { city: "Paris" }]],
    );
    assert.equal(body.streamPath, stream.path);
  });

  for (const [what, body, told_] of [
    ["a text that is no JSON", "just words 🐟", ["just words 🐟"]],
    ["nothing at all", "", [""]],
    ["a number", "42", ["42"]],
    ["null", "null", ["null"]],
    ["an array", "[1, 2]", ["[1,2]"]],
  ]) {
    test(`may answer with ${what}`, async () => {
      const tool = served((response) => response.end(body));
      const { stream } = await calling([wants(tool.name, {})], { tools: [tool.configured] });
      assert.deepEqual(await told(stream), told_);
    });
  }

  test("may answer with events instead, as every processor does", async () => {
    const tool = served((response, count, { events: [{ payload }] }) =>
      response.end(
        JSON.stringify({
          state: { calls: count },
          append: [
            { type: "note.taken", payload: { of: payload.callId } },
            { type: "tool.completed", payload: { callId: payload.callId, result: "by settle" } },
          ],
        }),
      ),
    );
    const { stream } = await calling([wants(tool.name, {})], { tools: [tool.configured] });
    assert.deepEqual(await told(stream), ["by settle"]);
    assert.equal((await stream.events("note.taken")).length, 1);
  });

  test("that says the call is wrong is not asked again", async () => {
    const tool = served((response) => {
      response.statusCode = 404;
      response.end("no such city");
    });
    const { stream } = await calling([wants(tool.name, {})], { tools: [tool.configured] });
    assert.match((await told(stream))[0], /404.*no such city/);
    assert.equal(tool.pushes.length, 1);
    assert.equal((await stream.events("tool.failed")).length, 1);
    assert.equal((await stream.subscription(`tool.${tool.name}`)).halted ?? null, null, "the next call may be right");
  });

  test("that fails is asked again, and each attempt is told", async () => {
    const tool = served((response, count) => {
      response.statusCode = count === 1 ? 500 : 200;
      response.end(count === 1 ? "overloaded" : '"at last"');
    });
    const { stream } = await calling([wants(tool.name, {})], { tools: [tool.configured] });
    assert.deepEqual(await told(stream), ["at last"]);
    assert.deepEqual(
      (await stream.events("tool.started")).map(({ payload }) => payload.attempt),
      [1, 2],
    );
    assert.equal((await stream.events("tool.completed,tool.failed")).length, 1);
    assert.deepEqual(tool.pushes[0].body.events, tool.pushes[1].body.events);
  });

  test("that keeps failing fails its call, and not the ones behind it", async () => {
    const tool = served((response, count, { events: [{ payload }] }) => {
      response.statusCode = payload.arguments.ok ? 200 : 500;
      response.end(payload.arguments.ok ? "fine" : "broken");
    });
    const { stream } = await calling([wants(tool.name, {}), wants(tool.name, { ok: true })], {
      tools: [tool.configured],
    });
    const results = await told(stream);
    assert.match(results[0], /500.*broken/);
    assert.equal(results[1], "fine");
    assert.deepEqual(
      (await stream.events("tool.started")).map(({ payload }) => payload.attempt),
      [1, 2, 3, 4, 1],
    );
  });

  test("that points elsewhere is not followed", async () => {
    const other = served((response) => response.end("followed"));
    const tool = served((response) => {
      response.writeHead(307, { location: `${toolsUrl}/${other.name}` });
      response.end();
    });
    const { stream } = await calling([wants(tool.name, {})], { tools: [tool.configured] });
    assert.match((await told(stream))[0], /30[17]|redirect/i);
    assert.deepEqual(other.pushes, []);
  });

  test("that says nothing within its time has failed, and what it says later is not used", async () => {
    const gate = Promise.withResolvers();
    const tool = served(
      async (response) => {
        await gate.promise;
        response.end("too late");
      },
      { timeoutMs: 700 },
    );
    const { stream } = await calling([wants(tool.name, {})], { tools: [tool.configured] });
    assert.match((await told(stream))[0], /^failed: no (result in time|whole answer)/);
    gate.resolve();
    await stream.input("and then?");
    await stream.outputs(3);
    // The answer may still come in: the first end counts.
    assert.match((await told(stream))[0], /^failed/);
    assert.equal((await stream.events("tool.failed")).length, 1);
  });

  test("that is too long-winded, or nests too deep, has failed", async () => {
    const long = served((response) => response.end(JSON.stringify("x".repeat(1_100_000))));
    const deep = served((response) => response.end("[".repeat(80) + "]".repeat(80)));
    const { stream } = await calling([wants(long.name, {}), wants(deep.name, {})], {
      tools: [long.configured, deep.configured],
    });
    const results = await told(stream);
    assert.match(results[0], /^failed: .*longer/);
    assert.match(results[1], /^failed: .*deep/);
  });

  test("that is configured anew is called where it is by then; one that is removed is not called any more", async () => {
    const first = served((response) => response.end('"first"'));
    const second = served((response) => response.end('"second"'));
    const stream = runtime.stream();
    const model = provider.model((request) =>
      request.messages.at(-1).role === "tool"
        ? { content: request.messages.at(-1).content }
        : { content: "", toolCalls: [wants(first.name, {})] },
    );
    await stream.append(first.configured);
    await stream.agent("bot", model.of("chat"));
    await stream.input("one");
    await stream.outputs(2);
    await stream.append(toolConfigured(first.name, { url: `${toolsUrl}/${second.name}` }));
    await stream.input("two");
    await stream.outputs(4);
    await stream.append({ type: "tool.removed", payload: { name: first.name } });
    await stream.input("three");
    const outputs = await stream.outputs(6);
    assert.deepEqual(
      outputs.map(({ payload }) => payload.content).filter((content) => content !== ""),
      ["first", "second", `failed: there is no tool ${first.name}`],
    );
    assert.deepEqual([first.pushes.length, second.pushes.length], [1, 1]);
    assert.equal((await stream.state()).tools?.[first.name], undefined);
  });

  test("is not asked by a tool.requested that nobody may write, nor twice by one that is written twice", async () => {
    const tool = served((response, count) => response.end(`"${count}"`));
    const { stream } = await calling([wants(tool.name, {})], { tools: [tool.configured] });
    assert.deepEqual(await told(stream), ["1"]);
    const [requested] = await stream.events("tool.requested");
    // Whoever may append may ask for a tool that needs no approval: it is an event like any other.
    await stream.append({ type: "tool.requested", payload: { callId: "mine.0", name: tool.name, arguments: {} } });
    await stream.event("tool.completed", { callId: "mine.0" });
    await stream.append({ type: "tool.requested", payload: requested.payload });
    await stream.input("more");
    await stream.outputs(3);
    assert.deepEqual(JSON.parse((await stream.outputs(3))[2].payload.content), ["1"], "a call has one end");
  });
});

describe("a tool that a worker pulls", { concurrency: true }, () => {
  test("is leased, run and settled", async () => {
    const stream = runtime.stream();
    const model = caller([wants("dig", { at: "here" })]);
    await stream.append(toolConfigured("dig"), {
      type: "subscription.configured",
      payload: {
        slug: "digger",
        target: { pull: true },
        types: ["tool.requested"],
        where: 'event.payload.name == "dig"',
      },
    });
    await stream.agent("bot", model.of("chat"));
    await stream.input("go");
    const { lease, events } = await stream.lease("digger");
    const { callId, arguments: args } = events[0].payload;
    assert.deepEqual(args, { at: "here" });
    await stream.settle({
      lease,
      append: [
        { type: "tool.started", payload: { callId, attempt: 1 } },
        { type: "tool.completed", payload: { callId, result: "a bone" } },
      ],
    });
    assert.deepEqual(await told(stream), ["a bone"]);
  });

  test("that nobody runs has failed when its time is over, and is not run afterwards", async () => {
    const { stream } = await calling([wants("slow", {})], { tools: [toolConfigured("slow", { timeoutMs: 500 })] });
    assert.deepEqual(await told(stream), ["failed: no result in time"]);
    const [{ payload }] = await stream.events("tool.requested");
    await stream.append({ type: "tool.completed", payload: { callId: payload.callId, result: "sorry" } });
    await stream.input("and?");
    assert.deepEqual(JSON.parse((await stream.outputs(3))[2].payload.content), ["failed: no result in time"]);
  });

  test("is told of in the state, with where it is called", async () => {
    const stream = runtime.stream();
    await stream.append(
      toolConfigured("here", { timeoutMs: 1_234, approval: true }),
      toolConfigured("there", { url: `${toolsUrl}/there` }),
    );
    const { tools: all } = await stream.state();
    assert.equal(all.here.approval, true);
    assert.equal(all.here.timeoutMs, 1_234);
    assert.equal(all.there.url, `${toolsUrl}/there`);
    assert.equal(all.there.subscription, "tool.there");
    assert.equal((await stream.subscription("tool.there")).slug, "tool.there");
  });

  test("has a name that every provider takes, and parameters that are an object", async () => {
    const stream = runtime.stream();
    for (const bad of [
      { name: "append_event" },
      { name: "with space" },
      { name: "x".repeat(60) },
      { name: "" },
      {},
      { name: "a", parameters: [] },
      { name: "a", url: "ftp://x.test" },
      { name: "a", url: "http://169.254.169.254/" },
      { name: "a", headers: { a: "b" } },
      { name: "a", timeoutMs: 1 },
      { name: "a", unknown: true },
    ]) {
      const response = await stream.post({ type: "tool.configured", payload: bad });
      assert.ok(response.status >= 400 && response.status < 500, `${JSON.stringify(bad)}: ${response.status}`);
    }
    assert.equal(await stream.head(), 0);
  });
});

test("a call that takes two turns to answer is one chain", async () => {
  const model = provider.model((request) => {
    const results = resultsOf(request).length;
    return results < 3 ? { content: "", toolCalls: [wants("step", { results })] } : { content: "done" };
  });
  const stream = runtime.stream();
  await stream.append(toolConfigured("step"));
  await stream.agent("bot", model.of("messages"));
  await stream.input("go");
  for (let count = 1; count <= 3; count++) {
    const { payload } = (await stream.until("tool.requested", count)).at(-1);
    // Somebody who names no cause: the chain is known all the same.
    await stream.append({ type: "tool.completed", payload: { callId: payload.callId, result: count } });
  }
  const outputs = await stream.outputs(4);
  assert.deepEqual(
    outputs.map(({ cause }) => cause.turns),
    [1, 2, 3, 4],
  );
  await until("the mock has heard four requests", () => model.requests.length === 4);
});
