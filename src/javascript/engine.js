// One QuickJS in its own memory, with as much work and memory as it is given. What crosses the border is text and numbers.
//
// The wasm is that of quickjs-wasi with fuel; see scripts/fuel.mjs. Its exports are called as they are: a value is a
// pointer to one, which whoever got it frees.

const PAGE_BYTES = 65_536;

/** Of the engine's own stack, which is in its memory. The Worker's ends later, except for the most nested programs. */
const STACK_BYTES = 256 << 10;

/** No text that leaves is longer, so that the Worker's memory is safe as well. */
const TEXT_BYTES = 4 << 20;

/** What is left when the engine is asked to stop politely, which says in which line it was; then it stops anyhow. */
const RESERVE = 20_000_000n;

/** So much memory there is then in addition. */
const SPARE_PAGES = 16;

/** What a call out costs, and each character that is passed. The work is ours then, not the engine's. */
const CALL_FUEL = 500;
const CHARACTER_FUEL = 4;

const MODULE = 1;

/** So many rejected promises are remembered; one is enough to tell of. */
const UNHANDLED = 100;

/**
 * Why an engine does not go on: its program threw; it has no fuel left; no memory; the stack is used up; or something is
 * wrong here. `value` is what was thrown, if the engine can still be asked about it.
 */
export class Stopped extends Error {
  /** @param {"threw" | "work" | "memory" | "depth" | "broken"} kind */
  constructor(kind, { message = kind, value } = {}) {
    super(message);
    this.kind = kind;
    this.value = value;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export class Engine {
  #wasm;
  #functions = new Map();
  #isStarting = true;
  #stopped;
  #mostPages;
  /** Promises that nobody waits for and that were rejected, by identity. */
  #unhandled = new Map();

  /**
   * @param {WebAssembly.Module} module
   * @param {{fuel: number, bytes: number}} limits of all its life
   */
  constructor(module, { fuel, bytes }) {
    this.#wasm = new WebAssembly.Instance(module, { env: this.#env(), wasi_snapshot_preview1: this.#wasi() }).exports;
    const wasm = this.#wasm;
    wasm._initialize();
    if (wasm.qjs_init() !== 0) throw new Stopped("broken", { message: "QuickJS does not start" });
    wasm.qjs_set_max_stack_size(STACK_BYTES);
    wasm.qjs_set_memory_limit(bytes);
    wasm.qjs_set_interrupt_handler(1);
    wasm.qjs_set_promise_rejection_handler(1);
    wasm.qjs_set_module_loader(1);
    this.#mostPages = wasm.memory.buffer.byteLength / PAGE_BYTES + Math.ceil(bytes / PAGE_BYTES);
    this.#isStarting = false;
    wasm.fuel.value = BigInt(fuel) + RESERVE;
  }

  /** What it has taken of the Worker's memory. It never gives any back. */
  get bytes() {
    return this.#wasm.memory.buffer.byteLength;
  }

  /** From now on it has at most so many bytes. Whether that is all that it could ever have. */
  allow(bytes) {
    const pages = Math.max(0, Math.floor(bytes / PAGE_BYTES));
    this.#wasm.pages.value = Math.min(this.#mostPages, pages);
    return this.#mostPages <= pages;
  }

  /** An object whose functions are ours. They are handed texts and numbers, and answer with a text or nothing. */
  object(functions) {
    const object = this.#wasm.qjs_new_object();
    for (const [name, does] of Object.entries(functions)) {
      this.#functions.set(name, does);
      const text = this.#write(name);
      const value = this.#wasm.qjs_new_host_function(text.at, text.length, 0);
      this.#wasm.qjs_set_prop_string(object, text.at, value);
      this.#wasm.qjs_free_value(value);
      this.#wasm.wasm_free(text.at);
    }
    return object;
  }

  /** Evaluates a script, or a module: then its value is a promise. */
  evaluate(source, file, isModule = false) {
    const [code, name] = [this.#write(source), this.#write(file)];
    const value = this.#wasm.qjs_eval(code.at, code.length, name.at, isModule ? MODULE : 0);
    this.#wasm.wasm_free(code.at);
    this.#wasm.wasm_free(name.at);
    return this.#checked(value);
  }

  /** Evaluates what the same engine compiled. */
  load(bytecode) {
    const at = this.#allocate(bytecode.byteLength);
    new Uint8Array(this.#wasm.memory.buffer).set(bytecode, at);
    const value = this.#wasm.qjs_eval_bytecode(at, bytecode.byteLength);
    this.#wasm.wasm_free(at);
    return this.#checked(value);
  }

  property(object, name) {
    const text = this.#write(name);
    const value = this.#wasm.qjs_get_prop_string(object, text.at);
    this.#wasm.wasm_free(text.at);
    return this.#checked(value);
  }

  /** Calls a function with values, which are freed, or texts. */
  call(callee, ...given) {
    const wasm = this.#wasm;
    const args = given.map((one) => (typeof one === "number" ? one : this.#text(one)));
    const list = this.#allocate(4 * Math.max(1, args.length));
    new Uint32Array(wasm.memory.buffer, list, args.length).set(args);
    const nothing = wasm.qjs_get_undefined();
    const value = wasm.qjs_call(callee, nothing, args.length, list);
    for (const one of [nothing, ...args]) wasm.qjs_free_value(one);
    wasm.wasm_free(list);
    return this.#checked(value);
  }

  /** A value as text, if it is one. */
  textOf(value) {
    const wasm = this.#wasm;
    if (wasm.qjs_is_string(value) === 0) return undefined;
    const size = this.#allocate(4);
    const at = wasm.qjs_get_string_len(value, size);
    const length = new DataView(wasm.memory.buffer).getUint32(size, true);
    wasm.wasm_free(size);
    if (at === 0) throw new Stopped("memory");
    const text = length > TEXT_BYTES ? undefined : decoder.decode(new Uint8Array(wasm.memory.buffer, at, length));
    wasm.qjs_free_cstring(at);
    return text;
  }

  /** Runs `work`, and then all that became due by it. If it throws, the engine does not go on any more. */
  enter(work) {
    if (this.#stopped !== undefined) throw this.#stopped;
    try {
      work(this);
      while (this.#wasm.qjs_is_job_pending()) {
        if (this.#wasm.qjs_execute_pending_job() < 0) throw this.#thrown();
      }
      if (this.#isOutOfFuel()) throw new Stopped("work");
    } catch (error) {
      this.#stopped = this.#reason(error);
      throw this.#stopped;
    }
  }

  /** Throws what was rejected and never waited for. */
  throwUnhandled() {
    for (const { reason } of this.#unhandled.values()) throw new Stopped("threw", { value: reason });
  }

  /** Asks the engine about what it threw, in what was kept back for that. Nothing if it does not say. */
  lastWords(ask) {
    const wasm = this.#wasm;
    if (wasm.fuel.value > RESERVE) wasm.fuel.value = RESERVE;
    wasm.qjs_set_interrupt_handler(0);
    wasm.qjs_set_memory_limit(0);
    wasm.pages.value += SPARE_PAGES;
    try {
      return ask(this);
    } catch {
      return undefined;
    }
  }

  #isOutOfFuel() {
    return this.#wasm.fuel.value < RESERVE;
  }

  #checked(value) {
    if (this.#wasm.qjs_is_exception(value)) throw this.#thrown();
    return value;
  }

  #thrown() {
    return new Stopped(this.#isOutOfFuel() ? "work" : "threw", { value: this.#wasm.qjs_get_exception() });
  }

  #reason(error) {
    if (error instanceof Stopped) return error;
    if (this.#wasm.fuel.value < 0n) return new Stopped("work");
    // The Worker's own stack ended within the engine, before the engine's.
    if (error instanceof RangeError) return new Stopped("depth");
    return new Stopped("broken", { message: String(error?.message) });
  }

  #allocate(length) {
    const at = this.#wasm.wasm_malloc(length);
    if (at === 0) throw new Stopped("memory");
    return at;
  }

  /** A text in the engine's memory, with a zero after it. */
  #write(text) {
    const bytes = encoder.encode(text);
    const at = this.#allocate(bytes.length + 1);
    const memory = new Uint8Array(this.#wasm.memory.buffer);
    memory.set(bytes, at);
    memory[at + bytes.length] = 0;
    return { at, length: bytes.length };
  }

  #text(text) {
    const { at, length } = this.#write(text);
    const value = this.#wasm.qjs_new_string(at, length);
    this.#wasm.wasm_free(at);
    return value;
  }

  #readName(at) {
    const bytes = new Uint8Array(this.#wasm.memory.buffer, at);
    const end = bytes.subarray(0, 200).indexOf(0);
    return decoder.decode(bytes.subarray(0, end < 0 ? 200 : end));
  }

  /** A call out of it. */
  #called(name, length, count, list) {
    const wasm = this.#wasm;
    const does = this.#functions.get(decoder.decode(new Uint8Array(wasm.memory.buffer, name, length)));
    if (!does) return wasm.qjs_get_undefined();
    const pointers = [...new Uint32Array(wasm.memory.buffer, list, Math.min(count, 8))];
    const args = pointers.map((value) =>
      wasm.qjs_is_number(value) ? wasm.qjs_get_float64(value) : this.textOf(value),
    );
    const answer = does(...args);
    const passed = [...args, answer].reduce((sum, one) => sum + (typeof one === "string" ? one.length : 0), 0);
    wasm.fuel.value -= BigInt(CALL_FUEL + passed * CHARACTER_FUEL);
    return typeof answer === "string" ? this.#text(answer) : wasm.qjs_get_undefined();
  }

  #env() {
    return {
      host_call: (name, length, _this, count, list) => this.#called(name, length, count, list),
      host_interrupt: () => (this.#isOutOfFuel() ? 1 : 0),
      host_promise_rejection: (promise, reason, isHandled) => {
        const which = this.#wasm.qjs_get_value_ptr(promise);
        if (isHandled) this.#unhandled.delete(which);
        else if (this.#unhandled.size < UNHANDLED) return void this.#unhandled.set(which, { promise, reason });
        for (const value of [promise, reason]) this.#wasm.qjs_free_value(value);
      },
      host_module_normalize: (_base, name) => this.#write(this.#readName(name)).at,
      host_module_load: (name) => {
        const error = this.#wasm.qjs_new_error();
        const [key, value] = [
          this.#write("message"),
          this.#text(`a processor is one file: it cannot import ${this.#readName(name)}`),
        ];
        this.#wasm.qjs_set_prop_string(error, key.at, value);
        this.#wasm.wasm_free(key.at);
        this.#wasm.qjs_free_value(value);
        this.#wasm.qjs_throw(error);
        this.#wasm.qjs_free_value(error);
        return 0;
      },
      host_get_timezone_offset: () => 0,
    };
  }

  #wasi() {
    const bytes = () => this.#wasm.memory.buffer;
    const BAD_FILE = 8;
    return {
      clock_time_get: (_clock, _precision, at) => {
        // The engine takes the time at its start as the seed of Math.random; clocks of the network stand still.
        const now = this.#isStarting ? crypto.getRandomValues(new Uint32Array(1))[0] : Date.now();
        if (!this.#isStarting) this.#wasm.fuel.value -= BigInt(CALL_FUEL);
        new DataView(bytes()).setBigUint64(at, BigInt(now) * 1_000_000n, true);
        return 0;
      },
      random_get: (at, length) => {
        crypto.getRandomValues(new Uint8Array(bytes(), at, length));
        return 0;
      },
      fd_write: () => BAD_FILE,
      fd_close: () => BAD_FILE,
      fd_fdstat_get: () => BAD_FILE,
      fd_seek: () => BAD_FILE,
    };
  }
}
