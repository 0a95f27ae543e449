// CloudEvents as the SDK emits them: binary, structured and batched become one event each, by their ids once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CloudEvent, HTTP, Mode, emitterFor } from "cloudevents";
import { anId } from "./senders.mjs";
import { aRuntime, aSource } from "./support.mjs";

const runtime = await aRuntime();
const token = { authorization: `Bearer ${runtime.secret("CLOUDEVENTS")}` };

const anEvent = (more = {}) =>
  new CloudEvent({
    id: anId(),
    source: "/sensors/1?a=b",
    type: "com.example.measured",
    subject: "a/b c",
    time: "2026-01-02T03:04:05.000Z",
    datacontenttype: "application/json",
    traceid: "00-ab",
    data: { n: 1, text: "héllo" },
    ...more,
  });

/** Sends by the SDK's emitter. */
async function emit(source, event, mode, headers = token) {
  let answer;
  const transport = async (message) => {
    answer = await source.send({ headers: { ...message.headers, ...headers }, body: message.body });
  };
  await emitterFor(transport, { binding: HTTP, mode })(event);
  return answer;
}

const batch = (events) => ({
  headers: { "content-type": "application/cloudevents-batch+json", ...token },
  body: JSON.stringify(events),
});

/** What the SDK says of an event, but for its data. */
function attributesOf(event) {
  const attributes = asSent(event);
  delete attributes.data;
  return attributes;
}
const asSent = (event) => JSON.parse(event.toString());

test("a CloudEvent in the binary mode keeps its attributes and its data", async () => {
  const source = await aSource(runtime, "cloudevents");
  const event = anEvent();

  const answer = await emit(source, event, Mode.BINARY);

  assert.equal(answer.status, 200, answer.text);
  const { payload, metadata, offset } = await source.last();
  assert.equal(payload.verified, true);
  assert.deepEqual(payload.body, event.data);
  const { id, type, specversion, traceid, datacontenttype } = metadata.cloudEvent;
  assert.deepEqual(
    { id, type, specversion, traceid, datacontenttype },
    { id: event.id, type: event.type, specversion: "1.0", traceid: "00-ab", datacontenttype: "application/json" },
  );
  assert.equal((await source.stream.raw(offset)).toString(), JSON.stringify(event.data));
});

test("attributes in headers are percent-decoded as the specification says", async () => {
  const source = await aSource(runtime, "cloudevents");
  // Section 3.1.3.2 of the HTTP protocol binding, with its examples.
  const headers = {
    ...token,
    "ce-specversion": "1.0",
    "ce-id": anId(),
    "ce-source": "/a",
    "ce-type": "t",
    "ce-subject": "Euro%20%E2%82%AC%20%F0%9F%98%80%20%22x%22",
    "content-type": "text/plain",
  };

  const { metadata, payload } = await source.stored({ headers, body: "data" });

  assert.equal(metadata.cloudEvent.subject, 'Euro € 😀 "x"');
  assert.equal(payload.body, "data");
});

test("a CloudEvent in the structured mode keeps its attributes; it itself is the body", async () => {
  const source = await aSource(runtime, "cloudevents");
  const event = anEvent();

  const answer = await emit(source, event, Mode.STRUCTURED);

  assert.equal(answer.status, 200, answer.text);
  const { payload, metadata, offset } = await source.last();
  assert.equal(payload.verified, true);
  assert.deepEqual(metadata.cloudEvent, attributesOf(event));
  assert.deepEqual(payload.body, asSent(event));
  assert.equal((await source.stream.raw(offset)).toString(), event.toString());
});

test("binary data of a CloudEvent is kept in both modes", async () => {
  const source = await aSource(runtime, "cloudevents");
  const data = new Uint8Array([0, 255, 1, 254, 10, 13]);
  const binary = { datacontenttype: "application/octet-stream", data };

  await emit(source, anEvent(binary), Mode.BINARY);
  const first = await source.last();
  await emit(source, anEvent(binary), Mode.STRUCTURED);
  const second = await source.last();

  assert.equal(first.payload.encoding, "base64");
  assert.deepEqual(await source.stream.raw(first.offset), Buffer.from(data));
  assert.equal(second.payload.body.data_base64, Buffer.from(data).toString("base64"));
});

test("a batch of CloudEvents becomes one event each, whose raw bytes are all of it", async () => {
  const source = await aSource(runtime, "cloudevents");
  const events = [anEvent({ data: { n: 1 } }), anEvent({ data: { n: 2 } }), anEvent({ data: { n: 3 } })];

  const answer = await source.send(batch(events));

  const stored = await source.stream.received();
  const offsets = stored.map(({ offset }) => offset);
  assert.deepEqual([answer.status, JSON.parse(answer.text)], [200, { offsets }]);
  assert.deepEqual(
    stored.map(({ metadata }) => metadata.cloudEvent),
    events.map(attributesOf),
  );
  assert.deepEqual(
    stored.map(({ payload }) => payload.body),
    events.map(asSent),
  );
  for (const { offset, payload } of stored) {
    assert.equal(payload.verified, true);
    assert.equal((await source.stream.raw(offset)).toString(), batch(events).body);
  }
});

test("a CloudEvent lands once, in whichever mode it comes again", async () => {
  const source = await aSource(runtime, "cloudevents");
  const [one, two, three] = [anEvent(), anEvent(), anEvent()];
  const offset = JSON.parse((await emit(source, one, Mode.BINARY)).text).offset;

  const again = await emit(source, one, Mode.STRUCTURED, { ...token, "x-attempt": "2" });
  const mixed = await source.send(batch([two, one, three, two]));

  assert.deepEqual([again.status, JSON.parse(again.text)], [200, { offset }]);
  assert.equal(mixed.status, 200, mixed.text);
  assert.deepEqual(JSON.parse(mixed.text).offsets, [offset + 1, offset, offset + 2, offset + 1]);
  const stored = await source.stream.received();
  assert.deepEqual(
    stored.map(({ metadata }) => metadata.cloudEvent.id),
    [one.id, two.id, three.id],
  );
  for (const { offset } of stored.slice(1)) assert.ok((await source.stream.raw(offset)).length > 0);
});

test("the same id of another source is another event", async () => {
  const source = await aSource(runtime, "cloudevents");
  const id = anId();

  await emit(source, anEvent({ id, source: "/a" }), Mode.STRUCTURED);
  await emit(source, anEvent({ id, source: "/b" }), Mode.STRUCTURED);

  assert.equal((await source.stream.received()).length, 2);
});

test("a source and an id that read like another pair are another event", async () => {
  const source = await aSource(runtime, "cloudevents");
  const event = { specversion: "1.0", type: "t" };

  await source.send(batch([{ ...event, source: "/c", id: "x 1" }]));
  await source.send(batch([{ ...event, source: "/c x", id: "1" }]));

  assert.equal((await source.stream.received()).length, 2);
});

test("a stranger cannot claim the id of a CloudEvent", async () => {
  const source = await aSource(runtime, "cloudevents");
  const event = anEvent();

  for (const mode of [Mode.BINARY, Mode.STRUCTURED]) await emit(source, event, mode, { authorization: "Bearer x" });
  await emit(source, event, Mode.BINARY);

  const verdicts = (await source.stream.received()).map(({ payload }) => payload.verified);
  assert.deepEqual(verdicts, [false, false, true]);
});

test("the token may come in the URL, and is not kept", async () => {
  const source = await aSource(runtime, "cloudevents");
  const url = `${source.url}&access_token=${encodeURIComponent(runtime.secret("CLOUDEVENTS"))}`;
  const { headers, body } = HTTP.structured(anEvent());

  const { payload } = await source.stored({ url, headers, body });

  assert.equal(payload.verified, true);
  assert.ok(!payload.url.includes("access_token"));
});

test("what is no valid CloudEvent is kept as what it is", async () => {
  const source = await aSource(runtime, "cloudevents");
  const structured = "application/cloudevents+json";
  for (const [contentType, body] of [
    [structured, "{}"],
    [structured, '{"specversion":"1.0","id":1,"source":"/a","type":"t"}'],
    [structured, "[]"],
    [structured, "not JSON"],
    ["application/cloudevents-batch+json", "[]"],
    ["application/cloudevents-batch+json", '[{"id":"1"}]'],
    ["application/cloudevents-batch+json", "{}"],
    ["application/json", "{}"],
  ]) {
    const event = await source.stored({ headers: { ...token, "content-type": contentType }, body });
    assert.ok(!("cloudEvent" in event.metadata), body);
    assert.equal((await source.stream.raw(event.offset)).toString(), body);
  }
});

test("a batch of more events than one commit takes loses none", async () => {
  const source = await aSource(runtime, "cloudevents");
  const events = Array.from({ length: 1_200 }, (_, n) => ({ specversion: "1.0", id: `${n}`, source: "/s", type: "t" }));

  const answer = await source.send(batch(events));

  // All of them, or a refusal that says so.
  const stored = (await source.stream.received()).length;
  if (answer.status === 413) assert.equal(stored, 0);
  else assert.equal(stored, events.length, `${answer.status}: ${stored} of ${events.length} are stored`);
});

test("a large CloudEvent in the binary mode keeps its attributes and lands once", async () => {
  const source = await aSource(runtime, "cloudevents");
  const event = anEvent({ data: { text: "x".repeat(300 * 1024) } });

  await emit(source, event, Mode.BINARY);
  await emit(source, event, Mode.BINARY);

  const stored = await source.stream.received();
  assert.equal(stored.length, 1);
  assert.equal(stored[0].payload.verified, true);
  assert.equal(stored[0].metadata.cloudEvent.id, event.id);
});
