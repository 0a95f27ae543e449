//! What a settle says, or a push's answer: `{lease, upTo?, state?, append?, error?, extend?}`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::envelope::{Envelope, Members};
use crate::event::{Rejected, Writer};
use crate::path::StreamPath;
use crate::problem::Problem;
use crate::{json, limits};

/// A settle, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settle {
    /// Which lease; none in a push's answer.
    pub lease: Option<String>,
    /// The last event that is done; `None` = all that were leased.
    pub up_to: Option<u64>,
    /// The new state as JSON text; `null` clears it, `None` leaves it as it is.
    pub state: Option<String>,
    /// What to append, here and elsewhere.
    pub append: Vec<Answered>,
    /// Why this attempt failed.
    pub error: Option<String>,
    /// Seconds for which the lease stays for the rest.
    pub extend: Option<u64>,
}

/// An event that an answer appends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// The stream it goes to, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Its type.
    pub event_type: String,
    /// Its idempotency key, as the processor named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The event that it says caused it: a path, if in another stream, and an offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<(Option<String>, u64)>,
    /// The part of its line that does not depend on the stream.
    pub fragment: String,
    /// It is the system's own: no grant is asked for. Never read from what anybody says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_system: bool,
    /// It begins a turn of a model: one more in the chain of causes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_turn: bool,
    /// The call of a tool that appends it: if it is refused, that call failed, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

/// True for a JSON object with any of the fields of a settle: what a push is answered with is one then.
#[must_use]
pub fn is_settle(text: &str) -> bool {
    let known = |name: &String| ["upTo", "state", "append", "error", "extend"].contains(&name.as_str());
    text.trim_start().starts_with('{')
        && serde_json::from_str::<Members>(text).is_ok_and(|members| members.0.iter().any(|(name, _)| known(name)))
}

impl Settle {
    /// Reads a settle of a subscription to the stream `here`. A `strict` one has no other fields.
    ///
    /// # Errors
    /// [`Problem`] naming the field; it can never be accepted then.
    pub fn parse(text: &str, here: &StreamPath, writer: Writer, strict: bool) -> Result<Self, Problem> {
        let members: Members = serde_json::from_str(text)
            .map_err(|_| invalid("body", "a JSON object: {lease, upTo?, state?, append?, …}"))?;
        let mut settle = Self::default();
        for (name, value) in &members.0 {
            let is_null = value.get() == "null";
            match name.as_str() {
                "state" => settle.state = Some(state_from(value.get())?),
                "lease" | "upTo" | "append" | "error" | "extend" if is_null => {}
                // Some say so of every answer.
                "error" if matches!(value.get(), "false" | "0" | "\"\"") => {}
                "lease" => settle.lease = Some(text_from("lease", value)?),
                "upTo" => settle.up_to = Some(number_from("upTo", value, 0, 1 << 53)?),
                "extend" => settle.extend = Some(number_from("extend", value, 1, limits::LEASE_SECONDS_MAX)?),
                "error" => settle.error = Some(error_from(value)),
                "append" => settle.append = append_from(value, here, writer)?,
                odd if strict => return Err(invalid(odd, "a settle has no such field")),
                _ => {}
            }
        }
        Ok(settle)
    }
}

fn state_from(text: &str) -> Result<String, Problem> {
    let mut state = String::with_capacity(text.len());
    json::push_compact(&mut state, text, limits::JSON_DEPTH).map_err(|_| invalid("state", "not nested so deep"))?;
    if state.len() > limits::STATE_BYTES {
        return Err(Problem::TooLarge { what: "a subscription's state in bytes", limit: limits::STATE_BYTES });
    }
    Ok(state)
}

fn text_from(name: &str, value: &RawValue) -> Result<String, Problem> {
    serde_json::from_str(value.get()).map_err(|_| invalid(name, "a string"))
}

fn number_from(name: &str, value: &RawValue, least: u64, most: u64) -> Result<u64, Problem> {
    let number: Option<u64> = value.get().parse().ok();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| invalid(name, format!("an integer from {least} to {most}")))
}

/// A text as it is, anything else as JSON; not longer than a reason may be.
fn error_from(value: &RawValue) -> String {
    let text = serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned());
    crate::text::cut(&text, limits::REASON_BYTES).to_owned()
}

fn append_from(value: &RawValue, here: &StreamPath, writer: Writer) -> Result<Vec<Answered>, Problem> {
    if value.get().starts_with('{') {
        return Ok(vec![answered_from(value.get(), 0, here, writer)?]);
    }
    let list: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|_| invalid("append", "a list of events"))?;
    if list.len() > limits::BATCH_EVENTS {
        return Err(Problem::TooLarge { what: "events in one answer", limit: limits::BATCH_EVENTS });
    }
    list.iter().enumerate().map(|(index, entry)| answered_from(entry.get(), index, here, writer)).collect()
}

/// Reads one event that something in the stream `here` wants to append: `{type, payload?, streamPath?, …}`.
///
/// # Errors
/// [`Problem`] naming the field.
pub fn answered(text: &str, here: &StreamPath, writer: Writer) -> Result<Answered, Problem> {
    answered_from(text, 0, here, writer)
}

fn answered_from(text: &str, index: usize, here: &StreamPath, writer: Writer) -> Result<Answered, Problem> {
    let at = |field: &str, detail: String| invalid(&format!("append[{index}].{field}"), detail);
    let mut envelope: Envelope = serde_json::from_str(text)
        .map_err(|_| invalid(&format!("append[{index}]"), "an event: {type, payload?, streamPath?, …}"))?;
    let to = match envelope.stream_path.take() {
        None => None,
        Some(raw) => {
            let text: String = serde_json::from_str(raw.get()).map_err(|_| at("streamPath", "a path".to_owned()))?;
            let path = here.resolve(&text).map_err(|problem| match problem {
                Problem::InvalidPath { detail } => at("streamPath", detail),
                other => other,
            })?;
            (path != *here).then(|| path.to_string())
        }
    };
    if envelope.offset.is_some() {
        return Err(at("offset", "what an answer appends gets the next offset".to_owned()));
    }
    let writer = Writer { from: to.is_some().then_some(here.as_str()), ..writer };
    let event =
        envelope.into_event(writer).map_err(|rejected| match rejected {
            Rejected::Foreign { field, detail }
            | Rejected::Refused(
                Problem::InvalidEvent { field, detail } | Problem::InvalidControlEvent { field, detail },
            ) => at(&field, detail),
            Rejected::Refused(problem) => problem,
        })?;
    if event.fragment.len() > limits::EVENT_BYTES {
        return Err(Problem::TooLarge { what: "an event in bytes", limit: limits::EVENT_BYTES });
    }
    let cause = event.cause.map(|cause| (cause.stream_path.map(|path| path.to_string()), cause.offset));
    Ok(Answered {
        to,
        event_type: event.event_type,
        key: event.key,
        cause,
        fragment: event.fragment,
        is_system: false,
        is_turn: false,
        call: None,
    })
}

fn invalid(field: &str, detail: impl Into<String>) -> Problem {
    Problem::InvalidSettle { field: field.to_owned(), detail: detail.into() }
}
