/** Control states of a stream as they were, kept for going back and forth. */
import { get } from "../api/connection.ts";
import type { Fields } from "./changes.ts";

export interface StateAt {
  readonly fields: Fields;
  /** As it was answered, byte for byte. */
  readonly text: string;
}

const MOST = 60;

export class States {
  readonly #path: string;
  readonly #known = new Map<number, StateAt>();

  constructor(path: string) {
    this.#path = path;
  }

  /** The state after an event; after none, of a stream that is not there yet. */
  async at(offset: number, signal: AbortSignal): Promise<StateAt> {
    const known = this.#known.get(offset);
    if (known) return known;
    const text = await (await get("state", this.#path, { at: offset }, { signal })).text();
    const state = { fields: JSON.parse(text) as Fields, text };
    // The past does not change. The present does, when it is asked for too early.
    if (state.fields["head"] === offset) this.#known.set(offset, state);
    const oldest = this.#known.keys().next();
    if (this.#known.size > MOST && !oldest.done) this.#known.delete(oldest.value);
    return state;
  }
}
