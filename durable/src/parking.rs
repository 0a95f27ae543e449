//! Hooks that wait: a stranger must not switch an agent off, so hooks never trip the breaker. When the window is full,
//! the stream is paused, or others wait already, they are kept aside in order and let in at the breaker's pace.

use serde_json::json;
use tailrace_model::Problem;
use tailrace_model::cause::{Cause, Origin};
use tailrace_model::hook::RECEIVED;
use tailrace_model::limits;
use tailrace_model::line::Fragment;
use tailrace_model::time::Millis;

use crate::commit::{Committed, Entry, Kind, commit};
use crate::sql::{Param, Sql};
use crate::stream::{Life, Moment, Stream};
use crate::{Failure, keys};

/// Seconds after which a refused sender may try again.
const RETRY_AFTER_S: u32 = 30;

/// What waits to be let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parked {
    /// How many.
    pub count: u64,
    /// Their size together, with the exact bytes kept beside them.
    pub bytes: u64,
}

/// What became of a hook.
#[derive(Debug)]
pub enum Received {
    /// It is in the log.
    Stored(Committed),
    /// It waits.
    Parked {
        /// The event that paused the stream, if this one filled the parking.
        paused: Option<Committed>,
        /// False for a repeat of what waits already.
        is_new: bool,
    },
}

/// Takes the events of a hook: one, or several of a batch. `size` is that of its body.
///
/// # Errors
/// [`Problem::Unavailable`] when no more may wait; [`Failure`].
pub fn receive<S: Sql>(stream: &mut Stream<S>, now: Moment, entries: &[Entry], size: u64) -> Result<Received, Failure> {
    let must_wait = stream
        .life
        .as_ref()
        .is_some_and(|life| life.parked.count > 0 || life.state.paused.is_some() || room(life, now.at) == 0);
    if !must_wait {
        return commit(stream, now, Kind::Hook, entries).map(Received::Stored);
    }
    let (new, is_stored) = not_seen(stream, entries)?;
    if new.is_empty() && is_stored {
        // A repeat of what is in the log already: nothing is written, whoever waits.
        return commit(stream, now, Kind::Hook, entries).map(Received::Stored);
    }
    let parked = stream.life()?.parked;
    if is_full(parked) {
        return Err(Problem::Unavailable {
            detail: "too many hooks wait for this stream already".to_owned(),
            retry_after: RETRY_AFTER_S,
        }
        .into());
    }
    for entry in &new {
        if let Some(Origin::Known(cause)) = &entry.origin {
            cause.check_hops()?;
        }
    }
    let is_new = !new.is_empty();
    for (index, entry) in new.into_iter().enumerate() {
        park(stream, now, entry, if index == 0 { size } else { 0 })?;
    }
    let paused = pause_if_full(stream, now)?;
    Ok(Received::Parked { paused, is_new })
}

/// When the next hook may be let in; `None` while nothing waits or the stream is paused.
pub(crate) fn due(life: &Life) -> Option<Millis> {
    if life.parked.count == 0 || life.state.paused.is_some() {
        return None;
    }
    if room(life, life.last_at) > 0 {
        return Some(life.last_at);
    }
    life.window.next_room(&life.state.breaker)
}

fn room(life: &Life, now: Millis) -> u64 {
    life.window.room_for_hooks(&life.state.breaker, now.max(life.last_at))
}

/// Lets in as many as the breaker's pace allows now.
pub(crate) fn let_in<S: Sql>(stream: &mut Stream<S>, now: Moment) -> Result<Option<Committed>, Failure> {
    let Some(life) = stream.life.as_ref() else { return Ok(None) };
    let room = room(life, now.at).min(limits::BATCH_EVENTS as u64);
    if life.parked.count == 0 || life.state.paused.is_some() || room == 0 {
        return Ok(None);
    }
    let rows = stream
        .sql
        .run("SELECT id, raw, cause, fragment, bytes, key FROM parked ORDER BY id LIMIT ?", &[room.into()])?;
    let (mut entries, mut ids, mut size, mut bytes) = (Vec::new(), Vec::new(), 0, 0);
    for row in &rows {
        size += row.text(3).len();
        if size > limits::PAGE_BYTES && !entries.is_empty() {
            break;
        }
        bytes += row.number(4);
        ids.push(row.number(0));
        entries.push(Entry {
            event_type: RECEIVED.to_owned(),
            key: (!row.is_null(5)).then(|| row.text(5).to_owned()),
            expected: None,
            origin: Cause::from_header(row.text(2)).ok().map(Origin::Known),
            fragment: row.text(3).to_owned(),
            raw: (!row.is_null(1)).then(|| row.text(1).to_owned()),
        });
    }
    let committed = commit(stream, now, Kind::Hook, &entries)?;
    if let Some(last) = ids.last() {
        stream.sql.run("DELETE FROM parked WHERE id <= ?", &[(*last).into()])?;
    }
    if let Some(life) = stream.life.as_mut() {
        life.parked.count = life.parked.count.saturating_sub(ids.len() as u64);
        life.parked.bytes = life.parked.bytes.saturating_sub(bytes);
    }
    Ok(Some(committed))
}

pub(crate) fn load<S: Sql>(sql: &S) -> Result<Parked, Failure> {
    let rows = sql.run("SELECT count(*), sum(bytes) FROM parked", &[])?;
    Ok(rows.first().map(|row| Parked { count: row.number(0), bytes: row.number(1) }).unwrap_or_default())
}

fn is_full(parked: Parked) -> bool {
    parked.count >= limits::PARKED_HOOKS || parked.bytes >= limits::PARKED_BYTES
}

/// Those that neither wait already nor are in the log; and whether all of the others are in the log.
fn not_seen<'e, S: Sql>(stream: &Stream<S>, entries: &'e [Entry]) -> Result<(Vec<&'e Entry>, bool), Failure> {
    let keys: Vec<&str> = entries.iter().filter_map(|entry| entry.key.as_deref()).collect();
    let stored = keys::find(&stream.sql, &keys)?;
    let (mut new, mut is_stored) = (Vec::new(), true);
    for entry in entries {
        match entry.key.as_deref() {
            Some(key) if stored.contains_key(key) => {}
            Some(key) if !stream.sql.run("SELECT 1 FROM parked WHERE key = ? LIMIT 1", &[key.into()])?.is_empty() => {
                is_stored = false;
            }
            _ => new.push(entry),
        }
    }
    Ok((new, is_stored))
}

fn park<S: Sql>(stream: &mut Stream<S>, now: Moment, entry: &Entry, size: u64) -> Result<(), Failure> {
    let cause = match &entry.origin {
        Some(Origin::Known(cause)) => cause.to_header(),
        _ => String::new(),
    };
    let bytes = size.max(entry.fragment.len() as u64);
    stream.sql.run(
        "INSERT INTO parked (at, bytes, raw, cause, key, fragment) VALUES (?, ?, ?, ?, ?, ?)",
        &[
            now.at.into(),
            bytes.into(),
            entry.raw.as_deref().map_or(Param::Null, Param::Text),
            cause.as_str().into(),
            entry.key.as_deref().map_or(Param::Null, Param::Text),
            entry.fragment.as_str().into(),
        ],
    )?;
    if let Some(life) = stream.life.as_mut() {
        life.parked.count += 1;
        life.parked.bytes += bytes;
    }
    Ok(())
}

fn pause_if_full<S: Sql>(stream: &mut Stream<S>, now: Moment) -> Result<Option<Committed>, Failure> {
    let life = stream.life()?;
    if !is_full(life.parked) || life.state.paused.is_some() {
        return Ok(None);
    }
    let Parked { count, bytes } = life.parked;
    let payload = json!({"reason": format!("{count} hooks ({bytes} bytes) wait to be let in")}).to_string();
    let fragment = Fragment { event_type: "stream.paused", payload: &payload, metadata: None, system: None, key: None };
    let entry = Entry {
        event_type: "stream.paused".to_owned(),
        key: None,
        expected: None,
        origin: None,
        fragment: fragment.to_text()?,
        raw: None,
    };
    commit(stream, now, Kind::System, &[entry]).map(Some)
}
