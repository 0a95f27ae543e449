//! The target `{"agent": {…}}`: a subscription whose events are answered by a language model.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fields::{Fields, invalid_in};
use crate::limits;
use crate::problem::Problem;

/// An agent as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// How the model is spoken to.
    pub api: Api,
    /// Where it is reached: what comes before `/chat/completions`, `/responses` or `/messages`.
    pub base_url: String,
    /// The model's name, as its provider knows it.
    pub model: String,
    /// The name of the secret that the provider wants; `None` for one that wants none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What the model is told before everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Globs over the names of tools that the model may call; `None` = all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Globs over paths beyond its own and those below that its tools may reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// How long it waits for more input before it answers.
    pub debounce_ms: u64,
    /// What input does that comes while it is busy.
    pub on_input: OnInput,
    /// Turns in one chain of causes, after which it stops.
    pub max_turns: u32,
    /// How many levels of sub-agents there may be below it.
    #[serde(default = "usual_depth")]
    pub max_depth: u32,
    /// Subscriptions of the same stream that have seen the input before the model is called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wait_for: Vec<String>,
    /// Milliseconds that a call of the model may take as a whole.
    pub total_ms: u64,
    /// Milliseconds that may pass until something comes of it.
    pub idle_ms: u64,
    /// What else the request says: `temperature` and the like, as the provider names them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

fn usual_depth() -> u32 {
    u32::try_from(limits::AGENT_DEPTH).unwrap_or(0)
}

/// How a model is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// OpenAI's chat completions, which most providers speak.
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
}

/// What input does that comes while an agent is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnInput {
    /// It waits until the turn and its tool calls are done.
    Queue,
    /// It ends them, and the model is asked anew.
    Interrupt,
}

/// What a request says itself: no option changes it.
const OWN_OPTIONS: &[&str] = &["model", "messages", "input", "instructions", "system", "tools", "stream", "store"];

impl Agent {
    /// Reads what stands under `agent`.
    pub(super) fn from_value(value: Value) -> Result<Self, Problem> {
        let Value::Object(object) = value else { return Err(invalid_in("target.agent", "", "a JSON object")) };
        let mut fields = Fields::below("target.agent", object);
        let api = match fields.text("api", 16)?.as_deref() {
            Some("chat") => Api::Chat,
            Some("responses") => Api::Responses,
            Some("messages") => Api::Messages,
            _ => return Err(fields.invalid("api", "\"chat\", \"responses\" or \"messages\"")),
        };
        let base_url = fields.text("baseUrl", limits::URL_BYTES)?.unwrap_or_else(|| {
            match api {
                Api::Chat | Api::Responses => "https://api.openai.com/v1",
                Api::Messages => "https://api.anthropic.com/v1",
            }
            .to_owned()
        });
        let model = fields.text("model", 256)?.filter(|model| !model.is_empty());
        let on_input = match fields.text("onInput", 16)?.as_deref() {
            None | Some("queue") => OnInput::Queue,
            Some("interrupt") => OnInput::Interrupt,
            Some(_) => return Err(fields.invalid("onInput", "\"queue\" or \"interrupt\"")),
        };
        let (total_ms, idle_ms) = timeouts(&mut fields)?;
        let options = match fields.take("options") {
            None => Map::new(),
            Some(Value::Object(options))
                if Value::Object(options.clone()).to_string().len() <= limits::OPTIONS_BYTES =>
            {
                options
            }
            Some(_) => {
                let detail = format!("a JSON object of at most {} bytes", limits::OPTIONS_BYTES);
                return Err(fields.invalid("options", detail));
            }
        };
        if let Some(own) = options.keys().find(|name| OWN_OPTIONS.contains(&name.as_str())) {
            return Err(fields.invalid(&format!("options.{own}"), "the agent says this itself"));
        }
        let agent = Self {
            api,
            base_url,
            model: model.ok_or_else(|| fields.invalid("model", "the name of a model"))?,
            secret: fields.text("secret", 64)?,
            system: fields.text("system", limits::SYSTEM_BYTES)?,
            tools: fields.any_globs("tools")?,
            allow: fields.any_globs("allow")?.unwrap_or_default(),
            debounce_ms: fields.optional_integer("debounceMs", 0..=60_000)?.unwrap_or(limits::DEBOUNCE_MS),
            on_input,
            max_turns: u32::try_from(fields.optional_integer("maxTurns", 1..=1_000)?.unwrap_or(limits::TURNS))
                .unwrap_or(u32::MAX),
            max_depth: fields
                .optional_integer("maxDepth", 0..=16)?
                .map_or_else(usual_depth, |depth| u32::try_from(depth).unwrap_or(0)),
            wait_for: fields.any_globs("waitFor")?.unwrap_or_default(),
            total_ms,
            idle_ms,
            options,
        };
        fields.finish()?;
        Ok(agent)
    }
}

impl Agent {
    /// The agent as it is configured: what [`Agent::from_value`] reads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(fields) = &mut json {
            fields.remove("totalMs");
            fields.remove("idleMs");
            fields.insert("timeouts".to_owned(), json!({"totalMs": self.total_ms, "idleMs": self.idle_ms}));
        }
        json
    }
}

fn timeouts(fields: &mut Fields) -> Result<(u64, u64), Problem> {
    let (mut total, mut idle) = (limits::MODEL_TOTAL_MS, limits::MODEL_IDLE_MS);
    if let Some(given) = fields.take("timeouts") {
        let Value::Object(given) = given else { return Err(fields.invalid("timeouts", "{totalMs?, idleMs?}")) };
        let mut inner = Fields::below("target.agent.timeouts", given);
        total = inner.optional_integer("totalMs", 1_000..=limits::MODEL_TOTAL_MS_MAX)?.unwrap_or(total);
        idle = inner.optional_integer("idleMs", 1_000..=limits::MODEL_TOTAL_MS_MAX)?.unwrap_or(idle);
        inner.finish()?;
    }
    Ok((total, idle))
}
