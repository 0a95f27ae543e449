// A contender as a server in a process of its own, with a fresh state folder on disk.
import { mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { end, spawnTied } from "../../scripts/runtime/processes.mjs";

const script = fileURLToPath(new URL("serve.mjs", import.meta.url));

export class Server {
  #args;
  #state;
  #child;

  static #started = new Set();

  /** For a runner that is told to end. */
  static stopAll() {
    return Promise.all([...Server.#started].map((server) => server.stop()));
  }

  /** `{url, pid, contender}` for the load generator. */
  target;

  static async start(contender, { state, build, watched }) {
    const server = new Server();
    server.#args = [contender, build, String(Boolean(watched))];
    server.#state = await mkdtemp(path.join(state, "tailrace-bench-"));
    Server.#started.add(server);
    try {
      await server.#run();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** Ends the process and starts it again on the same state. */
  async restart() {
    await end(this.#child);
    await this.#run();
  }

  async stop() {
    Server.#started.delete(this);
    if (this.#child) await end(this.#child);
    await rm(this.#state, { recursive: true, force: true });
  }

  async #run() {
    this.#child = spawnTied(script, [...this.#args, this.#state], { stdio: ["ignore", "pipe", "inherit"] });
    this.target = await new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("exit", (code, signal) => reject(new Error(`it ended while it started (${signal ?? code})`)));
      createInterface(this.#child.stdout).once("line", (line) => resolve(JSON.parse(line)));
    });
  }
}
