// What a provider asks before it sends is answered as its documentation says, and to nobody else.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { discordSigned, slackSigned, zoomSigned } from "./senders.mjs";
import { aRuntime, aSource, hmac, now } from "./support.mjs";

const runtime = await aRuntime();
const json = { "content-type": "application/json; charset=utf-8" };

/** What is answered may be what a stranger wrote: no browser shows it as a page. */
function isHarmless({ headers }) {
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.match(headers.get("content-security-policy"), /sandbox/);
}

/** What was asked is in the log all the same, as what it is. */
async function isNotAnswered(source, sent, secretly) {
  const before = await source.stream.head();
  const { status, text } = await source.send(sent);
  assert.equal(status, 401, text);
  assert.ok(!text.includes(secretly), "nothing of the question comes back");
  assert.equal(await source.stream.head(), before + 1);
  assert.equal((await source.last()).payload.verified, false);
}

test("Slack's url_verification is answered with the challenge, when it is signed", async () => {
  const source = await aSource(runtime, "slack");
  const challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P";
  const body = JSON.stringify({ token: "Jhj5dZrVaK7ZwHHjRyZWjbDl", challenge, type: "url_verification" });
  const sent = { headers: { ...json, ...slackSigned(runtime.secret("SLACK"), now(), body) }, body };

  const answer = await source.send(sent);

  assert.deepEqual([answer.status, answer.text], [200, challenge]);
  assert.match(answer.headers.get("content-type"), /^text\/plain/);
  isHarmless(answer);
  assert.equal((await source.last()).payload.verified, true);
  const old = slackSigned(runtime.secret("SLACK"), now() - 600, body);
  const foreign = slackSigned(runtime.secret("SLACK_NEXT"), now(), body);
  for (const headers of [json, { ...json, ...old }, { ...json, ...foreign }]) {
    await isNotAnswered(source, { headers, body }, challenge);
  }
  const again = await source.send(sent);
  assert.deepEqual([again.status, again.text], [200, challenge], "a question may be asked twice");
});

test("Meta's GET is answered with the challenge, when it knows the token", async () => {
  const source = await aSource(runtime, "meta");
  const ask = (parameters) => ({ method: "GET", url: `${source.url}&${new URLSearchParams(parameters)}` });
  const question = { "hub.mode": "subscribe", "hub.challenge": "1158201444" };
  const token = runtime.secret("META_VERIFY_TOKEN");

  const answer = await source.send(ask({ ...question, "hub.verify_token": token }));

  assert.deepEqual([answer.status, answer.text], [200, "1158201444"]);
  isHarmless(answer);
  const { payload } = await source.last();
  assert.deepEqual([payload.method, payload.verified, payload.key], ["GET", true, "META_VERIFY_TOKEN"]);
  assert.ok(!JSON.stringify(payload).includes(token), "the token is not kept");
  for (const wrong of [{}, { "hub.verify_token": "" }, { "hub.verify_token": `${token}x` }]) {
    await isNotAnswered(source, ask({ ...question, ...wrong }), "1158201444");
  }
  await isNotAnswered(source, ask({ ...question, "hub.verify_token": runtime.secret("META") }), "1158201444");
});

test("Zoom's endpoint.url_validation is answered with the token and its HMAC, when it is signed", async () => {
  const source = await aSource(runtime, "zoom");
  const plainToken = "qgg8vlvZRS6UYooatFL8Aw";
  const body = JSON.stringify({ payload: { plainToken }, event_ts: Date.now(), event: "endpoint.url_validation" });
  const secret = runtime.secret("ZOOM");

  const answer = await source.send({ headers: { ...json, ...zoomSigned(secret, now(), body) }, body });

  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-type"), /^application\/json/);
  assert.deepEqual(JSON.parse(answer.text), { plainToken, encryptedToken: hmac(secret, plainToken) });
  await isNotAnswered(source, { headers: json, body }, hmac(secret, plainToken));
  const foreign = zoomSigned(runtime.secret("ZOOM_NEXT"), now(), body);
  await isNotAnswered(source, { headers: { ...json, ...foreign }, body }, hmac(secret, plainToken));
});

test("Zoom is answered with the secret that it signs with, while one takes the place of another", async () => {
  const source = await aSource(runtime, "zoom", { verify: { secrets: ["ZOOM", "ZOOM_NEXT"] } });
  const plainToken = "qgg8vlvZRS6UYooatFL8Aw";
  const body = JSON.stringify({ payload: { plainToken }, event_ts: Date.now(), event: "endpoint.url_validation" });

  for (const name of ["ZOOM", "ZOOM_NEXT"]) {
    const secret = runtime.secret(name);
    const { text } = await source.send({ headers: { ...json, ...zoomSigned(secret, now(), body) }, body });
    assert.deepEqual(JSON.parse(text), { plainToken, encryptedToken: hmac(secret, plainToken) }, name);
  }
});

test("Microsoft Graph's validationToken comes back as plain text, decoded", async () => {
  const source = await aSource(runtime, "microsoft-graph");
  const token = "Validation: Testing client application reachability for subscription Request-Id: 1-2 <b>+é";

  const answer = await source.send({
    url: `${source.url}&validationToken=${encodeURIComponent(token)}`,
    headers: { "content-type": "text/plain; charset=utf-8" },
    body: "",
  });

  assert.deepEqual([answer.status, answer.text], [200, token]);
  assert.match(answer.headers.get("content-type"), /^text\/plain/);
  isHarmless(answer);
  const notification = JSON.stringify({ value: [{ clientState: runtime.secret("MICROSOFT_GRAPH") }] });
  const { status } = await source.send({ headers: json, body: notification });
  assert.equal(status, 202, "what is stored is acknowledged as Graph wants it");
});

test("every notification in a request of Microsoft Graph carries the clientState", async () => {
  const source = await aSource(runtime, "microsoft-graph");
  const good = { clientState: runtime.secret("MICROSOFT_GRAPH") };
  const verdict = async (value) => (await source.stored({ headers: json, body: JSON.stringify({ value }) })).payload;

  assert.equal((await verdict([good, good])).verified, true);
  assert.equal((await verdict([good, { clientState: "x" }])).verified, false);
  assert.equal((await verdict([])).verified, false);
});

test("a notification of Microsoft Graph without clientState does not ride on another's", async () => {
  const source = await aSource(runtime, "microsoft-graph");
  const value = [{ clientState: runtime.secret("MICROSOFT_GRAPH") }, { resource: "of nobody" }];

  const { payload } = await source.stored({ headers: json, body: JSON.stringify({ value }) });

  assert.equal(payload.verified, false);
});

test("the OPTIONS of CloudEvents is answered with the origin and a rate", async () => {
  const source = await aSource(runtime, "cloudevents");

  const answer = await source.send({
    method: "OPTIONS",
    headers: { "webhook-request-origin": "eventemitter.example.com", "webhook-request-rate": "120" },
  });

  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("webhook-allowed-origin"), "eventemitter.example.com");
  assert.ok(answer.headers.get("webhook-allowed-rate"));
  assert.match(answer.headers.get("allow"), /POST/);
  const plain = await source.send({ method: "OPTIONS" });
  assert.equal(plain.headers.get("webhook-allowed-origin"), null, "other OPTIONS are no question");
});

test("Discord's PING is answered with a PONG, when it is signed; else with 401", async () => {
  const source = await aSource(runtime, "discord");
  const ping = JSON.stringify({ application_id: "1", id: randomUUID(), token: "t", type: 1, version: 1 });
  const sign = (body, at = now()) => ({ ...json, ...discordSigned(runtime.secret("DISCORD"), at, body) });

  const answer = await source.send({ headers: sign(ping), body: ping });

  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-type"), /^application\/json/);
  assert.deepEqual(JSON.parse(answer.text), { type: 1 });
  const head = await source.stream.head();
  // Discord tests this itself before it takes the URL.
  for (const headers of [json, sign(`${ping} `), sign(ping, now() - 600)]) {
    assert.equal((await source.send({ headers, body: ping })).status, 401);
  }
  assert.equal(await source.stream.head(), head);
  const command = JSON.stringify({ id: randomUUID(), token: "t", type: 2, data: { name: "hello" } });
  const deferred = await source.send({ headers: sign(command), body: command });
  assert.deepEqual(JSON.parse(deferred.text), { type: 5 }, "a command is answered later");
});
