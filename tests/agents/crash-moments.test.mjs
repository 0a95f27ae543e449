// Moments at which a death would hurt most: right after an approval, while a model is given time, while a sub-agent is made
// and answers, while a reminder is due, while a call is broken off. All of them live in the same runtime, so each of these
// deaths comes to the others at whatever they are doing.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Mortal, aModel, aTool, between, isAnswer, picked, short, sound } from "./crash.mjs";

/** So often each moment is met, each time with new streams; a few milliseconds lie between what they are killed at. */
const ROUNDS = Number(process.env.TAILRACE_TEST_ROUNDS ?? 1);
const STREAMS = 6;

/** What the model says to words while it has no results: a text, calls, or a status that it refuses with. */
const SAYS = {
  deploy: () => [{ name: "deploy", arguments: {} }],
  twice: () => [
    { name: "deploy", arguments: { number: 1 } },
    { name: "deploy", arguments: { number: 2 } },
  ],
  flaky: (words) => (refused.has(words) ? "It worked." : refused.add(words) && 503),
  delegate: () => [{ name: "spawn", arguments: { input: "a small task" } }],
  remind: () => [{ name: "schedule", arguments: { name: "later", content: "time is up", after: "PT2S" } }],
  ramble: () => ({ text: "and so on ".repeat(200), ms: 60_000 }),
};
const refused = new Set();
const model = await aModel((words, results) => {
  assert.ok(
    !results.some(({ content }) => content.includes("no result yet")),
    "the model is told what came of its calls",
  );
  const says = SAYS[words.split(" ")[0]];
  return results.length === 0 && says ? says(words) : `Done: ${results.map(({ content }) => content).join() || words}`;
});
const deploy = await aTool(() => ({ deployed: true }));
const mortal = await Mortal.born();
after(() => mortal.end());

let born = 0;

/** Streams with an agent and a tool that must be approved, to each of which this is said. */
async function told(words, more = {}) {
  const agent = { api: "chat", model: "slow", baseUrl: model.baseUrl, debounceMs: 0, ...more };
  const streams = Array.from({ length: STREAMS }, () => `/moment-${++born}`);
  await Promise.all(
    streams.map((stream) =>
      mortal.append(
        stream,
        ...[
          { type: "tool.configured", payload: { name: "deploy", url: deploy.url, approval: true } },
          { type: "subscription.configured", payload: { slug: "agent", target: { agent } } },
          { type: "agent.input-added", payload: { content: `${words} ${stream}` } },
        ].map((event, index) => ({ ...event, idempotencyKey: `begin:${index}` })),
      ),
    ),
  );
  return streams;
}

/** The first event of a type in each of the streams. */
const each = (streams, type, holds = () => true) =>
  Promise.all(streams.map((stream) => mortal.first(stream, type, 0, holds)));

/** A death, up to so many milliseconds from now. */
async function killWithin(ms) {
  await sleep(between(0, ms));
  await mortal.kill();
}

/** Waits for the last answers, then everything in the log must be right; returns the logs. */
async function answered(streams, isLast = isAnswer) {
  await each(streams, "agent.output-added", isLast);
  return Promise.all(
    streams.map(async (stream) => {
      const events = await sound(mortal, stream, ["agent"], deploy.done);
      assert.equal(events.filter(isLast).length, 1, events.map(short).join("\n"));
      assert.deepEqual(picked(events, "agent.stopped"), []);
      return events;
    }),
  );
}

describe("a death", { concurrency: true }, () => {
  const over = (title, moment) =>
    test(title, async () => {
      for (let round = 1; round <= ROUNDS; round++) await moment(round);
    });

  over("an approval that was given is not lost, nor does it run a call twice", async () => {
    const streams = await told("deploy");
    const asked = await each(streams, "tool.approval-requested");
    const approvals = streams.map((stream, index) =>
      mortal.append(stream, {
        type: "tool.approved",
        payload: { callId: asked[index].payload.callId },
        idempotencyKey: "approval",
      }),
    );
    await Promise.race(approvals);
    await killWithin(100);
    await Promise.all(approvals);
    for (const events of await answered(streams)) {
      assert.equal(picked(events, "tool.approved").length, 1);
      assert.deepEqual(picked(events, "tool.completed")[0].payload.result, { deployed: true });
    }
  });

  over("of two calls, one approved and one denied, each has its end", async () => {
    const streams = await told("twice");
    const asked = await Promise.all(
      streams.map((stream) =>
        mortal.first(stream, "tool.approval-requested", 0, ({ payload }) => payload.arguments.number === 2),
      ),
    );
    const said = streams.map((stream, index) => {
      const { callId } = asked[index].payload;
      const first = callId.replace(/1$/, "0");
      const denied = { type: "tool.denied", payload: { callId, reason: "not both" }, idempotencyKey: "denied" };
      return mortal.append(stream, denied, {
        type: "tool.approved",
        payload: { callId: first },
        idempotencyKey: "approved",
      });
    });
    await Promise.race(said);
    await killWithin(100);
    await Promise.all(said);
    for (const events of await answered(streams)) {
      assert.equal(picked(events, "tool.denied").length, 1);
      assert.equal(picked(events, "tool.completed").length, 1);
    }
  });

  over("a model that is given time is asked again after a death, and no attempt is told twice", async () => {
    const streams = await told("flaky");
    const failures = await each(streams, "agent.turn-failed");
    for (const { payload } of failures) assert.ok(payload.retryAt && !payload.final, JSON.stringify(payload));
    await killWithin(500);
    for (const events of await answered(streams)) {
      assert.equal(events.find(isAnswer).payload.content, "It worked.");
    }
  });

  for (const moment of ["tool.requested", "tool.started", "stream.child-created"]) {
    over(`a sub-agent is made once and answers once, over a death after ${moment}`, async () => {
      const streams = await told("delegate");
      await Promise.race(streams.map((stream) => mortal.first(stream, moment, 0, () => true)));
      await killWithin(400);
      for (const events of await answered(streams)) {
        const [{ streamPath }] = events;
        const { children } = await mortal.json("GET", `/api/children${streamPath}`);
        assert.equal(children.length, 1, JSON.stringify(children));
        const [started] = picked(events, "tool.started");
        assert.equal(started.payload.streamPath, children[0].path);
        const [{ payload }] = picked(events, "tool.completed");
        assert.match(payload.result, /^Done: a small task/);
        const child = await mortal.events(children[0].path);
        assert.equal(child.filter(isAnswer).length, 1, child.map(short).join("\n"));
        assert.equal(picked(child, "agent.input-added").length, 1);
      }
    });
  }

  over("a reminder comes once, also when it was due while nothing ran", async (round) => {
    const streams = await told("remind");
    const configured = await each(streams, "schedule.configured");
    const due = Date.parse(configured.map(({ createdAt }) => createdAt).sort()[0]) + 2_000;
    // While it waits, and in the other rounds about when it is due.
    await sleep(round % 2 === 1 ? 0 : Math.max(0, due - Date.now() - 50));
    await killWithin(200);
    // It may come before the model is told of its call: both have one answer then.
    const isReminded = (event) => isAnswer(event) && /^Done: time is up/.test(event.payload.content);
    for (const events of await answered(streams, isReminded)) {
      const reminders = picked(events, "agent.input-added").filter(({ metadata }) => metadata?.tailrace?.schedule);
      assert.deepEqual(
        reminders.map(({ payload }) => payload.content),
        ["time is up"],
      );
      assert.ok(isReminded(events.findLast(isAnswer)));
    }
  });

  over("a call that is broken off has one end, and what came in between is answered", async () => {
    const streams = await told("ramble", { onInput: "interrupt" });
    await each(streams, "agent.turn-started");
    const next = { type: "agent.input-added", payload: { content: "something else" }, idempotencyKey: "next" };
    const said = streams.map((stream) => mortal.append(stream, next));
    await Promise.race(said);
    await killWithin(100);
    await Promise.all(said);
    for (const events of await answered(streams)) {
      assert.equal(events.findLast(isAnswer).payload.content, "Done: something else");
      assert.equal(picked(events, "agent.turn-interrupted").length, 1, events.map(short).join("\n"));
    }
  });
});
