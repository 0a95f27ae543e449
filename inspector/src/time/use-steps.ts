/** The steps of a stream's agents: the last ones, live, and earlier ones when somebody asks. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { TailraceError } from "tailrace";
import { heed, lastOf } from "../api/connection.ts";
import type { OpenStream } from "../log/open.ts";
import { useLife } from "./life.ts";
import { isOfAgents, stepOf, TYPES, type Step } from "./turns.ts";

const PAGE = 300;

export interface Steps {
  readonly steps: readonly Step[];
  readonly isLoading: boolean;
  /** Whether there may be earlier ones. */
  readonly hasEarlier: boolean;
  readonly trouble: Error | undefined;
  readonly earlier: () => void;
}

interface Held {
  readonly of: OpenStream;
  readonly steps: readonly Step[];
  readonly hasEarlier: boolean;
  /** Nothing before this offset was looked at. */
  readonly from: number | undefined;
}

export function useSteps(stream: OpenStream): Steps {
  const [held, hold] = useState<Held>({ of: stream, steps: [], hasEarlier: true, from: undefined });
  const [isLoading, setLoading] = useState(true);
  const [trouble, fail] = useState<Error | undefined>(undefined);
  const stop = useRef(new AbortController());
  const life = useLife(stream);

  const load = useCallback(
    (before?: number): void => {
      const { signal } = stop.current;
      setLoading(true);
      stretch(stream.path, before, signal)
        .then(({ steps, isAll, from }) => {
          if (signal.aborted) return;
          fail(undefined);
          hold((known) => ({
            of: stream,
            steps: joined(steps, known.of === stream ? known.steps : []),
            hasEarlier: !isAll,
            from,
          }));
        })
        .catch((error: unknown) => {
          if (!signal.aborted) fail(heed(error));
        })
        .finally(() => {
          if (!signal.aborted) setLoading(false);
        });
    },
    [stream],
  );

  useEffect(() => {
    stop.current = new AbortController();
    hold({ of: stream, steps: [], hasEarlier: true, from: undefined });
    const unheard = stream.onEvent((event) => {
      if (isOfAgents(event.type)) hold((known) => ({ ...known, steps: joined(known.steps, [stepOf(event)]) }));
    });
    load();
    return () => {
      stop.current.abort();
      unheard();
    };
  }, [stream, life, load]);

  const { steps, hasEarlier, from } = held;
  const earlier = useCallback(() => load(from), [load, from]);
  return { steps, isLoading, hasEarlier, trouble, earlier };
}

/** The last steps, or the last before an offset. */
async function stretch(
  path: string,
  before: number | undefined,
  signal: AbortSignal,
): Promise<{ steps: Step[]; isAll: boolean; from: number | undefined }> {
  try {
    const { entries, beforeOffset } = await lastOf(path, { types: TYPES, beforeOffset: before, last: PAGE }, signal);
    const isAll = entries.length < PAGE && beforeOffset === undefined;
    return { steps: entries.map(({ event }) => stepOf(event)), isAll, from: beforeOffset ?? entries[0]?.event.offset };
  } catch (error) {
    if (error instanceof TailraceError && error.status === 404) return { steps: [], isAll: true, from: undefined };
    throw error;
  }
}

/** Both, in order, each once. */
function joined(some: readonly Step[], more: readonly Step[]): readonly Step[] {
  const known = new Map([...some, ...more].map((step) => [step.offset, step]));
  return [...known.values()].sort((a, b) => a.offset - b.offset);
}
