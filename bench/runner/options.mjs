import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { inProject } from "../../scripts/setup/paths.mjs";
import { measures } from "../measures/all.mjs";
import { contenders } from "./contenders.mjs";

export const usage = `node bench/run.mjs [options]

  --quick            shorter and fewer rounds: about six minutes instead of twenty
  --only NAME,…      only these measures: ${names(measures).join(", ")}
  --against NAME,…   only these contenders: ${Object.keys(contenders).join(", ")}
  --state FOLDER     where the servers keep their streams; by default the system's folder for temporary files.
                     One in memory (/dev/shm) takes the disk out of the numbers
  --build FOLDER     the build of Tailrace to measure, by default build/
  --out FOLDER       where RESULTS.md and results.json are written; without it only a full run writes, to bench/
`;

export function options(args = process.argv.slice(2)) {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      against: { type: "string" },
      state: { type: "string", default: tmpdir() },
      build: { type: "string", default: inProject("build") },
      out: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const only = chosen(values.only, names(measures));
  const whole = !values.quick && !values.only && !values.against;
  return {
    help: values.help,
    quick: values.quick,
    measures: measures.filter(({ name, group }) => only.includes(name) || only.includes(group)),
    contenders: chosen(values.against, Object.keys(contenders)),
    state: path.resolve(values.state),
    build: path.resolve(values.build),
    out: values.out ?? (whole ? "bench" : undefined),
  };
}

function names(measures) {
  const groups = measures.flatMap(({ group }) => group ?? []);
  return [...measures.map(({ name }) => name), ...new Set(groups)];
}

function chosen(list, known) {
  const names = list?.split(",") ?? known;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    process.stderr.write(`bench: there is no "${unknown}", only ${known.join(", ")}\n`);
    process.exit(2);
  }
  return known.filter((name) => names.includes(name));
}
