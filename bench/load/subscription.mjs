// What the measures do with subscriptions.
import { Connection } from "./connection.mjs";
import { streamUrl } from "./stream.mjs";

/** Configures subscriptions, in one append. */
export async function subscribe(url, stream, payloads) {
  const connection = await Connection.open(url);
  const events = payloads.map((payload) => ({ type: "subscription.configured", payload }));
  await connection.post(streamUrl(stream), JSON.stringify(events));
  connection.close();
}

export const leaseUrl = (stream, slug, wait = 0) => `/api/lease/bench/${stream}?slug=${slug}&wait=${wait}`;
export const settleUrl = (stream) => `/api/settle/bench/${stream}`;

/** What the objects wrote, and how long they were busy: of servers that are watched. */
export async function watch(url, work) {
  // A connection for each look: an idle one is closed after a few seconds.
  const figures = async () => {
    const connection = await Connection.open(url);
    const body = await connection.get("/watched");
    connection.close();
    return JSON.parse(body);
  };
  const before = await figures();
  await work();
  const after = await figures();
  return Object.fromEntries(Object.entries(after).map(([key, value]) => [key, value - before[key]]));
}
