// Compares Tailrace with floors written in plain JavaScript, side by side. See README.md here.
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { machine } from "./runner/machine.mjs";
import { usual } from "./runner/contenders.mjs";
import { options, usage } from "./runner/options.mjs";
import { report } from "./runner/report.mjs";
import { inRounds } from "./runner/rounds.mjs";
import { Server } from "./runner/server.mjs";
import { underProjectNode } from "../scripts/setup/packages.mjs";

// An older one lacks what the load generator uses.
if (!(await underProjectNode())) process.exit();

const { help, quick, measures, contenders, state, build, out } = options();
if (help) {
  process.stdout.write(usage);
  process.exit(0);
}

const say = (text) => process.stderr.write(`bench: ${text}\n`);
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, async () => {
    await Server.stopAll();
    process.exit(1);
  });
}

const run = { machine: machine(state, build), quick, measures: [] };
for (const { name, title, metrics, floor, ...measure } of measures) {
  const begun = performance.now();
  const compared = contenders.filter((contender) => (measure.contenders ?? usual).includes(contender));
  if (compared.length === 0) continue;
  const results = await inRounds({ name, ...measure }, compared, { quick, state, build, say });
  run.measures.push({ name, title, metrics, floor, results });
  say(`${name}: ${((performance.now() - begun) / 1000).toFixed(0)} s`);
}

const text = report(run);
process.stdout.write(text);
if (out) {
  const folder = path.resolve(out);
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, "RESULTS.md"), text);
  await writeFile(path.join(folder, "results.json"), `${JSON.stringify(run, undefined, 2)}\n`);
  say(`written to ${path.relative(process.cwd(), folder) || "."}`);
}
const failed = run.measures.some(({ results }) => Object.values(results).some(({ error }) => error));
process.exitCode = failed ? 1 : 0;
