// A server that plays the cases: it answers what a case says, to the byte, and remembers what it was asked.
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

const createdAt = "2026-01-01T00:00:00.000Z";

/** The codes of problems, and whether a retry helps. */
const retryable = new Set(["stream_paused", "internal", "unavailable"]);

/**
 * Starts the server.
 *
 * @returns {Promise<{play(aCase: object): {url: string, requests: object[]}, close(): Promise<void>}>} `play` puts a case
 *   up at an address of its own
 */
export async function serve() {
  const plays = [];
  const server = createServer(async (request, response) => {
    request.on("error", () => {});
    response.on("error", () => {});
    const [, number, rest] = /^\/case\/(\d+)(\/.*)$/.exec(request.url) ?? [];
    const play = plays[number];
    if (!play) return response.writeHead(404).end();
    const asked = await note(request, new URL(rest, "http://localhost"));
    play.requests.push(asked);
    const answers = play.on?.[asked.route] ?? [{ problem: { status: 404, code: "stream_not_found" } }];
    const turn = play.turns.get(asked.route) ?? 0;
    play.turns.set(asked.route, turn + 1);
    await answer(response, answers[Math.min(turn, answers.length - 1)], asked, play.log);
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const base = `http://127.0.0.1:${server.address().port}/case`;
  return {
    play(aCase) {
      const play = { on: aCase.on, log: aCase.log, requests: [], turns: new Map() };
      return { url: `${base}/${plays.push(play) - 1}`, requests: play.requests };
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** A request as it is remembered. */
async function note(request, url) {
  const text = (await buffer(request).catch(() => Buffer.alloc(0))).toString();
  let body = text;
  try {
    body = JSON.parse(text);
  } catch {
    // Then it is the text.
  }
  return {
    route: `${request.method} ${url.pathname}`,
    path: url.pathname.replace(/^\/api\/[a-z]+/, ""),
    query: Object.fromEntries(url.searchParams),
    headers: request.headers,
    body,
    at: performance.now(),
  };
}

async function answer(response, what, asked, log) {
  if (what.delayMs) await sleep(what.delayMs);
  if (what.hold) return;
  if (what.drop) {
    response.destroy();
    return;
  }
  const { status = 200, headers = {}, type = "application/json", body, stays = false } = spoken(what, asked, log);
  const bytes = Buffer.from(body ?? "");
  // Without a length, so that a connection that is cut is not an answer that is whole.
  response.writeHead(status, body === undefined ? headers : { "content-type": type, ...headers });
  response.flushHeaders();
  for (const piece of pieces(bytes.subarray(0, what.cut), what)) {
    if (response.destroyed) return;
    await new Promise((resolve) => response.write(piece, resolve));
    if (piece.length < bytes.length) await sleep(1);
  }
  if (what.cut !== undefined) response.destroy();
  else if (!stays) response.end();
}

/** Status, headers and body of an answer. */
function spoken(what, asked, log) {
  const { status, headers } = what;
  if (what.problem) {
    const { code, status } = what.problem;
    const problem = { type: `urn:tailrace:problem:${code}`, title: code, detail: code, retryable: retryable.has(code) };
    const body = JSON.stringify({ ...problem, ...what.problem });
    return { status, headers, type: "application/problem+json", body };
  }
  if (what.appended) return { headers, body: JSON.stringify(appended(asked, what.appended)) };
  if (what.page) return { headers, body: page(asked, log) };
  if (what.live || what.sse) {
    const body = what.sse ? what.sse.join("") : live(asked, log);
    return { status, headers, type: "text/event-stream", body, stays: !what.end };
  }
  if ("json" in what) return { status, headers, body: JSON.stringify(what.json) };
  return { status, headers, type: "text/plain", body: what.text };
}

const stored = (event, offset, streamPath) => ({
  offset,
  type: event.type,
  payload: event.payload ?? {},
  ...(event.metadata ? { metadata: event.metadata } : {}),
  ...(event.idempotencyKey ? { idempotencyKey: event.idempotencyKey } : {}),
  ...event.more,
  streamPath,
  createdAt,
});

function appended({ body, path }, first) {
  if (Array.isArray(body)) return { events: body.map((event, index) => stored(event, first + index, path)) };
  return { event: stored(body.event ?? body, first, path) };
}

const all = (log, path) => log.events.map((event, index) => stored(event, index + 1, path));

function page({ query, path }, log) {
  const { afterOffset = 0, limit = 500 } = query;
  const behind = all(log, path).filter(({ offset }) => offset > Number(afterOffset));
  const events = behind.slice(0, Math.min(Number(limit), log.pageOf ?? 1_000));
  const upToDate = events.length === behind.length;
  const after = events.at(-1)?.offset ?? Number(afterOffset);
  const lines = events.map((event) => JSON.stringify(event)).join(",\n");
  return `{"events":[${lines}],"afterOffset":${after},"head":${log.events.length},"upToDate":${upToDate}}`;
}

function live({ headers, query, path }, log) {
  const id = headers["last-event-id"] || query.lastEventId || query.afterOffset || "0";
  const [offset, generation = log.generation] = id.split(".");
  const head = log.events.length;
  let text = "retry: 1\n";
  if (generation !== log.generation) {
    text += `event: reset\nid: 0.${log.generation}\ndata: {"generation":"${log.generation}"}\n\n`;
  }
  const after = generation === log.generation ? Number(offset) : 0;
  for (const event of all(log, path)) {
    if (event.offset > after) text += `id: ${event.offset}.${log.generation}\ndata: ${JSON.stringify(event)}\n\n`;
  }
  return `${text}event: tail\nid: ${head}.${log.generation}\ndata: {"offset":${head}}\n\n`;
}

/** The body in the pieces in which it is written. */
function pieces(bytes, { split, pieces: size }) {
  if (split !== undefined) return [bytes.subarray(0, split), bytes.subarray(split)].filter(({ length }) => length);
  if (!size) return bytes.length ? [bytes] : [];
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) => bytes.subarray(n * size, (n + 1) * size));
}

/**
 * The cases that one stands for: by `each` one for every place in the first answer that has it, with the shorthands
 * `$repeat` and `$signed` spelled out.
 */
export function unfold(written) {
  const aCase = spelled(written);
  const { each, ...rest } = aCase;
  if (!each) return [aCase];
  const [route, answers] = Object.entries(rest.on).find(([, answers]) => answers.some((it) => it[each] === "each"));
  const turn = answers.findIndex((it) => it[each] === "each");
  const [, path] = /^\w+ \/api\/[a-z]+(.*)$/.exec(route);
  const { body } = spoken(answers[turn], { headers: {}, query: {}, path, body: {} }, rest.log);
  return Array.from({ length: Buffer.byteLength(body) + 1 }, (_, place) => ({
    ...rest,
    name: `${rest.name} (${each} at ${place})`,
    on: { ...rest.on, [route]: answers.with(turn, { ...answers[turn], [each]: place }) },
  }));
}

function spelled(value) {
  if (Array.isArray(value)) return value.map(spelled);
  if (value === null || typeof value !== "object") return value;
  if ("$repeat" in value) return value.$repeat.repeat(value.times);
  if ("$signed" in value) return signed(value.$signed);
  // Not by assignment: `__proto__` is a name as any other.
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, spelled(inner)]));
}

/**
 * The headers of a push: `{secrets, body, id?, timestamp}`, a signature for each secret, and `more` headers over them.
 */
function signed({ secrets, body, id = "msg_1", timestamp, more }) {
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
    return `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")}`;
  });
  return {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": signatures.join(" "),
    ...more,
  };
}
