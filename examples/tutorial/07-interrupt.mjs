import { Tailrace } from "tailrace";

const stream = new Tailrace(process.env.TAILRACE_URL ?? "http://localhost:8787").stream("/tutorial/anna");

const asked = await stream.append({ type: "agent.input-added", payload: { content: "Tell me a very long story." } });

let heard = 0;
async function onEphemeral({ payload }) {
  process.stdout.write(payload.text);
  const before = heard;
  heard += payload.text.length;
  if (before < 100 && heard >= 100) await stream.append({ type: "agent.interrupt-requested" });
}
for await (const { type, payload } of stream.tail({ afterOffset: asked.offset, onEphemeral })) {
  if (type === "agent.turn-interrupted") console.log(`\n-- it had said ${payload.partial.length} characters --`);
  if (type === "agent.stopped" || type === "agent.output-added") break;
}
