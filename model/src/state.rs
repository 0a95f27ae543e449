//! What control events add up to. The same fold gives the state now and the state after any past offset.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::control::{Control, Schedule, Subscription, Target, Tool, Webhook, tool};
use crate::limits;
use crate::problem::Problem;
use crate::time::{Millis, to_rfc3339};

const MINUTE_MS: Millis = 60_000;

/// A stream's control state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControlState {
    /// Who the stream is; `None` before it is born.
    pub identity: Option<Identity>,
    /// Set while the stream is paused.
    pub paused: Option<Pause>,
    /// The breaker's setting.
    pub breaker: Breaker,
    /// The stream's metadata.
    pub metadata: Map<String, Value>,
    /// Control events that hold for streams below, also those born later: what is configured -> the event's offset.
    pub inherited: BTreeMap<String, u64>,
    /// Who is handed the stream's events, by slug.
    pub subscriptions: BTreeMap<String, Arc<Subscribed>>,
    /// Events to append later, by slug.
    pub schedules: BTreeMap<String, Arc<Scheduled>>,
    /// How hooks are understood, by source.
    pub hooks: BTreeMap<String, Arc<Hooked>>,
    /// What agents may call, by name.
    pub tools: BTreeMap<String, Tooled>,
    /// When hosted code was configured in the last minute.
    pub sources: Vec<Millis>,
}

/// A source of hooks, since it was last configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hooked {
    /// How it is configured.
    pub config: Webhook,
    /// The offset of the event that configured it.
    pub offset: u64,
}

/// A tool, since it was last configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tooled {
    /// How it is configured.
    pub config: Tool,
    /// The offset of the event that configured it.
    pub offset: u64,
}

/// A subscription, since it was last configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscribed {
    /// How it is configured.
    pub config: Subscription,
    /// The offset of the event that configured it.
    pub offset: u64,
    /// Set while nothing is delivered because something is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<Halt>,
}

/// Why a subscription gave up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Halt {
    /// In words.
    pub reason: String,
    /// The first event that was not delivered.
    pub offset: u64,
    /// The HTTP status of the last answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u64>,
    /// When it gave up.
    pub since: Millis,
}

/// A schedule, since it was last configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scheduled {
    /// How it is configured.
    pub config: Schedule,
    /// The offset of the event that configured it; what it appends stands there.
    pub offset: u64,
    /// When it was configured: where its grid begins.
    pub at: Millis,
}

/// Who a stream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Its path.
    pub path: String,
    /// The name of its present life.
    pub generation: String,
    /// When this life began.
    pub created_at: Millis,
}

/// Why and since when a stream is paused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the event was written.
    pub since: Millis,
    /// The offset of the event that paused it.
    pub offset: u64,
    /// What the breaker saw, if it was the breaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Value>,
}

/// The breaker's setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// Events per window; `None` = off.
    pub limit: Option<u64>,
    /// The window's length.
    pub window_ms: u64,
    /// Only events after this offset count: where the window last began anew.
    pub since: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { limit: Some(limits::BREAKER_LIMIT), window_ms: limits::BREAKER_WINDOW_MS, since: 0 }
    }
}

/// A piece of the state that is stored as one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// [`ControlState::identity`]
    Identity,
    /// [`ControlState::paused`]
    Paused,
    /// [`ControlState::breaker`]
    Breaker,
    /// [`ControlState::metadata`]
    Metadata,
    /// [`ControlState::inherited`]
    Inherited,
    /// The subscription of this slug.
    Subscription(String),
    /// The schedule of this slug.
    Schedule(String),
    /// The source of hooks of this slug.
    Webhook(String),
    /// The tool of this name.
    Tool(String),
    /// [`ControlState::sources`]
    Sources,
}

impl Part {
    /// The row's name.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Identity => "identity",
            Self::Paused => "paused",
            Self::Breaker => "breaker",
            Self::Metadata => "metadata",
            Self::Inherited => "inherited",
            Self::Sources => "sources",
            Self::Subscription(slug) => return Cow::Owned(format!("subscription:{slug}")),
            Self::Schedule(slug) => return Cow::Owned(format!("schedule:{slug}")),
            Self::Webhook(slug) => return Cow::Owned(format!("webhook:{slug}")),
            Self::Tool(name) => return Cow::Owned(format!("tool:{name}")),
        })
    }
}

impl ControlState {
    /// Takes in one control event and says which parts it may have changed.
    ///
    /// # Errors
    /// [`Problem::TooLarge`] when a limit of the stream would be passed, [`Problem::InvalidControlEvent`] when it names
    /// what is not there; the state is unchanged then.
    pub fn apply(&mut self, offset: u64, at: Millis, control: &Control) -> Result<Vec<Part>, Problem> {
        let subject = control.subject();
        let mut parts = match control {
            Control::Created { path, generation } => {
                self.identity = Some(Identity { path: path.clone(), generation: generation.clone(), created_at: at });
                vec![Part::Identity]
            }
            Control::MetadataUpdated { patch } => self.update_metadata(patch)?,
            Control::Paused { reason, breaker, .. } => {
                self.paused = Some(Pause { reason: reason.clone(), since: at, offset, breaker: breaker.clone() });
                vec![Part::Paused]
            }
            Control::Resumed { .. } => {
                self.paused = None;
                self.breaker.since = offset;
                vec![Part::Paused, Part::Breaker]
            }
            Control::BreakerConfigured { limit, window_ms, .. } => {
                self.breaker = Breaker { limit: *limit, window_ms: *window_ms, since: offset };
                vec![Part::Breaker]
            }
            Control::ScheduleConfigured(config) => {
                room_for(&self.schedules, &config.slug, limits::SCHEDULES, "schedules of a stream")?;
                let scheduled = Scheduled { config: (**config).clone(), offset, at };
                self.schedules.insert(config.slug.clone(), Arc::new(scheduled));
                vec![Part::Schedule(config.slug.clone())]
            }
            Control::ScheduleRemoved { slug, .. } | Control::ScheduleEnded { slug } => {
                self.schedules.remove(slug);
                vec![Part::Schedule(slug.clone())]
            }
            Control::SubscriptionConfigured(config) => {
                room_for(&self.subscriptions, &config.slug, limits::SUBSCRIPTIONS, "subscriptions of a stream")?;
                let mut parts = vec![Part::Subscription(config.slug.clone())];
                if matches!(config.target, Target::Javascript { .. }) {
                    self.note_source(at)?;
                    parts.push(Part::Sources);
                }
                let subscribed = Subscribed { config: (**config).clone(), offset, halted: None };
                self.subscriptions.insert(config.slug.clone(), Arc::new(subscribed));
                parts
            }
            Control::SubscriptionRemoved { slug, .. } => {
                self.subscriptions.remove(slug);
                vec![Part::Subscription(slug.clone())]
            }
            Control::WebhookConfigured(config) => {
                room_for(&self.hooks, &config.slug, limits::WEBHOOKS, "sources of hooks of a stream")?;
                self.hooks.insert(config.slug.clone(), Arc::new(Hooked { config: (**config).clone(), offset }));
                vec![Part::Webhook(config.slug.clone())]
            }
            Control::WebhookRemoved { slug, .. } => {
                self.hooks.remove(slug);
                vec![Part::Webhook(slug.clone())]
            }
            Control::ToolConfigured(config) => self.configure_tool(offset, config)?,
            Control::ToolRemoved { name, .. } => {
                self.tools.remove(name);
                let slug = tool::slug_of(name);
                self.subscriptions.remove(&slug);
                vec![Part::Tool(name.clone()), Part::Subscription(slug)]
            }
            Control::SubscriptionHalted { slug, reason, offset, last_status } => {
                let halt = Halt { reason: reason.clone(), offset: *offset, last_status: *last_status, since: at };
                self.change_subscription(slug, |subscribed| subscribed.halted = Some(halt))
            }
            Control::SubscriptionResumed(resume) => {
                if !self.subscriptions.contains_key(&resume.slug) {
                    return Err(Problem::InvalidControlEvent {
                        field: "payload.slug".to_owned(),
                        detail: format!("this stream has no subscription {}", resume.slug),
                    });
                }
                self.change_subscription(&resume.slug, |subscribed| subscribed.halted = None)
            }
        };
        if let Some(subject) = subject {
            self.inherit(subject, offset, control);
            parts.push(Part::Inherited);
        }
        Ok(parts)
    }

    /// Code that configures code anew all the time is stopped.
    fn note_source(&mut self, at: Millis) -> Result<(), Problem> {
        self.sources.retain(|before| at - before < MINUTE_MS);
        if let (Some(first), true) = (self.sources.first(), self.sources.len() >= limits::SOURCES_A_MINUTE) {
            let left = MINUTE_MS - (at - first);
            return Err(Problem::Unavailable {
                detail: format!("javascript was configured {} times within a minute", limits::SOURCES_A_MINUTE),
                retry_after: u32::try_from(left / 1_000 + 1).unwrap_or(1),
            });
        }
        self.sources.push(at);
        Ok(())
    }

    /// A tool with a URL is a subscription as well.
    fn configure_tool(&mut self, offset: u64, config: &Tool) -> Result<Vec<Part>, Problem> {
        room_for(&self.tools, &config.name, limits::TOOLS, "tools of a stream")?;
        let slug = tool::slug_of(&config.name);
        let had_url = self.tools.get(&config.name).is_some_and(|tool| tool.config.url.is_some());
        let mut parts = vec![Part::Tool(config.name.clone())];
        if let Some(subscription) = config.subscription() {
            room_for(&self.subscriptions, &slug, limits::SUBSCRIPTIONS, "subscriptions of a stream")?;
            let subscribed = Subscribed { config: subscription, offset, halted: None };
            self.subscriptions.insert(slug.clone(), Arc::new(subscribed));
            parts.push(Part::Subscription(slug));
        } else if had_url {
            self.subscriptions.remove(&slug);
            parts.push(Part::Subscription(slug));
        }
        self.tools.insert(config.name.clone(), Tooled { config: config.clone(), offset });
        Ok(parts)
    }

    fn update_metadata(&mut self, patch: &Map<String, Value>) -> Result<Vec<Part>, Problem> {
        let mut merged = Value::Object(self.metadata.clone());
        merge(&mut merged, &Value::Object(patch.clone()));
        if merged.to_string().len() > limits::METADATA_BYTES {
            return Err(Problem::TooLarge { what: "the stream's metadata in bytes", limit: limits::METADATA_BYTES });
        }
        if let Value::Object(merged) = merged {
            self.metadata = merged;
        }
        Ok(vec![Part::Metadata])
    }

    fn change_subscription(&mut self, slug: &str, change: impl FnOnce(&mut Subscribed)) -> Vec<Part> {
        if let Some(subscribed) = self.subscriptions.get_mut(slug) {
            change(Arc::make_mut(subscribed));
        }
        vec![Part::Subscription(slug.to_owned())]
    }

    /// A part as stored text; `None` when the row should not be there.
    #[must_use]
    pub fn part(&self, part: &Part) -> Option<String> {
        match part {
            Part::Identity => self.identity.as_ref().and_then(|it| serde_json::to_string(it).ok()),
            Part::Paused => self.paused.as_ref().and_then(|it| serde_json::to_string(it).ok()),
            Part::Breaker if self.breaker == Breaker::default() => None,
            Part::Breaker => serde_json::to_string(&self.breaker).ok(),
            Part::Metadata if self.metadata.is_empty() => None,
            Part::Metadata => serde_json::to_string(&self.metadata).ok(),
            Part::Inherited if self.inherited.is_empty() => None,
            Part::Inherited => serde_json::to_string(&self.inherited).ok(),
            Part::Subscription(slug) => {
                self.subscriptions.get(slug).and_then(|it| serde_json::to_string(it.as_ref()).ok())
            }
            Part::Sources if self.sources.is_empty() => None,
            Part::Sources => serde_json::to_string(&self.sources).ok(),
            Part::Tool(name) => self.tools.get(name).and_then(|it| serde_json::to_string(it).ok()),
            Part::Webhook(slug) => self.hooks.get(slug).and_then(|it| serde_json::to_string(it.as_ref()).ok()),
            Part::Schedule(slug) => self.schedules.get(slug).and_then(|it| serde_json::to_string(it.as_ref()).ok()),
        }
    }

    /// Takes a stored part back in.
    ///
    /// # Errors
    /// When the text is not what [`Self::part`] made.
    pub fn set_part(&mut self, name: &str, text: &str) -> Result<(), serde_json::Error> {
        match name.split_once(':').unwrap_or((name, "")) {
            ("identity", _) => self.identity = Some(serde_json::from_str(text)?),
            ("paused", _) => self.paused = Some(serde_json::from_str(text)?),
            ("breaker", _) => self.breaker = serde_json::from_str(text)?,
            ("metadata", _) => self.metadata = serde_json::from_str(text)?,
            ("sources", _) => self.sources = serde_json::from_str(text)?,
            ("inherited", _) => self.inherited = serde_json::from_str(text)?,
            ("subscription", slug) => {
                self.subscriptions.insert(slug.to_owned(), Arc::new(serde_json::from_str(text)?));
            }
            ("tool", name) => {
                self.tools.insert(name.to_owned(), serde_json::from_str(text)?);
            }
            ("webhook", slug) => {
                self.hooks.insert(slug.to_owned(), Arc::new(serde_json::from_str(text)?));
            }
            ("schedule", slug) => {
                self.schedules.insert(slug.to_owned(), Arc::new(serde_json::from_str(text)?));
            }
            _ => {}
        }
        Ok(())
    }

    /// The state as people read it; `head` is the offset it holds for.
    #[must_use]
    pub fn to_json(&self, head: u64) -> Map<String, Value> {
        let identity = self.identity.as_ref();
        let mut out = Map::new();
        out.insert("streamPath".into(), json!(identity.map(|it| &it.path)));
        out.insert("generation".into(), json!(identity.map(|it| &it.generation)));
        out.insert("createdAt".into(), json!(identity.map(|it| to_rfc3339(it.created_at))));
        out.insert("head".into(), json!(head));
        out.insert("paused".into(), self.paused.as_ref().map_or(Value::Null, Pause::to_json));
        out.insert("breaker".into(), json!({"limit": self.breaker.limit, "windowMs": self.breaker.window_ms}));
        out.insert("metadata".into(), json!(self.metadata));
        let schedules = self.schedules.iter().map(|(slug, it)| (slug.clone(), it.to_json()));
        out.insert("schedules".into(), Value::Object(schedules.collect()));
        let subscriptions = self.subscriptions.iter().map(|(slug, it)| (slug.clone(), it.to_json()));
        out.insert("subscriptions".into(), Value::Object(subscriptions.collect()));
        let hooks = self.hooks.iter().map(|(slug, it)| (slug.clone(), it.to_json()));
        out.insert("hooks".into(), Value::Object(hooks.collect()));
        let tools = self.tools.iter().map(|(name, it)| {
            let mut tool = it.config.to_json();
            tool.insert("offset".into(), json!(it.offset));
            (name.clone(), Value::Object(tool))
        });
        out.insert("tools".into(), Value::Object(tools.collect()));
        out
    }

    /// What holds for streams that are born later: a `configured` replaces its slug whole, a removal or a resumption for
    /// the children takes it back; a plain pause or resumption takes back none that was given to them.
    fn inherit(&mut self, subject: String, offset: u64, control: &Control) {
        let takes_back = matches!(
            control,
            Control::Resumed { .. }
                | Control::ScheduleRemoved { .. }
                | Control::SubscriptionRemoved { .. }
                | Control::ToolRemoved { .. }
                | Control::WebhookRemoved { .. }
        );
        let is_for_children = control.holds_for_children();
        if is_for_children && !takes_back {
            self.inherited.insert(subject, offset);
        } else if is_for_children || subject != "paused" {
            self.inherited.remove(&subject);
        }
    }
}

fn room_for<T>(configured: &BTreeMap<String, T>, slug: &str, limit: usize, what: &'static str) -> Result<(), Problem> {
    if configured.len() >= limit && !configured.contains_key(slug) {
        return Err(Problem::TooLarge { what, limit });
    }
    Ok(())
}

impl Subscribed {
    /// The subscription as people read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut out = json!(self.config);
        if let Value::Object(out) = &mut out {
            if let Some(agent) = self.config.agent() {
                out.insert("target".to_owned(), json!({"agent": agent.to_json()}));
            }
            out.insert("offset".to_owned(), json!(self.offset));
            if let Some(halt) = &self.halted {
                out.insert("halted".to_owned(), halt.to_json());
            }
        }
        out
    }
}

impl Halt {
    /// Why, as people read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "reason": self.reason, "offset": self.offset, "lastStatus": self.last_status, "since": to_rfc3339(self.since),
        })
    }
}

impl Hooked {
    fn to_json(&self) -> Value {
        let mut out = json!(self.config.definition);
        if let Value::Object(out) = &mut out {
            out.insert("slug".to_owned(), json!(self.config.slug));
            out.insert("preset".to_owned(), json!(self.config.preset));
            out.insert("children".to_owned(), json!(self.config.children));
            out.insert("offset".to_owned(), json!(self.offset));
        }
        out
    }
}

impl Scheduled {
    fn to_json(&self) -> Value {
        let mut out = self.config.to_json();
        out.insert("offset".to_owned(), json!(self.offset));
        Value::Object(out)
    }
}

impl Pause {
    fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("reason".into(), json!(self.reason));
        out.insert("since".into(), json!(to_rfc3339(self.since)));
        out.insert("offset".into(), json!(self.offset));
        if let Some(breaker) = &self.breaker {
            out.insert("breaker".into(), breaker.clone());
        }
        Value::Object(out)
    }
}

/// JSON merge patch, RFC 7396 section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_7396_hold() {
        for (original, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let mut target = original;
            merge(&mut target, &patch);
            assert_eq!(target, result);
        }
    }

    #[test]
    fn every_part_survives_storage() {
        let (mut state, mut parts) = (ControlState::default(), Vec::new());
        for (offset, control) in [
            Control::Created { path: "/a".into(), generation: "g".into() },
            Control::Paused { reason: Some("r".into()), breaker: None, children: true },
            Control::BreakerConfigured { limit: None, window_ms: 5, children: true },
            Control::MetadataUpdated { patch: Map::from_iter([("k".to_owned(), json!(1))]) },
        ]
        .iter()
        .enumerate()
        {
            parts.extend(state.apply(offset as u64 + 1, 1_000, control).unwrap());
        }
        let mut again = ControlState::default();
        for part in parts {
            if let Some(text) = state.part(&part) {
                again.set_part(&part.name(), &text).unwrap();
            }
        }
        assert_eq!(again, state);
    }
}
