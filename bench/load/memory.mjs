// The memory of another process. Linux only.
import { readFileSync } from "node:fs";

/** @returns {number | undefined} what of it is in memory, in MB */
export function rssMb(pid) {
  try {
    return (Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]) * 1024) / 1e6;
  } catch {
    return undefined;
  }
}
