/** What is being said in the stream that is open, for all who show it. It is told at most once a frame. */
import { effect, signal, type ReadonlySignal } from "@preact/signals";
import { lastOf } from "../api/connection.ts";
import { open, type OpenStream } from "../log/open.ts";
import { Speeches, type Speech } from "./speech.ts";

const KNOWN = "agent.turn-started,agent.output-added,agent.turn-failed,agent.turn-interrupted,agent.stopped";
/** So far back turns are looked for that have no end yet. */
const LOOKED_AT = 20;

export interface Heard {
  /** All that have no end yet. */
  readonly speeches: ReadonlySignal<readonly Speech[]>;
  /** Reads what has begun and ended while nobody listened. */
  readonly look: () => void;
}

const known = new WeakMap<OpenStream, Heard>();

/** What is being said in a stream, from the first question on. */
export function heardIn(stream: OpenStream): Heard {
  let heard = known.get(stream);
  if (!heard) known.set(stream, (heard = listen(stream)));
  return heard;
}

function listen(stream: OpenStream): Heard {
  const speeches = new Speeches();
  const shown = signal<readonly Speech[]>([]);
  let isDue = false;
  const changed = (): void => {
    if (isDue) return;
    isDue = true;
    // A hidden page has no frames: it is shown when somebody looks again.
    requestAnimationFrame(() => {
      isDue = false;
      shown.value = speeches.now;
    });
  };
  stream.onEphemeral((event) => speeches.hear(event) && changed());
  stream.onEvent((event) => speeches.take(event) && changed());
  // It was deleted.
  effect(() => {
    if (stream.head.value === 0 && speeches.clear()) changed();
  });
  const look = (): void => {
    lastOf(stream.path, { types: KNOWN, last: LOOKED_AT }, stream.signal).then(
      ({ entries }) => {
        speeches.learn(entries.map(({ event }) => event));
        changed();
      },
      () => {
        // There is no stream yet, or it is refused: the log says so.
      },
    );
  };
  // A turn that began before one looked says nothing of itself until its model speaks.
  look();
  return { speeches: shown, look };
}

// A tab that nobody saw may have slept, and heard nothing meanwhile.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && open.value) known.get(open.value)?.look();
});
