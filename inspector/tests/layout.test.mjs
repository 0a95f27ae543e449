// How a chain of causes is folded, and drawn.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hierarchy } from "d3-hierarchy";
import { layout, shape, STEP } from "../src/why/layout.ts";

const fact = (offset, cause, more = {}) => ({
  path: "/a",
  offset,
  type: "t",
  words: "",
  kind: "plain",
  at: offset * 10,
  cause: cause && { path: "/a", offset: cause },
  by: undefined,
  mentions: [],
  ...more,
});

/** `{2: 1, 3: 1}`: 2 and 3 were caused by 1, which is looked at. */
function shown(causes, more = {}) {
  const facts = Object.entries(causes).map(([offset, cause]) => fact(Number(offset), cause));
  const behind = ({ offset }) => facts.filter((it) => it.cause.offset === offset);
  return { causes: [], end: { kind: "outside" }, of: fact(1), behind, opened: new Map(), allCauses: false, ...more };
}

const drawn = (of, mains = new Map()) => layout(shape(of), hierarchy, mains);

/** `1 2(4 5) 3`: what branches off stands in brackets. */
const written = (thread) =>
  thread.map(({ node, branches }) => name(node) + branches.map((branch) => `(${written(branch)})`).join("")).join(" ");
const name = (node) => (node.kind === "event" ? String(node.fact.offset) : `${node.kind}${node.count ?? ""}`);

const items = (thread) => thread.flatMap((item) => [item, ...item.branches.flatMap(items)]);

test("what has the most behind it goes on in the lane of its cause", () => {
  const { thread, rows, lanes } = drawn(shown({ 2: 1, 3: 1, 4: 2, 5: 4, 6: 3 }));
  assert.equal(written(thread), "1(3 6) 2 4 5");
  assert.deepEqual([rows, lanes], [6, 2]);
});

test("each row has one event, and each event but the first one edge from its cause", () => {
  const { thread, edges, rows } = drawn(shown({ 2: 1, 3: 1, 4: 2, 5: 2, 6: 5, 7: 1 }));
  const placed = items(thread);
  assert.deepEqual(
    placed.map(({ row }) => row),
    Array.from({ length: rows }, (_, row) => row),
    "they are read in the order in which they are drawn",
  );
  const at = new Map(placed.map((item) => [item.row, item.node.fact]));
  for (const { from, to } of edges) assert.equal(at.get(to.row).cause.offset, at.get(from.row).offset);
  assert.deepEqual(
    edges.map(({ to }) => to.row).sort((a, b) => a - b),
    [1, 2, 3, 4, 5, 6],
  );
});

test("what answers is told from what was caused, in its row and on the way to it", () => {
  const facts = [fact(2, 1), fact(3, undefined, { answers: "call" })];
  const { thread, edges } = drawn(shown({}, { behind: ({ offset }) => (offset === 1 ? facts : []) }));
  const answers = items(thread).filter(({ node }) => node.isAnswer);
  assert.deepEqual(
    answers.map(({ node }) => node.fact.offset),
    [3],
  );
  assert.deepEqual(
    edges.filter(({ isAnswer }) => isAnswer).map(({ to }) => to.row),
    answers.map(({ row }) => row),
  );
  const alone = drawn(shown({}, { of: fact(3, undefined, { answers: "call" }) }));
  assert.deepEqual(
    items(alone.thread).map(({ node }) => node.isAnswer),
    [false],
    "without what it answers it is no answer",
  );
});

test("a graph that branches at every other step is no wider than its logarithm", () => {
  const causes = {};
  for (let offset = 2; offset <= 140; offset += 1)
    causes[offset] = offset % 2 === 0 ? Math.max(1, offset - 2) : offset - 1;
  const { lanes, rows } = drawn(shown(causes));
  assert.equal(rows, 140);
  assert.ok(lanes <= 8, `${lanes} lanes`);
});

test("a thousand followers are folded, and unfolded step by step", () => {
  const causes = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [index + 2, 1]));
  const folded = items(drawn(shown(causes)).thread);
  const more = folded.find(({ node }) => node.kind === "more").node;
  assert.deepEqual([more.shown, more.count], [8, 992]);
  assert.equal(folded.length, 1 + 8 + 1);

  const opened = new Map([["/a;1", more.shown + STEP]]);
  const unfolded = items(drawn(shown(causes, { opened })).thread);
  assert.equal(unfolded.find(({ node }) => node.kind === "more").node.count, 992 - STEP);
  const all = new Map([["/a;1", 1_000]]);
  assert.ok(!items(drawn(shown(causes, { opened: all })).thread).some(({ node }) => node.kind === "more"));
});

test("what is deep is folded when there is enough, and what was asked for is shown all the same", () => {
  const causes = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [index + 2, index + 1]));
  const folded = items(drawn(shown(causes)).thread);
  const { node } = folded.find((item) => item.node.kind === "more");
  assert.deepEqual([folded.length, node.of.offset, node.count], [152, 151, 1]);
  const opened = new Map([["/a;151", STEP]]);
  assert.equal(items(drawn(shown(causes, { opened })).thread).at(-1).node.of.offset, 152);
});

test("what goes on in a lane stays when something beside it is unfolded", () => {
  const mains = new Map();
  const before = drawn(shown({ 2: 1, 3: 1, 4: 3 }), mains);
  assert.equal(written(before.thread), "1(2) 3 4");
  const after = drawn(shown({ 2: 1, 3: 1, 4: 3, 5: 2, 6: 5, 7: 6 }), mains);
  assert.equal(written(after.thread), "1(2 5 6 7) 3 4");
  assert.equal(written(drawn(shown({ 2: 1, 3: 1, 4: 3, 5: 2, 6: 5, 7: 6 })).thread), "1(3 4) 2 5 6 7");
});

test("causes stand above, in the lane of the event, and a long chain of them is folded in the middle", () => {
  const causes = Array.from({ length: 20 }, (_, index) => fact(index + 101, index === 0 ? undefined : index + 100));
  const of = fact(1, 120);
  const folded = drawn(shown({ 2: 1, 3: 1 }, { causes, of }));
  assert.equal(written(folded.thread), "101 102 between13 116 117 118 119 120 1(2) 3");
  const whole = drawn(shown({ 2: 1 }, { causes, of, allCauses: true }));
  assert.equal(whole.rows, 22);
  assert.equal(whole.lanes, 1);
});

test("why there is no cause stands above the first", () => {
  const end = { kind: "gone", ref: { path: "/gone", offset: 3 } };
  assert.equal(written(drawn(shown({ 2: 1 }, { end })).thread), "end 1 2");
});

test("an event says how long after its cause it came, and which stream it is in where that is not plain", () => {
  const there = fact(7, 1, { path: "/b/c", at: 35 });
  const then = fact(8, 7, { path: "/b/c", cause: { path: "/b/c", offset: 7 }, at: 40 });
  const back = fact(9, 8, { cause: { path: "/b/c", offset: 8 }, at: 50 });
  const chain = new Map([
    [1, there],
    [7, then],
    [8, back],
  ]);
  const behind = ({ offset }) => [chain.get(offset)].filter(Boolean);
  const nodes = items(drawn(shown({}, { behind })).thread).map(({ node }) => [node.afterMs, node.where]);
  assert.deepEqual(nodes, [
    [undefined, undefined],
    [25, "/b/c"],
    [5, "c"],
    [10, "/a"],
  ]);
});
