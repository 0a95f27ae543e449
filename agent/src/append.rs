//! The events that an agent appends, as a settle carries them.

use serde_json::{Value, json};
use tailrace_model::line::Fragment;
use tailrace_model::settle::Answered;

use crate::machine::Start;

/// Tells with which code a request was made.
pub const HARNESS: &str = concat!("tailrace/", env!("CARGO_PKG_VERSION"));

/// An event of the agent `slug` for its own stream. Nothing if it nests too deep to be one.
#[must_use]
pub fn event(slug: &str, event_type: &str, payload: &Value, cause: u64) -> Option<Answered> {
    answered(slug, event_type, payload, cause, None)
}

/// `tool.requested` for a call that the event at `approved` allows. Only the system can say so.
pub(crate) fn approved_event(slug: &str, payload: &Value, approved: u64) -> Option<Answered> {
    answered(slug, "tool.requested", payload, approved, Some(approved))
}

/// The same for another stream.
pub(crate) fn to_stream(slug: &str, to: &str, event_type: &str, payload: &Value, cause: u64) -> Option<Answered> {
    event(slug, event_type, payload, cause).map(|answered| Answered { to: Some(to.to_owned()), ..answered })
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

fn answered(slug: &str, event_type: &str, payload: &Value, cause: u64, approved: Option<u64>) -> Option<Answered> {
    let mut system = json!({"by": format!("subscription:{slug}")});
    if let (Some(approved), Some(system)) = (approved, system.as_object_mut()) {
        system.insert("approved".to_owned(), json!(approved));
    }
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
    })
}
