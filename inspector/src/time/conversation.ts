/** The body of a request to a model, read as a conversation. Each of the three APIs writes it in its own way. */
import { brief, fieldsOf, listOf, textOf, type Fields } from "../event/payload.ts";

export type Part =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "image"; readonly url: string }
  | { readonly kind: "call"; readonly id: string; readonly name: string; readonly arguments: string }
  | { readonly kind: "result"; readonly id: string; readonly name: string; readonly text: string }
  /** Something that this page does not know. */
  | { readonly kind: "other"; readonly value: unknown };

/** What was said by one, at once. */
export interface Said {
  readonly role: string;
  readonly parts: readonly Part[];
}

export interface Conversation {
  readonly said: readonly Said[];
  /** What the model may call. */
  readonly tools: readonly { readonly name: string; readonly description: string }[];
  /** What else the request says. */
  readonly options: Fields;
}

/** `undefined` when the body is none of the three. */
export function conversationOf(body: string): Conversation | undefined {
  let fields: Fields;
  try {
    fields = fieldsOf(JSON.parse(body));
  } catch {
    return undefined;
  }
  const said = Array.isArray(fields["input"])
    ? ofResponses(fields)
    : Array.isArray(fields["messages"])
      ? ofMessages(fields)
      : undefined;
  if (!said) return undefined;
  const { messages: _, input: __, instructions: ___, system: ____, tools, ...options } = fields;
  return { said: named(said), tools: listOf(tools).map(toolOf), options };
}

/** OpenAI's chat completions and Anthropic's messages. */
function ofMessages({ system, messages }: Fields): Said[] {
  const said: Said[] = system === undefined ? [] : [{ role: "system", parts: partsOf(system) }];
  for (const message of listOf(messages)) {
    const { role, content, tool_calls: calls, tool_call_id: of } = fieldsOf(message);
    const parts = of === undefined ? partsOf(content) : [resultOf(of, content)];
    for (const call of listOf(calls)) {
      const { id, function: called } = fieldsOf(call);
      const { name, arguments: args } = fieldsOf(called);
      parts.push(callOf(id, name, args));
    }
    said.push({ role: textOf(role) ?? "?", parts });
  }
  return said;
}

/** OpenAI's responses: calls and results are items of their own. */
function ofResponses({ instructions, input }: Fields): Said[] {
  const said: Said[] = instructions === undefined ? [] : [{ role: "system", parts: partsOf(instructions) }];
  for (const item of listOf(input)) {
    const { type, role, content, call_id: id, name, arguments: args, output } = fieldsOf(item);
    if (type === "function_call") said.push({ role: "assistant", parts: [callOf(id, name, args)] });
    else if (type === "function_call_output") said.push({ role: "tool", parts: [resultOf(id, output)] });
    else if (role !== undefined) said.push({ role: textOf(role) ?? "?", parts: partsOf(content) });
    else said.push({ role: "?", parts: [{ kind: "other", value: item }] });
  }
  return said;
}

function partsOf(content: unknown): Part[] {
  if (typeof content === "string") return content === "" ? [] : [{ kind: "text", text: content }];
  if (content === null || content === undefined) return [];
  return listOf(content).map(partOf);
}

function partOf(part: unknown): Part {
  const { type, text, image_url: image, source, id, name, input, tool_use_id: of, content } = fieldsOf(part);
  if (typeof text === "string") return { kind: "text", text };
  if (type === "tool_use") return callOf(id, name, input);
  if (type === "tool_result") return resultOf(of, content);
  const url = textOf(image) ?? textOf(fieldsOf(image)["url"]) ?? textOf(fieldsOf(source)["url"]);
  return url === undefined ? { kind: "other", value: part } : { kind: "image", url };
}

function callOf(id: unknown, name: unknown, args: unknown): Part {
  return {
    kind: "call",
    id: textOf(id) ?? "",
    name: textOf(name) ?? "?",
    arguments: typeof args === "string" ? args : JSON.stringify(args ?? {}),
  };
}

function resultOf(id: unknown, content: unknown): Part {
  const texts = partsOf(content).map((part) => (part.kind === "text" ? part.text : brief(part)));
  return { kind: "result", id: textOf(id) ?? "", name: "", text: texts.join("\n") };
}

/** A result names its call only; here it also says what was called. */
function named(said: readonly Said[]): Said[] {
  const names = new Map<string, string>();
  for (const part of said.flatMap(({ parts }) => parts)) if (part.kind === "call") names.set(part.id, part.name);
  return said.map(({ role, parts }) => ({
    // Anthropic's results come from the user.
    role: parts.length > 0 && parts.every(({ kind }) => kind === "result") ? "tool" : role,
    parts: parts.map((part) => (part.kind === "result" ? { ...part, name: names.get(part.id) ?? "" } : part)),
  }));
}

function toolOf(tool: unknown): { name: string; description: string } {
  const fields = fieldsOf(tool);
  const { name, description } = "function" in fields ? fieldsOf(fields["function"]) : fields;
  return { name: textOf(name) ?? "?", description: textOf(description) ?? "" };
}
