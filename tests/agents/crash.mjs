// What the tests that kill the runtime share: a runtime that dies and goes on from its disk, clients that do not give up,
// and what lives on outside meanwhile: a model and tools.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { start } from "../../scripts/runtime.mjs";
import { aServer, said, over } from "./support.mjs";

/** How long anything may take: what dies with its process again and again waits for minutes. */
const PATIENCE_MS = 300_000;

/** A runtime on a disk of its own. `kill` is a kill -9 of all its processes; it starts again at once. */
export class Mortal {
  kills = 0;
  #dying;
  #hasEnded = false;
  #folder = mkdtempSync(path.join(tmpdir(), "tailrace-crash-"));
  #runtime;
  #up = Promise.withResolvers();

  static async born() {
    const mortal = new Mortal();
    await mortal.#start();
    return mortal;
  }

  async kill() {
    // If somebody else is killing it, it starts first.
    while (this.#dying) await this.#dying;
    this.#dying = this.#die();
    await this.#dying;
  }

  async end() {
    this.#hasEnded = true;
    await this.#dying;
    await this.#runtime.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #die() {
    process.kill(-this.#runtime.pid, "SIGKILL");
    this.kills++;
    this.#up = Promise.withResolvers();
    // It has ended already: this waits until that is known.
    await this.#runtime.kill();
    await this.#start();
    this.#dying = undefined;
  }

  async #start() {
    this.#runtime = await start({
      ...(process.env.TAILRACE_BUILD ? { build: process.env.TAILRACE_BUILD } : {}),
      persistTo: this.#folder,
      logs: process.env.TAILRACE_LOGS ?? "ignore",
      vars: { TAILRACE_OPEN: "1", TAILRACE_LOOPBACK_TARGETS: "1" },
    });
    this.#up.resolve(this.#runtime.url);
  }

  /** Asks until there is an answer, over as many deaths as come between. */
  async call(method, target, body) {
    const text = body === undefined ? undefined : JSON.stringify(body);
    for (const begun = Date.now(); Date.now() - begun < PATIENCE_MS && !this.#hasEnded;) {
      try {
        const response = await fetch((await this.#up.promise) + target, {
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
 * a text, one that takes its time as `{text, ms}`, calls as `[{name, arguments}]`, or a status that it refuses with.
 */
export async function aModel(answer) {
  const model = { finished: 0, speaking: 0 };
  const url = await aServer(async (request, response, body) => {
    const json = JSON.parse(body);
    model.speaking++;
    response.once("close", () => model.speaking--);
    response.once("finish", () => model.finished++);
    const at = json.messages.findLastIndex(({ role }) => role === "user");
    const results = json.messages.slice(at + 1).filter(({ role }) => role === "tool");
    const wanted = await answer(json.messages[at].content, results, json);
    if (typeof wanted === "number") {
      response.writeHead(wanted, { "content-type": "application/json" });
      return response.end(JSON.stringify({ error: { message: "not now" } }));
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const isText = !Array.isArray(wanted);
    const { text, ms } = isText && typeof wanted === "object" ? wanted : { text: wanted, ms: between(100, 600) };
    const pieces = isText ? text.match(/.{1,3}/gsu).map(said.chat) : wanted.map(called);
    const pause = ms / pieces.length;
    for (const piece of pieces) {
      await sleep(pause);
      if (response.destroyed) return undefined;
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

/** Events of one kind, from a log. */
export const picked = (events, ...types) => events.filter(({ type }) => types.includes(type));

/** Whether an output is the last word of its turns: it calls nothing. */
export const isAnswer = ({ type, payload }) => type === "agent.output-added" && !payload.toolCalls?.length;

/**
 * What is true of every stream with agents when nothing is under way: it has no gap, each request and each call has exactly
 * one end, no call was done more often than is said, every request can be made anew, and the agents' states are folds of
 * the log. Returns the log.
 *
 * @param {Mortal} mortal
 * @param {string} stream
 * @param {string[]} agents their slugs
 * @param {Map<string, number>} done how often each call was done by tools with a URL
 */
export async function sound(mortal, stream, agents, done) {
  const events = await mortal.events(stream);
  const told = (message) => `${stream}: ${message}\n${events.map(short).join("\n")}`;
  assert.deepEqual(
    events.map(({ offset }) => offset),
    events.map((_, index) => index + 1),
    told("offsets are contiguous"),
  );
  assert.deepEqual(picked(events, "error.occurred", "subscription.halted"), [], told("nothing went wrong"));
  callsAreSound(events, done, told);
  for (const agent of agents) {
    const own = events.filter(({ payload }) => payload.agent === agent);
    const starts = picked(own, "agent.turn-started").map(({ payload }) => payload);
    requestsAreSound(own, starts, told);
    for (const { turn, requestId, requestSha256 } of starts) {
      const asked = await mortal.json("GET", `/api/agents${stream}?slug=${agent}&turn=${turn}`);
      const { matches, sha256 } = asked;
      assert.deepEqual(
        { matches, sha256, requestId: asked.requestId },
        { matches: true, sha256: requestSha256, requestId },
      );
    }
  }
  for (const agent of agents) await isFold(mortal, stream, agent);
  return events;
}

/** Turns are counted, and each request has exactly one end; attempts that failed before are told once each. */
function requestsAreSound(own, starts, told) {
  const numbers = starts.map(({ turn }, index) => turn - index);
  assert.ok(
    numbers.every((number) => number === 1),
    told("turns are counted"),
  );
  const failures = picked(own, "agent.turn-failed").map(({ payload }) => payload);
  const ends = [
    ...picked(own, "agent.output-added", "agent.turn-interrupted").map(({ payload }) => payload),
    ...failures.filter((failure) => failure.final),
  ];
  const ids = (payloads) => payloads.map(({ requestId }) => requestId).sort();
  assert.deepEqual(ids(ends), ids(starts), told("each request has exactly one end"));
  const attempts = failures.map(({ requestId, attempt }) => `${requestId} ${attempt}`);
  assert.equal(new Set(attempts).size, attempts.length, told("an attempt fails once"));
}

/** No call is lost, and none is done more often than it is said to have been begun. */
function callsAreSound(events, done, told) {
  const byCall = (...types) => grouped(picked(events, ...types), ({ payload }) => payload.callId);
  const [requested, started, ended] = [
    byCall("tool.requested"),
    byCall("tool.started"),
    byCall("tool.completed", "tool.failed", "tool.denied"),
  ];
  const wanted = picked(events, "agent.output-added").flatMap(({ payload }) => payload.toolCalls ?? []);
  for (const { callId } of wanted) {
    assert.equal(ended.get(callId)?.length, 1, told(`${callId} has exactly one end`));
    const [end] = ended.get(callId);
    const requests = requested.get(callId)?.length ?? 0;
    assert.equal(requests, end.type === "tool.denied" ? 0 : 1, told(`${callId} is requested once`));
    const attempts = (started.get(callId) ?? []).map(({ payload }) => payload.attempt);
    assert.equal(new Set(attempts).size, attempts.length, told(`${callId}: attempts have a number each`));
    const times = done.get(callId) ?? 0;
    assert.ok(times <= attempts.length, told(`${callId} was done ${times} times, of which ${attempts} are said`));
  }
  const callIds = new Set(wanted.map(({ callId }) => callId));
  const strays = [...requested.keys(), ...ended.keys()].filter((callId) => !callIds.has(callId));
  assert.deepEqual(strays, [], told("no call that nobody wanted"));
}

/** The state is what the log folds into: a new version folds it anew, and does nothing else. */
async function isFold(mortal, stream, agent) {
  const standing = () => mortal.json("GET", `/api/subscriptions${stream}?slug=${agent}`);
  const before = await standing();
  const configured = await mortal.events(stream, "subscription.configured");
  const { payload } = configured.findLast((event) => event.payload.slug === agent);
  const { event } = await mortal.append(stream, {
    type: "subscription.configured",
    payload: { ...payload, version: 2 },
  });
  let after = await standing();
  for (; after.cursor < event.offset; after = await standing()) await sleep(20);
  const folded = ({ state }) => ({ ...state, folded: 0 });
  assert.deepEqual(folded(after), folded(before), `${stream}: the state of ${agent} is a fold of the log`);
  const head = (await mortal.events(stream)).at(-1).offset;
  assert.equal(head, event.offset, `${stream}: a fold does nothing else`);
}
