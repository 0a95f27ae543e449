// What the SDKs add to the requests they make. Each is a program of its own (`sdk/`) that says what it does on its
// standard output; all clients have the same server.
import { setTimeout as sleep } from "node:timers/promises";
import { Connection } from "../load/connection.mjs";
import { cpuSeconds } from "../load/cpu.mjs";
import { rssMb } from "../load/memory.mjs";
import { percentile } from "../load/numbers.mjs";
import { heard, inLines, inParts } from "../load/program.mjs";
import { each, event, fill, head, streamUrl, withoutBreaker } from "../load/stream.mjs";
import { leaseUrl, settleUrl, subscribe } from "../load/subscription.mjs";
import { driver } from "../sdk/drivers.mjs";

const sdks = ["typescript", "python", "rust"];
/** Those whose HTTP client is measured as well, with nothing around it: what the SDK adds is told apart from what that takes. */
const withBare = ["typescript", "python"];
const pathOf = (stream) => `/bench/${stream}`;
const curl = (url) => ["curl", "-sN", "-H", "accept: text/event-stream", url];
/** Of history: what follows is live. */
const isEnd = (block) => /^event: *tail$/m.test(block);

function appends({ name, title, connections }) {
  return {
    name,
    title,
    group: "sdk",
    contenders: ["raw", ...sdks],
    floor: "raw",
    before: driver,
    rounds: [5, 3],
    metrics: {
      rate: "appends/s",
      p50: "p50, ms",
      p99: "p99, ms",
      cpu: "CPU of the client an append, µs",
      bareRate: "`fetch`, `httpx` alone: appends/s",
      bareCpu: "`fetch`, `httpx` alone: CPU, µs",
      overBare: "appends/s ÷ `fetch`, `httpx` alone",
      cpuOverBare: "CPU ÷ `fetch`, `httpx` alone",
    },

    async run({ url, contender }, { quick, made }) {
      const ms = quick ? 1000 : 2000;
      const measured = async (task) => {
        // A stream for each: what the others wrote is nothing to it.
        const stream = `${name}-${contender}-${task}-${Date.now()}`;
        await withoutBreaker(url, [stream]);
        const { times, seconds, cpu } = made
          ? await timed([...made, task, url, pathOf(stream), connections, ms])
          : await appendRaw(url, stream, connections, ms);
        const count = times.length;
        const [p50, p99] = [50, 99].map((percent) => percentile(times, percent));
        return { rate: count / seconds, p50, p99, cpu: (cpu * 1e6) / count };
      };
      const mine = await measured("append");
      if (!withBare.includes(contender)) return mine;
      const { rate, cpu } = await measured("bare");
      return { ...mine, bareRate: rate, bareCpu: cpu, overBare: mine.rate / rate, cpuOverBare: mine.cpu / cpu };
    },
  };
}

/** Hears what a driver measures, and adds the seconds of processor time that it took for that. */
function timed(command) {
  let before;
  const hear = ({ ready, ...result }, pid) => {
    if (!ready) return { ...result, cpu: cpuSeconds(pid) - before };
    before = cpuSeconds(pid);
    return undefined;
  };
  return heard(command, inLines(hear));
}

/** The same over raw sockets: each event with a key of its own, as the SDKs give it one. */
async function appendRaw(url, stream, connections, ms) {
  const open = await each(connections, () => Connection.open(url));
  let key = 0;
  const hammer = async (ms) => {
    const times = [];
    const begun = performance.now();
    await each(connections, async (index) => {
      for (let now = performance.now(); now - begun < ms;) {
        await open[index].post(streamUrl(stream), JSON.stringify({ ...event(), idempotencyKey: `key-${(key += 1)}` }));
        const answered = performance.now();
        times.push(answered - now);
        now = answered;
      }
    });
    return { times, seconds: (performance.now() - begun) / 1000 };
  };
  await hammer(500);
  const before = process.cpuUsage();
  const result = await hammer(ms);
  const { user, system } = process.cpuUsage(before);
  open.forEach((connection) => connection.close());
  return { ...result, cpu: (user + system) / 1e6 };
}

export const sdkAppend1 = appends({
  name: "sdk-append-1",
  title: "SDKs: appends, one after the other",
  connections: 1,
});
export const sdkAppend16 = appends({ name: "sdk-append-16", title: "SDKs: appends, 16 at a time", connections: 16 });

export const sdkTail = {
  name: "sdk-tail",
  title: "SDKs: from append to a tail, with `curl -N` on the same stream at the same time; an append every 5 ms",
  group: "sdk",
  contenders: sdks,
  before: driver,
  rounds: [5, 2],
  metrics: {
    p50: "p50, ms",
    p99: "p99, ms",
    curl50: "`curl -N`: p50, ms",
    curl99: "`curl -N`: p99, ms",
    ratio50: "÷ `curl -N`: p50",
    ratio99: "÷ `curl -N`: p99",
  },

  async run({ url, contender }, { quick, made }) {
    const halves = [];
    // Who came first is told first: so each comes first for a half.
    for (const isFirst of [true, false]) {
      const stream = `sdk-tail-${contender}-${Date.now()}`;
      await withoutBreaker(url, [stream]);
      const after = await head(url, stream);
      halves.push(await besideCurl(url, stream, after, { made, isFirst, count: quick ? 100 : 250 }));
    }
    const [sdk, curl] = [0, 1].map((who) => halves.flatMap((half) => half[who]));
    const [p50, p99] = [50, 99].map((percent) => percentile(sdk, percent));
    const [curl50, curl99] = [50, 99].map((percent) => percentile(curl, percent));
    return { p50, p99, curl50, curl99, ratio50: p50 / curl50, ratio99: p99 / curl99 };
  },
};

/** The milliseconds from append to what the SDK's program says, and to what curl says. */
async function besideCurl(url, stream, after, { made, isFirst, count }) {
  const sent = new Float64Array(count);
  const following = (command, parts) => {
    const times = [];
    let isReady;
    const ready = new Promise((resolve) => (isReady = resolve));
    const received = (seq) => {
      if (seq === undefined) isReady();
      else times.push(performance.now() - sent[seq]);
      return times.length === count ? times : undefined;
    };
    return { ready, times: heard(command, parts(received)) };
  };
  const bySdk = () =>
    following([...made, "tail", url, pathOf(stream), after], (received) =>
      inLines((said) => received(said.ready ? undefined : said)),
    );
  const byCurl = () =>
    following(curl(`${url}${streamUrl(stream)}?afterOffset=${after}`), (received) =>
      inParts("\n\n", (block) => {
        const seq = /"seq": *(\d+)/.exec(block)?.[1];
        return seq !== undefined || isEnd(block) ? received(seq) : undefined;
      }),
    );
  const readers = [];
  for (const follow of isFirst ? [bySdk, byCurl] : [byCurl, bySdk]) {
    const reader = follow();
    readers.push(reader);
    await Promise.race([reader.ready, reader.times]);
  }
  const writer = await Connection.open(url);
  for (let seq = 0; seq < count; seq++) {
    const bytes = writer.prepare(streamUrl(stream), JSON.stringify(event(seq)));
    sent[seq] = performance.now();
    await writer.send(bytes);
    await sleep(5);
  }
  writer.close();
  const times = await Promise.all(readers.map((reader) => reader.times));
  return isFirst ? times : times.toReversed();
}

/** Events that are pulled before it is measured. */
const warmUp = 200;

export const sdkPull = {
  name: "sdk-pull",
  title: "SDKs: a processor that pulls, leases of 100, a settle with its state for each event",
  group: "sdk",
  contenders: ["raw", ...sdks],
  floor: "raw",
  before: driver,
  rounds: [5, 3],
  metrics: { rate: "events/s", cpu: "CPU of the client an event, µs" },

  async run({ url, contender }, { quick, made }) {
    const stream = `sdk-pull-${contender}-${Date.now()}`;
    await withoutBreaker(url, [stream]);
    await subscribe(url, stream, [{ slug: "worker", target: { pull: true } }]);
    const count = quick ? 800 : 2000;
    await fill(url, stream, warmUp + count + 100, 100);
    const { seconds, cpu } = made
      ? await timed([...made, "pull", url, pathOf(stream), warmUp, count])
      : await pullRaw(url, stream, count);
    return { rate: count / seconds, cpu: (cpu * 1e6) / count };
  },
};

/** The same requests over a raw socket. */
async function pullRaw(url, stream, count) {
  const connection = await Connection.open(url);
  let state = 0;
  const pull = async (upTo) => {
    while (state < upTo) {
      const { lease, events } = JSON.parse(await connection.post(leaseUrl(stream, "worker", 30), ""));
      for (const { offset } of events) {
        const extend = offset === events.at(-1).offset ? undefined : 30;
        await connection.post(settleUrl(stream), JSON.stringify({ lease, upTo: offset, state: (state += 1), extend }));
      }
    }
  };
  await pull(warmUp);
  const before = process.cpuUsage();
  const begun = performance.now();
  await pull(warmUp + count);
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(before);
  connection.close();
  return { seconds, cpu: (user + system) / 1e6 };
}

const tenths = Array.from({ length: 11 }, (_, index) => index * 10);

export const sdkMemory = {
  name: "sdk-memory",
  title: "SDKs: memory (RSS) of a tail over 1,000,000 events; --quick: 100,000",
  group: "sdk",
  contenders: ["curl", ...sdks],
  floor: "curl",
  before: driver,
  limitMs: 600_000,
  rounds: [1, 1],
  metrics: {
    ...Object.fromEntries(tenths.map((tenth) => [`rss${tenth}`, `MB at ${tenth} %`])),
    growth: "MB at 100 %, less those at 10 %",
    heap: "of that, in use (where a collector can say so)",
    rate: "events/s",
  },

  async prepare({ url }, { quick }) {
    await withoutBreaker(url, [sdkMemory.name]);
    await fill(url, sdkMemory.name, quick ? 100_000 : 1_000_000);
  },

  async run({ url }, { quick, made }) {
    const count = quick ? 100_000 : 1_000_000;
    const command = made
      ? [...made, "drain", url, pathOf(sdkMemory.name), count]
      : curl(`${url}${streamUrl(sdkMemory.name)}`);
    const sample = sampling(count);
    return heard(command, made ? inLines(sample) : counting(count, sample), sdkMemory.limitMs);
  },
};

/** Samples the memory of who says how much of the stream it has seen. */
function sampling(count) {
  const samples = {};
  let begun;
  return ({ seen, heapMb }, pid) => {
    if (seen === 0) begun = performance.now();
    const percent = (seen * 100) / count;
    samples[`rss${percent}`] = rssMb(pid);
    if (heapMb !== undefined) samples[`heap${percent}`] = heapMb;
    if (seen < count) return undefined;
    const rate = count / ((performance.now() - begun) / 1000);
    const { rss10, rss100, heap10, heap100 } = samples;
    return { ...samples, growth: rss100 - rss10, heap: heap100 - heap10, rate };
  };
}

/** Counts the events of one who only hands on what it is sent. */
function counting(count, hear) {
  let seen = 0;
  const parts = inParts("\n\n", (block, pid) => {
    if (!block.includes("data:") || isEnd(block)) return undefined;
    seen += 1;
    return seen % (count / 10) === 0 ? hear({ seen }, pid) : undefined;
  });
  return (piece, pid) => {
    if (seen === 0) hear({ seen }, pid);
    return parts(piece, pid);
  };
}
