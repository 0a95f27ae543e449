import { TailraceError } from "./error.js";
import { ask, attempt, type Connection } from "./http.js";
import { retried } from "./retry.js";

/** What a stream's control events add up to. Fields that this version does not know are there too. */
export interface State {
  readonly streamPath: string | null;
  /** The name of the stream's present life. */
  readonly generation: string | null;
  readonly createdAt: string | null;
  /** The offset that this holds for. */
  readonly head: number;
  readonly paused: Readonly<Record<string, unknown>> | null;
  readonly breaker: { readonly limit: number | null; readonly windowMs: number };
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly schedules: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly subscriptions: Readonly<Record<string, Subscription>>;
  readonly hooks: Readonly<Record<string, unknown>>;
  readonly tools: Readonly<Record<string, unknown>>;
  readonly [name: string]: unknown;
}

/** A subscription: as it was configured, and how it stands. */
export interface Subscription {
  readonly slug: string;
  readonly target: Readonly<Record<string, unknown>>;
  readonly types?: readonly string[];
  readonly where?: string;
  readonly from?: "now" | "start" | number;
  readonly version?: string;
  readonly batch?: number;
  readonly grants?: readonly string[];
  readonly whilePaused?: boolean;
  readonly children?: boolean;
  /** Set while it is halted: `subscription.resumed`, or configuring it again, resumes it. */
  readonly halted?: { readonly reason: string; readonly offset: number; readonly lastStatus: number | null };
  readonly status?: string;
  /** Everything up to here is settled, or does not match. */
  readonly cursor?: number;
  /** How many offsets lie behind the cursor while something waits. */
  readonly lag?: number;
  /** Its state in this stream. Only from {@link Stream.subscription}. */
  readonly state?: unknown;
  readonly [name: string]: unknown;
}

/** A stream below another. */
export interface Child {
  readonly path: string;
  readonly createdAt: string;
  /** Only with `details`. */
  readonly head?: number;
  /** Only with `details`. */
  readonly lastEventAt?: string;
  /** Only with `details`. */
  readonly paused?: boolean;
}

/** Which streams below are wanted. */
export interface ChildrenOptions {
  /** All below, not only those right below. */
  readonly recursive?: boolean;
  /** With `head`, `lastEventAt` and `paused`. */
  readonly details?: boolean;
  readonly signal?: AbortSignal;
}

/** Where a stream stands. */
export interface Head {
  readonly head: number;
  readonly generation: string;
  readonly paused: boolean;
}

/** The streams below, page by page. */
export async function* children(
  connection: Connection,
  path: string,
  { recursive, details, signal }: ChildrenOptions = {},
): AsyncGenerator<Child, void, undefined> {
  interface Page {
    children: Child[];
    after: string | null;
  }
  for (let after: string | undefined; ;) {
    const query = { recursive, details, after };
    const page: Page = await ask<Page>(connection, { api: "children", path, query, signal });
    yield* page.children;
    if (page.after === null) return;
    after = page.after;
  }
}

/** Where a stream stands; `undefined` when there is none. */
export async function head(connection: Connection, path: string, signal?: AbortSignal): Promise<Head | undefined> {
  const take = (response: Response): Promise<Head> =>
    Promise.resolve({
      head: Number(response.headers.get("tailrace-head")),
      generation: response.headers.get("tailrace-generation") ?? "",
      paused: response.headers.get("tailrace-paused") === "true",
    });
  try {
    return await retried(connection.retry, signal, () =>
      attempt(connection, { method: "HEAD", api: "streams", path, signal }, take),
    );
  } catch (error) {
    if (error instanceof TailraceError && error.status === 404) return undefined;
    throw error;
  }
}
