// The Durable Object that calls models: the platform's side of what one agent owes, one object for each life of a stream and
// each agent in it. It decides nothing: what is owed, and what follows from how a call went, is in runner.rs.
import { DurableObject } from "cloudflare:workers";
import { RunnerCore } from "../build/index.js";
import { ask } from "../src/agents/ask.js";
import { Database } from "./database.js";

/** After something that should not happen it goes on, but not at once. */
const AGAIN_MS = 5_000;

export class Runner extends DurableObject {
  #core = new RunnerCore(new Database(this.ctx.storage.sql));
  /** Requests that were made already, by id: only to be quick. */
  #prepared = new Map();
  #asking = null;
  #working = null;
  #armed = null;

  /** Owes a call of a model, and makes it. Said twice, it is the same. */
  ask(call, prepared) {
    this.#change((now, random) => this.#core.owe(call, now, random));
    if (prepared !== undefined) this.#prepared.set(JSON.parse(call).requestId, prepared);
    this.#work();
  }

  /** Breaks a call off. What was said until then is its end. */
  breakOff(call) {
    this.#change((now, random) => this.#core.breakOff(call, now, random));
    if (this.#asking?.id === JSON.parse(call).requestId) this.#asking.stops.abort();
    this.#work();
  }

  /** Looks after what is owed. While a call is made this lasts as long as it does, so the object stays awake. */
  async alarm() {
    this.#armed = null;
    this.#arm();
    await this.#work();
  }

  #work() {
    this.#working ??= this.#doAll()
      .then(() => this.#arm())
      .catch((error) => {
        console.error("runner", error);
        return this.ctx.storage.setAlarm(Date.now() + AGAIN_MS);
      })
      .finally(() => (this.#working = null));
    return this.#working;
  }

  async #doAll() {
    for (;;) {
      const next = this.#change((now, random) => this.#core.next(now, random));
      if (next === undefined) return;
      const work = JSON.parse(next);
      if (work.do === "ask") await this.#ask(work);
      else await this.#tell(work);
    }
  }

  async #ask(work) {
    const id = work.ask.requestId;
    const stops = new AbortController();
    this.#asking = { id, stops };
    const beat = () => {
      if (!this.#change((now, random) => this.#core.beat(id, now, random))) stops.abort();
    };
    const beats = setInterval(beat, RunnerCore.beatMs());
    let result;
    try {
      const prepared = this.#prepared.get(id);
      this.#prepared.clear();
      result = await ask(this.env, work, prepared, stops.signal);
    } catch (error) {
      console.error("asking", error);
      result = { failed: JSON.stringify({ error: `it could not be asked: ${error?.message}`, retryable: true }) };
    } finally {
      clearInterval(beats);
      this.#asking = null;
    }
    this.#change((now, random) => this.#took(id, result, now, random));
  }

  #took(id, { answered, failed, interrupted, isPaused, isGone }, now, random) {
    if (isGone) this.#core.forget(id);
    else if (isPaused) this.#core.pause(id, now, random);
    else if (answered !== undefined) this.#core.answered(id, answered, now, random);
    else if (interrupted !== undefined) this.#core.interrupted(id, interrupted, now, random);
    else this.#core.failed(id, failed, now, random);
  }

  /** Tells the stream how a call went. What does not arrive is told again. */
  async #tell({ path, outcome }) {
    const id = outcome.requestId;
    try {
      const answer = await this.env.STREAM.getByName(path).endRequest(JSON.stringify(outcome));
      const status = Number(answer.slice(0, answer.indexOf("\n")));
      if (status === 200) this.#change(() => this.#core.told(id, outcome.key));
      else if (status === 404) this.#change(() => this.#core.forget(id));
      else if (status === 413) this.#change((now, random) => this.#took(id, { failed: TOO_LONG }, now, random));
      else console.error("telling", path, answer.slice(0, 300));
    } catch (error) {
      console.error("telling", path, error);
    }
  }

  #change(call) {
    const random = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
    const result = this.ctx.storage.transactionSync(() => call(Date.now(), random));
    this.#arm();
    return result;
  }

  /** One alarm, the earliest. It may ring for nothing: that is cheap. */
  #arm() {
    const at = this.#core.alarm();
    if (at === undefined || (this.#armed !== null && this.#armed <= at)) return;
    this.#armed = at;
    this.ctx.storage.setAlarm(at);
  }
}

const TOO_LONG = JSON.stringify({ error: "the answer is longer than an event may be", retryable: false });
