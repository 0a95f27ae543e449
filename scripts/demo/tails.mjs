// Follows streams live, as any client does: server-sent events, resumed by the reader itself.
import { EventSource } from "eventsource";
import { Speech } from "./speech.mjs";

export class Tails {
  #url;
  #signal;
  #hears;
  #tails = new Map();

  /**
   * @param {string} url of Tailrace
   * @param {AbortSignal} signal ends what is waited for
   * @param {{onEvent(event: object): void, onSpeech(streamPath: string, speech: Speech): void}} hears
   */
  constructor(url, signal, hears) {
    this.#url = url;
    this.#signal = signal;
    this.#hears = hears;
  }

  /** Follows a stream, which need not exist yet. Sub-agents below it are followed as soon as it says that they work. */
  follow(path) {
    if (this.#tails.has(path)) return;
    const source = new EventSource(`${this.#url}/api/streams${path}?live=true`);
    const tail = { source, events: [], woken: Promise.withResolvers() };
    this.#tails.set(path, tail);
    const speeches = new Map();
    source.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      tail.events.push(event);
      this.#hears.onEvent(event);
      if (event.type === "tool.started" && event.payload.streamPath) this.follow(event.payload.streamPath);
      tail.woken.resolve();
      tail.woken = Promise.withResolvers();
    };
    source.addEventListener("ephemeral", ({ data }) => {
      const { type, payload } = JSON.parse(data);
      if (type !== "agent.output-delta") return;
      if (!speeches.has(payload.requestId)) speeches.set(payload.requestId, new Speech(payload.requestId));
      const speech = speeches.get(payload.requestId);
      if (speech.take(payload)) this.#hears.onSpeech(path, speech);
    });
  }

  /**
   * The first event of a stream that is wanted, waited for if it must be; undefined when it does not come within `ms`.
   *
   * @param {string} path
   * @param {(event: object) => unknown} isWanted
   * @param {number} [ms]
   */
  async first(path, isWanted, ms = 120_000) {
    const tail = this.#tails.get(path);
    const over = AbortSignal.any([this.#signal, AbortSignal.timeout(ms)]);
    const late = new Promise((resolve) => over.addEventListener("abort", resolve, { once: true }));
    for (;;) {
      const found = tail.events.find(isWanted);
      this.#signal.throwIfAborted();
      if (found || over.aborted) return found;
      await Promise.race([tail.woken.promise, late]);
    }
  }

  close() {
    for (const { source } of this.#tails.values()) source.close();
  }
}
