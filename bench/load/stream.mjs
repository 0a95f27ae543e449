// What the measures do with a stream.
import { Connection } from "./connection.mjs";

export const streamUrl = (name) => `/api/streams/bench/${name}`;
export const minimal = { prefer: "return=minimal" };

/** An event of about 100 bytes. */
export const event = (seq = 0) => ({
  type: "message.added",
  payload: { seq, text: "Water that has turned the wheel runs on." },
});

export const batch = (count) => JSON.stringify(Array.from({ length: count }, (_, index) => event(index)));

/** The streams are to take more than the 100 events a second at which the breaker would pause them. */
export async function withoutBreaker(url, names) {
  const connection = await Connection.open(url);
  const body = JSON.stringify({ type: "breaker.configured", payload: { limit: null } });
  for (const name of names) await connection.post(streamUrl(name), body);
  connection.close();
}

/** Appends `count` events in batches, over four connections. */
export async function fill(url, name, count, perBatch = 1000) {
  let left = Math.ceil(count / perBatch);
  await each(4, async () => {
    const connection = await Connection.open(url);
    const bytes = connection.prepare(
      streamUrl(name),
      perBatch > 1 ? batch(perBatch) : JSON.stringify(event()),
      minimal,
    );
    while (left-- > 0) await connection.send(bytes);
    connection.close();
  });
}

/**
 * Sends the same POST over and over on each connection until the time or the count is over.
 *
 * @param {object} load
 * @param {string} load.url
 * @param {number} load.connections
 * @param {(connection: number) => string} load.nameOf the stream a connection writes to
 * @param {string} load.body
 * @param {object} [load.headers]
 * @param {number} load.ms
 * @param {number} [load.most]
 * @returns {Promise<{count: number, seconds: number, times: number[]}>} times in ms
 */
export async function hammer({ url, connections, nameOf, body, headers, ms, most = Infinity }) {
  const open = await each(connections, () => Connection.open(url));
  const times = [];
  const begun = performance.now();
  await each(connections, async (index) => {
    const connection = open[index];
    const bytes = connection.prepare(streamUrl(nameOf(index)), body, headers);
    for (let now = performance.now(); now - begun < ms && times.length < most;) {
      await connection.send(bytes);
      const answered = performance.now();
      times.push(answered - now);
      now = answered;
    }
  });
  const seconds = (performance.now() - begun) / 1000;
  open.forEach((connection) => connection.close());
  return { count: times.length, seconds, times };
}

/** A page's `afterOffset` and `head`, without parsing its events. */
export function pageEnd(body) {
  const end = body.latin1Slice(Math.max(body.length - 200, 0));
  const number = (key) => Number(new RegExp(`"${key}": *(\\d+)`).exec(end)?.[1]);
  return { afterOffset: number("afterOffset"), head: number("head") };
}

export async function head(url, name) {
  const connection = await Connection.open(url);
  const found = pageEnd(await connection.get(`${streamUrl(name)}?last=1`)).head;
  connection.close();
  return found;
}

export const each = (count, work) => Promise.all(Array.from({ length: count }, (_, index) => work(index)));
