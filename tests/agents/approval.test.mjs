// Tools that somebody must approve: who may, and that nothing else lets them run.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { aProvider, aRuntime, aServer, scoped, toolConfigured, wants } from "./support.mjs";

const TOKEN = "the-deployment-s-token-0123456789abcdef";
const [runtime, provider] = await Promise.all([aRuntime({ token: TOKEN }), aProvider()]);

const pushes = [];
const toolsUrl = await aServer((request, response, body) => {
  pushes.push(JSON.parse(body.toString()));
  response.end('"deployed"');
});
const pushedTo = (stream) => pushes.filter(({ streamPath }) => streamPath === stream.path);

/** A stream whose model wants these calls of tools that need approval; `stream.as(token)` is somebody else. */
async function waiting(calls = [wants("deploy", { to: "prod" })], tool = {}) {
  const stream = runtime.stream();
  const model = provider.model((request) => {
    const results = request.messages.filter(({ role }) => role === "tool").map(({ content }) => content);
    return results.length ? { content: JSON.stringify(results) } : { content: "", toolCalls: calls };
  });
  await stream.append(toolConfigured("deploy", { url: toolsUrl, approval: true, ...tool }));
  await stream.agent("bot", model.of("chat"));
  await stream.input("go");
  const asked = await stream.until("tool.approval-requested", calls.length);
  return { stream, model, asked, ids: asked.map(({ payload }) => payload.callId) };
}
const answered = async (stream) => JSON.parse((await stream.outputs(2))[1].payload.content);
const may = (can, path = "/") => scoped(TOKEN, { by: `may-${can.join("-")}`, path, can });

describe("a tool that needs approval", { concurrency: true }, () => {
  test("asks for it, and runs once it is approved", async () => {
    const { stream, asked, ids } = await waiting();
    const { payload, createdAt } = asked[0];
    assert.deepEqual(
      { name: payload.name, arguments: payload.arguments, agent: payload.agent },
      { name: "deploy", arguments: { to: "prod" }, agent: "bot" },
    );
    const hours = (Date.parse(payload.expiresAt) - Date.parse(createdAt)) / 3_600_000;
    assert.equal(Math.round(hours), 24);
    assert.deepEqual(await stream.events("tool.requested,tool.started"), []);
    const approved = await stream.append({ type: "tool.approved", payload: { callId: ids[0] } });
    assert.deepEqual(await answered(stream), ["deployed"]);
    const [requested] = await stream.events("tool.requested");
    assert.deepEqual(requested.payload.arguments, { to: "prod" }, "what the model wanted, not what approves it");
    assert.equal(requested.cause.offset, approved.offset);
    assert.equal(requested.metadata.tailrace.approved, approved.offset);
    assert.equal(pushedTo(stream).length, 1);
  });

  test("does not run when it is denied, and the model is told why", async () => {
    const { stream, ids } = await waiting();
    await stream.append({ type: "tool.denied", payload: { callId: ids[0], reason: "not on a Friday" } });
    assert.deepEqual(await answered(stream), ["denied: not on a Friday"]);
    await stream.append({ type: "tool.approved", payload: { callId: ids[0] } });
    await stream.input("and now?");
    await stream.outputs(3);
    assert.deepEqual(await stream.events("tool.requested"), [], "whoever approves it afterwards is too late");
    assert.deepEqual(pushedTo(stream), []);
  });

  test("is approved call by call, and once", async () => {
    const { stream, ids } = await waiting([wants("deploy", { n: 0 }), wants("deploy", { n: 1 })]);
    await stream.append({ type: "tool.approved", payload: { callId: ids[1] } });
    await stream.event("tool.completed", { callId: ids[1] });
    await stream.append({ type: "tool.approved", payload: { callId: ids[1] } });
    await stream.append({ type: "tool.approved", payload: { callId: "another.0" } });
    await stream.append({ type: "tool.approved", payload: { call: ids[0] } });
    await stream.append({ type: "tool.denied", payload: { callId: ids[0] } });
    assert.deepEqual(await answered(stream), ["denied", "deployed"]);
    assert.deepEqual(
      (await stream.events("tool.requested")).map(({ payload }) => payload.arguments),
      [{ n: 1 }],
    );
    assert.equal(pushedTo(stream).length, 1);
  });

  test("is approved by who may, and by nobody else", async () => {
    const { stream, ids } = await waiting();
    const approved = { type: "tool.approved", payload: { callId: ids[0] } };
    const denied = { type: "tool.denied", payload: { callId: ids[0] } };
    for (const can of [["read"], ["append"], ["read", "append"], ["control"], ["read", "append", "control"]]) {
      const other = stream.as(await may(can));
      for (const event of [approved, denied]) {
        const response = await other.post(event);
        assert.equal(response.status, 403, `${can}: ${await response.text()}`);
      }
    }
    assert.equal((await stream.as(await may(["approve"], "/elsewhere")).post(approved)).status, 403);
    assert.equal((await fetch(stream.url, { method: "POST", body: JSON.stringify(approved) })).status, 401);
    assert.equal((await stream.as(await may(["approve"])).post({ type: "note", payload: {} })).status, 403);
    assert.deepEqual(await stream.events("tool.approved,tool.denied,tool.requested"), []);
    const response = await stream.as(await may(["approve"], stream.path)).post(approved);
    assert.equal(response.status, 200);
    assert.deepEqual(await answered(stream), ["deployed"]);
    assert.equal((await stream.events("tool.approved"))[0].metadata.tailrace.by, "may-approve");
  });

  test("is not run by who writes tool.requested himself, whatever he says about it", async () => {
    const { stream, ids } = await waiting();
    const writer = stream.as(await may(["read", "append"]));
    const payload = { callId: ids[0], name: "deploy", arguments: { to: "prod" } };
    const forged = await writer.post({ type: "tool.requested", payload, metadata: { tailrace: { approved: 3 } } });
    assert.ok(forged.status >= 400 && forged.status < 500, "what the system says of an event only the system says");
    await writer.append({ type: "tool.requested", payload, metadata: { approved: 3 } });
    assert.match((await stream.event("tool.failed", { callId: ids[0] })).payload.error, /approved/);
    await writer.append({ type: "tool.requested", payload: { ...payload, callId: "mine.0" } });
    const failed = await stream.event("tool.failed", { callId: "mine.0" });
    assert.match(failed.payload.error, /approved/);
    assert.deepEqual(pushedTo(stream), []);
    assert.deepEqual(await stream.events("tool.started,tool.completed"), []);
  });

  test("is not run by a batch, a schedule, a hook or a processor that says it is approved", async () => {
    const { stream, ids } = await waiting();
    const approved = { type: "tool.approved", payload: { callId: ids[0] } };
    const writer = stream.as(await may(["read", "append"]));
    assert.equal((await writer.post({ type: "note", payload: {} }, approved)).status, 403);
    const scheduled = { type: "schedule.configured", payload: { slug: "s", after: 1, event: approved } };
    assert.notEqual((await stream.post(scheduled)).status, 200);
    await stream.append({
      type: "subscription.configured",
      payload: { slug: "hand", target: { pull: true }, types: ["note"] },
    });
    await stream.append({ type: "note", payload: {} });
    const { lease } = await stream.lease("hand");
    await stream.call("POST", `/api/settle${stream.path}`, { lease, append: [approved] });
    assert.deepEqual(await stream.events("tool.approved,tool.requested,tool.started"), []);
  });

  test("that is removed, or needs none any more, while it waits", async () => {
    const { stream, ids } = await waiting();
    await stream.append(toolConfigured("deploy", { url: toolsUrl }));
    assert.deepEqual(await stream.events("tool.requested"), [], "what waits goes on waiting");
    await stream.append({ type: "tool.approved", payload: { callId: ids[0] } });
    assert.deepEqual(await answered(stream), ["deployed"]);
  });

  test("that needs approval only since the call was requested is not run without", async () => {
    const gate = Promise.withResolvers();
    const url = await aServer(async (request, response) => {
      await gate.promise;
      response.end('"first"');
    });
    const stream = runtime.stream();
    await stream.append(toolConfigured("busy", { url }));
    const request = (callId) => ({ type: "tool.requested", payload: { callId, name: "busy", arguments: {} } });
    await stream.append(request("a.0"));
    await stream.event("tool.started", { callId: "a.0" });
    await stream.append(request("b.0"));
    await stream.append(toolConfigured("busy", { url, approval: true }));
    gate.resolve();
    const failed = await stream.event("tool.failed", { callId: "b.0" });
    assert.match(failed.payload.error, /approved/);
  });
});

describe("a worker outside", { concurrency: true }, () => {
  test("hears of a call that needs approval when it is approved, not before", async () => {
    const stream = runtime.stream();
    const model = provider.model((request) =>
      request.messages.at(-1).role === "tool" ? { content: "ok" } : { content: "", toolCalls: [wants("deploy", {})] },
    );
    await stream.append(toolConfigured("deploy", { approval: true }), {
      type: "subscription.configured",
      payload: { slug: "hand", target: { pull: true }, types: ["tool.requested"] },
    });
    await stream.agent("bot", model.of("chat"));
    await stream.input("go");
    const { payload } = await stream.event("tool.approval-requested");
    const none = await stream.call("POST", `/api/lease${stream.path}?slug=hand`);
    assert.equal(none.status, 204);
    await stream.append({ type: "tool.approved", payload: { callId: payload.callId } });
    const { lease, events } = await stream.lease("hand");
    assert.equal(events[0].payload.callId, payload.callId);
    await stream.settle({
      lease,
      append: [{ type: "tool.completed", payload: { callId: payload.callId, result: "by hand" } }],
    });
    await stream.outputs(2);
  });
});

describe("tokens", { concurrency: true }, () => {
  test("configure tools and agents only with the right to control", async () => {
    const stream = runtime.stream();
    const configures = [
      toolConfigured("x", { url: toolsUrl }),
      { type: "tool.removed", payload: { name: "x" } },
      {
        type: "subscription.configured",
        payload: { slug: "bot", target: { agent: { api: "chat", model: "m", baseUrl: provider.baseUrl } } },
      },
    ];
    for (const event of configures) {
      assert.equal((await stream.as(await may(["read", "append", "approve"])).post(event)).status, 403);
    }
    assert.equal(await stream.head(), 0);
    for (const event of configures) assert.equal((await stream.as(await may(["control"])).post(event)).status, 200);
  });

  test("see what a model was asked only with the right to read", async () => {
    const { stream, ids } = await waiting();
    await stream.append({ type: "tool.denied", payload: { callId: ids[0] } });
    const ask = async (can, path) =>
      (await stream.as(await may(can, path)).call("GET", `/api/agents${stream.path}?slug=bot&turn=1`)).status;
    assert.equal(await ask(["read"]), 200);
    assert.equal(await ask(["append", "approve", "control"]), 403);
    assert.equal(await ask(["read"], "/elsewhere"), 403);
    assert.equal((await fetch(`${stream.base}/api/agents${stream.path}?slug=bot&turn=1`)).status, 401);
  });
});
