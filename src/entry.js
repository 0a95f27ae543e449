// The Worker's entry: the class of the Durable Objects, and the front, which is Rust.
import { Front } from "../build/index.js";

export { Stream } from "../durable/stream.js";

/** An append of at most this size is read whole; the longer way takes what is larger piece by piece. */
const WHOLE_BYTES = 8 << 20;

const OK = "200\n\n";
const JSON_HEADERS = { "content-type": "application/json" };

export default {
  async fetch(request, env) {
    try {
      if (request.method === "POST" && isShortAppend(request)) return await append(request, env);
      return await Front.handle(request, env);
    } catch (error) {
      console.error(error);
      return Front.answerToPanic();
    }
  },
};

function isShortAppend({ url, headers }) {
  const length = headers.get("content-length");
  return length !== null && Number(length) <= WHOLE_BYTES && url.indexOf("/api/streams", 8) === url.indexOf("/", 8);
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
  if (prepared === undefined) return Front.handle(request, env, body);
  if (prepared instanceof Response) return prepared;
  const [path, events, crossSite] = prepared;
  let answer;
  try {
    answer = await env.STREAM.getByName(path).append(events);
  } catch (error) {
    return Front.answerToFailure(env, error);
  }
  if (crossSite || !answer.startsWith(OK)) return Front.answerWith(env, answer);
  return new Response(answer.slice(OK.length), { headers: JSON_HEADERS });
}
