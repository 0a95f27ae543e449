// Adds what the notes say about an input before the model is called: node retrieval.mjs
import { readFile, readdir } from "node:fs/promises";
import { Tailrace, run } from "tailrace";
import { model } from "../model.mjs";

const tailrace = new Tailrace(process.env.TAILRACE_URL ?? "http://localhost:8787");
const stream = tailrace.stream("/retrieval");

const words = (text) => new Set(text.toLowerCase().match(/\p{L}{4,}/gu));
const folder = new URL("notes/", import.meta.url);
const notes = await Promise.all(
  (await readdir(folder)).map(async (name) => {
    const text = await readFile(new URL(name, folder), "utf8");
    return { name, text, words: words(text) };
  }),
);

/** The note that shares most words with a text. Put your own search here. */
function found(text) {
  const wanted = words(text);
  const [best] = notes
    .map((note) => ({ ...note, score: [...wanted].filter((word) => note.words.has(word)).length }))
    .sort((a, b) => b.score - a.score);
  return best?.score ? best : undefined;
}

const retrieval = {
  initialState: null,
  afterAppend({ event, append }) {
    const note = found(JSON.stringify(event.payload.content));
    if (note) append({ type: "agent.context-added", payload: { content: `From ${note.name}:\n${note.text}` } });
  },
};

await stream.append({
  type: "subscription.configured",
  payload: { slug: "helper", target: { agent: { ...model, debounceMs: 0, waitFor: ["retrieval"] } } },
});
await run(retrieval, { stream, slug: "retrieval", types: ["agent.input-added"] });
