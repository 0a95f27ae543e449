// The requests of one batch: so many, so many at once, and none of them outlives it.

const MOST = 50;
const AT_ONCE = 6;

/** Of a request all together: its URL, its headers and its body. */
const REQUEST_BYTES = 1 << 20;

export class Fetches {
  #does;
  #ended = new AbortController();
  #count = 0;
  #going = 0;
  #queue = [];
  #answers = [];
  #wake = () => {};

  /** @param {((request: object) => Promise<object>) | undefined} does one request; without it all are refused */
  constructor(does) {
    this.#does = does;
  }

  /** Whether an answer is there, or will be. */
  get isWaiting() {
    return this.#going + this.#queue.length + this.#answers.length > 0;
  }

  /** Begins a request, as JSON, whose answer will name `id`; or says why not. */
  begin(id, json) {
    if (this.#does === undefined) return "this processor may not fetch: its target has no allowHosts";
    if (++this.#count > MOST) return `at most ${MOST} fetches a batch`;
    if (json === undefined || json.length > REQUEST_BYTES) return `a request has at most ${REQUEST_BYTES} bytes`;
    this.#queue.push([id, requestOf(JSON.parse(json))]);
    this.#goOn();
    return undefined;
  }

  /** The next answer: `[id, json, failure]`, one of the two is empty. Nothing when it was woken. */
  async next() {
    if (this.#answers.length === 0) await new Promise((resolve) => (this.#wake = resolve));
    return this.#answers.shift();
  }

  /** Whoever waits for an answer looks up. */
  wake() {
    this.#wake();
  }

  /** Aborts what is going on. */
  end() {
    this.#queue = [];
    this.#ended.abort();
  }

  #goOn() {
    while (this.#going < AT_ONCE && this.#queue.length > 0) {
      const [id, request] = this.#queue.shift();
      this.#going++;
      this.#one(request).then((answer) => {
        this.#going--;
        this.#answers.push([id, ...answer]);
        this.#wake();
        this.#goOn();
      });
    }
  }

  async #one(request) {
    try {
      const { status, statusText = "", headers, body } = await this.#does({ ...request, signal: this.#ended.signal });
      return [JSON.stringify({ status, statusText, headers, body }), ""];
    } catch (error) {
      return ["", String(error?.message || error || "the request failed")];
    }
  }
}

/** Whatever it was that came as JSON: these are texts. */
function requestOf({ url, method, headers, body }) {
  const pairs = headers.map(([name, value]) => [String(name), String(value)]);
  return {
    url: String(url),
    method: String(method),
    headers: pairs,
    ...(body === undefined ? {} : { body: String(body) }),
  };
}
