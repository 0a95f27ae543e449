// Programs of others, and what they say.
import { spawn } from "node:child_process";
import { tied } from "../../scripts/setup/step.mjs";

/**
 * Runs a program and hears what it says; ends it as soon as that gives a result.
 *
 * @template T
 * @param {string[]} command
 * @param {(piece: Buffer, pid: number) => T | undefined} hear
 * @param {number} [patienceMs]
 * @returns {Promise<T>} rejects when the program ends before, or takes longer
 */
export function heard(command, hear, patienceMs = 60_000) {
  const [file, ...args] = tied(...command);
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
  let timer;
  const result = new Promise((resolve, reject) => {
    const late = () => reject(new Error(`${command[0]} took longer than ${patienceMs / 1000} s`));
    timer = setTimeout(late, patienceMs);
    child.once("error", reject);
    child.once("close", (code, signal) => reject(new Error(`${command[0]} ended (${signal ?? code})`)));
    child.stdout.on("data", (piece) => {
      try {
        const result = hear(piece, child.pid);
        if (result !== undefined) resolve(result);
      } catch (error) {
        reject(error);
      }
    });
  });
  return result.finally(() => {
    clearTimeout(timer);
    child.kill("SIGKILL");
  });
}

/**
 * What a hearer of whole parts does with pieces.
 *
 * @template T
 * @param {string} end what stands behind each part
 * @param {(part: string, pid?: number) => T | undefined} hear
 * @returns {(piece: Buffer, pid?: number) => T | undefined} the first result
 */
export function inParts(end, hear) {
  let rest = "";
  return (piece, pid) => {
    const parts = (rest + piece).split(end);
    rest = parts.pop();
    for (const part of parts) {
      const result = hear(part, pid);
      if (result !== undefined) return result;
    }
    return undefined;
  };
}

/** As {@link inParts}, of lines that are JSON. */
export const inLines = (hear) => inParts("\n", (line, pid) => hear(JSON.parse(line), pid));
