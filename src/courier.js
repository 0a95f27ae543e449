// The courier: takes leases to the URLs of subscribers, to agents and to hosted code, and settles them with what these answer. What is sent, and what an
// answer means, is decided in push.rs.
import { Front } from "../build/index.js";
import { decide } from "./agents/decide.js";
import { process } from "./hosted.js";

/** So long it goes on with what is due next, and so often; then the stream's alarm hands over anew. */
const GOES_ON_MS = 4_000;
const GOES_ON = 20;

/** So long the platform lets anyone work after the answer; what is begun must end within that. */
const WORK_MS = 27_000;

/** Of an answer so much is read. */
const ANSWER_BYTES = Front.answerBytes();

/** Of one that says that something went wrong, so much. */
const ERROR_BYTES = 8_192;

/** A settle that does not arrive is tried again: else the subscriber would get the same events once more. */
const SETTLE_AGAIN_MS = [100, 500, 2_000];

export async function deliver(env, path, lease) {
  const begun = Date.now();
  let count = 0;
  const stream = () => env.STREAM.getByName(path);
  const requests = new Map();
  try {
    for (let leased = lease; leased !== undefined;) {
      const delivery = Front.readLease(leased);
      try {
        const goesOn = () => {
          const elapsed = Date.now() - begun;
          return count < GOES_ON && elapsed < GOES_ON_MS && elapsed + delivery.timeoutMs < WORK_MS;
        };
        count++;
        const said = await attempt(env, stream(), delivery, leased, requests, goesOn);
        leased = said === undefined ? undefined : next(await settle(stream, said));
      } finally {
        delivery.free();
      }
    }
  } catch (error) {
    // The lease runs out, and it is tried again.
    console.error("courier", path, error);
  }
}

/** One attempt, as it is to be settled; nothing when somebody else has the events by now. */
async function attempt(env, stream, delivery, leased, requests, goesOn) {
  const host = delivery.host;
  if (host === "agent") return decide(env, stream, leased, requests, goesOn());
  if (delivery.isPassed) return delivery.pass(goesOn());
  const refused = delivery.refuseCall(Date.now(), goesOn());
  if (delivery.isTentative && !isOk(await stream.hold(delivery.hold(refused === undefined)))) return undefined;
  if (refused !== undefined) return refused;
  if (host === "javascript") return process(env, leased, goesOn());
  const started = Date.now();
  const request = delivery.request(env, started, goesOn());
  if (typeof request === "string") return request;
  const [url, headers, body, timeout] = request;
  try {
    const [status, retryAfter, bytes, isCut] = await post(url, headers, body, timeout);
    return delivery.answered(env, status, retryAfter, bytes, isCut, Date.now() - started, goesOn());
  } catch (error) {
    return delivery.unanswered(reason(error, timeout), Date.now() - started, goesOn());
  }
}

/** Sends, and reads the answer until its last byte, as far as it is wanted, within the time. */
async function post(url, headers, body, timeout) {
  const signal = AbortSignal.timeout(timeout);
  const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
  const isError = !response.ok;
  const [bytes, isCut] = await read(response.body, isError ? ERROR_BYTES : ANSWER_BYTES, signal);
  return [response.status, response.headers.get("retry-after") ?? undefined, bytes, isCut];
}

async function read(body, limit, signal) {
  if (body === null) return [new Uint8Array(), false];
  const reader = body.getReader();
  const leave = () => reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", leave);
  const parts = [];
  let size = 0;
  try {
    while (size <= limit) {
      const { done, value } = await reader.read();
      signal.throwIfAborted();
      if (done) return [joined(parts, size), false];
      parts.push(value);
      size += value.length;
    }
    leave();
    return [joined(parts, size).subarray(0, limit), true];
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

function joined(parts, size) {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

async function settle(stream, said) {
  for (const pause of SETTLE_AGAIN_MS) {
    try {
      return await stream().settleLease(said);
    } catch (error) {
      console.error("settle", error);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  return stream().settleLease(said);
}

/** The lease that a settle was answered with, if any. */
function next(answer) {
  const body = isOk(answer) ? answer.slice(answer.indexOf("\n\n") + 2) : "";
  return body.startsWith('{"lease":') ? body : undefined;
}

function isOk(answer) {
  return answer.startsWith("200\n");
}

function reason(error, timeout) {
  return error?.name === "TimeoutError" ? `no whole answer within ${timeout} ms` : `not reached: ${error?.message}`;
}
