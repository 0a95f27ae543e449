// Flatness: what grows with the length of a stream? Medians of single requests on one connection.
import { Connection } from "../load/connection.mjs";
import { median } from "../load/numbers.mjs";
import { event, fill, pageEnd, streamUrl, withoutBreaker } from "../load/stream.mjs";
import { tail } from "../load/tail.mjs";

const name = "flat";
const sizes = [0, 100_000, 1_000_000];
const quickSizes = [0, 10_000, 100_000];
const label = ["empty", "long", "longest"];
const what = {
  append: "append",
  middle: "a page of 100 in the middle",
  resume: "Last-Event-ID 10 before the head, until the head",
  last: "last=10",
};

export const flat = {
  name,
  title: "Flatness, ms: empty, long (100,000 events) and longest (1,000,000); --quick: 10,000 and 100,000",
  rounds: [1, 1],
  metrics: Object.fromEntries(
    Object.entries(what).flatMap(([key, title]) => label.map((size) => [`${key}-${size}`, `${title}: ${size}`])),
  ),

  async prepare({ url }) {
    await withoutBreaker(url, [name]);
    await atThisSize(url);
  },

  async run({ url }, { quick }) {
    const result = {};
    let filled = 0;
    for (const [index, size] of (quick ? quickSizes : sizes).entries()) {
      await fill(url, name, size - filled);
      filled = size;
      for (const [key, value] of Object.entries(await atThisSize(url))) result[`${key}-${label[index]}`] = value;
    }
    return result;
  },
};

async function atThisSize(url) {
  const connection = await Connection.open(url);
  const path = streamUrl(name);
  const bytes = connection.prepare(path, JSON.stringify(event()));
  const append = await timed(200, () => connection.send(bytes));
  const last = await timed(60, () => connection.get(`${path}?last=10`));
  const { head } = pageEnd(await connection.get(`${path}?last=1`));
  const middle = await timed(60, () => connection.get(`${path}?afterOffset=${head >> 1}&limit=100`));
  const headers = { "last-event-id": head - 10 };
  const resume = await timed(30, async () => {
    let seen = 0;
    (await tail(url, path, () => seen++, headers)).close();
    if (seen !== 10) throw new Error(`${seen} events after Last-Event-ID, not 10`);
  });
  connection.close();
  return { append, middle, resume, last };
}

async function timed(count, work) {
  const times = [];
  for (let index = 0; index < count; index++) {
    const begun = performance.now();
    await work();
    times.push(performance.now() - begun);
  }
  return median(times);
}
