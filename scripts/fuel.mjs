// QuickJS, made so that it can be stopped. A program in it may be anybody's, and what the engine offers to interrupt one
// is not asked by its natives: `new Array(4294967295).join()` would hold the whole Worker. So the engine's wasm is rewritten:
//
//   fuel   an exported global. Every call and every turn of a loop takes 1, every copy or fill of memory 1 for 16 bytes;
//          below zero it traps, wherever it is. It is a measure of work, the same on every machine.
//   pages  an exported global: the memory never grows beyond so many pages of 64 KiB.
import { readFileSync } from "node:fs";
import { inProject } from "./setup/paths.mjs";
import { StepError } from "./setup/step.mjs";

const engine = ["node_modules", "quickjs-wasi"];

/** The version that this was tried with. Its exports are no interface, so another has to be looked at first. */
const version = "3.6.2";

/** What this is made of besides `src/`, relative to the project. */
export const fuelInputs = ["scripts/fuel.mjs", [...engine, "package.json"].join("/")];

/**
 * The engine with fuel. Its section `guest` is src/javascript/guest.js, as bytecode, which takes a tenth of the time.
 *
 * @returns {Promise<Uint8Array>} the same bytes for the same inputs
 */
export async function fuelledQuickJs() {
  const found = JSON.parse(readFileSync(inProject(...engine, "package.json"), "utf8")).version;
  if (found !== version) {
    throw new StepError(
      `quickjs-wasi is ${found}`,
      `its wasm is rewritten, which was tried with ${version} alone`,
      "run tests/javascript with it, then change the version in scripts/fuel.mjs",
    );
  }
  const wasm = readFileSync(inProject(...engine, "quickjs.wasm"));
  const { CompileFlags, QuickJS } = await import("quickjs-wasi");
  const quickjs = await QuickJS.create({ wasm });
  const guest = readFileSync(inProject("src", "javascript", "guest.js"), "utf8");
  const flags = CompileFlags.STRIP_SOURCE | CompileFlags.STRIP_DEBUG;
  return fuelled(wasm, [["guest", quickjs.compile(guest, "tailrace", 0, flags)]]);
}

const SECTION = { custom: 0, type: 1, import: 2, function: 3, memory: 5, global: 6, export: 7, code: 10 };
const I32 = 0x7f;
const I64 = 0x7e;
const OP = { end: 0x0b, call: 0x10, get: 0x23, set: 0x24, size: 0x3f, grow: 0x40, bulk: 0xfc };

/** No limit of a processor's is above this. */
const MOST_PAGES = 2048;

/**
 * @param {Uint8Array} wasm a module with one memory of its own
 * @param {[string, Uint8Array][]} sections custom sections to add
 * @returns {Uint8Array}
 */
export function fuelled(wasm, sections = []) {
  const read = reader(wasm);
  const parts = sectionsOf(wasm, read);
  const count = (id) => (parts.has(id) ? read.at(parts.get(id).begin).number() : 0);
  const imported = importsOf(read, parts.get(SECTION.import));

  const fuel = imported.globals + count(SECTION.global);
  const pages = fuel + 1;
  const take = imported.functions + count(SECTION.function);
  const grow = take + 1;
  const i32ToI32 = count(SECTION.type);

  const ticks = Uint8Array.from([
    ...[OP.get, ...leb(fuel), 0x42, 1, 0x7d, OP.set, ...leb(fuel)], // fuel = fuel - 1
    ...[OP.get, ...leb(fuel), 0x42, 0, 0x53, 0x04, 0x40, 0x00, OP.end], // if (fuel < 0) unreachable
  ]);
  const added = {
    [SECTION.type]: [[0x60, 1, I32, 1, I32]],
    [SECTION.function]: [leb(i32ToI32), leb(i32ToI32)],
    [SECTION.global]: [
      [I64, 1, 0x42, ...signed(2n ** 62n), OP.end], // So much that whoever sets none has no limit.
      [I32, 1, 0x41, ...signed(BigInt(MOST_PAGES)), OP.end],
    ],
    [SECTION.export]: [
      [...name("fuel"), 3, ...leb(fuel)],
      [...name("pages"), 3, ...leb(pages)],
    ],
    [SECTION.code]: [
      // take(bytes): fuel = fuel - bytes / 16, and the bytes again. Whether that was too much, the next tick says.
      sized([0, OP.get, ...leb(fuel), 0x20, 0, 0xad, 0x42, 4, 0x88, 0x7d, OP.set, ...leb(fuel), 0x20, 0, OP.end]),
      // grow(more): memory.size + more > pages ? -1 : memory.grow(more)
      sized([
        ...[0, 0x20, 0, OP.size, 0, 0x6a, OP.get, ...leb(pages), 0x4b, 0x04, I32, 0x41, 0x7f],
        ...[0x05, 0x20, 0, OP.grow, 0, OP.end, OP.end],
      ]),
    ],
  };

  const out = [wasm.subarray(0, 8)];
  const put = (id, content) => out.push([id, ...leb(content.length)], content);
  for (const [id, { begin, end }] of parts) {
    if (id === SECTION.memory) put(id, memory(read.at(begin)));
    else if (id in added) {
      const items = read.at(begin).number() + added[id].length;
      const kept = id === SECTION.code ? bodies() : [wasm.subarray(read.position, end)];
      put(id, joined([leb(items), ...kept, ...added[id]]));
    } else put(id, wasm.subarray(begin, end));
  }
  for (const [title, content] of sections) put(SECTION.custom, joined([name(title), content]));
  const result = joined(out);
  new WebAssembly.Module(result); // Throws if it is none.
  return result;

  function bodies() {
    const { begin, end } = parts.get(SECTION.code);
    const found = [];
    read.at(begin).number();
    while (read.position < end) {
      const length = read.number();
      const next = read.position + length;
      found.push(
        sized(body(wasm, read, next, { ticks, take: [OP.call, ...leb(take)], grow: [OP.call, ...leb(grow)] })),
      );
      read.at(next);
    }
    return found;
  }
}

/** A function's body, with what it is to do at its begin, in each turn of a loop, and before each work on memory. */
function body(wasm, read, end, { ticks, take, grow }) {
  const parts = [];
  let copied = read.position;
  const put = (at, code, goOn = at) => {
    parts.push(wasm.subarray(copied, at), code);
    copied = goOn;
  };
  for (let locals = read.number(); locals > 0; locals--) {
    read.number();
    read.skip(1);
  }
  put(read.position, ticks);
  while (read.position < end) {
    const at = read.position;
    const op = read.byte();
    if (op >= 0x02 && op <= 0x04) {
      read.number(); // The block's type: one byte, or the number of one.
      if (op === 0x03) put(read.position, ticks);
    } else if (op === OP.grow) {
      read.skip(1);
      put(at, grow, read.position);
    } else if (op === OP.bulk) {
      const which = read.number();
      if (which === 10 || which === 11) put(at, take);
      read.skip(which <= 7 ? 0 : which === 10 ? 2 : which === 11 ? 1 : unknown(`${op}.${which}`, at));
    } else if (op === 0x0e) {
      for (let targets = read.number(); targets >= 0; targets--) read.number();
    } else if (op === 0x1c) read.skip(read.number());
    else if (op === 0x43) read.skip(4);
    else if (op === 0x44) read.skip(8);
    else for (let left = immediates(op) ?? unknown(op, at); left > 0; left--) read.number();
  }
  parts.push(wasm.subarray(copied, end));
  return joined(parts);
}

/** How many numbers follow an instruction. */
function immediates(op) {
  if (op <= 0x01 || op === 0x05 || op === OP.end || op === 0x0f || op === 0x1a || op === 0x1b) return 0;
  if (op >= 0x45 && op <= 0xc4) return 0;
  if (op === 0x0c || op === 0x0d || op === OP.call || (op >= 0x20 && op <= 0x24) || op === OP.size) return 1;
  if (op === 0x41 || op === 0x42) return 1;
  if (op === 0x11 || (op >= 0x28 && op <= 0x3e)) return 2;
  return undefined;
}

function unknown(what, at) {
  const said = typeof what === "number" ? what.toString(16) : what;
  throw new Error(`the wasm of QuickJS has an instruction that is not known here: ${said} at ${at}`);
}

function sectionsOf(wasm, read) {
  if (Buffer.from(wasm.subarray(0, 8)).toString("hex") !== "0061736d01000000") throw new Error("no wasm of version 1");
  const found = new Map();
  for (read.at(8); read.position < wasm.length;) {
    const id = read.byte();
    const length = read.number();
    const begin = read.position;
    // Custom ones are names for people, and left out.
    if (id !== SECTION.custom) found.set(id, { begin, end: begin + length });
    read.at(begin + length);
  }
  for (const id of [SECTION.type, SECTION.function, SECTION.memory, SECTION.global, SECTION.export, SECTION.code]) {
    if (!found.has(id)) throw new Error(`the wasm of QuickJS has no section ${id}`);
  }
  return found;
}

function importsOf(read, section) {
  const found = { functions: 0, globals: 0 };
  if (!section) return found;
  read.at(section.begin);
  for (let left = read.number(); left > 0; left--) {
    for (const text of [read.number, read.number]) read.skip(text());
    const kind = read.byte();
    if (kind !== 0) throw new Error(`the wasm of QuickJS imports something that is no function: kind ${kind}`);
    read.number();
    found.functions++;
  }
  return found;
}

function memory(read) {
  const memories = read.number();
  const flags = read.byte();
  if (memories !== 1 || flags > 1) throw new Error("the wasm of QuickJS does not have one plain memory");
  return [1, 1, ...leb(read.number()), ...leb(MOST_PAGES)];
}

function reader(bytes) {
  let position = 0;
  const read = {
    get position() {
      return position;
    },
    at(where) {
      position = where;
      return read;
    },
    skip(count) {
      position += count;
    },
    byte: () => bytes[position++],
    /** LEB128. Where it is a signed one, only its length is of interest. */
    number() {
      let value = 0;
      for (let scale = 1; ; scale *= 128) {
        const byte = bytes[position++];
        value += (byte & 127) * scale;
        if (byte < 128) return value;
      }
    },
  };
  return read;
}

function leb(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}

function signed(value) {
  const bytes = [];
  for (; value > 63n; value >>= 7n) bytes.push(Number(value & 127n) | 128);
  return [...bytes, Number(value)];
}

const joined = (parts) => Buffer.concat(parts.map((part) => Uint8Array.from(part)));
const sized = (content) => joined([leb(content.length), content]);
const name = (text) => sized(Buffer.from(text));
