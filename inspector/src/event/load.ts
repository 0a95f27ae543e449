/** The event of the address, exactly as it is stored. */
import { useEffect, useState } from "preact/hooks";
import { TailraceError, type StoredEvent } from "tailrace";
import { heed, lineOf, wordsOf } from "../api/connection.ts";
import type { OpenStream } from "../log/open.ts";
import { parse } from "./payload.ts";

export interface Loaded {
  readonly stream: OpenStream;
  readonly offset: number;
  /** With its numbers as they are written; before the line is there as the list holds it. */
  readonly event?: StoredEvent | undefined;
  /** The event as it is stored, byte for byte. */
  readonly line?: string | undefined;
  /** Why there is none; empty when the log does not reach there. */
  readonly missing?: string | undefined;
}

/** Keys that are held down pass events by; those that one stays at are asked for. */
const PASSING_MS = 60;

/** The event at an offset. What is held of it comes at once, its line soon. */
export function useEvent(stream: OpenStream, offset: number | undefined): Loaded | undefined {
  const [loaded, set] = useState<Loaded | undefined>(undefined);
  const isOf = (it: Loaded | undefined): boolean => it?.stream === stream && it.offset === offset;
  // An event that is still to come is looked for again when it has.
  const isBeyond = offset !== undefined && offset > stream.head.value;
  useEffect(() => {
    // An event never changes.
    if (offset === undefined || (isOf(loaded) && loaded?.line !== undefined)) return undefined;
    const stop = new AbortController();
    const held = stream.held(offset);
    const known = held?.payload === undefined ? undefined : held;
    const load = async (): Promise<void> => {
      try {
        const line = await lineOf(stream.path, offset, stop.signal);
        if (line === "") set({ stream, offset, missing: "" });
        else set({ stream, offset, line, event: parse(line) as StoredEvent });
      } catch (error) {
        if (stop.signal.aborted) return;
        const isGone = error instanceof TailraceError && error.status === 404;
        const why = isGone ? `There is no stream at ${stream.path}.` : wordsOf(heed(error));
        set({ stream, offset, event: known, missing: why });
      }
    };
    if (known || !isOf(loaded)) set({ stream, offset, event: known });
    const timer = setTimeout(() => void load(), known ? PASSING_MS : 0);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [stream, offset, isBeyond]);
  return isOf(loaded) ? loaded : undefined;
}
