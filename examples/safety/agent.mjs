// An agent whose turns wait until the safety processor has seen what was said: node agent.mjs
import { Tailrace } from "tailrace";
import { model } from "../model.mjs";

const tailrace = new Tailrace(process.env.TAILRACE_URL ?? "http://localhost:8787");
const agent = { ...model, system: "You work for a bank. Be brief.", debounceMs: 500, waitFor: ["safety"] };

await tailrace.stream("/safety").append({
  type: "subscription.configured",
  payload: { slug: "teller", target: { agent } },
});
