//! The stream as a conversation: what a request to a model is made of. A fold over the log, so that the request of any turn
//! can be made anew, byte for byte.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tailrace_model::control::agent::Agent;
use tailrace_model::control::{Control, Subscription};
use tailrace_model::line::StoredEvent;

use crate::api::{self, Request};
use crate::conversation::{self, Call, Content, Conversation, Message, Part, Role};
use crate::event::{Arguments, Wanted, is_own};
use crate::payload::{Payload, System};
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
    /// Calls that were asked for, and what became of them: the first end counts.
    results: BTreeMap<String, Option<(String, bool)>>,
    /// Up to where each request told the model.
    told: BTreeMap<String, u64>,
    /// How many outputs there were: the ids of calls are made of it.
    outputs: u64,
    last_turn: u64,
}

#[derive(Debug)]
enum Entry {
    Said {
        offset: u64,
        role: Role,
        content: Content,
    },
    /// The calls with their ids in the log.
    Output {
        content: String,
        calls: Vec<(String, Call)>,
    },
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
            results: BTreeMap::new(),
            told: BTreeMap::new(),
            outputs: 0,
            last_turn: 0,
        }
    }

    /// How the agent is configured, and what its subscription sets.
    #[must_use]
    pub fn config(&self) -> Option<(&Agent, &Subscription)> {
        let config = self.config.as_ref()?;
        config.agent().map(|agent| (agent, config))
    }

    /// The number of the last turn.
    #[must_use]
    pub fn last_turn(&self) -> u64 {
        self.last_turn
    }

    /// Takes in an event; they come in their order.
    pub fn take(&mut self, event: &StoredEvent) {
        let kind = event.event_type.as_ref();
        if kind == "subscription.configured" {
            if let Some(Control::SubscriptionConfigured(config)) = Control::read(kind, event.payload.get())
                && config.slug == self.slug
            {
                self.config = Some(*config);
            }
            return;
        }
        let payload = Payload::of(event);
        if kind.starts_with("agent.") {
            self.take_of_agent(kind, event, &payload);
        } else if kind.starts_with("tool.") {
            self.take_of_tool(kind, event, &payload);
        }
    }

    fn take_of_agent(&mut self, kind: &str, event: &StoredEvent, payload: &Payload) {
        let is_own = payload.text("agent").as_deref() == Some(self.slug.as_str()) && is_own(event, &self.slug);
        let content = || content_of(payload.raw("content"), event.payload.get());
        match kind {
            "agent.input-added" if payload.is_for("to", &self.slug) => {
                let role = match payload.text("role").as_deref() {
                    Some("system" | "developer") => Role::System,
                    Some("assistant") => Role::Assistant,
                    _ => Role::User,
                };
                self.entries.push(Entry::Said { offset: event.offset, role, content: content() });
            }
            "agent.context-added" if payload.is_for("agent", &self.slug) && payload.is_for("to", &self.slug) => {
                let said = Entry::Said { offset: event.offset, role: Role::System, content: content() };
                self.entries.push(said);
            }
            "agent.turn-started" if is_own => {
                self.last_turn = self.last_turn.max(payload.read("turn").unwrap_or(0));
                if let (Some(request), Some(up_to)) = (payload.text("requestId"), payload.read("upTo")) {
                    self.told.insert(request, up_to);
                }
            }
            "agent.output-added" if is_own => {
                let content = payload.raw("content").map_or_else(String::new, text_of);
                self.output(payload, content, payload.read("toolCalls").unwrap_or_default());
            }
            "agent.turn-interrupted" if is_own => {
                if let Some(partial) = payload.text("partial").filter(|partial| !partial.is_empty()) {
                    self.output(payload, partial, Vec::new());
                }
            }
            _ => {}
        }
    }

    fn take_of_tool(&mut self, kind: &str, event: &StoredEvent, payload: &Payload) {
        let call_id = payload.text("callId");
        match kind {
            "tool.completed" => {
                let result = payload.raw("result").map_or_else(|| "done".to_owned(), text_of);
                self.result(call_id.as_deref(), result, false);
            }
            "tool.failed" => self.result(call_id.as_deref(), because("failed", payload.read("error")), true),
            "tool.denied" => self.result(call_id.as_deref(), because("denied", payload.read("reason")), true),
            // What was configured elsewhere is not configured here.
            "tool.configured" if !System::of(event).is_imported() => {
                if let Some(name) = payload.text("name") {
                    let tool = conversation::Tool {
                        name: name.clone(),
                        description: payload.text("description"),
                        parameters: payload.raw("parameters").and_then(schema_of),
                    };
                    self.tools.insert(name, tool);
                }
            }
            "tool.removed" if !System::of(event).is_imported() => {
                self.tools.remove(payload.text("name").unwrap_or_default().as_str());
            }
            _ => {}
        }
    }

    /// An answer stands behind what it answers: what came while the model was called it did not know.
    fn output(&mut self, payload: &Payload, content: String, wanted: Vec<Wanted>) {
        self.outputs += 1;
        let mut calls = Vec::with_capacity(wanted.len());
        for (index, Wanted { call_id, name, arguments: Arguments(arguments) }) in wanted.into_iter().enumerate() {
            self.results.insert(call_id.clone(), None);
            let id = format!("call_{}_{index}", self.outputs);
            calls.push((call_id, Call { id, name, arguments: text_of(&arguments) }));
        }
        let told = payload.text("requestId").and_then(|request| self.told.get(&request)).copied().unwrap_or(u64::MAX);
        let is_unknown = |entry: &&Entry| matches!(entry, Entry::Said { offset, .. } if *offset > told);
        let unknown = self.entries.iter().rev().take_while(is_unknown).count();
        self.entries.insert(self.entries.len() - unknown, Entry::Output { content, calls });
    }

    /// The first end of a call counts.
    fn result(&mut self, call_id: Option<&str>, content: String, failed: bool) {
        if let Some(result) = call_id.and_then(|call_id| self.results.get_mut(call_id)) {
            result.get_or_insert((content, failed));
        }
    }

    /// What the model is told by now.
    #[must_use]
    pub fn conversation(&self, agent: &Agent) -> Conversation {
        let mut messages = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            match entry {
                Entry::Said { role, content, .. } => {
                    messages.push(Message::Input { role: *role, content: content.clone() });
                }
                Entry::Output { content, calls } => {
                    let wanted = calls.iter().map(|(_, call)| call.clone()).collect();
                    messages.push(Message::Output { content: content.clone(), calls: wanted });
                    for (call_id, call) in calls {
                        let result = self.results.get(call_id).cloned().flatten();
                        let (content, failed) =
                            result.unwrap_or_else(|| ("failed: there is no result yet".to_owned(), true));
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

fn because(what: &str, why: Option<Value>) -> String {
    match why {
        None | Some(Value::Null) => what.to_owned(),
        Some(Value::String(why)) => format!("{what}: {why}"),
        Some(why) => format!("{what}: {why}"),
    }
}
