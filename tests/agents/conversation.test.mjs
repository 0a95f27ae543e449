// When an agent answers, what it answers, and what ends that: input that comes together or in between, others it waits for
// or talks to, pauses, removal, deletion, new versions.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  aProvider,
  aRuntime,
  aServer,
  agentConfigured,
  apis,
  speak,
  toolConfigured,
  until,
  wants,
} from "./support.mjs";

const [runtime, provider] = await Promise.all([aRuntime(), aProvider()]);

const textOf = ({ content }) =>
  typeof content === "string" ? content : (content ?? []).map(({ text }) => text).join("");
/** What users said in a request, as chat puts it. */
const saidBy = (request, role = "user") => request.json.messages.filter((message) => message.role === role).map(textOf);

/** A model that is held up, and can be let go: `gates[n].resolve()` ends the answer to its nth request. */
function held(api = "chat", begins = ["Well, "], ends = (count) => [`answer ${count}.`]) {
  const gates = [];
  const gate = (count) => (gates[count - 1] ??= Promise.withResolvers());
  const model = provider.scripted(async ({ response, count, entry }) => {
    speak(response, api, begins, { ends: false });
    await Promise.race([gate(count).promise, new Promise((resolve) => response.once("close", resolve))]);
    if (!entry.isOver) speak(response, api, ends(count));
  });
  return { model, letGo: (count) => gate(count).resolve() };
}
/** It is heard that the model has begun to speak. */
const heard = (stream, tail, count = 1) =>
  tail.until(() => new Set(tail.deltas.map(({ requestId }) => requestId)).size >= count);

describe("input", { concurrency: true }, () => {
  test("that comes together is answered together", async () => {
    const model = provider.model({ content: "one answer" });
    const stream = runtime.stream();
    await stream.agent("bot", model.of("chat", { debounceMs: 5_000 }));
    for (const content of ["one", "two", "three"]) await stream.input(content);
    await stream.outputs();
    assert.deepEqual(saidBy(model.requests[0]), ["one", "two", "three"]);
    assert.equal(model.requests.length, 1);
  });

  test("that comes again and again is answered all the same", async () => {
    const model = provider.model({ content: "let me speak" });
    const stream = runtime.stream();
    await stream.agent("bot", model.of("chat", { debounceMs: 200 }));
    let isDone = false;
    const answered = stream.outputs().finally(() => (isDone = true));
    for (let count = 0; !isDone; count++) {
      await stream.input(`${count}`);
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    await answered;
  });

  test("for somebody else is not answered", async () => {
    const one = provider.model({ content: "I am one" });
    const two = provider.model({ content: "I am two" });
    const stream = runtime.stream();
    await stream.agent("one", one.of("chat"));
    await stream.agent("two", two.of("messages"));
    await stream.input("for one", { to: "one" });
    await stream.event("agent.output-added", { agent: "one" });
    await stream.input("for both");
    await stream.until("agent.output-added", (events) =>
      ["one", "two"].every(
        (agent) => events.filter(({ payload }) => payload.agent === agent).length === { one: 2, two: 1 }[agent],
      ),
    );
    assert.deepEqual(saidBy(one.requests[1]), ["for one", "for both"]);
    assert.deepEqual(
      two.requests[0].json.messages.map(({ content }) => content.map(({ text }) => text).join("")),
      ["for both"],
      "nor does the other hear of it, nor of what it answered",
    );
    for (const slug of ["one", "two"]) assert.ok((await stream.turn(slug, 1)).matches);
    const turns = await stream.events("agent.turn-started");
    assert.deepEqual(turns.map(({ payload: { agent, turn } }) => `${agent} ${turn}`).sort(), [
      "one 1",
      "one 2",
      "two 1",
    ]);
  });

  test("of any form is shown to the model", async () => {
    const model = provider.model({ content: "ok" });
    const stream = runtime.stream();
    await stream.agent("bot", model.of("chat", { debounceMs: 500 }));
    await stream.append(
      { type: "agent.input-added", payload: { content: { any: ["JSON", 1] } } },
      { type: "agent.input-added", payload: { text: "no content" } },
      { type: "agent.input-added", payload: [1, 2] },
      { type: "agent.input-added", payload: null },
      { type: "agent.input-added", payload: { content: "from before", role: "assistant" } },
      { type: "agent.input-added", payload: { content: "", role: 7, to: 7, from: {} } },
      { type: "agent.input-added", payload: { content: "last" } },
    );
    await stream.outputs();
    const text = JSON.stringify(model.requests[0].json.messages);
    for (const part of ["JSON", "no content", "from before", "last"]) assert.ok(text.includes(part), text);
    assert.ok((await stream.turn("bot", 1)).matches);
  });

  test("that is a lot is sent as it is", async () => {
    const model = provider.model({ content: "that was long" });
    const stream = runtime.stream();
    await stream.agent("bot", model.of("responses", { debounceMs: 5_000 }));
    const long = "🐟 quite long ".repeat(40_000);
    await stream.input(long);
    await stream.input(long);
    await stream.outputs();
    assert.ok(model.requests[0].body.length > 2 * long.length);
    assert.equal((await stream.turn("bot", 1)).request.body, model.requests[0].body);
  });
});

for (const api of apis) {
  describe(`input meanwhile, spoken to as ${api}`, { concurrency: true }, () => {
    test("waits for its turn while the model is called", async () => {
      const { model, letGo } = held(api);
      const stream = runtime.stream();
      await stream.agent("bot", model.of(api));
      const tail = await stream.live();
      await stream.input("one");
      await heard(stream, tail);
      await stream.input("two");
      await stream.input("three");
      letGo(1);
      await model.asked(2);
      letGo(2);
      const outputs = await stream.outputs(2);
      tail.stop();
      assert.deepEqual(
        outputs.map(({ payload }) => payload.content),
        ["Well, answer 1.", "Well, answer 2."],
      );
      assert.equal(model.requests.length, 2, "what waited is answered at once");
      for (const text of ["one", "Well, answer 1.", "two", "three"]) assert.ok(model.requests[1].body.includes(text));
      assert.ok(!model.requests[0].body.includes("two"));
    });

    test("breaks the call off, if it is so configured, and is answered with what was said until then", async () => {
      const { model, letGo } = held(api);
      const stream = runtime.stream();
      await stream.agent("bot", model.of(api, { onInput: "interrupt" }));
      const tail = await stream.live();
      await stream.input("one");
      await heard(stream, tail);
      await stream.input("no, two");
      await model.asked(2);
      letGo(2);
      const [output] = await stream.outputs();
      tail.stop();
      const [interrupted] = await stream.events("agent.turn-interrupted");
      assert.equal(interrupted.payload.partial, "Well, ");
      await until("the first call was left", () => model.requests[0].isOver);
      assert.ok(model.requests[0].isBrokenOff, "nobody pays for what nobody hears");
      assert.equal(output.payload.content, "Well, answer 2.");
      assert.ok(model.requests[1].body.includes("Well, ") && model.requests[1].body.includes("no, two"));
      assert.equal((await stream.turn("bot", 2)).request.body, model.requests[1].body);
      assert.deepEqual(await stream.events("agent.stopped,agent.turn-failed"), []);
    });
  });
}

describe("input while tools are called", { concurrency: true }, () => {
  /** A stream whose model wants two calls that nobody runs yet. */
  async function calling(agent) {
    const model = provider.model((request) => {
      const last = request.messages.at(-1);
      return textOf(last) === "one"
        ? { content: "", toolCalls: [wants("slow", { n: 1 }), wants("slow", { n: 2 })] }
        : { content: `told: ${request.messages.map(textOf).join("|")}` };
    });
    const stream = runtime.stream();
    await stream.append(toolConfigured("slow"));
    await stream.agent("bot", model.of("chat", agent));
    await stream.input("one");
    const requested = await stream.until("tool.requested", 2);
    return { stream, model, ids: requested.map(({ payload }) => payload.callId) };
  }

  test("waits until they have ended", async () => {
    const { stream, model, ids } = await calling({});
    await stream.input("two");
    await stream.append({ type: "tool.completed", payload: { callId: ids[0], result: "r1" } });
    await stream.append({ type: "tool.completed", payload: { callId: ids[1], result: "r2" } });
    const [, output] = await stream.outputs(2);
    for (const text of ["r1", "r2", "two"]) assert.ok(output.payload.content.includes(text), output.payload.content);
    assert.equal(model.requests.length, 2);
  });

  test("ends them, if it is so configured, and the model is told", async () => {
    const { stream, model, ids } = await calling({ onInput: "interrupt" });
    await stream.append({ type: "tool.completed", payload: { callId: ids[0], result: "r1" } });
    await stream.input("two");
    const [, output] = await stream.outputs(2);
    const [failed] = await stream.events("tool.failed");
    assert.deepEqual([failed.payload.callId, failed.payload.error], [ids[1], "interrupted"]);
    for (const text of ["r1", "failed: interrupted", "two"]) {
      assert.ok(output.payload.content.includes(text), output.payload.content);
    }
    await stream.append({ type: "tool.completed", payload: { callId: ids[1], result: "late" } });
    await stream.input("three");
    const outputs = await stream.outputs(3);
    assert.ok(!outputs[2].payload.content.includes("late"));
    assert.equal(model.requests.length, 3);
  });

  test("agent.interrupt-requested ends them, and nothing follows", async () => {
    const { stream, model } = await calling({});
    await stream.append({ type: "agent.interrupt-requested", payload: {} });
    const stopped = await stream.event("agent.stopped");
    assert.equal(stopped.payload.reason, "interrupted");
    assert.deepEqual(
      (await stream.events("tool.failed")).map(({ payload }) => payload.error),
      ["interrupted", "interrupted"],
    );
    assert.equal(model.requests.length, 1);
    await stream.input("and now?");
    await stream.outputs(2);
    assert.equal(model.requests.length, 2);
  });
});

describe("agent.interrupt-requested", { concurrency: true }, () => {
  test("breaks the call off, and nothing follows", async () => {
    const { model, letGo } = held();
    const stream = runtime.stream();
    await stream.agent("bot", model.of("chat"));
    const tail = await stream.live();
    await stream.input("one");
    await heard(stream, tail);
    tail.stop();
    await stream.append({ type: "agent.interrupt-requested", payload: { agent: "another" } });
    await stream.append({ type: "agent.interrupt-requested", payload: {} });
    const stopped = await stream.event("agent.stopped");
    assert.equal(stopped.payload.reason, "interrupted");
    const [interrupted] = await stream.events("agent.turn-interrupted");
    assert.equal(interrupted.payload.partial, "Well, ");
    await until("the call was left", () => model.requests[0].isOver);
    assert.deepEqual(await stream.events("agent.output-added"), []);
    await stream.input("go on");
    await model.asked(2);
    letGo(2);
    await stream.outputs();
  });

  test("with nothing to interrupt does nothing", async () => {
    const model = provider.model({ content: "yes" });
    const stream = runtime.stream();
    await stream.agent("bot", model.of("chat"));
    await stream.append({ type: "agent.interrupt-requested", payload: {} });
    await stream.input("hello");
    await stream.outputs();
    assert.deepEqual(await stream.events("agent.stopped,agent.turn-interrupted"), []);
  });
});

describe("maxTurns", { concurrency: true }, () => {
  test("ends a chain of calls that would go on for ever", async () => {
    const url = await aServer((request, response) => response.end('"again"'));
    const model = provider.model(() => ({ content: "", toolCalls: [wants("again", {})] }));
    const stream = runtime.stream();
    await stream.append(toolConfigured("again", { url }));
    await stream.agent("bot", model.of("chat", { maxTurns: 3 }));
    await stream.input("go");
    const stopped = await stream.event("agent.stopped");
    assert.equal(stopped.payload.reason, "maxTurns");
    assert.equal(model.requests.length, 3);
    // Somebody who speaks begins a new chain.
    await stream.input("once more");
    await stream.until("agent.stopped", 2);
    assert.equal(model.requests.length, 6);
  });

  test("ends two agents in one stream that talk to each other", async () => {
    const stream = runtime.stream();
    const chatty = (to) =>
      provider.model({
        content: "",
        toolCalls: [wants("append_event", { type: "agent.input-added", payload: { content: "you?", to } })],
      });
    const [ping, pong] = [chatty("pong"), chatty("ping")];
    await stream.agent("ping", ping.of("chat", { maxTurns: 4 }));
    await stream.agent("pong", pong.of("responses", { maxTurns: 4 }));
    await stream.input("start", { to: "ping" });
    await stream.until("agent.stopped", 2);
    assert.ok(ping.requests.length <= 5 && pong.requests.length <= 5);
  });

  test("ends two agents in different streams that talk to each other", async () => {
    const [here, there] = [runtime.stream(), runtime.stream()];
    const chatty = (to) =>
      provider.model({
        content: "",
        toolCalls: [
          wants("append_event", { type: "agent.input-added", streamPath: to.path, payload: { content: "and you?" } }),
        ],
      });
    const [one, two] = [chatty(there), chatty(here)];
    await here.agent("one", one.of("chat", { maxTurns: 5, allow: [there.path] }));
    await there.agent("two", two.of("messages", { maxTurns: 5, allow: [here.path] }));
    await here.input("start");
    const stopped = await Promise.race([here.event("agent.stopped"), there.event("agent.stopped")]);
    assert.equal(stopped.payload.reason, "maxTurns");
    const inputs = await there.events("agent.input-added");
    assert.ok(inputs.length > 0, "they did talk");
    assert.ok(inputs[0].cause.turns > 0 && inputs[0].cause.streamPath === here.path, JSON.stringify(inputs[0].cause));
    await Promise.all([here.event("agent.stopped"), there.event("agent.stopped")]);
    const counts = [one.requests.length, two.requests.length];
    assert.ok(
      counts.every((count) => count <= 8),
      `${counts}`,
    );
  });

  test("is not used up by a long conversation with people", async () => {
    const model = provider.model((request) => ({ content: `${request.messages.length}` }));
    const stream = runtime.stream();
    await stream.agent("bot", model.of("chat", { maxTurns: 2 }));
    for (let count = 1; count <= 5; count++) {
      await stream.input(`${count}`);
      await stream.outputs(count);
    }
    assert.deepEqual(await stream.events("agent.stopped"), []);
  });
});

describe("waitFor", { concurrency: true }, () => {
  /** A stream with somebody who sees every input before the agent does. */
  async function guarded(guard) {
    const url = await aServer((request, response, body) => guard(response, JSON.parse(body.toString()), stream));
    const model = provider.model((request) => ({ content: request.messages.map(textOf).join("|") }));
    const stream = runtime.stream();
    await stream.append({
      type: "subscription.configured",
      payload: { slug: "guard", types: ["agent.input-added"], target: { url }, grants: ["stream.paused"] },
    });
    await stream.agent("bot", model.of("chat", { waitFor: ["guard"] }));
    return { stream, model };
  }

  test("waits for what a slow one has to say", async () => {
    const [gate, handedOver] = [Promise.withResolvers(), Promise.withResolvers()];
    const { stream, model } = await guarded(async (response) => {
      handedOver.resolve();
      await gate.promise;
      response.end(
        JSON.stringify({ append: [{ type: "agent.context-added", payload: { content: "they are nice" } }] }),
      );
    });
    await stream.input("hello");
    await handedOver.promise;
    assert.equal(model.requests.length, 0);
    gate.resolve();
    const [output] = await stream.outputs();
    assert.ok(output.payload.content.includes("they are nice"), output.payload.content);
    assert.equal(model.requests.length, 1);
  });

  test("waits no longer than five seconds", async () => {
    const { stream, model } = await guarded((response) => new Promise((resolve) => response.once("close", resolve)));
    const input = await stream.input("hello");
    const [started] = await stream.until("agent.turn-started");
    const ms = Date.parse(started.createdAt) - Date.parse(input.createdAt);
    assert.ok(ms >= 4_900, `${ms} ms`);
    await stream.outputs();
    assert.equal(model.requests.length, 1);
  });

  test("one that pauses the stream keeps the turn from starting, until it is resumed", async () => {
    const { stream, model } = await guarded((response, { events }) => {
      const isBad = events.some(({ payload }) => payload.content === "bad words");
      const append = isBad ? [{ type: "stream.paused", payload: { reason: "bad words" } }] : [];
      response.end(JSON.stringify({ append }));
    });
    await stream.input("hello");
    await stream.outputs(1);
    await stream.input("bad words");
    await stream.event("stream.paused");
    assert.equal((await stream.state()).paused?.reason, "bad words");
    assert.equal((await stream.events("agent.turn-started")).length, 1);
    assert.equal((await stream.post({ type: "agent.input-added", payload: { content: "x" } })).status, 423);
    const resumed = await stream.append({ type: "stream.resumed", payload: {} });
    const [, turn] = await stream.until("agent.turn-started", 2);
    assert.ok(turn.offset > resumed.offset);
    await stream.outputs(2);
    assert.equal(model.requests.length, 2);
  });

  test("one that is not there is not waited for", async () => {
    const { stream } = await guarded((response) => new Promise((resolve) => response.once("close", resolve)));
    const model = provider.model({ content: "at once" });
    await stream.agent("hasty", model.of("chat", { waitFor: ["nobody"] }));
    await stream.input("hello");
    const started = await stream.until("agent.turn-started", 2);
    assert.deepEqual(
      started.map(({ payload }) => payload.agent),
      ["hasty", "bot"],
    );
  });
});

describe("where an agent begins", { concurrency: true }, () => {
  test("from: start answers what was said before it was there; from: now does not, but knows it", async () => {
    const old = provider.model({ content: "I know" });
    const fresh = provider.model({ content: "I am new" });
    const stream = runtime.stream();
    await stream.input("before");
    await stream.agent("fresh", fresh.of("chat"));
    await stream.agent("old", old.of("chat"), { from: "start" });
    await stream.event("agent.output-added", { agent: "old" });
    assert.deepEqual(saidBy(old.requests[0]), ["before"]);
    await stream.input("after", { to: "fresh" });
    await stream.event("agent.output-added", { agent: "fresh" });
    assert.deepEqual(saidBy(fresh.requests[0]), ["before", "after"], "a request is made of the whole stream");
    assert.deepEqual([old.requests.length, fresh.requests.length], [1, 1]);
  });

  test("a new version folds the past anew, and calls no model for it", async () => {
    const model = provider.model((request) => ({ content: `${request.messages.length}` }));
    const stream = runtime.stream();
    await stream.agent("bot", model.of("chat"));
    for (const count of [1, 2]) {
      await stream.input(`${count}`);
      await stream.outputs(count);
    }
    await stream.agent("bot", model.of("chat", { system: "a new one" }), { version: "2" });
    await stream.input("3");
    const outputs = await stream.outputs(3);
    assert.equal(model.requests.length, 3, "once for each input");
    assert.equal(outputs[2].payload.turn, 3, "turns go on counting");
    assert.equal(saidBy(model.requests[2]).length, 3);
    assert.ok((await stream.turn("bot", 1)).matches && (await stream.turn("bot", 3)).matches);
    const head = await stream.head();
    await stream.append({ type: "subscription.resumed", payload: { slug: "bot", from: 1 } });
    await stream.input("4");
    await stream.outputs(4);
    assert.equal(model.requests.length, 4, "nor does going back without redo");
    assert.deepEqual(
      (await stream.events()).filter(({ offset }) => offset > head).map(({ type }) => type),
      ["subscription.resumed", "agent.input-added", "agent.turn-started", "agent.output-added"],
    );
  });

  test("with redo, what was said is answered once more", async () => {
    const model = provider.model((request) => ({ content: `${request.messages.length}` }));
    const stream = runtime.stream();
    await stream.agent("bot", model.of("chat"));
    const input = await stream.input("hello");
    await stream.outputs(1);
    await stream.append({ type: "subscription.resumed", payload: { slug: "bot", from: input.offset, redo: true } });
    await stream.outputs(2);
    assert.equal(model.requests.length, 2);
  });

  test("one for all below answers in each stream", async () => {
    const model = provider.model((request) => ({ content: `heard ${textOf(request.messages.at(-1))}` }));
    const stream = runtime.stream();
    await stream.append(agentConfigured("bot", model.of("chat"), { children: true }));
    const children = ["a", "b", "c/d"].map((name) => stream.below(name));
    await Promise.all(children.map((child) => child.input(child.path)));
    for (const child of children) {
      const [output] = await child.outputs();
      assert.equal(output.payload.content, `heard ${child.path}`);
      assert.ok((await child.turn("bot", 1)).matches);
    }
    assert.deepEqual(await stream.events("agent.*"), []);
  });
});

describe("in the middle of an answer", { concurrency: true }, () => {
  /** A stream whose model has begun to speak. */
  async function speaking(more = {}) {
    const { model, letGo } = held();
    const stream = runtime.stream();
    await stream.agent("bot", model.of("chat", more));
    const tail = await stream.live();
    await stream.input("one");
    await heard(stream, tail);
    return { stream, model, letGo, tail };
  }

  test("the subscription is removed: nothing follows", async () => {
    const { stream, model, letGo, tail } = await speaking();
    await stream.append({ type: "subscription.removed", payload: { slug: "bot" } });
    letGo(1);
    await until("the call is over", () => model.requests[0].isOver);
    tail.stop();
    await stream.input("two");
    const marker = await stream.append({ type: "marker", payload: {} });
    await stream.append(agentConfigured("bot", model.of("chat")));
    letGo(2);
    await stream.input("three");
    await stream.until("agent.output-added", (events) =>
      events.some(({ payload }) => payload.content.includes("answer 2")),
    );
    assert.equal(model.requests.length, 2, "what was said while nobody was there is not answered");
    const between = (await stream.events("agent.turn-started")).filter(({ offset }) => offset < marker.offset);
    assert.equal(between.length, 1);
    assert.ok((await stream.turn("bot", 1)).matches);
  });

  test("the stream is deleted: the call is left, and nothing is born of it", async () => {
    const { stream, model, letGo, tail } = await speaking();
    await stream.delete();
    await tail.until(() => tail.isOver).catch(() => {});
    letGo(1);
    await until("the call is over", () => model.requests[0].isOver);
    assert.equal(await stream.head(), 0);
    assert.equal((await stream.call("GET", `/api/agents${stream.path}?slug=bot&turn=1`)).status, 404);
  });

  test("the stream is deleted and born again: no stray event is in its new life", async () => {
    const { stream, model, letGo, tail } = await speaking();
    await stream.delete();
    tail.stop();
    await stream.agent("bot", model.of("chat"));
    const second = await stream.live();
    await stream.input("in a new life");
    await model.asked(2);
    letGo(1);
    await heard(stream, second);
    await until("the first call is over", () => model.requests[0].isOver);
    letGo(2);
    const [output] = await stream.outputs();
    second.stop();
    assert.equal(output.payload.content, "Well, answer 2.");
    assert.deepEqual(await stream.types(), [
      "stream.created",
      "subscription.configured",
      "agent.input-added",
      "agent.turn-started",
      "agent.output-added",
    ]);
    const ids = new Set(second.deltas.map(({ requestId }) => requestId));
    assert.deepEqual([...ids], [output.payload.requestId]);
    assert.deepEqual(saidBy(model.requests[1]), ["in a new life"]);
  });

  test("the stream is paused: the answer lands, no turn follows, and goes on afterwards", async () => {
    const { stream, model, letGo, tail } = await speaking();
    await stream.input("two");
    await stream.append({ type: "stream.paused", payload: { reason: "lunch" } });
    letGo(1);
    const [output] = await stream.outputs();
    assert.equal(output.payload.content, "Well, answer 1.");
    tail.stop();
    // Whatever was to happen would have happened until another stream has had a whole turn.
    const other = runtime.stream();
    const quick = provider.model({ content: "yes" });
    await other.agent("bot", quick.of("chat"));
    await other.input("hello");
    await other.outputs();
    assert.equal(model.requests.length, 1);
    assert.equal((await stream.events("agent.turn-started")).length, 1);
    await stream.append({ type: "stream.resumed", payload: {} });
    await model.asked(2);
    letGo(2);
    await stream.outputs(2);
    assert.deepEqual(saidBy(model.requests[1]), ["one", "two"]);
  });

  test("the stream is paused while a tool is called: it ends, and the model is told after the pause", async () => {
    const gate = Promise.withResolvers();
    const url = await aServer(async (request, response) => {
      await gate.promise;
      response.end('"in time"');
    });
    const model = provider.model((request) =>
      request.messages.at(-1).role === "tool"
        ? { content: textOf(request.messages.at(-1)) }
        : { content: "", toolCalls: [wants("slow", {})] },
    );
    const stream = runtime.stream();
    await stream.append(toolConfigured("slow", { url }));
    await stream.agent("bot", model.of("chat"));
    await stream.input("go");
    await stream.event("tool.started");
    await stream.append({ type: "stream.paused", payload: {} });
    gate.resolve();
    await stream.event("tool.completed");
    assert.equal(model.requests.length, 1);
    await stream.append({ type: "stream.resumed", payload: {} });
    const [, output] = await stream.outputs(2);
    assert.equal(output.payload.content, "in time");
  });

  test("the agent is configured anew: the call goes on, and the next one is as it is by then", async () => {
    const { stream, model, letGo, tail } = await speaking();
    const other = provider.model({ content: "I am another" });
    await stream.agent("bot", other.of("messages", { system: "another" }));
    await stream.input("two");
    letGo(1);
    const outputs = await stream.outputs(2);
    tail.stop();
    assert.deepEqual(
      outputs.map(({ payload }) => payload.content),
      ["Well, answer 1.", "I am another"],
    );
    assert.equal((await stream.turn("bot", 1)).request.body, model.requests[0].body);
    assert.equal((await stream.turn("bot", 2)).request.body, other.requests[0].body);
  });
});
