// As it is published: what is packed is all that a program needs, in Node, in a Worker and in a bundle.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, globSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { before, describe, test } from "node:test";
import { build } from "esbuild";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";
import { inProject, root } from "../../../scripts/setup/paths.mjs";
import { Stream, aRuntime, until } from "../../../tests/clients/support.mjs";
import { installed, output, programs, sdk } from "./support.mjs";

let folder, files;
before(async (t) => ({ folder, files } = await installed(t)));

test("the package holds the code, its types, their sources and the README, and nothing else", () => {
  for (const file of ["LICENSE", "README.md", "package.json", "dist/index.js", "dist/index.d.ts", "src/index.ts"]) {
    assert(files.includes(file), file);
  }
  const strange = /^(dist\/[a-z]+\.(js|d\.ts)(\.map)?|src\/[a-z]+\.ts|LICENSE|README\.md|package\.json)$/;
  assert.deepEqual(
    files.filter((file) => !strange.test(file)),
    [],
  );
});

describe("with a runtime", { concurrency: 3 }, () => {
  test("the first program of the README has less than ten lines, and counts over a kill", async (t) => {
    const [{ source }] = programs();
    assert(source.trimEnd().split("\n").length < 10);
    const runtime = await aRuntime(t);
    const stream = new Stream(runtime.url, "/demo");
    const running = program(t, "first.mjs", source, runtime);
    await until("it has subscribed", async () => (await subscription(stream))?.target);
    const counted = async () => (await stream.events()).filter(({ type }) => type === "counted");

    const talk = async () => {
      for (let n = 0; n < 3; n += 1) await stream.append({ type: "message", payload: { n } });
    };
    await talk();
    await until("it counted", async () => (await counted()).length >= 3);
    running.kill();
    await Promise.all([running.gone, runtime.killAndRestart()]);
    await talk();
    program(t, "first.mjs", source, runtime);
    await until("it goes on", async () => (await counted()).length >= 6);

    assert.deepEqual(
      (await counted()).map(({ payload }) => payload.count),
      [1, 2, 3, 4, 5, 6],
    );
  });

  test("the client's program in the README does what it says", async (t) => {
    const runtime = await aRuntime(t);

    const running = program(t, "client.mjs", programs()[1].source, runtime);

    const [code] = await running.gone;
    assert.equal(code, 0);
    assert.equal(running.said(), "3 one\n4 two\n5 comes next\nstream.created\nmessage\none\ntwo\n");
  });

  test("all programs of the README, the examples in TypeScript, and the types, hold for the strictest compiler", async () => {
    const at = path.join(folder, "typed");
    mkdirSync(at);
    programs().forEach(({ language, source }, index) => {
      const name = language === "ts" ? `program-${index}.ts` : `program-${index}.mjs`;
      writeFileSync(path.join(at, name), source);
    });
    const examples = globSync("examples/*/*.ts", { cwd: root });
    assert.notEqual(examples.length, 0);
    for (const file of examples) copyFileSync(inProject(file), path.join(at, file.replaceAll("/", "-")));
    copyFileSync(path.join(sdk, "tests", "types.ts"), path.join(at, "types.ts"));
    // All that they have of Node.
    const node = "declare const process: { readonly env: Readonly<Record<string, string | undefined>> };";
    writeFileSync(path.join(at, "node.d.ts"), node);
    const compilerOptions = {
      target: "ES2022",
      module: "NodeNext",
      lib: ["ES2022", "DOM", "DOM.Iterable"],
      types: [],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noEmit: true,
    };
    writeFileSync(path.join(at, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));

    await output(process.execPath, [inProject("node_modules", "typescript", "bin", "tsc"), "-p", at], at);
  });

  test("what is not used is not bundled", async () => {
    const client = await bundled('import { Tailrace } from "tailrace"; console.log(Tailrace)');
    const all = await bundled('import * as it from "tailrace"; console.log(it)');

    assert(!client.includes("webhook-signature"));
    assert(!client.includes("subscription.configured"));
    assert(all.includes("webhook-signature"));
    assert(all.length < 20_000, `${all.length} bytes`);
  });

  test("in a Worker it appends, reads, follows and takes pushes", async (t) => {
    const runtime = await aRuntime(t);
    const script = await bundled(`
    import { Tailrace, handler } from "tailrace";
    const push = handler({ initialState: 0, reduce: (n) => n + 1 }, { secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" });
    export default {
      async fetch(request) {
        if (request.method === "POST") return push(request);
        const stream = new Tailrace("${runtime.url}").stream("/from/a/worker");
        await stream.append([{ type: "one" }, { type: "two" }]);
        const followed = [];
        for await (const { type } of stream.tail()) {
          followed.push(type);
          if (type === "two") break;
        }
        const read = [];
        for await (const { type } of stream.read({ types: "one" })) read.push(type);
        return Response.json({ followed, read });
      },
    };`);
    const modules = [{ type: "ESModule", path: "/it.mjs", contents: script }];
    const workers = [{ name: "it", modules, modulesRoot: "/", compatibilityDate: "2025-01-01" }];
    const worker = new Miniflare(convertV4MiniflareOptions({ cf: false, telemetry: { enabled: false }, workers }));
    t.after(() => worker.dispose());

    const answered = await worker.dispatchFetch("http://worker/");
    assert.deepEqual(await answered.json(), { followed: ["stream.created", "one", "two"], read: ["one"] });
    assert.equal((await worker.dispatchFetch("http://worker/", { method: "POST", body: "{}" })).status, 401);
  });
});

/** A program that uses the package, as one file. */
async function bundled(contents) {
  const stdin = { contents, resolveDir: folder, loader: "js" };
  const result = await build({ stdin, bundle: true, minify: true, format: "esm", platform: "browser", write: false });
  assert.deepEqual(result.warnings, []);
  return result.outputFiles[0].text;
}

/** Starts a program of the README where the package is installed. */
function program(t, name, source, { url }) {
  writeFileSync(path.join(folder, name), source.replaceAll("http://localhost:8787", url));
  const child = spawn(process.execPath, [name], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  const gone = once(child, "exit");
  let said = "";
  child.stdout.on("data", (text) => (said += text));
  t.after(() => child.kill("SIGKILL"));
  return { gone, kill: () => child.kill("SIGKILL"), said: () => said };
}

async function subscription({ base, path: at }) {
  const response = await fetch(`${base}/api/subscriptions${at}?slug=counter`);
  return response.status === 200 ? response.json() : undefined;
}
