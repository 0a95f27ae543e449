// Batches: what an event costs once the request is paid for.
import { withCpu } from "../load/cpu.mjs";
import { percentile } from "../load/numbers.mjs";
import { batch, hammer, minimal, withoutBreaker } from "../load/stream.mjs";

const connections = 4;
const mostEvents = 800_000;

function batches({ name, title, size, headers }) {
  const load = (url, ms) => ({
    url,
    ms,
    connections,
    nameOf: () => name,
    body: batch(size),
    headers,
    most: mostEvents / size,
  });
  return {
    name,
    title,
    rounds: [5, 3],
    metrics: { rate: "events/s", p50: "p50 of a batch, ms", cpu: "CPU an event, µs" },

    async prepare({ url }) {
      await withoutBreaker(url, [name]);
      await hammer(load(url, 500));
    },

    async run({ url, pid }, { quick }) {
      const { count, seconds, times, cpu } = await withCpu(pid, () => hammer(load(url, quick ? 600 : 2000)));
      return { rate: (count * size) / seconds, p50: percentile(times, 50), cpu: cpu && cpu / size };
    },
  };
}

export const batchOf100 = batches({ name: "batch-100", title: "Batches of 100, 4 connections", size: 100 });
export const batchOf1000 = batches({ name: "batch-1000", title: "Batches of 1,000, 4 connections", size: 1000 });
export const batchMinimal = batches({
  name: "batch-minimal",
  title: "Batches of 1,000, 4 connections, Prefer: return=minimal",
  size: 1000,
  headers: minimal,
});
