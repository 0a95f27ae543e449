// The results as Markdown.
import { median } from "../load/numbers.mjs";
import { contenders } from "./contenders.mjs";

const subject = "tailrace";

/** @param {{machine: object, quick: boolean, measures: {title: string, metrics: object, results: object}[]}} run */
export function report({ machine, quick, measures }) {
  const lines = ["# Measured", ""];
  lines.push(
    `${machine.date}, ${machine.cpu}, ${machine.memoryGb} GB, ${machine.system} (load ${machine.load} at the start);`,
  );
  lines.push(
    `Node ${machine.node}, workerd ${machine.workerd}, miniflare ${machine.miniflare}, commit ${machine.commit ?? "unknown"}.`,
  );
  lines.push(`The disk: a commit's fsync took ${machine.fsyncMs} ms.`);
  lines.push(`Made by \`node bench/run.mjs${quick ? " --quick" : ""}\`; what is measured and how: README.md here.`, "");
  lines.push(
    "Medians of the rounds; the ratios are medians of each round's ratio. Rates: more is better; times: less is.",
    "",
  );
  for (const measure of measures) lines.push(`**${measure.title}**`, "", ...table(measure), "");
  if (machine.wasm) {
    const kb = (bytes) => `${Math.round(bytes / 1000)} kB`;
    lines.push(`**Size of the wasm**: ${kb(machine.wasm.gzipped)} gzipped, ${kb(machine.wasm.bytes)} as it is.`, "");
  }
  lines.push(
    "**Rows that an append writes**: not measured here. The tests of `durable/` assert that it is one (a keyed event one more).",
  );
  return `${lines.join("\n")}\n`;
}

function table({ metrics, floor, results }) {
  const names = Object.keys(results);
  const others = (one) => (names.includes(one) ? names.filter((name) => name !== one) : []);
  // Tailrace with each of its floors, or each client with the one that is theirs.
  const pairs = floor ? others(floor).map((name) => [name, floor]) : others(subject).map((name) => [subject, name]);
  const over = ([name, below]) => `${floor ? `${contenders[name].title} ` : ""}÷ ${below}`;
  const head = ["", ...names.map((name) => contenders[name].title), ...pairs.map(over)];
  const rows = Object.entries(metrics).map(([key, title]) => [
    title,
    ...names.map((name) => number(median(values(results[name], key)))),
    ...pairs.map(([name, below]) => ratio(results[name], results[below], key)),
  ]);
  const line = (cells) => `| ${cells.join(" | ")} |`;
  const failed = names.filter((name) => results[name].error);
  return [
    line(head),
    line(head.map((_, index) => (index === 0 ? "---" : "---:"))),
    ...rows.map(line),
    ...failed.flatMap((name) => ["", `${contenders[name].title} failed: ${results[name].error.split("\n")[0]}`]),
  ];
}

const values = ({ rounds }, key) => rounds.map((round) => round[key]).filter((value) => Number.isFinite(value));

function ratio(mine, floor, key) {
  const count = Math.min(mine.rounds.length, floor.rounds.length);
  const ratios = Array.from({ length: count }, (_, round) => mine.rounds[round][key] / floor.rounds[round][key]);
  const found = median(ratios.filter((value) => Number.isFinite(value)));
  return found === undefined ? "–" : found.toFixed(2);
}

function number(value) {
  if (value === undefined) return "–";
  if (value >= 1000) return Math.round(Number(value.toPrecision(3))).toLocaleString("en");
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}
