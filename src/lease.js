// Leases for workers outside: what waits until something is due. While one waits, the stream's object sleeps.
import { Front } from "../build/index.js";
import { connect, inbox } from "./live.js";

/** When the stream has too many readers to be followed as well, it is asked again so often. */
const ASK_AGAIN_MS = 1_000;

/** Streams below at which nothing is due any more are passed over, so many in one go. */
const PICKS = 20;

/** Answers with what is due, within `wait` seconds. */
export async function lease(env, path, slug, forMs, wait, below) {
  const until = Date.now() + wait * 1000;
  const at = (path) => env.STREAM.getByName(path);
  // Where the streams below tell that something is due.
  let root = path;
  let frames;
  let socket;
  try {
    for (;;) {
      let found = await leaseOne(at(path), slug, forMs);
      if (below && found.again !== undefined) {
        const picked = await leaseBelow(at, root, path, slug, forMs);
        if (picked.root !== undefined) {
          root = picked.root;
          continue;
        }
        found = picked.response ? picked : { ...found, again: Math.min(found.again, picked.again) };
      }
      if (found.response) return found.response;
      const left = until - Date.now();
      if (left <= 0 || found.isTired) return Front.nothingDue(found.answer);
      if (socket === undefined) {
        socket = (await connect(at(root), "wait")) ?? null;
        // What came due in between is found by looking once more.
        if (socket) frames = inbox(socket);
        if (socket) continue;
      }
      const pause = Math.max(0, Math.min(left, found.again - Date.now()));
      if (frames) await due(frames, slug, pause);
      else await new Promise((resolve) => setTimeout(resolve, Math.min(pause, ASK_AGAIN_MS)));
    }
  } finally {
    socket?.close();
  }
}

/** A lease of one stream: an answer, or when to ask again. */
async function leaseOne(stream, slug, forMs) {
  for (let round = 0; round < ROUNDS; round++) {
    const answer = await stream.lease(`${slug}\n${forMs}`);
    if (answer.startsWith("204\n")) {
      const again = header(answer, "tailrace-again");
      // What does not match by its type is passed over a stretch at a time.
      if (again !== undefined && Number(again) <= Date.now() - 1) continue;
      return { answer, again: again === undefined ? Infinity : Number(again) };
    }
    if (!answer.startsWith("200\n")) return { response: Front.answerTo(answer) };
    const delivery = Front.readLease(answer.slice(answer.indexOf("\n\n") + 2));
    try {
      if (delivery.isPassed) {
        await stream.settleLease(delivery.pass(false));
        continue;
      }
      if (delivery.isTentative && !(await stream.hold(delivery.hold(false))).startsWith("200\n")) continue;
      return { response: delivery.forWorker() };
    } finally {
      delivery.free();
    }
  }
  return { answer: NOTHING, again: Date.now(), isTired: true };
}

/** What an object answers when nothing is due. */
const NOTHING = "204\n\n";

/** So many stretches of events that do not match are passed over for one answer; then the worker asks again. */
const ROUNDS = 50;

/** A lease of any stream below: an answer, when to ask again, or where else to ask. */
async function leaseBelow(at, root, path, slug, forMs) {
  for (let pick = 0; pick < PICKS; pick++) {
    const picked = await at(root).pick(`${slug}\n${path}\n${forMs}`);
    const body = picked.slice(picked.indexOf("\n\n") + 2);
    if (picked.startsWith("307\n")) return { root: body };
    if (!picked.startsWith("200\n")) return { again: Number(header(picked, "tailrace-again") ?? Infinity) };
    const [found, mark] = body.split("\n");
    const leased = await leaseOne(at(found), slug, forMs);
    if (leased.response?.status === 200) return leased;
    const again = Number.isFinite(leased.again) ? leased.again : "";
    await at(root).unpick(`${slug}\n${found}\n${mark}\n${again}`);
  }
  return { again: Date.now() };
}

/** Waits until something is due for the subscription, or the time is over. */
async function due(frames, slug, ms) {
  const until = Date.now() + ms;
  do {
    if (!(await frames.next(until - Date.now()))) return;
  } while (!frames.isDue(slug));
}

function header(answer, name) {
  const head = answer.slice(0, answer.indexOf("\n\n")).split("\n");
  return head.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1);
}
