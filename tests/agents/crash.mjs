// What the tests that kill the runtime share: a runtime that dies and goes on from its disk, clients that do not give up,
// and what lives on outside meanwhile: a model and tools.
import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { start } from "../../scripts/runtime.mjs";
import { aServer, said, over } from "./support.mjs";

/** How long anything may take: what dies twice with its process waits half a minute. */
const PATIENCE_MS = 180_000;

/** A runtime on a disk of its own. `kill` is a kill -9 of all its processes; it starts again at once. */
export class Mortal {
  kills = 0;
  #hasEnded = false;
  #folder = mkdtempSync(path.join(tmpdir(), "tailrace-crash-"));
  #runtime;
  #up;

  static async born() {
    const mortal = new Mortal();
    await mortal.#start();
    return mortal;
  }

  async kill() {
    const killed = this.#runtime;
    process.kill(-killed.pid, "SIGKILL");
    this.kills++;
    // It has ended already: this waits until that is known.
    await killed.kill();
    await this.#start();
  }

  async end() {
    this.#hasEnded = true;
    await this.#up;
    await this.#runtime.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #start() {
    const { promise, resolve } = Promise.withResolvers();
    this.#up = promise;
    this.#runtime = await start({
      ...(process.env.TAILRACE_BUILD ? { build: process.env.TAILRACE_BUILD } : {}),
      persistTo: this.#folder,
      logs: process.env.TAILRACE_LOGS ?? "ignore",
      vars: { TAILRACE_OPEN: "1", TAILRACE_LOOPBACK_TARGETS: "1" },
    });
    resolve(this.#runtime.url);
  }

  /** Asks until there is an answer, over as many deaths as come between. */
  async call(method, target, body) {
    const text = body === undefined ? undefined : JSON.stringify(body);
    for (const begun = Date.now(); Date.now() - begun < PATIENCE_MS && !this.#hasEnded;) {
      try {
        const response = await fetch((await this.#up) + target, {
          method,
          body: text,
          signal: AbortSignal.timeout(60_000),
        });
        const answer = { status: response.status, body: await response.text() };
        if (response.status < 500) return answer;
      } catch {
        // It died meanwhile.
      }
      await sleep(20);
    }
    throw new Error(`no answer to ${method} ${target}`);
  }

  /** The same, for what must go well. */
  async json(method, target, body) {
    const answer = await this.call(method, target, body);
    if (answer.status !== 200) throw new Error(`${method} ${target}: ${answer.status} ${answer.body}`);
    return JSON.parse(answer.body);
  }

  /** Appends; whoever must not do it twice says so with a key. */
  append(stream, ...events) {
    return this.json("POST", `/api/streams${stream}`, events.length === 1 ? events[0] : events);
  }

  /** All events of a stream. */
  async events(stream, types = "*") {
    const events = [];
    for (let after = 0; ;) {
      const page = await this.json("GET", `/api/streams${stream}?types=${types}&limit=1000&afterOffset=${after}`);
      events.push(...page.events);
      if (page.upToDate) return events;
      after = page.afterOffset;
    }
  }

  /** Waits until events of some types behind `after` fulfil a condition; returns the first that does. */
  async first(stream, types, after, holds) {
    for (const begun = Date.now(); Date.now() - begun < PATIENCE_MS;) {
      const answer = await this.call("GET", `/api/streams${stream}?types=${types}&wait=5&afterOffset=${after}`);
      if (answer.status === 404) {
        await sleep(50);
        continue;
      }
      const page = JSON.parse(answer.body);
      const found = page.events.find(holds);
      if (found) return found;
      after = page.afterOffset;
    }
    const log = (await this.events(stream)).slice(-40).map(short).join("\n");
    const standing = await this.call("GET", `/api/subscriptions${stream}`);
    throw new Error(`waited in vain for ${types} in ${stream}, whose log ends with\n${log}\n${standing.body}`);
  }
}

export const short = ({ offset, type, payload }) => `${offset} ${type} ${JSON.stringify(payload).slice(0, 200)}`;

/** A time from `least` to `most` milliseconds, the one as likely as the other. */
export const between = (least, most) => randomInt(least, most + 1);

const chunk = (choice) => `data: ${JSON.stringify({ choices: [{ index: 0, ...choice }] })}\n\n`;

/**
 * A slow model. `answer(words, results, request)` says what it says to the last input and the results of the calls since:
 * a text, calls as `[{name, arguments}]`, or a status that it refuses with.
 */
export async function aModel(answer) {
  const model = { asked: 0, speaking: 0 };
  const url = await aServer(async (request, response, body) => {
    const json = JSON.parse(body);
    model.asked++;
    model.speaking++;
    response.once("close", () => model.speaking--);
    const at = json.messages.findLastIndex(({ role }) => role === "user");
    const results = json.messages.slice(at + 1).filter(({ role }) => role === "tool");
    const wanted = await answer(json.messages[at].content, results, json);
    if (typeof wanted === "number") {
      response.writeHead(wanted, { "content-type": "application/json" });
      return response.end(JSON.stringify({ error: { message: "not now" } }));
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const isText = typeof wanted === "string";
    const pieces = isText ? wanted.match(/.{1,3}/gsu).map(said.chat) : wanted.map(called);
    const pause = between(100, 600) / pieces.length;
    for (const piece of pieces) {
      await sleep(pause);
      response.write(piece);
    }
    return response.end(isText ? over.chat : `${chunk({ delta: {}, finish_reason: "tool_calls" })}data: [DONE]\n\n`);
  });
  return Object.assign(model, { baseUrl: `${url}/v1` });
}

const called = ({ name, arguments: given }, index) =>
  chunk({
    delta: { tool_calls: [{ index, id: `theirs-${index}`, function: { name, arguments: JSON.stringify(given) } }] },
  });

/** A tool with a URL: counts how often each call is done. */
export async function aTool(answer) {
  const tool = { done: new Map(), working: 0 };
  tool.url = await aServer(async (_, response, body) => {
    const { callId, arguments: given } = JSON.parse(body).events[0].payload;
    tool.done.set(callId, (tool.done.get(callId) ?? 0) + 1);
    tool.working++;
    response.once("close", () => tool.working--);
    await sleep(between(20, 150));
    response.end(JSON.stringify(await answer(given, callId)));
  });
  return tool;
}

/** The events by what `key` says of them. */
export const grouped = (events, key) => Map.groupBy(events, key);
