//! The subscription that a run pulls from: configured if it is missing or other than wanted.

use serde_json::{Value, json};
use tailrace_model::control::subscription::{From, Subscription, Target};
use tailrace_model::limits;

use crate::error::Error;
use crate::event::NewEvent;
use crate::stream::Stream;

/// One that is pulled, with everything as it is when nothing is said.
pub(crate) fn pulled(slug: String) -> Subscription {
    Subscription {
        slug,
        target: Target::Pull { pull: true },
        types: None,
        condition: None,
        from: None,
        version: None,
        batch: limits::SUBSCRIPTION_BATCH_DEFAULT,
        plain: false,
        timeout_ms: limits::PUSH_TIMEOUT_MS,
        headers: std::collections::BTreeMap::new(),
        grants: Vec::new(),
        while_paused: false,
        secret_version: None,
        children: false,
    }
}

/// Sees to it that the stream has this subscription. Configuring it for no reason would fill the log at every start.
pub(crate) async fn ensure(stream: &Stream, wanted: &Subscription) -> Result<(), Error> {
    let known = match stream.state().await {
        Ok(mut state) => state.subscriptions.remove(&wanted.slug),
        Err(error) if error.status() == 404 => None,
        Err(error) => return Err(error),
    };
    if known.is_some_and(|known| is_as_wanted(known, wanted)) {
        return Ok(());
    }
    stream.append(NewEvent::new("subscription.configured").payload(payload(wanted))).await.map(drop)
}

fn is_as_wanted(mut known: Value, wanted: &Subscription) -> bool {
    if let Value::Object(known) = &mut known {
        known.entry("batch").or_insert(json!(limits::SUBSCRIPTION_BATCH_DEFAULT));
        known.entry("timeoutMs").or_insert(json!(limits::PUSH_TIMEOUT_MS));
    }
    let Ok(mut known) = serde_json::from_value::<Subscription>(known) else { return false };
    // These are of pushes: whoever set them, they say nothing here.
    known.timeout_ms = wanted.timeout_ms;
    known.secret_version.clone_from(&wanted.secret_version);
    let begins = |it: &Subscription| it.from.unwrap_or(From::Now);
    begins(&known) == begins(wanted) && known == Subscription { from: known.from, ..wanted.clone() }
}

/// Only what is not as it is by itself.
fn payload(wanted: &Subscription) -> Value {
    let mut payload = json!(wanted);
    if let Value::Object(payload) = &mut payload {
        payload.remove("timeoutMs");
        if wanted.batch == limits::SUBSCRIPTION_BATCH_DEFAULT {
            payload.remove("batch");
        }
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a deployment tells it.
    fn known(more: &Value) -> Value {
        let mut known = json!({"slug": "s", "target": {"pull": true}, "batch": 100, "timeoutMs": 15_000, "offset": 2});
        let (Value::Object(known), Value::Object(more)) = (&mut known, more.clone()) else { panic!() };
        known.extend(more);
        json!(known)
    }

    fn wanted(change: impl FnOnce(&mut Subscription)) -> Subscription {
        let mut wanted = pulled("s".into());
        change(&mut wanted);
        wanted
    }

    #[test]
    fn what_is_not_said_is_not_configured() {
        assert_eq!(payload(&wanted(|_| ())), json!({"slug": "s", "target": {"pull": true}}));
        let full = wanted(|it| {
            it.types = Some(vec!["a.*".into()]);
            it.condition = Some("true".into());
            it.from = Some(From::Offset(3));
            it.batch = 5;
            it.children = true;
        });
        assert_eq!(
            payload(&full),
            json!({"slug": "s", "target": {"pull": true}, "types": ["a.*"], "where": "true", "from": 3, "batch": 5, "children": true})
        );
    }

    #[test]
    fn only_a_difference_is_a_reason_to_configure() {
        assert!(is_as_wanted(known(&json!({})), &wanted(|_| ())));
        assert!(is_as_wanted(known(&json!({"from": "now", "timeoutMs": 500, "halted": {}})), &wanted(|_| ())));
        assert!(is_as_wanted(json!({"slug": "s", "target": {"pull": true}}), &wanted(|_| ())));
        assert!(!is_as_wanted(known(&json!({"types": ["a"]})), &wanted(|_| ())));
        assert!(!is_as_wanted(known(&json!({"target": {"url": "https://a"}})), &wanted(|_| ())));
        assert!(!is_as_wanted(known(&json!({})), &wanted(|it| it.version = Some("2".into()))));
        assert!(!is_as_wanted(known(&json!({})), &wanted(|it| it.from = Some(From::Start))));
        assert!(!is_as_wanted(known(&json!({})), &wanted(|it| it.children = true)));
        assert!(!is_as_wanted(json!("odd"), &wanted(|_| ())));
    }
}
