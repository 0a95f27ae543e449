// Mirrors one stream into another, of this deployment or of a second one:
//
//   node bridge.mjs http://localhost:8787 /from http://localhost:8787 /to
import { Tailrace, run } from "tailrace";

const [fromUrl, fromPath, toUrl, toPath] = process.argv.slice(2);
const from = new Tailrace(fromUrl, { token: process.env.FROM_TOKEN }).stream(fromPath);
const to = new Tailrace(toUrl, { token: process.env.TO_TOKEN }).stream(toPath);
const name = (url, path) => `${new URL(url).host}${path}`;
const [here, there] = [name(fromUrl, fromPath), name(toUrl, toPath)];

/** What a stream is told by these is its own affair. */
const isItsOwn = /^(stream|breaker|schedule|subscription|webhook)\./;

const bridge = {
  initialState: null,
  async afterAppend({ event, append, signal }) {
    const { tailrace, ...metadata } = event.metadata ?? {};
    // Where it has been. Two bridges that face each other would send it to and fro for ever.
    const via = [...(metadata.bridge?.via ?? []), here];
    if (isItsOwn.test(event.type) || via.includes(there)) return;
    const bridged = {
      type: event.type,
      payload: event.payload,
      metadata: { ...metadata, bridge: { via, offset: event.offset, by: tailrace?.by } },
    };
    if (fromUrl === toUrl) {
      // Within a deployment it is caused by the event there, and lands with the progress, or not at all.
      append({ ...bridged, streamPath: to.path });
    } else {
      // Beyond it, the key makes that the same event is written once, however often this is tried.
      await to.append({ ...bridged, idempotencyKey: `bridge:${here}:${event.offset}` }, { signal });
    }
  },
};

const slug = `bridge-${there.replaceAll(/[^\w.~-]/g, ":").slice(-50)}`;
// One that was killed holds what it had for five seconds at most.
await run(bridge, { stream: from, slug, leaseSeconds: 5, onError: (error) => console.error(error.message) });
