// What a provider signs by its own library or documentation verifies here, and from what is stored there again; what was
// changed, is old, or is signed with another secret does not.
import assert from "node:assert/strict";
import net from "node:net";
import { text as socketText } from "node:stream/consumers";
import { test } from "node:test";
import bolt from "@slack/bolt";
import twilio from "twilio";
import { anId, senders, sendgridSigned, slackSigned } from "./senders.mjs";
import { aRuntime, aSource, asStored, now } from "./support.mjs";

const runtime = await aRuntime();
const text = "héllo ✓";

for (const { name, preset, secret, timed, names, rejects, covers = true, request, verifies } of senders) {
  const key = runtime.secret(secret);
  const next = `${secret}_NEXT`;
  const deliver = (source, more = {}) =>
    request({ secret: key, at: now(), id: anId(), url: source.url, text, ...more });

  /** It is stored with the verdict false and why, or refused. */
  async function doesNotVerify(source, sent, why) {
    const before = await source.stream.head();
    const answer = await source.send(sent);
    if (rejects) {
      assert.equal(answer.status, 401, answer.text);
      const problem = JSON.parse(answer.text);
      assert.equal(problem.code, "unauthorized");
      assert.match(problem.detail, why);
      assert.equal(await source.stream.head(), before, "nothing is stored");
      return;
    }
    assert.ok(answer.status < 300, `${answer.status} ${answer.text}`);
    const { offset, payload } = await source.last();
    assert.equal(offset, before + 1);
    assert.equal(payload.verified, false);
    assert.match(payload.reason, why);
    assert.ok(!("key" in payload));
    assert.deepEqual(await source.stream.raw(offset), Buffer.from(sent.body));
  }

  test(name, async (t) => {
    const source = await aSource(runtime, preset);

    await t.test("what it signs verifies, also from what is stored", async () => {
      const sent = await deliver(source);

      const event = await source.stored(sent);

      const { verified, scheme, key: by, source: slug } = event.payload;
      assert.deepEqual({ verified, scheme, by, slug }, { verified: true, scheme: preset, by: secret, slug: "theirs" });
      const stored = await asStored(source.stream, event);
      assert.deepEqual(stored.body, Buffer.from(sent.body));
      if (verifies) {
        assert.equal(await verifies(stored, key), true);
        assert.equal(await verifies(stored, runtime.secret(next)), false, "not with another secret");
      }
    });

    await t.test("what was changed on the way does not verify", { skip: !covers && "a token" }, async () => {
      const sent = await deliver(source);
      await doesNotVerify(source, { ...sent, body: sent.body.replace("llo", "llO") }, /signature|digest/);
    });

    await t.test("what carries no signature, or no such thing as one, does not verify", async () => {
      const sent = await deliver(source);
      const plain = { ...sent, url: source.url, headers: { "content-type": "application/json" }, body: "{}" };
      await doesNotVerify(source, plain, /it carries no signature/);
      for (const [header, value] of Object.entries(sent.headers)) {
        if (!/signature|hmac|token$|authorization/.test(header) || header.startsWith("i-")) continue;
        for (const nonsense of ["x", "v0=zz", "sha256=", "t=,v1=", "v1,!", `${value}00`, value.slice(0, -2)]) {
          await doesNotVerify(source, { ...sent, headers: { ...sent.headers, [header]: nonsense } }, /./);
        }
      }
    });

    await t.test("what is signed with another secret does not verify", async () => {
      const sent = await deliver(source, { secret: runtime.secret(next) });
      await doesNotVerify(source, sent, /secret|no key made this signature/);
    });

    await t.test("what was signed five minutes ago or later verifies, but nothing else", { skip: !timed }, async () => {
      for (const at of [now() - 290, now() + 290]) {
        assert.equal((await source.stored(await deliver(source, { at }))).payload.verified, true);
      }
      for (const at of [now() - 310, now() + 310, 1]) {
        await doesNotVerify(source, await deliver(source, { at }), /signed -?\d+ seconds ago, at most 300 are allowed/);
      }
    });

    await t.test("a repeat lands once, whatever else differs", { skip: !names }, async () => {
      const id = anId();
      const first = await source.stored(await deliver(source, { id }));

      const again = await deliver(source, { id, at: now() - 60, text: "other héllo" });
      const answer = await source.send({ ...again, headers: { ...again.headers, "x-retry-num": "1" } });

      assert.equal(answer.status, 200);
      assert.equal(await source.stream.head(), first.offset);
      if (answer.text.includes("offset")) assert.deepEqual(JSON.parse(answer.text), { offset: first.offset });
      await source.stored(await deliver(source));
      assert.equal(await source.stream.head(), first.offset + 1, "another delivery is stored");
    });

    await t.test("a stranger cannot claim the id of a delivery", { skip: !names || rejects }, async () => {
      const id = anId();
      await doesNotVerify(source, await deliver(source, { id, secret: runtime.secret(next) }), /./);

      const { payload } = await source.stored(await deliver(source, { id }));

      assert.equal(payload.verified, true);
      // And what it sends later is kept as well, as what it is.
      await doesNotVerify(source, await deliver(source, { id, secret: runtime.secret(next) }), /./);
    });

    await t.test("while one secret takes the place of another, both verify", async () => {
      const rotating = await aSource(runtime, preset, { verify: { secrets: [next, secret] } });
      for (const called of [secret, next]) {
        const { payload } = await rotating.stored(await deliver(rotating, { secret: runtime.secret(called) }));
        assert.deepEqual([payload.verified, payload.key], [true, called]);
      }
      const { payload } = await source.stored(await deliver(source));
      assert.equal(payload.key, secret);
    });

    await t.test("with reject what does not verify is refused, and nothing is stored", async () => {
      const strict = await aSource(runtime, preset, { reject: true });
      const before = await strict.stream.head();

      const answer = await strict.send(await deliver(strict, { secret: runtime.secret(next) }));

      assert.equal(answer.status, 401, answer.text);
      assert.equal(await strict.stream.head(), before);
      assert.equal((await strict.stored(await deliver(strict))).payload.verified, true);
    });
  });
}

test("a signature of SendGrid's verifies whichever lengths its two numbers have", async () => {
  const source = await aSource(runtime, "sendgrid");
  const seen = new Map();
  // One in 128 has a number of less than 32 bytes, half of them one with a leading zero.
  for (let n = 0; n < 5_000; n += 1) {
    const body = `body ${n}`;
    const headers = sendgridSigned(runtime.secret("SENDGRID"), now(), body);
    const der = Buffer.from(headers["x-twilio-email-event-webhook-signature"], "base64");
    const lengths = `${der[3]}+${der[4 + der[3] + 1]}`;
    if (seen.has(lengths)) continue;
    seen.set(lengths, (await source.stored({ headers, body })).payload.verified);
  }
  assert.ok(seen.size >= 6, "many lengths were met");
  assert.deepEqual(
    [...seen].filter(([, verified]) => !verified),
    [],
  );
});

test("Twilio's URL is taken to the letter, however it is written", async () => {
  const source = await aSource(runtime, "twilio");
  const { host } = new URL(runtime.url);
  const { path } = source.stream;
  for (const target of [
    `/hooks${path}?source=theirs&a=%c3%a9&b=%7Ex~&c=1+2&d={x}|^\``,
    `/hooks${path}/?source=theirs`,
    `/hooks/%74${path.slice(2)}?source=theirs&&=&a`,
    `/hooks${path}?a=../..//&source=theirs`,
  ]) {
    const url = `${runtime.url}${target}`;
    const signature = twilio.getExpectedTwilioSignature(runtime.secret("TWILIO"), url, {});
    // By hand, for clients write URLs anew.
    const head = `host: ${host}\r\nconnection: close\r\ncontent-length: 0\r\nx-twilio-signature: ${signature}`;
    const socket = net.connect(new URL(runtime.url).port, "127.0.0.1");
    socket.end(`POST ${target} HTTP/1.1\r\n${head}\r\n\r\n`);

    assert.match(await socketText(socket), /^HTTP\/1.1 200 /);
    const { payload } = await source.last();
    assert.deepEqual([payload.url, payload.verified], [url, true]);
  }
});

test("the scheme of an Authorization header counts in any case", async () => {
  const source = await aSource(runtime, "shared-token");
  for (const scheme of ["Bearer", "bearer", "BEARER"]) {
    const headers = { authorization: `${scheme} ${runtime.secret("SHARED_TOKEN")}` };
    assert.equal((await source.stored({ headers, body: "x" })).payload.verified, true, scheme);
  }
});

test("Slack's documented example verifies, but for its age", async () => {
  // https://docs.slack.dev/authentication/verifying-requests-from-slack
  const secret = "8f742231b10e8888abcd99yyyzzz85a5";
  const body =
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V" +
    "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=" +
    "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN" +
    "&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
  const headers = {
    "content-type": "application/x-www-form-urlencoded",
    "x-slack-request-timestamp": "1531420618",
    "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
  };
  assert.deepEqual({ ...headers, ...slackSigned(secret, 1531420618, body) }, headers, "the tests sign as documented");
  const documented = await aRuntime({ secrets: { SLACK: { value: secret, verify: ["slack"] } } });

  const today = await (await aSource(documented, "slack")).stored({ headers, body });
  const source = await aSource(documented, "slack", { verify: { tolerance: 10 ** 10 } });
  const event = await source.stored({ headers, body });

  assert.deepEqual([today.payload.verified, event.payload.verified], [false, true]);
  assert.match(today.payload.reason, /seconds ago/);
  assert.equal(event.payload.form.command, "/webhook-collect");
  const { headers: stored, text: storedBody } = await asStored(source.stream, event);
  const nowMilliseconds = 1531420618000;
  assert.ok(
    bolt.isValidSlackRequest({ signingSecret: secret, headers: stored, body: storedBody, nowMilliseconds }),
    "Bolt agrees",
  );
});

test("GitHub's documented example verifies", async () => {
  // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
  const documented = await aRuntime({
    secrets: { GITHUB: { value: "It's a Secret to Everybody", verify: ["github"] } },
  });
  const source = await aSource(documented, "github");
  const signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

  const { payload } = await source.stored({ headers: { "x-hub-signature-256": signature }, body: "Hello, World!" });

  assert.equal(payload.verified, true);
});
