import { Tailrace, run } from "tailrace";

const stream = new Tailrace(process.env.TAILRACE_URL ?? "http://localhost:8787").stream("/tutorial");
const { OPENAI_API_KEY, MODEL = "gpt-4.1-mini", MODEL_URL = "https://api.openai.com/v1" } = process.env;

const agent = {
  initialState: { messages: [] },
  reduce({ messages }, { type, payload }) {
    const role = type === "message" ? "user" : "assistant";
    return { messages: [...messages, { role, content: payload.text }] };
  },
  async afterAppend({ event, state, append, signal }) {
    if (event.type !== "message") return;
    const response = await fetch(`${MODEL_URL}/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${OPENAI_API_KEY}`, "content-type": "application/json" },
      body: JSON.stringify({ model: MODEL, messages: state.messages }),
      signal,
    });
    if (!response.ok) throw new Error(`the model answered ${response.status}`);
    const { choices } = await response.json();
    append({ type: "answer", payload: { text: choices[0].message.content } });
  },
};
await run(agent, { stream, slug: "agent", types: ["message", "answer"], from: "start" });
