// Every SDK behaves as the cases say. An SDK takes part as soon as its adapter is there.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { inProject, root } from "../../scripts/setup/paths.mjs";
import { run } from "../../scripts/setup/step.mjs";
import { matches } from "./matches.mjs";
import { serve, unfold } from "./server.mjs";

/** How long a case may take that is not expected to take time. */
const patience = 30_000;

const python = {
  file: "sdk/python/tests/adapter.py",
  async command() {
    if (process.env.TAILRACE_PYTHON) return [process.env.TAILRACE_PYTHON, [inProject(this.file)]];
    const { ensurePython } = await import("../../scripts/setup/python.mjs");
    const bin = await ensurePython(inProject("tests/python/requirements.txt"));
    return [`${bin}/python`, [inProject(this.file)]];
  },
};

/** How each adapter is started; `file` is what must be there. */
const adapters = {
  typescript: {
    file: "sdk/typescript/tests/adapter.mjs",
    async command() {
      const { built } = await import("../typescript/scripts/build.mjs");
      await built();
      return [process.execPath, [inProject(this.file)]];
    },
  },
  python,
  // The other half of it, for programs with an event loop.
  "python-async": {
    ...python,
    async command() {
      return [...(await python.command()), { ...process.env, TAILRACE_SDK_ASYNC: "1" }];
    },
  },
  rust: {
    file: "sdk/rust/examples/adapter.rs",
    async command() {
      const { ensureRust } = await import("../../scripts/setup/rust.mjs");
      const { env } = await ensureRust();
      // Before the first question: it may take minutes.
      const { code } = await run("cargo", ["build", "-q", "-p", "tailrace-sdk", "--example", "adapter"], {
        cwd: root,
        env,
      });
      assert.equal(code, 0, "the adapter in Rust does not compile");
      const target = path.resolve(root, env.CARGO_TARGET_DIR ?? "target");
      return [path.join(target, "debug", "examples", "adapter"), [], env];
    },
  },
};

const names = globSync("cases/*.json", { cwd: import.meta.dirname }).sort();
const cases = names.map((name) => ({
  about: path.basename(name, ".json"),
  list: JSON.parse(readFileSync(path.join(import.meta.dirname, name), "utf8")).filter(
    (it) => !process.env.TAILRACE_CASES || it.name.includes(process.env.TAILRACE_CASES),
  ),
}));
const wanted = process.env.TAILRACE_ADAPTERS?.split(",") ?? Object.keys(adapters);

// Side by side: most of what they do is wait.
describe("behaviour", { concurrency: true }, () => {
  for (const name of wanted) {
    const adapter = adapters[name];
    test(`the SDK in ${name}`, { skip: !existsSync(inProject(adapter.file)) && "it is not there yet" }, async (t) => {
      const server = await serve();
      t.after(() => server.close());
      const asks = started(t, await adapter.command());
      for (const { about, list } of cases) {
        for (const written of list) {
          await t.test(`${about}: ${written.name}`, async () => {
            for (const aCase of unfold(written)) await holds(aCase, server, asks);
          });
        }
      }
    });
  }
});

/** Asks for what a case is about, and compares what comes. */
async function holds(aCase, server, asks) {
  const { url, requests } = server.play(aCase);
  const came = await asks({ url, do: aCase.do, with: aCase.with }, aCase);
  const said = `${aCase.name}: ${short(came)}\nasked: ${requests.map(({ route, query }) => `\n  ${route} ${short(query)}`)}`;
  const names = new Map();
  const { saw, error, requests: asked = {} } = aCase.expect;
  const must = (where, actual, expected, whole) => {
    const differs = matches(actual, expected, { names, whole });
    if (differs) assert.fail(`${where}${differs}\n${said}`);
  };
  if (error) must("error", came.error, error);
  else must("saw", came.saw ?? came, saw, true);
  for (const [route, expected] of Object.entries(asked)) {
    const those = requests.filter((it) => it.route === route);
    const [begins, ends] = Array.isArray(expected) ? [expected, []] : [expected.begins, expected.ends];
    if (Array.isArray(expected)) must(`${route}: `, those.length, expected.length);
    else assert(those.length >= begins.length + ends.length, `${route}: ${those.length} are too few\n${said}`);
    ends.forEach((like, index) => must(`${route} at the end`, those.at(index - ends.length), like));
    begins.forEach(({ afterMs = 0, ...like }, index) => {
      must(`${route} ${index}`, those[index], like);
      const waited = those[index].at - (those[index - 1]?.at ?? 0);
      assert(waited >= afterMs, `${route} ${index} came after ${waited} ms, not ${afterMs}\n${said}`);
    });
  }
}

const short = (value) => {
  const text = JSON.stringify(value);
  return text?.length > 2_000 ? `${text.slice(0, 2_000)}…` : text;
};

/** An adapter; what is returned asks it for one thing. One that does not answer in time is ended, and another asked next. */
function started(t, [command, args, env = process.env]) {
  let adapter;
  t.after(() => adapter?.child.stdin.end());
  const start = () => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...env, TAILRACE_SDK_FAST: "1" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    child.stdin.on("error", () => {});
    const gone = once(child, "exit").then(([code, signal]) => assert.fail(`the adapter ended (${signal ?? code})`));
    gone.catch(() => {});
    return { child, gone, lines: linesOf(child.stdout) };
  };
  let id = 0;
  return async (ask, { name }) => {
    adapter ??= start();
    const { child, gone, lines } = adapter;
    child.stdin.write(`${ascii(JSON.stringify({ id: (id += 1), ...ask }))}\n`);
    try {
      const line = await within(patience, Promise.race([lines.next(), gone]), name);
      const answer = JSON.parse(line.value);
      assert.equal(answer.id, id);
      return { saw: answer.saw, error: answer.error };
    } catch (error) {
      child.kill("SIGKILL");
      adapter = undefined;
      throw error;
    }
  };
}

/** The lines of a stream. Not by readline: to it U+2028 is the end of a line as well. */
async function* linesOf(stream) {
  let rest = "";
  for await (const piece of stream.setEncoding("utf8")) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    yield* lines;
  }
}

const ascii = (json) =>
  json.replace(/[\u0080-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);

function within(ms, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for: ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
