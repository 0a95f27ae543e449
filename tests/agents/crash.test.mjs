// Agents over kills: everything is killed while they think, call and are told, again and again. Each input is answered once,
// each call is done, and the log says so without a gap.
//
// TAILRACE_TEST_KILLS=100 kills so often; with less, the suite takes less.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Mortal, aModel, aTool, between, isAnswer, picked, short, sound } from "./crash.mjs";

const KILLS = Number(process.env.TAILRACE_TEST_KILLS ?? 25);
/** Streams at the beginning, and those that are born between two kills: they are at work at once, while the older ones recover. */
const STREAMS = 6;
const BORN = 1;
/** So often somebody asks, so that the load stays as it is. */
const INPUTS = 2;
const AGENTS = ["anna", "bert"];
const WORKERS = 4;

/** What an input asks for: its calls, by name. */
const KINDS = {
  talk: [],
  look: ["look"],
  fetch: ["fetched"],
  note: ["append_event"],
  all: ["fetched", "append_event", "look", "fetched"],
};
const kinds = Object.keys(KINDS);

/** A call's arguments as its input's number makes them; its result repeats them. */
const argumentsOf = (name, number) =>
  name === "append_event" ? { type: "note.taken", payload: { number } } : { number };

/** Results that the model was told although the log says something else: none, in the end. */
const untold = [];

const model = await aModel((words, results) => {
  const [kind, number] = words.split(" ");
  untold.push(...results.filter(({ content }) => content.includes("there is no result yet")));
  if (results.length === 0 && KINDS[kind].length > 0) {
    return KINDS[kind].map((name) => ({ name, arguments: argumentsOf(name, Number(number)) }));
  }
  return `The answer to ${words}.`;
});
const look = await aTool(({ number }) => ({ looked: number }));
const mortal = await Mortal.born();
after(() => mortal.end());

/** A tool that comes for its calls: leases from any of the streams, does it, settles. */
async function fetches(done, signal) {
  while (!signal.aborted) {
    const leased = await mortal.call("POST", "/api/lease/crash?slug=fetcher&children=true&wait=2&for=5");
    if (leased.status !== 200) continue;
    const { lease, streamPath, events } = JSON.parse(leased.body);
    const append = [];
    for (const { payload } of events) {
      await sleep(between(20, 150));
      done.set(payload.callId, (done.get(payload.callId) ?? 0) + 1);
      const result = { fetched: payload.arguments.number };
      append.push({ type: "tool.completed", payload: { callId: payload.callId, result } });
    }
    // Whoever comes too late is told so, and somebody else has it.
    const settled = await mortal.call("POST", `/api/settle${streamPath}`, { lease, append });
    assert.ok([200, 409].includes(settled.status), settled.body);
  }
}

/** Somebody who asks, waits for the answer, and asks again. */
async function asks(stream, agent, signal) {
  for (let number = 1; number <= INPUTS && !signal.aborted; number++) {
    const words = `${kinds[between(0, kinds.length - 1)]} ${number}`;
    const input = {
      type: "agent.input-added",
      payload: { content: words, to: agent },
      idempotencyKey: `${agent}:${number}`,
    };
    const { event } = await mortal.append(stream, input);
    if (between(1, 4) === 1) assert.equal((await mortal.append(stream, input)).event.offset, event.offset);
    const isOver = (event) => event.payload.agent === agent && (event.type === "agent.stopped" || isAnswer(event));
    await mortal.first(stream, "agent.output-added,agent.stopped", event.offset, isOver);
  }
}

/** Each input is answered once, with what was asked for, and each call did what it should. */
async function verify(stream, numbers, fetched) {
  const events = await sound(mortal, stream, AGENTS, look.done);
  const told = (message) => `${stream}: ${message}\n${events.map(short).join("\n")}`;
  for (const agent of AGENTS) {
    const own = events.filter(({ payload }) => payload.agent === agent);
    const inputs = picked(events, "agent.input-added").filter(({ payload }) => payload.to === agent);
    const keys = inputs.map(({ idempotencyKey }) => idempotencyKey);
    assert.equal(new Set(keys).size, keys.length, told("an input that is said twice is there once"));
    for (const [index, { offset, payload }] of inputs.entries()) {
      const until = inputs[index + 1]?.offset ?? Infinity;
      const since = own.filter((event) => event.offset > offset && event.offset < until);
      const [answer, ...more] = since.filter((event) => isAnswer(event) || event.type === "agent.stopped");
      assert.deepEqual(more, [], told(`one answer to ${payload.content}`));
      if (answer.type === "agent.stopped") {
        const { attempt } = picked(since, "agent.turn-failed").at(-1).payload;
        assert.equal(attempt, 5, told(`${payload.content} was given up too early`));
        numbers.gaveUp++;
      } else {
        assert.equal(answer.payload.content, `The answer to ${payload.content}.`, told("the right answer"));
      }
    }
    numbers.inputs += inputs.length;
    numbers.turns += picked(own, "agent.turn-started").length;
    numbers.cutOff += picked(own, "agent.turn-failed").length;
  }

  const wanted = picked(events, "agent.output-added").flatMap(({ payload }) => payload.toolCalls ?? []);
  for (const { callId, name, arguments: given } of wanted) {
    const end = picked(events, "tool.completed", "tool.failed").find(({ payload }) => payload.callId === callId);
    numbers.calls++;
    if (name === "look") {
      numbers.looked += look.done.get(callId) ?? 0;
      numbers.attempts += picked(events, "tool.started").filter(({ payload }) => payload.callId === callId).length;
    }
    if (name === "fetched") numbers.fetched += fetched.get(callId);
    // A tool that dies four times with its process is given up.
    if (end.type === "tool.failed" && name === "look") numbers.failed++;
    else assert.equal(end.type, "tool.completed", told(`${callId} is done`));
    const results = { look: { looked: given.number }, fetched: { fetched: given.number } };
    if (end.type === "tool.completed" && results[name]) assert.deepEqual(end.payload.result, results[name]);
  }
  const notes = picked(events, "note.taken").length;
  assert.equal(notes, wanted.filter(({ name }) => name === "append_event").length, told("a note is taken once"));
}

test(`over ${KILLS} kills each input is answered once and no call is lost`, async (t) => {
  const agent = (slug) => ({
    type: "subscription.configured",
    payload: {
      slug,
      children: true,
      target: { agent: { api: "chat", model: "slow", baseUrl: model.baseUrl, debounceMs: 0 } },
    },
  });
  await mortal.append(
    "/crash",
    { type: "tool.configured", payload: { name: "look", url: look.url, children: true } },
    { type: "tool.configured", payload: { name: "fetched", children: true } },
    {
      type: "subscription.configured",
      payload: {
        slug: "fetcher",
        children: true,
        target: { pull: true },
        types: ["tool.requested"],
        where: 'event.payload.name == "fetched"',
      },
    },
    ...AGENTS.map(agent),
  );
  const [enough, drained, hopeless] = [new AbortController(), new AbortController(), new AbortController()];
  const fetched = new Map();
  const workers = Array.from({ length: WORKERS }, () => fetches(fetched, drained.signal));
  for (const worker of workers) worker.catch((error) => hopeless.abort(error));
  const streams = [];
  const people = [];
  const born = (count) => {
    for (let more = 0; more < count; more++) {
      const stream = `/crash/${streams.length + 1}`;
      streams.push(stream);
      const all = AGENTS.map((slug) => asks(stream, slug, enough.signal));
      for (const one of all) one.catch((error) => hopeless.abort(error));
      people.push(...all);
    }
  };

  born(STREAMS);
  const begun = Date.now();
  let caught = 0;
  while (mortal.kills < KILLS) {
    // Whoever dies at each of its first words never says a second: some answers must have been said to their end.
    const { finished } = model;
    while (model.finished < finished + 4) {
      hopeless.signal.throwIfAborted();
      await sleep(10);
    }
    await sleep(between(0, 400));
    caught += model.speaking + look.working;
    await mortal.kill();
    born(BORN);
  }
  const killed = Date.now();
  enough.abort();
  await Promise.all(people);
  drained.abort();
  await Promise.all(workers);
  const quiet = Date.now();

  const numbers = {
    inputs: 0,
    turns: 0,
    cutOff: 0,
    gaveUp: 0,
    calls: 0,
    looked: 0,
    attempts: 0,
    fetched: 0,
    failed: 0,
  };
  for (const stream of streams) await verify(stream, numbers, fetched);
  assert.deepEqual(untold, [], "the model is told what came of its calls");
  assert.ok(numbers.gaveUp <= numbers.inputs / 5, `${numbers.gaveUp} of ${numbers.inputs} inputs were given up`);
  assert.ok(numbers.cutOff >= KILLS / 4, "hardly any kill met a model that was speaking");
  const seconds = (ms) => Math.round(ms / 1_000);
  t.diagnostic(
    JSON.stringify({
      kills: mortal.kills,
      caught,
      ...numbers,
      killing: seconds(killed - begun),
      draining: seconds(quiet - killed),
      verifying: seconds(Date.now() - quiet),
    }),
  );
});
