//! The text of a stored event: one line of JSON, made once, at commit. The front Worker makes all of it that does not
//! depend on the stream, the *fragment*; the object puts the offset before it and the cause, the path and the time behind.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cause::Cause;
use crate::json;
use crate::limits;
use crate::problem::Problem;

/// The part of an event's line that does not depend on the stream.
pub struct Fragment<'a> {
    /// The type.
    pub event_type: &'a str,
    /// The payload, as JSON text.
    pub payload: &'a str,
    /// The client's metadata, as the text of a JSON object.
    pub metadata: Option<&'a str>,
    /// What goes to `metadata.tailrace`, as JSON text.
    pub system: Option<String>,
    /// The idempotency key.
    pub key: Option<&'a str>,
}

impl Fragment<'_> {
    /// The text.
    ///
    /// # Errors
    /// [`Problem::TooLarge`] when the payload or metadata nests too deep.
    pub fn to_text(&self) -> Result<String, Problem> {
        let too_deep = |_| Problem::TooLarge { what: "the depth of the JSON", limit: limits::JSON_DEPTH };
        let mut out = String::with_capacity(self.payload.len() + self.event_type.len() + 96);
        out.push_str("\"type\":");
        json::push_quoted(&mut out, self.event_type);
        out.push_str(",\"payload\":");
        json::push_compact(&mut out, self.payload, limits::JSON_DEPTH).map_err(too_deep)?;
        if self.metadata.is_some() || self.system.is_some() {
            out.push_str(",\"metadata\":");
            self.push_metadata(&mut out).map_err(too_deep)?;
        }
        if let Some(key) = self.key {
            out.push_str(",\"idempotencyKey\":");
            json::push_quoted(&mut out, key);
        }
        Ok(out)
    }

    fn push_metadata(&self, out: &mut String) -> Result<(), json::TooDeep> {
        json::push_compact(out, self.metadata.unwrap_or("{}"), limits::JSON_DEPTH)?;
        if let Some(system) = &self.system {
            // Into the object just written: before its closing brace.
            out.pop();
            if !out.ends_with('{') {
                out.push(',');
            }
            out.push_str("\"tailrace\":");
            json::push_compact(out, system, limits::JSON_DEPTH)?;
            out.push('}');
        }
        Ok(())
    }
}

/// Appends the finished line of an event to `out`; an event that is not stored has no offset. `path` is the stream's as a
/// quoted JSON string; `created_at` is not quoted.
pub fn push_line(
    out: &mut String,
    offset: Option<u64>,
    fragment: &str,
    cause: Option<&Cause>,
    path: &str,
    created_at: &str,
) {
    out.push('{');
    if let Some(offset) = offset {
        out.push_str("\"offset\":");
        json::push_number(out, offset);
        out.push(',');
    }
    out.push_str(fragment);
    if let Some(cause) = cause {
        let _ = write!(
            out,
            ",\"cause\":{{\"streamPath\":\"{}\",\"offset\":{},\"hops\":{},\"turns\":{}}}",
            cause.stream_path, cause.offset, cause.hops, cause.turns
        );
    }
    for piece in [",\"streamPath\":", path, ",\"createdAt\":\"", created_at, "\"}"] {
        out.push_str(piece);
    }
}

/// An event as it is stored and read.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredEvent<'a> {
    /// Its place in the stream, from 1.
    pub offset: u64,
    /// Its type.
    #[serde(rename = "type", borrow)]
    pub event_type: Cow<'a, str>,
    /// Its payload, as text.
    #[serde(borrow)]
    pub payload: &'a RawValue,
    /// Its metadata, as text.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a RawValue>,
    /// The client's idempotency key.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Cow<'a, str>>,
    /// Why it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The stream it is in.
    #[serde(borrow)]
    pub stream_path: Cow<'a, str>,
    /// When it was written, RFC 3339.
    #[serde(borrow)]
    pub created_at: Cow<'a, str>,
}

impl<'a> StoredEvent<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(line: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
}

/// The type of the event in a line, without parsing the rest.
#[must_use]
pub fn type_of_line(line: &str) -> Option<Cow<'_, str>> {
    let (_, rest) = line.split_once("\"type\":")?;
    let mut quoted = serde_json::Deserializer::from_str(rest);
    Cow::<str>::deserialize(&mut quoted).ok().map(|it| it.into_owned().into())
}

/// Type and payload of a fragment, to compare two uses of one idempotency key.
#[must_use]
pub fn content_of_fragment(fragment: &str) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Content<'a> {
        #[serde(rename = "type")]
        event_type: String,
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    let text = format!("{{{fragment}}}");
    let content: Content = serde_json::from_str(&text).ok()?;
    Some((content.event_type, content.payload.get().to_owned()))
}
