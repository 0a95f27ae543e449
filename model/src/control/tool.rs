//! `tool.configured`: what an agent's model may call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::subscription::{Subscription, Target};
use crate::limits;
use crate::problem::Problem;

/// Tools that every agent has; no other has such a name.
pub const BUILT_IN: [&str; 4] = ["append_event", "read_stream", "schedule", "spawn"];

/// What the slugs of subscriptions that run tools begin with.
const SLUG_PREFIX: &str = "tool.";

/// A tool as it is configured. What it is for, and its parameters, stand in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Where its calls are pushed to; `None` = somebody else hears `tool.requested`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Headers of a push, with `{{secret:NAME}}` in them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Somebody must approve each call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approval: bool,
    /// How long a call may take.
    pub timeout_ms: u64,
    /// Holds for every stream below too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub children: bool,
}

impl Tool {
    pub(super) fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        if Value::Object(fields.rest.clone()).to_string().len() > limits::TOOL_BYTES {
            return Err(Problem::TooLarge { what: "a tool's configuration in bytes", limit: limits::TOOL_BYTES });
        }
        let name = name_from(fields)?;
        fields.text("description", limits::TOOL_BYTES)?;
        match fields.take("parameters") {
            None | Some(Value::Object(_)) => {}
            Some(_) => return Err(fields.invalid("parameters", "JSON Schema, as an object")),
        }
        let url = fields.text("url", limits::URL_BYTES)?;
        let headers = super::subscription::headers_from(fields)?;
        if url.is_none() && !headers.is_empty() {
            return Err(fields.invalid("headers", "only together with url"));
        }
        Ok(Self {
            name,
            url,
            headers,
            approval: fields.flag("approval")?,
            timeout_ms: fields
                .optional_integer("timeoutMs", 100..=limits::TOOL_TIMEOUT_MS_MAX)?
                .unwrap_or(limits::TOOL_TIMEOUT_MS),
            children: fields.flag("children")?,
        })
    }

    /// The subscription that a tool with a URL is a shorthand for.
    #[must_use]
    pub fn subscription(&self) -> Option<Subscription> {
        let url = self.url.clone()?;
        Some(Subscription {
            slug: slug_of(&self.name),
            target: Target::Url { url },
            types: Some(vec!["tool.requested".to_owned()]),
            condition: Some(format!("event.payload.name == \"{}\"", self.name)),
            from: None,
            version: None,
            batch: 1,
            plain: false,
            timeout_ms: self.timeout_ms.min(limits::PUSH_TIMEOUT_MS_MAX),
            headers: self.headers.clone(),
            grants: Vec::new(),
            while_paused: false,
            secret_version: None,
            children: false,
        })
    }

    /// The tool as people read it.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("url".to_owned(), json!(self.url));
        out.insert("approval".to_owned(), json!(self.approval));
        out.insert("timeoutMs".to_owned(), json!(self.timeout_ms));
        if let Some(url) = &self.url {
            out.insert("url".to_owned(), json!(url));
            out.insert("subscription".to_owned(), json!(slug_of(&self.name)));
        }
        out
    }
}

/// The slug of the subscription that runs a tool.
#[must_use]
pub fn slug_of(name: &str) -> String {
    format!("{SLUG_PREFIX}{name}")
}

/// The tool that a subscription of this slug may run.
#[must_use]
pub fn name_of(slug: &str) -> Option<&str> {
    slug.strip_prefix(SLUG_PREFIX)
}

/// 59 characters, so that the slug of its subscription has 64 at most: what every provider takes.
pub(super) fn name_from(fields: &mut Fields) -> Result<String, Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    match fields.take("name") {
        Some(Value::String(name)) if BUILT_IN.contains(&name.as_str()) => {
            Err(fields.invalid("name", format!("{name} is built in")))
        }
        Some(Value::String(name)) if (1..=59).contains(&name.len()) && name.bytes().all(allowed) => Ok(name),
        _ => Err(fields.invalid("name", "1 to 59 characters of A-Z a-z 0-9 _ -")),
    }
}
