import type { Kind } from "./event.js";
import { normalized, type Connection } from "./http.js";
import type { Retry } from "./retry.js";
import { Stream } from "./stream.js";

/** How a {@link Tailrace} is reached. */
export interface Options {
  /** The deployment's token, or one signed with it. None in the open mode of a local server. */
  readonly token?: string;
  /** What requests are made with; the platform's `fetch` by default. */
  readonly fetch?: typeof globalThis.fetch;
  /** How requests are tried again. */
  readonly retry?: Retry;
  /** How JSON is read; `JSON.parse` by default, which rounds integers past 2^53. */
  readonly parse?: (text: string) => unknown;
}

/**
 * A deployment of Tailrace.
 *
 * ```ts
 * const tailrace = new Tailrace("http://localhost:8787");
 * await tailrace.stream("/support/anna").append({ type: "message", payload: { text: "hello" } });
 * ```
 */
export class Tailrace {
  /** @internal */
  readonly connection: Connection;

  /**
   * @param url where it is: `https://tailrace.example.com`
   * @throws `TypeError` when this is no URL
   */
  constructor(url: string | URL, options: Options = {}) {
    this.connection = {
      url: new URL(url).href.replace(/\/+$/, ""),
      token: options.token,
      // Called without a `this`: the platform's own insists.
      fetch: options.fetch ?? ((...request) => globalThis.fetch(...request)),
      retry: options.retry ?? {},
      parse: options.parse ?? ((text): unknown => JSON.parse(text)),
    };
  }

  /**
   * The stream at a path. Nothing is asked: it is born with its first event.
   *
   * @typeParam Known the types of its events, if you name them (see {@link EventOf})
   * @throws {@link TailraceError} `invalid_path`
   */
  stream<Known extends Kind = never>(path: string): Stream<Known> {
    return new Stream<Known>(this.connection, normalized(path));
  }
}
