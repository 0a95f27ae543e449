// Pushes: events go to a fast subscriber in the load generator's own process.
import { setTimeout as sleep } from "node:timers/promises";
import { Connection } from "../load/connection.mjs";
import { withCpu } from "../load/cpu.mjs";
import { median, percentile } from "../load/numbers.mjs";
import { Receiver } from "../load/receiver.mjs";
import { each, event, hammer, minimal, streamUrl, withoutBreaker } from "../load/stream.mjs";
import { subscribe, watch } from "../load/subscription.mjs";

const contenders = ["pushing", "tailrace"];

/** Calls back with each event that is pushed. */
const receive = (onEvent) => Receiver.listen((body) => JSON.parse(body).events.forEach(onEvent));

const seqOf = ({ payload }) => payload.seq;

/** A new stream, with a subscription for each payload: what is given beside its slug and target. */
async function newStream(url, name, target, payloads) {
  const stream = `${name}-${Date.now()}`;
  await withoutBreaker(url, [stream]);
  await subscribe(
    url,
    stream,
    payloads.map((payload, index) => ({ slug: `s${index}`, target, ...payload })),
  );
  return stream;
}

/** Appends `count` events, `size` in a request, numbered from 0 on. */
async function appendAll(url, stream, { count, size, connections }) {
  let next = 0;
  await each(connections, async () => {
    const connection = await Connection.open(url);
    while (next < count) {
      const events = Array.from({ length: size }, () => event(next++));
      await connection.post(streamUrl(stream), JSON.stringify(size > 1 ? events : events[0]), minimal);
    }
    connection.close();
  });
}

function pushes({ name, title, size, connections, events, quickEvents }) {
  const all = async (url, count) => {
    const seen = new Set();
    const receiver = await receive((pushed) => seen.add(seqOf(pushed)));
    const stream = await newStream(url, name, { url: receiver.url }, [{ batch: size }]);
    const begun = performance.now();
    await appendAll(url, stream, { count, size, connections });
    await receiver.until(() => seen.size === count);
    const seconds = (performance.now() - begun) / 1000;
    receiver.close();
    return { count, seconds };
  };
  return {
    name,
    title,
    contenders,
    rounds: [5, 3],
    metrics: { rate: "events/s", cpu: "CPU an event, µs" },

    prepare: ({ url }) => all(url, size * 50),

    async run({ url, pid }, { quick }) {
      const { count, seconds, cpu } = await withCpu(pid, () => all(url, quick ? quickEvents : events));
      return { rate: count / seconds, cpu };
    },
  };
}

export const push1 = pushes({
  name: "push-1",
  title: "Pushes of one event, appended one by one over 16 connections, one subscriber",
  size: 1,
  connections: 16,
  events: 2000,
  quickEvents: 500,
});

export const push100 = pushes({
  name: "push-100",
  title: "Pushes of 100 events, appended in batches of 100 over 4 connections, one subscriber",
  size: 100,
  connections: 4,
  events: 50_000,
  quickEvents: 20_000,
});

export const pushCalm = {
  name: "push-calm",
  title: "From append to a subscriber's receipt, an append every 20 ms",
  contenders,
  rounds: [3, 1],
  metrics: { p50: "p50, ms", p99: "p99, ms" },

  async run({ url }, { quick }) {
    const count = quick ? 100 : 250;
    const sent = new Float64Array(count);
    const times = [];
    const receiver = await receive((pushed) => times.push(performance.now() - sent[seqOf(pushed)]));
    const stream = await newStream(url, "push-calm", { url: receiver.url }, [{ batch: 100 }]);
    const writer = await Connection.open(url);
    for (let seq = 0; seq < count; seq++) {
      const bytes = writer.prepare(streamUrl(stream), JSON.stringify(event(seq)));
      sent[seq] = performance.now();
      await writer.send(bytes);
      await sleep(20);
    }
    await receiver.until(() => times.length >= count);
    writer.close();
    receiver.close();
    return { p50: percentile(times, 50), p99: percentile(times, 99) };
  },
};

const many = 100;

export const push100Subscribers = {
  name: "push-fan-out",
  title: "One event to 100 subscriptions that match it",
  contenders,
  rounds: [5, 3],
  metrics: { all: "until all have it, ms", rate: "pushes/s", cpu: "CPU a push, µs" },

  async run({ url, pid }, { quick }) {
    const times = new Map();
    const receiver = await receive((pushed) => {
      const seq = seqOf(pushed);
      times.set(seq, [...(times.get(seq) ?? []), performance.now()]);
    });
    const payloads = Array.from({ length: many }, () => ({ types: ["message.*"], batch: 100 }));
    const stream = await newStream(url, "push-fan-out", { url: receiver.url }, payloads);
    // What the floor pushed about the subscriptions themselves is not looked at.
    times.clear();
    const writer = await Connection.open(url);
    const count = quick ? 10 : 30;
    const took = [];
    const { cpu } = await withCpu(pid, async () => {
      for (let seq = 0; seq < count; seq++) {
        const begun = performance.now();
        await writer.post(streamUrl(stream), JSON.stringify(event(seq)));
        await receiver.until(() => times.get(seq)?.length >= many);
        took.push(times.get(seq)[many - 1] - begun);
      }
      return { count: count * many };
    });
    writer.close();
    receiver.close();
    return { all: median(took), rate: many / (median(took) / 1000), cpu };
  },
};

export const idleSubscriptions = {
  name: "idle-subscriptions",
  title: "Single appends, 16 connections, to a stream with 100 subscriptions that match nothing",
  contenders: ["tailrace"],
  rounds: [5, 3],
  metrics: {
    without: "appends/s without them",
    rate: "appends/s with them",
    ratio: "with ÷ without",
    withoutCpu: "CPU an append without them, µs",
    cpu: "CPU an append with them, µs",
  },

  async run({ url, pid }, { quick }) {
    const payloads = Array.from({ length: many }, (_, index) => ({ types: [`other.${index}.*`] }));
    const plain = `plain-${Date.now()}`;
    await withoutBreaker(url, [plain]);
    const loaded = await newStream(url, "idle", { url: "http://127.0.0.1:9/" }, payloads);
    const rates = async (stream) => {
      const load = { url, connections: 16, nameOf: () => stream, body: JSON.stringify(event()) };
      await hammer({ ...load, ms: 300 });
      return withCpu(pid, () => hammer({ ...load, ms: quick ? 700 : 2000 }));
    };
    const without = await rates(plain);
    const withThem = await rates(loaded);
    const [before, rate] = [without, withThem].map(({ count, seconds }) => count / seconds);
    return { without: before, rate, ratio: rate / before, withoutCpu: without.cpu, cpu: withThem.cpu };
  },
};

export const rowsOfPushes = {
  name: "push-rows",
  title: "Rows written for an event that is appended and pushed, and settings of the alarm (each is billed as a row)",
  contenders: ["tailrace"],
  watched: true,
  rounds: [1, 1],
  metrics: {
    single: "rows an event, one by one",
    alarm: "alarms set an event, one by one",
    batch: "rows an event, in batches of 100",
    batchAlarm: "alarms set an event, in batches of 100",
  },

  async run({ url }) {
    const rows = async (size, count) => {
      const seen = new Set();
      const receiver = await receive((pushed) => seen.add(seqOf(pushed)));
      const stream = await newStream(url, "push-rows", { url: receiver.url }, [{ batch: size }]);
      const writer = await Connection.open(url);
      const figures = await watch(url, async () => {
        for (let seq = 0; seq < count; seq += size) {
          const events = Array.from({ length: size }, (_, index) => event(seq + index));
          await writer.post(streamUrl(stream), JSON.stringify(events));
          await receiver.until(() => seen.size === seq + size);
          // Until the settle is in.
          while ((await cursor(writer, stream)) < seq + size) await sleep(1);
        }
      });
      writer.close();
      receiver.close();
      return [figures.rows / count, figures.alarms / count];
    };
    const [single, alarm] = await rows(1, 200);
    const [batch, batchAlarm] = await rows(100, 5000);
    return { single, alarm, batch, batchAlarm };
  },
};

/** How many events behind its beginning the subscription of a new stream has settled. */
async function cursor(connection, stream) {
  const report = JSON.parse(await connection.get(`/api/subscriptions/bench/${stream}?slug=s0`));
  // Before them: created, the breaker's, the subscription's own.
  return (report.cursor ?? report.subscriptions?.[0]?.cursor) - 3;
}

export const slowSubscriber = {
  name: "push-slow",
  title: "While a subscriber takes 20 s to answer (--quick: 3 s)",
  contenders,
  watched: true,
  rounds: [1, 1],
  metrics: { busy: "the object is busy, ms", took: "the subscriber takes, ms" },

  async run({ url }, { quick }) {
    const ms = quick ? 3_000 : 20_000;
    let [begun, ended] = [0, 0];
    const receiver = await Receiver.listen(async () => {
      begun = performance.now();
      await sleep(ms);
      ended = performance.now();
    });
    const stream = await newStream(url, "push-slow", { url: receiver.url }, [{ timeoutMs: 25_000, batch: 100 }]);
    const writer = await Connection.open(url);
    const { busyMs } = await watch(url, async () => {
      await writer.post(streamUrl(stream), JSON.stringify(event()));
      await receiver.until(() => begun > 0);
      while (ended === 0) await sleep(50);
      // Until the settle is in, and what the object of the floor waits for.
      await sleep(500);
    });
    writer.close();
    receiver.close();
    return { busy: busyMs, took: ended - begun };
  },
};
