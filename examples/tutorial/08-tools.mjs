import { Tailrace, run } from "tailrace";

const stream = new Tailrace(process.env.TAILRACE_URL ?? "http://localhost:8787").stream("/tutorial/anna");

await stream.append({
  type: "tool.configured",
  payload: {
    name: "clock",
    description: "The time somewhere",
    parameters: {
      properties: { timezone: { type: "string", description: "like Asia/Tokyo" } },
      required: ["timezone"],
    },
  },
});

const clock = {
  initialState: null,
  afterAppend({ event, append }) {
    const { callId, arguments: wanted } = event.payload;
    try {
      const result = new Date().toLocaleTimeString("en-GB", { timeZone: wanted.timezone });
      append({ type: "tool.completed", payload: { callId, result } });
    } catch (error) {
      append({ type: "tool.failed", payload: { callId, error: error.message } });
    }
  },
};
await run(clock, { stream, slug: "clock", types: ["tool.requested"], where: 'event.payload.name == "clock"' });
