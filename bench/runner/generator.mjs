// The runner's end of the load generator.
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../load/process.mjs", import.meta.url));

export class Generator {
  #child = fork(script);

  /** Runs one step of a measure against a server. */
  async step(job, limitMs = 180_000) {
    const child = this.#child;
    const answer = await new Promise((resolve) => {
      const finish = (message) => {
        clearTimeout(timer);
        child.removeAllListeners("message").removeAllListeners("exit");
        resolve(message);
      };
      const timer = setTimeout(() => finish({ error: `no result within ${limitMs / 1000} s`, late: true }), limitMs);
      child.once("message", finish);
      child.once("exit", (code) => finish({ error: `the load generator ended (${code})`, late: true }));
      child.send(job);
    });
    if (answer.late) {
      child.kill();
      this.#child = fork(script);
    }
    if (answer.error) throw new Error(answer.error);
    return answer.result;
  }

  stop() {
    this.#child.kill();
  }
}
