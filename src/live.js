// Following live: what waits. What is sent, asked for and skipped is decided in src/live/tail.rs.

const HEARTBEAT_MS = 15_000;

const HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};

const encoder = new TextEncoder();

/** Answers with everything `tail` has to say, for as long as the client listens. */
export async function follow(stream, tail) {
  const socket = await connect(stream);
  if (!socket) {
    // Never an error where coming again could help: some clients give up for good on one.
    tail.giveUp();
    return new Response(tail.nextPiece(), { headers: HEADERS });
  }
  const { readable, writable } = new IdentityTransformStream();
  run(stream, socket, tail, writable.getWriter());
  return new Response(readable, { headers: HEADERS });
}

/** Reads pages until one has something on it, `wait` seconds are over, or the stream is gone. */
export async function poll(stream, query, wait) {
  const until = Date.now() + wait * 1000;
  let page = await readPage(stream, query);
  const socket = isEmpty(page) && (await connect(stream));
  if (!socket) return page;
  const frames = inbox(socket);
  try {
    while (isEmpty(page) && !isOver(query, page) && (await frames.next(until - Date.now()))) {
      if (!frames.moved(Number(page.headers.get("tailrace-after-offset")))) continue;
      page = await readPage(stream, behind(query, page));
    }
    return page;
  } finally {
    socket.close();
  }
}

export function readPage(stream, query) {
  return stream.fetch(`http://stream/read?${encodeURIComponent(query)}`);
}

/** The object's socket; nothing when it has too many readers, or cannot be reached. */
export async function connect(stream, kind = "follow") {
  try {
    const { webSocket } = await stream.fetch(`http://stream/${kind}`, { headers: { upgrade: "websocket" } });
    return webSocket;
  } catch (error) {
    console.error("follow", error);
    return undefined;
  }
}

async function run(stream, socket, tail, writer) {
  let wake = () => {};
  let gone = false;
  const leave = () => {
    gone = true;
    wake();
  };
  // Whatever happens, and if it fails: the client is left rather than kept waiting for nothing, and comes again.
  const happens = (what) => {
    if (gone) return;
    try {
      what();
    } catch (error) {
      console.error("live", error);
      leave();
    }
    wake();
  };
  // The client went away, or the connection to it broke.
  writer.closed.then(leave, leave);
  socket.addEventListener("message", ({ data }) => happens(() => tail.put(data)));
  for (const end of ["close", "error"]) socket.addEventListener(end, () => happens(() => tail.close()));
  const heart = setInterval(() => happens(() => tail.heartbeat()), HEARTBEAT_MS);
  socket.accept();
  try {
    while (!gone) {
      const piece = tail.nextPiece();
      const wanted = piece === undefined ? tail.wanted() : undefined;
      if (piece !== undefined) await writer.write(encoder.encode(piece)).catch(leave);
      else if (wanted !== undefined) await turnPage(stream, tail, wanted);
      else if (tail.isEnded()) break;
      else await new Promise((resolve) => (wake = resolve));
    }
    await writer.close().catch(leave);
  } catch (error) {
    console.error("live", error);
    await writer.abort(error).catch(() => {});
  } finally {
    gone = true;
    clearInterval(heart);
    socket.close();
    tail.free();
  }
}

async function turnPage(stream, tail, wanted) {
  try {
    tail.page(await stream.read(wanted));
  } catch (error) {
    console.error("page", error);
    tail.giveUp();
  }
}

/** Frames of a socket for one who only wants to know whether something happened. */
export function inbox(socket) {
  const waiting = [];
  let wake = () => {};
  const put = (frame) => {
    waiting.push(frame);
    wake();
  };
  socket.addEventListener("message", ({ data }) => put(data.split("\n", 1)[0]));
  for (const end of ["close", "error"]) socket.addEventListener(end, () => put("closed"));
  socket.accept();
  let frame = "";
  return {
    /** Waits for a frame; false when the time is over or none will come. */
    async next(ms) {
      if (waiting.length === 0 && ms > 0) {
        let timer;
        await new Promise((resolve) => {
          wake = resolve;
          timer = setTimeout(resolve, ms);
        });
        clearTimeout(timer);
      }
      frame = waiting.shift() ?? "closed";
      return frame !== "closed";
    },
    /** Whether the frame says that something is due for a subscription, or that there is none any more. */
    isDue(slug) {
      return frame === `due ${slug}` || frame === "deleted";
    },
    /** Whether the frame says that the stream is not as it was when everything up to `offset` was read. */
    moved(offset) {
      const [kind, first, last] = frame.split(" ");
      return kind === "hello" ? Number(first) > offset : kind === "events" ? Number(last) > offset : kind === "deleted";
    },
  };
}

function isEmpty(page) {
  return page.headers.get("tailrace-count") === "0" && page.headers.get("tailrace-up-to-date") === "true";
}

/** Whether nothing that comes later can be asked for any more. */
function isOver(query, page) {
  const { before = Infinity, until = Infinity } = JSON.parse(query.split("\n")[1]);
  return Number(page.headers.get("tailrace-head")) + 1 >= before || until < Date.now();
}

/** The same query, from where the page ended. */
function behind(query, page) {
  const [format, rest] = query.split("\n");
  const after = Number(page.headers.get("tailrace-after-offset"));
  return `${format}\n${JSON.stringify({ ...JSON.parse(rest), after })}`;
}
