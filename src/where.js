// Conditions over events: CEL, without what could run long. The language is cel-js'; what of it is allowed is said here.
import { Environment } from "@marcbachmann/cel-js";

/** Everything else that can be called iterates, matches regular expressions, or makes long texts. */
const FUNCTIONS = new Set([
  ...["has", "size", "contains", "startsWith", "endsWith", "type"],
  ...["int", "uint", "double", "string", "bool", "timestamp", "duration", "dyn"],
  ...["getFullYear", "getMonth", "getDate", "getDayOfWeek", "getHours", "getMinutes", "getSeconds"],
]);

/** Texts and lists grow by adding: what is added up stays small. */
const ADDITIONS = 8;

const language = new Environment({
  homogeneousAggregateLiterals: false,
  limits: { maxAstNodes: 250, maxDepth: 24, maxListElements: 100, maxMapEntries: 20, maxCallArguments: 8 },
}).registerVariable("event", "dyn");

/** Compiled conditions: an isolate delivers for a few subscriptions again and again. */
const compiled = new Map();
const COMPILED = 200;

/** What is wrong with a condition, in words; nothing when it can be used. */
export function check(expression) {
  try {
    compile(expression);
    return undefined;
  } catch (error) {
    return String(error.message).split("\n")[0].slice(0, 300);
  }
}

/** Whether an event, as its line, fulfils a condition. What cannot be evaluated for it, it does not. */
export function matches(expression, line) {
  try {
    return compile(expression)({ event: JSON.parse(line, wholeNumbers) }) === true;
  } catch {
    return false;
  }
}

/** CEL tells whole numbers from others, JSON.parse does not. */
function wholeNumbers(_, value) {
  return Number.isSafeInteger(value) ? BigInt(value) : value;
}

function compile(expression) {
  const known = compiled.get(expression);
  if (known) return known;
  const condition = language.parse(expression);
  allow(expression, condition.ast);
  const types = condition.check();
  if (!types.valid) throw types.error;
  if (types.type !== "bool" && types.type !== "dyn")
    throw new Error(`a condition is true or false, this is ${types.type}`);
  if (compiled.size >= COMPILED) compiled.delete(compiled.keys().next().value);
  compiled.set(expression, condition);
  return condition;
}

function allow(expression, ast) {
  let additions = 0;
  const visit = (node) => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (node === null || typeof node !== "object" || typeof node.op !== "string") return undefined;
    const name = node.op === "call" || node.op === "rcall" ? node.args[0] : undefined;
    if (node.op === "comprehension")
      throw new Error("macros that iterate (all, exists, map, filter …) are not allowed");
    if (name !== undefined && !FUNCTIONS.has(name)) throw new Error(`${name}() is not allowed`);
    if (node.op === "+" && ++additions > ADDITIONS) throw new Error(`at most ${ADDITIONS} additions`);
    return visit(node.args);
  };
  visit(ast);
}
