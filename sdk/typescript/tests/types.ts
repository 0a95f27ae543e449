// What the types allow and what they do not: this file compiles, and each line that must not is marked.
import { Tailrace, handler, run, type EventOf, type Processor } from "tailrace";

type Chat = { type: "message"; payload: { text: string } } | { type: "typing" };
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(): T => true as T;

const tailrace = new Tailrace("http://localhost:8787");
const chat = tailrace.stream<Chat>("/chat");

export async function typed(): Promise<void> {
  const event = await chat.append({ type: "message", payload: { text: "hello" } });
  if (event.type === "message") {
    is<Equal<typeof event.payload, { text: string }>>();
  } else if (event.type === "typing") {
    is<Equal<typeof event.payload, unknown>>();
  } else {
    // Of a type that was not named.
    is<Equal<typeof event.payload, unknown>>();
    is<typeof event.type extends string ? true : false>();
  }
  // @ts-expect-error -- the payload of a message has a text
  await chat.append({ type: "message", payload: { test: "hello" } });
  // @ts-expect-error -- and there must be one
  await chat.append({ type: "message" });
  // @ts-expect-error -- this was not named
  await chat.append({ type: "massage", payload: { text: "hello" } });
  await chat.append({ type: "typing" });
  // What the system knows may be appended to any stream.
  await chat.append({ type: "stream.paused", payload: { reason: "lunch" } });
  for await (const one of chat.tail()) if (one.type === "message") is<Equal<typeof one.payload.text, string>>();
}

export async function untyped(): Promise<void> {
  const stream = tailrace.stream("/any");
  const event = await stream.append({ type: "anything", payload: 1, metadata: { from: "me" } });
  is<Equal<typeof event, EventOf>>();
  is<Equal<typeof event.payload, unknown>>();
  const events = await stream.append([{ type: "one" }, { type: "two" }]);
  is<Equal<typeof events, EventOf[]>>();
  // @ts-expect-error -- an event has a type
  await stream.append({ payload: 1 });
}

export const processor: Processor<{ texts: string[] }, Chat> = {
  initialState: () => ({ texts: [] }),
  reduce: (state, event) => (event.type === "message" ? { texts: [...state.texts, event.payload.text] } : state),
  async afterAppend({ event, state, append, signal }) {
    is<Equal<typeof state, { texts: string[] }>>();
    if (event.type === "message" && !signal.aborted) append({ type: "heard", streamPath: "/log", payload: state });
  },
};

export const ran = run(processor, { stream: chat, slug: "listener", children: true, signal: AbortSignal.timeout(1) });
export const inferred = run(
  { slug: "count", initialState: { n: 0 }, reduce: ({ n }) => ({ n: n + 1 }) },
  { stream: tailrace.stream("/any") },
);
export const endpoint: (request: Request) => Promise<Response> = handler(processor, { secret: ["whsec_a", "whsec_b"] });
