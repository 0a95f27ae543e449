// The project's Worker, with every call between Worker and objects written down: who makes it, and while handling what.
// A call carries its chain with it as a last argument, or as a header; the callee takes it off again.
import { AsyncLocalStorage } from "node:async_hooks";
import { WorkerEntrypoint } from "cloudflare:workers";
import worker, { Courier as RealCourier, Runner as RealRunner, Stream as RealStream } from "../../../src/entry.js";

/** The chain that is being handled: `["Front.fetch", "Stream.append", …]`. */
const handling = new AsyncLocalStorage();

/** Every chain of calls that was seen, by its text. */
const chains = new Set();

const HEADER = "x-test-chain";
const isChain = (value) => Array.isArray(value?.chain);

/** The chain as it is for the callee. A call out of nowhere, say from a socket's handler, has an unknown beginning. */
function call(kind, method) {
  const chain = [...(handling.getStore() ?? ["unknown"]), `${kind}.${method}`];
  chains.add(chain.join(" > "));
  return chain;
}

/** A stub whose calls are written down. */
function traced(stub, kind) {
  return new Proxy(stub, {
    get(_, method) {
      if (typeof method !== "string" || method === "then") return stub[method];
      if (method !== "fetch") return (...args) => stub[method](...args, { chain: call(kind, method) });
      return (input, init) => {
        const request = new Request(input, init);
        request.headers.set(HEADER, JSON.stringify(call(kind, method)));
        return stub.fetch(request);
      };
    },
  });
}

const face = (real, own) =>
  new Proxy(real, {
    get(_, name) {
      if (Object.hasOwn(own, name)) return own[name];
      const value = real[name];
      return typeof value === "function" ? value.bind(real) : value;
    },
  });

const namespace = (real, kind) =>
  face(real, {
    getByName: (...args) => traced(real.getByName(...args), kind),
    get: (...args) => traced(real.get(...args), kind),
  });

const environment = (env) =>
  face(env, { STREAM: namespace(env.STREAM, "Stream"), RUNNER: namespace(env.RUNNER, "Runner") });

/** The other entrypoints of the Worker, and its objects, as `ctx.exports` gives them. */
const exportsOf = (real) =>
  new Proxy(real, {
    get(_, name) {
      const isObject = name === "Stream" || name === "Runner";
      return isObject ? namespace(real[name], name) : traced(real[name], String(name));
    },
  });

/** A class whose methods run in the chain that they were called with. */
function handled(Real, kind) {
  class Handled extends Real {
    constructor(ctx, env) {
      super(ctx, env);
      this.env = environment(env);
      this.ctx = face(ctx, { exports: exportsOf(ctx.exports) });
    }
  }
  for (const name of Object.getOwnPropertyNames(Real.prototype)) {
    if (name === "constructor") continue;
    Handled.prototype[name] = function (...args) {
      const run = () => Real.prototype[name].apply(this, args);
      if (isChain(args.at(-1))) return handling.run(args.pop().chain, run);
      const chain = name === "fetch" && args[0].headers.get(HEADER);
      if (chain) return handling.run(JSON.parse(chain), run);
      // Called by itself, or by the platform.
      return handling.getStore() ? run() : handling.run([`${kind}.${name}`], run);
    };
  }
  return Handled;
}

export const Stream = handled(RealStream, "Stream");
export const Runner = handled(RealRunner, "Runner");
export const Courier = handled(RealCourier, "Courier");

export default class extends WorkerEntrypoint {
  fetch(request) {
    if (new URL(request.url).pathname === "/chains") return Response.json([...chains].sort());
    const ctx = face(this.ctx, { exports: exportsOf(this.ctx.exports) });
    return handling.run(["Front.fetch"], () => worker.fetch(request, environment(this.env), ctx));
  }
}
