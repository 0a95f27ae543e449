/** What is known of the chain of an event, while it is looked at. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { heed } from "../api/connection.ts";
import type { OpenStream } from "../log/open.ts";
import { Followers, upward, type End } from "./chain.ts";
import { mayFollow, type Fact } from "./fact.ts";
import { seen, sourceOf } from "./source.ts";

/** What followed is looked for where one rests so long. */
const REST_MS = 150;

export interface Chain {
  readonly of: Fact;
  readonly causes: readonly Fact[];
  readonly end: End;
  readonly followers: Followers;
}

export interface Looking {
  /** The chain; of the event before this one until this one's is there. */
  readonly chain: Chain | undefined;
  /** Counts what was learned. */
  readonly changes: number;
  readonly isLooking: boolean;
  /** Why there is no chain. */
  readonly trouble: Error | undefined;
  /** Looks at more; ends when another event is chosen. */
  readonly further: (look: Look) => void;
  /** Begins again. */
  readonly again: () => void;
}

type Look = (followers: Followers, signal: AbortSignal, grew: () => void) => Promise<void>;

export function useChain(stream: OpenStream, at: number | undefined): Looking {
  const [chain, hold] = useState<Chain | undefined>(undefined);
  const [trouble, fail] = useState<Error | undefined>(undefined);
  const [isLooking, setLooking] = useState(true);
  const [changes, change] = useState(0);
  const [times, begin] = useState(0);
  const grew = useCallback(() => change((count) => count + 1), []);
  const again = useCallback(() => begin((count) => count + 1), []);
  const stop = useRef(new AbortController());

  useEffect(() => {
    const { signal } = (stop.current = new AbortController());
    fail(undefined);
    setLooking(true);
    let followers: Followers | undefined;
    const unheard = stream.onEvent((event) => {
      if (mayFollow(event) && followers?.hear(seen(event))) grew();
    });
    const look = async (): Promise<void> => {
      const event = at === undefined ? undefined : await stream.event(at, signal);
      signal.throwIfAborted();
      if (!event) throw new Error(`There is no event ${at} in ${stream.path}.`);
      const of = seen(event);
      const source = sourceOf((path, offset) => (path === stream.path ? stream.held(offset) : undefined));
      const up = await upward(of, source, signal);
      signal.throwIfAborted();
      followers = new Followers(of, source);
      hold({ of, ...up, followers });
      // Who walks through the log with a key passes many events.
      await new Promise((done) => setTimeout(done, REST_MS));
      signal.throwIfAborted();
      await followers.look(signal, grew);
    };
    look()
      .catch((error: unknown) => {
        if (!signal.aborted) fail(heed(error));
      })
      .finally(() => {
        if (!signal.aborted) setLooking(false);
      });
    return () => {
      stop.current.abort();
      unheard();
    };
  }, [stream, at, times]);

  const further = useCallback(
    (look: Look): void => {
      const { signal } = stop.current;
      if (!chain) return;
      setLooking(true);
      look(chain.followers, signal, grew)
        .catch((error: unknown) => {
          if (!signal.aborted) fail(heed(error));
        })
        .finally(() => {
          if (!signal.aborted) setLooking(false);
        });
    },
    [chain],
  );
  return { chain, changes, isLooking, trouble, further, again };
}
