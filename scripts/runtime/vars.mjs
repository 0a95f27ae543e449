// The variables and secrets of a local Worker. They come from the environment, as in a deployment, and never
// appear on a command line, where every user of the machine could read them.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { inProject } from "../setup/paths.mjs";

/** Variables that speak to the scripts and the tests, not to the Worker. */
const forScripts = /^TAILRACE_(TOOLCHAIN|HOOK_PRIVATE_KEY|BUILD|TEST_.*|NODE|RUNTIME|WORKERD)$/;

/**
 * Every other variable that begins with TAILRACE_. Without a token the Worker would only say how to set one, so it
 * is then opened: a local server listens on the loopback address alone.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {Record<string, string>}
 */
export function workerVars(env = process.env) {
  const vars = {};
  for (const [name, value] of Object.entries(env)) {
    if (name.startsWith("TAILRACE_") && !forScripts.test(name) && value) vars[name] = value;
  }
  if (!vars.TAILRACE_TOKEN) vars.TAILRACE_OPEN ??= "1";
  // Whoever develops has subscribers on the same machine.
  vars.TAILRACE_LOOPBACK_TARGETS ??= "1";
  return vars;
}

/**
 * Writes variables to a file that only this user can read, for programs that take them only so. The next start
 * with the same name overwrites what a killed one left behind.
 */
export function writeVars(name, vars) {
  const file = inProject(".tailrace", name);
  mkdirSync(path.dirname(file), { recursive: true });
  rmSync(file, { force: true });
  writeFileSync(file, Object.entries(vars).map(line).join(""), { mode: 0o600 });
  return { file, remove: () => rmSync(file, { force: true }) };
}

/** dotenv unescapes only within double quotes, so the quote is one that the value does not contain. */
function line([name, value]) {
  const quote = ["'", "`", '"'].find((mark) => !value.includes(mark)) ?? "'";
  return `${name}=${quote}${value}${quote}\n`;
}
