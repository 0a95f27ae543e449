// What the tests of hooks share: a runtime with a secret for every provider, and a stream that third parties are
// pointed at.
import assert from "node:assert/strict";
import { createHash, createHmac, generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { after } from "node:test";
import { start } from "../../scripts/runtime.mjs";

/** How long anything may take that is not expected to take time. */
export const patience = 60_000;

const table = readFileSync(new URL("../../model/src/webhook/presets.json", import.meta.url), "utf8");
export const presets = JSON.parse(table);

/** Key pairs, where the provider signs with a private key and shows the public one. */
export const pairs = { discord: generateKeyPairSync("ed25519"), sendgrid: ecdsa() };
export const otherPairs = { discord: generateKeyPairSync("ed25519"), sendgrid: ecdsa() };

function ecdsa() {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

/** The public key as Discord shows it: 32 bytes in hexadecimal. */
export const rawHex = (key) => key.export({ format: "der", type: "spki" }).subarray(-32).toString("hex");
/** The public key as SendGrid shows it: SPKI in base64. */
export const spki = (key) => key.export({ format: "der", type: "spki" }).toString("base64");

const plain = (name) => `${name.toLowerCase()}-${randomBytes(12).toString("hex")}`;
const whsec = () => `whsec_${randomBytes(24).toString("base64")}`;

/** The secrets of the runtime, by their names. Whatever verifies has two of them, for rotation: X and X_NEXT. */
export function makeSecrets() {
  const secrets = {};
  for (const { name, secret, secrets: more = [] } of presets) {
    for (const { name: called } of [secret, ...more].filter(Boolean)) {
      const make = { stripe: whsec, "standard-webhooks": whsec }[name] ?? (() => plain(called));
      secrets[called] = { value: make(), verify: [name] };
      secrets[`${called}_NEXT`] = { value: make(), verify: [name] };
    }
  }
  secrets.DISCORD.value = rawHex(pairs.discord.publicKey);
  secrets.DISCORD_NEXT.value = rawHex(otherPairs.discord.publicKey);
  secrets.SENDGRID.value = spki(pairs.sendgrid.publicKey);
  secrets.SENDGRID_NEXT.value = spki(otherPairs.sendgrid.publicKey);
  secrets.CUSTOM = { value: plain("CUSTOM"), verify: ["custom"] };
  secrets.CUSTOM_NEXT = { value: plain("CUSTOM_NEXT"), verify: ["custom"] };
  return secrets;
}

export const asVars = (secrets) =>
  Object.fromEntries(Object.entries(secrets).map(([name, it]) => [`TAILRACE_SECRET_${name}`, JSON.stringify(it)]));

/** Starts a runtime for one file of tests. */
export async function aRuntime({ secrets = makeSecrets(), vars = {}, ...settings } = {}) {
  const runtime = await start({
    ...(process.env.TAILRACE_BUILD ? { build: process.env.TAILRACE_BUILD } : {}),
    logs: "ignore",
    vars: { ...asVars(secrets), ...vars },
    ...settings,
  });
  after(() => runtime.kill());
  const secret = (name) => secrets[name].value;
  return { ...runtime, secrets, secret };
}

/** A stream of its own. */
export function aStream(runtime, path = `/t-${randomUUID()}`) {
  return new Stream(runtime.url, path);
}

/** A stream of its own with a source of hooks; `source.send` is its third party. */
export async function aSource(runtime, preset, more = {}) {
  const stream = aStream(runtime);
  return stream.source({ slug: "theirs", ...(preset ? { preset } : {}), ...more });
}

export class Stream {
  constructor(base, path, headers = {}) {
    Object.assign(this, { base, path, headers, url: `${base}/api/streams${path}` });
  }

  post(event) {
    const headers = { ...this.headers, prefer: "handling=strict" };
    return fetch(this.url, { method: "POST", headers, body: JSON.stringify(event) });
  }

  async append(event) {
    const response = await this.post(event);
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()).event;
  }

  /** Configures a source. */
  async source(payload) {
    await this.append({ type: "webhook.configured", payload });
    return new Source(this, payload.slug);
  }

  async get(url) {
    const response = await fetch(`${this.base}${url}`, { headers: this.headers });
    assert.equal(response.status, 200, await response.clone().text());
    return response;
  }

  async events(query = "") {
    const events = [];
    for (let afterOffset = 0; ;) {
      const page = await (
        await this.get(`/api/streams${this.path}?afterOffset=${afterOffset}&limit=1000${query}`)
      ).json();
      events.push(...page.events);
      if (page.upToDate) return events;
      afterOffset = page.afterOffset;
    }
  }

  received() {
    return this.events("&types=webhook.received");
  }

  async head() {
    const response = await fetch(this.url, { method: "HEAD", headers: this.headers });
    return response.status === 404 ? 0 : Number(response.headers.get("tailrace-head"));
  }

  /** The exact bytes of a hook. */
  async raw(offset) {
    return Buffer.from(await (await this.get(`/api/raw${this.path}?offset=${offset}`)).arrayBuffer());
  }
}

/** A third party, by the URL that it was given. */
export class Source {
  constructor(stream, slug) {
    Object.assign(this, { stream, slug, url: `${stream.base}/hooks${stream.path}?source=${slug}` });
  }

  /** Sends a request as `{method, url, headers, body}` says. */
  async send({ method = "POST", url = this.url, headers = {}, body }) {
    const response = await fetch(url, { method, headers, body, redirect: "manual" });
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  /** Sends a request that is stored, and returns its event. */
  async stored(request) {
    const answer = await this.send(request);
    assert.ok(answer.status >= 200 && answer.status < 300, `${answer.status} ${answer.text}`);
    return this.last();
  }

  /** The latest hook. */
  async last() {
    return (await this.stream.received()).at(-1);
  }
}

/** Asks again and again until there is an answer. */
export async function until(what, ask) {
  for (const begun = Date.now(); Date.now() - begun < patience; await sleep(20)) {
    const answer = await ask();
    if (answer) return answer;
  }
  throw new Error(`waited in vain until ${what}`);
}

export const now = () => Math.floor(Date.now() / 1000);
export const hmac = (secret, text, encoding = "hex", algorithm = "sha256") =>
  createHmac(algorithm, secret).update(text).digest(encoding);
export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** What was sent, as a library takes it from the stored event: the headers, and the body from /api/raw. */
export async function asStored(stream, event) {
  const body = await stream.raw(event.offset);
  assert.equal(sha256(body), event.payload.sha256);
  assert.equal(body.length, event.payload.size);
  return { headers: event.payload.headers, body, text: body.toString("utf8"), url: event.payload.url };
}
