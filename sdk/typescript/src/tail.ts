import { refused, TailraceError, unreached } from "./error.js";
import type { EphemeralEvent, StoredEvent } from "./event.js";
import { send, type Connection, type Query } from "./http.js";
import { Backoff, Limit, Passing, pause, retryAfter } from "./retry.js";
import { messages, type Said } from "./sse.js";

/** What is followed. Everything from the first event on, by default. */
export interface TailOptions {
  /** Only events behind this offset. */
  readonly afterOffset?: number;
  /** Of what is there already, only the last so many (at most 1,000). */
  readonly last?: number;
  /** Types and globs: `["agent.*", "message"]`. */
  readonly types?: readonly string[] | string;
  /** All that is there was seen: said first at the end of history, and again after each new connection. */
  readonly onCaughtUp?: (offset: number) => void;
  /** Something that is not stored was said, such as the next words of an answer. */
  readonly onEphemeral?: (event: EphemeralEvent) => void;
  /** The stream was deleted and began anew: its first event comes next. */
  readonly onReset?: () => void;
  /** Ends it: the loop ends quietly. */
  readonly signal?: AbortSignal;
}

/** The server says something every 15 s. Who is silent for this long is gone. */
const silenceMs = 45_000;

/** How long the first byte of an answer may take. */
const patienceMs = 60_000;

/** A stream, followed live. It is read as it is consumed; the loop may be left at any time. */
export class Tail<Event> implements AsyncIterableIterator<Event, void, undefined> {
  readonly #stop: Limit;
  readonly #events: AsyncGenerator<Event, void, undefined>;

  /** @internal */
  constructor(connection: Connection, path: string, options: TailOptions) {
    this.#stop = new Limit(options.signal);
    const events: AsyncGenerator = follow(connection, path, options, this.#stop);
    // The server's events are what the caller says they are.
    this.#events = events as AsyncGenerator<Event, void, undefined>;
  }

  next(): Promise<IteratorResult<Event, void>> {
    return this.#events.next();
  }

  /** Ends it, also while somebody waits for the next event: who waits is told that there is none. */
  return(): Promise<IteratorResult<Event, void>> {
    this.#stop.abort();
    this.#stop.end();
    return this.#events.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Where a reader stands. */
class Position {
  generation: string | undefined;
  offset = 0;
  /** This connection has said that all there is was seen. */
  isCaughtUp = false;

  constructor(readonly options: TailOptions) {}

  /** What to ask for: what the options say, until the server said where we are. */
  get query(): Query {
    const { afterOffset, last, types } = this.options;
    return this.generation === undefined ? { live: true, afterOffset, last, types } : { live: true, types };
  }

  get lastEventId(): Record<string, string> {
    return this.generation === undefined ? {} : { "last-event-id": `${this.offset}.${this.generation}` };
  }

  /** Goes on to an id; says whether that lies ahead. In another generation we begin anew. */
  goTo(id: string): boolean {
    const dot = id.indexOf(".");
    const [digits, generation] = dot === -1 ? [id, undefined] : [id.slice(0, dot), id.slice(dot + 1)];
    if (!/^\d+$/.test(digits) || generation === "") return false;
    const offset = Number(digits);
    if (generation !== undefined && generation !== this.generation) {
      const isReset = this.generation !== undefined;
      this.generation = generation;
      this.offset = 0;
      if (isReset) tell(() => this.options.onReset?.());
    }
    if (offset <= this.offset) return false;
    this.offset = offset;
    return true;
  }
}

/** Connects again and again, until it is stopped or refused for good. */
async function* follow(
  connection: Connection,
  path: string,
  options: TailOptions,
  stop: Limit,
): AsyncGenerator<StoredEvent, void, undefined> {
  const position = new Position(options);
  const backoff = new Backoff(connection.retry);
  const wait = { ms: 10 * (connection.retry.firstMs ?? 100) };
  try {
    while (!stop.signal.aborted) {
      const connected = new Limit(stop.signal);
      let failure: Passing | undefined;
      try {
        const body = await connect(connection, path, position, connected);
        if (body instanceof Passing) failure = body;
        else {
          const reading = { begins: () => connected.within(silenceMs), ends: () => connected.unlimited() };
          for await (const said of messages(body, reading)) {
            // One generator that is awaited for each event, not three: that is most of what a tail takes.
            for (const event of heard(said, connection.parse, position, wait, backoff)) yield event;
          }
        }
      } catch (error) {
        if (error instanceof TailraceError || error instanceof Thrown) throw error;
      } finally {
        connected.abort();
        connected.end();
      }
      await pause(backoff.next(Math.max(wait.ms, failure?.waitMs ?? 0)), stop.signal);
    }
  } catch (error) {
    throw error instanceof Thrown ? error.cause : error;
  } finally {
    stop.end();
  }
}

/** What one of the caller's functions threw: no reason to connect again. */
class Thrown extends Error {}

/** Opens a connection behind where we are. */
async function connect(
  connection: Connection,
  path: string,
  position: Position,
  limit: Limit,
): Promise<ReadableStream<Uint8Array> | Passing> {
  const headers = { accept: "text/event-stream", ...position.lastEventId };
  position.isCaughtUp = false;
  limit.within(patienceMs);
  const response = await send(connection, { api: "streams", path, query: position.query, headers }, limit.signal);
  if (response.ok && response.body && response.headers.get("content-type")?.startsWith("text/event-stream")) {
    return response.body;
  }
  const error = await refused(response);
  const isFinal = error.status >= 400 && error.status < 500 && ![408, 421, 425, 429].includes(error.status);
  if (isFinal) throw error;
  return new Passing(
    response.ok ? unreached(new Error("this is no event stream")) : error,
    retryAfter(response.headers),
  );
}

/** The events that are new in what a connection said. */
function* heard(
  said: readonly Said[],
  parse: Connection["parse"],
  position: Position,
  wait: { ms: number },
  backoff: Backoff,
): Generator<StoredEvent, void, undefined> {
  const { onCaughtUp, onEphemeral } = position.options;
  for (const message of said) {
    if ("retryMs" in message) {
      wait.ms = message.retryMs;
      continue;
    }
    const data = parse(message.data);
    const isAhead = message.id !== undefined && position.goTo(message.id);
    if (message.event === undefined || message.event === "message") {
      if (isAhead) yield data as StoredEvent;
    } else if (message.event === "tail" && !position.isCaughtUp) {
      position.isCaughtUp = true;
      tell(() => onCaughtUp?.((data as { offset: number }).offset));
    } else if (message.event === "ephemeral") {
      tell(() => onEphemeral?.(data as EphemeralEvent));
    }
    backoff.reset();
  }
}

/** Calls what may call one of the caller's functions. */
function tell<T>(call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw new Thrown("a listener threw", { cause });
  }
}
