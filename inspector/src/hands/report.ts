/** How subscriptions stand, as `/api/subscriptions` says it. */
import { useEffect, useState } from "preact/hooks";
import { TailraceError, type Subscription } from "tailrace";
import { ask, heed, wordsOf } from "../api/connection.ts";
import type { OpenStream } from "../log/open.ts";

/** One attempt at a delivery. */
export interface Attempt {
  readonly at: string;
  readonly first: number;
  readonly last: number;
  readonly status: number | null;
  readonly ms: number;
  /** `null` when it went well. */
  readonly error: string | null;
}

export interface Report extends Subscription {
  readonly offset: number;
  readonly status: "idle" | "pending" | "delivering" | "retrying" | "blocked" | "paused" | "halted";
  readonly cursor: number;
  readonly head: number;
  readonly lag: number;
  readonly lagSeconds: number;
  readonly nextAttempt: string | null;
  readonly lastError: string | null;
  readonly failedAttempts: number;
  readonly settled: number;
  readonly lease: { readonly first: number; readonly last: number; readonly expiresAt: string } | null;
  readonly lastAttempt: Attempt | null;
  readonly outbox: {
    readonly waiting: number;
    readonly targets: readonly { readonly target: string; readonly waiting: number; readonly attempts: number }[];
  };
  readonly inheritedFrom?: string;
}

/** With what is asked of one alone. */
export interface Details extends Report {
  readonly state: unknown;
  /** The last 20, latest first. */
  readonly attempts: readonly Attempt[];
}

/** Lag and attempts change without an event. */
const REFRESH_MS = 2_000;
/** What comes at once is asked for once. */
const SOON_MS = 250;

/** Reads again and again, while it is seen; sooner when something happens in the stream. */
function useReport<T>(
  stream: OpenStream,
  slug: string | undefined,
  none: T,
): { found: T | undefined; trouble?: string } {
  const [said, say] = useState<{ found: T | undefined; trouble?: string }>({ found: undefined });
  useEffect(() => {
    const stop = new AbortController();
    const { signal } = stop;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let due = Infinity;
    const within = (ms: number): void => {
      // A busy stream must not put it off for ever.
      if (signal.aborted || Date.now() + ms >= due) return;
      due = Date.now() + ms;
      clearTimeout(timer);
      timer = setTimeout(read, ms);
    };
    const read = (): void => {
      due = Infinity;
      const found = document.hidden ? undefined : ask<T>("subscriptions", stream.path, { slug }, { signal });
      void Promise.resolve(found)
        .then(
          (value) => {
            if (value !== undefined && !signal.aborted) say({ found: value });
          },
          (error: unknown) => {
            if (signal.aborted) return;
            const isGone = error instanceof TailraceError && error.status === 404;
            say((before) => (isGone ? { found: none } : { found: before.found, trouble: wordsOf(heed(error)) }));
          },
        )
        .then(() => within(REFRESH_MS));
    };
    read();
    const ended = stream.onEvent(() => within(SOON_MS));
    return () => {
      ended();
      clearTimeout(timer);
      stop.abort();
    };
  }, [stream, slug]);
  return said;
}

/** All subscriptions of a stream; `undefined` until they are known. */
export function useReports(stream: OpenStream): { reports: readonly Report[] | undefined; trouble?: string } {
  const { found, ...rest } = useReport<{ subscriptions: readonly Report[] }>(stream, undefined, { subscriptions: [] });
  return { reports: found?.subscriptions, ...rest };
}

/** One of them, with its state and attempts; `null` when there is none, `undefined` until that is known. */
export function useDetails(
  stream: OpenStream,
  slug: string,
): { details: Details | null | undefined; trouble?: string } {
  const { found, ...rest } = useReport<Details | null>(stream, slug, null);
  return { details: found, ...rest };
}
