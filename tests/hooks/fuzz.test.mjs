// Whatever arrives, however mangled, is stored to the byte or refused in clear words: never a 500, nothing that hangs,
// nothing half-written. The same seed sends the same requests: TAILRACE_TEST_SEED.
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { anId } from "./senders.mjs";
import { aRuntime, aStream, presets, sha256 } from "./support.mjs";

const REQUESTS = 10_000;
const AT_ONCE = 12;
/** An answer that takes longer never comes. */
const HANGS_MS = 20_000;
const seed = Number(process.env.TAILRACE_TEST_SEED ?? 4);

/** mulberry32 */
function chance(state) {
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n) => Math.floor(next() * n);
  return {
    below,
    of: (list) => list[below(list.length)],
    is: (p) => next() < p,
    bytes: (n) => Uint8Array.from({ length: n }, () => below(256)),
  };
}

const { below, of, is, bytes } = chance(seed);
const runtime = await aRuntime();

const methods = ["POST", "POST", "POST", "POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS"];
const oddMethods = ["PROPFIND", "M-SEARCH", "TRACE", "PURGE", "post", "FOO", "G E T", "", "PRI"];
const contentTypes = [
  "application/json",
  "application/json; charset=utf-16",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=b",
  'multipart/form-data; boundary="b b"',
  "multipart/form-data",
  "multipart/mixed; boundary=b",
  "application/cloudevents+json",
  "application/cloudevents-batch+json",
  "application/xml",
  "text/plain; charset=latin1",
  "application/octet-stream",
  "",
  ';;;="',
  `text/plain; x=${"y".repeat(4000)}`,
  "text/pl\xe4in",
];
const oddHeaders = [
  ["x-hub-signature-256", "sha256="],
  ["x-slack-signature", `v0=${"0".repeat(64)}`],
  ["x-slack-request-timestamp", "99999999999999999999"],
  ["x-slack-request-timestamp", "-1"],
  ["stripe-signature", "t=,v1=,v1"],
  ["webhook-signature", "v1, v1,= v1,AAAA"],
  ["x-signature-ed25519", "00".repeat(64)],
  ["x-twilio-email-event-webhook-signature", "MEUCIQDAAAA="],
  ["x-twilio-email-event-webhook-signature", "MAA="],
  ["authorization", "Basic Og=="],
  ["authorization", "Basic \xff"],
  ["authorization", "Bearer"],
  ["ce-specversion", "1.0"],
  ["ce-id", "%"],
  ["ce-id", "%ff%00"],
  ["ce-source", "/x"],
  ["ce-type", "t"],
  ["ce-\xe4", "t"],
  ["content-encoding", "gzip"],
  ["content-encoding", "br, nonsense"],
  ["transfer-encoding", "gzip"],
  ["expect", "100-continue"],
  ["tailrace-cause", "/x;1;40;0"],
  ["tailrace-cause", ";;;"],
  ["cookie", "\xff\xfe"],
  ["x-empty", ""],
  ["x-long", "z".repeat(8000)],
  ["x-bytes", "\x01\x7f\x80\xff"],
  ["x-folded", "a\r\n b"],
  ["bad name", "x"],
  ["x-nul", "a\0b"],
  ["content-length", "5"],
  ["content-length", "-1"],
  ["host", "evil.example"],
  ["upgrade", "websocket"],
  ["connection", "upgrade"],
  ["range", "bytes=0-1"],
  ["if-none-match", "*"],
];
const queries = [
  "&source=other",
  "&%",
  "&source=%ff",
  "&=&&&=",
  "&validationToken=<b>%00",
  "&hub.mode=x&hub.challenge=%0d%0aset-cookie:a=b",
  "&bodySHA256=zz",
  "&" + "q".repeat(6000),
  "&a=\xe4",
  "#fragment",
  "&key=x&token=y",
];
const texts = [
  "",
  " ",
  "null",
  "{}",
  "[]",
  '"\\ud800"',
  "1e999",
  "123456789012345678901234567890",
  "-0.0e-999",
  '{"a":1,"a":2,"__proto__":3}',
  "\ufeff{}",
  '{"id":"\\u0000"}',
  "\u2028\u2029",
  "<a>&x;</a>",
  "a=1&a=2&%zz=%E0&payload=%7B%22a%22%3A1",
  `payload=${encodeURIComponent("[".repeat(200))}`,
  "[".repeat(70) + "]".repeat(70),
  "[".repeat(5000),
  '{"specversion":"1.0","id":"1","source":"s","type":"t"}',
  '[{"specversion":"1.0"},{}]',
  '--b\r\ncontent-disposition: form-data; name="a"; filename="f"\r\ncontent-type: x\r\n\r\n1\r\n--b\r\ncontent-disposition: form-data; name="é"\r\n\r\n2\r\n--b--\r\n',
  "--b\r\n--b--",
];
const samples = presets.map(({ sample }) =>
  sample.form ? new URLSearchParams(sample.form).toString() : JSON.stringify(sample.body),
);

function aBody() {
  if (is(0.004))
    return Buffer.from(bytes(1))
      .toString("hex")
      .repeat(of([131_071, 131_072, 131_073, 300_000, 700_000]));
  if (is(0.1)) return Buffer.from(bytes(below(2000)));
  let body = Buffer.from(of([...texts, ...samples]));
  for (let mutations = below(4); mutations > 0; mutations -= 1) body = mangled(body);
  return body;
}

function mangled(body) {
  const at = below(body.length + 1);
  const [before, behind] = [body.subarray(0, at), body.subarray(at)];
  switch (below(6)) {
    case 0:
      return before;
    case 1:
      return Buffer.concat([before, bytes(1 + below(8)), behind]);
    case 2:
      return Buffer.concat([before, behind.subarray(below(behind.length + 1))]);
    case 3:
      return Buffer.concat([before, Buffer.from(of(texts)), behind]);
    case 4:
      return Buffer.concat([body, body]);
    default: {
      const changed = Buffer.from(body);
      if (changed.length > 0) changed[at % changed.length] ^= 1 << below(8);
      return changed;
    }
  }
}

/**
 * One request as bytes. `sent` is its body as the server must understand it; none when it is not clear what that is, or
 * that it is one at all.
 */
function aRequest(target, n) {
  let sound = true;
  let method = of(methods);
  if (is(0.03)) [method, sound] = [of(oddMethods), false];
  const content = Buffer.from(aBody());
  const headers = [["x-n", `${n}`]];
  if (is(0.8)) headers.push(["content-type", of(contentTypes)]);
  for (let more = below(3); more > 0; more -= 1) headers.push(of(oddHeaders));
  // Two hosts are more than the local runtime itself takes, whichever Worker it runs.
  if (headers.filter(([name]) => name === "host").length > 1) headers.splice(2);
  // The HTTP server may refuse these before anybody sees them, or understand something else.
  const unsure = [
    "bad name",
    "x-nul",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "connection",
    "x-folded",
    "host",
    "expect",
  ];
  if (headers.some(([name, value]) => unsure.includes(name) || /[^\t -~]/.test(name + value))) sound = false;
  const query = is(0.2) ? of(queries) : "";
  if (/[^!-~]|%00/.test(query)) sound = false;
  let framed = content;
  let framing;
  const kind = is(0.08)
    ? of(["short", "long", "cut chunks", "bad chunks", "both"])
    : of(["length", "length", "chunks"]);
  switch (kind) {
    case "length":
      framing = `content-length: ${content.length}\r\n`;
      break;
    case "chunks":
      framing = "transfer-encoding: chunked\r\n";
      framed = inChunks(content);
      break;
    case "short":
      sound = false;
      framing = `content-length: ${Math.max(0, content.length - 1 - below(20))}\r\n`;
      break;
    case "long":
      sound = false;
      framing = `content-length: ${content.length + 1 + below(20)}\r\n`;
      break;
    case "cut chunks":
      sound = false;
      framing = "transfer-encoding: chunked\r\n";
      framed = inChunks(content);
      framed = framed.subarray(0, below(framed.length));
      break;
    case "bad chunks":
      sound = false;
      framing = "transfer-encoding: chunked\r\n";
      framed = Buffer.concat([Buffer.from("zz\r\n"), content]);
      break;
    default:
      sound = false;
      framing = `content-length: ${content.length}\r\ntransfer-encoding: chunked\r\n`;
      framed = inChunks(content);
  }
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const host = lines.includes("host:") ? "" : `host: ${new URL(runtime.url).host}\r\n`;
  const head = `${method} ${target}${query} HTTP/1.1\r\n${host}connection: close\r\n${framing}${lines}\r\n`;
  return { n, kind, method, sound, body: content, bytes: Buffer.concat([Buffer.from(head, "latin1"), framed]), head };
}

function inChunks(content) {
  const parts = [];
  for (let at = 0; at < content.length;) {
    const part = content.subarray(at, at + 1 + below(content.length));
    parts.push(Buffer.from(`${part.length.toString(16)}${is(0.1) ? ";ext=1" : ""}\r\n`), part, Buffer.from("\r\n"));
    at += part.length;
  }
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}

/** Sends it on a connection of its own; `status` 0 when it was closed without an answer. */
async function send({ bytes }) {
  const socket = net.connect(new URL(runtime.url).port, "127.0.0.1");
  const parts = [];
  let hangs = false;
  const timer = setTimeout(() => {
    hangs = true;
    socket.destroy();
  }, HANGS_MS);
  socket.on("data", (part) => parts.push(part));
  // A server that refuses what it has not read resets the connection; what it answered before counts.
  socket.on("error", () => {});
  // The end of what is sent tells a server that waits for more that there is none.
  socket.end(bytes);
  await new Promise((closed) => socket.once("close", closed));
  clearTimeout(timer);
  const answered = Buffer.concat(parts).toString("latin1");
  const [head, text = ""] = answered.replace(/^HTTP\/1.1 100 [^]*?\r\n\r\n/, "").split(/\r\n\r\n(.*)/s);
  return { status: Number(/^HTTP\/1.1 (\d+)/.exec(head)?.[1] ?? 0), head, text, hangs };
}

async function concurrently(list, work) {
  const waiting = list.values();
  const worker = async () => {
    for (const item of waiting) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

test(`${REQUESTS} mangled requests are stored to the byte or refused clearly (seed ${seed})`, async (t) => {
  const streams = [];
  for (let n = 0; n < 4; n += 1) {
    const stream = aStream(runtime, `/fuzz-${anId()}`);
    await stream.append({ type: "breaker.configured", payload: { limit: null } });
    for (const { name } of presets) {
      // Ids repeat when bodies do: whether each is stored is to be seen here.
      await stream.source({ slug: name, preset: name, idempotency: { header: "x-n" } });
    }
    streams.push(stream);
  }
  const requests = Array.from({ length: REQUESTS }, (_, n) => {
    const stream = of(streams);
    const slug = of([...presets.map(({ name }) => name), "nobody"]);
    return Object.assign(aRequest(`/hooks${stream.path}?source=${slug}`, n), { stream, slug });
  });

  const statuses = new Map();
  await concurrently(requests, async (request) => {
    request.answer = await send(request);
    const { status, head, text, hangs } = request.answer;
    const what = () => `request ${request.n} (${request.kind}, seed ${seed}): ${status} ${text}\n${request.head}`;
    assert.ok(!hangs, `it hangs: ${what()}`);
    assert.ok(status < 500 || status === 501, what());
    if (request.sound) assert.ok(status > 0, what());
    if (status >= 400 && /problem\+json/.test(head) && request.method !== "HEAD")
      assert.match(text, /"detail":/, what());
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  });
  t.diagnostic(`answers: ${JSON.stringify(Object.fromEntries([...statuses].sort()))}`);

  let compared = 0;
  for (const stream of streams) {
    const events = await stream.events();
    assert.deepEqual(
      events.map(({ offset }) => offset),
      events.map((_, index) => index + 1),
      "offsets without gaps",
    );
    const received = events.filter(({ type }) => type === "webhook.received");
    const stored = Map.groupBy(received, ({ payload }) => Number(payload.headers["x-n"]));
    for (const request of requests.filter((request) => request.stream === stream)) {
      const { n, answer, sound, slug, kind } = request;
      const found = stored.get(n)?.length ?? 0;
      const what = `request ${n} (${kind}, seed ${seed}) to ${slug}: ${answer.status} ${answer.text}\n${request.head}`;
      if (!sound) assert.ok(found <= 1 || slug === "cloudevents", what);
      else if (answer.status < 300) assert.ok(found >= 1, `answered but not stored: ${what}`);
      else if (slug === "discord") assert.equal(found, 0, `refused and stored: ${what}`);
      // More hops than are allowed; too large to be held for a signature that needs all of it.
      else if ([409, 413].includes(answer.status)) assert.equal(found, 0, `refused and stored: ${what}`);
      // Every other source keeps all; what is no question that may be answered is stored all the same.
      else assert.ok(found === 1 && answer.status === 401, `refused: ${what}`);
    }
    await concurrently(received, async ({ offset, payload }) => {
      const request = requests[Number(payload.headers["x-n"])];
      const raw = await stream.raw(offset);
      assert.equal(sha256(raw), payload.sha256);
      assert.equal(raw.length, payload.size);
      const whole = raw.equals(request.body);
      // Where a length was said that is too short, the body is what it says.
      // A GET that wants another protocol has no body to the platform.
      const none = raw.length === 0 && /\r\nupgrade:/.test(request.head);
      const begin = request.kind === "short" && raw.equals(request.body.subarray(0, raw.length));
      assert.ok(
        whole || (!request.sound && (begin || none)),
        `request ${request.n} (${request.kind}): other bytes\n${request.head}`,
      );
      compared += 1;
    });
  }
  t.diagnostic(`${compared} compared to the byte`);
  assert.ok(compared > REQUESTS / 2);
});
