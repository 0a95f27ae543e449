// Says hello, and reads what everybody said: node hello.mjs
import { Tailrace } from "tailrace";

const tailrace = new Tailrace(process.env.TAILRACE_URL ?? "http://localhost:8787");
const stream = tailrace.stream("/hello-world");

await stream.append({ type: "message", payload: { text: "Hello from JavaScript!" } });
for await (const { offset, payload } of stream.read({ types: ["message"] })) console.log(offset, payload.text);
