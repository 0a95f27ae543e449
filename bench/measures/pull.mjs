// Workers that lease and settle over HTTP. Beside them what the bare floor would need for the same: a read, and an append
// that says how far one has come.
import { setTimeout as sleep } from "node:timers/promises";
import { Connection } from "../load/connection.mjs";
import { withCpu } from "../load/cpu.mjs";
import { percentile } from "../load/numbers.mjs";
import { event, fill, minimal, pageEnd, streamUrl, withoutBreaker } from "../load/stream.mjs";
import { leaseUrl, settleUrl, subscribe } from "../load/subscription.mjs";
import { tail } from "../load/tail.mjs";

const contenders = ["bare", "tailrace"];

async function newStream(url, name, batch) {
  const stream = `${name}-${Date.now()}`;
  await withoutBreaker(url, [stream]);
  await subscribe(url, stream, [{ slug: "worker", target: { pull: true }, batch }]);
  return stream;
}

function pulls({ name, title, size, perAppend, events, quickEvents }) {
  return {
    name,
    title,
    contenders,
    rounds: [5, 3],
    metrics: { rate: "leases settled/s", events: "events/s", cpu: "CPU a lease with its settle, µs" },

    async run({ url, pid, contender }, { quick }) {
      const stream = await newStream(url, name, size);
      const count = (quick ? quickEvents : events) / size;
      await fill(url, stream, count * size, perAppend);
      const connection = await Connection.open(url);
      const step = contender === "tailrace" ? leased(connection, stream) : read(connection, stream, size);
      const begun = performance.now();
      const { cpu } = await withCpu(pid, async () => {
        for (let done = 0; done < count; done++) await step();
        return { count };
      });
      const seconds = (performance.now() - begun) / 1000;
      connection.close();
      return { rate: count / seconds, events: (count * size) / seconds, cpu };
    },
  };
}

function leased(connection, stream) {
  return async () => {
    const { lease } = JSON.parse(await connection.post(leaseUrl(stream, "worker"), ""));
    await connection.post(settleUrl(stream), JSON.stringify({ lease }));
  };
}

function read(connection, stream, size) {
  let after = 2;
  return async () => {
    const page = await connection.get(`${streamUrl(stream)}?afterOffset=${after}&limit=${size}`);
    after = pageEnd(page).afterOffset;
    const done = { type: "worker.settled", payload: { after } };
    await connection.post(streamUrl(`${stream}-cursor`), JSON.stringify(done), minimal);
  };
}

export const pull1 = pulls({
  name: "pull-1",
  title: "Lease and settle one event, one worker; appended one by one",
  size: 1,
  perAppend: 1,
  events: 2000,
  quickEvents: 500,
});

export const pull100 = pulls({
  name: "pull-100",
  title: "Lease and settle 100 events, one worker; appended in batches of 100",
  size: 100,
  perAppend: 100,
  events: 100_000,
  quickEvents: 20_000,
});

export const pullLargeRows = pulls({
  name: "pull-large-rows",
  title: "Lease and settle one event, one worker; appended in batches of 1,000",
  size: 1,
  perAppend: 1000,
  events: 1000,
  quickEvents: 500,
});

export const pullWake = {
  name: "pull-wake",
  title: "From append to a worker that waits (for the bare floor: a live reader), an append every 20 ms",
  contenders,
  rounds: [3, 1],
  metrics: { p50: "p50, ms", p99: "p99, ms" },

  async run({ url, contender }, { quick }) {
    const stream = await newStream(url, "pull-wake", 100);
    const count = quick ? 100 : 250;
    const sent = new Float64Array(count);
    const times = [];
    const received = (text) => {
      for (const [, seq] of text.matchAll(/"seq": *(\d+)/g)) times.push(performance.now() - sent[seq]);
    };
    const follow = contender === "tailrace" ? worker : reader;
    const { close, ended } = await follow(url, stream, count, received);
    const writer = await Connection.open(url);
    for (let seq = 0; seq < count; seq++) {
      const bytes = writer.prepare(streamUrl(stream), JSON.stringify(event(seq)));
      sent[seq] = performance.now();
      await writer.send(bytes);
      await sleep(20);
    }
    await Promise.race([ended, sleep(5_000, undefined, { ref: false })]);
    close();
    writer.close();
    if (times.length < count) throw new Error(`${times.length} of ${count} events came`);
    return { p50: percentile(times, 50), p99: percentile(times, 99) };
  },
};

async function worker(url, stream, count, received) {
  const connection = await Connection.open(url);
  const work = async () => {
    for (let done = 0; done < count;) {
      const text = (await connection.post(leaseUrl(stream, "worker", 30), "")).toString();
      received(text);
      const { lease, events } = JSON.parse(text);
      await connection.post(settleUrl(stream), JSON.stringify({ lease }));
      done += events.length;
    }
  };
  return { close: () => connection.close(), ended: work() };
}

async function reader(url, stream, count, received) {
  const { close } = await tail(url, `${streamUrl(stream)}?afterOffset=2`, received);
  return { close, ended: undefined };
}
