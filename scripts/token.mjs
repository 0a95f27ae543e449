// npm run token: signs a token that opens a path, and all below, for some powers and some time.
//
//   TAILRACE_TOKEN=… npm run token -- --by worker-1 --path /support --can read,append --exp 30d
import { parseArgs } from "node:util";
import { underProjectNode } from "./setup/packages.mjs";
import { StepError, main } from "./setup/step.mjs";

const powers = ["read", "append", "approve", "control"];
const usage = "TAILRACE_TOKEN=… npm run token -- --by NAME --path /p --can read,append --exp 30d";
const unit = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

await main(async () => {
  const claims = claimsOf(options());
  const secret = process.env.TAILRACE_TOKEN;
  if (!secret) throw refuse("TAILRACE_TOKEN is not set; it must be the deployment's");
  if (!(await underProjectNode())) return;

  const { SignJWT } = await import("jose");
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .sign(new TextEncoder().encode(secret));
  console.log(token);
});

function options() {
  const option = { type: "string" };
  try {
    return parseArgs({ options: { by: option, path: option, can: option, exp: option } }).values;
  } catch (error) {
    throw refuse(error.message);
  }
}

/** @returns {{by: string, path: string, can: string[], exp: number}} what the Worker will read */
function claimsOf({ by, path, can, exp }) {
  if (!by) throw refuse("--by is missing: the name that the token's events will carry");
  if (!path?.startsWith("/")) throw refuse("--path must begin with a slash; / opens everything");
  const wanted = [...new Set((can ?? "").split(",").map((power) => power.trim()))];
  const unknown = wanted.filter((power) => !powers.includes(power));
  if (unknown.length) throw refuse(`--can takes ${powers.join(", ")}, separated by commas, not "${unknown.join(",")}"`);
  return { by, path: path.length > 1 ? path.replace(/\/$/, "") : path, can: wanted, exp: expiry(exp) };
}

/** A span such as 30d, or a date. A token without an end could never be taken back. */
function expiry(text = "") {
  const now = Math.floor(Date.now() / 1000);
  const [, amount, name] = /^(\d+)([smhdw])$/.exec(text) ?? [];
  const at = amount ? now + Number(amount) * unit[name] : Math.floor(Date.parse(text) / 1000);
  if (Number.isNaN(at)) throw refuse("--exp takes a span (15m, 12h, 30d, 4w) or a date (2030-01-31)");
  if (at <= now) throw refuse("--exp lies in the past");
  return at;
}

function refuse(why) {
  return new StepError("no token was made", why, usage);
}
