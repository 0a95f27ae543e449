/** Which life of a stream this is: what was read of the one before it was deleted holds no longer. */
import { useRef } from "preact/hooks";
import type { OpenStream } from "../log/open.ts";

/** Another number when the stream was deleted and begun anew. */
export function useLife(stream: OpenStream): number {
  const known = useRef<{ of: OpenStream; generation: string | null | undefined; life: number }>(undefined);
  const generation = stream.state.value?.generation;
  const { current } = known;
  if (current?.of !== stream) known.current = { of: stream, generation, life: (current?.life ?? 0) + 1 };
  else if (generation && !current.generation) current.generation = generation;
  else if (generation && generation !== current.generation) {
    known.current = { of: stream, generation, life: current.life + 1 };
  }
  return known.current?.life ?? 0;
}
