//! The tools that every agent has: what they take, and what they append. Whatever a model asks for is a stranger's wish:
//! each is bounded to the agent's own stream and those below, and to the powers of its subscription.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tailrace_model::control::Control;
use tailrace_model::control::agent::Agent;
use tailrace_model::control::tool::BUILT_IN;
use tailrace_model::event::Writer;
use tailrace_model::settle::{self, Answered};
use tailrace_model::types::{self, TypeFilter};
use tailrace_model::{Problem, StreamPath, limits};

use crate::append::{event, to_stream};
use crate::conversation;
use crate::machine::Setting;

const TOO_DEEP: &str = "the arguments nest too deep";

/// What else stands in an event's line beside its fragment.
const LINE_BYTES: usize = 4 * 1_024;

/// Characters of a schedule's name.
const SCHEDULE_NAME: usize = 31;

/// The tool that makes a sub-agent.
pub const SPAWN: &str = "spawn";

/// What came of a call.
pub(crate) enum Ran {
    /// It is done, in the same transaction as this.
    Completed {
        /// What it appends.
        append: Vec<Answered>,
        /// What the model is told.
        result: Value,
    },
    /// It is not done, and why.
    Failed(String),
    /// A sub-agent does it.
    Spawned {
        /// What makes the sub-agent.
        append: Vec<Answered>,
        /// Its stream.
        child: String,
    },
}

/// True for the tools that every agent has.
#[must_use]
pub fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name)
}

/// True when the agent's model may call a tool of this name.
#[must_use]
pub fn is_offered(agent: &Agent, name: &str) -> bool {
    let is_too_deep = name == SPAWN && agent.max_depth == 0;
    !is_too_deep && agent.tools.as_deref().is_none_or(|globs| TypeFilter::new(globs).matches(name))
}

/// The built-in tools as a model is told of them.
///
/// # Panics
/// Never: what is parsed is written here.
#[must_use]
pub fn definitions() -> Vec<conversation::Tool> {
    let tool = |name: &str, description: &str, parameters: Value| conversation::Tool {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        parameters: RawValue::from_string(parameters.to_string()).ok(),
    };
    let time = |description: &str| json!({"type": "string", "description": description});
    vec![
        tool(
            "append_event",
            "Append an event to your own stream or to one below it. Everything that happens to you is an event.",
            json!({
                "type": "object",
                "properties": {
                    "type": {"type": "string", "description": "The event's type, like note.taken"},
                    "payload": {"type": "object", "description": "Any JSON object"},
                    "streamPath": {"type": "string", "description": "A stream below your own, like child/notes; your own if absent"},
                },
                "required": ["type"],
            }),
        ),
        tool(
            "read_stream",
            "Read events of your own stream or of one below it, oldest first.",
            json!({
                "type": "object",
                "properties": {
                    "streamPath": {"type": "string", "description": "A stream below your own; your own if absent"},
                    "types": {"type": "string", "description": "Globs over types, separated by commas, like note.*"},
                    "afterOffset": {"type": "integer", "description": "Only events behind this offset"},
                    "last": {"type": "integer", "description": "Only so many, from the end; 20 if nothing is said"},
                },
            }),
        ),
        tool(
            "schedule",
            "Have yourself reminded later, once or again and again. You get the text as input then.",
            json!({
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "Its name; one of the same name is replaced"},
                    "content": {"type": "string", "description": "What you want to be told"},
                    "at": time("When, as RFC 3339"),
                    "after": time("In how long, as ISO 8601 duration, like PT10M"),
                    "every": time("Again and again, as ISO 8601 duration, like PT1H"),
                    "cron": time("Five fields of cron"),
                    "timezone": time("IANA zone for cron"),
                    "maxRuns": {"type": "integer", "description": "How often at most"},
                    "remove": {"type": "string", "description": "The name of one to take back, and nothing else"},
                },
            }),
        ),
        tool(
            SPAWN,
            "Give a task to a sub-agent of your kind, in a stream of its own below yours. You get its answer.",
            json!({
                "type": "object",
                "properties": {
                    "input": {"type": "string", "description": "The task, with all that it must know"},
                    "path": {"type": "string", "description": "The name of its stream below yours; one is made if absent"},
                    "agent": {
                        "type": "object",
                        "description": "What is different from you",
                        "properties": {
                            "system": {"type": "string"},
                            "model": {"type": "string"},
                            "tools": {"type": "array", "items": {"type": "string"}},
                            "maxTurns": {"type": "integer"},
                        },
                    },
                    "timeoutMs": {"type": "integer", "description": "How long you wait for it"},
                },
                "required": ["input"],
            }),
        ),
    ]
}

/// What `read_stream` is to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The call.
    pub call_id: String,
    /// The stream.
    pub path: StreamPath,
    /// Globs over types.
    pub types: Option<String>,
    /// Only events behind this one.
    pub after: u64,
    /// Only so many, from the end.
    pub last: Option<u64>,
}

/// Understands the arguments of `read_stream`.
///
/// # Errors
/// Why not, for the model.
pub fn read(setting: &Setting, call_id: &str, arguments: &str) -> Result<Read, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Arguments {
        stream_path: Option<String>,
        types: Option<String>,
        after_offset: Option<u64>,
        last: Option<u64>,
    }
    let arguments: Arguments = parse(arguments)?;
    let path = match &arguments.stream_path {
        None => setting.path.clone(),
        Some(text) => setting.path.resolve(text).map_err(|problem| problem.detail())?,
    };
    may_reach(setting, &path)?;
    if let Some(types) = &arguments.types {
        TypeFilter::parse(types).map_err(|problem| problem.detail())?;
    }
    let last = match (arguments.last, arguments.after_offset) {
        (None, Some(_)) => None,
        (last, _) => Some(last.unwrap_or(20).clamp(1, limits::PAGE_EVENTS)),
    };
    let after = arguments.after_offset.unwrap_or(0);
    Ok(Read { call_id: call_id.to_owned(), path, types: arguments.types, after, last })
}

/// Runs a built-in tool; `None` when there is none of that name.
pub(crate) fn run(setting: &Setting, cause: u64, call_id: &str, name: &str, arguments: &str) -> Option<Ran> {
    let ran = match name {
        "append_event" => append_event(setting, cause, arguments),
        "read_stream" => match setting.reads.get(call_id) {
            Some(Ok(result)) => Ok(Ran::Completed { append: Vec::new(), result: result.clone() }),
            Some(Err(error)) => Err(error.clone()),
            None => Err("it could not be read".to_owned()),
        },
        "schedule" => schedule(setting, cause, call_id, arguments),
        SPAWN => spawn(setting, cause, call_id, arguments),
        _ => return None,
    };
    Some(ran.unwrap_or_else(Ran::Failed))
}

/// Milliseconds for which a `spawn` wants to wait.
#[must_use]
pub fn timeout_of_spawn(arguments: &str) -> Option<u64> {
    parse::<Spawn>(arguments).ok()?.timeout_ms.map(|ms| ms.clamp(1_000, limits::TOOL_TIMEOUT_MS_MAX))
}

/// Whether the agent's tools may reach a stream.
fn may_reach(setting: &Setting, path: &StreamPath) -> Result<(), String> {
    let is_allowed = || TypeFilter::new(&setting.agent.allow).matches(path.as_str());
    if path.is_at_or_below(setting.path) || is_allowed() {
        return Ok(());
    }
    Err(format!("forbidden: {path} is neither your own stream nor below it"))
}

/// Whether a model may have an event of this type appended. What speaks for the harness itself is nobody's: a model that
/// writes `tool.requested` would run a tool that nobody approved.
fn may_append(setting: &Setting, event_type: &str) -> Result<(), String> {
    let is_own = matches!(event_type, "agent.input-added" | "agent.context-added");
    let is_harness = (event_type.starts_with("agent.") && !is_own) || event_type.starts_with("tool.");
    let is_granted = if is_harness {
        !types::is_for_people(event_type) && TypeFilter::new(&setting.config.grants).matches(event_type)
    } else {
        types::is_granted(event_type, &setting.config.grants)
    };
    if is_granted { Ok(()) } else { Err(format!("forbidden: you may not append {event_type}")) }
}

fn append_event(setting: &Setting, cause: u64, arguments: &str) -> Result<Ran, String> {
    let fields: Map<String, Value> = parse(arguments)?;
    let mut given = fields.clone();
    for name in ["cause", "offset", "createdAt", "idempotencyKey"] {
        given.remove(name);
    }
    // A model that leaves something out writes null.
    given.retain(|_, value| !value.is_null());
    let by = format!("subscription:{}", setting.slug);
    let writer = Writer { by: Some(&by), import: false, from: None, deployment: setting.deployment };
    let answered =
        settle::answered(&Value::Object(given).to_string(), setting.path, writer).map_err(|problem| told(&problem))?;
    may_append(setting, &answered.event_type)?;
    if answered.fragment.len() > limits::EVENT_BYTES - LINE_BYTES {
        return Err(format!("too_large: an event has at most {} bytes", limits::EVENT_BYTES));
    }
    let path = match &answered.to {
        Some(path) => StreamPath::from_decoded(path).map_err(|problem| problem.detail())?,
        None => setting.path.clone(),
    };
    may_reach(setting, &path)?;
    let is_plain = types::power_for(&answered.event_type) == types::Power::Append;
    if !is_plain && !path.is_at_or_below(setting.path) {
        return Err(format!("forbidden: {} goes to your own stream and those below only", answered.event_type));
    }
    let result = json!({"appended": answered.event_type, "streamPath": path.as_str()});
    Ok(Ran::Completed { append: vec![Answered { cause: Some((None, cause)), ..answered }], result })
}

fn schedule(setting: &Setting, cause: u64, call_id: &str, arguments: &str) -> Result<Ran, String> {
    let mut fields: Map<String, Value> = parse(arguments)?;
    fields.retain(|_, value| !value.is_null() && value != "");
    if let Some(name) = fields.get("remove").and_then(Value::as_str) {
        let payload = json!({"slug": slug_of_schedule(setting.slug, name)?});
        check("schedule.removed", &payload, setting)?;
        let append = vec![event(setting.slug, "schedule.removed", &payload, cause).ok_or(TOO_DEEP)?];
        return Ok(Ran::Completed { append, result: json!({"removed": name}) });
    }
    let name = match fields.remove("name") {
        Some(Value::String(name)) => name,
        _ => call_id.rsplit_once('.').map_or(call_id.to_owned(), |(request, index)| {
            format!("{}-{index}", request.rsplit('.').next().unwrap_or_default())
        }),
    };
    let content = fields.remove("content").unwrap_or_else(|| json!("a reminder"));
    let mut payload = Map::new();
    payload.insert("slug".to_owned(), json!(slug_of_schedule(setting.slug, &name)?));
    let input = json!({"content": content, "from": "schedule", "to": setting.slug});
    payload.insert("event".to_owned(), json!({"type": "agent.input-added", "payload": input}));
    for name in ["at", "after", "every", "cron", "timezone", "maxRuns", "until"] {
        payload.extend(fields.remove_entry(name));
    }
    if let Some(unknown) = fields.keys().next() {
        return Err(format!("schedule has no argument {unknown}"));
    }
    let payload = Value::Object(payload);
    check("schedule.configured", &payload, setting)?;
    let append = vec![event(setting.slug, "schedule.configured", &payload, cause).ok_or(TOO_DEEP)?];
    Ok(Ran::Completed { append, result: json!({"scheduled": name}) })
}

/// The slug of an agent's schedule: of its own only, for a model must not take a person's away.
fn slug_of_schedule(agent: &str, name: &str) -> Result<String, String> {
    if !(1..=SCHEDULE_NAME).contains(&name.chars().count()) {
        return Err(format!("the name of a schedule has 1 to {SCHEDULE_NAME} characters"));
    }
    // The end of a sub-agent's slug tells it apart from others.
    let agent = agent.get(agent.len().saturating_sub(63 - SCHEDULE_NAME)..).unwrap_or(agent);
    Ok(format!("{agent}.{name}"))
}

fn check(event_type: &str, payload: &Value, setting: &Setting) -> Result<(), String> {
    Control::check(event_type, &payload.to_string(), setting.deployment).map(drop).map_err(|problem| told(&problem))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spawn {
    input: Value,
    path: Option<String>,
    agent: Option<Overrides>,
    timeout_ms: Option<u64>,
}

/// What a sub-agent may differ in. Where its model is, and with which secret, it may not.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Overrides {
    system: Option<String>,
    model: Option<String>,
    tools: Option<Vec<String>>,
    max_turns: Option<u32>,
}

fn spawn(setting: &Setting, cause: u64, call_id: &str, arguments: &str) -> Result<Ran, String> {
    let spawn: Spawn = parse(arguments)?;
    let overrides = spawn.agent.unwrap_or_default();
    // A name that nobody had before: nothing that is there is configured anew.
    let slug = slug_of_child(call_id);
    let child = spawn.path.as_deref().unwrap_or(&slug);
    let child = setting.path.resolve(child).map_err(|problem| problem.detail())?;
    if child.parent().as_ref() != Some(setting.path) {
        return Err("forbidden: path is the name of one stream right below your own".to_owned());
    }
    let parent = setting.agent;
    let tools = match overrides.tools {
        // No more than it has itself.
        Some(tools) => Some(tools.into_iter().filter(|tool| is_offered(parent, tool)).collect()),
        None => parent.tools.clone(),
    };
    let agent = Agent {
        system: overrides.system.or_else(|| parent.system.clone()),
        model: overrides.model.unwrap_or_else(|| parent.model.clone()),
        tools,
        max_turns: overrides.max_turns.map_or(parent.max_turns, |turns| turns.clamp(1, parent.max_turns)),
        allow: Vec::new(),
        wait_for: Vec::new(),
        debounce_ms: 0,
        max_depth: parent.max_depth.saturating_sub(1),
        ..parent.clone()
    };
    let mut configured = json!({"slug": slug, "target": {"agent": agent.to_json()}});
    if let (false, Value::Object(fields)) = (setting.config.headers.is_empty(), &mut configured) {
        fields.insert("headers".to_owned(), json!(setting.config.headers));
    }
    check("subscription.configured", &configured, setting)?;
    let input = json!({
        "content": spawn.input,
        "from": setting.path.as_str(),
        "to": slug,
        "replyTo": {"streamPath": setting.path.as_str(), "callId": call_id},
    });
    let to = child.as_str();
    let append = [("subscription.configured", configured), ("agent.input-added", input)];
    let append = append
        .iter()
        .map(|(kind, payload)| to_stream((setting.slug, setting.path), to, kind, payload, cause).ok_or(TOO_DEEP));
    let append = append.collect::<Result<_, _>>()?;
    Ok(Ran::Spawned { append, child: to.to_owned() })
}

fn slug_of_child(call_id: &str) -> String {
    Sha256::digest(call_id).iter().take(6).fold("task-".to_owned(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}

fn parse<T: for<'a> Deserialize<'a>>(arguments: &str) -> Result<T, String> {
    serde_json::from_str(arguments).map_err(|error| format!("the arguments are not right: {error}"))
}

/// A refusal as the model is told of it.
fn told(problem: &Problem) -> String {
    format!("{}: {}", problem.code().name, problem.detail())
}
