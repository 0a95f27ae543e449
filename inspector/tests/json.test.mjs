import assert from "node:assert/strict";
import { test } from "node:test";
import { beginning, chunks, indented, rawFields } from "../src/event/json.ts";
import { brief, briefArguments, parse } from "../src/event/payload.ts";

const text = (json) => [...indented(json)].map((piece) => piece.text).join("");

test("JSON is indented as JSON.stringify does it", () => {
  const value = { a: [1, -2.5e3, true, null, "x"], "b c": { d: '\\" }{][,:', e: {}, f: [] }, g: [[], [{}]], h: "" };
  assert.equal(text(JSON.stringify(value)), JSON.stringify(value, null, 2));
});

test("numbers stay as they are written", () => {
  assert.match(
    text('{"n":123456789012345678901234567890,"m":1.0,"k":1e400}'),
    /"n": 123456789012345678901234567890,\n.*"m": 1\.0,\n.*1e400/,
  );
});

test("names, texts, numbers and words are told apart", () => {
  const kinds = [...indented('{"a":"b","c":[1,"d",null]}')].filter(({ kind }) => kind !== "mark");
  assert.deepEqual(
    kinds.map(({ kind, text: it }) => [kind, it]),
    [
      ["name", '"a"'],
      ["string", '"b"'],
      ["name", '"c"'],
      ["number", "1"],
      ["string", '"d"'],
      ["word", "null"],
    ],
  );
});

test("a text of a megabyte is one piece, and its beginning does not wait for its end", () => {
  const long = `{"text":${JSON.stringify(`${'\\"'.repeat(300_000)}🌊`.repeat(2))}}`;
  assert.equal([...indented(long)].filter(({ kind }) => kind === "string").length, 1);
  const { pieces, isWhole } = beginning(long, 1_000);
  assert.equal(isWhole, false);
  assert.equal(pieces.map((piece) => piece.text).join("").length, 1_000);
});

test("a beginning halves no character", () => {
  const { pieces } = beginning('"🌊🌊"', 2);
  assert.equal(pieces.map((piece) => piece.text).join(""), '"');
});

test("chunks are all of the text, none much longer than wanted", () => {
  const json = JSON.stringify(Array.from({ length: 5_000 }, (_, index) => ({ index, text: "🌊".repeat(index % 50) })));
  const found = chunks(json, 1_000);
  assert.equal(found.join(""), JSON.stringify(JSON.parse(json), null, 2));
  assert.ok(found.every((chunk) => chunk.length <= 1_000));
  assert.deepEqual(JSON.parse(found.join("")), JSON.parse(json));
});

test("broken JSON loses nothing", () => {
  for (const broken of ["", "{", '{"a":', '"abc', "}]", '{"a" "b"}', "nul"]) {
    const kept = text(broken).replaceAll(/\s/g, "");
    assert.equal(kept, broken.replaceAll(/\s/g, ""));
  }
});

test("the fields of an object are had as they are written", () => {
  const fields = rawFields('{"type":"a\\"}","payload":{"n":9007199254740993,"x":["}",{}]},"last": 1.0 }');
  assert.deepEqual(
    [...fields],
    [
      ["type", '"a\\"}"'],
      ["payload", '{"n":9007199254740993,"x":["}",{}]}'],
      ["last", "1.0"],
    ],
  );
});

test("a number that JavaScript would round is parsed as it is written", () => {
  const value = parse('{"n":9007199254740993,"small":3,"half":0.5,"d":0.12345678901234567890}');
  assert.equal(JSON.stringify(value), '{"n":9007199254740993,"small":3,"half":0.5,"d":0.12345678901234567890}');
  assert.equal(value.small, 3);
});

test("a brief text of a large value reads no more of it than it says", () => {
  let reads = 0;
  const item = {
    get text() {
      return ((reads += 1), "x".repeat(1_000_000));
    },
  };
  const words = brief(
    Array.from({ length: 100_000 }, () => item),
    300,
  );
  assert.equal(words.length, 300);
  assert.ok(words.endsWith("…"));
  assert.ok(reads < 3);
});

test("a brief text of a small value is all of it", () => {
  assert.equal(brief({ a: [1, "x", null, true], b: {} }), '{"a":[1, "x", null, true], "b":{}}');
  assert.equal(briefArguments({ city: "Lisbon", nights: 2 }), 'city: "Lisbon", nights: 2');
  assert.equal(briefArguments("broken {"), '"broken {"');
});
