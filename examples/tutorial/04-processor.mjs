import { Tailrace, run } from "tailrace";

const stream = new Tailrace(process.env.TAILRACE_URL ?? "http://localhost:8787").stream("/tutorial");

const counter = {
  initialState: { count: 0 },
  reduce: ({ count }) => ({ count: count + 1 }),
  afterAppend({ state, append }) {
    append({ type: "counted", payload: state });
  },
};
await run(counter, { stream, slug: "counter", types: ["message"], from: "start", leaseSeconds: 5 });
