//! `CloudEvents` over HTTP: binary, structured and batched, one event each.
//!
//! See the [HTTP protocol binding](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md).

use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::place::Incoming;
use crate::hook::{hex_sha256, redacted};
use crate::limits;

/// One `CloudEvent` of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    /// What names it among all events: its source and its id.
    pub key: String,
    /// Its attributes, without its data.
    pub attributes: Value,
    /// The event itself as JSON text; `None` when the request's body is its data.
    pub body: Option<String>,
}

/// The events of a request; none when it carries no valid ones.
#[must_use]
pub fn read(request: &Incoming, body: &str) -> Vec<CloudEvent> {
    let content_type = request.headers.iter().find(|(name, _)| name == "content-type").map_or("", |(_, value)| value);
    let content_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let found = match content_type.as_str() {
        "application/cloudevents+json" => structured(body).map(|event| vec![event]),
        "application/cloudevents-batch+json" => batched(body),
        _ => binary(request),
    };
    found.unwrap_or_default()
}

fn binary(request: &Incoming) -> Option<Vec<CloudEvent>> {
    let mut attributes = Map::new();
    for (name, value) in request.headers {
        if let Some(name) = name.strip_prefix("ce-") {
            let value = percent_decode_str(redacted(name, value)).decode_utf8_lossy().into_owned();
            attributes.insert(name.to_owned(), Value::String(value));
        }
    }
    if let Some((_, value)) = request.headers.iter().find(|(name, _)| name == "content-type") {
        attributes.insert("datacontenttype".to_owned(), Value::String(value.clone()));
    }
    Some(vec![CloudEvent { key: key(&attributes)?, attributes: Value::Object(attributes), body: None }])
}

fn structured(text: &str) -> Option<CloudEvent> {
    let Value::Object(mut attributes) = serde_json::from_str(text).ok()? else { return None };
    attributes.remove("data");
    attributes.remove("data_base64");
    Some(CloudEvent { key: key(&attributes)?, attributes: Value::Object(attributes), body: Some(text.to_owned()) })
}

fn batched(text: &str) -> Option<Vec<CloudEvent>> {
    let events: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    events.into_iter().map(|event| structured(event.get())).collect()
}

/// Source and id together are unique (section 3.1.1 of the specification).
fn key(attributes: &Map<String, Value>) -> Option<String> {
    let text = |name: &str| attributes.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    text("specversion")?;
    text("type")?;
    let (source, id) = (text("source")?, text("id")?);
    // With its length, so that no two pairs make the same key.
    let key = format!("{}:{source}{id}", source.len());
    Some(if key.len() > limits::KEY_CHARS { hex_sha256(key.as_bytes()) } else { key })
}
