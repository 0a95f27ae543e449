// The Worker as miniflare takes it: one ES module, and the wasm of the build beside it.
import { readFileSync } from "node:fs";
import path from "node:path";
import { build as esbuild } from "esbuild";
import { inProject } from "../setup/paths.mjs";

/**
 * @param {string} main the entry module, absolute
 * @param {string} folder the build to use, absolute. The entry names `build/`; a test build lies elsewhere
 * @returns {Promise<{type: string, path: string, contents: string | Uint8Array}[]>}
 */
export async function bundle(main, folder) {
  const usual = inProject("build");
  const inFolder = (file) => (file.startsWith(usual + path.sep) ? path.join(folder, path.relative(usual, file)) : file);
  const wasm = new Set();
  const result = await esbuild({
    entryPoints: [inFolder(main)],
    bundle: true,
    write: false,
    format: "esm",
    target: "esnext",
    logLevel: "error",
    external: ["cloudflare:*", "node:*"],
    loader: { ".html": "text", ".txt": "text", ".sql": "text" },
    plugins: [
      {
        name: "build-folder",
        setup(build) {
          build.onResolve({ filter: /\.wasm$/ }, ({ path: wanted }) => {
            wasm.add(path.basename(wanted));
            return { path: `./${path.basename(wanted)}`, external: true };
          });
          build.onResolve({ filter: /^\.\.?\// }, ({ path: wanted, resolveDir }) => {
            const file = path.resolve(resolveDir, wanted);
            return inFolder(file) === file ? undefined : { path: inFolder(file) };
          });
        },
      },
    ],
  });
  return [
    { type: "ESModule", path: "index.js", contents: result.outputFiles[0].text },
    ...[...wasm].map((name) => ({ type: "CompiledWasm", path: name, contents: readFileSync(path.join(folder, name)) })),
  ];
}
