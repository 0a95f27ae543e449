/** A value that changes often, seen twice a second at most. */
import { useEffect, useRef, useState } from "preact/hooks";

const EVERY_MS = 500;

export function useCalm<T>(value: T): T {
  const [seen, see] = useState(value);
  const last = useRef(0);
  useEffect(() => {
    const timer = setTimeout(
      () => {
        last.current = Date.now();
        see(value);
      },
      Math.max(0, last.current + EVERY_MS - Date.now()),
    );
    return () => clearTimeout(timer);
  }, [value]);
  return seen;
}
