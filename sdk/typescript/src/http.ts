import { refused, TailraceError, unreached } from "./error.js";
import { Limit, Passing, retried, retryAfter, type Retry } from "./retry.js";

/** How a deployment of Tailrace is reached. */
export interface Connection {
  /** Its base URL, without a slash at the end. */
  readonly url: string;
  readonly token: string | undefined;
  readonly fetch: typeof globalThis.fetch;
  readonly retry: Retry;
  readonly parse: (text: string) => unknown;
}

/** A parameter of a query: a list is joined with commas, `undefined` and `false` are left out. */
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** A request. */
export interface Ask {
  readonly method?: "GET" | "POST" | "HEAD" | "DELETE";
  readonly api: "streams" | "state" | "children" | "subscriptions" | "lease" | "settle";
  readonly path: string;
  readonly query?: Query;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
  /** How long an attempt may take. */
  readonly withinMs?: number;
}

/** How long an attempt may take by default: as long as a slow network needs for 8 MiB. */
const patienceMs = 120_000;

/** Sends a request once. */
export function send(connection: Connection, ask: Ask, signal: AbortSignal): Promise<Response> {
  const { fetch, token, url } = connection;
  return fetch(`${url}/api/${ask.api}${encoded(ask.path)}${encodedQuery(ask.query)}`, {
    method: ask.method ?? "GET",
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(ask.body === undefined ? {} : { "content-type": "application/json" }),
      ...ask.headers,
    },
    ...(ask.body === undefined ? {} : { body: ask.body }),
    signal,
  });
}

/**
 * One attempt, its body included: what came, or a failure that may pass.
 *
 * @throws {@link TailraceError} what will not pass; the signal's reason when it aborts
 */
export async function attempt<T>(
  connection: Connection,
  ask: Ask,
  take: (response: Response) => Promise<T>,
): Promise<T | Passing> {
  const limit = new Limit(ask.signal);
  limit.within(ask.withinMs ?? patienceMs);
  try {
    const response = await send(connection, ask, limit.signal);
    if (response.ok) return await take(response);
    const error = await refused(response);
    if (passes(error)) return new Passing(error, retryAfter(response.headers));
    throw error;
  } catch (error) {
    if (error instanceof TailraceError) throw error;
    ask.signal?.throwIfAborted();
    return new Passing(unreached(error));
  } finally {
    limit.end();
  }
}

/** Sends a request until it goes well, and takes its answer as JSON. The answer is believed to be what the API describes. */
export const ask = <T>(connection: Connection, request: Ask): Promise<T> =>
  retried(connection.retry, request.signal, () =>
    attempt(connection, request, (response) => json<T>(connection, response)),
  );

/** The body as JSON; nothing when there is none. */
export async function json<T>({ parse }: Connection, response: Response): Promise<T> {
  const text = await response.text();
  return (response.status === 204 ? undefined : parse(text)) as T;
}

/** A pause is ended by a person: knocking again does not help. */
export const passes = ({ status, retryable }: TailraceError): boolean =>
  [408, 425, 429].includes(status) || (status >= 500 && retryable);

/**
 * A stream's path as it is spelled everywhere: with one slash in front, none behind.
 *
 * @throws {@link TailraceError} `invalid_path` for what a URL would not keep as it is
 */
export function normalized(path: string): string {
  const bare = path.replace(/^\//, "").replace(/\/$/, "");
  const segments = bare === "" ? [] : bare.split("/");
  if (segments.some((segment) => segment === "" || segment === "." || segment === "..")) {
    const detail = `no segment may be empty, "." or "..": ${path}`;
    throw new TailraceError({ status: 400, code: "invalid_path", title: "This is not the path of a stream", detail });
  }
  return `/${bare}`;
}

const encoded = (path: string): string =>
  path.replace(/[^/]+/g, (segment) => encodeURIComponent(segment).replace(/%(3A|40)/g, decodeURIComponent));

function encodedQuery(query: Query | undefined): string {
  if (query === undefined) return "";
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== false) parameters.set(name, String(value));
  }
  return parameters.size > 0 ? `?${parameters}` : "";
}
