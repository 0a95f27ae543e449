// Forms are readable in the event and exact in the raw bytes; XML and text are text.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { anId, slackSigned } from "./senders.mjs";
import { aRuntime, aSource, aStream, asStored, now, Source } from "./support.mjs";

const runtime = await aRuntime();
const urlencoded = "application/x-www-form-urlencoded";

/** A third party that nobody configured. */
const anyone = () => new Source(aStream(runtime), "anyone");

async function exact(source, sent) {
  const event = await source.stored(sent);
  assert.deepEqual((await asStored(source.stream, event)).body, Buffer.from(sent.body));
  return event.payload;
}

test("the fields of a form are decoded in their order, a name that comes twice is a list", async () => {
  const body = "b=1+2&a=%C3%A9%26&b=3&empty=&none&%5B%5D=x&__proto__=p&=nameless&b=";
  for (const contentType of [urlencoded, `${urlencoded}; charset=UTF-8`]) {
    const payload = await exact(anyone(), { headers: { "content-type": contentType }, body });

    assert.deepEqual([payload.encoding, payload.body], ["form", body], contentType);
    const expected = '{"b":["1 2","3",""],"a":"é&","empty":"","none":"","[]":"x","__proto__":"p","":"nameless"}';
    assert.deepEqual(payload.form, JSON.parse(expected));
  }
});

test("what is no good form is kept all the same", async () => {
  for (const body of ["%", "%zz=%E0%A4%A", "a=%00&b=\u0000", "&&&", "=", "a".repeat(10_000)]) {
    const payload = await exact(anyone(), { headers: { "content-type": urlencoded }, body });
    assert.deepEqual([payload.encoding, payload.body], ["form", body]);
  }
});

test("Slack's payload is unpacked beside the raw form", async () => {
  const source = await aSource(runtime, "slack");
  const interaction = { type: "block_actions", user: { id: "U1" }, actions: [{ value: "é & ✓ +" }] };
  const body = new URLSearchParams({ payload: JSON.stringify(interaction) }).toString();
  const headers = { "content-type": urlencoded, ...slackSigned(runtime.secret("SLACK"), now(), body) };

  const payload = await exact(source, { headers, body });

  assert.equal(payload.verified, true);
  assert.deepEqual(payload.unpacked, interaction);
  assert.deepEqual(payload.form, { payload: JSON.stringify(interaction) });
  assert.equal(payload.body, body);
});

test("a payload that is no JSON is not unpacked", async () => {
  for (const value of ["hello", "{", "[1,", '"text"', "", "{}trailing"]) {
    const body = new URLSearchParams({ payload: value }).toString();
    const payload = await exact(anyone(), { headers: { "content-type": urlencoded }, body });
    assert.ok(!("unpacked" in payload), value);
    assert.deepEqual(payload.form, { payload: value });
  }
});

test("a multipart form has its fields, and its files by name, type and size", async () => {
  const image = randomBytes(5_000);
  const form = new FormData();
  form.append("text", "héllo ✓\r\nsecond line");
  form.append("twice", "1");
  form.append("twice", "2");
  form.append("__proto__", "p");
  form.append("file", new Blob([image], { type: "image/png" }), 'a "b" é.png');
  form.append("twice", new Blob(["x"], { type: "text/plain" }), "x.txt");
  form.append("nothing", new Blob([]), "empty");
  const request = new Request("http://x/", { method: "POST", body: form });
  const body = Buffer.from(await request.arrayBuffer());

  const payload = await exact(anyone(), { headers: { "content-type": request.headers.get("content-type") }, body });

  assert.equal(payload.encoding, "base64");
  const fields = payload.form;
  assert.equal(fields.text, "héllo ✓\r\nsecond line");
  assert.deepEqual(fields.twice, ["1", "2", { name: "x.txt", type: "text/plain", size: 1 }]);
  assert.deepEqual(Object.getOwnPropertyDescriptor(fields, "__proto__").value, "p");
  assert.deepEqual([fields.file.type, fields.file.size], ["image/png", image.length]);
  assert.match(fields.file.name, /a .*b.* é\.png/);
  assert.equal(fields.nothing.size, 0);
});

test("the name of a content type counts in any case", async () => {
  const form = await exact(anyone(), { headers: { "content-type": "Application/X-WWW-Form-Urlencoded" }, body: "a=1" });
  assert.deepEqual(form.form, { a: "1" });
  const body = '--B\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--B--\r\n';
  const multipart = await exact(anyone(), { headers: { "content-type": "Multipart/Form-Data; boundary=B" }, body });
  assert.deepEqual(multipart.form, { a: "1" });
});

test("a file of a multipart form is in the raw bytes", async () => {
  const file = randomBytes(1_000_000);
  const form = new FormData();
  form.append("file", new Blob([file]), "large.bin");
  const request = new Request("http://x/", { method: "POST", body: form });
  const headers = { "content-type": request.headers.get("content-type") };
  const body = Buffer.from(await request.arrayBuffer());
  const source = anyone();

  const event = await source.stored({ headers, body });

  const stored = await asStored(source.stream, event);
  const read = await new Response(stored.body, {
    headers: { "content-type": stored.headers["content-type"] },
  }).formData();
  assert.deepEqual(Buffer.from(await read.get("file").arrayBuffer()), file);
});

test("a multipart form of text only is readable as text too", async () => {
  const boundary = anId();
  const body = `--${boundary}\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--${boundary}--\r\n`;

  const payload = await exact(anyone(), {
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
    body,
  });

  assert.deepEqual([payload.encoding, payload.body, payload.form], ["form", body, { a: "1" }]);
});

test("what only says that it is a multipart form is kept as what it is", async () => {
  const head = 'content-disposition: form-data; name="a"';
  for (const [contentType, body] of [
    ["multipart/form-data", "x"],
    ["multipart/form-data; boundary=", "----\r\n"],
    ["multipart/form-data; boundary=b", "no boundary"],
    ["multipart/form-data; boundary=b", `--b\r\n${head}\r\n\r\ncut`],
    ["multipart/form-data; boundary=b", `--b\r\n${head}`],
    ["multipart/form-data; boundary=b", `--b\r\n\r\n\r\n--b--`],
    ["multipart/form-data; boundary=é b", `--b\r\n${head}\r\n\r\n1\r\n--b--`],
    ["multipart/form-data; boundary=b", '{"a":1}'],
  ]) {
    const payload = await exact(anyone(), { headers: { "content-type": contentType }, body });
    assert.ok(!("form" in payload), body);
    assert.ok(["text", "json"].includes(payload.encoding));
  }
});

test("XML and text are text, whatever they are called", async () => {
  const xml = '<?xml version="1.0"?>\n<a b="ü">&amp;<![CDATA[x]]></a>';
  for (const [contentType, body] of [
    ["application/xml", xml],
    ["text/xml; charset=utf-8", xml],
    ["application/json", xml],
    ["text/plain", "héllo\r\n\u2028✓"],
    ["text/html", "<script>alert(1)</script>"],
  ]) {
    const payload = await exact(anyone(), { headers: { "content-type": contentType }, body });
    assert.deepEqual([payload.encoding, payload.body, payload.contentType], ["text", body, contentType]);
  }
});
