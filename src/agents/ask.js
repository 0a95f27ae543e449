// One attempt at a request to a model: sends it, hands on what is said while it is said, and says what came of it. What is
// sent and what the answer means is decided in ask.rs.
import { Front } from "../../build/index.js";

/** Of an answer that says that something went wrong, so much is read. */
const ERROR_BYTES = 65_536;

/** Between two pieces of an answer. */
const PAUSE_MS = 20;

/** How often the stream is asked whether the answer is still wanted. */
const LOOK_MS = 10_000;

/**
 * Makes the attempt. Returns one of `{answered}`, `{failed}`, `{interrupted}`, `{isPaused}` and `{isGone}`.
 *
 * @param ask the call, as JSON.
 * @param prepared its request, if that was made before.
 * @param signal aborts it: somebody broke it off.
 */
export async function ask(env, { ask, attempt }, prepared, signal) {
  const stream = env.STREAM.getByName(ask.path);
  const asking = Front.readAsk(JSON.stringify(ask), attempt, prepared);
  try {
    // What was just started need not be asked for: the lease that it came with was given to a stream that goes on.
    if (prepared === undefined) {
      const standing = await stream.standing(asking.delta(0, ""));
      if (standing.startsWith("404\n") || standing.endsWith("\nended")) return { isGone: true };
      if (!standing.startsWith("200\n")) throw new Error("the stream does not answer");
      if (standing.endsWith("\npaused")) return { isPaused: true };
      if (standing.endsWith("\nunwanted")) return { interrupted: "" };
    }
    for (let query = asking.nextQuery(); query !== undefined; query = asking.nextQuery()) {
      asking.takePage(await stream.read(query));
    }
    const request = asking.request(env);
    if (typeof request === "string") return { failed: request };
    return await send(stream, asking, request, signal);
  } finally {
    asking.free();
  }
}

async function send(stream, asking, [url, headers, body, totalMs, idleMs], broken) {
  const stops = new AbortController();
  const stop = (reason) => stops.abort(new Stopped(reason));
  const leave = () => stop("broken off");
  broken.addEventListener("abort", leave);
  if (broken.aborted) leave();
  const total = setTimeout(() => stop(`no whole answer within ${totalMs} ms`), totalMs);
  // A stream that was deleted tells nobody; while the model says nothing, it is asked.
  const look = setInterval(() => speaker.look(), LOOK_MS);
  let idle = setTimeout(() => stop(`nothing came for ${idleMs} ms`), idleMs);
  const speaker = new Speaker(stream, asking, stop);
  const started = Date.now();
  let first;
  try {
    const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal: stops.signal });
    if (response.status !== 200) return { failed: await refusal(asking, response, stops.signal) };
    for await (const bytes of chunks(response.body, stops.signal)) {
      clearTimeout(idle);
      idle = setTimeout(() => stop(`nothing came for ${idleMs} ms`), idleMs);
      const said = asking.push(bytes);
      if (said !== "") {
        first ??= Date.now() - started;
        speaker.say(said);
      }
      if (asking.isDone) break;
    }
    await speaker.done();
    return { answered: asking.answered(Date.now() - started, first) };
  } catch (error) {
    if (speaker.isGone) return { isGone: true };
    if (broken.aborted || speaker.isUnwanted) return { interrupted: asking.text };
    // What Rust throws is how it failed.
    if (typeof error === "string") return { failed: error };
    try {
      // All of it was said, and only the connection stayed open.
      return { answered: asking.answered(Date.now() - started, first) };
    } catch {
      // It was not.
    }
    const reason = stops.signal.aborted ? stops.signal.reason.message : `the model was not reached: ${error?.message}`;
    return { failed: asking.broken(reason) };
  } finally {
    await speaker.leave();
    clearTimeout(total);
    clearInterval(look);
    clearTimeout(idle);
    broken.removeEventListener("abort", leave);
    // An answer that is not read to its end would be kept open.
    stop("over");
  }
}

class Stopped extends Error {}

async function refusal(asking, response, signal) {
  const parts = [];
  let size = 0;
  for await (const bytes of chunks(response.body, signal)) {
    parts.push(bytes);
    size += bytes.length;
    if (size > ERROR_BYTES) break;
  }
  const body = new Uint8Array(await new Blob(parts).arrayBuffer());
  const inMs = response.headers.get("retry-after-ms");
  const retryAfter = inMs === null ? (response.headers.get("retry-after") ?? undefined) : `${inMs}ms`;
  return asking.refused(response.status, retryAfter, body);
}

async function* chunks(body, signal) {
  if (body === null) return;
  const reader = body.getReader();
  const aborted = new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
  aborted.catch(() => {});
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await Promise.race([reader.read(), aborted]);
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Tells the stream what is being said: one call at a time, and all that was said meanwhile with the next. */
class Speaker {
  /** The stream does not live any more. */
  isGone = false;
  /** The agent was removed. */
  isUnwanted = false;
  #stream;
  #asking;
  #stop;
  #all = "";
  #chars = 0;
  #waiting = "";
  #sending = undefined;
  #isDone = false;
  #isOver = false;
  #hurry;

  constructor(stream, asking, stop) {
    this.#stream = stream;
    this.#asking = asking;
    this.#stop = stop;
  }

  say(text) {
    this.#waiting += text;
    this.#sending ??= this.#send().finally(() => (this.#sending = undefined));
  }

  /** What comes soon after is said with the next call: nobody reads faster, and each call costs the stream its time. */
  #pause() {
    return new Promise((resolve) => {
      this.#hurry = resolve;
      setTimeout(resolve, PAUSE_MS);
    });
  }

  /** Says nothing more. */
  async leave() {
    this.#isOver = true;
    await this.done();
  }

  async look() {
    try {
      this.#heed(await this.#stream.standing(this.#asking.delta(0, "")));
    } catch {
      // It is asked again.
    }
  }

  async done() {
    this.#isDone = true;
    this.#hurry?.();
    await this.#sending;
  }

  /** True when nobody wants the rest. */
  #heed(answer) {
    this.isGone ||= answer.startsWith("404\n");
    this.isUnwanted ||= answer.endsWith("\nunwanted");
    if (this.isGone || this.isUnwanted) this.#stop("nobody wants the rest");
    return this.isGone || this.isUnwanted;
  }

  async #send() {
    while (this.#waiting !== "" && !this.#isOver) {
      let [text, at] = [this.#waiting, this.#chars];
      this.#waiting = "";
      this.#all += text;
      this.#chars += length(text);
      try {
        let answer = await this.#stream.say(this.#asking.delta(at, text));
        if (this.#heed(answer)) return;
        // A stream that has slept meanwhile is told all of it.
        if (answer.startsWith("200\n") && Number(answer.slice(answer.indexOf("\n\n") + 2)) !== this.#chars) {
          [text, at] = [this.#all, 0];
          answer = await this.#stream.say(this.#asking.delta(at, text));
        }
        if (this.#heed(answer)) return;
        if (!this.#isDone) await this.#pause();
      } catch (error) {
        // Those who follow miss a piece; the finished answer is an event.
        console.error("delta", error);
      }
    }
  }
}

/** Characters, as every language counts them: code points. */
function length(text) {
  return [...text].length;
}
