// From the append to the live readers. Writer and readers are one process with one clock, so the readers' own work
// is in the numbers: the same for every contender.
import { setTimeout as sleep } from "node:timers/promises";
import { Connection } from "../load/connection.mjs";
import { percentile } from "../load/numbers.mjs";
import { event, head, streamUrl, withoutBreaker } from "../load/stream.mjs";
import { tail } from "../load/tail.mjs";

// Connections that are opened at a time.
const opening = 50;
const patienceMs = 20_000;

function live({ name, title, readers, events, quickEvents, pauseMs, rounds }) {
  return {
    name,
    title,
    rounds,
    metrics: { p50: "p50, ms", p99: "p99, ms" },

    async run({ url }, { quick }) {
      // A new stream for each round: readers of the last one may not have been noticed to be gone.
      const stream = `${name}-${Date.now()}`;
      await withoutBreaker(url, [stream]);
      const count = quick ? quickEvents : events;
      const sent = new Float64Array(count);
      const times = [];
      let all;
      const delivered = new Promise((resolve) => (all = resolve));
      const receive = (block) => {
        const seq = /"seq": *(\d+)/.exec(block)?.[1];
        times.push(performance.now() - sent[seq]);
        if (times.length === readers * count) all();
      };

      const after = await head(url, stream);
      const tails = [];
      for (let begun = 0; begun < readers; begun += opening) {
        const some = Math.min(opening, readers - begun);
        const path = `${streamUrl(stream)}?afterOffset=${after}`;
        tails.push(...(await Promise.all(Array.from({ length: some }, () => tail(url, path, receive)))));
      }

      const writer = await Connection.open(url);
      for (let seq = 0; seq < count; seq++) {
        const bytes = writer.prepare(streamUrl(stream), JSON.stringify(event(seq)));
        sent[seq] = performance.now();
        await writer.send(bytes);
        await sleep(pauseMs);
      }
      await Promise.race([delivered, sleep(patienceMs, undefined, { ref: false })]);
      tails.forEach((reader) => reader.close());
      writer.close();
      if (times.length < readers * count) throw new Error(`${times.length} of ${readers * count} deliveries came`);
      return { p50: percentile(times, 50), p99: percentile(times, 99) };
    },
  };
}

export const liveOne = live({
  name: "live-1",
  title: "From append to one live reader",
  readers: 1,
  events: 400,
  quickEvents: 100,
  pauseMs: 5,
  rounds: [5, 2],
});

export const liveMany = live({
  name: "live-1000",
  title: "From append to each of 1,000 live readers",
  readers: 1000,
  events: 15,
  quickEvents: 3,
  pauseMs: 200,
  rounds: [3, 1],
});
