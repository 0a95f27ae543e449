// The window over a log, against a log that is played as the API answers: pages by offset, cut where they get large.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { HELD, Span } from "../src/log/span.ts";

/** A log whose pages are read as the server's are. */
class Log {
  asked = [];
  events = [];
  #size = () => 1;

  /** @param {number} length  @param {(offset: number) => string} type  @param {(offset: number) => number} size */
  constructor(length, type = () => "a", size = () => 1) {
    this.#size = size;
    this.type = type;
    this.grow(length);
  }

  get head() {
    return this.events.length;
  }

  /** Appends; returns what a live tail would bring. */
  grow(by) {
    const fresh = Array.from({ length: by }, (_, index) => this.#entry(this.head + 1 + index));
    this.events.push(...fresh);
    return fresh;
  }

  #entry = (offset) => ({
    event: { offset, type: this.type(offset), payload: { n: offset }, createdAt: "" },
    size: this.#size(offset),
  });

  /** How much fits into a page, in what `size` counts. */
  most = 1_000_000;

  read = async (query, signal) => {
    this.asked.push(query);
    await turn();
    signal.throwIfAborted();
    const { afterOffset = 0, beforeOffset = this.head + 1, limit = 1_000, last, types } = query;
    const matching = this.events.filter(
      ({ event: { offset, type } }) => offset > afterOffset && offset < beforeOffset && (!types || type === types),
    );
    const wanted = last === undefined ? matching.slice(0, limit) : matching.slice(-last);
    const entries = [];
    for (let [room, at] = [this.most, 0]; at < wanted.length; at += 1) {
      room -= wanted[at].size;
      if (room < 0 && at > 0) break;
      entries.push(wanted[at]);
    }
    const isWhole = entries.length === matching.length || (last !== undefined && entries.length === wanted.length);
    const end = isWhole ? beforeOffset - 1 : (entries.at(-1)?.event.offset ?? afterOffset);
    return { entries, afterOffset: end, head: this.head };
  };

  span = (filter = {}) => new Span(filter, this.read);
}

const offsets = (span) => span.entries.map(({ event }) => event.offset);
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** What is held is all that matches of what was looked at; only where it differs first is told. */
function assertWhole(span, log, matches = () => true) {
  const expected = log.events
    .filter((entry) => entry.event.offset > span.low && entry.event.offset <= span.high && matches(entry))
    .map(({ event }) => event.offset);
  const held = offsets(span);
  const differs = expected.findIndex((offset, index) => offset !== held[index]);
  assert.equal(held[differs], expected[differs], `behind ${span.low}, up to ${span.high}`);
  assert.equal(held.length, expected.length, `behind ${span.low}, up to ${span.high}`);
}

test("a short log is held whole, in one page", async () => {
  const log = new Log(5);
  const span = log.span();
  await span.openAtHead();
  assert.deepEqual(offsets(span), [1, 2, 3, 4, 5]);
  assert.ok(span.isAtBegin && span.isAtHead);
  assert.equal(await span.older(), false);
  assert.equal(await span.newer(), false);
  assert.equal(log.asked.length, 1);
});

test("a log without events is held whole", async () => {
  const span = new Log(0).span();
  await span.openAtHead();
  assert.deepEqual(offsets(span), []);
  assert.ok(span.isAtBegin && span.isAtHead);
});

test("a long log is opened at its end, and read backwards page by page to its first event", async () => {
  const log = new Log(1_000);
  const span = log.span();
  await span.openAtHead();
  assert.equal(log.asked.length, 1);
  assert.equal(offsets(span).at(-1), 1_000);
  assert.ok(!span.isAtBegin);
  while (await span.older()) assertWhole(span, log);
  assert.deepEqual(offsets(span), range(1, 1_000));
  assert.ok(log.asked.length < 6, `${log.asked.length} pages`);
});

test("a log is opened around an event, and grows both ways", async () => {
  const log = new Log(10_000);
  const span = log.span();
  await span.openAround(5_000);
  assert.ok(offsets(span).includes(5_000));
  assert.ok(!span.isAtBegin && !span.isAtHead);
  assertWhole(span, log);
  assert.ok(await span.older());
  assert.ok(await span.newer());
  assertWhole(span, log);
  assert.ok(span.low < 4_700 && span.high > 5_300, `${span.low} to ${span.high}`);
});

test("around the first, the last, and an event that does not exist yet", async () => {
  const log = new Log(1_000);
  for (const [around, has] of [
    [1, 1],
    [1_000, 1_000],
    [1_001, 1_000],
  ]) {
    const span = log.span();
    await span.openAround(around);
    assert.ok(offsets(span).includes(has), `around ${around}`);
    assertWhole(span, log);
  }
  const beyond = log.span();
  await beyond.openAround(50_000);
  assertWhole(beyond, log);
  await beyond.older();
  assert.ok(offsets(beyond).includes(1_000), "what there is can be reached from beyond the end");
});

test("a bounded part is held, without a gap, wherever one goes", async () => {
  const log = new Log(20_000);
  const span = log.span();
  await span.openAtHead();
  let most = 0;
  const goes = async (end) => {
    while (await span[end]()) {
      assertWhole(span, log);
      most = Math.max(most, span.entries.length);
    }
  };
  await goes("older");
  assert.equal(offsets(span)[0], 1);
  assert.ok(!span.isAtHead);
  await goes("newer");
  assert.equal(offsets(span).at(-1), 20_000);
  assert.ok(most <= 6_000, `${most} were held`);
});

test("what comes live is taken when it follows, and only once", async () => {
  const log = new Log(10);
  const span = log.span();
  await span.openAtHead();
  const fresh = log.grow(3);
  span.hear(fresh.slice(0, 2));
  span.hear(fresh);
  assert.deepEqual(offsets(span), range(1, 13));
  assert.ok(span.isAtHead);
});

test("what comes live does not make a gap while another place is looked at", async () => {
  const log = new Log(10_000);
  const span = log.span();
  await span.openAround(100);
  span.hear(log.grow(5));
  assert.equal(span.head, 10_005);
  assert.ok(!span.isAtHead);
  assertWhole(span, log);
});

test("a page and the live tail that bring the same events bring them once", async () => {
  const log = new Log(1_000);
  const span = log.span();
  await span.openAround(900);
  while (!span.isAtHead) {
    const asked = span.newer();
    span.hear(log.grow(span.head < 1_200 ? 50 : 0));
    await asked;
    assertWhole(span, log);
  }
  assert.deepEqual(offsets(span).slice(-3), range(log.head - 2, log.head));
});

test("both ends may be asked for at once, and each is asked once", async () => {
  const log = new Log(10_000);
  const span = log.span();
  await span.openAround(5_000);
  const before = log.asked.length;
  const answers = await Promise.all([span.older(), span.newer(), span.older(), span.newer()]);
  assert.deepEqual(answers, [true, true, false, false]);
  assert.equal(log.asked.length, before + 2);
  assertWhole(span, log);
});

test("both ends may grow at once past what is held, without a gap", async () => {
  const log = new Log(50_000);
  const span = log.span();
  await span.openAround(25_000);
  for (let round = 0; round < 40; round += 1) {
    await Promise.all([span.older(), span.newer()]);
    assertWhole(span, log);
  }
  assert.ok(span.entries.length <= 6_000);
});

test("pages that are cut because events are large leave no gap", async () => {
  const log = new Log(1_000, undefined, () => 30_000);
  log.most = 1_000_000;
  const span = log.span();
  await span.openAtHead();
  assertWhole(span, log);
  assert.equal(offsets(span).at(-1), 1_000);
  while (await span.older()) assertWhole(span, log);
  assert.deepEqual(offsets(span), range(1, 1_000));

  const around = log.span();
  await around.openAround(500);
  assertWhole(around, log);
  assert.ok(offsets(around).includes(500), "the event that was asked for is held");
});

test("a filter of types is the server's, and live events are looked at by it too", async () => {
  const log = new Log(5_000, (offset) => (offset % 10 === 0 ? "b" : "a"));
  const isB = ({ event }) => event.type === "b";
  const span = log.span({ types: "b" });
  await span.openAtHead();
  assertWhole(span, log, isB);
  assert.ok(log.asked.every(({ types }) => types === "b"));
  span.hear(log.grow(20));
  assertWhole(span, log, isB);
  while (await span.older()) assertWhole(span, log, isB);
  assert.equal(span.entries.length, 502);
  assert.ok(log.asked.length < 6, `${log.asked.length} pages`);
});

/** A log of so many events of which few are of the type that is asked for; it is looked back in a million at a time, and ahead, when
 * that is cut, in a hundred thousand. */
const sparse = (head, matching, { isCut = false } = {}) => {
  const read = async ({ types, afterOffset = 0, beforeOffset = head + 1, last, limit }) => {
    assert.equal(types, "b");
    const from = last === undefined ? afterOffset : Math.max(0, beforeOffset - 1 - 1_000_000);
    const to = last === undefined && isCut ? Math.min(beforeOffset - 1, from + 100_000) : beforeOffset - 1;
    const found = matching.filter((offset) => offset > from && offset <= to);
    const entries = (last === undefined ? found.slice(0, limit) : found.slice(-last)).map((offset) => ({
      event: { offset, type: "b", payload: {}, createdAt: "" },
      size: 1,
    }));
    const isShort = last !== undefined && entries.length < last && from > 0;
    return { entries, afterOffset: to, ...(isShort ? { beforeOffset: from + 1 } : {}), head };
  };
  return new Span({ types: "b" }, read);
};

test("where the server looked back no further, nobody is told that there is no more, and one can go on", async () => {
  const span = sparse(2_500_000, [7, 400_000, 1_600_000]);
  await span.openAtHead();
  assert.deepEqual([offsets(span), span.low, span.isTired], [[1_600_000], 1_500_000, true]);
  assert.equal(await span.older(), false, "it waits for a person");
  span.searchFurther();
  await span.older();
  assert.deepEqual([offsets(span), span.low, span.isTired], [[1_600_000], 500_000, true]);
  span.searchFurther();
  await span.older();
  assert.deepEqual(offsets(span), [7, 400_000, 1_600_000]);
  assert.deepEqual([span.isAtBegin, span.isTired], [true, false]);
});

test("what comes behind is read though looking back waits for a person", async () => {
  const span = sparse(2_250_000, [1_700_000, 2_200_000], { isCut: true });
  await span.openAround(2_000_000);
  assert.deepEqual([offsets(span), span.low, span.isTired], [[1_700_000], 999_999, true]);
  while (!span.isAtHead) assert.equal(await span.newer(), true);
  assert.deepEqual([offsets(span), span.isTired], [[1_700_000, 2_200_000], true]);
});

test("where enough was found it looks no further", async () => {
  const filled = sparse(
    2_500_000,
    range(1, 833).map((n) => n * 3_000),
  );
  await filled.openAtHead();
  assert.deepEqual([filled.isTired, filled.entries.length], [false, 300]);
});

test("a text is looked for page by page down to the first event, and what was looked at is known", async () => {
  const log = new Log(5_000);
  const matches = ({ event }) => String(event.payload.n).includes("77");
  const span = log.span({ text: "77" });
  await span.openAtHead();
  assertWhole(span, log, matches);
  while (await span.older()) assertWhole(span, log, matches);
  assert.ok(span.isAtBegin && span.isAtHead);
  assert.equal(span.entries.length, log.events.filter(matches).length);
  assert.ok(log.asked.length < 10, `${log.asked.length} pages`);
});

test("a large event is held without its payload, but is there", async () => {
  const log = new Log(3, undefined, (offset) => (offset === 2 ? HELD + 1 : HELD));
  const span = log.span();
  await span.openAtHead();
  assert.deepEqual(
    span.entries.map(({ event }) => event.payload?.n),
    [1, undefined, 3],
  );
  assert.equal(span.entries[1].size, HELD + 1);
});

test("what is held is replaced when it changes, so that who kept it sees the same", async () => {
  const log = new Log(10);
  const span = log.span();
  await span.openAtHead();
  const kept = span.entries;
  span.hear(log.grow(1));
  assert.equal(kept.length, 10);
  assert.notEqual(kept, span.entries);
});

test("after it was closed nothing changes any more", async () => {
  const log = new Log(1_000);
  const span = log.span();
  await span.openAtHead();
  const kept = offsets(span);
  const asked = span.older();
  span.close();
  await assert.rejects(asked, { name: "AbortError" });
  span.hear(log.grow(5));
  assert.deepEqual(offsets(span), kept);
});

test("what failed can be asked for again", async () => {
  const log = new Log(1_000);
  let isDown = false;
  const span = new Span({}, (...asked) => (isDown ? Promise.reject(new Error("down")) : log.read(...asked)));
  await span.openAtHead();
  isDown = true;
  await assert.rejects(span.older());
  isDown = false;
  assert.ok(await span.older());
  assertWhole(span, log);
});

test("while a person reads further up, live events take nothing away", async () => {
  const log = new Log(6_000);
  const span = log.span();
  await span.openAtHead();
  while (await span.older());
  for (let n = 0; n < 10; n += 1) span.hear(log.grow(100), { follows: false });
  assert.equal(offsets(span)[0], 1);
  assertWhole(span, log);
  while (await span.newer());
  assert.equal(offsets(span).at(-1), 7_000);
});
