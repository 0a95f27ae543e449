// Runs in QuickJS before a processor does: what a processor finds there, and the order in which it is called.
//
// What is taken here from the globals a processor cannot replace any more. Still nobody outside trusts this program: whoever
// gets at `host` could say no more than a processor may say anyway.
(host) => {
  const { parse, stringify } = JSON;
  const { isArray } = Array;
  const text = String;

  const toJson = (value, what) => {
    const json = stringify(value);
    if (json === undefined) throw new TypeError(`${what} must be JSON, and this is ${kind(value)}`);
    return json;
  };
  const kind = (value) => (value === null ? "null" : isArray(value) ? "an array" : `of type ${typeof value}`);
  const isError = (value) => typeof value === "object" && value instanceof Error;

  /** What the host refuses it says; the error is made here, so that it knows the processor's line. */
  const allowed = (refusal, Kind = RangeError) => {
    if (refusal !== undefined) throw new Kind(refusal);
  };

  // Console.

  const ownLines = (stack) =>
    text(stack)
      .split("\n")
      .filter((line) => line.includes("processor.js:"));
  const shown = (value) => {
    if (typeof value === "string") return value;
    if (isError(value)) return [`${value.name}: ${value.message}`, ...ownLines(value.stack)].join("\n");
    if (typeof value === "function") return `[function ${value.name}]`;
    if (value instanceof Map || value instanceof Set) return stringify([...value]);
    try {
      return stringify(value) ?? text(value);
    } catch {
      return text(value);
    }
  };
  const says =
    (level) =>
    (...values) => {
      const line = values.map((value) => shown(value)).join(" ");
      host.log(level, line.slice(0, 10_000));
    };
  globalThis.console = {
    ...{ log: says("log"), info: says("info"), warn: says("warn"), error: says("error"), debug: says("debug") },
  };

  // Texts, chance, copies.

  globalThis.TextEncoder = class TextEncoder {
    get encoding() {
      return "utf-8";
    }
    encode(value = "") {
      return Uint8Array.fromBase64(host.encode(text(value)));
    }
  };
  globalThis.TextDecoder = class TextDecoder {
    #options;
    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      if (!/^utf-?8$/i.test(label)) throw new RangeError(`TextDecoder knows utf-8, not ${label}`);
      this.#options = `${fatal ? "fatal" : ""} ${ignoreBOM ? "ignoreBOM" : ""}`;
    }
    get encoding() {
      return "utf-8";
    }
    decode(bytes = new Uint8Array()) {
      const view = ArrayBuffer.isView(bytes)
        ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        : new Uint8Array(bytes);
      const decoded = host.decode(view.toBase64(), this.#options);
      if (decoded === undefined) throw new TypeError("these bytes are no utf-8");
      return decoded;
    }
  };
  globalThis.crypto = {
    randomUUID: () => host.uuid(),
    getRandomValues(array) {
      if (!ArrayBuffer.isView(array) || array.byteLength > 65_536) {
        throw new TypeError("getRandomValues takes a typed array of at most 65,536 bytes");
      }
      const bytes = Uint8Array.fromBase64(host.random(array.byteLength));
      new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(bytes);
      return array;
    },
  };
  globalThis.structuredClone = (value) => {
    const copies = new Map();
    const copyOf = (one) => {
      if (typeof one === "function" || typeof one === "symbol") {
        throw new DOMException(`${text(one)} cannot be cloned`, "DataCloneError");
      }
      if (typeof one !== "object" || one === null) return one;
      if (copies.has(one)) return copies.get(one);
      const keep = (copy) => (copies.set(one, copy), copy);
      if (one instanceof Date) return keep(new Date(one));
      if (one instanceof RegExp) return keep(new RegExp(one.source, one.flags));
      if (one instanceof ArrayBuffer) return keep(one.slice());
      if (one instanceof DataView) return keep(new DataView(copyOf(one.buffer), one.byteOffset, one.byteLength));
      if (ArrayBuffer.isView(one)) return keep(new one.constructor(copyOf(one.buffer), one.byteOffset, one.length));
      if (one instanceof Map) {
        const copy = keep(new Map());
        for (const [key, held] of one) copy.set(copyOf(key), copyOf(held));
        return copy;
      }
      if (one instanceof Set) {
        const copy = keep(new Set());
        for (const held of one) copy.add(copyOf(held));
        return copy;
      }
      const copy = keep(isError(one) ? new one.constructor(one.message) : isArray(one) ? new Array(one.length) : {});
      for (const key of Object.keys(one)) copy[key] = copyOf(one[key]);
      return copy;
    };
    return copyOf(value);
  };

  // URLs: what one is, the host says; queries are read and written here.

  class URLSearchParams {
    #pairs = [];
    #changed = () => {};
    constructor(init = "", changed) {
      if (typeof init === "string") this.#pairs = pairsOfQuery(init);
      else if (typeof init[Symbol.iterator] === "function") this.#pairs = [...init].map(([k, v]) => [text(k), text(v)]);
      else this.#pairs = Object.entries(init).map(([k, v]) => [k, text(v)]);
      if (changed) this.#changed = () => changed(this.toString());
    }
    get size() {
      return this.#pairs.length;
    }
    #keep(pairs) {
      this.#pairs = pairs;
      this.#changed();
    }
    append(name, value) {
      this.#keep([...this.#pairs, [text(name), text(value)]]);
    }
    delete(name, value) {
      this.#keep(this.#pairs.filter(([k, v]) => k !== text(name) || (value !== undefined && v !== text(value))));
    }
    get(name) {
      return this.#pairs.find(([key]) => key === text(name))?.[1] ?? null;
    }
    getAll(name) {
      return this.#pairs.filter(([key]) => key === text(name)).map(([, value]) => value);
    }
    has(name, value) {
      return this.#pairs.some(([k, v]) => k === text(name) && (value === undefined || v === text(value)));
    }
    set(name, value) {
      const at = this.#pairs.findIndex(([key]) => key === text(name));
      if (at < 0) return this.append(name, value);
      const others = this.#pairs.filter(([key], index) => index <= at || key !== text(name));
      others[at] = [text(name), text(value)];
      return this.#keep(others);
    }
    sort() {
      this.#keep([...this.#pairs].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
    }
    forEach(callback, self) {
      for (const [name, value] of this.#pairs) callback.call(self, value, name, this);
    }
    entries() {
      return this.#pairs.map((pair) => [...pair]).values();
    }
    keys() {
      return this.#pairs.map(([name]) => name).values();
    }
    values() {
      return this.#pairs.map(([, value]) => value).values();
    }
    [Symbol.iterator]() {
      return this.entries();
    }
    toString() {
      return this.#pairs.map((pair) => pair.map(formEncoded).join("=")).join("&");
    }
  }
  const formEncoded = (value) =>
    encodeURIComponent(value.toWellFormed())
      .replace(/%20/g, "+")
      .replace(/[!'()~]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
  const formDecoded = (value) => {
    const spaced = value.replace(/\+/g, " ");
    try {
      return decodeURIComponent(spaced);
    } catch {
      return spaced;
    }
  };
  const pairsOfQuery = (query) =>
    query
      .replace(/^\?/, "")
      .split("&")
      .filter((part) => part !== "")
      .map((part) => {
        const at = part.indexOf("=");
        return at < 0 ? [formDecoded(part), ""] : [formDecoded(part.slice(0, at)), formDecoded(part.slice(at + 1))];
      });

  class URL {
    #parts;
    #params;
    constructor(url, base) {
      const parts = host.url(text(url), base === undefined ? undefined : text(base));
      if (parts === undefined) throw new TypeError(`Invalid URL: ${text(url).slice(0, 200)}`);
      this.#parts = parse(parts);
    }
    static canParse(url, base) {
      return host.url(text(url), base === undefined ? undefined : text(base)) !== undefined;
    }
    static parse(url, base) {
      return URL.canParse(url, base) ? new URL(url, base) : null;
    }
    static #part(name) {
      return {
        configurable: true,
        enumerable: true,
        get() {
          return this.#parts[name];
        },
        set(value) {
          const parts = host.url(this.#parts.href, undefined, name, text(value));
          if (parts === undefined) throw new TypeError(`Invalid URL: ${text(value).slice(0, 200)}`);
          this.#parts = parse(parts);
          this.#params = undefined;
        },
      };
    }
    static {
      const names = ["href", "origin", "protocol", "username", "password", "host", "hostname", "port", "pathname"];
      for (const name of [...names, "search", "hash"]) Object.defineProperty(URL.prototype, name, URL.#part(name));
    }
    get searchParams() {
      this.#params ??= new URLSearchParams(this.#parts.search, (query) => {
        this.#parts = parse(host.url(this.#parts.href, undefined, "search", query));
      });
      return this.#params;
    }
    toString() {
      return this.#parts.href;
    }
    toJSON() {
      return this.#parts.href;
    }
  }
  Object.assign(globalThis, { URL, URLSearchParams });

  // Fetch.

  const waiting = new Map();
  let requests = 0;

  class Headers {
    #pairs;
    constructor(pairs) {
      this.#pairs = pairs;
    }
    get(name) {
      const values = this.#pairs.filter(([key]) => key === text(name).toLowerCase());
      return values.length === 0 ? null : values.map(([, value]) => value).join(", ");
    }
    has(name) {
      return this.get(name) !== null;
    }
    forEach(callback, self) {
      for (const [name, value] of this.#pairs) callback.call(self, value, name, this);
    }
    entries() {
      return this.#pairs.map((pair) => [...pair]).values();
    }
    [Symbol.iterator]() {
      return this.entries();
    }
  }

  class Response {
    #body;
    constructor(url, { status, statusText, headers, body }) {
      Object.assign(this, { url, status, statusText, ok: status >= 200 && status < 300 });
      this.headers = new Headers(headers);
      this.#body = body;
    }
    async text() {
      return this.#body;
    }
    async json() {
      return parse(this.#body);
    }
  }

  const headersOf = (given = {}) => {
    const pairs = typeof given[Symbol.iterator] === "function" ? [...given] : Object.entries(given);
    return pairs.map(([name, value]) => [text(name), text(value)]);
  };

  const fetch = async (target, { method = "GET", headers, body } = {}) => {
    const url = text(target);
    const pairs = headersOf(headers);
    if (body instanceof URLSearchParams && !pairs.some(([name]) => name.toLowerCase() === "content-type")) {
      pairs.push(["content-type", "application/x-www-form-urlencoded;charset=UTF-8"]);
    } else if (body !== undefined && body !== null && typeof body !== "string" && !(body instanceof URLSearchParams)) {
      throw new TypeError(`a body must be a string (JSON.stringify makes one), and this is ${kind(body)}`);
    }
    const request = { url, method: text(method).toUpperCase(), headers: pairs };
    if (body !== undefined && body !== null) request.body = text(body);
    const id = ++requests;
    // Made here, where the processor's line is known.
    const failed = new TypeError();
    allowed(host.fetch(id, stringify(request)), TypeError);
    try {
      const { promise, resolve, reject } = Promise.withResolvers();
      waiting.set(id, { resolve, reject });
      return new Response(url, parse(await promise));
    } catch ({ message }) {
      throw Object.assign(failed, { message });
    }
  };

  /** Answers a fetch: with what came, as JSON, or with what went wrong. */
  const settle = (id, answer, failure) => {
    const { resolve, reject } = waiting.get(Number(id));
    waiting.delete(Number(id));
    if (failure === "") resolve(answer);
    else reject(new Error(failure));
  };

  // The batch.

  const append = (events) => {
    allowed(host.append(toJson(isArray(events) ? events : [events], "what is appended")));
    return Promise.resolve();
  };

  const processorOf = (module) => {
    const { default: processor } = module;
    const wanted = "a processor is `export default { initialState, reduce, afterAppend }`";
    if (processor === undefined) throw new TypeError(`${wanted}, and this has no default export`);
    if (processor === null || (typeof processor !== "object" && typeof processor !== "function")) {
      throw new TypeError(`${wanted}, and the default export is ${kind(processor)}`);
    }
    for (const name of ["reduce", "afterAppend"]) {
      const found = processor[name];
      if (found !== undefined && typeof found !== "function") {
        throw new TypeError(`${name} must be a function, and this is ${kind(found)}`);
      }
    }
    if (processor.reduce === undefined && processor.afterAppend === undefined) {
      throw new TypeError(`${wanted}, and this has neither reduce nor afterAppend`);
    }
    return processor;
  };

  const isThenable = (value) => typeof value === "object" && value !== null && typeof value.then === "function";

  const run = async (module, known, events, isReplay) => {
    const processor = processorOf(await module);
    let state = known;
    if (state === null) {
      const { initialState } = processor;
      state = typeof initialState === "function" ? processor.initialState() : initialState;
      if (isThenable(state)) state = await state;
    }
    for (const event of events) {
      host.at("reduce", event.offset);
      if (processor.reduce !== undefined) {
        let next = processor.reduce(state, event);
        if (isThenable(next)) next = await next;
        if (next !== undefined) state = next;
      }
      if (isReplay || processor.afterAppend === undefined) continue;
      host.at("afterAppend", event.offset);
      // A copy, made when it is asked for: what afterAppend does with it never changes what is folded.
      let copy;
      const current = state;
      await processor.afterAppend({
        event,
        get state() {
          return (copy ??= { state: parse(toJson(current ?? null, "the state")) }).state;
        },
        append,
        fetch,
      });
    }
    return toJson(state ?? null, "the state");
  };

  /** Of a thing that was thrown, as JSON: what it says, and where it was. */
  const described = (thrown) => {
    if (!isError(thrown)) {
      const value = shown(thrown) ?? "";
      return stringify({ message: `threw ${text(value).slice(0, 2_000)}, which is no Error`, stack: "" });
    }
    const [name, message, stack] = [text(thrown.name), text(thrown.message), text(thrown.stack)];
    return stringify({ message: `${name}: ${message}`.slice(0, 2_000), stack: stack.slice(0, 8_000) });
  };

  const start = (module, state, events, isReplay) => {
    run(module, parse(state), parse(events), isReplay === "true").then(
      (json) => host.done(json),
      (thrown) => host.failed(described(thrown)),
    );
  };

  return { start, settle, described };
};
