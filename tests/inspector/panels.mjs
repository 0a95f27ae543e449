// What the tests of causes, of time travel and of turns share.
/* global document -- in what runs in the page */
import { after } from "node:test";
import { aProvider, wants } from "../agents/support.mjs";
import { aRuntime } from "./support.mjs";

export const [runtime, provider] = await Promise.all([aRuntime({ after }), aProvider()]);

const textOf = ({ content }) =>
  typeof content === "string" ? content : (content ?? []).map(({ text }) => text).join("");

/** An agent that gives the task "write" to a sub-agent, and tells what came back. */
export async function aConversation() {
  const model = provider.model(({ messages }) => {
    const last = messages.at(-1);
    if (last.role === "tool") return { content: `Here: ${textOf(last)}` };
    if (textOf(last) !== "Have a poem written.") return { content: "Roses are red." };
    return { content: "I ask a poet.", toolCalls: [wants("spawn", { input: "write", path: "poet" })] };
  });
  const stream = runtime.stream();
  await stream.agent("guide", model.of("chat", { system: "Be <b>brief</b>." }));
  const input = await stream.input("Have a poem written.");
  const [, answer] = await stream.outputs(2);
  return { stream, model, input, answer, poet: stream.below("poet") };
}

/** Whether nothing of the panel lies beyond its edge, and nothing of the page. */
export const fits = (page) =>
  page.evaluate(() => {
    const isWhole = ({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth;
    return isWhole(document.getElementById("panel-body")) && isWhole(document.documentElement);
  });
