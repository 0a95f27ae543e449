//! Anthropic's messages.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use tailrace_model::control::agent::Agent;

use super::draft::Draft;
use super::object::Object;
use super::wire::{self, Arguments, Piece, Schema};
use crate::conversation::{Call, Conversation, Message, Role, Tool};

/// The API wants a limit; this is what every model can do.
const MAX_TOKENS: u32 = 4_096;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a str>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Offered<'a>>,
    stream: bool,
    #[serde(flatten)]
    options: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: Speaker,
    content: Vec<Block<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    User,
    Assistant,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: Cow<'a, str>,
    },
    Image {
        source: Source<'a>,
    },
    ToolUse {
        id: &'a str,
        name: Cow<'a, str>,
        input: Arguments<'a>,
    },
    ToolResult {
        tool_use_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<&'a str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Source<'a> {
    Url { url: &'a str },
    Base64 { media_type: &'a str, data: &'a str },
}

#[derive(Serialize)]
struct Offered<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Schema<'a>,
}

/// The body of a request.
pub(super) fn body(agent: &Agent, conversation: &Conversation) -> String {
    let body = Body {
        model: &agent.model,
        max_tokens: (!agent.options.contains_key("max_tokens")).then_some(MAX_TOKENS),
        system: wire::said(agent.system.as_ref()),
        messages: turns(&conversation.messages),
        tools: conversation.tools.iter().map(offered).collect(),
        stream: true,
        options: &agent.options,
    };
    serde_json::to_string(&body).unwrap_or_default()
}

/// User and assistant take turns. The user has the first word, and the last, since what an assistant said last would be
/// taken for the beginning of its answer.
fn turns(messages: &[Message]) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn> = Vec::new();
    for message in messages {
        let (role, blocks) = blocks(message);
        match turns.last_mut() {
            _ if blocks.is_empty() => {}
            Some(last) if last.role == role => last.content.extend(blocks),
            last => {
                if last.is_none() && role == Speaker::Assistant {
                    turns.push(user(wire::BEGIN));
                }
                turns.push(Turn { role, content: blocks });
            }
        }
    }
    for turn in &mut turns {
        turn.content.sort_by_key(|block| !matches!(block, Block::ToolResult { .. }));
    }
    match turns.last().map(|turn| turn.role) {
        None => turns.push(user(wire::BEGIN)),
        Some(Speaker::Assistant) => turns.push(user(wire::GO_ON)),
        Some(Speaker::User) => {}
    }
    turns
}

fn user(text: &str) -> Turn<'_> {
    Turn { role: Speaker::User, content: vec![Block::Text { text: text.into() }] }
}

fn blocks(message: &Message) -> (Speaker, Vec<Block<'_>>) {
    match message {
        Message::Input { role: Role::User, content } => (Speaker::User, spoken(wire::pieces(content))),
        Message::Input { role: Role::System, content } => (Speaker::User, spoken(wire::context(content))),
        Message::Input { role: Role::Assistant, content } => (Speaker::Assistant, answered(wire::text(content), &[])),
        Message::Output { content, calls } => (Speaker::Assistant, answered(content.into(), calls)),
        Message::Result { id, content, failed } => {
            let content = Some(content.as_str()).filter(|content| !content.trim().is_empty());
            (Speaker::User, vec![Block::ToolResult { tool_use_id: id, content, is_error: *failed }])
        }
    }
}

fn spoken(pieces: Vec<Piece<'_>>) -> Vec<Block<'_>> {
    pieces.into_iter().map(Block::from).collect()
}

fn answered<'a>(content: Cow<'a, str>, calls: &'a [Call]) -> Vec<Block<'a>> {
    let said = Some(content).filter(|text| !text.trim().is_empty()).map(|text| Block::Text { text });
    let asked = calls.iter().map(|call| Block::ToolUse {
        id: &call.id,
        name: wire::tool_name(&call.name),
        input: Arguments(&call.arguments),
    });
    said.into_iter().chain(asked).collect()
}

impl<'a> From<Piece<'a>> for Block<'a> {
    fn from(piece: Piece<'a>) -> Self {
        match piece {
            Piece::Text(text) => Self::Text { text },
            Piece::Image(url) => Self::Image { source: source(url) },
        }
    }
}

/// `data:` URLs are taken apart.
fn source(url: &str) -> Source<'_> {
    let inline = || {
        let (scheme, rest) = url.split_at_checked(5)?;
        let (head, data) = rest.split_once(',')?;
        let media = head.strip_suffix(";base64")?;
        let media_type = media.split(';').next().unwrap_or(media);
        scheme.eq_ignore_ascii_case("data:").then_some(Source::Base64 { media_type, data })
    };
    inline().unwrap_or(Source::Url { url })
}

fn offered(tool: &Tool) -> Offered<'_> {
    Offered {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema: Schema(tool.parameters.as_deref()),
    }
}

/// Reads an event of an answer.
pub(super) fn read(draft: &mut Draft, kind: &str, event: &Object) {
    let index = event.number("index");
    match kind {
        "message_start" => {
            if let Some(message) = event.object("message") {
                draft.name_model(&message);
                count(draft, &message);
            }
        }
        "content_block_start" => {
            if let Some(block) = event.object("content_block") {
                read_block(draft, index, &block);
            }
        }
        "content_block_delta" => {
            if let Some(delta) = event.object("delta") {
                read_delta(draft, index, &delta);
            }
        }
        "message_delta" => {
            count(draft, event);
            if let Some(reason) = event.object("delta").and_then(|delta| delta.text("stop_reason")) {
                draft.end(&reason);
            }
        }
        "message_stop" => draft.close(),
        _ => {}
    }
}

/// Reads an answer that came whole.
pub(super) fn read_whole(draft: &mut Draft, message: &Object) {
    draft.name_model(message);
    count(draft, message);
    for (index, block) in (0..).zip(message.objects("content")) {
        read_block(draft, Some(index), &block);
    }
    draft.end(&message.text("stop_reason").unwrap_or_default());
    draft.close();
}

/// A block mostly comes empty and grows. What is neither a text nor a call of ours, as thoughts are, is left out.
fn read_block(draft: &mut Draft, index: Option<u64>, block: &Object) {
    match block.text("type").as_deref() {
        Some("text") => block.get("text").into_iter().for_each(|text| draft.say(text)),
        Some("tool_use") => {
            let id = block.text("id").unwrap_or_default();
            let Some(call) = draft.call(index, &id) else { return };
            call.name(&block.text("name").unwrap_or_default());
            if let Some(input) = block.get("input") {
                call.begin_with(input);
            }
        }
        _ => {}
    }
}

fn read_delta(draft: &mut Draft, index: Option<u64>, delta: &Object) {
    match delta.text("type").as_deref() {
        Some("text_delta") => delta.get("text").into_iter().for_each(|text| draft.say(text)),
        Some("input_json_delta") => {
            // Other kinds of blocks have such input too.
            let known = draft.calls.iter_mut().rfind(|call| index.is_none() || call.index == index);
            if let (Some(call), Some(piece)) = (known, delta.get("partial_json")) {
                call.argue(piece);
            }
        }
        _ => {}
    }
}

/// What is counted later counts more; what is not counted again stays.
fn count(draft: &mut Draft, message: &Object) {
    let Some(usage) = message.object("usage") else { return };
    let tokens = &mut draft.tokens;
    tokens.input = usage.number("input_tokens").or(tokens.input);
    tokens.read = usage.number("cache_read_input_tokens").or(tokens.read);
    tokens.written = usage.number("cache_creation_input_tokens").or(tokens.written);
    tokens.output = usage.number("output_tokens").or(tokens.output);
}
