// The Worker's entry: the class of the Durable Objects, and the front, which is Rust.
import { WorkerEntrypoint } from "cloudflare:workers";
import { Front } from "../build/index.js";
import { files } from "../build/inspector.js";
import { deliver } from "./courier.js";
import { lease } from "./lease.js";
import { follow, poll, readPage } from "./live.js";

export { Runner } from "../durable/runner.js";
export { Stream } from "../durable/stream.js";

/** What a stream calls to have a lease taken to a subscriber. It answers at once, and then does it. */
export class Courier extends WorkerEntrypoint {
  deliver(path, leased) {
    this.ctx.waitUntil(deliver(this.env, path, leased));
  }
}

/** An append of at most this size is read whole; the longer way takes what is larger piece by piece. */
const WHOLE_BYTES = Front.wholeBytes();

const STREAMS = "/api/streams";
const LEASE = "/api/lease";

const OK = "200\n\n";
const JSON_HEADERS = { "content-type": "application/json" };

export default {
  async fetch(request, env) {
    try {
      if (request.method === "POST" && isShortAppend(request)) return await append(request, env);
      if (request.method === "GET" && isOf(request, STREAMS)) return await read(request, env);
      if (request.method === "POST" && isOf(request, LEASE)) return await leaseFor(request, env);
      return await Front.handle(request, env, files);
    } catch (error) {
      console.error(error);
      return Front.answerToPanic();
    }
  },
};

/** Whether the path of a request begins so. */
function isOf({ url }, path) {
  return url.indexOf(path, "http://".length) === url.indexOf("/", "https://".length);
}

function isShortAppend(request) {
  const length = request.headers.get("content-length");
  return length !== null && Number(length) <= WHOLE_BYTES && isOf(request, STREAMS);
}

/**
 * Appends. The same as Front.handle does, but everything that waits is here: waiting in Rust costs more than the work.
 */
async function append(request, env) {
  const { url, headers } = request;
  const body = new Uint8Array(await request.arrayBuffer());
  const prepared = Front.prepareAppend(
    env,
    url,
    headers.get("host"),
    headers.get("origin"),
    headers.get("authorization"),
    headers.get("prefer"),
    headers.get("if-match"),
    headers.get("tailrace-cause"),
    body,
  );
  if (prepared === undefined) return Front.handle(request, env, files, body);
  if (prepared instanceof Response) return prepared;
  const [path, events, crossSite] = prepared;
  const stream = env.STREAM.getByName(path);
  let answer;
  try {
    if (typeof events !== "string") return toSites(crossSite, await appendLong(stream, events));
    answer = await stream.append(events);
  } catch (error) {
    return Front.answerToFailure(env, error);
  }
  if (crossSite || !answer.startsWith(OK)) return Front.answerWith(env, answer);
  return new Response(answer.slice(OK.length), { headers: JSON_HEADERS });
}

/** A long append and its answer go as streams of bytes: a call would copy both several times. */
function appendLong(stream, events) {
  return stream.fetch("http://stream/append", { method: "POST", body: events });
}

/** Reads: a page goes from the object to the client without being touched. */
async function read({ url, headers }, env) {
  const prepared = Front.prepareRead(
    env,
    url,
    headers.get("host"),
    headers.get("origin"),
    headers.get("authorization"),
    headers.get("accept"),
    headers.get("last-event-id"),
  );
  if (prepared instanceof Response) return prepared;
  const [path, asked, crossSite, wait] = prepared;
  const stream = env.STREAM.getByName(path);
  let response;
  try {
    if (typeof asked !== "string") response = await follow(stream, asked);
    else response = await (wait > 0 ? poll(stream, asked, wait) : readPage(stream, asked));
  } catch (error) {
    return Front.answerToFailure(env, error);
  }
  return toSites(crossSite, response);
}

/** Leases what is due to a worker. */
async function leaseFor(request, env) {
  const { url, headers } = request;
  const authorization = headers.get("authorization");
  const prepared = Front.prepareLease(env, url, headers.get("host"), headers.get("origin"), authorization);
  // Answering before the body is read would reset the connection.
  await request.body?.pipeTo(new WritableStream());
  if (prepared instanceof Response) return prepared;
  const [path, slug, forMs, wait, below, crossSite] = prepared;
  try {
    return toSites(crossSite, await lease(env, path, slug, forMs, wait, below));
  } catch (error) {
    return Front.answerToFailure(env, error);
  }
}

/** An object's answer, as it is or for other sites too. */
function toSites(crossSite, response) {
  if (!crossSite) return response;
  const open = new Response(response.body, response);
  Front.openToOtherSites(open);
  return open;
}
