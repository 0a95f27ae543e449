// The processor time of another process: on a busy machine it says more than the clock. Linux only.
import { readFileSync } from "node:fs";

const ticksPerSecond = 100;

/** @returns {number | undefined} seconds so far */
export function cpuSeconds(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name before the last bracket may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  } catch {
    return undefined;
  }
}

/** Runs `work` and adds the microseconds of processor time that each of its `count` requests took in `pid`. */
export async function withCpu(pid, work) {
  const before = cpuSeconds(pid);
  const result = await work();
  const after = cpuSeconds(pid);
  const cpu = before === undefined || after === undefined ? undefined : ((after - before) * 1e6) / result.count;
  return { ...result, cpu };
}
