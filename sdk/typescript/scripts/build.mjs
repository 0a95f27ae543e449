// Builds dist/ from src/, if that changed. Who asks at the same time waits for the one who builds.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const dist = path.join(here, "dist");
const stamp = path.join(here, "node_modules", ".built-from");
const lock = path.join(here, "node_modules", ".building");

/** What dist/ is made from. */
function sources() {
  const hash = createHash("sha256");
  for (const name of [...globSync("src/**/*.ts", { cwd: here }).sort(), "tsconfig.json", "package.json"]) {
    hash
      .update(name)
      .update("\0")
      .update(readFileSync(path.join(here, name)));
  }
  return hash.digest("hex");
}

const isBuilt = (hash) => existsSync(dist) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash;

/** Makes sure that dist/ is there and is what src/ says; returns its place. */
export async function built() {
  const hash = sources();
  if (isBuilt(hash)) return dist;
  await locked(async () => {
    if (isBuilt(hash)) return;
    const next = path.join(path.dirname(lock), ".dist");
    rmSync(next, { recursive: true, force: true });
    const tsc = path.join(
      path.dirname(createRequire(import.meta.url).resolve("typescript/package.json")),
      "bin",
      "tsc",
    );
    const child = spawn(process.execPath, [tsc, "-p", here, "--outDir", next], { stdio: "inherit" });
    const [code] = await once(child, "exit");
    if (code !== 0) throw new Error("the TypeScript SDK does not compile");
    // One who reads it meanwhile finds the old or the new, but for a moment.
    rmSync(dist, { recursive: true, force: true });
    renameSync(next, dist);
    writeFileSync(stamp, hash);
  });
  return dist;
}

/** Alone among processes: a folder can be made by one only. One that died leaves it behind, for a minute. */
async function locked(run) {
  mkdirSync(path.dirname(lock), { recursive: true });
  for (;;) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      const age = existsSync(lock) ? Date.now() - statSync(lock).mtimeMs : 0;
      if (age > 60_000) rmSync(lock, { recursive: true, force: true });
      else await sleep(50);
    }
  }
  try {
    await run();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await built();
