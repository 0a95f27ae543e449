// On what and with what it was measured.
import { execFileSync } from "node:child_process";
import { closeSync, fsyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { median } from "../load/numbers.mjs";
import { inProject } from "../../scripts/setup/paths.mjs";

const require = createRequire(import.meta.url);

/**
 * @param {string} state the folder in which the streams are kept
 * @param {string} build the build that is measured
 */
export function machine(state, build) {
  const cpus = os.cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: `${cpus.length} × ${cpus[0]?.model ?? "unknown"}`,
    memoryGb: Math.round(os.totalmem() / 1e9),
    system: `${os.type()} ${os.release()}`,
    fsyncMs: fsync(state),
    load: Number(os.loadavg()[0].toFixed(1)),
    node: process.versions.node,
    workerd: require("workerd/package.json").version,
    miniflare: require("miniflare/package.json").version,
    commit: commit(),
    wasm: wasm(build),
  };
}

/** What a commit costs at least: this, and not the Worker, is the limit of many small commits on many disks. */
function fsync(folder) {
  const own = mkdtempSync(path.join(folder, "tailrace-fsync-"));
  const file = openSync(path.join(own, "file"), "w");
  const page = Buffer.alloc(4096, 1);
  const times = Array.from({ length: 50 }, (_, index) => {
    const begun = performance.now();
    writeSync(file, page, 0, page.length, index * page.length);
    fsyncSync(file);
    return performance.now() - begun;
  });
  closeSync(file);
  rmSync(own, { recursive: true });
  return Number(median(times).toPrecision(2));
}

function commit() {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: inProject(), encoding: "utf8" }).trim();
  } catch {
    return undefined;
  }
}

function wasm(build) {
  try {
    const bytes = readFileSync(path.join(build, "index_bg.wasm"));
    return { bytes: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length };
  } catch {
    return undefined;
  }
}
