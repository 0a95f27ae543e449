// npm test: sets up what is missing and runs all suites; `npm test -- native js` runs only these.
import { underProjectNode } from "./setup/packages.mjs";
import { StepError, main, say, stopRunning } from "./setup/step.mjs";

let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    stopRunning();
    process.exitCode = 1;
    interrupted = true;
  });
}
await main(async () => {
  if (!(await underProjectNode())) return undefined;
  const { suites } = await import("./suites.mjs");
  const wanted = process.argv.slice(2);
  const names = suites.map((suite) => suite.name);
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length) {
    throw new StepError(
      "npm test cannot run",
      `there is no suite ${unknown.join(", ")}`,
      `choose among ${names.join(", ")}`,
    );
  }

  const results = [];
  for (const suite of suites) {
    if (interrupted || (wanted.length && !wanted.includes(suite.name)) || !suite.exists()) continue;
    results.push(await timed(suite));
  }
  say("summary");
  for (const { name, ok, seconds } of results) say(`  ${ok ? "passed" : "FAILED"}  ${name.padEnd(8)} ${seconds} s`);
  return interrupted || results.some(({ ok }) => !ok) ? 1 : 0;
});

/** One suite that fails, or cannot run, does not keep the others from running. */
async function timed({ name, about, run }) {
  say(`suite ${name}: ${about}`);
  const started = Date.now();
  let ok = false;
  try {
    ok = (await run()) === 0;
  } catch (error) {
    say(error instanceof StepError ? error.message : error.stack);
  }
  const seconds = Math.round((Date.now() - started) / 1000);
  say(`suite ${name} ${ok ? "passed" : "FAILED"} after ${seconds} s`);
  return { name, ok, seconds };
}
