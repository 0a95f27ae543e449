// What is heard while a model speaks, what is in the log afterwards, and what it was asked: byte for byte.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { aProvider, aRuntime, apis, apiOf, speak, toolConfigured, wants } from "./support.mjs";

const [runtime, provider] = await Promise.all([aRuntime(), aProvider()]);

/** Characters, as `at` counts them. */
const length = (text) => [...text].length;
const joined = (deltas) => deltas.map(({ text }) => text).join("");

/** Deltas of one attempt that someone heard: each begins where the one before ended. */
function assertContiguous(deltas) {
  for (let [at, index] = [0, 0]; index < deltas.length; index++) {
    assert.equal(deltas[index].at, at, JSON.stringify(deltas.slice(0, index + 1)));
    at += length(deltas[index].text);
  }
}

const TEXT = 'Grüße! 🐟🐟 A fish, "quoted",\n\tand 日本語, so that it is cut where it is hard to cut. '.repeat(3);

for (const api of apis) {
  describe(`spoken to as ${api}`, { concurrency: true }, () => {
    test("an answer of aimock is heard in order, and stored as it was heard", async () => {
      const model = provider.model({ content: TEXT }, { chunkSize: 7, latency: 20 });
      const stream = runtime.stream();
      await stream.agent("bot", model.of(api));
      const tail = await stream.live();
      await stream.input("hello");
      const [output] = await stream.outputs();
      await tail.until(() => tail.events.some(({ type }) => type === "agent.output-added"));
      tail.stop();

      assertContiguous(tail.deltas);
      assert.ok(tail.deltas.length > 1, "it is told while it is said");
      assert.equal(joined(tail.deltas), output.payload.content);
      assert.equal(output.payload.content, TEXT);
      for (const delta of tail.deltas) {
        assert.deepEqual(
          { agent: delta.agent, requestId: delta.requestId, attempt: delta.attempt },
          { agent: "bot", requestId: output.payload.requestId, attempt: 1 },
        );
      }
      const ephemeral = tail.messages.find(({ event }) => event === "ephemeral");
      assert.equal(ephemeral.id, undefined, "a reader resumes at an event, never at a delta");
      assert.equal(ephemeral.data.offset, undefined);

      const { agent, turn, usage, model: by, finishReason, latencyMs, firstTokenMs, toolCalls } = output.payload;
      assert.deepEqual({ agent, turn, by, toolCalls }, { agent: "bot", turn: 1, by: model.name, toolCalls: undefined });
      assert.equal(typeof finishReason, "string");
      assert.ok(usage !== null && typeof usage === "object" && Object.keys(usage).length > 0, JSON.stringify(usage));
      assert.ok(Number.isInteger(latencyMs) && Number.isInteger(firstTokenMs) && firstTokenMs <= latencyMs);
      assert.deepEqual(
        await stream.types(),
        ["stream.created", "subscription.configured", "agent.input-added", "agent.turn-started", "agent.output-added"],
        "what is heard is not in the log",
      );
      const [started] = await stream.events("agent.turn-started");
      assert.equal(output.cause.offset, started.offset);
      assert.equal(started.cause.offset, started.offset - 1, "a turn follows from the input");
      assert.equal(output.metadata.tailrace.by, "subscription:bot");
    });

    test("who joins late is first told all that was said, with at 0, and then what comes", async () => {
      const gate = Promise.withResolvers();
      const model = provider.scripted(async ({ response }) => {
        speak(response, api, ["One. ", "Two 🐟. "], { ends: false });
        await gate.promise;
        speak(response, api, ["Three."]);
      });
      const stream = runtime.stream();
      await stream.agent("bot", model.of(api));
      const early = await stream.live();
      await stream.input("hello");
      await early.until(() => joined(early.deltas) === "One. Two 🐟. ");
      const late = await stream.live();
      await late.until(() => late.deltas.length > 0);
      assert.deepEqual(
        { at: late.deltas[0].at, text: late.deltas[0].text },
        { at: 0, text: "One. Two 🐟. " },
        "all of it at once",
      );
      gate.resolve();
      const [output] = await stream.outputs();
      for (const tail of [early, late]) {
        await tail.until(() => tail.events.some(({ type }) => type === "agent.output-added"));
        tail.stop();
        assertContiguous(tail.deltas);
        assert.equal(joined(tail.deltas), output.payload.content);
      }
      assert.equal(output.payload.content, "One. Two 🐟. Three.");

      const afterwards = await stream.live({ afterOffset: 0 });
      await afterwards.until(() => afterwards.events.length === 5);
      afterwards.stop();
      assert.deepEqual(afterwards.deltas, [], "what is in the log is not said once more");
    });

    test("whoever filters by type hears deltas only if it asks for them", async () => {
      const gate = Promise.withResolvers();
      const model = provider.scripted(async ({ response }) => {
        speak(response, api, ["Heard"], { ends: false });
        await gate.promise;
        speak(response, api, ["."]);
      });
      const stream = runtime.stream();
      await stream.agent("bot", model.of(api));
      const all = await stream.live({ types: "agent.output-*" });
      const none = await stream.live({ types: "agent.output-added" });
      await stream.input("hello");
      await all.until(() => all.deltas.length > 0);
      gate.resolve();
      for (const tail of [all, none]) {
        await tail.until(() => tail.events.some(({ type }) => type === "agent.output-added"));
        tail.stop();
      }
      assert.equal(joined(all.deltas), "Heard.");
      assert.deepEqual(none.deltas, []);
    });

    test("what a model was asked can be made anew from the log, at every turn, whatever happened since", async () => {
      const model = provider.model(({ messages }) => {
        const last = messages.at(-1);
        if (last.role === "tool")
          return { content: `It said ${messages.filter(({ role }) => role === "tool").length}.` };
        if (JSON.stringify(last).includes("weather")) {
          return {
            content: "Let me see.",
            toolCalls: [wants("weather", { city: "Zürich" }), wants("weather", { city: "☃" }), wants("no_such", {})],
          };
        }
        return { content: "Fine \u2028 🐟." };
      });
      const stream = runtime.stream();
      await stream.append(
        toolConfigured("weather", {
          parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
        }),
      );
      await stream.agent("bot", model.of(api, { system: 'Be "nice".\n🐟', options: { temperature: 0.25, seed: 7 } }), {
        headers: { "X-Own": "as configured" },
      });
      await stream.input("hello");
      await stream.outputs(1);
      await stream.append({ type: "agent.context-added", payload: { content: "It is raining in \ud83d\udc1f." } });
      await stream.append({ type: "something.else", payload: { content: "not for models" } });
      await stream.input([{ type: "text", text: "the weather?" }, "and a second part"]);
      const calls = await stream.until("tool.requested", 2);
      const { callId } = calls[1].payload;
      // As no JSON library would write it.
      const written = `{"type":"tool.completed","payload":{"callId":"${callId}","result":{"t":1e21,"u":1.10}}}`;
      assert.equal((await stream.call("POST", `/api/streams${stream.path}`, written)).status, 200);
      await stream.append({ type: "tool.completed", payload: { callId: calls[0].payload.callId, result: "warm 🐟" } });
      await stream.outputs(3);
      await stream.agent("bot", model.of(api, { system: "Be brief.", tools: ["weather"] }));
      await stream.append({ type: "tool.removed", payload: { name: "weather" } });
      await stream.input("bye", { role: "user", from: "someone" });
      await stream.outputs(4);
      await stream.append({ type: "later.event", payload: {} }, toolConfigured("later"));

      const started = await stream.events("agent.turn-started");
      assert.deepEqual(
        started.map(({ payload }) => payload.turn),
        [1, 2, 3, 4],
      );
      assert.equal(model.requests.length, 4);
      for (const [index, asked] of model.requests.entries()) {
        const { payload } = started[index];
        const shown = await stream.turn("bot", index + 1);
        assert.equal(shown.request.body, asked.body, `turn ${index + 1}`);
        const sha256 = createHash("sha256").update(asked.body).digest("hex");
        assert.deepEqual(
          { ...shown, request: undefined, harnessNow: undefined },
          {
            agent: "bot",
            turn: index + 1,
            requestId: payload.requestId,
            upTo: payload.upTo,
            requestSha256: sha256,
            sha256,
            matches: true,
            harness: payload.harness,
            harnessNow: undefined,
            request: undefined,
          },
        );
        assert.equal(payload.requestSha256, sha256);
        assert.equal(shown.request.method, "POST");
        assert.equal(shown.request.url, `${provider.url}${asked.url}`);
        assert.equal(apiOf(asked), api);
        for (const [name, value] of Object.entries(shown.request.headers)) {
          assert.equal(asked.headers[name.toLowerCase()], value, name);
        }
      }
      assert.equal(model.requests[0].headers["x-own"], "as configured");
      assert.equal(model.requests[3].headers["x-own"], undefined, "the configuration that holds is the last before it");

      // aimock understood each as what it is.
      const entries = provider.mock.getRequests().filter(({ body }) => body?.model === model.name);
      assert.equal(entries.length, 4);
      assert.ok(entries.every(({ response }) => response.status === 200));
      const third = entries[2].body.messages;
      assert.deepEqual(
        third.filter(({ role }) => role === "tool").map(({ content }) => content),
        ["warm 🐟", '{"t":1e21,"u":1.10}', "failed: there is no tool no_such"],
        "results stand in the order of the calls, as they were written",
      );
      assert.deepEqual(
        third
          .flatMap(({ tool_calls: calls }) => calls ?? [])
          .map(({ function: { name, arguments: args } }) => [name, JSON.parse(args)]),
        [
          ["weather", { city: "Zürich" }],
          ["weather", { city: "☃" }],
          ["no_such", {}],
        ],
      );
      assert.match(JSON.stringify(third), /raining/);
      assert.doesNotMatch(JSON.stringify(third), /not for models/);
      const tools = (entry) => (entry.body.tools ?? []).map(({ function: { name } }) => name).sort();
      assert.deepEqual(tools(entries[0]), ["append_event", "read_stream", "schedule", "spawn", "weather"]);
      assert.deepEqual(tools(entries[3]), [], "what an agent is not offered is not shown to it");
      const asked = model.requests[0].json;
      assert.deepEqual(
        { temperature: asked.temperature, seed: asked.seed, stream: asked.stream },
        { temperature: 0.25, seed: 7, stream: true },
      );
      assert.equal(model.requests[3].json.temperature, undefined);
    });
  });
}

describe("GET /api/agents", { concurrency: true }, () => {
  const problemOf = async (response, status) => {
    const text = await response.text();
    assert.equal(response.status, status, text);
    return JSON.parse(text);
  };

  test("without a turn it shows the last one", async () => {
    const model = provider.model({ content: "yes" });
    const stream = runtime.stream();
    await stream.agent("bot", model.of("chat"));
    await stream.input("one");
    await stream.outputs(1);
    await stream.input("two");
    await stream.outputs(2);
    assert.equal((await stream.turn("bot")).turn, 2);
    assert.equal((await stream.turn("bot")).request.body, model.requests[1].body);
  });

  test("what did not happen is not found, and what is not asked right is refused", async () => {
    const model = provider.model({ content: "yes" });
    const stream = runtime.stream();
    await problemOf(await stream.call("GET", `/api/agents${stream.path}?slug=bot`), 404);
    await stream.agent("bot", model.of("chat"));
    await problemOf(await stream.call("GET", `/api/agents${stream.path}?slug=bot`), 404);
    await stream.input("one");
    await stream.outputs(1);
    await problemOf(await stream.call("GET", `/api/agents${stream.path}?slug=bot&turn=2`), 404);
    await problemOf(await stream.call("GET", `/api/agents${stream.path}?slug=other&turn=1`), 404);
    await problemOf(await stream.call("GET", `/api/agents${stream.path}`), 400);
    await problemOf(await stream.call("GET", `/api/agents${stream.path}?slug=bot&turn=0`), 400);
    await problemOf(await stream.call("GET", `/api/agents${stream.path}?slug=bot&turn=one`), 400);
  });
});
