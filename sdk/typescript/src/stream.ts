import { append, isList, type AppendOptions } from "./append.js";
import type { AppendableOf, EventOf, Kind } from "./event.js";
import { ask, attempt, json, type Connection } from "./http.js";
import { read, type ReadOptions } from "./read.js";
import { Passing } from "./retry.js";
import { children, head, type Child, type ChildrenOptions, type Head, type State, type Subscription } from "./state.js";
import { Tail, type TailOptions } from "./tail.js";

/** What may be said with any question. */
export interface CallOptions {
  /** Stops it: it ends with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * A stream of events at a path.
 *
 * Whatever fails for a moment is tried again (see {@link Retry}); what is refused is thrown as a {@link TailraceError}.
 *
 * @typeParam Known the types of its events, if you name them (see {@link EventOf})
 */
export class Stream<Known extends Kind = never> {
  /** @internal */
  constructor(
    /** @internal */
    readonly connection: Connection,
    /** Where it is: `/support/anna`. */
    readonly path: string,
  ) {}

  /**
   * Appends an event, and returns it as it is stored. It is written once, however often its answer is lost: an event without
   * an `idempotencyKey` gets one.
   *
   * @throws {@link TailraceError} `idempotency_conflict`, `offset_mismatch`, `stream_paused`, `invalid_control_event`, …
   */
  append(event: AppendableOf<Known>, options?: AppendOptions): Promise<EventOf<Known>>;
  /** Appends several events, at most 1,000 and 8 MiB: all of them or none. */
  append(events: readonly AppendableOf<Known>[], options?: AppendOptions): Promise<EventOf<Known>[]>;
  async append(
    events: AppendableOf<Known> | readonly AppendableOf<Known>[],
    options?: AppendOptions,
  ): Promise<EventOf<Known> | EventOf<Known>[]> {
    const stored = (await append(this.connection, this.path, events, options)) as EventOf<Known>[];
    return isList(events) ? stored : (stored[0] as EventOf<Known>);
  }

  /**
   * The events that are there, page by page. It ends with the last.
   *
   * @throws {@link TailraceError} `stream_not_found`, `invalid_query`
   */
  read(options?: ReadOptions): AsyncGenerator<EventOf<Known>, void, undefined> {
    return read(this.connection, this.path, options) as AsyncGenerator as AsyncGenerator<
      EventOf<Known>,
      void,
      undefined
    >;
  }

  /**
   * The events that are there, then those that come, for ever: in order, without a gap or a double, over restarts of the
   * server and cut connections. A stream that does not exist yet is waited for.
   *
   * @throws {@link TailraceError} what will never be answered: `unauthorized`, `forbidden`, `invalid_query`
   */
  tail(options: TailOptions = {}): Tail<EventOf<Known>> {
    return new Tail<EventOf<Known>>(this.connection, this.path, options);
  }

  /** What the stream's control events add up to: now, or as it was after the offset `at`. */
  state({ at, signal }: CallOptions & { readonly at?: number } = {}): Promise<State> {
    return ask<State>(this.connection, { api: "state", path: this.path, query: { at }, signal });
  }

  /** The streams below. */
  children(options?: ChildrenOptions): AsyncGenerator<Child, void, undefined> {
    return children(this.connection, this.path, options);
  }

  /**
   * How a subscription stands, with its state and its last attempts.
   *
   * @throws {@link TailraceError} `not_found`
   */
  subscription(slug: string, { signal }: CallOptions = {}): Promise<Subscription> {
    return ask<Subscription>(this.connection, { api: "subscriptions", path: this.path, query: { slug }, signal });
  }

  /** Where it stands; `undefined` when there is no stream. */
  head({ signal }: CallOptions = {}): Promise<Head | undefined> {
    return head(this.connection, this.path, signal);
  }

  /**
   * Deletes it; with `children` all below, too. The path can be born again. This is tried once: the next time it may be
   * another stream.
   */
  async delete({ children, signal }: CallOptions & { readonly children?: boolean } = {}): Promise<void> {
    const request = { method: "DELETE", api: "streams", path: this.path, query: { children }, signal } as const;
    const result = await attempt(this.connection, request, (response) => json<unknown>(this.connection, response));
    if (result instanceof Passing) throw result.error;
  }
}
