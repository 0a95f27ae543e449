// What the tests of agents share: a runtime, streams to drive in it, and a provider of models that writes down every byte
// it is asked.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createServer, request as requestTo } from "node:http";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { after } from "node:test";
import { LLMock } from "@copilotkit/aimock";
import { SignJWT } from "jose";
import { start } from "../../scripts/runtime.mjs";

/** How long anything may take that is not expected to take time. */
export const patience = 30_000;

/** How a model can be spoken to. */
export const apis = ["chat", "responses", "messages"];

/**
 * Starts a runtime. It ends with the tests of the file, unless it was ended before.
 *
 * @param {object} [options]
 * @param {string} [options.persistTo] where streams are kept; without it they are gone afterwards
 * @param {Record<string, string>} [options.vars] more of the Worker's variables
 * @param {string} [options.token] the deployment's token; without one it is open
 */
export async function aRuntime({ vars = {}, token, ...settings } = {}) {
  const runtime = await start({
    ...(process.env.TAILRACE_BUILD ? { build: process.env.TAILRACE_BUILD } : {}),
    logs: process.env.TAILRACE_LOGS ?? "ignore",
    vars: {
      TAILRACE_LOOPBACK_TARGETS: "1",
      ...(token ? { TAILRACE_TOKEN: token } : { TAILRACE_OPEN: "1" }),
      ...vars,
    },
    ...settings,
  });
  after(() => runtime.kill());
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  return {
    ...runtime,
    token,
    /** A stream, by default one of its own. */
    stream: (path = `/t-${randomUUID()}`) => new Stream(runtime.url, path, headers),
  };
}

/** A narrower token, signed with the deployment's. */
export function scoped(token, { by = "somebody", path = "/", can }) {
  return new SignJWT({ by, path, can, exp: Math.floor(Date.now() / 1_000) + 3_600 })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .sign(new TextEncoder().encode(token));
}

/** A stream, as a client sees it. */
export class Stream {
  constructor(base, path, headers = {}) {
    Object.assign(this, { base, path, headers, url: `${base}/api/streams${path}` });
  }

  /** The same stream with another token. */
  as(token) {
    return new Stream(this.base, this.path, { authorization: `Bearer ${token}` });
  }

  /** A stream below. */
  below(name) {
    return new Stream(this.base, `${this.path}/${name}`, this.headers);
  }

  /** Asks for `{method, path, body}`; the answer as it is. */
  call(method, path, body) {
    return fetch(this.base + path, {
      method,
      headers: this.headers,
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  }

  post(...events) {
    return this.call("POST", `/api/streams${this.path}`, events.length === 1 ? events[0] : events);
  }

  /** Appends events, and returns the last. */
  async append(...events) {
    const response = await this.post(...events);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    const answer = JSON.parse(text);
    return answer.event ?? answer.events?.at(-1) ?? answer;
  }

  async json(method, path, body) {
    const response = await this.call(method, path, body);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text);
  }

  /** All events, or those of some types. */
  async events(types) {
    const events = [];
    for (let afterOffset = 0; ;) {
      const page = await this.json("GET", `/api/streams${this.path}${query({ afterOffset, limit: 1_000, types })}`);
      events.push(...page.events);
      if (page.upToDate) return events;
      afterOffset = page.afterOffset;
    }
  }

  /** The types of all events behind an offset. */
  async types(behind = 0) {
    return (await this.events()).filter(({ offset }) => offset > behind).map(({ type }) => type);
  }

  /**
   * Waits until there are so many events of a type, or until a condition over all events of it holds. Returns them.
   *
   * @param {string} types globs, separated by commas
   * @param {number | ((events: object[]) => unknown)} wanted
   */
  async until(types, wanted = 1) {
    const holds = typeof wanted === "number" ? (events) => events.length >= wanted : wanted;
    const events = [];
    for (let [afterOffset, begun] = [0, Date.now()]; ;) {
      const response = await this.call(
        "GET",
        `/api/streams${this.path}${query({ afterOffset, limit: 1_000, types, wait: 5 })}`,
      );
      if (response.status === 200) {
        const page = await response.json();
        events.push(...page.events);
        afterOffset = page.afterOffset;
        if (holds(events)) return events;
      } else {
        // It is born later.
        assert.equal(response.status, 404, await response.text());
        await sleep(20);
      }
      if (Date.now() - begun > patience) {
        const all = (await this.events().catch(() => [])).map(short).join("\n");
        assert.fail(`waited in vain for ${wanted} of ${types} in ${this.path}:\n${all}`);
      }
    }
  }

  /** The same for one event with this in its payload: the first. */
  async event(type, payload = {}) {
    const has = (event) => Object.entries(payload).every(([name, value]) => event.payload?.[name] === value);
    return (await this.until(type, (events) => events.some(has))).find(has);
  }

  /** Configures the subscription `slug` as an agent; `more` stands beside its target. */
  agent(slug, agent, more = {}) {
    return this.append(agentConfigured(slug, agent, more));
  }

  /** Somebody says something; `more` stands in the payload. */
  input(content, more = {}) {
    return this.append({ type: "agent.input-added", payload: { content, ...more } });
  }

  /** The finished answers, when there are so many. */
  outputs(count = 1) {
    return this.until("agent.output-added", count);
  }

  /** What the stream's control events add up to. */
  state() {
    return this.json("GET", `/api/state${this.path}`);
  }

  /** How a subscription stands. */
  subscription(slug) {
    return this.json("GET", `/api/subscriptions${this.path}${query({ slug })}`);
  }

  /** `GET /api/agents`: the request of a turn. */
  turn(slug, turn) {
    return this.json("GET", `/api/agents${this.path}${query({ slug, turn })}`);
  }

  async head() {
    const response = await this.call("HEAD", `/api/streams${this.path}`);
    return response.status === 404 ? 0 : Number(response.headers.get("tailrace-head"));
  }

  delete(more = "") {
    return this.call("DELETE", `/api/streams${this.path}${more}`);
  }

  /** The paths of the streams right below. */
  async children() {
    const { children } = await this.json("GET", `/api/children${this.path}`);
    return children.map(({ path }) => path);
  }

  /** Leases what is due to a worker, and waits for it. */
  lease(slug) {
    return this.json("POST", `/api/lease${this.path}${query({ slug, wait: 20 })}`);
  }

  settle(said) {
    return this.json("POST", `/api/settle${this.path}`, said);
  }

  /** Follows live, from now on; see [`Tail`]. */
  async live(more = {}) {
    const stops = new AbortController();
    const response = await fetch(this.url + query({ live: true, afterOffset: await this.head(), ...more }), {
      headers: this.headers,
      signal: stops.signal,
    });
    assert.equal(response.status, 200);
    const tail = new Tail(response.body, stops);
    await tail.until((messages) => messages.some(({ event }) => event === "tail"));
    return tail;
  }
}

/** A live reader: `messages` are what it was told so far, as `{event, id, data}`. */
export class Tail {
  messages = [];
  isOver = false;
  #stops;
  #woken = Promise.withResolvers();

  constructor(body, stops) {
    this.#stops = stops;
    this.#read(body)
      .catch(() => {})
      .finally(() => {
        this.isOver = true;
        this.#woken.resolve();
      });
  }

  /** What the model was heard saying: the payloads of deltas. */
  get deltas() {
    return this.messages
      .filter(({ event, data }) => event === "ephemeral" && data.type === "agent.output-delta")
      .map(({ data }) => data.payload);
  }

  /** The events. */
  get events() {
    return this.messages.filter(({ event }) => event === "message").map(({ data }) => data);
  }

  /** Waits until a condition over the messages holds. */
  async until(holds) {
    const deadline = AbortSignal.timeout(patience);
    while (!holds(this.messages)) {
      assert.ok(!this.isOver, `the tail ended: ${JSON.stringify(this.messages)}`);
      const late = new Promise((_, reject) => {
        deadline.addEventListener("abort", () =>
          reject(new Error(`waited in vain: ${JSON.stringify(this.messages).slice(0, 2_000)}`)),
        );
      });
      await Promise.race([this.#woken.promise, late]);
    }
    return this.messages;
  }

  stop() {
    this.#stops.abort();
  }

  async #read(body) {
    let text = "";
    for await (const piece of body.pipeThrough(new TextDecoderStream())) {
      text += piece;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        this.#take(text.slice(0, end));
        text = text.slice(end + 2);
      }
      const woken = this.#woken;
      this.#woken = Promise.withResolvers();
      woken.resolve();
    }
  }

  #take(block) {
    const message = { event: "message", data: "" };
    for (const line of block.split("\n")) {
      const [name] = line.split(":", 1);
      const value = line.slice(name.length + 1).replace(/^ /, "");
      if (name === "data") message.data += value;
      else if (name !== "") message[name] = value;
    }
    if (message.data === "" && message.event === "message") return;
    try {
      message.data = JSON.parse(message.data);
    } catch {
      // It is no JSON.
    }
    this.messages.push(message);
  }
}

/** The event that configures an agent that answers at once. */
export function agentConfigured(slug, agent, more = {}) {
  const target = { agent: { debounceMs: 0, ...agent } };
  return { type: "subscription.configured", payload: { slug, target, ...more } };
}

/** The event that configures a tool. */
export function toolConfigured(name, more = {}) {
  return { type: "tool.configured", payload: { name, description: `the tool ${name}`, ...more } };
}

/** An event on one line, for messages of tests. */
export function short({ offset, type, payload }) {
  return `${offset} ${type} ${JSON.stringify(payload)?.slice(0, 300)}`;
}

function query(fields) {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  const text = given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return text && `?${text}`;
}

/** Asks again and again until there is an answer. For what cannot be waited for in a stream. */
export async function until(what, ask) {
  for (const begun = Date.now(); Date.now() - begun < patience; await sleep(10)) {
    const answer = await ask();
    if (answer) return answer;
  }
  throw new Error(`waited in vain until ${what}`);
}

/** A server on loopback that ends with the tests of the file. `handle(request, response, body)`. */
export async function aServer(handle) {
  const server = createServer(async (request, response) => {
    try {
      const body = await buffer(request);
      await handle(request, response, body);
    } catch (error) {
      // Somebody left in the middle.
      response.destroy(error);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/**
 * A provider of models. Requests go to aimock, an independent implementation of the three APIs, and are written down byte
 * for byte on their way; models with a script of their own never get there.
 */
export async function aProvider() {
  const mock = new LLMock({ port: 0, logLevel: "silent" });
  await mock.start();
  after(() => mock.stop());
  const scripts = new Map();
  const heard = [];
  const url = await aServer(async (request, response, body) => {
    const text = body.toString("utf8");
    let json;
    try {
      json = JSON.parse(text);
    } catch {
      json = {};
    }
    const entry = { at: Date.now(), url: request.url, headers: request.headers, body: text, json, isOver: false };
    response.once("close", () => {
      entry.isOver = true;
      entry.isBrokenOff = !response.writableFinished;
    });
    heard.push(entry);
    const of = heard.filter((it) => it.json.model === json.model);
    const script = scripts.get(json.model);
    if (script) await script({ request, response, entry, json, count: of.length });
    else await forward(mock.url, request, response, body);
  });

  return {
    mock,
    url,
    baseUrl: `${url}/v1`,
    /**
     * A model of its own name. `answer(request, count)` says what aimock answers with, for the request as chat would put
     * it; `options` are aimock's for a fixture.
     */
    model(answer, options = {}) {
      const name = `model-${randomUUID()}`;
      let count = 0;
      const respond = typeof answer === "function" ? (request) => answer(request, ++count) : answer;
      mock.on({ model: name }, respond, options);
      return this.named(name);
    },
    /** A model whose answers are written by hand: `script({response, json, count, …})`. */
    scripted(script) {
      const name = `scripted-${randomUUID()}`;
      scripts.set(name, script);
      return this.named(name);
    },
    named(name) {
      return {
        name,
        baseUrl: `${url}/v1`,
        /** What it was asked so far, in order. */
        get requests() {
          return heard.filter(({ json }) => json.model === name);
        },
        /** What an agent says to be this model's. */
        of: (api, more = {}) => ({ api, baseUrl: `${url}/v1`, model: name, ...more }),
        /** Waits until it was asked so often. */
        asked(count = 1) {
          return until(`${name} was asked ${count} times`, () => this.requests.length >= count && this.requests);
        },
      };
    },
  };
}

/** A call that a model wants, as aimock takes it. */
export const wants = (name, args) => ({ name, arguments: typeof args === "string" ? args : JSON.stringify(args) });

/** Hands a request on, and its answer back, cut where it is cut. */
function forward(to, request, response, body) {
  return new Promise((resolve) => {
    const headers = { ...request.headers, host: new URL(to).host };
    const onward = requestTo(to + request.url, { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
      answer.once("error", () => response.destroy());
      answer.once("close", () => {
        if (!answer.complete) response.destroy();
        resolve();
      });
    });
    onward.once("error", () => {
      response.destroy();
      resolve();
    });
    response.once("close", () => onward.destroy());
    onward.end(body);
  });
}

/** What a provider streams, by hand: the pieces of an answer as each API writes them, without the end. */
export const said = {
  chat: (text) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: text } }] })}\n\n`,
  responses: (text) =>
    `event: response.output_text.delta\ndata: ${JSON.stringify({ type: "response.output_text.delta", item_id: "m", output_index: 0, content_index: 0, delta: text })}\n\n`,
  messages: (text) =>
    `event: content_block_delta\ndata: ${JSON.stringify({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })}\n\n`,
};

/** What stands before the first piece. */
export const begun = {
  chat: "",
  responses:
    `event: response.created\ndata: ${JSON.stringify({ type: "response.created", response: { id: "r", model: "by-hand", status: "in_progress" } })}\n\n` +
    `event: response.output_item.added\ndata: ${JSON.stringify({ type: "response.output_item.added", output_index: 0, item: { type: "message", id: "m", role: "assistant", content: [] } })}\n\n`,
  messages:
    `event: message_start\ndata: ${JSON.stringify({ type: "message_start", message: { id: "m", model: "by-hand", role: "assistant", content: [], usage: { input_tokens: 1, output_tokens: 0 } } })}\n\n` +
    `event: content_block_start\ndata: ${JSON.stringify({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } })}\n\n`,
};

/** What stands behind the last. */
export const over = {
  chat: `data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })}\n\ndata: [DONE]\n\n`,
  responses: `event: response.completed\ndata: ${JSON.stringify({ type: "response.completed", response: { id: "r", model: "by-hand", status: "completed", usage: { input_tokens: 1, output_tokens: 1 } } })}\n\n`,
  messages:
    `event: content_block_stop\ndata: ${JSON.stringify({ type: "content_block_stop", index: 0 })}\n\n` +
    `event: message_delta\ndata: ${JSON.stringify({ type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 1 } })}\n\n` +
    `event: message_stop\ndata: ${JSON.stringify({ type: "message_stop" })}\n\n`,
};

/** A whole answer by hand: begins it, writes the pieces, ends it. */
export function speak(response, api, pieces, { ends = true } = {}) {
  if (!response.headersSent) {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(begun[api]);
  }
  for (const piece of pieces) response.write(said[api](piece));
  if (ends) response.end(over[api]);
}

/** Which API a request is of. */
export const apiOf = ({ url }) =>
  url.endsWith("/messages") ? "messages" : url.endsWith("/responses") ? "responses" : "chat";
