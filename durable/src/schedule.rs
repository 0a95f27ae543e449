//! Schedules at work: when each fires next. An occurrence and the event it appends are one transaction, so each fires once.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tailrace_model::cause::Origin;
use tailrace_model::control::Control;
use tailrace_model::control::schedule::occurrence;
use tailrace_model::limits;
use tailrace_model::line::StoredEvent;
use tailrace_model::state::{ControlState, Scheduled};
use tailrace_model::time::{Millis, to_rfc3339};

use crate::children::system_entry;
use crate::commit::{Entry, Kind, commit};
use crate::sql::Sql;
use crate::stream::{Life, Moment, Stream};
use crate::{Failure, schema};

/// When a schedule fires next, and how often it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The next occurrence.
    pub due: Millis,
    /// How often it fired.
    pub runs: u64,
}

/// So many occurrences are fired in one transaction; what else is due is next.
const AT_ONCE: usize = 100;

/// Loads them. Reads only.
pub(crate) fn load<S: Sql>(sql: &S, state: &ControlState) -> Result<BTreeMap<String, Next>, Failure> {
    if state.schedules.is_empty() || !schema::exists(sql, "schedules")? {
        return Ok(BTreeMap::new());
    }
    let rows = sql.run("SELECT slug, due, runs FROM schedules", &[])?;
    Ok(rows.iter().map(|row| (row.text(0).to_owned(), Next { due: row.integer(1), runs: row.number(2) })).collect())
}

/// What a commit does to the schedules.
pub(crate) fn after_commit<S: Sql>(stream: &mut Stream<S>, controls: &[(u64, Control)]) -> Result<(), Failure> {
    for (_, control) in controls {
        let Some(life) = stream.life.as_mut() else { return Ok(()) };
        match control {
            Control::ScheduleConfigured(config) => {
                let Some(scheduled) = life.state.schedules.get(&config.slug) else { continue };
                // What was never going to happen at all ends with its first alarm.
                let due = config.when.first(scheduled.at).unwrap_or(scheduled.at);
                keep(stream, &config.slug, Next { due, runs: 0 })?;
            }
            Control::ScheduleRemoved { slug, .. } | Control::ScheduleEnded { slug } => {
                life.schedules.remove(slug);
                stream.sql.run("DELETE FROM schedules WHERE slug = ?", &[slug.as_str().into()])?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// When the first one fires; `None` while the stream is paused: they wait, and coalesce.
pub(crate) fn due(life: &Life) -> Option<Millis> {
    if life.state.paused.is_some() {
        return None;
    }
    life.schedules.values().map(|next| next.due).min()
}

/// How a schedule stands, as `/api/state` says it: when it fires next, and then, and how often it has.
pub(crate) fn brief(life: &Life, slug: &str) -> Map<String, Value> {
    let mut out = Map::new();
    if let (Some(scheduled), Some(next)) = (life.state.schedules.get(slug), life.schedules.get(slug)) {
        let most = if life.schedules.len() <= limits::SCHEDULES_TOLD_AHEAD { limits::RUNS_TOLD } else { 1 };
        out.insert("nextRun".to_owned(), json!(to_rfc3339(next.due)));
        out.insert("nextRuns".to_owned(), coming(scheduled, *next).take(most).map(to_rfc3339).collect());
        out.insert("runs".to_owned(), json!(next.runs));
    }
    out
}

/// The next occurrences of a schedule, as they come if none is missed. Each is computed when it is asked for.
fn coming(scheduled: &Scheduled, next: Next) -> impl Iterator<Item = Millis> {
    let config = &scheduled.config;
    let until = config.until.unwrap_or(Millis::MAX);
    let left = config.max_runs.map(|most| most.saturating_sub(next.runs));
    let left = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
    let mut due = next.due;
    let further = std::iter::from_fn(move || {
        due = config.when.next(scheduled.at, due)?;
        Some(due)
    });
    std::iter::once(next.due).chain(further).take(left).take_while(move |due| *due <= until)
}

/// Fires what is due, in the order in which it was due.
pub(crate) fn fire<S: Sql>(stream: &mut Stream<S>, now: Moment) -> Result<(), Failure> {
    for _ in 0..AT_ONCE {
        let Some(life) = stream.life.as_ref().filter(|life| life.state.paused.is_none()) else { return Ok(()) };
        let at = now.at.max(life.last_at);
        let is_due = |(_, next): &(&String, &Next)| next.due <= at;
        let offset = |slug: &String| life.state.schedules.get(slug).map_or(0, |it| it.offset);
        let first = life.schedules.iter().filter(is_due).min_by_key(|(slug, next)| (next.due, offset(slug)));
        let Some((slug, next)) = first.map(|(slug, next)| (slug.clone(), *next)) else { return Ok(()) };
        match life.state.schedules.get(&slug).cloned() {
            Some(scheduled) => fire_one(stream, now, &slug, &scheduled, next, at)?,
            None => return Err(Failure::Storage(format!("no schedule {slug}"))),
        }
    }
    Ok(())
}

fn fire_one<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    slug: &str,
    scheduled: &Scheduled,
    next: Next,
    at: Millis,
) -> Result<(), Failure> {
    let config = &scheduled.config;
    // What was missed is one occurrence, the last of them, on the grid on which it always was.
    let scheduled_for = config.when.latest(scheduled.at, next.due, config.until.map_or(at, |until| at.min(until)));
    let fires = config.until.is_none_or(|until| scheduled_for <= until);
    let run = next.runs + u64::from(fires);
    if fires {
        let stored = stream.event_at(scheduled.offset)?;
        let stored = stored.ok_or_else(|| Failure::Storage(format!("no event at offset {}", scheduled.offset)))?;
        let event = StoredEvent::parse(&stored.line).map_err(|error| Failure::Storage(error.to_string()))?;
        let made = occurrence(event.payload.get(), slug, scheduled_for, run);
        let (event_type, fragment) = made.ok_or_else(|| Failure::Storage(format!("no event in schedule {slug}")))?;
        let origin = Some(Origin::Here(scheduled.offset));
        let entry = Entry { event_type, key: None, expected: None, origin, fragment, raw: None };
        commit(stream, now, Kind::Settle, &[entry])?;
    }
    let following = config.when.next(scheduled.at, scheduled_for);
    let reason = match following {
        _ if !fires => "until",
        _ if config.max_runs.is_some_and(|most| run >= most) => "maxRuns",
        None => "completed",
        Some(due) if config.until.is_some_and(|until| due > until) => "until",
        Some(due) => return keep(stream, slug, Next { due, runs: run }),
    };
    let payload = json!({"slug": slug, "reason": reason, "runs": run}).to_string();
    let mut entry = system_entry("schedule.ended", &payload, None, None)?;
    entry.origin = Some(Origin::Here(scheduled.offset));
    commit(stream, now, Kind::System, &[entry]).map(drop)
}

fn keep<S: Sql>(stream: &mut Stream<S>, slug: &str, next: Next) -> Result<(), Failure> {
    stream.sql.run(
        "INSERT INTO schedules (slug, due, runs) VALUES (?, ?, ?)
         ON CONFLICT (slug) DO UPDATE SET due = excluded.due, runs = excluded.runs",
        &[slug.into(), next.due.into(), next.runs.into()],
    )?;
    if let Some(life) = stream.life.as_mut() {
        life.schedules.insert(slug.to_owned(), next);
    }
    Ok(())
}
