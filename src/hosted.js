// Runs hosted code with what it leased. What it is given, and what its answer means, is decided in hosted.rs.
import { Front } from "../build/index.js";
import { run } from "./javascript/run.js";

/** Of an answer to what it fetches, so much is read. */
const FETCHED_BYTES = 1_048_576;

/** Says what is to be settled. */
export async function process(env, leased, goesOn) {
  const script = Front.readScript(leased);
  const stops = new AbortController();
  try {
    const [cpuMs, memoryMb, timeoutMs] = script.limits;
    const { source, events, state, replay } = script;
    const limits = { cpuMs, memoryMb, timeoutMs };
    const fetch = script.mayFetch ? (request) => fetchFor(env, script, request) : undefined;
    const result = await run({ source, events, state, replay, limits, fetch, signal: stops.signal });
    const { logs, error, append } = result;
    return script.said(env, result.state, append, JSON.stringify({ logs, error }), goesOn);
  } finally {
    stops.abort();
    script.free();
  }
}

/** A request of the code's, to a host that it may call. */
async function fetchFor(env, script, { url, method, headers, body, signal }) {
  const [target, filled] = script.outgoing(env, url, JSON.stringify(headers ?? []));
  const response = await fetch(target, { method, headers: filled, body, redirect: "manual", signal });
  const text = script.withoutSecrets(await readText(response));
  const received = [...response.headers].map(([name, value]) => [name, script.withoutSecrets(value)]);
  return { status: response.status, statusText: response.statusText, headers: received, body: text };
}

async function readText(response) {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const bytes of response.body ?? []) {
    size += bytes.length;
    if (size > FETCHED_BYTES) throw new Error(`fetch: the answer is longer than ${FETCHED_BYTES} bytes`);
    text += decoder.decode(bytes, { stream: true });
  }
  return text + decoder.decode();
}
