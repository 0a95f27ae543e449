/** How long it is until an instant, counted down. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { span } from "../ui/time.tsx";

/** `in 12 s`; what has passed is `now`. */
export function Countdown({ to }: { to: string }): JSX.Element {
  const [now, tick] = useState(Date.now());
  const left = Date.parse(to) - now;
  const isOver = !(left > 0);
  useEffect(() => {
    if (isOver) return undefined;
    const timer = setInterval(() => tick(Date.now()), 500);
    return () => clearInterval(timer);
  }, [to, isOver]);
  return (
    <time dateTime={to} title={to}>
      {isOver ? "now" : `in ${left < 10_000 ? `${Math.ceil(left / 1_000)} s` : span(left)}`}
    </time>
  );
}
