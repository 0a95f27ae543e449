//! The stream as a conversation: what a request to a model is made of. A fold over the log, so that the request of any turn
//! can be made anew, byte for byte.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tailrace_model::control::agent::Agent;
use tailrace_model::control::{Control, Subscription};
use tailrace_model::line::StoredEvent;

use crate::api::{self, Request};
use crate::conversation::{self, Call, Content, Conversation, Message, Part, Role};
use crate::event::{Arguments, Wanted};
use crate::tools;

/// Globs over the types of the events that a request is made of.
pub const TYPES: &str = "agent.*,tool.*,subscription.configured";

/// What was said and done up to some event, as one agent sees it.
#[derive(Debug)]
pub struct Transcript {
    slug: String,
    /// How the agent is configured by now.
    config: Option<Subscription>,
    tools: BTreeMap<String, conversation::Tool>,
    entries: Vec<Entry>,
    /// Where in `entries` the output stands that asked for a call, and the call's place in it.
    asked: BTreeMap<String, (usize, usize)>,
    /// Request -> turn.
    turns: BTreeMap<String, u64>,
}

#[derive(Debug)]
enum Entry {
    Said { role: Role, content: Content },
    Output { content: String, calls: Vec<Call>, results: Vec<Option<(String, bool)>> },
}

/// The fields of the payloads that matter here.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Payload {
    agent: Option<Value>,
    to: Option<Value>,
    role: Option<Value>,
    content: Option<Box<RawValue>>,
    request_id: Option<String>,
    turn: Option<u64>,
    tool_calls: Option<Vec<Wanted>>,
    partial: Option<String>,
    call_id: Option<String>,
    result: Option<Box<RawValue>>,
    error: Option<Value>,
    reason: Option<Value>,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
}

impl Transcript {
    /// Nothing was said yet to the agent `slug`.
    #[must_use]
    pub fn new(slug: &str) -> Self {
        Self {
            slug: slug.to_owned(),
            config: None,
            tools: BTreeMap::new(),
            entries: Vec::new(),
            asked: BTreeMap::new(),
            turns: BTreeMap::new(),
        }
    }

    /// How the agent is configured, and what its subscription sets.
    #[must_use]
    pub fn config(&self) -> Option<(&Agent, &Subscription)> {
        let config = self.config.as_ref()?;
        config.agent().map(|agent| (agent, config))
    }

    /// Takes in an event; they come in their order.
    pub fn take(&mut self, event: &StoredEvent) {
        let text = event.payload.get();
        match event.event_type.as_ref() {
            "subscription.configured" => {
                if let Some(Control::SubscriptionConfigured(config)) = Control::read(&event.event_type, text)
                    && config.slug == self.slug
                {
                    self.config = Some(*config);
                }
            }
            kind if kind.starts_with("agent.") || kind.starts_with("tool.") => {
                if let Ok(payload) = serde_json::from_str(text) {
                    self.take_payload(kind, text, payload);
                }
            }
            _ => {}
        }
    }

    fn take_payload(&mut self, kind: &str, text: &str, payload: Payload) {
        let is_for = |whom: &Option<Value>| whom.as_ref().and_then(Value::as_str).is_none_or(|whom| whom == self.slug);
        let is_own = payload.agent.as_ref().and_then(Value::as_str) == Some(self.slug.as_str());
        match kind {
            "agent.input-added" if is_for(&payload.to) => {
                let role = match payload.role.as_ref().and_then(Value::as_str) {
                    Some("system" | "developer") => Role::System,
                    Some("assistant") => Role::Assistant,
                    _ => Role::User,
                };
                let content = content_of(payload.content.as_deref(), text);
                self.entries.push(Entry::Said { role, content });
            }
            "agent.context-added" if is_for(&payload.agent) && is_for(&payload.to) => {
                let content = content_of(payload.content.as_deref(), text);
                self.entries.push(Entry::Said { role: Role::System, content });
            }
            "agent.turn-started" if is_own => {
                if let (Some(request), Some(turn)) = (payload.request_id, payload.turn) {
                    self.turns.insert(request, turn);
                }
            }
            "agent.output-added" if is_own => {
                let content = payload.content.as_deref().map_or_else(String::new, text_of);
                self.output(payload.request_id.as_deref(), content, payload.tool_calls.unwrap_or_default());
            }
            "agent.turn-interrupted" if is_own => {
                if let Some(partial) = payload.partial.filter(|partial| !partial.is_empty()) {
                    self.entries.push(Entry::Output { content: partial, calls: Vec::new(), results: Vec::new() });
                }
            }
            "tool.completed" => {
                let result = payload.result.as_deref().map_or_else(|| "done".to_owned(), text_of);
                self.result(payload.call_id.as_deref(), result, false);
            }
            "tool.failed" => self.result(payload.call_id.as_deref(), because("failed", payload.error.as_ref()), true),
            "tool.denied" => self.result(payload.call_id.as_deref(), because("denied", payload.reason.as_ref()), true),
            "tool.configured" => {
                if let Some(name) = payload.name {
                    let tool = conversation::Tool {
                        name: name.clone(),
                        description: payload.description,
                        parameters: payload.parameters.and_then(|it| schema_of(&it)),
                    };
                    self.tools.insert(name, tool);
                }
            }
            "tool.removed" => {
                self.tools.remove(payload.name.as_deref().unwrap_or_default());
            }
            _ => {}
        }
    }

    fn output(&mut self, request: Option<&str>, content: String, wanted: Vec<Wanted>) {
        let turn = request.and_then(|request| self.turns.get(request)).copied().unwrap_or(0);
        let mut calls = Vec::with_capacity(wanted.len());
        for (index, wanted) in wanted.into_iter().enumerate() {
            self.asked.insert(wanted.call_id, (self.entries.len(), index));
            let Arguments(arguments) = wanted.arguments;
            calls.push(Call { id: format!("call_{turn}_{index}"), name: wanted.name, arguments: text_of(&arguments) });
        }
        let results = vec![None; calls.len()];
        self.entries.push(Entry::Output { content, calls, results });
    }

    /// The first end of a call counts.
    fn result(&mut self, call_id: Option<&str>, content: String, failed: bool) {
        let Some((entry, index)) = call_id.and_then(|call_id| self.asked.get(call_id)) else { return };
        if let Some(Entry::Output { results, .. }) = self.entries.get_mut(*entry)
            && let Some(result) = results.get_mut(*index)
        {
            result.get_or_insert((content, failed));
        }
    }

    /// What the model is told by now.
    #[must_use]
    pub fn conversation(&self, agent: &Agent) -> Conversation {
        let mut messages = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            match entry {
                Entry::Said { role, content } => {
                    messages.push(Message::Input { role: *role, content: content.clone() });
                }
                Entry::Output { content, calls, results } => {
                    messages.push(Message::Output { content: content.clone(), calls: calls.clone() });
                    for (call, result) in calls.iter().zip(results) {
                        let (content, failed) =
                            result.clone().unwrap_or_else(|| ("failed: there is no result yet".to_owned(), true));
                        messages.push(Message::Result { id: call.id.clone(), content, failed });
                    }
                }
            }
        }
        let built_in = tools::definitions();
        let configured = self.tools.values().cloned();
        let tools = configured.chain(built_in).filter(|tool| tools::is_offered(agent, &tool.name)).collect();
        Conversation { messages, tools }
    }

    /// The request that is made now; `None` while the agent is not configured.
    #[must_use]
    pub fn request(&self) -> Option<Request> {
        let (agent, _) = self.config()?;
        Some(api::request(agent, &self.conversation(agent)))
    }
}

/// The schema of a tool's arguments, which are always an object: providers want it said.
fn schema_of(parameters: &RawValue) -> Option<Box<RawValue>> {
    let mut schema: Map<String, Value> = serde_json::from_str(parameters.get()).ok()?;
    if schema.is_empty() {
        return None;
    }
    if schema.contains_key("type") {
        return Some(parameters.to_owned());
    }
    schema.insert("type".to_owned(), Value::from("object"));
    RawValue::from_string(Value::Object(schema).to_string()).ok()
}

/// A text as it is, anything else as JSON.
fn text_of(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

/// What is said: a text, or texts and images. Whatever else it is, the model is shown as JSON: no payload is refused.
fn content_of(content: Option<&RawValue>, payload: &str) -> Content {
    let Some(content) = content else { return Content::Text(payload.to_owned()) };
    match serde_json::from_str(content.get()) {
        Ok(Value::String(text)) => Content::Text(text),
        Ok(Value::Array(parts)) if !parts.is_empty() => {
            let parts: Option<Vec<Part>> = parts.iter().map(part_of).collect();
            parts.map_or_else(|| Content::Text(content.get().to_owned()), Content::Parts)
        }
        _ => Content::Text(content.get().to_owned()),
    }
}

/// `{type: "text", text}`, `{type: "image", url}`, or a bare text.
fn part_of(part: &Value) -> Option<Part> {
    let text = |name: &str| part.get(name).and_then(Value::as_str).map(str::to_owned);
    match (part, part.get("type").and_then(Value::as_str)) {
        (Value::String(text), _) => Some(Part::Text(text.clone())),
        (_, Some("text" | "input_text")) => text("text").map(Part::Text),
        (_, Some("image")) => text("url").map(Part::Image),
        _ => None,
    }
}

fn because(what: &str, why: Option<&Value>) -> String {
    match why {
        None | Some(Value::Null) => what.to_owned(),
        Some(Value::String(why)) => format!("{what}: {why}"),
        Some(why) => format!("{what}: {why}"),
    }
}
