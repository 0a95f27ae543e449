//! What an agent's tool appends and the stream refuses: a model must not stop its agent with that. The call failed, and
//! everything else of the decision stands.

use std::collections::BTreeMap;

use serde_json::json;
use tailrace_model::Problem;
use tailrace_model::json::quoted;
use tailrace_model::line::Fragment;
use tailrace_model::settle::Answered;

use super::settle::Said;

/// The same without what calls of tools append, and with why these failed; `None` when none of them appends anything.
pub(super) fn without_calls(slug: &str, said: &Said, problem: &Problem) -> Option<Said> {
    let calls: BTreeMap<&str, &Answered> =
        said.append.iter().filter_map(|answered| Some((answered.call.as_deref()?, answered))).collect();
    if calls.is_empty() {
        return None;
    }
    let error = format!("{}: {}", problem.code().name, problem.detail());
    let failed = |(call_id, answered): (&str, &Answered)| {
        let payload = json!({"callId": call_id, "error": error, "agent": slug}).to_string();
        let system = format!("{{\"by\":{}}}", quoted(&format!("subscription:{slug}")));
        let event_type = "tool.failed";
        let fragment = Fragment { event_type, payload: &payload, metadata: None, system: Some(system), key: None };
        Some(Answered {
            to: None,
            event_type: event_type.to_owned(),
            key: None,
            fragment: fragment.to_text().ok()?,
            is_system: true,
            call: None,
            ..answered.clone()
        })
    };
    let failures: Vec<Answered> = calls.into_iter().filter_map(failed).collect();
    let rest = said.append.iter().filter(|answered| answered.call.is_none()).cloned();
    // A turn that starts stands behind all else.
    let (turns, rest): (Vec<_>, Vec<_>) = rest.partition(|answered| answered.is_turn);
    Some(Said { append: rest.into_iter().chain(failures).chain(turns).collect(), ..said.clone() })
}
