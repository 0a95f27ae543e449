//! What answers append to other streams: rows, sent by the alarm, in order per target, each landing once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tailrace_model::cause::{Cause, Origin};
use tailrace_model::limits;
use tailrace_model::problem::{Code, Problem};
use tailrace_model::time::Millis;

use super::below;
use crate::children::system_entry;
use crate::commit::{Committed, Entry, Kind, commit};
use crate::obligation::{Call, Message, Refusal, Reply, pause_s};
use crate::sql::{Param, Sql};
use crate::stream::{Moment, Stream};
use crate::{Failure, schema};

/// What waits, as far as it is kept in memory. It outlives a deletion: what was settled lands.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: BTreeMap<String, u64>,
    /// When the first is due.
    pub due: Option<Millis>,
}

impl Outbox {
    /// True when so much waits that nothing more is delivered to a subscription.
    #[must_use]
    pub fn is_full(&self, slug: &str) -> bool {
        self.waiting(slug) >= limits::OUTBOX_WAITING
    }

    /// How many events of a subscription wait.
    #[must_use]
    pub fn waiting(&self, slug: &str) -> u64 {
        self.waiting.get(slug).copied().unwrap_or(0)
    }
}

/// An event on its way to another stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outgoing {
    /// The subscription that answered it.
    pub slug: String,
    /// Its type.
    pub event_type: String,
    /// Its key as it is stored: whatever happens, it lands once.
    pub key: String,
    /// Why it is written.
    pub cause: Cause,
    /// The part of its line that does not depend on the stream.
    pub fragment: String,
}

/// Loads what waits. Reads only.
pub(crate) fn load<S: Sql>(sql: &S) -> Result<Outbox, Failure> {
    if !schema::exists(sql, "outbox")? {
        return Ok(Outbox::default());
    }
    let mut outbox = Outbox::default();
    for row in sql.run("SELECT slug, count(*), min(due) FROM outbox GROUP BY slug", &[])? {
        outbox.waiting.insert(row.text(0).to_owned(), row.number(1));
        let due = (!row.is_null(2)).then(|| row.integer(2));
        outbox.due = [outbox.due, due].into_iter().flatten().min();
    }
    Ok(outbox)
}

/// Owes an event to another stream. Only the first of those that go to the same one is due.
pub(super) fn owe<S: Sql>(stream: &mut Stream<S>, now: Moment, to: &str, outgoing: &Outgoing) -> Result<(), Failure> {
    let waits = !stream.sql.run("SELECT 1 FROM outbox WHERE target = ? LIMIT 1", &[to.into()])?.is_empty();
    stream.sql.run(
        "INSERT INTO outbox (target, due, attempt, slug, event, fragment) VALUES (?, ?, 0, ?, ?, ?)",
        &[
            to.into(),
            if waits { Param::Null } else { now.at.into() },
            outgoing.slug.as_str().into(),
            // Beside it, for a text within a text takes up to twice its room.
            json!(Outgoing { fragment: String::new(), ..outgoing.clone() }).to_string().as_str().into(),
            outgoing.fragment.as_str().into(),
        ],
    )?;
    *stream.outbox.waiting.entry(outgoing.slug.clone()).or_default() += 1;
    if !waits {
        stream.outbox.due = Some(stream.outbox.due.map_or(now.at, |due| due.min(now.at)));
    }
    Ok(())
}

/// The next event that is due to go, put off first.
pub(crate) fn next_call<S: Sql>(stream: &mut Stream<S>, now: Moment) -> Result<Option<Call>, Failure> {
    if stream.outbox.due.is_none_or(|due| due > now.at) {
        return Ok(None);
    }
    let rows = stream.sql.run(
        "SELECT id, target, attempt, event, fragment FROM outbox WHERE due <= ? ORDER BY due, id LIMIT 1",
        &[now.at.into()],
    )?;
    let Some(row) = rows.first() else {
        refresh(stream)?;
        return Ok(None);
    };
    let again = now.at + i64::from(pause_s(u32::try_from(row.number(2)).unwrap_or(u32::MAX))) * 1_000;
    stream
        .sql
        .run("UPDATE outbox SET due = ?, attempt = attempt + 1 WHERE id = ?", &[again.into(), row.number(0).into()])?;
    refresh(stream)?;
    let outgoing = Outgoing { fragment: row.text(4).to_owned(), ..parse(row.text(3))? };
    Ok(Some(Call { id: row.number(0), to: row.text(1).to_owned(), message: Message::Append(outgoing) }))
}

/// How it went: landed, refused for good, or to be tried again when it is due.
pub(crate) fn settle<S: Sql>(stream: &mut Stream<S>, now: Moment, call: &Call, reply: &Reply) -> Result<(), Failure> {
    let Message::Append(outgoing) = &call.message else { return Ok(()) };
    match &reply.refused {
        Some(refusal) if refusal.retryable => Ok(()),
        Some(refusal) => {
            forget(stream, now, call.id, &call.to)?;
            tell(stream, now, &call.to, outgoing, refusal)
        }
        None => forget(stream, now, call.id, &call.to),
    }
}

/// Takes in an event that another stream sends.
pub(crate) fn receive<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    outgoing: &Outgoing,
) -> Result<(Reply, Option<Committed>), Failure> {
    let entry = Entry {
        event_type: outgoing.event_type.clone(),
        key: Some(outgoing.key.clone()),
        expected: None,
        origin: Some(Origin::Known(outgoing.cause.clone())),
        fragment: outgoing.fragment.clone(),
        raw: None,
    };
    match commit(stream, now, Kind::Client, &[entry]) {
        Ok(committed) => Ok((Reply::default(), Some(committed))),
        Err(Failure::Refused(problem)) => {
            let Code { name, retryable, .. } = problem.code();
            let refusal = Refusal { code: name.to_owned(), detail: problem.detail(), retryable };
            Ok((Reply { refused: Some(refusal), ..Reply::default() }, None))
        }
        Err(failure) => Err(failure),
    }
}

fn forget<S: Sql>(stream: &mut Stream<S>, now: Moment, id: u64, target: &str) -> Result<(), Failure> {
    let rows = stream.sql.run("SELECT slug FROM outbox WHERE id = ?", &[id.into()])?;
    let Some(slug) = rows.first().map(|row| row.text(0).to_owned()) else { return Ok(()) };
    stream.sql.run("DELETE FROM outbox WHERE id = ?", &[id.into()])?;
    stream.sql.run(
        "UPDATE outbox SET due = ? WHERE id = (SELECT min(id) FROM outbox WHERE target = ?) AND due IS NULL",
        &[now.at.into(), target.into()],
    )?;
    let was_full = stream.outbox.is_full(&slug);
    if let Some(waiting) = stream.outbox.waiting.get_mut(&slug) {
        *waiting = waiting.saturating_sub(1);
    }
    if was_full {
        // Whoever was sent here meanwhile found nothing.
        if let Some(delivery) = stream.life.as_mut().and_then(|life| life.deliveries.get_mut(&slug)) {
            delivery.told = false;
        }
        below::tell(stream, now)?;
    }
    refresh(stream)
}

/// Says here that an event was refused there.
fn tell<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    target: &str,
    outgoing: &Outgoing,
    refusal: &Refusal,
) -> Result<(), Failure> {
    if stream.life.is_none() {
        return Ok(());
    }
    let whole = outgoing.fragment.len() <= limits::FRAME_BYTES;
    let append = whole.then(|| serde_json::from_str(&format!("{{{}}}", outgoing.fragment)).ok()).flatten();
    let append: serde_json::Value = append.unwrap_or_else(|| json!({"type": outgoing.event_type}));
    let payload = json!({
        "message": format!("{target} refused what the subscription {} appends: {}", outgoing.slug, refusal.detail),
        "code": refusal.code,
        "subscription": outgoing.slug,
        "target": target,
        "append": append,
    });
    let mut entry = system_entry("error.occurred", &payload.to_string(), None, None)?;
    if outgoing.cause.stream_path == stream.path().as_str() {
        entry.origin = Some(Origin::Here(outgoing.cause.offset));
    }
    match commit(stream, now, Kind::System, &[entry]) {
        Ok(_) | Err(Failure::Refused(Problem::TooLarge { .. })) => Ok(()),
        Err(failure) => Err(failure),
    }
}

fn refresh<S: Sql>(stream: &mut Stream<S>) -> Result<(), Failure> {
    let rows = stream.sql.run("SELECT min(due) FROM outbox", &[])?;
    stream.outbox.due = rows.first().filter(|row| !row.is_null(0)).map(|row| row.integer(0));
    Ok(())
}

fn parse(text: &str) -> Result<Outgoing, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Storage(error.to_string()))
}
