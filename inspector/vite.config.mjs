// The inspector: static files that the Worker carries (scripts/inspector.mjs puts them into the build).
import path from "node:path";
import { defineConfig } from "vite";

const here = import.meta.dirname;

/** Where `npm run inspector` finds a Tailrace to look into. */
const server = process.env.TAILRACE_URL ?? "http://127.0.0.1:8787";

export default defineConfig({
  root: here,
  base: "/",
  // `closed.html` is a page of its own: what a deployment without a token shows.
  build: {
    emptyOutDir: true,
    assetsDir: "inspector",
    // Nothing inline: the page's policy allows none of it.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    rolldownOptions: { input: { index: path.join(here, "index.html"), closed: path.join(here, "closed.html") } },
  },
  resolve: { alias: { tailrace: path.join(here, "../sdk/typescript/src/index.ts") } },
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(["/api", "/hooks"].map((prefix) => [prefix, { target: server, changeOrigin: true }])),
  },
  // Any path below /streams is the same page.
  appType: "spa",
});
