import { TailraceError } from "./error.js";
import type { Answer, StoredEvent } from "./event.js";
import { ask, attempt, json, send, type Ask, type Connection } from "./http.js";
import { Limit, type Passing } from "./retry.js";

/** Events that nobody else is handed before the lease runs out. */
export interface Leased {
  readonly lease: string;
  readonly streamPath: string;
  readonly events: readonly StoredEvent[];
  readonly state: unknown;
  /** They are to be folded, and nothing else. */
  readonly replay: boolean;
}

/** What is said about a lease. */
export interface Said {
  readonly upTo?: number;
  readonly state?: unknown;
  readonly append?: readonly Answer[] | undefined;
  readonly extend?: number | undefined;
  readonly error?: string;
}

/** Who is handed what. */
export interface Wish {
  readonly path: string;
  readonly slug: string;
  readonly children: boolean;
  readonly leaseSeconds: number;
}

/** For how long the server waits for something to be due. */
const waitSeconds = 30;

/** Asks once for what is due; `undefined` when nothing came in time. */
export function lease(
  connection: Connection,
  { path, slug, children, leaseSeconds }: Wish,
  signal: AbortSignal,
): Promise<Leased | undefined | Passing> {
  const query = { slug, wait: waitSeconds, for: leaseSeconds, children };
  const request = { method: "POST", api: "lease", path, query, signal, withinMs: (waitSeconds + 30) * 1_000 } as const;
  return attempt(connection, request, (response) => json<Leased | undefined>(connection, response));
}

/** A lease while it is worked on: it is kept as long as that takes, and is told when it is lost. */
export class Holding {
  readonly #lost = new AbortController();
  readonly #heartbeat: ReturnType<typeof setInterval>;

  constructor(
    readonly connection: Connection,
    readonly leased: Leased,
    readonly leaseSeconds: number,
  ) {
    // Should one be lost, there is time for another.
    this.#heartbeat = setInterval(() => void this.#extend(), (leaseSeconds * 1_000) / 3);
  }

  /** Aborts when the events were given to somebody else, or nobody waits for them any more. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Settles the events up to an offset, and keeps the rest or gives it back. A lost answer is asked for again: a settle that
   * is repeated answers as the first did.
   *
   * @throws {@link TailraceError} also when the lease is lost
   */
  async settle(said: Said, signal?: AbortSignal): Promise<void> {
    await ask<unknown>(this.connection, { ...this.#request(said), signal });
  }

  /** Loses what is not settled, and lets others have it at once if that can be said. */
  giveBack(reason: unknown): Promise<void> {
    this.lose(reason);
    const limit = new Limit();
    limit.within(2_000);
    return send(this.connection, this.#request({ upTo: 0 }), limit.signal)
      .then((response) => response.body?.cancel())
      .catch(() => {})
      .finally(() => limit.end());
  }

  /** Nothing that is done in its name counts any more. */
  lose(reason: unknown): void {
    this.end();
    this.#lost.abort(reason);
  }

  /** It is settled. */
  end(): void {
    clearInterval(this.#heartbeat);
  }

  #request(said: Said): Ask {
    const body = JSON.stringify({ lease: this.leased.lease, ...said });
    return { method: "POST", api: "settle", path: this.leased.streamPath, body };
  }

  async #extend(): Promise<void> {
    try {
      await this.settle({ extend: this.leaseSeconds });
    } catch (error) {
      // Without an answer it may well be there still; the settle will tell.
      if (isLost(error)) this.lose(error);
    }
  }
}

/** The lease is another's, or its stream is gone. */
export const isLost = (error: unknown): boolean =>
  error instanceof TailraceError && (error.code === "lease_lost" || error.status === 404);
