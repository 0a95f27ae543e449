// A log of a million events: what is opened, held and fetched does not grow with it. Times are reported, not judged.
/* global window, document, requestAnimationFrame, getComputedStyle, DOMMatrix -- in what runs in the page */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  aPage,
  aRuntime,
  aStream,
  appendAll,
  assertContiguous,
  offsetsOf,
  openStream,
  pageOf,
  painted,
  rowOf,
  says,
  screenshot,
  scrolledUntil,
  soon,
  until,
} from "./support.mjs";

/** How long the log is; the fewer, the faster. */
const events = Number(process.env.TAILRACE_TEST_MILLION ?? 1_000_000);
/** So many rows exist at most, whatever the log holds: those in sight, and some beside. */
const MOST_ROWS = 80;

const runtime = await aRuntime({ after });
let stream;
let head;

before(async () => {
  stream = await aStream(runtime);
  const batch = Array.from({ length: 1_000 }, (_, n) => ({
    type: "sensor.reading",
    payload: { text: `reading ${n}`, celsius: (n * 37) % 40, ok: true },
  }));
  // A few at once; each batch is the same.
  let left = Math.ceil(events / 1_000);
  const send = async () => {
    while (left-- > 0) await stream.append(...batch);
  };
  await Promise.all([send(), send(), send()]);
  head = await stream.head();
  assert.equal(head, 2 + Math.ceil(events / 1_000) * 1_000);
});

/** Counts what comes over the wire, from now on. */
async function traffic(page) {
  const wire = await page.context().newCDPSession(page);
  const counted = { requests: 0, bytes: 0 };
  await wire.send("Network.enable");
  wire.on(
    "Network.requestWillBeSent",
    ({ request }) => request.url.includes("/api/streams/") && (counted.requests += 1),
  );
  wire.on("Network.dataReceived", ({ dataLength }) => (counted.bytes += dataLength));
  return counted;
}

/** What JavaScript holds, in MB, after what it let go of is gone. */
async function heap(page) {
  const wire = await page.context().newCDPSession(page);
  await wire.send("HeapProfiler.enable");
  await wire.send("HeapProfiler.collectGarbage");
  await wire.send("Performance.enable");
  const { metrics } = await wire.send("Performance.getMetrics");
  await wire.detach();
  return Math.round(metrics.find(({ name }) => name === "JSHeapUsedSize").value / 1e6);
}

/** Looks at every frame from now on: how long it took, how many rows exist, and whether they leave a gap. */
const watchFrames = (page) =>
  page.evaluate(() => {
    const seen = { gaps: [], rows: 0, broken: [], blank: 0, longTasks: [] };
    window.frames_ = seen;
    new PerformanceObserver((list) =>
      seen.longTasks.push(...list.getEntries().map(({ duration }) => duration)),
    ).observe({ type: "longtask" });
    let last = performance.now();
    const look = (now) => {
      seen.gaps.push(now - last);
      last = now;
      const list = document.getElementById("events");
      const rows = [...list.querySelectorAll(".row")].map((row) => ({
        offset: Number(row.dataset.offset),
        top: new DOMMatrix(getComputedStyle(row).transform).f,
      }));
      rows.sort((one, other) => one.top - other.top);
      seen.rows = Math.max(seen.rows, rows.length);
      for (let at = 1; at < rows.length; at += 1) {
        const step = rows[at].offset - rows[at - 1].offset;
        if (Math.abs(step) !== 1 || rows[at].top - rows[at - 1].top > 100) {
          seen.broken.push(rows.map(({ offset }) => offset).join(" "));
          break;
        }
      }
      const isFilled =
        rows.length > 0 &&
        rows[0].top <= list.scrollTop + 1 &&
        rows.at(-1).top + 35 >= list.scrollTop + list.clientHeight;
      if (!isFilled) seen.blank += 1;
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });

async function framesOf(page) {
  const { gaps, ...seen } = await page.evaluate(() => window.frames_);
  const sorted = gaps.slice(1).sort((one, other) => one - other);
  const quantile = (part) => Math.round(sorted[Math.floor(sorted.length * part)] ?? 0);
  const words =
    `${sorted.length} frames, ms between them: median ${quantile(0.5)}, 95 % ${quantile(0.95)}, ` +
    `99 % ${quantile(0.99)}, longest ${Math.round(sorted.at(-1))}; ${seen.longTasks.length} long tasks ` +
    `(longest ${Math.round(Math.max(0, ...seen.longTasks))} ms); frames not filled: ${seen.blank}; rows at most ${seen.rows}`;
  return { ...seen, words };
}

/** Scrolls as a hand does, evenly. `by` pixels, negative: up. */
async function scroll(page, by, speed) {
  const wire = await page.context().newCDPSession(page);
  const box = await page.locator("#events").boundingBox();
  await wire.send("Input.synthesizeScrollGesture", {
    x: box.x + box.width / 2,
    y: box.y + box.height / 2,
    yDistance: -by,
    speed,
    gestureSourceType: "mouse",
    preventFling: true,
  });
  await wire.detach();
}

const draw = (page, offset) =>
  page.getByLabel("Place in the log").evaluate((rail, value) => {
    rail.value = value;
    rail.dispatchEvent(new Event("input", { bubbles: true }));
  }, offset);

test("it is opened at its end with no more than a few pages", async (t) => {
  const page = await openStream(t, stream);
  const counted = await traffic(page);
  await page.reload();
  await rowOf(page, head);
  await says(page, "live");
  await painted(page);
  assertContiguous(await offsetsOf(page));
  t.diagnostic(`${head} events; ${counted.requests} requests of events, ${Math.round(counted.bytes / 1e3)} kB in all`);
  assert.ok(counted.requests <= 8, `${counted.requests} requests`);
  assert.ok(counted.bytes < 2e6, `${counted.bytes} bytes`);
  assert.ok((await page.locator("#events .row").count()) <= MOST_ROWS);
  await screenshot(t, page, "million");
});

test("it is opened in its middle by a link", async (t) => {
  const middle = Math.floor(head / 2);
  const page = await openStream(t, stream, { query: { offset: middle } });
  assert.ok((await rowOf(page, middle)).isChosen);
  await painted(page);
  assertContiguous(await offsetsOf(page));
  assert.ok(page.asked.filter((url) => url.includes("/api/streams/")).length <= 14, page.asked.join("\n"));
});

test("it scrolls in both directions without a gap, and holds a bounded part", async (t) => {
  const page = await openStream(t, stream, { query: { offset: Math.floor(head / 2) } });
  await page.keyboard.press("Escape");
  const counted = await traffic(page);
  await watchFrames(page);
  await scroll(page, 25_000, 5_000);
  await scroll(page, -25_000, 5_000);
  const { words, rows, broken } = await framesOf(page);
  t.diagnostic(`50,000 px at 5,000 px a second: ${words}; ${counted.requests} pages`);
  assert.deepEqual(broken.slice(0, 1), []);
  assert.ok(rows <= MOST_ROWS, `${rows} rows`);
  assert.ok(counted.requests <= 30, `${counted.requests} requests`);
});

test("newest first it scrolls as well", async (t) => {
  const page = await openStream(t, stream, { view: { newestFirst: true } });
  const counted = await traffic(page);
  await watchFrames(page);
  await scroll(page, 25_000, 5_000);
  const { words, rows, broken } = await framesOf(page);
  t.diagnostic(`25,000 px at 5,000 px a second: ${words}; ${counted.requests} pages`);
  assert.deepEqual(broken.slice(0, 1), []);
  assert.ok(rows <= MOST_ROWS, `${rows} rows`);
  assert.ok(counted.requests <= 15, `${counted.requests} requests`);
  // A turn of the wheel at the end of what is held, while the next page is on its way, leads nowhere.
  await until("it is scrolled that far", async () => {
    const [first] = await offsetsOf(page);
    return first < head - 600 || void (await scroll(page, 2_000, 5_000));
  });
});

test("after 20,000 events were scrolled through, no more is held than after some", async (t) => {
  const page = await openStream(t, stream);
  const counted = await traffic(page);
  await page.locator("#events").hover();
  const back = async (to) => {
    // A look between the wheel and the frame that follows sees no row.
    const look = async () => (await offsetsOf(page))[0] ?? Infinity;
    while ((await look()) > to) {
      await page.mouse.wheel(0, -6_000);
      await painted(page);
    }
  };
  await watchFrames(page);
  const [first, second] = [Math.max(1, head - 7_000), Math.max(1, head - 20_000)];
  await back(first);
  const some = await heap(page);
  await back(second);
  const many = await heap(page);
  t.diagnostic(`heap after 7,000 events ${some} MB, after 20,000 ${many} MB; ${counted.requests} pages`);
  const { words, broken, blank } = await framesOf(page);
  t.diagnostic(`by 6,000 px at a time: ${words}`);
  assert.deepEqual(broken.slice(0, 1), []);
  assert.equal(blank, 0, "frames without rows");
  assert.ok(many < some + 10, `${some} MB, then ${many} MB`);
  assert.ok(counted.requests <= 90, `${counted.requests} requests`);

  await page.keyboard.press("G");
  await rowOf(page, head);
});

test("the rail and the keys lead anywhere at once", async (t) => {
  const page = await openStream(t, stream);
  const counted = await traffic(page);
  for (const part of [0.25, 0.75, 0.1, 0.999]) {
    const offset = Math.floor(head * part);
    await draw(page, offset);
    await rowOf(page, offset);
    assertContiguous(await offsetsOf(page));
  }
  await page.keyboard.press("g");
  await rowOf(page, 1);
  await page.keyboard.press("G");
  await rowOf(page, head);
  await page.keyboard.press("g");
  await rowOf(page, 1);
  t.diagnostic(`7 jumps: ${counted.requests} pages, ${Math.round(counted.bytes / 1e3)} kB`);
  assert.ok(counted.requests <= 40, `${counted.requests} requests`);
});

test("who draws the rail over all of it fetches the places where it rests", async (t) => {
  const page = await openStream(t, stream);
  const counted = await traffic(page);
  // As fast as a hand, however slow the machine: between two places no timer comes to its turn, but the page is drawn.
  await page.getByLabel("Place in the log").evaluate(async (rail, end) => {
    for (let step = 0; step <= 200; step += 1) {
      rail.value = Math.max(1, Math.floor((end * step) / 400));
      rail.dispatchEvent(new Event("input", { bubbles: true }));
      await undefined;
    }
  }, head);
  await rowOf(page, Math.floor(head / 2));
  await painted(page);
  t.diagnostic(`200 places passed: ${counted.requests} pages`);
  assert.ok(counted.requests <= 60, `${counted.requests} requests`);
});

test("with its runs folded it asks for no more than is seen", async (t) => {
  const page = await openStream(t, stream, { view: { grouped: true } });
  await rowOf(page, head).catch(() => {});
  const counted = await traffic(page);
  const asked = async () => {
    const before = counted.requests;
    await sleep(500);
    return counted.requests - before;
  };
  // It comes to rest, however many events a row stands for.
  await until("it asks for nothing more", async () => (await asked()) === 0);
  assert.ok(counted.requests <= 60, `${counted.requests} requests`);
  t.diagnostic(`${counted.requests} pages, ${await page.locator("#events .row").count()} rows`);
});

test("a search through all of it can be given up", async (t) => {
  const page = await openStream(t, stream);
  await page.getByLabel("Text").fill("nowhere to be found");
  await page.getByText(/Searching … down to event/).waitFor();
  await page.getByRole("button", { name: "Clear" }).click();
  await rowOf(page, head);
  const counted = await traffic(page);
  await until("nothing is asked any more", async () => {
    const before = counted.requests;
    await sleep(500);
    return counted.requests === before;
  });
  assert.ok(counted.requests <= 4, `${counted.requests} requests`);
});

test("a burst of a hundred events a second is in the list in order, each once", async (t) => {
  const own = await aStream(runtime);
  await appendAll(
    own,
    Array.from({ length: 500 }, () => ({ type: "before" })),
  );
  const page = await openStream(t, own);
  await says(page, "live");
  await watchFrames(page);
  const begun = Date.now();
  const writing = [];
  for (let n = 0; n < 1_000; n += 1) {
    await sleep(Math.max(0, begun + n * 10 - Date.now()));
    writing.push(own.append({ type: "burst", payload: { text: `burst ${n}` } }));
  }
  await Promise.all(writing);
  await rowOf(page, 1_502);
  const { words, rows, broken } = await framesOf(page);
  t.diagnostic(`in ${Math.round((Date.now() - begun) / 1_000)} s: ${words}`);
  assert.deepEqual(broken.slice(0, 1), []);
  assert.ok(rows <= MOST_ROWS);

  // And all of them are there for who scrolls back.
  const seen = new Set();
  await scrolledUntil(page, -550, (offsets) => {
    assertContiguous(offsets);
    offsets.forEach((offset) => seen.add(offset));
    return offsets[0] <= 500;
  });
  assert.ok(seen.size >= 1_000);
});

test("a million events are opened as fast as a hundred", async (t) => {
  const short = await aStream(runtime);
  await appendAll(
    short,
    Array.from({ length: 98 }, (_, n) => ({ type: "sensor.reading", payload: { text: `reading ${n}`, ok: true } })),
  );
  const page = await aPage(t, pageOf(short));
  const firstRow = async (of) => {
    await page.goto("about:blank");
    const begun = performance.now();
    await page.goto(pageOf(of), { waitUntil: "commit" });
    await page.locator("#events .row").first().waitFor();
    return performance.now() - begun;
  };
  const times = { short: [], long: [] };
  for (let round = 0; round < 5; round += 1) {
    times.short.push(await firstRow(short));
    times.long.push(await firstRow(stream));
  }
  const median = (all) => Math.round(all.sort((one, other) => one - other)[2]);
  t.diagnostic(
    `first row: ${median(times.short)} ms of 100 events, ${median(times.long)} ms of ${head} (medians of 5)`,
  );
  await soon(async () => assert.equal((await offsetsOf(page)).at(-1), head));
});
