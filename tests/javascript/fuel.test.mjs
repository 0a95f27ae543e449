// The rewriting of wasm, on modules that are small enough to be read.
import assert from "node:assert/strict";
import { test } from "node:test";
import binaryen from "binaryen";
import { fuelled, fuelledQuickJs } from "../../scripts/fuel.mjs";

/** A module with a memory of one page and these functions, all of them exported. */
function module(functions, features = binaryen.Features.BulkMemory) {
  const text = `(module (memory (export "memory") 1) (global $unused (mut i32) (i32.const 0)) ${functions})`;
  const parsed = binaryen.parseText(text);
  parsed.setFeatures(features);
  return parsed.emitBinary();
}

const started = (wasm) => new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports;

const LOOPS = module(`
  (func (export "loop") (param $n i32) (result i32)
    (loop $again
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (i32.gt_s (local.get $n) (i32.const 0))))
    (local.get $n))
  (func $calls (export "calls") (param $n i32)
    (if (local.get $n) (then (call $calls (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "fill") (param $bytes i32)
    (memory.fill (i32.const 0) (i32.const 1) (local.get $bytes)))
  (func (export "copy") (param $bytes i32)
    (memory.copy (i32.const 0) (i32.const 1) (local.get $bytes)))
  (func (export "grow") (param $pages i32) (result i32) (memory.grow (local.get $pages)))`);

/** How much a call takes. */
function taken(work) {
  const wasm = started(fuelled(LOOPS));
  wasm.fuel.value = 1_000_000n;
  work(wasm);
  return Number(1_000_000n - wasm.fuel.value);
}

test("each call and each turn of a loop takes one, and memory by its size", () => {
  assert.equal(
    taken((wasm) => assert.equal(wasm.loop(100), 0)),
    101,
  );
  assert.equal(
    taken((wasm) => wasm.calls(100)),
    101,
  );
  assert.equal(
    taken((wasm) => wasm.fill(16_000)),
    1_001,
  );
  assert.equal(
    taken((wasm) => wasm.copy(32_000)),
    2_001,
  );
});

test("without fuel it traps, and whoever sets none has no limit", () => {
  const wasm = started(fuelled(LOOPS));
  assert.equal(wasm.loop(1_000_000), 0);
  wasm.fuel.value = 50n;
  assert.throws(() => wasm.loop(100), WebAssembly.RuntimeError);
  assert.ok(wasm.fuel.value < 0n);
  assert.throws(() => wasm.loop(1), WebAssembly.RuntimeError);
});

test("memory grows to its pages and no further", () => {
  const wasm = started(fuelled(LOOPS));
  wasm.pages.value = 3;
  assert.deepEqual([wasm.grow(1), wasm.grow(2), wasm.grow(-1), wasm.grow(1), wasm.grow(1)], [1, -1, -1, 2, -1]);
  assert.equal(wasm.memory.buffer.byteLength, 3 * 65_536);
});

test("an instruction that is not known is refused", () => {
  const { SIMD128, BulkMemory } = binaryen.Features;
  const vectors = module('(func (export "v") (drop (v128.const i32x4 0 0 0 0)))', SIMD128 | BulkMemory);
  assert.throws(() => fuelled(vectors), /an instruction that is not known here: fd at \d+/);
  const data = `(data $d "x") (func (export "init") (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)))`;
  assert.throws(() => fuelled(module(data)), /not known here: 252\.8 at/);
});

test("what is no wasm, or no module as QuickJS is one, is refused", () => {
  assert.throws(() => fuelled(new Uint8Array(20)), /no wasm/);
  const imports = binaryen.parseText('(module (import "a" "b" (global i32)) (memory 1))').emitBinary();
  assert.throws(() => fuelled(imports), /QuickJS (imports something|has no section)/);
});

test("QuickJS with fuel is the same bytes each time, and carries the program that runs before a processor", async () => {
  const [one, other] = [await fuelledQuickJs(), await fuelledQuickJs()];
  assert.deepEqual(Buffer.compare(one, other), 0);
  assert.equal(WebAssembly.Module.customSections(new WebAssembly.Module(one), "guest").length, 1);
});
