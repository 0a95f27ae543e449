//! The events that an agent appends, as a settle carries them.

use serde_json::{Value, json};
use tailrace_model::StreamPath;
use tailrace_model::line::Fragment;
use tailrace_model::settle::Answered;

use crate::machine::Start;

/// Tells with which code a request was made.
pub const HARNESS: &str = concat!("tailrace/", env!("CARGO_PKG_VERSION"));

/// An event of the agent `slug` for its own stream. Nothing if it nests too deep to be one.
#[must_use]
pub fn event(slug: &str, event_type: &str, payload: &Value, cause: u64) -> Option<Answered> {
    let system = json!({"by": by(slug)});
    answered(event_type, payload, cause, &system)
}

/// `tool.requested` for a call that the event at `approved` allows. Only the system can say so.
pub(crate) fn approved_event(slug: &str, payload: &Value, approved: u64) -> Option<Answered> {
    let system = json!({"by": by(slug), "approved": approved});
    answered("tool.requested", payload, approved, &system)
}

/// An event of the agent `slug` in the stream `from` for another stream.
pub(crate) fn to_stream(
    (slug, from): (&str, &StreamPath),
    to: &str,
    event_type: &str,
    payload: &Value,
    cause: u64,
) -> Option<Answered> {
    let system = json!({"by": by(slug), "from": from.as_str()});
    answered(event_type, payload, cause, &system).map(|answered| Answered { to: Some(to.to_owned()), ..answered })
}

/// `agent.turn-started`, once the request is made.
#[must_use]
pub fn turn_started(slug: &str, start: &Start, sha256: &str) -> Option<Answered> {
    let payload = json!({
        "agent": slug,
        "turn": start.turn,
        "requestId": start.request_id,
        "upTo": start.up_to,
        "requestSha256": sha256,
        "harness": HARNESS,
    });
    event(slug, "agent.turn-started", &payload, start.cause).map(|answered| Answered { is_turn: true, ..answered })
}

fn by(slug: &str) -> String {
    format!("subscription:{slug}")
}

fn answered(event_type: &str, payload: &Value, cause: u64, system: &Value) -> Option<Answered> {
    let payload = payload.to_string();
    let fragment =
        Fragment { event_type, payload: &payload, metadata: None, system: Some(system.to_string()), key: None };
    Some(Answered {
        to: None,
        event_type: event_type.to_owned(),
        key: None,
        cause: Some((None, cause)),
        fragment: fragment.to_text().ok()?,
        is_system: true,
        is_turn: false,
        call: None,
    })
}
