// Makes the stream /slack an agent that lives in Slack: node setup.mjs. Nothing else has to run.
import { readFile } from "node:fs/promises";
import { Tailrace } from "tailrace";
import { model } from "../model.mjs";

const tailrace = new Tailrace(process.env.TAILRACE_URL ?? "http://localhost:8787", {
  token: process.env.TAILRACE_TOKEN,
});
const slack = new URL(process.env.SLACK_URL ?? "https://slack.com");

const code = async (name) => {
  const source = await readFile(new URL(name, import.meta.url), "utf8");
  return source.replaceAll("https://slack.com", slack.origin);
};
const subscription = (payload) => ({ type: "subscription.configured", payload });

await tailrace.stream("/slack").append([
  // Slack's requests are verified; what is not Slack's is refused.
  { type: "webhook.configured", payload: { slug: "slack", preset: "slack", reject: true } },
  subscription({
    slug: "hear",
    types: ["webhook.received"],
    target: { javascript: { source: await code("hear.js") } },
  }),
  // These two are for all streams below: one for each thread.
  subscription({
    slug: "colleague",
    children: true,
    target: { agent: { ...model, system: "You are a colleague in a Slack thread. Be brief and kind." } },
  }),
  subscription({
    slug: "say",
    children: true,
    types: ["agent.output-added"],
    where: "!has(event.payload.toolCalls)",
    batch: 1,
    target: { javascript: { source: await code("say.js"), allowHosts: [slack.host] } },
  }),
]);
