//! The tree: who lives right below, what holds for them, and their end. Streams tell each other by obligations only.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tailrace_model::cause::{Cause, Origin};
use tailrace_model::control::Control;
use tailrace_model::limits;
use tailrace_model::line::{Fragment, StoredEvent};
use tailrace_model::time::Millis;

use crate::commit::{Committed, Entry, Kind, commit};
use crate::obligation::{self, Call, Inherited, Message, Obligation, Reply, Root};
use crate::sql::Sql;
use crate::stream::{Moment, Stream};
use crate::{Failure, delivery, keys, schema};

/// Milliseconds after which children that were told to delete themselves are told again.
const DELETE_AGAIN_MS: i64 = 60_000;

/// Milliseconds after which a child that could not be reached is handed a control event again.
const RELAY_AGAIN_MS: i64 = 1_000;

/// A stream right below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Child {
    /// Its path.
    pub path: String,
    /// Its life.
    pub generation: String,
    /// When that began.
    pub created_at: Millis,
}

/// How far a walk over the children has come.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Walk {
    /// The control event that is handed on.
    offset: u64,
    /// The life that ends when all below have: the stream may have been deleted alone and born again by then.
    generation: String,
    /// The child that was last reached.
    after: String,
}

/// The streams right below, by path, behind `after`.
///
/// # Errors
/// [`Failure`]
pub fn list<S: Sql>(stream: &Stream<S>, after: &str, limit: u64) -> Result<Vec<Child>, Failure> {
    stream.life()?;
    children_after(&stream.sql, after, limit)
}

/// Takes in what another stream says. Nothing is told on from here: that is the alarm's.
///
/// # Errors
/// [`Failure`]
pub fn hear<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    message: &Message,
) -> Result<(Reply, Option<Committed>), Failure> {
    match message {
        Message::Born { path, generation, created_at } => child_born(stream, now, path, generation, *created_at),
        Message::Died { path, generation } => child_died(stream, now, path, generation),
        Message::Holds(inherited) => {
            if stream.life.is_none() {
                return Ok((Reply { gone: true, ..Reply::default() }, None));
            }
            Ok((Reply::default(), take_over(stream, now, inherited, false)?))
        }
        Message::Due { slug, path, mark, at } => {
            let gone = stream.life.is_none();
            let is_known = stream.life.as_ref().is_some_and(|life| life.state.subscriptions.contains_key(slug));
            if is_known {
                delivery::below::hear(stream, slug, path, mark, *at)?;
            }
            Ok((Reply { gone, ..Reply::default() }, None))
        }
        Message::Append(outgoing) => delivery::outbox::receive(stream, now, outgoing),
        Message::Delete { .. } => {
            let gone = stream.life.is_none();
            if !gone {
                delete(stream, now, true)?;
            }
            Ok((Reply { gone, ..Reply::default() }, None))
        }
    }
}

/// Deletes the stream; with `below`, everything under it first, which is worked off by alarms.
/// Returns true when the stream is gone already.
///
/// # Errors
/// [`tailrace_model::Problem::StreamNotFound`]; [`Failure::Storage`].
pub fn delete<S: Sql>(stream: &mut Stream<S>, now: Moment, below: bool) -> Result<bool, Failure> {
    stream.life()?;
    if below && !children_after(&stream.sql, "", 1)?.is_empty() {
        let generation = stream.generation().unwrap_or_default().to_owned();
        let mut known = false;
        for waiting in obligation::of_kind(&stream.sql, obligation::Kind::DeleteBelow)? {
            known |= parse::<Walk>(&waiting.detail)?.generation == generation;
        }
        if !known {
            let walk = json!(Walk { generation, ..Walk::default() }).to_string();
            obligation::owe(stream, now.at, obligation::Kind::DeleteBelow, &walk)?;
        }
        return Ok(false);
    }
    end_life(stream, now)?;
    Ok(true)
}

/// Owes the parent the news of a birth.
pub(crate) fn owe_birth_notice<S: Sql>(stream: &mut Stream<S>, now: Millis, generation: &str) -> Result<(), Failure> {
    if stream.path().parent().is_none() {
        return Ok(());
    }
    let message = Message::Born { path: stream.path().to_string(), generation: generation.to_owned(), created_at: now };
    obligation::owe(stream, now, obligation::Kind::TellBirth, &json!(message).to_string())
}

/// Owes every child the control event at `offset`. Streams born later get it when they say that they are born.
pub(crate) fn owe_relay<S: Sql>(stream: &mut Stream<S>, now: Millis, offset: u64) -> Result<(), Failure> {
    if children_after(&stream.sql, "", 1)?.is_empty() {
        return Ok(());
    }
    let walk = Walk { offset, ..Walk::default() };
    obligation::owe(stream, now, obligation::Kind::Relay, &json!(walk).to_string())
}

/// The next call for a `tell-birth` or `tell-death` row.
pub(crate) fn birth_or_death<S: Sql>(
    stream: &Stream<S>,
    obligation: &Obligation,
) -> Result<Option<(String, Message)>, Failure> {
    let message: Message = parse(&obligation.detail)?;
    Ok(stream.path().parent().map(|parent| (parent.to_string(), message)))
}

/// The next call for a `relay` row; none when every child has it, or while an earlier one is not done: a child that is
/// born in between would be handed the earlier one last.
pub(crate) fn relay<S: Sql>(
    stream: &mut Stream<S>,
    obligation: &Obligation,
) -> Result<Option<(String, Message)>, Failure> {
    if let Some(due) = obligation::due_before_it(&stream.sql, obligation)? {
        obligation::put_off(stream, obligation.id, due, obligation.attempt, &obligation.detail)?;
        return Ok(None);
    }
    let walk: Walk = parse(&obligation.detail)?;
    let inherited = inherited_at(stream, walk.offset)?;
    let child = children_after(&stream.sql, &walk.after, 1)?.into_iter().next();
    match (inherited, child) {
        (Some(inherited), Some(child)) => Ok(Some((child.path, Message::Holds(inherited)))),
        _ => obligation::forget(stream, obligation.id).map(|()| None),
    }
}

/// The next call for a `delete-below` row; none when all were told. When nobody is left below, the stream ends.
pub(crate) fn delete_below<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    obligation: &Obligation,
) -> Result<Option<(String, Message)>, Failure> {
    let walk: Walk = parse(&obligation.detail)?;
    if let Some(child) = children_after(&stream.sql, &walk.after, 1)?.into_iter().next() {
        return Ok(Some((child.path, Message::Delete { generation: child.generation })));
    }
    if children_after(&stream.sql, "", 1)?.is_empty() {
        obligation::forget(stream, obligation.id)?;
        if stream.generation() == Some(&walk.generation) {
            end_life(stream, now)?;
        }
        return Ok(None);
    }
    // All were told. Their own notices bring this forward; this is for one that is lost.
    let walk = json!(Walk { after: String::new(), ..walk }).to_string();
    obligation::put_off(stream, obligation.id, now.at + DELETE_AGAIN_MS, 0, &walk)?;
    Ok(None)
}

/// A child that was told to delete itself did not exist any more: this life of it is taken off the list.
pub(crate) fn found_gone<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    path: &str,
    generation: &str,
) -> Result<(), Failure> {
    child_died(stream, now, path, generation).map(drop)
}

/// Appends a control event that holds for this stream because it holds for one above, unless a later word of that one
/// on the same subject arrived before it. A stream that hears of it when it says that it is born is younger than the event.
pub(crate) fn take_over<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    from: &Inherited,
    at_birth: bool,
) -> Result<Option<Committed>, Failure> {
    let identity = stream.life.as_ref().and_then(|life| life.state.identity.as_ref());
    let Some(born) = identity.map(|identity| identity.created_at) else { return Ok(None) };
    let control = Control::read(&from.event_type, &from.payload);
    let Some(subject) = control.and_then(|control| control.subject()) else { return Ok(None) };
    if is_older_than_own(stream, &subject, from.root.created_at)? {
        return Ok(None);
    }
    let subject = keys::system(&format!("inherited:{}:{}:{subject}", from.path, from.generation));
    // Of one length, so that keys sort as offsets do; no slug has a `/`, and `0` comes right behind it.
    let key = format!("{subject}/{:020}", from.offset);
    if keys::any_between(&stream.sql, &key, &format!("{subject}0"))? {
        return Ok(None);
    }
    let mut system = json!({"by": "inherited", "from": from.path, "root": from.root});
    if let Some(system) = system.as_object_mut().filter(|_| at_birth || born >= from.root.created_at) {
        system.insert("atBirth".to_owned(), json!(true));
    }
    let cause = Cause { stream_path: from.path.clone(), offset: from.offset, hops: from.hops, turns: from.turns };
    let mut entry = system_entry(&from.event_type, &from.payload, Some(system.to_string()), Some(key))?;
    entry.origin = Some(Origin::Known(cause));
    match commit(stream, now, Kind::System, &[entry]) {
        Ok(committed) => Ok(Some(committed)),
        // It has its full number of subscriptions or schedules of its own: told, for nobody waits for an answer.
        Err(Failure::Refused(problem)) => {
            let payload = json!({
                "message": format!("{} of {} does not fit here: {}", from.event_type, from.path, problem.detail()),
                "code": problem.code().name,
            });
            let entry = system_entry("error.occurred", &payload.to_string(), None, None)?;
            commit(stream, now, Kind::System, &[entry]).map(Some)
        }
        Err(failure) => Err(failure),
    }
}

/// Whether this stream itself was told something on the subject after `at`: its own word is the newer one.
fn is_older_than_own<S: Sql>(stream: &Stream<S>, subject: &str, at: Millis) -> Result<bool, Failure> {
    let Some(life) = stream.life.as_ref() else { return Ok(false) };
    let offset = match subject.split_once(':') {
        Some(("subscription", slug)) => life.state.subscriptions.get(slug).map(|it| it.offset),
        Some(("schedule", slug)) => life.state.schedules.get(slug).map(|it| it.offset),
        Some(("webhook", slug)) => life.state.hooks.get(slug).map(|it| it.offset),
        Some(("tool", name)) => life.state.tools.get(name).map(|it| it.offset),
        _ => None,
    };
    let Some(stored) = offset.map(|offset| stream.event_at(offset)).transpose()?.flatten() else { return Ok(false) };
    let event = StoredEvent::parse(&stored.line).map_err(|error| Failure::Storage(error.to_string()))?;
    Ok(stored.at > at && inheritance_of(&event).root.is_none())
}

/// A child has a control event.
pub(crate) fn handed_on<S: Sql>(stream: &mut Stream<S>, now: Moment, call: &Call) -> Result<(), Failure> {
    match obligation::find(&stream.sql, call.id)? {
        Some(row) if row.kind == obligation::Kind::RelayToOne => obligation::forget(stream, row.id),
        _ => move_on(stream, now, call),
    }
}

/// A child could not be reached: it gets the control event later, the others now.
pub(crate) fn leave_behind<S: Sql>(stream: &mut Stream<S>, now: Moment, call: &Call) -> Result<(), Failure> {
    let Some(row) = obligation::find(&stream.sql, call.id)? else { return Ok(()) };
    if row.kind == obligation::Kind::Relay {
        let walk = Walk { after: call.to.clone(), ..parse(&row.detail)? };
        let again = now.at + RELAY_AGAIN_MS;
        obligation::owe(stream, again, obligation::Kind::RelayToOne, &json!(walk).to_string())?;
        return move_on(stream, now, call);
    }
    Ok(())
}

/// The call for a `relay-to-one` row; its walk names the child.
pub(crate) fn relay_to_one<S: Sql>(
    stream: &mut Stream<S>,
    obligation: &Obligation,
) -> Result<Option<(String, Message)>, Failure> {
    let walk: Walk = parse(&obligation.detail)?;
    match inherited_at(stream, walk.offset)? {
        Some(inherited) => Ok(Some((walk.after, Message::Holds(inherited)))),
        None => obligation::forget(stream, obligation.id).map(|()| None),
    }
}

/// A child was reached: on to the next.
pub(crate) fn move_on<S: Sql>(stream: &mut Stream<S>, now: Moment, call: &Call) -> Result<(), Failure> {
    let Some(obligation) = obligation::find(&stream.sql, call.id)? else { return Ok(()) };
    let walk = Walk { after: call.to.clone(), ..parse(&obligation.detail)? };
    obligation::put_off(stream, call.id, now.at, 0, &json!(walk).to_string())
}

fn child_born<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    path: &str,
    generation: &str,
    created_at: Millis,
) -> Result<(Reply, Option<Committed>), Failure> {
    let key = birth_key(path, generation);
    let died = death_key(path, generation);
    if stream.life.is_some() && !keys::find(&stream.sql, &[&died])?.is_empty() {
        return Ok((Reply::default(), None));
    }
    let payload = json!({"path": path, "generation": generation}).to_string();
    let entry = system_entry("stream.child-created", &payload, None, Some(key))?;
    let committed = commit(stream, now, Kind::System, &[entry])?;
    // Heard again, it may be of an earlier life than the one that is listed by now.
    if committed.written.is_some() {
        stream.sql.run(
            "INSERT INTO children (path, generation, created_at) VALUES (?, ?, ?)
             ON CONFLICT (path) DO UPDATE SET generation = excluded.generation, created_at = excluded.created_at",
            &[path.into(), generation.into(), created_at.into()],
        )?;
    }
    let offsets: Vec<u64> =
        stream.life.as_ref().map(|life| life.state.inherited.values().copied().collect()).unwrap_or_default();
    let mut inherited = Vec::new();
    for offset in offsets {
        inherited.extend(inherited_at(stream, offset)?);
    }
    inherited.sort_by_key(|it| it.offset);
    Ok((Reply { inherited, ..Reply::default() }, Some(committed)))
}

fn child_died<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    path: &str,
    generation: &str,
) -> Result<(Reply, Option<Committed>), Failure> {
    let mut committed = None;
    if stream.life.is_some() {
        let payload = json!({"path": path, "generation": generation}).to_string();
        let entry = system_entry("stream.child-deleted", &payload, None, Some(death_key(path, generation)))?;
        committed = Some(commit(stream, now, Kind::System, &[entry])?);
    }
    if schema::exists(&stream.sql, "children")? {
        stream.sql.run("DELETE FROM children WHERE path = ? AND generation = ?", &[path.into(), generation.into()])?;
        if children_after(&stream.sql, "", 1)?.is_empty() {
            for waiting in obligation::of_kind(&stream.sql, obligation::Kind::DeleteBelow)? {
                obligation::put_off(stream, waiting.id, now.at, 0, &waiting.detail)?;
            }
        }
    }
    Ok((Reply::default(), committed))
}

/// Drops everything but what is still owed: the parent must learn of it, and a deletion of all below goes on. A birth that
/// the parent did not hear of is not told any more, it would be listed for ever. The children table stays, they are still
/// there.
fn end_life<S: Sql>(stream: &mut Stream<S>, now: Moment) -> Result<(), Failure> {
    let generation = stream.generation().unwrap_or_default().to_owned();
    schema::drop(&stream.sql)?;
    stream.sql.run(
        "DELETE FROM obligations WHERE kind NOT IN (?, ?)",
        &[obligation::Kind::TellDeath.name().into(), obligation::Kind::DeleteBelow.name().into()],
    )?;
    stream.life = None;
    if stream.path().parent().is_some() {
        let message = Message::Died { path: stream.path().to_string(), generation };
        obligation::owe(stream, now.at, obligation::Kind::TellDeath, &json!(message).to_string())?;
    }
    obligation::refresh(stream)
}

fn children_after<S: Sql>(sql: &S, after: &str, limit: u64) -> Result<Vec<Child>, Failure> {
    let rows = sql.run(
        "SELECT path, generation, created_at FROM children WHERE path > ? ORDER BY path LIMIT ?",
        &[after.into(), limit.into()],
    )?;
    let child = |row: &crate::sql::Row| Child {
        path: row.text(0).to_owned(),
        generation: row.text(1).to_owned(),
        created_at: row.integer(2),
    };
    Ok(rows.iter().map(child).collect())
}

/// What the metadata of an inherited event says about where it comes from.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Inheritance {
    /// The event that it is a copy of; `None` when it is no copy.
    pub root: Option<Root>,
    /// The stream is younger than that event.
    pub at_birth: bool,
}

/// Where an event comes from, if it holds here because it holds above.
pub(crate) fn inheritance_of(event: &StoredEvent) -> Inheritance {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Metadata {
        tailrace: Inheritance,
    }
    let metadata = event.metadata.and_then(|raw| serde_json::from_str::<Metadata>(raw.get()).ok());
    metadata.unwrap_or_default().tailrace
}

/// The control event at `offset` as it is handed to a child.
fn inherited_at<S: Sql>(stream: &Stream<S>, offset: u64) -> Result<Option<Inherited>, Failure> {
    let Some(stored) = stream.event_at(offset)? else { return Ok(None) };
    let event = StoredEvent::parse(&stored.line).map_err(|error| Failure::Storage(error.to_string()))?;
    let (hops, turns) = event.cause.as_ref().map_or((0, 0), |cause| (cause.hops, cause.turns));
    let root = inheritance_of(&event).root.unwrap_or_else(|| Root {
        stream_path: stream.path().to_string(),
        offset,
        created_at: stored.at,
    });
    Ok(Some(Inherited {
        root,
        path: stream.path().to_string(),
        generation: stream.generation().unwrap_or_default().to_owned(),
        offset,
        // The tree is no deeper than a path, so this chain ends by itself.
        hops: hops.saturating_add(1).min(limits::HOPS),
        turns,
        event_type: event.event_type.into_owned(),
        payload: event.payload.get().to_owned(),
    }))
}

pub(crate) fn system_entry(
    event_type: &str,
    payload: &str,
    system: Option<String>,
    key: Option<String>,
) -> Result<Entry, Failure> {
    let fragment = Fragment { event_type, payload, metadata: None, system, key: None }.to_text()?;
    Ok(Entry { event_type: event_type.to_owned(), key, expected: None, origin: None, fragment, raw: None })
}

fn birth_key(path: &str, generation: &str) -> String {
    keys::system(&format!("child-created:{path}:{generation}"))
}

fn death_key(path: &str, generation: &str) -> String {
    keys::system(&format!("child-deleted:{path}:{generation}"))
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Storage(error.to_string()))
}
