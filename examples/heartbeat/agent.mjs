// An agent that wakes itself: node agent.mjs
import { Tailrace } from "tailrace";
import { model } from "../model.mjs";

const tailrace = new Tailrace(process.env.TAILRACE_URL ?? "http://localhost:8787");
const system = `You look after a list of chores.
When you are first spoken to, make yourself a heartbeat: schedule {"name": "heartbeat", "every": "PT30M", "content": "heartbeat"}.
At each heartbeat look at what happened (read_stream), and say what is due. If nothing is, say only: quiet.
When you are told to rest, take the heartbeat back: schedule {"remove": "heartbeat"}.`;

await tailrace.stream("/heartbeat").append({
  type: "subscription.configured",
  payload: { slug: "keeper", target: { agent: { ...model, system } } },
});
