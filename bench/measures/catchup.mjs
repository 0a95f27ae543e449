// Catching up: reading a whole stream in pages of 1,000 over one connection.
import { Connection } from "../load/connection.mjs";
import { fill, pageEnd, streamUrl, withoutBreaker } from "../load/stream.mjs";

const limit = 1000;

function reading({ name, title, events, quickEvents, perBatch }) {
  return {
    name,
    title,
    rounds: [5, 3],
    metrics: { rate: "events/s", bytes: "MB/s" },

    async prepare({ url }, { quick }) {
      await withoutBreaker(url, [name]);
      await fill(url, name, quick ? quickEvents : events, perBatch);
      await checkPage(url, name);
      await readAll(url, name);
    },

    async run({ url }) {
      const begun = performance.now();
      const { count, bytes } = await readAll(url, name);
      const seconds = (performance.now() - begun) / 1000;
      return { rate: count / seconds, bytes: bytes / 1e6 / seconds };
    },
  };
}

async function readAll(url, name) {
  const connection = await Connection.open(url);
  let bytes = 0;
  let after = 0;
  for (let head = 1; after < head;) {
    const page = await connection.get(`${streamUrl(name)}?afterOffset=${after}&limit=${limit}`);
    const end = pageEnd(page);
    if (!(end.afterOffset > after)) throw new Error(`a page after ${after} ended at ${end.afterOffset}`);
    bytes += page.length;
    after = end.afterOffset;
    head = end.head;
  }
  connection.close();
  return { count: after, bytes };
}

/** The rest of the pages is counted by their last offset; here one is looked at. */
async function checkPage(url, name) {
  const connection = await Connection.open(url);
  const { events } = JSON.parse(await connection.get(`${streamUrl(name)}?afterOffset=700&limit=${limit}`));
  connection.close();
  const right = events.length === limit && events.every(({ offset }, index) => offset === 701 + index);
  if (!right) throw new Error(`a page of ${events.length} events from ${events[0]?.offset} on`);
}

export const catchUp = reading({
  name: "catch-up",
  title: "Reading 100,000 events written in batches of 1,000",
  events: 100_000,
  quickEvents: 50_000,
  perBatch: 1000,
});

export const catchUpSingles = reading({
  name: "catch-up-singles",
  title: "Reading 10,000 events written one by one",
  events: 10_000,
  quickEvents: 2000,
  perBatch: 1,
});
