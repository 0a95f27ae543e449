// The set-up itself: which way it takes to a Rust for WebAssembly, and that each way leads there.
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { withLock } from "./lock.mjs";
import { inProject, root } from "./paths.mjs";
import { ensureRust } from "./rust.mjs";
import { rustupRoute } from "./rustup.mjs";
import { StepError, run, which } from "./step.mjs";
import { checkVersions, ensureTools, tools } from "./tools.mjs";

const folder = mkdtempSync(path.join(tmpdir(), "tailrace-setup-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A PATH whose only rustup is this script, followed by the machine's own programs. */
function fakeRustup(script) {
  const file = path.join(folder, "rustup");
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return { ...process.env, PATH: `${folder}:${process.env.PATH}` };
}

const withoutRustup = () =>
  process.env.PATH.split(":")
    .filter((entry) => !which("rustup", entry))
    .join(":");

test("a complete rustup is taken as it is", async () => {
  const env = fakeRustup(
    '[ "$1 $2" = "component list" ] && echo rust-src && echo rust-std-wasm32-unknown-unknown && exit 0; exit 9',
  );
  const route = await rustupRoute(env);
  assert.equal(route.reason, undefined);
  assert.equal(route.wasmEnv.RUSTUP_TOOLCHAIN, "nightly");
});

test("without rustup there is a reason", async () => {
  assert.match((await rustupRoute({ PATH: withoutRustup() })).reason, /not in PATH/);
});

test("a host that refuses is a reason", async () => {
  const route = await rustupRoute(
    fakeRustup('[ "$1" = component ] && [ "$2" = list ] && exit 0; echo "error: no host" >&2; exit 1'),
  );
  assert.match(route.reason, /component add failed: error: no host/);
});

test("a host that never answers is given up", async () => {
  const route = await rustupRoute(fakeRustup('[ "$1 $2" = "component list" ] && exit 0; exec sleep 60'), 1500);
  assert.match(route.reason, /no progress for 1.5 s/);
});

test("only known toolchains can be asked for", async () => {
  await assert.rejects(ensureRust({ PATH: "", TAILRACE_TOOLCHAIN: "gcc" }), StepError);
});

test("tools of another version than their libraries are refused", () => {
  checkVersions();
  const lock = tools.map((tool) => `name = "${tool.library}"\nversion = "0.0.1"`).join("\n");
  assert.throws(() => checkVersions(lock), /worker-build 0\.8\.7 does not fit/);
});

/** Tools as `ensureTools` sees them with an empty cache and this script as cargo. */
async function toolsWith(script) {
  const bin = mkdtempSync(path.join(folder, "bin-"));
  writeFileSync(path.join(bin, "cargo"), `#!/bin/sh\nfor root; do :; done\n${script}\n`, { mode: 0o755 });
  const usual = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = path.join(bin, "cache");
  try {
    return await ensureTools({ ...process.env, PATH: `${bin}:${process.env.PATH}` });
  } finally {
    if (usual === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = usual;
  }
}

test("tools are kept under their versions", async () => {
  const found = await toolsWith('mkdir -p "$root/bin"; touch "$root/bin/worker-build" "$root/bin/wasm-bindgen"');
  assert.match(found.WORKER_BUILD_BIN, /tailrace\/tools\/worker-build-0\.8\.7\/bin\/worker-build$/);
  assert.ok(existsSync(found.WORKER_BUILD_BIN) && existsSync(found.WASM_BINDGEN_BIN));
});

test("a tool that does not compile leaves nothing behind, and says why", async () => {
  await assert.rejects(toolsWith('mkdir -p "$root/bin"; echo "error: no registry" >&2; exit 101'), /no registry/);
  const left = readdirSync(folder, { recursive: true }).filter((name) => name.includes("tools/."));
  assert.deepEqual(left, []);
});

test("a lock whose holder died is taken over", async () => {
  const file = path.join(folder, "lock");
  writeFileSync(file, "999999999");
  assert.equal(await withLock(file, "nobody", async () => "done"), "done");
});

// These compile the whole Worker, one after the other: in CI, or when asked for.
const skip = process.env.CI || process.env.TAILRACE_TEST_ROUTES ? false : "set TAILRACE_TEST_ROUTES=1";
const build = (env) =>
  run(process.execPath, [inProject("scripts", "build.mjs"), "--force", "--out-dir", "build-route"], {
    cwd: root,
    env,
    quiet: true,
  });

test(
  "the way by rustup ends in a build",
  { skip: skip || (which("rustup") ? false : "no rustup on this machine") },
  async () => {
    const { code, output } = await build({ ...process.env, TAILRACE_TOOLCHAIN: "rustup" });
    assert.equal(code, 0, output);
    assert.match(output, /with Rust from rustup/);
  },
);

test(
  "the way by Debian's packages ends in a build",
  { skip: skip || (which("apt-get") ? false : "no apt-get on this machine") },
  async () => {
    const { code, output } = await build({ ...process.env, TAILRACE_TOOLCHAIN: "", PATH: withoutRustup() });
    assert.equal(code, 0, output);
    assert.match(output, /with Rust from debian/);
  },
);
