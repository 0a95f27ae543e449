// How each provider signs what it sends: by its own library where it has one, else as its documentation says.
import { createHmac, createPublicKey, createSign, createVerify, randomUUID, sign } from "node:crypto";
import { Webhooks } from "@octokit/webhooks";
import bolt from "@slack/bolt";
import { verifyKey } from "discord-interactions";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import twilio from "twilio";
import { hmac, otherPairs, pairs, rawHex, sha256, spki } from "./support.mjs";

const stripe = new Stripe("sk_test_none");
const json = { "content-type": "application/json" };
const form = { "content-type": "application/x-www-form-urlencoded" };

/** Whoever has the private key of a public one. */
const privateKeys = new Map();
for (const { discord, sendgrid } of [pairs, otherPairs]) {
  privateKeys.set(rawHex(discord.publicKey), discord.privateKey);
  privateKeys.set(spki(sendgrid.publicKey), sendgrid.privateKey);
}

/**
 * A provider:
 *   request({secret, at, id, url, text})  what it sends, signed: at a time, with the id of a delivery
 *   verifies(stored, secret)              whether its receivers find it signed, from what was stored
 *   timed                                 the signature holds for a while only
 *   names                                 deliveries have ids
 *   rejects                               what does not verify is refused
 *   covers: false                         a token, which does not prove the body
 */
export const senders = [
  {
    name: "Slack, by the rules of its documentation and Bolt",
    preset: "slack",
    secret: "SLACK",
    timed: true,
    names: true,
    request({ secret, at, id, text }) {
      const body = JSON.stringify({ type: "event_callback", event_id: id, event: { type: "message", text } });
      return { headers: { ...json, ...slackSigned(secret, at, body) }, body };
    },
    verifies: ({ headers, text }, signingSecret) => bolt.isValidSlackRequest({ signingSecret, headers, body: text }),
  },
  {
    name: "GitHub, by @octokit/webhooks",
    preset: "github",
    secret: "GITHUB",
    names: true,
    async request({ secret, id, text }) {
      const body = JSON.stringify({ zen: text, hook_id: 1 });
      const signature = await new Webhooks({ secret }).sign(body);
      const headers = { ...json, "x-github-event": "ping", "x-github-delivery": id, "x-hub-signature-256": signature };
      return { headers, body };
    },
    verifies: ({ headers, text }, secret) => new Webhooks({ secret }).verify(text, headers["x-hub-signature-256"]),
  },
  {
    name: "GitLab",
    preset: "gitlab",
    secret: "GITLAB",
    names: true,
    covers: false,
    request({ secret, id, text }) {
      const body = JSON.stringify({ object_kind: "push", text });
      const headers = { ...json, "x-gitlab-event": "Push Hook", "x-gitlab-token": secret, "idempotency-key": id };
      return { headers, body };
    },
  },
  {
    name: "Stripe, by its library",
    preset: "stripe",
    secret: "STRIPE",
    timed: true,
    names: true,
    request({ secret, at, id, text }) {
      const payload = JSON.stringify(
        { id: `evt_${id}`, object: "event", type: "charge.succeeded", text },
        undefined,
        2,
      );
      const header = stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp: at });
      return { headers: { ...json, "stripe-signature": header }, body: payload };
    },
    verifies: ({ headers, text }, secret) =>
      holds(() => stripe.webhooks.constructEvent(text, headers["stripe-signature"], secret)),
  },
  {
    name: "Standard Webhooks, by standardwebhooks",
    preset: "standard-webhooks",
    secret: "STANDARD_WEBHOOKS",
    timed: true,
    names: true,
    request({ secret, at, id, text }) {
      const body = JSON.stringify({ type: "user.created", data: { text } });
      const signature = new StandardWebhook(secret).sign(id, new Date(at * 1000), body);
      const headers = { ...json, "webhook-id": id, "webhook-timestamp": String(at), "webhook-signature": signature };
      return { headers, body };
    },
    verifies: ({ headers, text }, secret) => holds(() => new StandardWebhook(secret).verify(text, headers)),
  },
  {
    name: "Svix, by svix",
    preset: "standard-webhooks",
    secret: "STANDARD_WEBHOOKS",
    timed: true,
    names: true,
    request({ secret, at, id, text }) {
      const body = JSON.stringify({ type: "invoice.paid", data: { text } });
      const signature = new SvixWebhook(secret).sign(id, new Date(at * 1000), body);
      const headers = {
        ...json,
        "svix-id": id,
        "svix-timestamp": String(at),
        "svix-signature": `v1a,AA== ${signature}`,
      };
      return { headers, body };
    },
    verifies: ({ headers, text }, secret) => holds(() => new SvixWebhook(secret).verify(text, headers)),
  },
  {
    name: "Discord, verified by discord-interactions",
    preset: "discord",
    secret: "DISCORD",
    timed: true,
    names: true,
    rejects: true,
    request({ secret, at, id, text }) {
      const body = JSON.stringify({ type: 2, id, token: "t", data: { name: text } });
      return { headers: { ...json, ...discordSigned(secret, at, body) }, body };
    },
    verifies: ({ headers, body }, publicKey) =>
      verifyKey(body, headers["x-signature-ed25519"], headers["x-signature-timestamp"], publicKey),
  },
  {
    name: "Meta",
    preset: "meta",
    secret: "META",
    request({ secret, text }) {
      // As Meta does: everything outside of ASCII is escaped, and that is what it signs.
      const body = `{"object":"page","entry":[{"text":"${text} \\u00e9\\u2713"}]}`;
      return { headers: { ...json, "x-hub-signature-256": `sha256=${hmac(secret, body)}` }, body };
    },
    verifies: ({ headers, body }, secret) => headers["x-hub-signature-256"] === `sha256=${hmac(secret, body)}`,
  },
  {
    name: "Telegram",
    preset: "telegram",
    secret: "TELEGRAM",
    names: true,
    covers: false,
    request({ secret, id, text }) {
      const update = Number.parseInt(sha256(id).slice(0, 8), 16);
      const body = JSON.stringify({ update_id: update, message: { message_id: 1, text } });
      return { headers: { ...json, "x-telegram-bot-api-secret-token": secret }, body };
    },
  },
  {
    name: "Twilio with a form, by its library",
    preset: "twilio",
    secret: "TWILIO",
    names: true,
    request({ secret, id, url, text }) {
      const params = { MessageSid: `SM${id}`, Body: `${text} & é ✓+`, From: "+15550100", AccountSid: "AC1", Empty: "" };
      const signature = twilio.getExpectedTwilioSignature(secret, url, params);
      const headers = { ...form, "x-twilio-signature": signature, "i-twilio-idempotency-token": id };
      return { headers, body: new URLSearchParams(params).toString() };
    },
    verifies: ({ headers, text, url }, secret) =>
      twilio.validateRequest(secret, headers["x-twilio-signature"], url, Object.fromEntries(new URLSearchParams(text))),
  },
  {
    name: "Twilio with JSON, by its library",
    preset: "twilio",
    secret: "TWILIO",
    names: true,
    request({ secret, id, url, text }) {
      const body = JSON.stringify({ MessageSid: `SM${id}`, text });
      const signed = `${url}&bodySHA256=${sha256(body)}`;
      const signature = twilio.getExpectedTwilioSignature(secret, signed, {});
      const headers = { ...json, "x-twilio-signature": signature, "i-twilio-idempotency-token": id };
      return { url: signed, headers, body };
    },
    verifies: ({ headers, text, url }, secret) =>
      twilio.validateRequestWithBody(secret, headers["x-twilio-signature"], url, text),
  },
  {
    name: "Shopify",
    preset: "shopify",
    secret: "SHOPIFY",
    names: true,
    request({ secret, id, text }) {
      const body = JSON.stringify({ id: 1, email: text });
      const headers = { ...json, "x-shopify-topic": "orders/create", "x-shopify-webhook-id": id };
      return { headers: { ...headers, "x-shopify-hmac-sha256": hmac(secret, body, "base64") }, body };
    },
    verifies: ({ headers, body }, secret) => headers["x-shopify-hmac-sha256"] === hmac(secret, body, "base64"),
  },
  {
    name: "Zoom",
    preset: "zoom",
    secret: "ZOOM",
    timed: true,
    request({ secret, at, text }) {
      const body = JSON.stringify({ event: "meeting.started", event_ts: at * 1000, payload: { text } });
      return { headers: { ...json, ...zoomSigned(secret, at, body) }, body };
    },
    verifies: ({ headers, text }, secret) => {
      const at = headers["x-zm-request-timestamp"];
      return headers["x-zm-signature"] === `v0=${hmac(secret, `v0:${at}:${text}`)}`;
    },
  },
  {
    name: "Microsoft Graph",
    preset: "microsoft-graph",
    secret: "MICROSOFT_GRAPH",
    covers: false,
    request({ secret, id, text }) {
      const one = { subscriptionId: id, changeType: "created", resource: text, clientState: secret };
      return { headers: json, body: JSON.stringify({ value: [one, one] }) };
    },
  },
  {
    name: "SendGrid",
    preset: "sendgrid",
    secret: "SENDGRID",
    timed: true,
    request({ secret, at, text }) {
      const body = `${JSON.stringify([{ sg_event_id: text, event: "delivered" }])}\r\n`;
      return { headers: { ...json, ...sendgridSigned(secret, at, body) }, body };
    },
    verifies({ headers, body }, secret) {
      const key = createPublicKey({ key: Buffer.from(secret, "base64"), format: "der", type: "spki" });
      const signed = createVerify("sha256").update(headers["x-twilio-email-event-webhook-timestamp"]).update(body);
      return signed.verify(key, headers["x-twilio-email-event-webhook-signature"], "base64");
    },
  },
  ...Object.entries({
    "a header": (secret) => ({ headers: { "x-webhook-token": secret } }),
    "a bearer": (secret) => ({ headers: { authorization: `Bearer ${secret}` } }),
    "the password of Basic authentication": (secret) => ({ headers: { authorization: basic("any", secret) } }),
    "a parameter": (secret, url) => ({ url: `${url}&token=${encodeURIComponent(secret)}` }),
  }).map(([where, place]) => ({
    name: `a shared token as ${where}`,
    preset: "shared-token",
    secret: "SHARED_TOKEN",
    names: true,
    covers: false,
    request({ secret, id, url, text }) {
      const { headers, ...rest } = place(secret, url);
      return { headers: { ...headers, "idempotency-key": id }, body: text, ...rest };
    },
  })),
];

export const basic = (user, password) => `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;

export function slackSigned(secret, at, body) {
  const signature = createHmac("sha256", secret).update(`v0:${at}:${body}`).digest("hex");
  return { "x-slack-request-timestamp": String(at), "x-slack-signature": `v0=${signature}` };
}

export function discordSigned(publicKey, at, body) {
  const signature = sign(null, Buffer.from(`${at}${body}`), privateKeys.get(publicKey));
  return { "x-signature-ed25519": signature.toString("hex"), "x-signature-timestamp": String(at) };
}

export function zoomSigned(secret, at, body) {
  return { "x-zm-request-timestamp": String(at), "x-zm-signature": `v0=${hmac(secret, `v0:${at}:${body}`)}` };
}

export function sendgridSigned(publicKey, at, body) {
  const signature = createSign("sha256").update(String(at)).update(body).sign(privateKeys.get(publicKey), "base64");
  return {
    "x-twilio-email-event-webhook-signature": signature,
    "x-twilio-email-event-webhook-timestamp": String(at),
  };
}

/** The id of a delivery. */
export const anId = () => randomUUID().replaceAll("-", "");

function holds(check) {
  try {
    check();
    return true;
  } catch {
    return false;
  }
}
