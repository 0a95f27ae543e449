// No secret comes out anywhere: every secret, token and key is a canary, everything is done with them, and then all that
// comes out is searched for them.
import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createHmac, randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { anId, basic, senders } from "./senders.mjs";
import { aRuntime, makeSecrets, now, presets, Stream } from "./support.mjs";

const canary = (name) => `canary${name}${randomBytes(9).toString("hex")}`;
/** The ways in which something may be written. */
const spellings = (text) => [
  ["as it is", text],
  ["in base64", Buffer.from(text).toString("base64").replace(/=*$/, "").slice(0, -1)],
  ["in hexadecimal", Buffer.from(text).toString("hex")],
  ["as part of a URL", encodeURIComponent(text)],
];

/** A deployment whose every secret is a canary, and whose words are kept. */
async function aWatchedRuntime(t) {
  const folder = mkdtempSync(path.join(tmpdir(), "tailrace-secrets-"));
  const log = openSync(path.join(folder, "stderr"), "a");
  t.after(() => {
    closeSync(log);
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });
  const secrets = makeSecrets();
  // The public keys of Discord and SendGrid are none.
  const isPublic = (name) => /^(DISCORD|SENDGRID)/.test(name);
  for (const name of Object.keys(secrets)) {
    if (isPublic(name)) continue;
    const whsec = secrets[name].value.startsWith("whsec_");
    secrets[name].value = whsec ? `whsec_${Buffer.from(canary(name)).toString("base64")}` : canary(name);
  }
  const keys = { token: canary("token"), hookKey: canary("hookkey"), signing: canary("signing") };
  secrets.BROKEN = canary("BROKEN");
  const vars = {
    TAILRACE_TOKEN: keys.token,
    TAILRACE_HOOK_KEY: keys.hookKey,
    TAILRACE_SIGNING_KEY: keys.signing,
    // Somebody forgot to say what it is for.
    TAILRACE_SECRET_BROKEN: secrets.BROKEN,
  };
  const runtime = await aRuntime({
    secrets: Object.fromEntries(Object.entries(secrets).filter(([name]) => name !== "BROKEN")),
    vars,
    persistTo: path.join(folder, "state"),
    logs: log,
  });
  const canaries = new Map(Object.entries(keys));
  for (const [name, it] of Object.entries(secrets)) if (!isPublic(name)) canaries.set(name, it.value ?? it);
  return { ...runtime, keys, canaries, said: () => readFileSync(path.join(folder, "stderr"), "utf8") };
}

test("no secret, token or key is in the log, in any answer, in the page or in what the runtime writes", async (t) => {
  const runtime = await aWatchedRuntime(t);
  const authorization = { authorization: `Bearer ${runtime.keys.token}` };
  const heard = [];
  const hear = (what, text) => heard.push([what, text]);
  const call = async (what, url, options = {}) => {
    const response = await fetch(url, { redirect: "manual", ...options });
    const text = await response.text();
    hear(what, `${response.status} ${JSON.stringify([...response.headers])} ${text}`);
    return { status: response.status, text };
  };
  const stream = new Stream(runtime.url, `/t-${anId()}`, authorization);
  const configure = (payload) =>
    call("configure", stream.url, {
      method: "POST",
      headers: authorization,
      body: JSON.stringify({ type: "webhook.configured", payload }),
    });
  const hook = (slug) => `${runtime.url}/hooks${stream.path}?source=${slug}&key=${runtime.keys.hookKey}`;

  // Every preset, with what its provider sends: good, and signed with something else.
  for (const { name } of presets) assert.equal((await configure({ slug: name, preset: name })).status, 200);
  for (const { preset, secret, request } of senders) {
    // It sends its secret in the body, of which every byte is kept.
    if (preset === "microsoft-graph") continue;
    for (const signedWith of [secret, `${secret}_NEXT`]) {
      const value = runtime.secret(signedWith);
      const sent = await request({ secret: value, at: now(), id: anId(), url: hook(preset), text: "x" });
      const { status } = await call(preset, sent.url ?? hook(preset), { method: "POST", ...sent });
      assert.ok([200, 202, 401].includes(status), `${preset}: ${status}`);
    }
  }
  const asked = new URLSearchParams({
    "hub.mode": "subscribe",
    "hub.challenge": "1",
    "hub.verify_token": runtime.secret("META_VERIFY_TOKEN"),
  });
  assert.equal((await call("handshake", `${hook("meta")}&${asked}`)).status, 200);

  // What is wrong with a secret is said without it.
  for (const name of ["BROKEN", "SLACK"]) {
    const payload = { slug: "x", preset: "github", verify: { secrets: [name] } };
    assert.equal((await configure(payload)).status, 422, name);
  }

  // Static credentials wherever senders put them, large and small.
  const token = runtime.keys.token;
  for (const [headers, parameters] of [
    [{ authorization: `Bearer ${token}` }, ""],
    [{ authorization: basic("user", token) }, ""],
    [{ cookie: `session=${token}`, "x-api-key": token, "x-auth-token": token, "api-key": token }, ""],
    [{ "proxy-authorization": token, "x-amz-security-token": token, "x-goog-channel-token": token }, ""],
    [{ referer: `http://h/hooks/a?key=${token}&x=1` }, ""],
    [{}, `&key=${token}&token=${token}&access_token=${token}&api_key=${token}&%6Bey=${token}&client_secret=${token}`],
  ]) {
    for (const body of ["x", "x".repeat(300 * 1024)]) {
      const { status } = await call("credentials", `${hook("none")}${parameters}`, { method: "POST", headers, body });
      assert.ok([200, 202].includes(status));
    }
  }

  // Wrong keys come back nowhere either.
  await call("wrong token", stream.url, { headers: { authorization: `Bearer ${token}x` } });
  await call("wrong hook key", `${runtime.url}/hooks/nowhere?key=${runtime.keys.hookKey}x`, { method: "POST" });

  // All there is to be read.
  const head = await stream.head();
  for (const [what, url] of [
    ["log", `${stream.url}?limit=1000`],
    ["state", `${runtime.url}/api/state${stream.path}`],
    ["state then", `${runtime.url}/api/state${stream.path}?at=3`],
    ["children", `${runtime.url}/api/children/?recursive=true&details=true&limit=50`],
    ["openapi", `${runtime.url}/api/openapi.json`],
    ["subscriptions", `${runtime.url}/api/subscriptions${stream.path}`],
    ["page", `${runtime.url}/`],
    ["inspector", `${runtime.url}/streams${stream.path}`],
  ]) {
    for (const accept of ["application/json", "text/html", "application/x-ndjson"]) {
      await call(what, url, { headers: { ...authorization, accept } });
    }
  }
  for (let offset = 1; offset <= head; offset += 1) {
    await call(`raw ${offset}`, `${runtime.url}/api/raw${stream.path}?offset=${offset}`, { headers: authorization });
  }
  hear("the runtime's own words", runtime.said());

  assert.ok(
    heard.some(([what, text]) => what === "log" && text.includes("webhook.received")),
    "there is something to search",
  );
  for (const [name, value] of runtime.canaries) {
    for (const [how, spelled] of spellings(value)) {
      const found = heard.find(([, text]) => text.includes(spelled));
      assert.equal(found?.[0], undefined, `${name} ${how} is in: ${found?.[0]}`);
    }
  }
  // An HMAC is no secret, but it is worth one where it is not what was sent: `{hmac:…}` is only answered to who verifies.
  const proof = createHmac("sha256", runtime.secret("ZOOM")).update("x").digest("hex");
  assert.ok(!heard.some(([, text]) => text.includes(proof)));
});

const open = await aRuntime({ secrets: { CUSTOM: { value: canary("custom"), verify: ["custom", "cloudevents"] } } });
const own = { scheme: "token", encoding: "text", secrets: ["CUSTOM"] };
for (const [where, signature, place] of [
  ["a header with a name of its own", { header: "x-theirs" }, (value) => ({ headers: { "X-Theirs": value } })],
  [
    "a header that is called a signature",
    { header: "x-signature" },
    (value) => ({ headers: { "x-signature": value } }),
  ],
  ["a parameter with a name of its own", { query: "code" }, (value) => ({ query: `&code=${value}` })],
  [
    "the second of two places",
    [{ header: "x-one" }, { header: "x-two" }],
    (value) => ({
      headers: { "x-one": value, "x-two": value },
    }),
  ],
]) {
  test(`a static token in ${where} is not kept`, async () => {
    const stream = new Stream(open.url, `/t-${anId()}`);
    const source = await stream.source({ slug: "theirs", verify: { ...own, signature } });
    const { headers, query = "" } = place(open.secret("CUSTOM"));

    for (const body of ["x", "x".repeat(300 * 1024)]) {
      const event = await source.stored({ url: source.url + query, headers, body });

      assert.equal(event.payload.verified, true);
      assert.ok(!JSON.stringify(event).includes(open.secret("CUSTOM")), "it is in the event");
    }
  });
}

test("an attribute of a CloudEvent that is a token is not kept", async () => {
  const stream = new Stream(open.url, `/t-${anId()}`);
  const ce = { "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/a", "ce-type": "t" };
  const verify = { ...own, signature: { header: "ce-authtoken" } };
  const source = await stream.source({ slug: "theirs", preset: "cloudevents", verify });

  const event = await source.stored({ headers: { ...ce, "ce-authtoken": open.secret("CUSTOM") }, body: "x" });

  assert.ok(!JSON.stringify(event).includes(open.secret("CUSTOM")));
});
