// Lets the cases of sdk/behaviour ask this SDK. See the README there.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Tailrace, TailraceError, handler, run } from "../dist/index.js";

const fast = process.env.TAILRACE_SDK_FAST ? { firstMs: 1, mostMs: 50 } : {};

const client = (url, { retryForMs = 20_000 }) => new Tailrace(url, { retry: { ...fast, forMs: retryForMs } });

const does = {
  async append(url, { path, event, events, ...more }) {
    const stored = await client(url, more)
      .stream(path)
      .append(events ?? event);
    return [stored].flat();
  },

  async read(url, { path, options, payloads, ...more }) {
    const saw = [];
    for await (const { offset, type, payload } of client(url, more).stream(path).read(options)) {
      saw.push(payloads ? [offset, type, payload] : [offset, type]);
    }
    return saw;
  },

  async tail(url, { path, options, until, watch, ...more }) {
    const saw = [];
    const stop = new AbortController();
    const see = (...item) => {
      if (watch && !watch.includes(item[0])) return;
      if (until === 0 || saw.length < until) saw.push(item);
      if (saw.length === until) stop.abort();
    };
    const tail = client(url, more)
      .stream(path)
      .tail({
        ...options,
        signal: stop.signal,
        onCaughtUp: (offset) => see("caught-up", offset),
        onEphemeral: ({ type }) => see("ephemeral", type),
        onReset: () => see("reset"),
      });
    for await (const { offset, type, payload } of tail) see("event", offset, type, payload);
    return saw;
  },

  async run(url, { path, options, until, ...what }) {
    const saw = [];
    const stop = new AbortController();
    let handled = 0;
    const see = (...item) => {
      saw.push(item);
      if (item[0] === "handled" && (handled += 1) === until) stop.abort();
    };
    const stream = client(url, what).stream(path);
    await run(processor(what, see), { ...options, stream, slug: what.slug, signal: stop.signal });
    return saw;
  },

  async handle(url, { headers, body, secrets, now, ...what }) {
    const options = { secret: secrets, ...(now === undefined ? {} : { now: () => now * 1_000 }) };
    const handle = handler(processor(what), options);
    const answer = await handle(new Request("http://localhost/push", { method: "POST", headers, body }));
    const text = await answer.text();
    return [{ status: answer.status, body: text === "" ? null : JSON.parse(text) }];
  },

  async state(url, { path, ...options }) {
    return [await client(url, {}).stream(path).state(options)];
  },

  async children(url, { path, options }) {
    const saw = [];
    for await (const child of client(url, {}).stream(path).children(options)) saw.push(child);
    return saw;
  },
};

/** A processor of the cases. */
function processor({ slug = "case", processor: name = "counter", ms = 0 }, see = () => {}) {
  const thrown = new Set();
  const echo = ({ event, append }) => append({ type: "echo", payload: { of: event.offset } });
  const acts = {
    counter() {},
    echo,
    "throws-once"() {},
    async slow({ event, append, signal }) {
      await sleep(ms, undefined, { signal }).catch(() => see("aborted", event.offset));
      if (!signal.aborted) echo({ event, append });
    },
  };
  return {
    slug,
    initialState: { n: 0 },
    reduce(state, event) {
      see("reduced", event.offset);
      return { n: state.n + 1 };
    },
    afterAppend(context) {
      const { event, state } = context;
      if (name === "throws-once" && event.type === "bad" && !thrown.has(event.offset)) {
        thrown.add(event.offset);
        see("threw", event.offset);
        throw new Error("bad event");
      }
      see("handled", event.offset, state);
      return acts[name](context);
    },
  };
}

for await (const line of createInterface(process.stdin)) {
  const { id, url, do: what, with: given } = JSON.parse(line);
  let answer;
  try {
    answer = { id, saw: await does[what](url, given) };
  } catch (error) {
    if (!(error instanceof TailraceError)) console.error(error);
    answer = { id, error: { code: error.code ?? null, status: error.status ?? null, field: error.field } };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
