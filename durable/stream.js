// The Durable Object's class: the platform's side of one stream. It decides nothing: every answer comes from StreamCore,
// which is Rust and synchronous. What is here is what only the platform can do: transactions, sockets, the alarm, calls
// to other objects, and putting appends that wait into one commit.
import { DurableObject } from "cloudflare:workers";
import { StreamCore } from "../build/index.js";
import { Database } from "./database.js";

/** After a failed alarm it rings again, well before the platform gives up on it. */
const ALARM_AGAIN_MS = 5_000;

/** How long one alarm goes on with what is due, and with how many calls, before it lets the next one do it. */
const ALARM_WORK_MS = 60_000;
const ALARM_CALLS = 500;

/** A platform lets one alarm call so many Workers. */
const ALARM_PUSHES = 16;

export class Stream extends DurableObject {
  #core = null;
  #waiting = [];
  #armed = null;
  #followed;

  constructor(ctx, env) {
    super(ctx, env);
    this.#followed = ctx.getWebSockets().length > 0;
  }

  // Appends and hooks: whatever waits is written in one turn, one after the other, each in its own transaction, and made
  // durable by one flush of the disk.
  append(text) {
    if (typeof text === "string") return this.#soon((core, now, random) => core.append(text, now, random));
    return this.#soon((core, now, random) => core.appendBytes(text, now, random));
  }

  hook(text) {
    return this.#soon((core, now, random) => core.hook(text, now, random));
  }

  hookConfig(source) {
    return this.#ask((core) => core.hookConfig(source));
  }

  // Leases and settles. A settle comes from the courier, or from a worker by way of the front Worker: what it makes due is
  // the alarm's, for a call from here would make a chain of calls that a network ends.
  lease(text) {
    return this.#change((core, now, random) => core.lease(text, now, random));
  }

  hold(lease) {
    return this.#change((core, now, random) => core.hold(lease, now, random));
  }

  settleLease(text) {
    return this.#change((core, now, random) => core.settleLease(text, now, random));
  }

  pick(text) {
    return this.#change((core, now, random) => core.pick(text, now, random));
  }

  unpick(text) {
    return this.#change((core) => core.unpick(text));
  }

  ephemeral(text) {
    return this.#change((core, now, random) => core.ephemeral(text, now, random));
  }

  /** What a model is saying right now: nothing of it is stored. */
  say(text) {
    return this.#ask((core) => {
      core.follow(this.#followed);
      const answer = core.say(text, Date.now(), chance());
      this.#publish(core);
      return answer;
    });
  }

  /** Whether the answer to a model's request is still wanted. */
  standing(text) {
    return this.#ask((core) => core.standing(text));
  }

  /** What became of a model's request. It comes from a Runner: what it makes due is the alarm's. */
  endRequest(text) {
    return this.#change((core, now, random) => core.endRequest(text, now, random));
  }

  upload(id, number, bytes, mayCreate) {
    return this.#change((core, now, random) => core.upload(id, number, bytes, mayCreate, now, random));
  }

  discard(id) {
    return this.#change((core) => core.discard(id));
  }

  delete(below) {
    return this.#change((core, now, random) => core.delete(below, now, random));
  }

  hear(message) {
    return this.#change((core, now, random) => core.hear(message, now, random));
  }

  read(query) {
    return this.#ask((core) => core.read(query));
  }

  head() {
    return this.#ask((core) => core.head());
  }

  chain(offset) {
    return this.#ask((core) => core.chain(offset));
  }

  state(at) {
    return this.#ask((core) => core.state(at, Date.now()));
  }

  subscriptions(slug) {
    return this.#ask((core) => core.subscriptions(slug, Date.now()));
  }

  children(query) {
    return this.#ask((core) => core.children(query));
  }

  raw(offset) {
    return this.#ask((core) => core.raw(offset));
  }

  rawPart(id, number) {
    return this.#ask((core) => core.rawPart(id, number));
  }

  /** What is too large for a text each way, and the sockets of those who follow live. */
  async fetch(request) {
    const { pathname, search } = new URL(request.url);
    switch (pathname) {
      case "/read":
        return toResponse(this.read(decodeURIComponent(search.slice(1))));
      case "/append":
        return toResponse(await this.append(new Uint8Array(await request.arrayBuffer())));
      default:
        return this.#connect(pathname.slice(1));
    }
  }

  /**
   * Opens the socket on which a front Worker follows this stream, or on which a worker waits for a lease. It hibernates:
   * whoever is idle costs nothing. Each kind has a number of its own, so that neither locks out the other.
   */
  #connect(kind) {
    const hello = this.#ask((core) => core.hello(this.ctx.getWebSockets(kind).length));
    if (hello === undefined) return new Response(null, { status: 503 });
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server, [kind]);
    server.send(hello);
    if (kind === "follow") for (const frame of this.#open().speeches(Date.now())) server.send(frame);
    this.#follow(true);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage() {}

  webSocketClose(socket) {
    this.#left(socket);
  }

  webSocketError(socket) {
    this.#left(socket);
  }

  async alarm() {
    this.#armed = null;
    try {
      await this.#work();
    } catch (error) {
      console.error("alarm", error);
      await this.ctx.storage.setAlarm(Date.now() + ALARM_AGAIN_MS);
    }
  }

  /** Makes the calls that are owed. Each is put off before it is made, so a death in between loses none. */
  async #work() {
    const until = Date.now() + ALARM_WORK_MS;
    let pushes = 0;
    for (let calls = 0; calls < ALARM_CALLS && Date.now() < until; calls++) {
      if (this.#open().hasPushes(Date.now())) pushes += await this.#push();
      if (pushes >= ALARM_PUSHES) break;
      const next = this.#change((core, now, random) => core.nextCall(now, random));
      if (!next && !this.#open().hasPushes(Date.now())) break;
      if (!next) continue;
      const [call, to, message] = next;
      const reply = await this.#tell(to, message);
      this.#change((core, now, random) => core.settle(call, reply, now, random));
    }
  }

  /** Hands the courier what is due to be pushed, and says how much. It answers at once, and comes back to settle. */
  async #push() {
    const leases = this.#change((core, now, random) => core.takePushes(now, random));
    const deliver = async (lease) => {
      try {
        await this.ctx.exports.Courier.deliver(this.ctx.id.name, lease);
      } catch (error) {
        // The lease runs out, and it is tried again.
        console.error("courier", error);
      }
    };
    await Promise.all(leases.map(deliver));
    return leases.length;
  }

  async #tell(to, message) {
    try {
      const answer = await this.env.STREAM.getByName(to).hear(message);
      return answer.startsWith("200\n") ? answer.slice(answer.indexOf("\n\n") + 2) : undefined;
    } catch (error) {
      console.error("telling", to, error);
      return undefined;
    }
  }

  #soon(call) {
    return new Promise((resolve, reject) => {
      if (this.#waiting.push({ call, resolve, reject }) === 1) this.#flush();
    });
  }

  async #flush() {
    // `sync` lets those that arrive meanwhile join, and costs next to nothing when nobody does: a timer of 0 can cost
    // a millisecond, and a microtask is too early for anyone.
    try {
      await this.ctx.storage.sync();
      await this.ctx.storage.sync();
    } catch (error) {
      for (const { reject } of this.#waiting.splice(0)) reject(error);
      return;
    }
    for (const { call, resolve, reject } of this.#waiting.splice(0)) {
      try {
        resolve(this.#write(call));
      } catch (error) {
        reject(error);
      }
    }
    // In the same flush of the disk: what was just appended is on its way when the answer is.
    if (this.#core?.hasPushes(Date.now())) this.ctx.waitUntil(this.#push());
    this.#arm(this.#open());
  }

  /** A call that may write, and the alarm for what it makes due. */
  #change(call) {
    const answer = this.#write(call);
    this.#arm(this.#open());
    return answer;
  }

  /** A call that may write: all of it or nothing. */
  #write(call) {
    const core = this.#open();
    try {
      core.follow(this.#followed);
      const answer = this.ctx.storage.transactionSync(() => call(core, Date.now(), chance()));
      this.#publish(core);
      return answer;
    } catch (error) {
      // What is in memory may be ahead of what was rolled back.
      this.#core = null;
      throw error;
    }
  }

  /** A call that only reads. */
  #ask(call) {
    const core = this.#open();
    try {
      return call(core);
    } catch (error) {
      this.#core = null;
      throw error;
    }
  }

  #open() {
    if (this.#core === null) {
      const database = new Database(this.ctx.storage.sql);
      this.#core = new StreamCore(database, this.ctx.id.name);
      this.#arm(this.#core);
    }
    return this.#core;
  }

  #publish(core) {
    for (let frame = core.takeFrame(); frame !== undefined; frame = core.takeFrame()) {
      // Who waits for a lease needs to know no more than that something is due.
      const isForAll = frame.startsWith("due ") || frame === "deleted";
      for (const socket of this.ctx.getWebSockets(isForAll ? undefined : "follow")) {
        try {
          socket.send(frame);
        } catch {
          // It closed meanwhile.
        }
      }
    }
  }

  /** One alarm, the earliest; it is only ever moved earlier. */
  #arm(core) {
    const at = core.alarm();
    if (at === undefined || (this.#armed !== null && this.#armed <= at)) return;
    this.#armed = at;
    this.ctx.storage.setAlarm(at);
  }

  #left(socket) {
    try {
      socket.close();
    } catch {
      // It is closed already.
    }
    this.#follow(this.ctx.getWebSockets().some((other) => other !== socket));
  }

  #follow(followed) {
    this.#followed = followed;
  }
}

/** An answer's text (see wire.rs: the status, a line a header, an empty line, the body) as HTTP. */
function toResponse(answer) {
  const end = answer.indexOf("\n\n");
  const [status, ...lines] = answer.slice(0, end).split("\n");
  const headers = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]);
  if (!headers.some(([name]) => name === "content-type")) headers.push(["content-type", "application/json"]);
  return new Response(answer.slice(end + 2), { status: Number(status), headers });
}

/** A whole number from 0 to 2^53: chance for names and jitter, nothing secret. */
function chance() {
  return Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
}
