// A Worker that runs one batch for each request.
import { run } from "../../src/javascript/run.js";

/** What the host's fetch answers, by the path that is asked for. */
const SITE = {
  "/echo": (request) => ({
    status: 200,
    headers: [["content-type", "application/json"]],
    body: JSON.stringify(request),
  }),
  "/missing": () => ({ status: 404, statusText: "Not Found", headers: [], body: "none" }),
  "/refused": () => {
    throw new Error("example.com is not among allowHosts");
  },
};

let atOnce = 0;
const seen = { most: 0, aborted: 0, count: 0 };

/** Hangs until it is aborted, or answers in a moment. */
async function site({ signal, ...request }) {
  const { pathname } = new URL(request.url);
  seen.count++;
  seen.most = Math.max(seen.most, ++atOnce);
  try {
    if (pathname === "/never") {
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
    return (SITE[pathname] ?? SITE["/missing"])(request);
  } finally {
    if (signal.aborted) seen.aborted++;
    atOnce--;
  }
}

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/ping") return new Response("pong");
    if (pathname === "/seen") return Response.json(seen);
    const { mayFetch, endAfterMs, ...batch } = await request.json();
    const { signal } = endAfterMs === undefined ? {} : { signal: AbortSignal.timeout(endAfterMs) };
    return Response.json(await run({ ...batch, signal, fetch: mayFetch ? site : undefined }));
  },
};
