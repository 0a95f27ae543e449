import { Tailrace } from "tailrace";

const stream = new Tailrace(process.env.TAILRACE_URL ?? "http://localhost:8787").stream("/tutorial");

const onCaughtUp = (offset) => console.log(`-- that is all, up to ${offset} --`);
for await (const { offset, type, payload } of stream.tail({ onCaughtUp })) {
  console.log(offset, type, JSON.stringify(payload));
}
