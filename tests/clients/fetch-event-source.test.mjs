// npm @microsoft/fetch-event-source. It is made for browsers: the little that it wants of one is here.
import { createRequire } from "node:module";
import { test } from "node:test";
import { followOverKills } from "./support.mjs";

globalThis.window ??= globalThis;
globalThis.document ??= { hidden: false, addEventListener() {}, removeEventListener() {} };
const { fetchEventSource } = createRequire(import.meta.url)("@microsoft/fetch-event-source");

test("fetch-event-source resumes over kills without a gap or a double", (t) =>
  followOverKills(t, (stream, seen) => {
    const abort = new AbortController();
    fetchEventSource(stream.url, {
      signal: abort.signal,
      openWhenHidden: true,
      // It names every event; the standard's default is the empty name.
      onmessage: ({ event, data }) => event === "" && seen(JSON.parse(data)),
      onclose() {
        // Its way of saying: come again.
        throw new Error("the server closed the connection");
      },
    });
    return () => abort.abort();
  }));
