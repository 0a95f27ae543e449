// Two agents in one stream, and what passes the word between them: node conversation.mjs
import { readFile } from "node:fs/promises";
import { Tailrace } from "tailrace";
import { model } from "../model.mjs";

const tailrace = new Tailrace(process.env.TAILRACE_URL ?? "http://localhost:8787");
const agent = (slug, system) => ({
  type: "subscription.configured",
  payload: { slug, target: { agent: { ...model, system, debounceMs: 0, tools: [], maxTurns: 1_000 } } },
});

await tailrace.stream("/conversation").append([
  // Ordinary talk is far from this; two agents who find no end are not.
  { type: "breaker.configured", payload: { limit: 30, windowMs: 60_000 } },
  agent("anna", "You love the sea. Talk to Ben, in one sentence at a time, and end with a question."),
  agent("ben", "You love the mountains. Talk to Anna, in one sentence at a time, and end with a question."),
  {
    type: "subscription.configured",
    payload: {
      slug: "relay",
      types: ["agent.output-added"],
      target: { javascript: { source: await readFile(new URL("relay.js", import.meta.url), "utf8") } },
    },
  },
]);
