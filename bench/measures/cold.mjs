// Cold objects: the server has just been started again and knows none of them.
import { Connection } from "../load/connection.mjs";
import { median } from "../load/numbers.mjs";
import { event, fill, streamUrl } from "../load/stream.mjs";

const streams = 20;

export const cold = {
  name: "cold",
  title: "First answer of a cold object",
  rounds: [3, 1],
  restart: true,
  metrics: { read: "last=1 of a stream of 1,000 events, ms", append: "first append to a new stream, ms" },

  async prepare({ url }) {
    for (let index = 0; index < streams; index++) await fill(url, `cold-${index}`, 1000);
    await fill(url, "warm", 1, 1);
  },

  async run({ url }) {
    const connection = await Connection.open(url);
    // Not the objects, but the front Worker and the code are warm.
    for (let index = 0; index < 10; index++) await connection.get(`${streamUrl("warm")}?last=1`);
    const read = await firsts((index) => connection.get(`${streamUrl(`cold-${index}`)}?last=1`));
    const birth = Date.now();
    const body = JSON.stringify(event());
    const append = await firsts((index) => connection.post(streamUrl(`new-${birth}-${index}`), body));
    connection.close();
    return { read, append };
  },
};

async function firsts(work) {
  const times = [];
  for (let index = 0; index < streams; index++) {
    const begun = performance.now();
    await work(index);
    times.push(performance.now() - begun);
  }
  return median(times);
}
