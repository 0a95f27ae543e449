// When a provider refuses, dawdles, breaks off or talks nonsense: what is tried again, what is given up, what the log says,
// and that no secret is in it.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { describe, test } from "node:test";
import {
  aProvider,
  aRuntime,
  aServer,
  apis,
  begun,
  over,
  said,
  speak,
  toolConfigured,
  until,
  wants,
} from "./support.mjs";

const SECRET = 's3cr3t-"quoted"-0123456789';
const [runtime, provider] = await Promise.all([
  aRuntime({
    vars: {
      TAILRACE_SECRET_MODEL: JSON.stringify({ value: SECRET, send: ["127.0.0.1"] }),
      TAILRACE_SECRET_OTHER: JSON.stringify({ value: "other-secret-98765", send: ["api.example.com"] }),
    },
  }),
  aProvider(),
]);

/** An agent that was asked something. */
async function asked(model, api, agent = {}, more = {}) {
  const stream = runtime.stream();
  await stream.agent("bot", model.of(api, agent), more);
  await stream.input("hello");
  return stream;
}

const event = (bytes) => ({ "content-type": "text/event-stream", ...bytes });
const refuse = (status, error, headers = {}) => {
  return ({ response }) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify({ error }));
  };
};
const first =
  (one, then) =>
  (asked_, ...rest) =>
    asked_.count === 1 ? one(asked_, ...rest) : then(asked_, ...rest);

/**
 * Failed once, answered at the second attempt; returns what was told of the failure, and the answer. When `isPatient`, later
 * attempts may have failed as well: on a busy machine whatever has a time limit may.
 */
async function recovered(stream, { isPatient = false } = {}) {
  const [output] = await stream.outputs();
  const failed = await stream.events("agent.turn-failed");
  if (!isPatient) assert.equal(failed.length, 1, JSON.stringify(failed));
  const { payload } = failed[0];
  assert.deepEqual(
    { attempt: payload.attempt, final: payload.final, agent: payload.agent },
    { attempt: 1, final: false, agent: "bot" },
  );
  assert.equal(payload.requestId, output.payload.requestId);
  assert.equal(output.payload.attempt, failed.length + 1);
  assert.ok(Date.parse(payload.retryAt) >= Date.parse(failed[0].createdAt));
  assert.ok(output.offset > failed[0].offset);
  assert.deepEqual(await stream.events("agent.stopped"), []);
  return { failed: payload, output: output.payload, event: failed[0] };
}

/** Given up at once. */
async function gaveUp(stream) {
  const stopped = await stream.event("agent.stopped");
  const failed = await stream.events("agent.turn-failed");
  assert.equal(failed.length, 1, JSON.stringify(failed));
  assert.equal(failed[0].payload.final, true);
  assert.equal(failed[0].payload.retryAt, undefined);
  assert.match(stopped.payload.reason, /could not be called/);
  assert.equal(stopped.cause.offset, failed[0].offset);
  return failed[0].payload;
}

for (const api of apis) {
  describe(`spoken to as ${api}`, { concurrency: 16 }, () => {
    const answer = ({ response }) => speak(response, api, ["All ", "well."]);

    for (const status of [400, 401, 403, 404, 422]) {
      test(`${status} is given up at once, in the provider's words`, async () => {
        const model = provider.model({
          error: { message: "that was wrong 🐟", type: "invalid_request_error" },
          status,
        });
        const stream = await asked(model, api);
        const failed = await gaveUp(stream);
        assert.equal(failed.status, status);
        assert.match(failed.error, /that was wrong 🐟/);
        assert.equal(model.requests.length, 1);
        // It can be spoken to again.
        await stream.input("once more");
        await stream.until("agent.stopped", 2);
        assert.equal(model.requests.length, 2);
      });
    }

    for (const status of [408, 429, 500, 503, 529]) {
      test(`${status} is tried again, with the same bytes`, async () => {
        const model = provider.scripted(first(refuse(status, { message: "overloaded" }), answer));
        const stream = await asked(model, api);
        const { failed, output } = await recovered(stream);
        assert.equal(failed.status, status);
        assert.match(failed.error, /overloaded/);
        assert.equal(output.content, "All well.");
        assert.equal(model.requests.length, 2);
        assert.equal(model.requests[0].body, model.requests[1].body);
        assert.equal((await stream.events("agent.turn-started")).length, 1, "it is one turn");
      });
    }

    test("Retry-After is waited for, in seconds, as a date and in milliseconds", async () => {
      const wait = async (headers, ms) => {
        const model = provider.scripted(first((it) => refuse(429, { message: "slow down" }, headers)(it), answer));
        const stream = await asked(model, api);
        const { failed, event: told } = await recovered(stream);
        const [one, two] = model.requests;
        const retryAt = Date.parse(failed.retryAt);
        // It was refused between its request and the event that tells of it, however far those are from each other.
        const saidAt = Date.parse(told.createdAt);
        const date = Date.parse(headers["retry-after"]);
        // Whatever it wants, an attempt is not made sooner than a second later, a fifth more or less.
        const [earliest, latest] = ms ? [one.at + ms, saidAt + ms] : [date, Math.max(date, saidAt + 1_200)];
        assert.ok(retryAt >= earliest - 50 && retryAt <= latest + 50, `${JSON.stringify(headers)}: ${failed.retryAt}`);
        assert.ok(two.at >= retryAt - 50, `${two.at - one.at} ms after the first`);
      };
      await Promise.all([
        wait({ "retry-after": "3" }, 3_000),
        wait({ "retry-after": new Date(Date.now() + 8_000).toUTCString() }),
        wait({ "retry-after-ms": "2500" }, 2_500),
      ]);
    });

    test("a provider that wants to be left alone for hours is", async () => {
      const model = provider.scripted(refuse(429, { message: "come back tomorrow" }, { "retry-after": "86400" }));
      const stream = await asked(model, api);
      const failed = await gaveUp(stream);
      assert.match(failed.error, /tomorrow/);
    });

    test("a quota that is used up is given up, though it is a 429", async () => {
      const model = provider.scripted(refuse(429, { message: "no money", code: "insufficient_quota" }));
      await gaveUp(await asked(model, api));
      assert.equal(model.requests.length, 1);
    });

    test("an answer that breaks off in the middle is tried again, and heard anew", async () => {
      const model = provider.scripted(async (it) => {
        if (it.count > 1) return answer(it);
        speak(it.response, api, ["All is", " lost"], { ends: false });
        await until("it was heard", () => tail.deltas.map(({ text }) => text).join("") === "All is lost");
        it.response.destroy();
      });
      const stream = runtime.stream();
      await stream.agent("bot", model.of(api));
      const tail = await stream.live();
      await stream.input("hello");
      const { output } = await recovered(stream);
      assert.equal(output.content, "All well.", "nothing of the first attempt is in it");
      await tail.until(() => tail.events.some(({ type }) => type === "agent.output-added"));
      tail.stop();
      const second = tail.deltas.filter(({ attempt }) => attempt === 2);
      assert.equal(second[0].at, 0, "a second attempt begins at its beginning");
      assert.equal(second.map(({ text }) => text).join(""), "All well.");
    });

    test("an answer that ends without having ended is tried again", async () => {
      const model = provider.scripted(
        first(({ response }) => {
          speak(response, api, ["All"], { ends: false });
          response.end();
        }, answer),
      );
      const { failed, output } = await recovered(await asked(model, api));
      assert.match(failed.error, /truncated|ended/);
      assert.equal(output.content, "All well.");
    });

    for (const [what, bytes] of [
      ["no byte", ""],
      ["only comments", ": keep-alive\n\n: keep-alive\n\n"],
      ["what is no JSON", "data: {not json}\n\n"],
      ["half a JSON", `${said[api]("x").slice(0, -20)}\n\n`],
      ["a page of HTML", "<html><body>Bad gateway</body></html>"],
    ]) {
      test(`a stream of ${what} is tried again`, async () => {
        const model = provider.scripted(
          first(({ response }) => {
            response.writeHead(200, event());
            response.end(bytes);
          }, answer),
        );
        const { output } = await recovered(await asked(model, api));
        assert.equal(output.content, "All well.");
      });
    }

    test("an answer is read wherever it is cut", async () => {
      const text = "Grüße 🐟, \u2028 done";
      const model = provider.scripted(async ({ response }) => {
        response.writeHead(200, event());
        const bytes = Buffer.from(`${begun[api]}${said[api](text)}${over[api]}`.replaceAll("\n", "\r\n"));
        for (let at = 0; at < bytes.length; at += 3) {
          response.write(bytes.subarray(at, at + 3));
          if (at % 30 === 0) await new Promise(setImmediate);
        }
        response.end();
      });
      const stream = await asked(model, api);
      const [{ payload }] = await stream.outputs();
      assert.equal(payload.content, text);
    });

    test("an answer whose connection stays open is whole when it says so", async () => {
      const gate = Promise.withResolvers();
      const model = provider.scripted(async ({ response }) => {
        speak(response, api, ["All ", "well."], { ends: false });
        response.write(over[api]);
        await gate.promise;
        response.end();
      });
      const stream = await asked(model, api);
      const [{ payload }] = await stream.outputs();
      assert.equal(payload.content, "All well.");
      await until("it was left", () => model.requests[0].isOver);
      gate.resolve();
    });

    test("a model from which nothing comes is left, and asked again", async () => {
      const model = provider.scripted(async (it) => {
        if (it.count > 1) return answer(it);
        speak(it.response, api, ["I think"], { ends: false });
        return until("it is left", () => it.entry.isOver);
      });
      const { failed } = await recovered(await asked(model, api, { timeouts: { idleMs: 1_000, totalMs: 20_000 } }), {
        isPatient: true,
      });
      assert.match(failed.error, /nothing came for 1000 ms/);
    });

    test("a model that never begins is left, and asked again", async () => {
      const model = provider.scripted((it) => (it.count > 1 ? answer(it) : until("it is left", () => it.entry.isOver)));
      const { failed } = await recovered(await asked(model, api, { timeouts: { idleMs: 1_000, totalMs: 20_000 } }), {
        isPatient: true,
      });
      assert.match(failed.error, /nothing came for 1000 ms/);
    });

    test("a model that always says a little is left when its time is over", async () => {
      const model = provider.scripted(async (it) => {
        if (it.count > 1) return answer(it);
        const drip = setInterval(() => speak(it.response, api, ["and "], { ends: false }), 100);
        await until("it is left", () => it.entry.isOver);
        return clearInterval(drip);
      });
      const { failed, output } = await recovered(
        await asked(model, api, { timeouts: { idleMs: 5_000, totalMs: 1_500 } }),
        { isPatient: true },
      );
      assert.match(failed.error, /no whole answer within 1500 ms/);
      assert.equal(output.content, "All well.");
    });

    test("slow tokens are no failure", async () => {
      const model = provider.model({ content: "slowly but surely" }, { chunkSize: 2, latency: 700 });
      const stream = await asked(model, api, { timeouts: { idleMs: 5_000, totalMs: 30_000 } });
      const [{ payload }] = await stream.outputs();
      assert.deepEqual([payload.content, payload.attempt], ["slowly but surely", 1]);
    });

    test("a redirect is not followed", async () => {
      const model = provider.scripted(({ response }) => {
        response.writeHead(307, { location: `${provider.url}/elsewhere` });
        response.end();
      });
      const failed = await gaveUp(await asked(model, api));
      assert.equal(failed.status, 307);
      assert.equal(model.requests.length, 1);
    });

    test("a secret is sent in the header of the API, and is nowhere else, whoever repeats it", async () => {
      const model = provider.scripted(({ response, request, count }) => {
        const sent = request.headers[api === "messages" ? "x-api-key" : "authorization"];
        if (count === 1) {
          response.writeHead(500, { "content-type": "application/json" });
          return response.end(JSON.stringify({ error: { message: `your key ${sent} ${sent} is tired` } }));
        }
        if (count === 2) return speak(response, api, ["I know nothing."]);
        response.writeHead(401, { "content-type": "text/plain" });
        return response.end(`Invalid key: ${sent}`);
      });
      const stream = await asked(model, api, { secret: "MODEL" }, { headers: { "X-Also": "key={{secret:MODEL}}" } });
      const { failed } = await recovered(stream);
      assert.match(failed.error, /\[secret\]/);
      await stream.input("again");
      await stream.until("agent.stopped");
      for (const { headers } of model.requests) {
        assert.equal(
          api === "messages" ? headers["x-api-key"] : headers.authorization,
          api === "messages" ? SECRET : `Bearer ${SECRET}`,
        );
        assert.equal(headers["x-also"], `key=${SECRET}`);
        assert.doesNotMatch(JSON.stringify(headers), /secret:MODEL/);
      }
      const texts = await Promise.all([
        stream.events(),
        stream.turn("bot", 1),
        stream.turn("bot", 2),
        stream.state(),
        stream.subscription("bot"),
        model.requests.map(({ body }) => body),
      ]);
      const all = texts.map((it) => JSON.stringify(it)).join("\n");
      assert.ok(
        !all.includes("s3cr3t-") && !all.includes("0123456789"),
        all.match(/.{80}(s3cr3t|0123456789).{40}/)?.[0],
      );
      assert.match(JSON.stringify(texts[1].request.headers), /\{\{secret:MODEL\}\}/, "its name is shown");
    });

    test("a secret goes to no host that it is not for", async () => {
      const model = provider.scripted(answer);
      const stream = runtime.stream();
      const response = await stream.post({
        type: "subscription.configured",
        payload: { slug: "bot", target: { agent: model.of(api, { secret: "OTHER" }) } },
      });
      assert.ok(response.status >= 400 && response.status < 500, `${response.status}`);
      assert.doesNotMatch(await response.text(), /98765/);
      assert.equal(await stream.head(), 0);
    });

    test("aimock's chaos of every kind ends well", async () => {
      for (const chaos of [{ dropRate: 1 }, { malformedRate: 1 }, { rateLimitRate: 1 }, { disconnectRate: 1 }]) {
        const model = provider.model({ content: "chaos" }, { chaos });
        const stream = await asked(model, api);
        const failed = await stream.event("agent.turn-failed");
        assert.deepEqual(
          { attempt: failed.payload.attempt, final: failed.payload.final },
          { attempt: 1, final: false },
          JSON.stringify([chaos, failed.payload]),
        );
        // Whoever reconfigures it meanwhile changes nothing of this turn; to interrupt it ends it.
        await stream.append({ type: "agent.interrupt-requested", payload: {} });
        await stream.event("agent.stopped");
        assert.equal((await stream.events("agent.turn-interrupted")).length, 1);
        assert.equal((await stream.events("agent.output-added")).length, 0);
      }
    });

    test("aimock's answers that are cut off are tried again", async () => {
      for (const options of [
        { truncateAfterChunks: 2, chunkSize: 4 },
        { disconnectAfterMs: 20, latency: 15, chunkSize: 3 },
      ]) {
        const model = provider.model({ content: "this is never said to its end" }, options);
        const stream = await asked(model, api);
        const failed = await stream.event("agent.turn-failed");
        assert.equal(failed.payload.final, false, failed.payload.error);
        await stream.append({ type: "agent.interrupt-requested", payload: {} });
        await stream.event("agent.stopped");
      }
    });

    test("a call whose arguments are half a JSON fails, and the model is told", async () => {
      const half = '{"city": "Par';
      const calls = {
        chat: [
          `data: ${JSON.stringify({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: "theirs", function: { name: "weather", arguments: half } }] } }] })}\n\n`,
          `data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" }] })}\n\ndata: [DONE]\n\n`,
        ],
        responses: [
          `data: ${JSON.stringify({ type: "response.output_item.added", output_index: 0, item: { type: "function_call", id: "f", call_id: "theirs", name: "weather", arguments: "" } })}\n\n`,
          `data: ${JSON.stringify({ type: "response.function_call_arguments.delta", item_id: "f", output_index: 0, delta: half })}\n\n`,
          over.responses,
        ],
        messages: [
          begun.messages.split("\n\n")[0] + "\n\n",
          `data: ${JSON.stringify({ type: "content_block_start", index: 0, content_block: { type: "tool_use", id: "theirs", name: "weather", input: {} } })}\n\n`,
          `data: ${JSON.stringify({ type: "content_block_delta", index: 0, delta: { type: "input_json_delta", partial_json: half } })}\n\n`,
          over.messages.replace("end_turn", "tool_use"),
        ],
      }[api];
      const model = provider.scripted(
        first(({ response }) => {
          response.writeHead(200, event());
          response.end(calls.join(""));
        }, answer),
      );
      const stream = runtime.stream();
      await stream.append(toolConfigured("weather"));
      await stream.agent("bot", model.of(api));
      await stream.input("weather?");
      const outputs = await stream.outputs(2);
      const [{ payload }] = await stream.events("tool.failed");
      assert.match(payload.error, /not a JSON object/);
      assert.equal(payload.callId, `${outputs[0].payload.requestId}.0`);
      assert.deepEqual(await stream.events("tool.requested"), []);
      assert.match(model.requests[1].body, /not a JSON object/);
      assert.doesNotMatch(model.requests[1].body, /theirs/, "the provider's ids are not kept");
    });
  });
}

describe("a provider that cannot be reached", { concurrency: true }, () => {
  test("is tried again until it is there", async () => {
    // A port at which nobody listens yet: whoever comes is cut off.
    let script = (socket) => socket.destroy();
    const server = createServer((socket) => script(socket));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    const stream = runtime.stream();
    await stream.agent("bot", { api: "chat", baseUrl: `http://127.0.0.1:${port}/v1`, model: "m" });
    await stream.input("hello");
    const failed = await stream.event("agent.turn-failed");
    assert.equal(failed.payload.final, false);
    assert.equal(failed.payload.status, undefined);
    assert.match(failed.payload.error, /not reached/);
    script = (socket) => {
      socket.once("data", () => {
        const body = `${said.chat("there")}${over.chat}`;
        socket.end(
          `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
        );
      });
    };
    await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
    try {
      const [{ payload }] = await stream.outputs();
      assert.equal(payload.content, "there");
    } finally {
      server.close();
    }
  });

  for (const baseUrl of [
    "http://169.254.169.254/latest",
    "http://10.0.0.1/v1",
    "http://[fd00::1]/v1",
    "https://user:pass@api.example.com/v1",
    "ftp://api.example.com",
    "file:///etc/passwd",
    "nonsense",
  ]) {
    test(`${baseUrl} is refused when it is configured`, async () => {
      const stream = runtime.stream();
      const response = await stream.post({
        type: "subscription.configured",
        payload: { slug: "bot", target: { agent: { api: "chat", baseUrl, model: "m" } } },
      });
      assert.ok(response.status >= 400 && response.status < 500, `${response.status}`);
      assert.equal(await stream.head(), 0);
    });
  }
});

describe("how an agent is configured", { concurrency: true }, () => {
  for (const [what, agent] of [
    ["an API that is none", { api: "smoke" }],
    ["no API", { api: undefined }],
    ["no model", { model: undefined }],
    ["an empty model", { model: "" }],
    ["a timeout too short", { timeouts: { totalMs: 1 } }],
    ["a timeout unknown", { timeouts: { connectMs: 1_000 } }],
    ["what is said twice", { options: { messages: [] } }],
    ["a model beside the model", { options: { model: "other" } }],
    ["maxTurns 0", { maxTurns: 0 }],
    ["an unknown field", { temperature: 1 }],
    ["an unknown onInput", { onInput: "ignore" }],
    ["a secret that is not there", { secret: "NOT_THERE" }],
  ]) {
    test(`${what} is refused`, async () => {
      const stream = runtime.stream();
      const response = await stream.post({
        type: "subscription.configured",
        payload: {
          slug: "bot",
          target: { agent: { api: "chat", baseUrl: provider.baseUrl, model: "m", ...agent } },
        },
      });
      const text = await response.text();
      assert.ok(response.status >= 400 && response.status < 500, `${response.status} ${text}`);
      assert.equal(await stream.head(), 0);
    });
  }
});

test("a tool's secret is sent with its calls and stands nowhere, though the tool repeats it", async () => {
  const stream = runtime.stream();
  const sent = [];
  const url = await aServer((request, response) => {
    sent.push(request.headers.authorization);
    response.end(JSON.stringify({ sent: request.headers.authorization }));
  });
  const model = provider.model((request) =>
    request.messages.at(-1).role === "tool"
      ? { content: request.messages.at(-1).content }
      : { content: "", toolCalls: [wants("echo", {})] },
  );
  await stream.append(toolConfigured("echo", { url, headers: { authorization: "Key {{secret:MODEL}}" } }));
  await stream.agent("bot", model.of("chat"));
  await stream.input("go");
  const [, output] = await stream.outputs(2);
  assert.deepEqual(sent, [`Key ${SECRET}`]);
  assert.match(output.payload.content, /\[secret\]/);
  const all = JSON.stringify([await stream.events(), await stream.state(), await stream.turn("bot", 2)]);
  assert.ok(!all.includes("s3cr3t-") && !all.includes("0123456789"));
});
