//! OpenAI's chat completions, which most providers speak, each a little differently.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use tailrace_model::control::agent::Agent;

use super::draft::{Begun, Draft};
use super::object::{Object, objects};
use super::wire::{self, Piece, Schema, Words};
use crate::conversation::{Call, Conversation, Message, Role, Tool};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Said<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Offered<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    options: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum Said<'a> {
    System {
        content: Cow<'a, str>,
    },
    User {
        content: Words<'a, Part<'a>>,
    },
    Assistant {
        content: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Asked<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: &'a str,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: Image<'a> },
}

#[derive(Serialize)]
struct Image<'a> {
    url: &'a str,
}

#[derive(Serialize)]
struct Offered<'a> {
    r#type: &'static str,
    function: Described<'a>,
}

#[derive(Serialize)]
struct Described<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Schema<'a>,
}

#[derive(Serialize)]
struct Asked<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: Cow<'a, str>,
    arguments: &'a str,
}

/// The body of a request.
pub(super) fn body(agent: &Agent, conversation: &Conversation) -> String {
    let mut messages: Vec<Said> = conversation.messages.iter().filter_map(said).collect();
    if messages.is_empty() {
        messages.push(Said::User { content: Words::Text(wire::BEGIN.into()) });
    }
    if let Some(system) = wire::said(agent.system.as_ref()) {
        messages.insert(0, Said::System { content: system.into() });
    }
    let names_own = agent.options.contains_key("stream_options");
    let body = Body {
        model: &agent.model,
        messages,
        tools: conversation.tools.iter().map(offered).collect(),
        stream: true,
        stream_options: (!names_own).then_some(StreamOptions { include_usage: true }),
        options: &agent.options,
    };
    serde_json::to_string(&body).unwrap_or_default()
}

fn said(message: &Message) -> Option<Said<'_>> {
    Some(match message {
        // Images are a user's only.
        Message::Input { role: Role::System, content } if wire::has_image(content) => {
            Said::User { content: wire::context(content).into() }
        }
        Message::Input { role: Role::System, content } => Said::System { content: wire::text(content) },
        Message::Input { role: Role::User, content } => Said::User { content: Words::of(content) },
        Message::Input { role: Role::Assistant, content } => return answered(wire::text(content), &[]),
        Message::Output { content, calls } => return answered(content.into(), calls),
        Message::Result { id, content, .. } => Said::Tool { tool_call_id: id, content },
    })
}

/// An answer; one that neither says nor asks for anything is left out, since many refuse it.
fn answered<'a>(content: Cow<'a, str>, calls: &'a [Call]) -> Option<Said<'a>> {
    let content = Some(content).filter(|content| !content.trim().is_empty());
    let tool_calls: Vec<Asked> = calls.iter().map(asked).collect();
    (content.is_some() || !tool_calls.is_empty()).then_some(Said::Assistant { content, tool_calls })
}

fn asked(call: &Call) -> Asked<'_> {
    let function = Called { name: wire::tool_name(&call.name), arguments: wire::arguments(&call.arguments) };
    Asked { id: &call.id, r#type: "function", function }
}

impl<'a> From<Piece<'a>> for Part<'a> {
    fn from(piece: Piece<'a>) -> Self {
        match piece {
            Piece::Text(text) => Self::Text { text },
            Piece::Image(url) => Self::ImageUrl { image_url: Image { url } },
        }
    }
}

fn offered(tool: &Tool) -> Offered<'_> {
    let parameters = Schema(tool.parameters.as_deref());
    let function = Described { name: &tool.name, description: tool.description.as_deref(), parameters };
    Offered { r#type: "function", function }
}

/// Reads an answer that came whole.
pub(super) fn read_whole(draft: &mut Draft, completion: &Object) {
    read(draft, completion);
    draft.close();
}

/// Reads a chunk of an answer.
pub(super) fn read(draft: &mut Draft, chunk: &Object) {
    draft.name_model(chunk);
    if let Some(usage) = chunk.object("usage") {
        count(draft, &usage);
    }
    let choices = chunk.objects("choices");
    let Some(choice) = choices.iter().find(|choice| choice.number("index").unwrap_or(0) == 0) else { return };
    // Some send the whole message once more at the end.
    let whole = || choice.object("message").filter(|_| draft.is_empty());
    if let Some(delta) = choice.object("delta").or_else(whole) {
        read_delta(draft, &delta);
    }
    if let Some(reason) = choice.text("finish_reason").filter(|reason| !reason.is_empty()) {
        draft.end(&reason);
        // What may follow are numbers.
        draft.is_complete = true;
    }
}

fn read_delta(draft: &mut Draft, delta: &Object) {
    if let Some(content) = delta.get("content") {
        draft.say(content);
        // Some send parts, a few of which are texts.
        let is_text = |part: &&Object| part.text("type").is_none_or(|kind| kind == "text");
        for text in objects(content).iter().filter(is_text).filter_map(|part| part.get("text")) {
            draft.say(text);
        }
    }
    if let Some(refusal) = delta.get("refusal") {
        draft.refuse(refusal);
    }
    for piece in delta.objects("tool_calls") {
        let function = piece.object("function");
        let name = function.as_ref().and_then(|function| function.text("name")).unwrap_or_default();
        let arguments = function.and_then(|function| function.get("arguments")).filter(|it| it.get() != "\"\"");
        let Some(call) = call_of(draft, &piece, &name, arguments.is_some()) else { continue };
        call.name(&name);
        if let Some(arguments) = arguments {
            call.argue(arguments);
        }
    }
}

/// The call that a piece belongs to. OpenAI says so by the index; others give every call the index 0, or none but an
/// id, or neither.
fn call_of<'a>(draft: &'a mut Draft, piece: &Object, name: &str, argues: bool) -> Option<&'a mut Begun> {
    let index = piece.number("index");
    let id = piece.text("id").unwrap_or_default();
    let known = draft.calls.iter().rposition(|call| match index {
        Some(_) => call.index == index,
        None => id.is_empty() || call.id == id,
    });
    let begins = |call: &Begun| match index {
        Some(_) => !name.is_empty() && !id.is_empty() && !call.id.is_empty() && call.id != id,
        None if !id.is_empty() => false,
        None => !name.is_empty() && !call.name.is_empty() && (call.name != name || (argues && call.is_whole())),
    };
    match known {
        Some(at) if !draft.calls.get(at).is_some_and(begins) => draft.calls.get_mut(at),
        _ => draft.begin(index, &id),
    }
}

fn count(draft: &mut Draft, usage: &Object) {
    let detail = |of: &str, name: &str| usage.object(of).and_then(|details| details.number(name));
    let tokens = &mut draft.tokens;
    tokens.input = usage.number("prompt_tokens").or(tokens.input);
    tokens.output = usage.number("completion_tokens").or(tokens.output);
    tokens.cached = detail("prompt_tokens_details", "cached_tokens")
        .or_else(|| usage.number("prompt_cache_hit_tokens"))
        .or(tokens.cached);
    tokens.reasoning = detail("completion_tokens_details", "reasoning_tokens").or(tokens.reasoning);
}
