// Requests to models, read as conversations: each API writes the same one in its own way.
import assert from "node:assert/strict";
import { test } from "node:test";
import { conversationOf } from "../src/time/conversation.ts";

const read = (body) => conversationOf(JSON.stringify(body));

const same = [
  { role: "system", parts: [{ kind: "text", text: "Be brief." }] },
  { role: "user", parts: [{ kind: "text", text: "The weather?" }] },
  {
    role: "assistant",
    parts: [
      { kind: "text", text: "I look." },
      { kind: "call", id: "c1", name: "weather", arguments: '{"city":"Oslo"}' },
    ],
  },
  { role: "tool", parts: [{ kind: "result", id: "c1", name: "weather", text: "rain" }] },
];

test("chat completions are a conversation", () => {
  const call = { id: "c1", type: "function", function: { name: "weather", arguments: '{"city":"Oslo"}' } };
  const { said, tools, options } = read({
    model: "m",
    stream: true,
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: [{ type: "text", text: "The weather?" }] },
      { role: "assistant", content: "I look.", tool_calls: [call] },
      { role: "tool", tool_call_id: "c1", content: "rain" },
    ],
    tools: [{ type: "function", function: { name: "weather", description: "in a city", parameters: {} } }],
  });
  assert.deepEqual(said, same);
  assert.deepEqual(tools, [{ name: "weather", description: "in a city" }]);
  assert.deepEqual(options, { model: "m", stream: true });
});

test("Anthropic's messages are the same conversation", () => {
  const { said, tools } = read({
    model: "m",
    max_tokens: 4_096,
    system: [{ type: "text", text: "Be brief.", cache_control: {} }],
    messages: [
      { role: "user", content: "The weather?" },
      {
        role: "assistant",
        content: [
          { type: "text", text: "I look." },
          { type: "tool_use", id: "c1", name: "weather", input: { city: "Oslo" } },
        ],
      },
      {
        role: "user",
        content: [{ type: "tool_result", tool_use_id: "c1", content: [{ type: "text", text: "rain" }] }],
      },
    ],
    tools: [{ name: "weather", description: "in a city", input_schema: {} }],
  });
  assert.deepEqual(said, same);
  assert.deepEqual(tools, [{ name: "weather", description: "in a city" }]);
});

test("OpenAI's responses are the same, each item by itself", () => {
  const { said } = read({
    model: "m",
    instructions: "Be brief.",
    input: [
      { type: "message", role: "user", content: [{ type: "input_text", text: "The weather?" }] },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "I look." }] },
      { type: "function_call", call_id: "c1", name: "weather", arguments: '{"city":"Oslo"}' },
      { type: "function_call_output", call_id: "c1", output: "rain" },
    ],
  });
  const [system, user, { parts }, tool] = same;
  const one = (part) => ({ role: "assistant", parts: [part] });
  assert.deepEqual(said, [system, user, one(parts[0]), one(parts[1]), tool]);
});

test("images are named in each of the three ways", () => {
  const url = "https://example.com/a.png";
  const bodies = [
    { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }] },
    { messages: [{ role: "user", content: [{ type: "image", source: { type: "url", url } }] }] },
    { input: [{ role: "user", content: [{ type: "input_image", image_url: url }] }] },
  ];
  for (const body of bodies) assert.deepEqual(read(body).said[0].parts, [{ kind: "image", url }]);
});

test("what is not known stands there as it is, and nothing of it breaks the page", () => {
  const odd = { type: "thinking", thinking: "hm" };
  assert.deepEqual(read({ messages: [{ role: "assistant", content: [odd] }] }).said[0].parts, [
    { kind: "other", value: odd },
  ]);
  assert.deepEqual(read({ input: [odd] }).said[0].parts, [{ kind: "other", value: odd }]);
  for (const messages of [[null], [5], [{}], [{ role: 7, content: { a: 1 } }], [{ tool_calls: "no" }]]) {
    assert.equal(read({ messages }).said.length, 1);
  }
});

test("a body of another kind is no conversation", () => {
  for (const body of ["", "not json", "[]", "5", "{}", '{"messages":"no"}']) {
    assert.equal(conversationOf(body), undefined, body);
  }
});
