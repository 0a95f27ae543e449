import { Tailrace } from "tailrace";
import { model } from "../model.mjs";

const { TAILRACE_URL = "http://localhost:8787", TAILRACE_TOKEN } = process.env;
const stream = new Tailrace(TAILRACE_URL, { token: TAILRACE_TOKEN }).stream("/tutorial/anna");

const agent = { ...model, system: "You are Anna. Be brief. Use your tools for whatever they can do." };
await stream.append({ type: "subscription.configured", payload: { slug: "anna", target: { agent } } });
