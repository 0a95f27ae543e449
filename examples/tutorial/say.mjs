import { Tailrace } from "tailrace";

const { TAILRACE_URL = "http://localhost:8787", TAILRACE_TOKEN } = process.env;
const stream = new Tailrace(TAILRACE_URL, { token: TAILRACE_TOKEN }).stream("/tutorial/anna");

const said = await stream.append({ type: "agent.input-added", payload: { content: process.argv[2] } });
for await (const { type, payload } of stream.tail({ afterOffset: said.offset })) {
  if (type === "tool.requested") console.log(`  (${payload.name} ${JSON.stringify(payload.arguments)})`);
  if (type === "agent.output-added") console.log(payload.content);
  if (type === "agent.stopped") console.log(`(stopped: ${payload.reason})`);
  if (type === "agent.stopped" || (type === "agent.output-added" && !payload.toolCalls)) break;
}
