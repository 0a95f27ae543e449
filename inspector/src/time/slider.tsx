/** Where in time one is: a slider over all offsets, and steps from control event to control event. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Controls } from "./controls.ts";

export function Slider(props: {
  at: number;
  head: number;
  isNow: boolean;
  controls: Controls;
  /** `undefined` is now. */
  choose: (at: number | undefined) => void;
}): JSX.Element {
  const { at, head, isNow, controls, choose } = props;
  const before = controls.before(at);
  const behind = controls.behind(at);
  return (
    <div class="travel-bar">
      <input
        type="range"
        aria-label="After which event"
        aria-valuetext={isNow ? `now, event ${at}` : `event ${at} of ${head}`}
        min={1}
        max={head}
        value={at}
        disabled={head < 2}
        onInput={({ currentTarget }) => choose(Number(currentTarget.value))}
      />
      <div class="travel-row">
        <button
          type="button"
          aria-label="Previous control event"
          title={before && `${before.offset} ${before.type}`}
          disabled={!before}
          onClick={() => choose(before?.offset)}
        >
          ←
        </button>
        <button
          type="button"
          aria-label="Next control event"
          title={behind && `${behind.offset} ${behind.type}`}
          disabled={!behind}
          onClick={() => choose(behind?.offset)}
        >
          →
        </button>
        <label>
          Event <Field at={at} head={head} choose={choose} /> <span class="dim">of {head.toLocaleString("en")}</span>
        </label>
        <span class="spring" />
        <button type="button" class="toggle" aria-pressed={isNow} onClick={() => choose(undefined)}>
          Now
        </button>
      </div>
    </div>
  );
}

/** A field for an offset: half of a number is not gone to. */
function Field({ at, head, choose }: { at: number; head: number; choose: (at: number) => void }): JSX.Element {
  const [text, write] = useState(String(at));
  useEffect(() => write(String(at)), [at]);
  const take = (given: string): void => {
    write(given);
    const wanted = Number(given);
    if (Number.isSafeInteger(wanted) && wanted >= 1 && wanted <= head) choose(wanted);
  };
  return (
    <input
      type="number"
      aria-label="Event"
      inputMode="numeric"
      min={1}
      max={head}
      value={text}
      onInput={({ currentTarget }) => take(currentTarget.value)}
      onBlur={() => write(String(at))}
    />
  );
}
