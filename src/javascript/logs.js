// What a processor says on its console in one batch, as much as anybody wants to read.

const MOST = 100;
const BYTES = 8_192;
const LEVELS = new Set(["log", "info", "warn", "error", "debug"]);

export class Logs {
  #kept = [];
  #more = 0;

  add(level, message, offset) {
    if (this.#kept.length === MOST) this.#more++;
    else this.#kept.push({ offset, level: LEVELS.has(level) ? level : "log", message: shortened(message) });
  }

  /** In order; in place of those after the hundredth, how many there were. */
  get lines() {
    if (this.#more === 0) return this.#kept;
    return [...this.#kept, { offset: this.#kept.at(-1).offset, level: "warn", message: `… ${this.#more} more` }];
  }
}

function shortened(message) {
  const bytes = new TextEncoder().encode(message);
  if (bytes.length <= BYTES) return message;
  // A character that was cut in two is left out.
  return `${new TextDecoder().decode(bytes.subarray(0, BYTES - 3), { stream: true })}…`;
}
