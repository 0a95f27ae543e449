// Answers each pong with the next ping: node ping.ts
import { Tailrace, run, type Processor } from "tailrace";

type Game = { type: "ping"; payload: { round: number } } | { type: "pong"; payload: { round: number } };

const rounds = 10;
const tailrace = new Tailrace(process.env.TAILRACE_URL ?? "http://localhost:8787");

const ping: Processor<null, Game> = {
  initialState: null,
  afterAppend({ event, append }) {
    if (event.type !== "pong" || event.payload.round === rounds) return;
    append({ type: "ping", payload: { round: event.payload.round + 1 } });
  },
};

await run(ping, { stream: tailrace.stream<Game>("/ping-pong"), slug: "ping", types: ["pong"], leaseSeconds: 5 });
