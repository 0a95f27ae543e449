// A browser for the tests of the inspector.
import { aptInstall } from "./debian.mjs";
import { say, which } from "./step.mjs";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const find = () => names.map((name) => which(name)).find(Boolean);

/** The path of a Chromium, installed if it must be; undefined, after saying so, when that is not possible. */
export async function ensureChromium() {
  if (find()) return find();
  const failed = await aptInstall(["chromium"]);
  if (failed) say(`no Chromium (${failed}): tests that need a browser cannot run. Install one as chromium in PATH`);
  return find();
}
