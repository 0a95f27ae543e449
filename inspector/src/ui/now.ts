/** Now, again every second, for what counts down while it is seen. */
import { useEffect, useState } from "preact/hooks";

export function useNow(everyMs = 1_000): number {
  const [now, tick] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) tick(Date.now());
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** Calls again and again while the page is seen, and at once when it is seen again. Also at the beginning. */
export function useEvery(everyMs: number, call: () => void, of: readonly unknown[]): void {
  useEffect(() => {
    const seen = (): void => {
      if (!document.hidden) call();
    };
    seen();
    const timer = setInterval(seen, everyMs);
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [everyMs, ...of]);
}
