//! OpenAI's responses.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use tailrace_model::control::agent::Agent;

use super::draft::{Begun, Draft};
use super::failure::Failure;
use super::object::Object;
use super::wire::{self, Piece, Schema, Words};
use crate::conversation::{Call, Conversation, Message, Role, Tool};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a str>,
    input: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Offered<'a>>,
    stream: bool,
    store: bool,
    #[serde(flatten)]
    options: &'a Map<String, Value>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a> {
    Message { role: &'static str, content: Words<'a, Part<'a>> },
    FunctionCall { call_id: &'a str, name: Cow<'a, str>, arguments: &'a str },
    FunctionCallOutput { call_id: &'a str, output: &'a str },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    InputText { text: Cow<'a, str> },
    InputImage { image_url: &'a str, detail: &'static str },
}

#[derive(Serialize)]
struct Offered<'a> {
    r#type: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Schema<'a>,
    strict: bool,
}

/// The body of a request.
pub(super) fn body(agent: &Agent, conversation: &Conversation) -> String {
    let mut input: Vec<Item> = conversation.messages.iter().flat_map(items).collect();
    if input.is_empty() {
        input.push(Item::Message { role: "user", content: Words::Text(wire::BEGIN.into()) });
    }
    let body = Body {
        model: &agent.model,
        instructions: wire::said(agent.system.as_ref()),
        input,
        tools: conversation.tools.iter().map(offered).collect(),
        stream: true,
        store: false,
        options: &agent.options,
    };
    serde_json::to_string(&body).unwrap_or_default()
}

fn items(message: &Message) -> Vec<Item<'_>> {
    let said = |role, content| vec![Item::Message { role, content }];
    match message {
        // Images are a user's only.
        Message::Input { role: Role::System, content } if wire::has_image(content) => {
            said("user", wire::context(content).into())
        }
        Message::Input { role: Role::System, content } => said("developer", Words::Text(wire::text(content))),
        Message::Input { role: Role::User, content } => said("user", Words::of(content)),
        Message::Input { role: Role::Assistant, content } => answered(wire::text(content), &[]),
        Message::Output { content, calls } => answered(content.into(), calls),
        Message::Result { id, content, .. } => vec![Item::FunctionCallOutput { call_id: id, output: content }],
    }
}

fn answered<'a>(content: Cow<'a, str>, calls: &'a [Call]) -> Vec<Item<'a>> {
    let said = Some(content).filter(|content| !content.trim().is_empty());
    let said = said.map(|content| Item::Message { role: "assistant", content: Words::Text(content) });
    let asked = calls.iter().map(|call| Item::FunctionCall {
        call_id: &call.id,
        name: wire::tool_name(&call.name),
        arguments: wire::arguments(&call.arguments),
    });
    said.into_iter().chain(asked).collect()
}

impl<'a> From<Piece<'a>> for Part<'a> {
    fn from(piece: Piece<'a>) -> Self {
        match piece {
            Piece::Text(text) => Self::InputText { text },
            Piece::Image(image_url) => Self::InputImage { image_url, detail: "auto" },
        }
    }
}

fn offered(tool: &Tool) -> Offered<'_> {
    Offered {
        r#type: "function",
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters: Schema(tool.parameters.as_deref()),
        strict: false,
    }
}

/// Reads an event of an answer.
///
/// # Errors
/// The provider says that it failed.
pub(super) fn read(draft: &mut Draft, kind: &str, event: &Object) -> Result<(), Failure> {
    let index = event.number("output_index");
    match kind {
        "response.output_text.delta" => event.get("delta").into_iter().for_each(|text| draft.say(text)),
        "response.refusal.delta" => event.get("delta").into_iter().for_each(|text| draft.refuse(text)),
        "response.output_item.added" | "response.output_item.done" => {
            if let Some(item) = event.object("item") {
                read_call(draft, index, &item, kind.ends_with("done"));
            }
        }
        "response.function_call_arguments.delta" => {
            if let (Some(piece), Some(call)) = (event.get("delta"), call_of(draft, index, event, "item_id")) {
                call.argue(piece);
            }
        }
        "response.function_call_arguments.done" => {
            if let (Some(whole), Some(call)) = (event.get("arguments"), call_of(draft, index, event, "item_id")) {
                call.argue_whole(whole);
            }
        }
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
            return end(draft, &event.object("response").unwrap_or_else(|| event.clone()));
        }
        _ => {
            if let Some(response) = event.object("response") {
                draft.name_model(&response);
            }
        }
    }
    Ok(())
}

/// Reads the response as it is in the end, or one that came whole.
///
/// # Errors
/// The provider says that it failed.
pub(super) fn end(draft: &mut Draft, response: &Object) -> Result<(), Failure> {
    let status = response.text("status").unwrap_or_default();
    if matches!(status.as_str(), "failed" | "cancelled") || response.get("error").is_some() {
        return Err(Failure::said(response));
    }
    draft.name_model(response);
    if let Some(usage) = response.object("usage") {
        count(draft, &usage);
    }
    // Whatever was said in pieces stands here once more.
    let (is_silent, has_calls) = (draft.text().is_empty(), !draft.calls.is_empty());
    for (index, item) in (0..).zip(response.objects("output")) {
        if is_silent && item.text("type").as_deref() == Some("message") {
            for part in item.objects("content") {
                part.get("text").into_iter().for_each(|text| draft.say(text));
                part.get("refusal").into_iter().for_each(|text| draft.refuse(text));
            }
        }
        if !has_calls {
            read_call(draft, Some(index), &item, true);
        }
    }
    let cut_by = response.object("incomplete_details").and_then(|details| details.text("reason"));
    draft.end(&cut_by.unwrap_or(status));
    draft.close();
    Ok(())
}

/// A call comes empty and grows, comes whole, or both.
fn read_call(draft: &mut Draft, index: Option<u64>, item: &Object, is_whole: bool) {
    if item.text("type").as_deref() != Some("function_call") {
        return;
    }
    let Some(call) = call_of(draft, index, item, "id") else { return };
    if call.name.is_empty() {
        call.name = item.text("name").unwrap_or_default();
    }
    match item.get("arguments") {
        Some(arguments) if is_whole => call.argue_whole(arguments),
        Some(arguments) => call.begin_with(arguments),
        None => {}
    }
}

fn call_of<'a>(draft: &'a mut Draft, index: Option<u64>, object: &Object, id: &str) -> Option<&'a mut Begun> {
    draft.call(index, &object.text(id).unwrap_or_default())
}

fn count(draft: &mut Draft, usage: &Object) {
    let detail = |of: &str, name: &str| usage.object(of).and_then(|details| details.number(name));
    let tokens = &mut draft.tokens;
    tokens.input = usage.number("input_tokens");
    tokens.output = usage.number("output_tokens");
    tokens.cached = detail("input_tokens_details", "cached_tokens");
    tokens.reasoning = detail("output_tokens_details", "reasoning_tokens");
}
