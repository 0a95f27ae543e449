// The package as it is published: packed, and installed into an empty folder.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { inProject } from "../../../scripts/setup/paths.mjs";
import { built } from "../scripts/build.mjs";

export const sdk = inProject("sdk", "typescript");

/** Where the package is installed; it is gone after the test. */
export async function installed(t) {
  const folder = mkdtempSync(path.join(tmpdir(), "tailrace-package-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  await built();
  const [{ filename, files }] = JSON.parse(await output("npm", ["pack", "--json", "--pack-destination", folder], sdk));
  writeFileSync(
    path.join(folder, "package.json"),
    JSON.stringify({ name: "a-program", type: "module", private: true }),
  );
  const quietly = ["--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
  await output("npm", ["install", ...quietly, path.join(folder, filename)], folder);
  return { folder, files: files.map((file) => file.path) };
}

/** Runs a program to its end; returns what it wrote. */
export async function output(command, args, cwd) {
  const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  assert.equal(await ended, 0, `${command} ${args.join(" ")}\n${out}${err}`);
  return out;
}

/** The programs of the README, in order: `{language, source}`. */
export function programs() {
  const readme = readFileSync(path.join(sdk, "README.md"), "utf8");
  return [...readme.matchAll(/^```(js|ts)\n(.*?)^```$/gms)].map(([, language, source]) => ({ language, source }));
}
