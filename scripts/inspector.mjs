// Builds the inspector with Vite and puts its files into a build of the Worker, as one module that the Worker carries.
import { createHash } from "node:crypto";
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { inProject, root } from "./setup/paths.mjs";
import { StepError, say } from "./setup/step.mjs";

/** Everything that the page is made from. When nothing here changed there is nothing to do. */
const inputs = ["inspector/{index,closed}.html", "inspector/{src,public}/**/*", "inspector/vite.config.mjs"];
inputs.push("sdk/typescript/src/*.ts", "model/src/webhook/presets.json", "package-lock.json", "scripts/inspector.mjs");

/** A page's first paint may load so much JavaScript, compressed. What is larger is loaded when it is wanted. */
const MOST_AT_FIRST = 100_000;

const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

/** Makes `inspector.js` in a build's folder: every file by its path, as `[content type, text]`. */
export async function buildInspector(folder) {
  const stamp = path.join(folder, ".inspector-built-from");
  const hash = fingerprint();
  const target = path.join(folder, "inspector.js");
  if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return;

  const { build } = await import("vite");
  const dist = path.join(folder, "inspector");
  try {
    const options = { configFile: inProject("inspector", "vite.config.mjs"), logLevel: "error" };
    await build({ ...options, build: { outDir: dist } });
  } catch (error) {
    throw new StepError("building the inspector failed", error.message, "correct what it names and run it again");
  }
  const files = Object.fromEntries(
    globSync("**/*.*", { cwd: dist }).map((name) => {
      const type = types[path.extname(name)];
      if (!type)
        throw new StepError("a file of the inspector has no known type", name, "add it in scripts/inspector.mjs");
      return [`/${name}`, [`${type}; charset=utf-8`, readFileSync(path.join(dist, name), "utf8")]];
    }),
  );
  const first = firstPaint(files);
  say(`the inspector: ${Math.round(first / 1000)} kB of JavaScript at first, compressed`);
  if (first > MOST_AT_FIRST) {
    throw new StepError("the inspector loads too much at first", `${first} bytes compressed`, "import() what can wait");
  }
  writeFileSync(target, `export const files = ${JSON.stringify(files)};\n`);
  writeFileSync(stamp, hash);
}

/** How many bytes of JavaScript, compressed, the page loads before it shows something: what it names, and what that imports. */
function firstPaint(files) {
  const wanted = [...files["/index.html"][1].matchAll(/"(\/inspector\/[^"]+\.js)"/g)].map(([, file]) => file);
  const seen = new Set();
  while (wanted.length > 0) {
    const file = wanted.pop();
    if (seen.has(file)) continue;
    seen.add(file);
    const imports = files[file][1].matchAll(/(?:^|[;}\s])(?:import|export)\b[^;"'`(]*["'`](\.\/[^"'`]+\.js)["'`]/g);
    for (const [, name] of imports) wanted.push(`/inspector/${name.slice(2)}`);
  }
  return [...seen].reduce((sum, file) => sum + gzipSync(files[file][1], { level: 9 }).length, 0);
}

function fingerprint() {
  const hash = createHash("sha256");
  for (const file of globSync(inputs, { cwd: root }).sort()) {
    const whole = inProject(file);
    if (path.extname(file) !== "") hash.update(`\0${file}\0`).update(readFileSync(whole));
  }
  return hash.digest("hex");
}
