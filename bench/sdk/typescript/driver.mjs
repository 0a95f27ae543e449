// What the bench has the SDK in TypeScript do; the tasks are in the bench's README. Says one JSON a line.
import { Tailrace, run } from "../../../sdk/typescript/dist/index.js";

const warmUpMs = 500;
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const tasks = { append, bare, tail, pull, drain };
const [task, url, path, ...numbers] = process.argv.slice(2);
const event = { type: "message.added", payload: { seq: 0, text: "Water that has turned the wheel runs on." } };
await tasks[task](new Tailrace(url).stream(path), ...numbers.map(Number));

function append(stream, connections, ms) {
  return measured(() => stream.append(event), connections, ms);
}

/** The same with `fetch` and nothing else. */
function bare(_, connections, ms) {
  let key = 0;
  const headers = { "content-type": "application/json" };
  const post = async () => {
    const body = JSON.stringify({ ...event, idempotencyKey: `key-${(key += 1)}` });
    const response = await fetch(`${url}/api/streams${path}`, { method: "POST", headers, body });
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return JSON.parse(text).event;
  };
  return measured(post, connections, ms);
}

async function measured(post, connections, ms) {
  await hammer(post, connections, warmUpMs);
  say({ ready: true });
  const begun = performance.now();
  const times = await hammer(post, connections, ms);
  say({ seconds: (performance.now() - begun) / 1000, times });
}

/** The milliseconds that each append took. */
async function hammer(post, connections, ms) {
  const times = [];
  const begun = performance.now();
  const loop = async () => {
    for (let now = performance.now(); now - begun < ms;) {
      await post();
      const answered = performance.now();
      times.push(answered - now);
      now = answered;
    }
  };
  await Promise.all(Array.from({ length: connections }, loop));
  return times;
}

async function tail(stream, afterOffset) {
  const onCaughtUp = () => say({ ready: true });
  for await (const { payload } of stream.tail({ afterOffset, onCaughtUp })) say(payload.seq);
}

async function pull(stream, skip, count) {
  let begun;
  const counter = {
    initialState: 0,
    reduce: (seen) => seen + 1,
    afterAppend({ state }) {
      if (state === skip) {
        begun = performance.now();
        say({ ready: true });
      } else if (state === skip + count) {
        say({ seconds: (performance.now() - begun) / 1000 });
      }
    },
  };
  await run(counter, { stream, slug: "worker" });
}

async function drain(stream, count) {
  say({ seen: 0 });
  let seen = 0;
  // eslint-disable-next-line no-unused-vars -- it is the events that are counted
  for await (const _ of stream.tail()) {
    seen += 1;
    if (seen % (count / 10) === 0) say({ seen, heapMb: seen === count / 10 || seen === count ? heapMb() : undefined });
  }
}

/** What is in use: the memory of the process is also what V8 keeps to work with. */
function heapMb() {
  globalThis.gc();
  return process.memoryUsage().heapUsed / 1e6;
}
