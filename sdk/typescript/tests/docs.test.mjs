// The description of the API is made from the sources without a warning.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { inProject } from "../../../scripts/setup/paths.mjs";
import { output, sdk } from "./support.mjs";

test("the documentation is made without a warning", async (t) => {
  const out = mkdtempSync(path.join(tmpdir(), "tailrace-docs-"));
  t.after(() => rmSync(out, { recursive: true, force: true }));
  await output(process.execPath, [inProject("node_modules", "typedoc", "bin", "typedoc"), "--out", out], sdk);
});
