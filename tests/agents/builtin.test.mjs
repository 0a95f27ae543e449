// The tools that every agent has: sub-agents, reminders, events of its own, and what it may read.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { aProvider, aRuntime, apis, toolConfigured, wants } from "./support.mjs";

const [runtime, provider] = await Promise.all([aRuntime(), aProvider()]);

const textOf = ({ content }) =>
  typeof content === "string" ? content : (content ?? []).map(({ text }) => text).join("");
const resultsOf = (request) => request.messages.filter(({ role }) => role === "tool").map(textOf);

/** A model that wants these calls for the input "go", and repeats what it was told; `others` says what it says else. */
const doing = (calls, others = (last) => ({ content: `answer to ${textOf(last)}` })) =>
  provider.model((request) => {
    const last = request.messages.at(-1);
    if (last.role === "tool") return { content: JSON.stringify(resultsOf(request)) };
    return textOf(last) === "go" ? { content: "", toolCalls: calls } : others(last, request);
  });

/** A stream whose model is about to do that. */
async function going(calls, { api = "chat", agent = {}, others, stream = runtime.stream(), more } = {}) {
  const model = doing(calls, others);
  await stream.agent("bot", model.of(api, agent), more);
  await stream.input("go");
  return { stream, model };
}
/** How its calls ended, in their order. */
async function ends(stream, count = 1) {
  const ended = await stream.until("tool.completed,tool.failed", count);
  return ended
    .sort((one, two) => (one.payload.callId < two.payload.callId ? -1 : 1))
    .map(({ payload: { result, error } }) => ({ result, error }));
}
/** What the model was told of them. */
const told = async (stream) => JSON.parse((await stream.outputs(2))[1].payload.content);

for (const api of apis) {
  describe(`spoken to as ${api}`, { concurrency: true }, () => {
    test("spawn gives a task to a sub-agent, and its answer is the result", async () => {
      const { stream, model } = await going([wants("spawn", { input: "count to three", path: "counter" })], { api });
      const [{ result }] = await ends(stream);
      assert.equal(result, "answer to count to three");
      assert.deepEqual(await told(stream), ["answer to count to three"]);
      const child = stream.below("counter");
      assert.deepEqual(await stream.children(), [child.path]);
      const [started] = await stream.events("tool.started");
      assert.equal(started.payload.streamPath, child.path);
      const [configured] = await child.events("subscription.configured");
      const [input] = await child.events("agent.input-added");
      const { callId } = started.payload;
      assert.deepEqual(input.payload.replyTo, { streamPath: stream.path, callId });
      assert.equal(input.payload.to, configured.payload.slug);
      assert.equal(input.cause.streamPath, stream.path);
      assert.ok((await child.turn(configured.payload.slug, 1)).matches);
      const [completed] = await stream.events("tool.completed");
      assert.equal(completed.cause.streamPath, child.path, "the chain goes through the child");
      assert.equal(completed.cause.turns, 2);
      assert.equal(model.requests.length, 3);
      // What it says afterwards is nobody's result.
      await child.input("and more");
      await child.outputs(2);
      assert.equal((await stream.events("tool.completed,tool.failed")).length, 1);
    });

    test("append_event, read_stream and schedule tell what they did", async () => {
      const stream = runtime.stream();
      await stream.append({ type: "fact", payload: { n: 1 } }, { type: "fact", payload: { n: 2 } });
      await going(
        [
          wants("append_event", { type: "note.taken", payload: { a: 1 } }),
          wants("append_event", { type: "note.taken", payload: { b: 1 }, streamPath: "notes/today" }),
          wants("read_stream", { types: "fact", last: 1 }),
          // Not before the model was told of this: it would answer both at once.
          wants("schedule", { name: "later", content: "reminder!", after: "PT5S" }),
        ],
        { api, stream },
      );
      const results = await ends(stream, 4);
      assert.deepEqual(
        results.map(({ error }) => error),
        [undefined, undefined, undefined, undefined],
      );
      assert.ok(
        JSON.stringify(results[2].result).includes('\\"n\\":2') || JSON.stringify(results[2].result).includes('"n":2'),
      );
      assert.ok(!JSON.stringify(results[2].result).includes('"n":1'));
      const [note] = await stream.events("note.taken");
      assert.deepEqual(note.payload, { a: 1 });
      assert.equal(note.metadata.tailrace.by, "subscription:bot");
      const [below] = await stream.below("notes/today").until("note.taken");
      assert.deepEqual(below.payload, { b: 1 });
      const last = (await stream.until("agent.output-added", 3)).at(-1);
      assert.equal(last.payload.content, "answer to reminder!");
      const all = await told(stream);
      assert.equal(all.length, 4);
      assert.ok(
        all.every((text) => !text.startsWith("failed")),
        JSON.stringify(all),
      );
    });
  });
}

describe("spawn", { concurrency: true }, () => {
  test("several at once are several streams, and the model goes on when all have answered", async () => {
    const { stream } = await going([1, 2, 3].map((n) => wants("spawn", { input: `task ${n}` })));
    assert.deepEqual(
      (await ends(stream, 3)).map(({ result }) => result),
      ["answer to task 1", "answer to task 2", "answer to task 3"],
    );
    assert.deepEqual(await told(stream), ["answer to task 1", "answer to task 2", "answer to task 3"]);
    assert.equal((await stream.children()).length, 3);
  });

  test("a child is like its parent, but for what it is told to be", async () => {
    const other = provider.model({ content: "I am the other" });
    const { stream } = await going(
      [
        wants("spawn", { input: "a", path: "same" }),
        wants("spawn", {
          input: "b",
          path: "other",
          agent: { system: "Be another.", model: other.name, tools: ["read_stream", "deploy"], maxTurns: 99 },
        }),
      ],
      {
        agent: { system: "Be you.", tools: ["read_stream", "spawn"], maxTurns: 5, options: { temperature: 0.5 } },
        more: { headers: { "x-own": "kept" } },
      },
    );
    assert.deepEqual((await ends(stream, 2))[1].result, "I am the other");
    const configOf = async (name) => (await stream.below(name).events("subscription.configured"))[0].payload;
    const [same, different] = [await configOf("same"), await configOf("other")];
    assert.deepEqual(
      [same.target.agent.system, same.target.agent.tools, same.headers],
      ["Be you.", ["read_stream", "spawn"], { "x-own": "kept" }],
    );
    const { agent } = different.target;
    assert.equal(agent.system, "Be another.");
    assert.equal(agent.maxTurns, 5, "no more turns than its parent");
    assert.equal(agent.baseUrl, provider.baseUrl);
    assert.ok(!agent.tools?.includes("deploy"), "no more tools than its parent");
    assert.ok(other.requests[0].body.includes("Be another."));
    const offered = other.requests[0].json.tools?.map((tool) => tool.function.name) ?? [];
    assert.deepEqual(offered, ["read_stream"]);
  });

  test("a child that fails for good fails the call", async () => {
    const bad = provider.model({ error: { message: "no such model", type: "invalid_request_error" }, status: 404 });
    const { stream } = await going([wants("spawn", { input: "x", agent: { model: bad.name } })]);
    const [{ error }] = await ends(stream);
    assert.match(error, /no such model/);
    assert.match((await told(stream))[0], /no such model/);
  });

  test("a child that uses up its turns fails the call", async () => {
    const endless = provider.model(() => ({ content: "", toolCalls: [wants("read_stream", {})] }));
    const { stream } = await going([wants("spawn", { input: "x", agent: { model: endless.name, maxTurns: 3 } })]);
    const [{ error }] = await ends(stream);
    assert.match(error, /maxTurns/);
  });

  test("a child that is interrupted fails the call", async () => {
    const slow = provider.scripted(({ response }) => new Promise((resolve) => response.once("close", resolve)));
    const { stream } = await going([wants("spawn", { input: "x", path: "slow", agent: { model: slow.name } })]);
    await slow.asked();
    await stream.below("slow").append({ type: "agent.interrupt-requested", payload: {} });
    const [{ error }] = await ends(stream);
    assert.match(error, /interrupted/);
  });

  test("a child whose stream is deleted fails the call", async () => {
    const slow = provider.scripted(({ response }) => new Promise((resolve) => response.once("close", resolve)));
    const { stream } = await going([wants("spawn", { input: "x", path: "gone", agent: { model: slow.name } })]);
    await slow.asked();
    await stream.event("stream.child-created");
    await stream.below("gone").delete();
    const [{ error }] = await ends(stream);
    assert.match(error, /deleted/);
  });

  test("a child that takes too long fails the call, and what it says later is not used", async () => {
    const gate = Promise.withResolvers();
    const slow = provider.model(async () => {
      await gate.promise;
      return { content: "too late" };
    });
    const { stream } = await going([
      wants("spawn", { input: "x", path: "slow", timeoutMs: 1_000, agent: { model: slow.name } }),
    ]);
    const [{ error }] = await ends(stream);
    assert.match(error, /in time/);
    gate.resolve();
    await stream.event("tool.completed", { result: "too late" });
    await stream.input("more");
    const outputs = await stream.outputs(3);
    assert.equal(outputs.length, 3);
    assert.ok(!(await stream.turn("bot", 3)).request.body.includes("too late"));
  });

  test("a child may have children of its own", async () => {
    const child = provider.model((request) => {
      const last = request.messages.at(-1);
      if (last.role === "tool") return { content: `child: ${textOf(last)}` };
      return textOf(last) === "outer"
        ? { content: "", toolCalls: [wants("spawn", { input: "inner", path: "grandchild" })] }
        : { content: `grandchild: ${textOf(last)}` };
    });
    const { stream } = await going([wants("spawn", { input: "outer", path: "child", agent: { model: child.name } })]);
    assert.deepEqual(await ends(stream), [{ result: "child: grandchild: inner", error: undefined }]);
    const grandchild = stream.below("child/grandchild");
    assert.equal((await grandchild.events("agent.output-added")).length, 1);
    const [output] = await grandchild.events("agent.output-added");
    assert.ok(output.cause.turns >= 3, "turns are counted through all of them");
  });

  test("children of children use up the turns of the chain", async () => {
    const model = provider.model(() => ({ content: "", toolCalls: [wants("spawn", { input: "deeper" })] }));
    const stream = runtime.stream();
    await stream.agent("bot", model.of("chat", { maxTurns: 4 }));
    await stream.input("go");
    const failed = await stream.event("tool.failed");
    assert.match(failed.payload.error, /stopped/);
    await stream.event("agent.stopped");
    assert.ok(model.requests.length <= 8, `${model.requests.length}`);
  });

  test("the same name again is another task for the same stream", async () => {
    const stream = runtime.stream();
    const model = provider.model((request) => {
      const last = request.messages.at(-1);
      if (last.role === "tool") return { content: textOf(last) };
      return textOf(last).startsWith("go")
        ? { content: "", toolCalls: [wants("spawn", { input: `task ${textOf(last)}`, path: "worker" })] }
        : { content: `did ${textOf(last)}` };
    });
    await stream.agent("bot", model.of("chat"));
    await stream.input("go 1");
    await stream.until("tool.completed", 1);
    await stream.outputs(2);
    await stream.input("go 2");
    const completed = await stream.until("tool.completed", 2);
    assert.deepEqual(
      completed.map(({ payload }) => payload.result),
      ["did task go 1", "did task go 2"],
    );
    assert.deepEqual(await stream.children(), [`${stream.path}/worker`]);
  });
});

describe("schedule", { concurrency: true }, () => {
  test("can be taken back, and is the agent's own alone", async () => {
    const stream = runtime.stream();
    const far = { after: "PT10H", event: { type: "message", payload: {} } };
    await stream.append({ type: "schedule.configured", payload: { slug: "person-s", ...far } });
    await going(
      [
        wants("schedule", { name: "mine", content: "x", every: "PT1H" }),
        wants("schedule", { remove: "mine" }),
        wants("schedule", { remove: "person-s" }),
        wants("schedule", { name: "person-s", content: "x", after: "PT1H" }),
      ],
      { stream },
    );
    await ends(stream, 4);
    const { schedules } = await stream.state();
    assert.deepEqual(Object.keys(schedules).sort(), ["bot.person-s", "person-s"]);
    assert.equal(schedules["person-s"].event?.type ?? "message", "message");
  });

  test("is refused when it can never be right", async () => {
    const { stream } = await going([
      wants("schedule", { content: "x" }),
      wants("schedule", { content: "x", every: "PT0.01S" }),
      wants("schedule", { content: "x", cron: "not cron" }),
      wants("schedule", { content: "x", at: "yesterday" }),
      wants("schedule", { content: "x", after: "PT1S", event: { type: "stream.resumed", payload: {} } }),
      wants("schedule", { content: "x", after: "PT1S", slug: "other" }),
    ]);
    const all = await ends(stream, 6);
    const refused = all.filter(({ error }) => error).length;
    assert.ok(refused >= 4, JSON.stringify(all));
    for (const { payload } of await stream.events("schedule.configured")) {
      assert.equal(payload.event.type, "agent.input-added");
      assert.ok(payload.slug.startsWith("bot."), payload.slug);
    }
  });

  test("wakes the agent while nobody listens", async () => {
    const { stream } = await going([wants("schedule", { content: "wake up", after: "PT5S" })]);
    const input = await stream.event("agent.input-added", { content: "wake up" });
    assert.equal(input.payload.to, "bot");
    const last = (await stream.outputs(3)).at(-1);
    assert.equal(last.payload.content, "answer to wake up");
  });
});

describe("read_stream", { concurrency: true }, () => {
  test("reads what is below, what is asked for, and not too much", async () => {
    const stream = runtime.stream();
    const below = stream.below("notes");
    await below.append({ type: "note", payload: { text: "from below" } });
    for (let n = 1; n <= 30; n++) await stream.append({ type: "n", payload: { n, text: "x".repeat(5_000) } });
    await going(
      [
        wants("read_stream", { streamPath: "notes" }),
        wants("read_stream", { streamPath: below.path, types: "note" }),
        wants("read_stream", { types: "n", last: 2 }),
        wants("read_stream", { types: "n" }),
        wants("read_stream", { types: "n", afterOffset: 29, last: null }),
        wants("read_stream", { streamPath: "not/there" }),
        wants("read_stream", { last: "two" }),
        wants("read_stream", { types: "" }),
      ],
      { stream },
    );
    const all = await ends(stream, 8);
    const text = (index) => JSON.stringify(all[index]);
    assert.ok(text(0).includes("from below") && text(1).includes("from below"), text(0));
    assert.ok(/"n\W+30\b/.test(text(2)) && !/"n\W+28\b/.test(text(2)));
    for (const [index, { result }] of all.entries()) {
      assert.ok(JSON.stringify(result ?? "").length < 200_000, `${index}`);
    }
    assert.ok(/"n\W+30\b/.test(text(4)));
    assert.equal(all[5].result === undefined, all[5].error !== undefined);
    assert.match(all[6].error, /arguments/);
    assert.equal(await runtime.stream(`${stream.path}/not/there`).head(), 0, "no read creates anything");
  });
});

describe("what a model may call", { concurrency: true }, () => {
  test("is what it is offered", async () => {
    const { stream, model } = await going(
      [wants("append_event", { type: "note", payload: {} }), wants("spawn", { input: "x" })],
      {
        agent: { tools: ["append_event"] },
      },
    );
    const all = await ends(stream, 2);
    assert.match(all[1].error, /no tool spawn/);
    assert.equal(all[0].error, undefined);
    assert.deepEqual(
      model.requests[0].json.tools.map((tool) => tool.function.name),
      ["append_event"],
    );
    assert.deepEqual(await stream.children(), []);
  });

  test("is nothing, with an empty list", async () => {
    const { stream, model } = await going([wants("append_event", { type: "note", payload: {} })], {
      agent: { tools: [] },
    });
    assert.match((await ends(stream))[0].error, /no tool/);
    assert.equal(model.requests[0].json.tools, undefined);
    assert.deepEqual(await stream.events("note"), []);
  });

  test("nobody can call a built-in tool by writing tool.requested", async () => {
    const stream = runtime.stream();
    const model = provider.model({ content: "hello" });
    await stream.append(toolConfigured("x"));
    await stream.agent("bot", model.of("chat"));
    await stream.append({
      type: "tool.requested",
      payload: { callId: "mine.0", name: "append_event", arguments: { type: "note", payload: {} } },
    });
    await stream.input("hello");
    await stream.outputs();
    assert.deepEqual(await stream.events("note,tool.completed,tool.failed"), []);
  });
});
