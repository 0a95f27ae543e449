// Single appends: what a request costs.
import { withCpu } from "../load/cpu.mjs";
import { percentile } from "../load/numbers.mjs";
import { event, hammer, withoutBreaker } from "../load/stream.mjs";

const connections = 16;
const warmUpMs = 500;

function singles({ name, title, streams }) {
  const load = (url, ms) => ({
    url,
    ms,
    connections,
    nameOf: (connection) => `${name}-${connection % streams}`,
    body: JSON.stringify(event()),
  });
  return {
    name,
    title,
    rounds: [5, 3],
    metrics: { rate: "appends/s", p50: "p50, ms", p99: "p99, ms", cpu: "CPU an append, µs" },

    async prepare({ url }) {
      const names = Array.from({ length: streams }, (_, index) => `${name}-${index}`);
      await withoutBreaker(url, names);
      await hammer(load(url, warmUpMs));
    },

    async run({ url, pid }, { quick }) {
      const { count, seconds, times, cpu } = await withCpu(pid, () => hammer(load(url, quick ? 700 : 2000)));
      return { rate: count / seconds, p50: percentile(times, 50), p99: percentile(times, 99), cpu };
    },
  };
}

export const append = singles({ name: "append", title: "Single appends, one stream, 16 connections", streams: 1 });
export const appendSpread = singles({
  name: "append-spread",
  title: "Single appends, 16 streams, 16 connections",
  streams: 16,
});
