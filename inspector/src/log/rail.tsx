/** Where in the whole log we are, from the first event to the last; drawn somewhere else it goes there. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { OpenStream } from "./open.ts";
import { view } from "./view.ts";

/** What is passed by is not fetched; where one rests is. */
const DRAWING_MS = 150;

export function Rail({ stream, at }: { stream: OpenStream; at: number | undefined }): JSX.Element | null {
  const [drawn, draw] = useState<number | undefined>(undefined);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const head = stream.head.value;
  if (head < 2) return null;
  const { newestFirst } = view.value;
  const follows = stream.follows.value && drawn === undefined;
  const value = drawn ?? (follows ? head : (at ?? 1));
  const to = (offset: number): void => {
    draw(offset);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      void stream.show(offset >= head ? undefined : offset).then(() => draw(undefined));
    }, DRAWING_MS);
  };
  return (
    <input
      class="rail"
      type="range"
      aria-label="Place in the log"
      aria-orientation="vertical"
      aria-valuetext={`event ${value} of ${head}`}
      data-newest-first={newestFirst}
      min={1}
      max={head}
      value={value}
      title={`event ${value.toLocaleString("en")} of ${head.toLocaleString("en")}`}
      onInput={({ currentTarget }) => to(Number(currentTarget.value))}
    />
  );
}
