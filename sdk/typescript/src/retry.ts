import type { TailraceError } from "./error.js";

/** How requests are tried again. */
export interface Retry {
  /** For how long a request is tried again, in milliseconds; 60,000 by default, 0 = never. */
  readonly forMs?: number;
  /** The most that is waited before the second attempt; doubles with each, up to `mostMs`. 100 by default. */
  readonly firstMs?: number;
  /** The most that is ever waited between two attempts; 10,000 by default. */
  readonly mostMs?: number;
}

/** A server that asks for patience is given this much. */
const mostRetryAfterMs = 60_000;

/** The waits between attempts: exponential, with full jitter, and never shorter than what the server asked for. */
export class Backoff {
  #attempts = 0;
  readonly #firstMs: number;
  readonly #mostMs: number;

  constructor({ firstMs = 100, mostMs = 10_000 }: Retry) {
    this.#firstMs = firstMs;
    this.#mostMs = mostMs;
  }

  /** How long to wait now, in milliseconds. */
  next(atLeastMs = 0): number {
    const most = Math.min(this.#mostMs, this.#firstMs * 2 ** this.#attempts);
    this.#attempts += 1;
    return Math.max(atLeastMs, Math.random() * most);
  }

  /** It went well: the next failure is the first again. */
  reset(): void {
    this.#attempts = 0;
  }
}

/** How long an answer asks to be waited for, in milliseconds: by its `Retry-After`, seconds or a date. */
export function retryAfter(headers: Headers): number {
  const text = headers.get("retry-after")?.trim() ?? "";
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  return Math.min(Math.max(ms || 0, 0), mostRetryAfterMs);
}

/** A failure that may pass, and how long to wait for that at least. */
export class Passing {
  constructor(
    readonly error: TailraceError,
    readonly waitMs = 0,
  ) {}
}

/**
 * Tries until it goes well, fails for good, or the time is over.
 *
 * @throws {@link TailraceError} the last failure; the signal's reason when it aborts
 */
export async function retried<T>(
  retry: Retry,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T | Passing>,
): Promise<T> {
  const backoff = new Backoff(retry);
  const end = performance.now() + (retry.forMs ?? 60_000);
  for (;;) {
    signal?.throwIfAborted();
    const result = await attempt();
    if (!(result instanceof Passing)) return result;
    const ms = backoff.next(result.waitMs);
    if (performance.now() + ms > end) throw result.error;
    await pause(ms, signal);
  }
}

/** Waits; shorter when the signal aborts. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}

/**
 * A signal of its own that also follows another, and aborts by itself after some time. `AbortSignal.any` would keep every
 * request alive for as long as a signal that lives for days.
 */
export class Limit {
  readonly #controller = new AbortController();
  readonly #follow: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** It was the time, not the other signal. */
  timedOut = false;

  constructor(readonly outer?: AbortSignal) {
    if (!outer) return;
    this.#follow = () => this.abort(outer.reason);
    if (outer.aborted) this.#follow();
    else outer.addEventListener("abort", this.#follow);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** From now on there is this much time. */
  within(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.timedOut = true;
      this.abort(new Error(`nothing came for ${ms} ms`));
    }, ms);
  }

  /** There is all the time. */
  unlimited(): void {
    clearTimeout(this.#timer);
  }

  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  /** Lets go of the timer and of the other signal. */
  end(): void {
    clearTimeout(this.#timer);
    if (this.#follow) this.outer?.removeEventListener("abort", this.#follow);
  }
}
