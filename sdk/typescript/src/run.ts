import { append } from "./append.js";
import { messageOf, TailraceError } from "./error.js";
import type { Answer, Kind, StoredEvent } from "./event.js";
import { passes } from "./http.js";
import { Holding, isLost, lease, type Leased, type Said, type Wish } from "./lease.js";
import { act, fold, stateOr, type Processor } from "./processor.js";
import { Backoff, Limit, Passing, pause } from "./retry.js";
import type { Stream } from "./stream.js";
import { configured, type Wanted } from "./subscription.js";

/** Where an error happened. */
export interface Where {
  readonly streamPath: string;
  /** At which event, if at one. */
  readonly event?: StoredEvent;
}

/** What a processor is run on, and how. */
export interface RunOptions<Known extends Kind = never> extends Wanted {
  /** The stream; with `children`, all below it, too. */
  readonly stream: Stream<Known>;
  /** The name of the subscription, if the processor does not say it. */
  readonly slug?: string;
  /** How many leases are worked on at the same time: in one stream there is one at a time. 1 by default. */
  readonly concurrency?: number;
  /**
   * For how long events are leased, 1 to 600 s; 10 by default. It is extended while a handler works, so it only says how
   * soon others take over when this one dies.
   */
  readonly leaseSeconds?: number;
  /** Stops it: the event in hand is finished, the rest given back. */
  readonly signal?: AbortSignal;
  /** How long the event in hand may still take then; 10,000 ms by default. After that its own signal aborts. */
  readonly graceMs?: number;
  /** Is told of every error. Those of the processor stand in the stream as well, as `error.occurred`. */
  readonly onError?: (error: unknown, where: Where) => void;
}

/**
 * Runs a processor here: leases what is due, and settles it event by event: its progress, the state and what it appended
 * become true together. So it may be killed at any moment, and goes on exactly where it stopped.
 *
 * The subscription is configured first, if it is missing or is not what is wanted. An event whose handling fails is said in
 * the stream (`error.occurred`) and comes again later.
 *
 * @returns when `signal` aborts and all is given back
 * @throws {@link TailraceError} what no waiting helps with: no right to do it, no such subscription any more
 */
export async function run<State, Known extends Kind = never>(
  processor: Processor<State, Known>,
  options: RunOptions<Known>,
): Promise<void> {
  const slug = options.slug ?? processor.slug;
  if (!slug) throw new TypeError("a processor that is run needs a slug");
  const stop = new Limit(options.signal);
  try {
    const runner = new Runner(processor, options, slug, stop);
    await runner.run();
  } catch (error) {
    if (!stop.outer?.aborted) throw error;
  } finally {
    stop.end();
  }
}

class Runner<State, Known extends Kind> {
  readonly #connection;
  readonly #wish: Wish;

  constructor(
    readonly processor: Processor<State, Known>,
    readonly options: RunOptions<Known>,
    readonly slug: string,
    readonly stop: Limit,
  ) {
    const { stream, children = false, leaseSeconds = 10 } = options;
    this.#connection = stream.connection;
    this.#wish = { path: stream.path, slug, children, leaseSeconds };
  }

  async run(): Promise<void> {
    const { stream, concurrency = 1 } = this.options;
    const halted = await configured(this.#connection, stream.path, this.slug, this.options, this.stop.signal);
    if (halted !== undefined) this.#tell(new Error(`the subscription ${this.slug} is halted: ${halted}`), stream.path);
    const loops = Array.from({ length: concurrency }, () =>
      this.#pull().catch((error: unknown) => {
        // The others end in good order first.
        this.stop.abort();
        throw error;
      }),
    );
    const failed = (await Promise.allSettled(loops)).find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  }

  /** Leases and works, until it is stopped. */
  async #pull(): Promise<void> {
    const backoff = new Backoff(this.#connection.retry);
    while (!this.stop.signal.aborted) {
      const asked = performance.now();
      const leased = await this.#lease();
      if (leased instanceof Passing) {
        this.#tell(leased.error, this.#wish.path);
        await pause(backoff.next(leased.waitMs), this.stop.signal);
      } else if (leased) {
        backoff.reset();
        await this.#work(leased);
      } else if (performance.now() - asked < 1_000) {
        // Nothing was due, and nobody waited for it.
        await pause(backoff.next(), this.stop.signal);
      }
    }
  }

  async #lease(): Promise<Leased | undefined | Passing> {
    try {
      return await lease(this.#connection, this.#wish, this.stop.signal);
    } catch (error) {
      if (this.stop.signal.aborted) return undefined;
      throw error;
    }
  }

  /** Works on what was leased, event by event. */
  async #work(leased: Leased): Promise<void> {
    const holding = new Holding(this.#connection, leased, this.#wish.leaseSeconds);
    const grace = new Grace(this.stop.signal, this.options.graceMs ?? 10_000, holding);
    let state = stateOr<State>(this.processor, leased.state);
    const last = leased.events.at(-1);
    try {
      for (const event of leased.events) {
        if (this.stop.signal.aborted && !leased.replay) {
          await holding.giveBack(this.stop.signal.reason);
          return;
        }
        let append: Answer[] | undefined;
        try {
          state = fold(this.processor, state, event);
          if (!leased.replay) {
            append = await Promise.race([act(this.processor, state, event, holding.signal), grace.over]);
          }
        } catch (error) {
          await this.#failed(holding, event, error);
          return;
        }
        if (holding.signal.aborted) return;
        if (leased.replay && event !== last) continue;
        const isLast = event === last || this.stop.signal.aborted;
        const extend = isLast ? undefined : this.#wish.leaseSeconds;
        const isSettled = await this.#settle(holding, event, { upTo: event.offset, state, append, extend });
        if (isLast || !isSettled) return;
      }
    } finally {
      grace.end();
      holding.end();
    }
  }

  /** The processor threw: that is said, and the events come again by the server's schedule. */
  async #failed(holding: Holding, event: StoredEvent, error: unknown): Promise<void> {
    if (holding.signal.aborted) return;
    const { streamPath } = holding.leased;
    this.#tell(error, streamPath, event);
    const message = messageOf(error).slice(0, 1_000);
    const payload = { message, subscription: this.slug, offset: event.offset };
    // However often it fails in this way, it is said once.
    const idempotencyKey = `error:${this.slug}:${event.offset}:${hash(message)}`;
    const occurred = { type: "error.occurred", payload, idempotencyKey, cause: { offset: event.offset } };
    try {
      await append(this.#connection, streamPath, occurred, { signal: holding.signal });
    } catch (unsaid) {
      // A paused stream takes no events. The subscription's attempts have it all the same.
      this.#tell(unsaid, streamPath, event);
    }
    await this.#settle(holding, event, { error: message });
  }

  /**
   * Settles; says whether that counts.
   *
   * @throws {@link TailraceError} when what was settled can never be accepted: the subscription is halted by that
   */
  async #settle(holding: Holding, event: StoredEvent, said: Said): Promise<boolean> {
    try {
      await holding.settle(said, holding.signal);
      return true;
    } catch (error) {
      const isAborted = holding.signal.aborted;
      holding.lose(error);
      if (isAborted || isLost(error)) return false;
      this.#tell(error, holding.leased.streamPath, event);
      // One stream of many that is halted says so itself.
      if (error instanceof TailraceError && !passes(error) && error.status !== 0 && !this.#wish.children) throw error;
      return false;
    }
  }

  #tell(error: unknown, streamPath: string, event?: StoredEvent): void {
    this.options.onError?.(error, event ? { streamPath, event } : { streamPath });
  }
}

/** The time that the event in hand has, once the processor is told to stop. */
class Grace {
  /** Resolves when it is over. */
  readonly over: Promise<undefined>;
  readonly #begin: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly stop: AbortSignal,
    ms: number,
    holding: Holding,
  ) {
    let isOver: (value: undefined) => void;
    this.over = new Promise((resolve) => (isOver = resolve));
    this.#begin = () => {
      this.#timer = setTimeout(() => {
        void holding.giveBack(new Error("the processor was stopped"));
        isOver(undefined);
      }, ms);
    };
    if (stop.aborted) this.#begin();
    else stop.addEventListener("abort", this.#begin);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.stop.removeEventListener("abort", this.#begin);
  }
}

/** A short name of a text: FNV-1a. */
function hash(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16);
}
