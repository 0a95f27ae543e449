// A worker that uses the SDK for TypeScript, in a process of its own, for tests to kill. What it does is its argument.
import { Tailrace, run } from "../../sdk/typescript/dist/index.js";

const { does, url, path, ...wish } = JSON.parse(process.argv[2]);
const stream = new Tailrace(url).stream(path);

const works = {
  /** Answers each round of another's with the next, and counts them. */
  rounds({ me, other, rounds, leaseSeconds }) {
    const player = {
      initialState: 0,
      reduce: (count) => count + 1,
      afterAppend({ event, append }) {
        const { n } = event.payload;
        if (n < rounds) append({ type: "round", payload: { n: n + 1, by: me } });
      },
    };
    const where = `event.payload.by == "${other}"`;
    return run(player, { stream, slug: me, types: ["round"], where, leaseSeconds });
  },

  /** Counts the items of each stream below, and says of each that it was handled. */
  subtree({ leaseSeconds, concurrency }) {
    const counter = {
      initialState: 0,
      reduce: (count) => count + 1,
      afterAppend({ event, state, append }) {
        append({ type: "handled", payload: { item: event.payload, count: state } });
      },
    };
    return run(counter, { stream, slug: "count", types: ["item"], children: true, leaseSeconds, concurrency });
  },

  /** Writes the offset and the payload of each event. */
  async tail() {
    for await (const { offset, payload } of stream.tail()) {
      process.stdout.write(`${JSON.stringify([offset, payload.n ?? null])}\n`);
    }
  },
};

await works[does](wish);
