//! How subscriptions stand: what a person needs to know why something was not delivered.

use serde_json::{Map, Value, json};
use tailrace_model::Problem;
use tailrace_model::state::Subscribed;
use tailrace_model::time::{Millis, to_rfc3339};

use super::Delivery;
use super::progress::{Attempt, state_of};
use crate::Failure;
use crate::sql::Sql;
use crate::stream::{Life, Stream};

/// All subscriptions, or the one called `slug`.
///
/// # Errors
/// [`Problem::StreamNotFound`]; [`Problem::NotFound`] when there is no such subscription; [`Failure::Storage`].
pub fn report<S: Sql>(stream: &Stream<S>, now: Millis, slug: Option<&str>) -> Result<Value, Failure> {
    let life = stream.life()?;
    let Some(slug) = slug else {
        let mut all = Vec::new();
        for (slug, subscribed) in &life.state.subscriptions {
            all.push(Value::Object(one(stream, life, now, slug, subscribed)?));
        }
        return Ok(json!({"subscriptions": all}));
    };
    let missing = || Problem::NotFound { detail: format!("this stream has no subscription {slug}") };
    let subscribed = life.state.subscriptions.get(slug).ok_or_else(missing)?;
    let mut out = one(stream, life, now, slug, subscribed)?;
    let state = state_of(&stream.sql, slug)?;
    out.insert("state".to_owned(), state.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null));
    if let Some(delivery) = life.deliveries.get(slug) {
        let attempts = delivery.progress.attempts.iter().rev().map(attempt);
        out.insert("attempts".to_owned(), Value::Array(attempts.collect()));
    }
    Ok(Value::Object(out))
}

/// What `/api/state` says about a subscription beside how it is configured.
pub(crate) fn brief<S: Sql>(
    stream: &Stream<S>,
    life: &Life,
    now: Millis,
    slug: &str,
) -> Result<Map<String, Value>, Failure> {
    let Some((delivery, subscribed)) = life.deliveries.get(slug).zip(life.state.subscriptions.get(slug)) else {
        return Ok(Map::new());
    };
    let mut out = Map::new();
    let progress = &delivery.progress;
    out.insert("status".to_owned(), json!(status(stream, life, slug, subscribed, delivery, now)));
    out.insert("cursor".to_owned(), json!(progress.cursor));
    out.insert("head".to_owned(), json!(life.head));
    let lag = if delivery.pending { life.head.saturating_sub(progress.cursor) } else { 0 };
    out.insert("lag".to_owned(), json!(lag));
    out.insert("lagSeconds".to_owned(), json!(if lag == 0 { 0.0 } else { waiting_s(stream, progress.cursor, now)? }));
    out.insert("nextAttempt".to_owned(), json!(next_attempt(stream, life, slug, delivery).map(to_rfc3339)));
    let error = progress.attempts.iter().rev().take_while(|it| it.error.is_some()).next();
    out.insert("lastError".to_owned(), json!(error.and_then(|attempt| attempt.error.as_deref())));
    Ok(out)
}

fn one<S: Sql>(
    stream: &Stream<S>,
    life: &Life,
    now: Millis,
    slug: &str,
    subscribed: &Subscribed,
) -> Result<Map<String, Value>, Failure> {
    let Value::Object(mut out) = subscribed.to_json() else { return Ok(Map::new()) };
    out.append(&mut brief(stream, life, now, slug)?);
    let Some(delivery) = life.deliveries.get(slug) else { return Ok(out) };
    let progress = &delivery.progress;
    out.insert("failedAttempts".to_owned(), json!(progress.attempt));
    out.insert("settled".to_owned(), json!(progress.settled));
    out.insert("epoch".to_owned(), json!(progress.epoch));
    out.insert(
        "lease".to_owned(),
        delivery.lease().map_or(
            Value::Null,
            |lease| json!({"first": lease.first, "last": lease.last, "expiresAt": to_rfc3339(lease.expires)}),
        ),
    );
    out.insert("lastAttempt".to_owned(), progress.attempts.back().map_or(Value::Null, attempt));
    out.insert("outbox".to_owned(), outbox(stream, slug)?);
    if let Some(root) = &progress.root {
        out.insert("inheritedFrom".to_owned(), json!(root));
    }
    Ok(out)
}

fn status<S: Sql>(
    stream: &Stream<S>,
    life: &Life,
    slug: &str,
    subscribed: &Subscribed,
    delivery: &Delivery,
    now: Millis,
) -> &'static str {
    let is_paused = life.state.paused.is_some() && !subscribed.config.while_paused;
    if subscribed.halted.is_some() {
        "halted"
    } else if delivery.lease().is_some_and(|lease| lease.expires > now) {
        "delivering"
    } else if is_paused {
        "paused"
    } else if stream.outbox.is_full(slug) {
        "blocked"
    } else if delivery.progress.attempt > 0 {
        "retrying"
    } else if delivery.pending {
        "pending"
    } else {
        "idle"
    }
}

fn next_attempt<S: Sql>(stream: &Stream<S>, life: &Life, slug: &str, delivery: &Delivery) -> Option<Millis> {
    let subscribed = life.state.subscriptions.get(slug)?;
    if !super::may_deliver(life, subscribed) || !delivery.pending || stream.outbox.is_full(slug) {
        return None;
    }
    Some(delivery.lease().map_or(delivery.progress.due.unwrap_or(life.last_at), |lease| lease.expires))
}

/// Seconds since the first event behind the cursor was written.
fn waiting_s<S: Sql>(stream: &Stream<S>, cursor: u64, now: Millis) -> Result<f64, Failure> {
    let rows = stream.sql.run("SELECT at FROM log WHERE last > ? ORDER BY last LIMIT 1", &[cursor.into()])?;
    #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53")]
    Ok(rows.first().map_or(0.0, |row| (now - row.integer(0)).max(0) as f64 / 1_000.0))
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "at": to_rfc3339(attempt.at), "first": attempt.first, "last": attempt.last, "status": attempt.status,
        "ms": attempt.ms, "error": attempt.error,
    })
}

fn outbox<S: Sql>(stream: &Stream<S>, slug: &str) -> Result<Value, Failure> {
    let count = stream.outbox.waiting(slug);
    let mut targets = Vec::new();
    if count > 0 {
        let rows = stream.sql.run(
            "SELECT target, count(*), max(attempt) FROM outbox WHERE slug = ? GROUP BY target ORDER BY min(id) LIMIT 20",
            &[slug.into()],
        )?;
        for row in &rows {
            targets.push(json!({"target": row.text(0), "waiting": row.number(1), "attempts": row.number(2)}));
        }
    }
    Ok(json!({"waiting": count, "targets": targets}))
}
