// The test suites, in the order in which they run. A new one is one entry here.
import { existsSync, globSync, readFileSync } from "node:fs";
import { build, wasmSize } from "./build.mjs";
import { ensureChromium } from "./setup/chromium.mjs";
import { inProject, root } from "./setup/paths.mjs";
import { ensurePython } from "./setup/python.mjs";
import { ensureRust } from "./setup/rust.mjs";
import { run, say } from "./setup/step.mjs";

const exists = (file) => existsSync(inProject(file));
const files = (...patterns) => globSync(patterns, { cwd: root, exclude: (name) => /node_modules$|target$/.test(name) });
const inRoot = (command, args, env) => run(command, args, { cwd: root, env }).then(({ code }) => code ?? 1);

/** The crate of black-box tests; it needs the runtime, so the native suite leaves it out. */
const blackBox = "tailrace-tests";
const faultInjection = () => /^fault-injection\s*=/m.test(readFileSync(inProject("Cargo.toml"), "utf8"));

/**
 * What a suite finds in its environment:
 *   TAILRACE_NODE           the Node to run the next with
 *   TAILRACE_RUNTIME        scripts/runtime/serve.mjs, which runs a build (see there)
 *   TAILRACE_BUILD          the build to test
 *   TAILRACE_TEST_BUILD     the build with the feature fault-injection, if the project has it
 *   TAILRACE_TEST_CHROMIUM  a browser, if tests want one
 *   TAILRACE_PYTHON         a Python with the packages of tests/python, if tests want one
 */
function environment(base) {
  return {
    ...base,
    TAILRACE_NODE: process.execPath,
    TAILRACE_RUNTIME: inProject("scripts", "runtime", "serve.mjs"),
    TAILRACE_BUILD: inProject("build"),
    ...(faultInjection() ? { TAILRACE_TEST_BUILD: inProject("build-test") } : {}),
  };
}

/** Both builds; without changes this takes no time, so that every suite can ask for them. */
async function builds() {
  const folder = await build();
  if (faultInjection()) await build({ features: "fault-injection", outDir: "build-test" });
  return folder;
}

const jsTests = () =>
  files(
    "tests/agents/**/*.test.mjs",
    "tests/clients/**/*.test.mjs",
    "tests/examples/**/*.test.mjs",
    "tests/hooks/**/*.test.mjs",
    "tests/inspector/**/*.test.mjs",
    "tests/javascript/**/*.test.mjs",
    "tests/processors/**/*.test.mjs",
    "tests/runtime/**/*.test.mjs",
    "inspector/tests/**/*.test.mjs",
    "scripts/**/*.test.mjs",
    "sdk/behaviour/*.test.mjs",
    "sdk/typescript/**/*.test.mjs",
  );

/** @type {{name: string, about: string, exists(): boolean, run(): Promise<number>}[]} */
export const suites = [
  {
    name: "native",
    about: "the logic, on this machine",
    exists: () => true,
    async run() {
      const rust = await ensureRust();
      return inRoot("cargo", ["test", "--workspace", "--exclude", blackBox], rust.env);
    },
  },
  {
    name: "build",
    about: "the Worker, and the one whose faults can be injected",
    exists: () => true,
    async run() {
      const size = wasmSize(await builds());
      say(`${Math.round(size.compressed / 1000)} kB compressed`);
      return 0;
    },
  },
  {
    name: "http",
    about: "black box, over HTTP, against the real runtime",
    exists: () => exists("tests/Cargo.toml"),
    async run() {
      await builds();
      const rust = await ensureRust();
      return inRoot("cargo", ["test", "-p", blackBox], environment(rust.env));
    },
  },
  {
    name: "js",
    about: "clients in JavaScript, the browser, and the scripts",
    exists: () => jsTests().length > 0,
    async run() {
      await builds();
      const env = environment(process.env);
      const found = jsTests();
      if (found.some((file) => readFileSync(inProject(file), "utf8").includes("playwright"))) {
        env.TAILRACE_TEST_CHROMIUM = await ensureChromium();
      }
      // Once, before they all want it.
      if (found.some((file) => /^(tests\/(examples|processors)|sdk\/behaviour)\//.test(file))) {
        env.TAILRACE_PYTHON = `${await ensurePython(inProject("tests/python/requirements.txt"))}/python`;
      }
      return inRoot(process.execPath, ["--test", ...found], env);
    },
  },
  {
    name: "python",
    about: "clients in Python, and the SDK",
    exists: () => exists("tests/python/requirements.txt"),
    async run() {
      await builds();
      const bin = await ensurePython(inProject("tests/python/requirements.txt"));
      const pytest = (folder) =>
        inRoot(`${bin}/python`, ["-m", "pytest", "-p", "no:cacheprovider", folder], environment(process.env));
      // Each has a conftest of its own.
      const codes = [await pytest("tests/python"), await pytest("sdk/python/tests")];
      return Math.max(...codes);
    },
  },
];
