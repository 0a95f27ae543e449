// Processors that are an event: JavaScript of anybody, run in QuickJS within this Worker. A batch has an engine of its own,
// which is thrown away with everything in it.
import quickjs from "../../build/quickjs.wasm";
import { Engine, Stopped } from "./engine.js";
import { Fetches } from "./fetches.js";
import { Logs } from "./logs.js";
import { web } from "./web.js";

/** What a processor may take when it does not say, and the most that it may say. */
export const LIMITS = {
  cpuMs: { usual: 250, most: 2_000 },
  memoryMb: { usual: 32, most: 64 },
  timeoutMs: { usual: 15_000, most: 25_000 },
};

/** How much of the engine's work a millisecond is, about: loops are quicker, regular expressions and garbage slower. */
const FUEL_FOR_MS = 300_000;

/** All engines of this isolate together, of the 128 MB that it has. */
const ENGINES_BYTES = 80 << 20;

const STATE_BYTES = 256 << 10;
const APPENDED = 1_000;
const APPENDED_BYTES = 1 << 20;

/** The name that a processor has in its stacks, and how much of one is told. */
const FILE = "processor.js";
const STACK_LINES = 10;

const OUT_OF_MEMORY = "InternalError: out of memory";

const encoder = new TextEncoder();
const bytesOf = (text) => encoder.encode(text).length;
const guest = new Uint8Array(WebAssembly.Module.customSections(quickjs, "guest")[0]);

/** The engines that are at work: they share the memory. */
const engines = new Set();

/**
 * Runs a batch: folds the events and, unless it is a replay, lets the processor answer each. It never throws: what goes
 * wrong is `error`, and then nothing but the logs counts.
 *
 * @param {object} batch
 * @param {string} batch.source an ES module whose default export is the processor
 * @param {string[]} batch.events one JSON text each, in order
 * @param {string} batch.state as it was returned for the events before; "null" if there is none yet
 * @param {boolean} [batch.replay] only fold
 * @param {{cpuMs?: number, memoryMb?: number, timeoutMs?: number}} [batch.limits] see LIMITS
 * @param {(request: {url: string, method: string, headers: [string, string][], body?: string, signal: AbortSignal}) =>
 *   Promise<{status: number, statusText?: string, headers: [string, string][], body: string}>} [batch.fetch] does a
 *   request of the processor, or rejects with an error whose message is for the processor. `signal` aborts it when the batch
 *   ends. Without it the processor cannot fetch
 * @param {AbortSignal} [batch.signal] ends the batch
 * @returns {Promise<{state: string, append: string[],
 *   logs: {offset?: number, level: "log" | "info" | "warn" | "error" | "debug", message: string}[],
 *   error?: {message: string, stack?: string, offset?: number, where: "load" | "reduce" | "afterAppend"}}>} `append` has
 *   one JSON text for each event
 */
export async function run(batch) {
  const running = new Batch(batch);
  try {
    const state = await running.result();
    return { state, append: running.appended, logs: running.logs.lines };
  } catch (thrown) {
    const { message, stack } = running.explained(thrown);
    const { where, offset } = running;
    return { state: batch.state, append: [], logs: running.logs.lines, error: { message, stack, offset, where } };
  } finally {
    running.end();
  }
}

/** Why a batch does not count, in words for whoever wrote the processor. */
class Failure {
  constructor(message, stack) {
    this.message = message;
    this.stack = stack;
  }
}

class Batch {
  /** What the processor was called for last, and with which event. */
  where = "load";
  offset;
  appended = [];
  logs = new Logs();

  #batch;
  #limits;
  #fetches;
  #engine;
  #guest;
  #isShort = false;
  #state;
  #failure;
  #appendedBytes = 0;

  constructor(batch) {
    this.#batch = batch;
    this.#limits = limitsOf(batch.limits);
    this.#fetches = new Fetches(batch.fetch);
  }

  /** The state in the end, as JSON: when nothing that the processor began is still going on. */
  async result() {
    const { signal } = this.#batch;
    const { timeoutMs } = this.#limits;
    const fail = (message) => {
      this.#failure ??= new Failure(message);
      this.#fetches.wake();
    };
    const aborted = () => fail("the batch was ended from outside");
    const late = () =>
      fail(`${this.#subject()} waited for too long: the batch's timeoutMs (${number(timeoutMs)}) are over`);
    const timeout = setTimeout(late, timeoutMs);
    signal?.addEventListener("abort", aborted);
    if (signal?.aborted) aborted();
    try {
      if (this.#failure === undefined) this.#start();
      while (this.#failure === undefined && this.#fetches.isWaiting) {
        const answer = await this.#fetches.next();
        if (answer && this.#failure === undefined) this.#enter((engine) => engine.call(this.#guest.settle, ...answer));
      }
      if (this.#failure !== undefined) throw this.#failure;
      this.#engine.throwUnhandled();
      if (this.#state === undefined) throw new Failure(`${this.#subject()} waits for something that will never happen`);
      return this.#state;
    } finally {
      clearTimeout(timeout);
      signal?.removeEventListener("abort", aborted);
    }
  }

  /** Whatever is still going on is aborted, and the engine is nobody's. */
  end() {
    this.#fetches.end();
    engines.delete(this.#engine);
    this.#engine = undefined;
  }

  /** What ended the batch, for whoever wrote the processor. */
  explained(thrown) {
    if (thrown instanceof Failure) return thrown;
    const { cpuMs, memoryMb } = this.#limits;
    const said = thrown.value === undefined ? this.#failure : this.#described(thrown.value);
    switch (thrown instanceof Stopped ? thrown.kind : undefined) {
      case "threw":
        return said ?? new Failure(`${this.#subject()} threw something that cannot be told`);
      case "work":
        return new Failure(
          `${this.#subject()} ran for too long: the batch's cpuMs (${number(cpuMs)}) are used up`,
          said?.stack,
        );
      case "memory": {
        const why = this.#isShort ? "other processors have the rest for now" : `its memoryMb (${memoryMb}) are used up`;
        return new Failure(`${this.#subject()} ran out of memory: ${why}`, said?.stack);
      }
      case "depth":
        return new Failure(`${this.#subject()} is nested too deeply`);
      default:
        console.error("javascript", thrown);
        return new Failure(`the sandbox failed: ${thrown?.message}`);
    }
  }

  #subject() {
    return this.where === "load" ? "the module" : this.where;
  }

  #start() {
    const { cpuMs, memoryMb } = this.#limits;
    const { source, state, events, replay = false } = this.#batch;
    this.#engine = new Engine(quickjs, { fuel: cpuMs * FUEL_FOR_MS, bytes: memoryMb << 20 });
    engines.add(this.#engine);
    this.#enter((engine) => {
      const api = engine.call(engine.load(guest), engine.object(this.#host()));
      const names = ["start", "settle", "described"];
      this.#guest = Object.fromEntries(names.map((name) => [name, engine.property(api, name)]));
      const module = engine.evaluate(source, FILE, true);
      engine.call(this.#guest.start, module, state, `[${events.join()}]`, String(Boolean(replay)));
    });
  }

  /** Lets the engine go on, with as much memory as the others leave. */
  #enter(work) {
    const others = [...engines].reduce((sum, { bytes }) => sum + bytes, -this.#engine.bytes);
    this.#isShort = !this.#engine.allow(ENGINES_BYTES - others);
    this.#engine.enter(work);
  }

  #described(value) {
    const json = this.#engine.lastWords((engine) => engine.textOf(engine.call(this.#guest.described, value)));
    return json === undefined ? undefined : this.#failureOf(json);
  }

  #failureOf(json) {
    const { message, stack } = JSON.parse(json);
    if (message === OUT_OF_MEMORY) return this.explained(new Stopped("memory"));
    const lines = String(stack).split("\n", 200);
    const own = lines.map((line) => line.trim()).filter((line) => line.includes(`${FILE}:`));
    return new Failure(String(message), own.slice(0, STACK_LINES).join("\n") || undefined);
  }

  /** What the program in the engine calls; it may be made to call it with anything. */
  #host() {
    return {
      ...web,
      at: (where, offset) => {
        this.where = where === "afterAppend" ? where : "reduce";
        this.offset = typeof offset === "number" ? offset : undefined;
      },
      log: (level, message) => this.logs.add(level, String(message), this.offset),
      append: (json) => this.#append(json),
      fetch: (id, json) => this.#fetches.begin(String(id), json),
      done: (json) => this.#done(json),
      failed: (json) => {
        this.#failure ??= this.#failureOf(json);
      },
    };
  }

  /** Takes what is to be appended, all or nothing of it; or says why not. */
  #append(json) {
    const tooMuch = `at most ${number(APPENDED_BYTES)} bytes can be appended in a batch`;
    if (json === undefined || json.length > APPENDED_BYTES + 2 * APPENDED) return tooMuch;
    const events = JSON.parse(json);
    const isEvent = (event) => typeof event?.type === "string";
    if (!events.every(isEvent)) return "an event must be an object with a type, which is a string";
    const count = this.appended.length + events.length;
    if (count > APPENDED) return `at most ${number(APPENDED)} events can be appended in a batch`;
    const texts = events.map((event) => JSON.stringify(event));
    const bytes = texts.reduce((sum, text) => sum + bytesOf(text), this.#appendedBytes);
    if (bytes > APPENDED_BYTES) return tooMuch;
    this.appended.push(...texts);
    this.#appendedBytes = bytes;
    return undefined;
  }

  #done(json) {
    const length = json === undefined ? Infinity : bytesOf(json);
    if (length <= STATE_BYTES) {
      this.#state = JSON.stringify(JSON.parse(json));
    } else {
      this.where = "reduce";
      this.#failure ??= new Failure(
        `the state is too large: ${number(length)} bytes as JSON, of ${number(STATE_BYTES)}`,
      );
    }
  }
}

function limitsOf(given = {}) {
  const limit = ([name, { usual, most }]) => [name, Math.min(Math.max(1, Math.floor(given[name] ?? usual)), most)];
  return Object.fromEntries(Object.entries(LIMITS).map(limit));
}

const number = (value) => (value === Infinity ? "many more" : value.toLocaleString("en"));
