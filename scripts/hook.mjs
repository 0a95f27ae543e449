// npm run hook -- github /my/agent: sends a signed sample of a provider to the system on this machine.
//
//   npm run hook -- <preset> <path> [--url http://localhost:8787] [--source SLUG] [--bad]
//
// The secret is the one that the local system was started with: TAILRACE_SECRET_<NAME> in the environment.
import { createHmac, createPrivateKey, randomUUID, sign as signWithKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { inProject } from "./setup/paths.mjs";
import { StepError, main } from "./setup/step.mjs";

const table = JSON.parse(readFileSync(inProject("model", "src", "webhook", "presets.json"), "utf8"));

await main(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      url: { type: "string", default: "http://localhost:8787" },
      source: { type: "string" },
      bad: { type: "boolean", default: false },
    },
  });
  const [name, stream] = positionals;
  const preset = table.find((row) => row.name === name);
  if (!preset || !stream?.startsWith("/")) {
    const names = table.map((row) => row.name).join(", ");
    throw new StepError(
      "npm run hook needs a preset and a path",
      `presets: ${names}`,
      "npm run hook -- github /my/agent",
    );
  }
  const url = `${values.url}/hooks${stream}?source=${values.source ?? name}`;
  const request = signed(preset, url, values.bad ? "not the secret" : secretOf(preset));
  const response = await fetch(request.url, { method: "POST", headers: request.headers, body: request.body });
  console.log(`POST ${request.url}`);
  for (const [header, value] of Object.entries(request.headers)) console.log(`${header}: ${value}`);
  console.log(`\n${request.body}\n`);
  console.log(`→ ${response.status} ${await response.text()}`);
  return response.ok ? 0 : 1;
});

/** The value of the preset's secret, as the local system has it. */
function secretOf({ secret }) {
  if (!secret) return "";
  const variable = `TAILRACE_SECRET_${secret.name}`;
  try {
    return JSON.parse(process.env[variable]).value;
  } catch {
    throw new StepError(
      "there is no secret to sign with",
      `${variable} is not set here, or is not {"value": "…", "verify": ["…"]}`,
      "set it to what the local system was started with",
    );
  }
}

/** A sample, signed as the preset's row says. */
function signed({ definition, sample }, url, secret) {
  const random = randomUUID();
  const fill = (text) =>
    text.replaceAll('"{number}"', String(Date.now())).replaceAll("{random}", random).replaceAll("{secret}", secret);
  const form = sample.form && JSON.parse(fill(JSON.stringify(sample.form)));
  const body = form ? new URLSearchParams(form).toString() : fill(JSON.stringify(sample.body));
  const headers = JSON.parse(fill(JSON.stringify(sample.headers)));
  const { verify } = definition;
  if (!verify) return { url, headers, body };
  const timestamp = String(Math.floor(Date.now() / 1000));
  const place = first(verify.signature);
  if (verify.scheme === "token") {
    if (place.header) headers[place.header] = place.header === "authorization" ? `Bearer ${secret}` : secret;
    return { url, headers, body };
  }
  const stamp = verify.timestamp && first(verify.timestamp);
  if (stamp && !stamp.part) headers[stamp.header] = timestamp;
  const sorted = Object.entries(form ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const message = (verify.signed ?? "{body}").replace(/\{([^}]+)\}/g, (_, piece) => {
    if (piece.startsWith("header:")) return headers[piece.slice("header:".length).split("|")[0]] ?? "";
    return { body, timestamp, url, form: sorted.flat().join("") }[piece];
  });
  const signature = `${verify.prefix ?? ""}${made(verify, secret, message)}`;
  headers[place.header] = place.part ? `${stamp.part}=${timestamp},${place.part}=${signature}` : signature;
  return { url, headers, body };
}

function made({ scheme, key, encoding = "hex" }, secret, message) {
  if (scheme.startsWith("hmac-")) {
    const bytes = key === "base64" ? Buffer.from(secret.replace(/^whsec_/, ""), "base64") : secret;
    return createHmac(scheme.slice("hmac-".length), bytes).update(message).digest(encoding);
  }
  // The system has the public key; who tries it out signs with the private one.
  const pem = process.env.TAILRACE_HOOK_PRIVATE_KEY;
  if (!pem) {
    throw new StepError(
      `${scheme} is signed with a private key`,
      "TAILRACE_HOOK_PRIVATE_KEY (PEM) is not set",
      "make a pair of keys with openssl, and give the system the public one as the secret",
    );
  }
  const algorithm = scheme === "ed25519" ? null : "sha256";
  return signWithKey(algorithm, Buffer.from(message), createPrivateKey(pem)).toString(encoding);
}

function first(place) {
  return Array.isArray(place) ? place[0] : place;
}
