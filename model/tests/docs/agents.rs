//! What agents and tools are told by, as the docs say it.

use std::fmt::Write as _;

use super::{Field, accepted, field};

/// A type under `agent.` or `tool.`, who writes it, its payload, and what it means.
type Row = (&'static str, &'static str, &'static str, &'static str);

const AGENT: &[Row] = &[
    (
        "agent.input-added",
        "you, tools, schedules",
        "`{content, role?, from?, to?, replyTo?}`; `content` is a text, or a list of `{type: \"text\", text}` and `{type: \
         \"image\", url}`; `role` is `user`, `system` or `assistant`; `to` a slug, `from` a name; `replyTo: {streamPath, \
         callId}` is how a sub-agent knows whom to answer",
        "something is said to the agent (without `to` to every agent of the stream), and answered",
    ),
    (
        "agent.context-added",
        "you",
        "`{content, to?}`",
        "the agent is to know this from its next turn on; no turn starts for it",
    ),
    (
        "agent.turn-started",
        "the agent",
        "`{turn, requestId, upTo, requestSha256, harness}`; `upTo` is the last event that the request is made of, \
         `requestSha256` of its body, `harness` with which code",
        "the model is called",
    ),
    (
        "agent.output-delta",
        "the agent, to live readers only",
        "`{requestId, attempt, at, text}`; `at` counts the characters before it",
        "what the model is saying; never stored",
    ),
    (
        "agent.output-added",
        "the agent",
        "`{turn, requestId, attempt, content, toolCalls?, usage, model, finishReason, latencyMs, firstTokenMs?}`; `toolCalls: \
         [{callId, name, arguments}]`; `usage: {inputTokens, outputTokens, …}` or `null`",
        "the model has answered: the end of a request",
    ),
    (
        "agent.turn-failed",
        "the agent",
        "`{turn, requestId, attempt, error, status?, retryAt?, final}`",
        "an attempt failed; with `final: true` it was the last: the end of a request",
    ),
    (
        "agent.turn-interrupted",
        "the agent",
        "`{turn, requestId, attempt, partial}`",
        "the call was broken off, after this was said: the end of a request",
    ),
    (
        "agent.interrupt-requested",
        "you",
        "`{agent?}`: a slug, else every agent of the stream",
        "stop: break the call off, end open calls of tools, forget input that waits",
    ),
    (
        "agent.stopped",
        "the agent",
        "`{reason}`: `maxTurns`, `interrupted`, or that the model could not be called",
        "it waits for new input",
    ),
];

const TOOL: &[Row] = &[
    (
        "tool.configured",
        "you",
        "`{name, description?, parameters?, url?, headers?, approval?, timeoutMs?, children?}`, [see below](#toolconfigured)",
        "agents of the stream may call it; replaces its name",
    ),
    ("tool.removed", "you", "`{name, children?}`", "take that back"),
    (
        "tool.approval-requested",
        "the agent",
        "`{callId, name, arguments, expiresAt}`",
        "a model wants this call, and somebody must say so first",
    ),
    ("tool.approved", "you", "`{callId}`", "it may run: the agent says `tool.requested`"),
    ("tool.denied", "you; the agent after a day", "`{callId, reason?}`", "it may not: the end of a call"),
    (
        "tool.requested",
        "the agent",
        "`{callId, name, arguments}`; `callId` is `<requestId>.<index>`",
        "run it now, whoever runs this tool",
    ),
    (
        "tool.started",
        "who runs it",
        "`{callId, attempt, streamPath?}`; `streamPath` is a sub-agent's",
        "somebody is at it",
    ),
    ("tool.completed", "who runs it", "`{callId, result}`: any JSON", "the end of a call"),
    ("tool.failed", "who runs it, or the agent", "`{callId, error}`", "the end of a call"),
];

/// The section of `docs/events.md`.
pub fn section() -> String {
    let mut out = String::from(
        "\n## Agents and tools\n\n\
         Types under `agent.` and `tool.` are what agents ([agents.md](agents.md)) and whoever has to do with them say to each \
         other. They are not reserved: whoever may append may say them, but `tool.configured` and `tool.removed` need the right \
         `control`, `tool.approved` and `tool.denied` the right `approve`. What an agent writes has `agent`, its slug, beside \
         what stands here. Of the ends of a request, and of a call, the first counts. A body that begins so in its `type` and is \
         malformed is refused, not kept as something foreign.\n\n\
         | type | written by | payload | meaning |\n\
         |---|---|---|---|\n",
    );
    for (name, author, payload, meaning) in AGENT.iter().chain(TOOL) {
        let _ = writeln!(out, "| `{name}` | {author} | {payload} | {meaning} |");
    }
    assert!(accepted("tool.removed", r#"{"name":"a","children":true}"#));
    out
}

/// An agent with these fields beside the needed ones, in braces.
macro_rules! agent {
    ($fields:literal) => {
        concat!(r#""slug":"a","target":{"agent":{"api":"chat","model":"m","#, $fields, "}}")
    };
}

/// The fields of `target.agent`.
pub const TARGET: &[Field] = &[
    field(
        "api",
        "needed",
        "how the model is spoken to: `chat` (OpenAI's chat completions, which most speak), `responses` (OpenAI) or `messages` \
         (Anthropic)",
        r#""slug":"a","target":{"agent":{"api":"messages","model":"m"}}"#,
    ),
    field(
        "model",
        "needed",
        "its name, as the provider knows it",
        r#""slug":"a","target":{"agent":{"api":"chat","model":"gpt-4.1"}}"#,
    ),
    field(
        "baseUrl",
        "OpenAI's, Anthropic's",
        "what stands before `/chat/completions`, `/responses` or `/messages`; https to a public host",
        agent!(r#""baseUrl":"https://gateway.ai.cloudflare.com/v1/account/gateway/openai""#),
    ),
    field(
        "secret",
        "none",
        "the name of the deployment's secret that the provider wants as its key; it must be declared for sending to that host",
        agent!(r#""secret":"OPENAI""#),
    ),
    field(
        "system",
        "none",
        "what the model is told before everything else, at most 256 KiB",
        agent!(r#""system":"Be brief.""#),
    ),
    field(
        "tools",
        "all",
        "globs over the names of tools that the model may call; `[]` = none",
        agent!(r#""tools":["weather","read_*"]"#),
    ),
    field(
        "allow",
        "none",
        "globs over paths that its built-in tools may read, and append plain events to, beyond its own stream and those below",
        agent!(r#""allow":["/billing/*"]"#),
    ),
    field(
        "debounceMs",
        "250",
        "how long it waits for more input before it answers, 0 to 60,000",
        agent!(r#""debounceMs":0"#),
    ),
    field(
        "onInput",
        "`\"queue\"`",
        "what input does that comes while it is busy: `queue`, or `interrupt`: the turn is broken off and begun anew",
        agent!(r#""onInput":"interrupt""#),
    ),
    field("maxTurns", "20", "turns in one chain of causes, 1 to 1,000; then it stops", agent!(r#""maxTurns":5"#)),
    field(
        "waitFor",
        "none",
        "slugs of subscriptions of the same stream that must have seen the input before the model is called; at most 5 s are \
         waited for them",
        agent!(r#""waitFor":["safety"]"#),
    ),
    field(
        "timeouts",
        "300,000 and 60,000",
        "`{totalMs?, idleMs?}`: how long a call of the model may take, and how long nothing may come of it; 1,000 to 840,000",
        agent!(r#""timeouts":{"totalMs":120000,"idleMs":30000}"#),
    ),
    field(
        "options",
        "none",
        "what else the request says, as the provider names it, at most 16 KiB; nothing that the agent says itself",
        agent!(r#""options":{"temperature":0}"#),
    ),
];

/// The fields of `tool.configured`.
pub const TOOL_FIELDS: &[Field] = &[
    field("name", "needed", "1 to 59 characters of `A-Z a-z 0-9 _ -`, no built-in tool's", r#""name":"weather""#),
    field(
        "description",
        "none",
        "what it is for, told to the model",
        r#""name":"a","description":"The weather in a city""#,
    ),
    field(
        "parameters",
        "none",
        "JSON Schema of its arguments, told to the model; nobody checks them by it",
        r#""name":"a","parameters":{"type":"object","properties":{"city":{"type":"string"}}}"#,
    ),
    field(
        "url",
        "none",
        "each call is pushed there, by a subscription with the slug `tool.<name>`. Without it: somebody hears `tool.requested`",
        r#""name":"a","url":"https://example.com/weather""#,
    ),
    field(
        "headers",
        "none",
        "of these pushes, with `{{secret:NAME}}` in them",
        r#""name":"a","url":"https://crm.example.com/","headers":{"Authorization":"Bearer {{secret:CRM}}"}"#,
    ),
    field("approval", "`false`", "somebody must approve each call, within 24 h", r#""name":"a","approval":true"#),
    field("timeoutMs", "600,000", "how long a call may take, 100 to 86,400,000", r#""name":"a","timeoutMs":60000"#),
    field("children", "`false`", "holds for every stream below as well", r#""name":"a","children":true"#),
];

/// `agents.md` shows the machine as its code says it.
pub fn with_machine(text: &str) -> String {
    let code = include_str!("../../../agent/src/machine.rs");
    let table: Vec<&str> = code.lines().filter_map(|line| line.strip_prefix("//! |")).collect();
    let rows: String = table.iter().fold(String::new(), |mut rows, row| {
        let _ = writeln!(rows, "|{row}");
        rows
    });
    assert!(rows.starts_with("| phase | event | what follows |\n"), "the table is not there any more");
    let (before, rest) = text.split_once("| phase | event | what follows |\n").unwrap();
    let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
    format!("{before}{rows}\n{after}")
}
