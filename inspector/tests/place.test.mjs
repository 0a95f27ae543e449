// Where one is in the text of an event: for completion, and for what the server names.
import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonLanguage } from "@codemirror/lang-json";
import { fieldsAt } from "../src/hands/fields.ts";
import { placeAt, placeOf } from "../src/hands/place.ts";

/** The place at `|` in a text. */
function at(marked) {
  const position = marked.indexOf("|");
  const text = marked.slice(0, position) + marked.slice(position + 1);
  return placeAt(jsonLanguage.parser.parse(text), text, position);
}
const marks = (text, field, index) => {
  const place = placeOf(jsonLanguage.parser.parse(text), text, field, index);
  return place && text.slice(place.from, place.to);
};
const names = (marked) => {
  const place = at(marked);
  return place && Object.keys(fieldsAt(place.type, place.path));
};

test("names of an event's fields are offered where a name is written", () => {
  for (const marked of ['{"|"}', '{"ty|"}', "{|}", '{"type": "a", "|"}', '[{"type": "a"}, {"|"}]']) {
    assert.equal(at(marked)?.kind, "name", marked);
    assert.ok(names(marked).includes("type"), marked);
  }
});

test("names of a payload's fields are those of the event's type", () => {
  assert.ok(names('{"type": "schedule.configured", "payload": {"|"}}').includes("cron"));
  assert.ok(names('{"payload": {"|"}, "type": "stream.paused"}').includes("reason"));
  assert.ok(names('{"type": "subscription.configured", "payload": {"target": {"agent": {"|"}}}}').includes("maxTurns"));
  assert.deepEqual(names('{"type": "mine", "payload": {"|"}}'), []);
});

test("the event inside a schedule is an event of its own", () => {
  const outer = (inner) => `{"type": "schedule.configured", "payload": {"event": ${inner}}}`;
  assert.ok(names(outer('{"|"}')).includes("type"));
  assert.ok(names(outer('{"type": "agent.input-added", "payload": {"|"}}')).includes("content"));
});

test("a value knows whose it is, also before it is there", () => {
  for (const marked of ['{"type": "st|"}', '{"type": |}', '{"type":|}']) {
    const place = at(marked);
    assert.deepEqual([place?.kind, place?.name], ["value", "type"], marked);
  }
});

test("nothing is offered within a text or behind a value", () => {
  for (const marked of ['"a|"', '{"type": "a"|}', "[|]", '["a|"]', "|"]) assert.equal(at(marked), undefined, marked);
});

test("the field that the server names is found", () => {
  const text = '{"type": "a.b", "payload": {"slug": "x y", "target": {"url": "no"}, "types": [1]}}';
  assert.equal(marks(text, "type"), '"type": "a.b"');
  assert.equal(marks(text, "payload.slug"), '"slug": "x y"');
  assert.equal(marks(text, "payload.target.url"), '"url": "no"');
  assert.equal(marks(text, "payload.types"), '"types"');
});

test("of a field that is missing the nearest one above is found", () => {
  assert.equal(marks('{"type": "a", "payload": {"target": {}}}', "payload.target.agent.api"), '"target"');
  assert.equal(marks('{"type": "a"}', "payload.slug"), undefined);
});

test("in a batch the element that the server counts is found", () => {
  const text = '[{"type": "a"}, {"type": "b", "payload": {"slug": ""}}, 7]';
  assert.equal(marks(text, "payload.slug", 1), '"slug": ""');
  assert.equal(marks(text, "", 2), "7");
  assert.equal(marks(text, "payload.slug"), '"slug": ""', "the only one that has such a field");
  assert.equal(marks(text, "type"), undefined, "it may be either");
});

test("an event that is wrapped is looked into", () => {
  assert.equal(marks('{"event": {"type": 1}}', "type"), '"type": 1');
});

test("a name with dots in it is one name", () => {
  assert.equal(marks('{"type": "a", "payload": {"headers": {"x.y": 1}}}', "payload.headers.x.y"), '"x.y": 1');
});
