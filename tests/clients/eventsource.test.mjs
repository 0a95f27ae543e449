// npm eventsource: the browser's API in Node.
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSource } from "eventsource";
import { aRuntime, aStream, followOverKills, until } from "./support.mjs";

test("eventsource resumes over kills without a gap or a double", (t) =>
  followOverKills(t, (stream, seen) => {
    const source = new EventSource(stream.url);
    source.onmessage = ({ data }) => seen(JSON.parse(data));
    return () => source.close();
  }));

test("eventsource hears named events: tail, ephemeral, reset", async (t) => {
  const runtime = await aRuntime(t);
  const stream = await aStream(runtime);
  const heard = [];
  const source = new EventSource(stream.url);
  t.after(() => source.close());
  for (const name of ["tail", "ephemeral", "reset"]) {
    source.addEventListener(name, ({ data }) => heard.push([name, JSON.parse(data)]));
  }
  await until("it is up to date", () => heard.some(([name]) => name === "tail"));

  await fetch(`${stream.url}?ephemeral=true`, { method: "POST", body: '{"type":"typing"}' });
  await until("it hears what is not kept", () => heard.some(([name]) => name === "ephemeral"));
  await fetch(stream.url, { method: "DELETE" });
  await stream.append({ type: "reborn" });
  await until("it is told of the new life", () => heard.some(([name]) => name === "reset"));

  assert.equal(heard.find(([name]) => name === "ephemeral")[1].type, "typing");
});

test("eventsource is not given up on by a server with too many readers", async (t) => {
  const runtime = await aRuntime(t);
  const stream = await aStream(runtime);
  const readers = [];
  t.after(() => readers.forEach((abort) => abort.abort()));
  for (let n = 0; n < 1000; n += 1) {
    const abort = new AbortController();
    readers.push(abort);
    const response = await fetch(`${stream.url}?live=true`, { signal: abort.signal });
    assert.equal(response.status, 200);
    response.body
      .getReader()
      .read()
      .catch(() => {});
  }
  const seen = [];
  const source = new EventSource(stream.url);
  t.after(() => source.close());
  let sentAway = 0;
  source.onerror = () => (sentAway += 1);
  source.onmessage = ({ data }) => seen.push(JSON.parse(data).offset);
  await until("it was sent away", () => sentAway > 0);
  assert.deepEqual([seen, source.readyState], [[], EventSource.CONNECTING]);

  readers.splice(0, 500).forEach((abort) => abort.abort());
  await stream.append({ type: "there-is-room" });

  await until("it comes in", () => seen.includes(3));
  assert.deepEqual(seen, [1, 2, 3]);
});
