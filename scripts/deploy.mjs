// npm run deploy: builds, then hands the Worker to Cloudflare. What follows a `--` goes to wrangler.
import { spawn } from "node:child_process";
import { underProjectNode } from "./setup/packages.mjs";
import { npmBin, root } from "./setup/paths.mjs";
import { main } from "./setup/step.mjs";

await main(async () => {
  if (!(await underProjectNode())) return undefined;
  const { build } = await import("./build.mjs");
  await build();
  // With the terminal: wrangler may have to ask who you are.
  const wrangler = spawn(npmBin("wrangler"), ["deploy", ...process.argv.slice(2)], { cwd: root, stdio: "inherit" });
  return new Promise((resolve, reject) => {
    wrangler.once("error", reject);
    wrangler.once("exit", (code) => resolve(code ?? 1));
  });
});
