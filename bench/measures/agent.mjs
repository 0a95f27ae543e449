// Agents. The model is a script in the load generator's own process, with the same clock; what it would cost to ask it
// directly is measured beside it. Only Tailrace: the floors have no agents.
import { setTimeout as sleep } from "node:timers/promises";
import { Connection } from "../load/connection.mjs";
import { withCpu } from "../load/cpu.mjs";
import { median, percentile } from "../load/numbers.mjs";
import { Provider } from "../load/provider.mjs";
import { each, head, streamUrl, withoutBreaker } from "../load/stream.mjs";
import { tail } from "../load/tail.mjs";

const contenders = ["tailrace"];
const patienceMs = 60_000;

/** Configures an agent in a new stream, which its model is named after. */
async function newAgent(url, name, provider, context = 0) {
  const target = { agent: { api: "chat", baseUrl: provider.baseUrl, model: name, debounceMs: 0 } };
  await withoutBreaker(url, [name]);
  const connection = await Connection.open(url);
  const known = { type: "agent.context-added", payload: { content: "Water that has turned the wheel runs on." } };
  for (let left = context; left > 0; left -= 1000) {
    await connection.post(streamUrl(name), JSON.stringify(Array(Math.min(left, 1000)).fill(known)));
  }
  const configured = { type: "subscription.configured", payload: { slug: "agent", target } };
  await connection.post(streamUrl(name), JSON.stringify(configured));
  connection.close();
}

/** A stream that is followed: what its agent is heard saying, and waiting for its whole answers. */
async function follow(url, name, onSaid = () => {}) {
  let outputs = 0;
  let waiting;
  const path = `${streamUrl(name)}?live=true&afterOffset=${await head(url, name)}`;
  const reader = await tail(url, path, (block) => {
    if (block.includes('"type":"agent.output-delta"')) onSaid(block, performance.now());
    else if (block.includes('"type":"agent.output-added"')) {
      outputs += 1;
      waiting?.resolve(performance.now());
    } else if (block.includes('"type":"agent.turn-failed"') || block.includes('"type":"agent.stopped"')) {
      waiting?.reject(new Error(block));
    }
  });
  return {
    close: () => reader.close(),
    /** Says something; when the agent has answered. */
    async ask(writer) {
      waiting = Promise.withResolvers();
      const before = outputs;
      const late = setTimeout(() => waiting.reject(new Error(`${name} did not answer`)), patienceMs);
      const sent = performance.now();
      const posted = writer.post(streamUrl(name), input).then(() => performance.now());
      const [taken, answered] = await Promise.all([posted, waiting.promise]).finally(() => clearTimeout(late));
      if (outputs !== before + 1) throw new Error(`${outputs - before} answers to one input`);
      return { sent, taken, answered };
    },
  };
}

const input = JSON.stringify({ type: "agent.input-added", payload: { content: "And then?" } });

/** A request to the provider by nobody but `fetch`, read to its end: when it was sent, and when all was there. */
async function direct(provider, model) {
  const sent = performance.now();
  const body = JSON.stringify({ model, stream: true, messages: [{ role: "user", content: "And then?" }] });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${provider.baseUrl}/chat/completions`, { method: "POST", headers, body });
  await response.arrayBuffer();
  return { sent, answered: performance.now() };
}

/** A young process compiles while it runs: a few turns that are not measured. */
async function warm({ url }) {
  const provider = await Provider.listen((_, answer) => {
    answer.say("Indeed", ".");
    answer.end();
  });
  const name = `agent-warm-${Date.now()}`;
  await newAgent(url, name, provider);
  const agent = await follow(url, name);
  const writer = await Connection.open(url);
  for (let turn = 0; turn < 50; turn++) await agent.ask(writer);
  agent.close();
  writer.close();
  provider.close();
}

function asking({ name, title, context }) {
  return {
    name,
    title,
    contenders,
    rounds: [3, 1],
    metrics: {
      p50: "p50, ms",
      p99: "p99, ms",
      turn: "the same to the whole answer in a live reader, p50, ms",
      post: "until the POST is answered, p50, ms",
      append: "an append that no agent hears, p50, ms",
      cpu: "CPU a turn, µs",
    },
    prepare: warm,

    async run({ url, pid }, { quick }) {
      let arrived;
      const provider = await Provider.listen(({ at }, answer) => {
        arrived = at;
        answer.say("Indeed.");
        answer.end();
      });
      const [times, turns, posts, appends] = [[], [], [], []];
      // A few turns in each stream: what was said before is sent again with every one.
      const [streams, most] = [quick ? 5 : 25, 9];
      const { cpu } = await withCpu(pid, async () => {
        for (let index = 0; index < streams; index++) {
          const stream = `${name}-${index}-${Date.now()}`;
          await newAgent(url, stream, provider, context);
          const agent = await follow(url, stream);
          const writer = await Connection.open(url);
          for (let turn = 0; turn <= most; turn++) {
            const { sent, taken, answered } = await agent.ask(writer);
            // The first one wakes the objects.
            if (turn === 0) continue;
            times.push(arrived - sent);
            turns.push(answered - sent);
            posts.push(taken - sent);
            const begun = performance.now();
            await writer.post(streamUrl(stream), '{"type":"nothing"}');
            appends.push(performance.now() - begun);
          }
          agent.close();
          writer.close();
        }
        return { count: streams * (most + 1) };
      });
      provider.close();
      return {
        p50: percentile(times, 50),
        p99: percentile(times, 99),
        turn: median(turns),
        post: median(posts),
        append: median(appends),
        cpu,
      };
    },
  };
}

export const agentAsk = asking({
  name: "agent-ask",
  title: "From an input's POST to the model's request arriving there, debounceMs 0",
  context: 0,
});

export const agentAskLong = asking({
  name: "agent-ask-long",
  title: "The same in a stream with 1,000 messages, which the model is told each time",
  context: 1000,
});

export const agentFirstToken = {
  name: "agent-token",
  title: "From the model's token to a live reader, a token every 20 ms",
  contenders,
  rounds: [3, 1],
  metrics: {
    first: "a turn's first, p50, ms",
    first99: "a turn's first, p99, ms",
    p50: "all, p50, ms",
    p99: "all, p99, ms",
    direct: "read directly, p50, ms",
  },
  prepare: warm,

  async run({ url }, { quick }) {
    const tokens = 10;
    let said;
    const provider = await Provider.listen(async (_, answer) => {
      said = [];
      for (let index = 0; index < tokens; index++) {
        said.push(performance.now());
        answer.say(`<${index}>`);
        await sleep(20);
      }
      answer.end();
    });
    const [first, all] = [[], []];
    const name = `agent-token-${Date.now()}`;
    await newAgent(url, name, provider);
    const agent = await follow(url, name, (block, heard) => {
      for (const [, index] of block.matchAll(/<(\d+)>/g)) {
        all.push(heard - said[index]);
        if (index === "0") first.push(heard - said[index]);
      }
    });
    const writer = await Connection.open(url);
    await agent.ask(writer);
    [first, all].forEach((times) => times.splice(0));
    const turns = quick ? 20 : 60;
    for (let turn = 0; turn < turns; turn++) await agent.ask(writer);
    agent.close();
    writer.close();
    const directly = await tokensDirectly(provider, () => said, quick ? 3 : 10);
    provider.close();
    if (first.length !== turns || all.length !== turns * tokens) {
      throw new Error(`${all.length} of ${turns * tokens} tokens were heard`);
    }
    return {
      first: percentile(first, 50),
      first99: percentile(first, 99),
      p50: percentile(all, 50),
      p99: percentile(all, 99),
      direct: percentile(directly, 50),
    };
  },
};

/** How long tokens take to somebody who reads the provider's own answer. */
async function tokensDirectly(provider, said, turns) {
  const times = [];
  for (let turn = 0; turn < turns; turn++) {
    const response = await fetch(`${provider.baseUrl}/chat/completions`, { method: "POST", body: '{"model":"m"}' });
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      const heard = performance.now();
      for (const [, index] of piece.matchAll(/<(\d+)>/g)) times.push(heard - said()[index]);
    }
  }
  return times;
}

export const agentAnswer = {
  name: "agent-answer",
  title: "An answer of 1,000 tokens, followed live: from the input to the finished answer, and the provider's alone",
  contenders,
  rounds: [5, 3],
  metrics: {
    paced: "5 tokens every 5 ms: through Tailrace, ms",
    pacedDirect: "read directly, ms",
    pacedMore: "more, ms",
    atOnce: "as fast as they come: through Tailrace, ms",
    directAtOnce: "read directly, ms",
    atOnceMore: "more, ms",
    cpu: "CPU an answer, paced, µs",
  },
  prepare: warm,

  async run({ url, pid }, { quick }) {
    const tokens = Array.from({ length: 1000 }, (_, index) => ` word${index % 10}`);
    const provider = await Provider.listen(async ({ model }, answer) => {
      const pause = model.startsWith("agent-answer-paced") ? 5 : 0;
      const begun = performance.now();
      for (let at = 0; at < tokens.length; at += 5) {
        // Not so much later each time as timers are late.
        const ahead = begun + (at / 5) * pause - performance.now();
        if (pause > 0 && ahead > 0) await sleep(ahead);
        answer.say(...tokens.slice(at, at + 5));
      }
      answer.end();
    });
    const took = ({ sent, answered }) => answered - sent;
    const figures = async (name) => {
      await newAgent(url, name, provider);
      let chars = 0;
      const agent = await follow(url, name, (block) => (chars += /"text": *"([^"]*)"/.exec(block)[1].length));
      const writer = await Connection.open(url);
      await agent.ask(writer);
      chars = 0;
      const through = [];
      const count = quick ? 3 : 5;
      const { cpu } = await withCpu(pid, async () => {
        for (let turn = 0; turn < count; turn++) through.push(took(await agent.ask(writer)));
        return { count };
      });
      if (chars !== count * tokens.join("").length) throw new Error(`${chars} characters were heard live`);
      agent.close();
      writer.close();
      await direct(provider, name);
      const directly = [];
      for (let turn = 0; turn < count; turn++) directly.push(took(await direct(provider, name)));
      return { through: median(through), directly: median(directly), cpu };
    };
    const paced = await figures(`agent-answer-paced-${Date.now()}`);
    const atOnce = await figures(`agent-answer-${Date.now()}`);
    provider.close();
    return {
      paced: paced.through,
      pacedDirect: paced.directly,
      pacedMore: paced.through - paced.directly,
      atOnce: atOnce.through,
      directAtOnce: atOnce.directly,
      atOnceMore: atOnce.through - atOnce.directly,
      cpu: paced.cpu,
    };
  },
};

export const agentMany = {
  name: "agent-100",
  title: "100 agents are spoken to at once; each model says 20 tokens in 400 ms",
  contenders,
  rounds: [3, 1],
  metrics: {
    all: "until all have answered, ms",
    p50: "from input to answer, p50, ms",
    p99: "from input to answer, p99, ms",
    asked: "from input to the model's request, p50, ms",
    allDirect: "directly: until all have answered, ms",
    p50Direct: "directly: p50, ms",
    p99Direct: "directly: p99, ms",
    cpu: "CPU a turn, µs",
  },
  prepare: warm,

  async run({ url, pid }) {
    const count = 100;
    const arrived = new Map();
    const provider = await Provider.listen(async ({ model, at }, answer) => {
      arrived.set(model, at);
      for (let index = 0; index < 20; index++) {
        answer.say(` word${index}`);
        await sleep(20);
      }
      answer.end();
    });
    const names = Array.from({ length: count }, (_, index) => `agent-100-${index}-${Date.now()}`);
    const agents = [];
    for (const name of names) {
      await newAgent(url, name, provider);
      agents.push(await follow(url, name));
    }
    const all = async (ask) => {
      const begun = performance.now();
      const turns = await each(count, ask);
      const times = turns.map(({ sent, answered }) => answered - sent);
      return { turns, times, took: performance.now() - begun };
    };
    const asks = async () => {
      // A connection that idles is closed after a few seconds.
      const writers = await each(count, () => Connection.open(url));
      const asked = await all((index) => agents[index].ask(writers[index]));
      writers.forEach((writer) => writer.close());
      return asked;
    };
    // The first turn wakes the objects.
    await asks();
    const { turns, times, took, cpu } = await withCpu(pid, async () => ({ ...(await asks()), count }));
    const waited = turns.map(({ sent }, index) => arrived.get(names[index]) - sent);
    agents.forEach((agent) => agent.close());
    await all((index) => direct(provider, names[index]));
    const directly = await all((index) => direct(provider, names[index]));
    provider.close();
    return {
      all: took,
      p50: percentile(times, 50),
      p99: percentile(times, 99),
      asked: median(waited),
      allDirect: directly.took,
      p50Direct: percentile(directly.times, 50),
      p99Direct: percentile(directly.times, 99),
      cpu,
    };
  },
};
