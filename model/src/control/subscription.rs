//! `subscription.configured`: who is handed the stream's events, and how.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::agent::Agent;
use super::fields::{Fields, invalid};
use super::javascript::Javascript;
use crate::deployment::Deployment;
use crate::limits;
use crate::problem::Problem;
use crate::{secret, target};

/// A subscription as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Its name within the stream.
    pub slug: String,
    /// Where the events go.
    pub target: Target,
    /// Globs over types; `None` = all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<String>>,
    /// CEL over `event`: only what it is true for is delivered.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Where it begins; a version that is new begins there again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<From>,
    /// When this changes, the state is reset and built anew from what was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Events in one delivery, at most.
    pub batch: u64,
    /// The body of a push is the event alone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub plain: bool,
    /// To the last byte of a push's answer.
    pub timeout_ms: u64,
    /// Headers of a push, with `{{secret:NAME}}` in them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Globs over control events that its answers may append.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// Events are delivered while the stream is paused, too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub while_paused: bool,
    /// When this changes, so does the signing secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_version: Option<String>,
    /// Holds for every stream below too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub children: bool,
}

/// Where a subscription's events go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Target {
    /// They are pushed to a URL.
    Url {
        /// The URL.
        url: String,
    },
    /// Workers outside lease and settle them.
    Pull {
        /// Always true.
        pull: bool,
    },
    /// A language model answers them.
    Agent {
        /// How.
        agent: Box<Agent>,
    },
    /// Code in the stream answers them.
    Javascript {
        /// Which.
        javascript: Box<Javascript>,
    },
}

/// What an agent hears: all that it is made of.
const AGENT_HEARS: [&str; 6] =
    ["agent.*", "tool.*", "subscription.configured", "stream.child-deleted", "stream.resumed", "error.occurred"];

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum From {
    /// With what comes after it is configured.
    Now,
    /// With the stream's first event.
    Start,
    /// With the event at this offset.
    #[serde(untagged)]
    Offset(u64),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Headers that say what a push is: nobody sets them.
const OWN_HEADERS: &[&str] = &[
    "host",
    "connection",
    "content-length",
    "content-encoding",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
    "proxy-connection",
    "via",
];
const OWN_PREFIXES: &[&str] = &["webhook-", "tailrace-", "cf-", "x-forwarded-", "sec-"];

impl Subscription {
    /// True when workers lease its events.
    #[must_use]
    pub fn is_pulled(&self) -> bool {
        matches!(self.target, Target::Pull { .. })
    }

    /// The agent, if it is one.
    #[must_use]
    pub fn agent(&self) -> Option<&Agent> {
        match &self.target {
            Target::Agent { agent } => Some(agent),
            _ => None,
        }
    }

    /// Globs over the types that it is handed; `None` = all.
    #[must_use]
    pub fn hears(&self) -> Option<Vec<String>> {
        if self.agent().is_some() { Some(AGENT_HEARS.map(str::to_owned).to_vec()) } else { self.types.clone() }
    }

    pub(super) fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        let plain = fields.flag("plain")?;
        let batch = if plain { 1 } else { limits::SUBSCRIPTION_BATCH_DEFAULT };
        let subscription = Self {
            slug: fields.slug()?,
            target: target_from(fields)?,
            types: fields.globs("types")?,
            condition: fields.text("where", limits::CONDITION_BYTES)?,
            from: from_from(fields)?,
            version: fields.version("version")?,
            batch: fields.optional_integer("batch", 1..=limits::BATCH_EVENTS as u64)?.unwrap_or(batch),
            plain,
            timeout_ms: fields
                .optional_integer("timeoutMs", 100..=limits::PUSH_TIMEOUT_MS_MAX)?
                .unwrap_or(limits::PUSH_TIMEOUT_MS),
            headers: headers_from(fields)?,
            grants: fields.globs("grants")?.unwrap_or_default(),
            while_paused: fields.flag("whilePaused")?,
            secret_version: fields.version("secretVersion")?,
            children: fields.flag("children")?,
        };
        check_state(fields)?;
        if plain && subscription.batch != 1 {
            return Err(invalid("batch", "1, for the body of a plain push is one event"));
        }
        subscription.check_target()?;
        Ok(subscription)
    }

    /// Refuses what says nothing to a target of its kind.
    fn check_target(&self) -> Result<(), Problem> {
        let is_agent = self.agent().is_some();
        let field = if self.plain && !matches!(self.target, Target::Url { .. }) {
            "plain"
        } else if !self.headers.is_empty() && !is_agent && !matches!(self.target, Target::Url { .. }) {
            "headers"
        } else if is_agent && self.types.is_some() {
            return Err(invalid("types", "an agent hears agent.*, tool.* and what else concerns it"));
        } else if is_agent && self.condition.is_some() {
            return Err(invalid("where", "an agent hears agent.*, tool.* and what else concerns it"));
        } else if self.agent().is_some_and(|agent| agent.wait_for.contains(&self.slug)) {
            return Err(invalid("target.agent.waitFor", "an agent does not wait for itself"));
        } else {
            return Ok(());
        };
        Err(invalid(field, "only for a target with a url"))
    }

    /// Checks what it names of the deployment: its URL, its secrets, its condition.
    pub(super) fn check(&self, deployment: &dyn Deployment) -> Result<(), Problem> {
        if let Some(condition) = &self.condition {
            deployment.check_condition(condition).map_err(|detail| invalid("where", detail))?;
        }
        let (text, field) = match &self.target {
            Target::Url { url } => (url, "target.url"),
            Target::Agent { agent } => (&agent.base_url, "target.agent.baseUrl"),
            Target::Pull { .. } | Target::Javascript { .. } => return Ok(()),
        };
        let url = deployment.url(text).ok_or_else(|| invalid(field, "an absolute URL"))?;
        target::check(&url, &deployment.allowed()).map_err(|detail| invalid(field, detail))?;
        if let Some(name) = self.agent().and_then(|agent| agent.secret.as_deref()) {
            secret_for(deployment, name, &url.hostname).map_err(|detail| invalid("target.agent.secret", detail))?;
        }
        for (name, template) in &self.headers {
            let filled = secret::fill(template, |secret| secret_for(deployment, secret, &url.hostname));
            filled.map_err(|detail| invalid(&format!("headers.{name}"), detail))?;
        }
        Ok(())
    }
}

/// The value of a secret, for a request to `host`.
///
/// # Errors
/// Why it may not go there. The secret itself is never named.
pub fn secret_for(deployment: &dyn Deployment, name: &str, host: &str) -> Result<String, String> {
    let secret =
        deployment.secret(name).ok_or_else(|| format!("this deployment has no secret {}{name}", secret::PREFIX))??;
    secret
        .for_host(host)
        .map(str::to_owned)
        .ok_or_else(|| format!("the secret {name} is not declared for sending to {host}"))
}

fn target_from(fields: &mut Fields) -> Result<Target, Problem> {
    let known = "one of {\"url\": \"https://…\"}, {\"pull\": true}, {\"agent\": {…}} and {\"javascript\": {…}}";
    let Some(Value::Object(mut target)) = fields.take("target") else { return Err(invalid("target", known)) };
    let kinds = ["url", "pull", "agent", "javascript"];
    let Some((kind, value)) = kinds.iter().find_map(|kind| target.remove_entry(*kind)) else {
        return Err(invalid("target", known));
    };
    let found = match (kind.as_str(), value) {
        ("url", Value::String(url)) if url.len() <= limits::URL_BYTES => Target::Url { url },
        ("url", _) => return Err(invalid("target.url", format!("a URL of at most {} bytes", limits::URL_BYTES))),
        ("pull", Value::Bool(true)) => Target::Pull { pull: true },
        ("pull", _) => return Err(invalid("target.pull", "true")),
        ("agent", agent) => Target::Agent { agent: Box::new(Agent::from_value(agent)?) },
        (_, code) => Target::Javascript { javascript: Box::new(Javascript::from_value(code)?) },
    };
    match target.keys().next() {
        None => Ok(found),
        Some(other) if kinds.contains(&other.as_str()) => Err(invalid("target", known)),
        Some(unknown) => Err(invalid(&format!("target.{unknown}"), format!("a target is {known}"))),
    }
}

fn from_from(fields: &mut Fields) -> Result<Option<From>, Problem> {
    match fields.take("from") {
        None => Ok(None),
        Some(Value::String(text)) if text == "now" => Ok(Some(From::Now)),
        Some(Value::String(text)) if text == "start" => Ok(Some(From::Start)),
        Some(value) => match value.as_u64().filter(|offset| (1..1 << 53).contains(offset)) {
            Some(offset) => Ok(Some(From::Offset(offset))),
            None => Err(invalid("from", "\"now\", \"start\", or an offset from 1")),
        },
    }
}

pub(super) fn headers_from(fields: &mut Fields) -> Result<BTreeMap<String, String>, Problem> {
    let Some(given) = fields.take("headers") else { return Ok(BTreeMap::new()) };
    let Value::Object(given) = given else { return Err(invalid("headers", "an object of strings")) };
    if given.len() > limits::PUSH_HEADERS || json!(given).to_string().len() > limits::PUSH_HEADERS_BYTES {
        let detail = format!("at most {} headers, {} bytes", limits::PUSH_HEADERS, limits::PUSH_HEADERS_BYTES);
        return Err(invalid("headers", detail));
    }
    let mut headers = BTreeMap::new();
    for (name, value) in given {
        let field = format!("headers.{name}");
        let lower = name.to_ascii_lowercase();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if lower.is_empty() || !lower.bytes().all(is_token) {
            return Err(invalid(&field, "this is no name of a header"));
        }
        if OWN_HEADERS.contains(&lower.as_str()) || OWN_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            return Err(invalid(&field, "this header is not for setting"));
        }
        match value {
            Value::String(text) if text.chars().all(|it| it == '\t' || (' '..='\u{ff}').contains(&it)) => {
                headers.insert(lower, text);
            }
            _ => return Err(invalid(&field, "a string of printable Latin-1 characters")),
        }
    }
    Ok(headers)
}

fn check_state(fields: &mut Fields) -> Result<(), Problem> {
    match fields.take("state") {
        Some(state) if state.to_string().len() > limits::STATE_BYTES => {
            Err(invalid("state", format!("at most {} bytes of JSON", limits::STATE_BYTES)))
        }
        _ => Ok(()),
    }
}
