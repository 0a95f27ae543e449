/**
 * An answer while it is being said, joined from its deltas: each says at which character of which attempt its text begins.
 */
export class Speech {
  /** All of it that is known. */
  text = "";
  #attempt = 0;

  constructor(requestId) {
    this.requestId = requestId;
  }

  /** Takes in a delta. True when there is more now, or when it was begun anew. */
  take({ attempt, at, text }) {
    // An earlier attempt came to nothing.
    if (attempt < this.#attempt) return false;
    const known = attempt > this.#attempt ? [] : [...this.text];
    // What is in between was missed: the whole answer is an event, and comes at the end.
    if (at > known.length) return false;
    const joined = known.slice(0, at).join("") + text;
    const isMore = attempt > this.#attempt || joined.length > this.text.length;
    this.#attempt = attempt;
    if (isMore) this.text = joined;
    return isMore;
  }
}
