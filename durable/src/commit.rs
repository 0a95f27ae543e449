//! The commit path: parse and refuse first, then write, in one synchronous go.
//!
//! [`commit`] is all of it. Its caller opened a transaction and rolls it back if this fails; nothing in memory is
//! changed before everything is written.

mod next;

use std::collections::HashMap;

use tailrace_model::Problem;
use tailrace_model::cause::{Cause, Origin};
use tailrace_model::control::Control;
use tailrace_model::json;
use tailrace_model::limits;
use tailrace_model::line::{self, StoredEvent};
use tailrace_model::state::Pause;
use tailrace_model::types;

use crate::log::{Drafts, Place, Reader, Stored};
use crate::sql::Sql;
use crate::stream::{Moment, Stream};
use crate::{Failure, children, control, delivery, keys, log, schedule, schema};
use next::Next;

/// On whose account something is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A client: counted by the breaker, refused while paused.
    Client,
    /// History from elsewhere: not counted, refused while paused.
    Import,
    /// Hooks that are let in: not counted; who lets them in minds the pause.
    Hook,
    /// The system itself: not counted, not stopped.
    System,
    /// What a settle or a schedule appends: counted, and who lets it in minds the pause.
    Settle,
}

/// An event to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its type.
    pub event_type: String,
    /// Its idempotency key as it is stored; see [`keys`].
    pub key: Option<String>,
    /// The offset it must get.
    pub expected: Option<u64>,
    /// Why it is written.
    pub origin: Option<Origin>,
    /// The part of its line that does not depend on the stream.
    pub fragment: String,
    /// Under which name its exact bytes are kept.
    pub raw: Option<String>,
}

/// What became of one entry.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Its offset, or that of the first event with its key.
    pub offset: u64,
    /// True when the key was used before and nothing was written.
    pub duplicate: bool,
    line: Line,
}

#[derive(Clone, Debug)]
enum Line {
    Made(Place),
    Stored(String),
}

/// A commit that stands.
#[derive(Debug)]
pub struct Committed {
    /// What became of the entries, in their order.
    pub events: Vec<Appended>,
    /// True when the breaker paused the stream with it.
    pub tripped: bool,
    /// The first and the last offset that were written; `None` when all were duplicates.
    pub written: Option<(u64, u64)>,
    drafts: Drafts,
}

impl Committed {
    /// The finished line of an event.
    #[must_use]
    pub fn line<'a>(&'a self, event: &'a Appended) -> &'a str {
        match &event.line {
            Line::Made(place) => self.drafts.line(*place),
            Line::Stored(line) => line,
        }
    }

    /// All lines that were written, for those who follow live, when there are few enough of them.
    #[must_use]
    pub fn frame_lines(&self) -> Option<String> {
        (self.drafts.bytes() <= limits::FRAME_BYTES)
            .then(|| self.drafts.rows.iter().map(|row| row.lines.as_str()).collect::<Vec<_>>().join(log::SEPARATOR))
    }
}

/// What the checks found out about an entry.
enum Verdict {
    Append(Option<Cause>),
    /// An event has its key already.
    Duplicate(Appended),
    /// The entry at this index of the same batch has its key.
    Repeats(usize),
}

/// Appends `entries`, all or none.
///
/// # Errors
/// [`Failure::Refused`] with the first reason, before anything is written; [`Failure::Storage`].
pub fn commit<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    kind: Kind,
    entries: &[Entry],
) -> Result<Committed, Failure> {
    commit_if(stream, now, kind, entries, Terms::default())
}

/// What else holds for the events of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// The offset that the first event that is written must get.
    pub expected: Option<u64>,
    /// They came as a batch: a refusal of one of them says which.
    pub is_batch: bool,
}

/// The same, on these terms.
///
/// # Errors
/// See [`commit`].
pub fn commit_if<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    kind: Kind,
    entries: &[Entry],
    terms: Terms,
) -> Result<Committed, Failure> {
    // Check.
    let mut next = Next::after(stream, now);
    let at_index = |failure: Failure, index| if terms.is_batch { failure.at_index(index) } else { failure };
    let mut checks = Checks::begin(stream, entries)?;
    for (index, entry) in entries.iter().enumerate() {
        checks.check(stream, kind, index, entry, &mut next).map_err(|failure| at_index(failure, index))?;
    }
    let verdicts = checks.verdicts;
    if !verdicts.iter().any(|verdict| matches!(verdict, Verdict::Append(_))) {
        return Ok(duplicates_only(verdicts));
    }
    let first = last_offset(stream) + 1;
    if let Some(expected) = terms.expected.filter(|expected| *expected != first) {
        return Err(Problem::OffsetMismatch { expected, actual: first }.into());
    }

    // Make the lines.
    if stream.life.is_none() {
        next.birth(stream, now)?;
    }
    let mut places = Vec::with_capacity(entries.len());
    for (index, (entry, verdict)) in entries.iter().zip(&verdicts).enumerate() {
        places.push(match verdict {
            Verdict::Append(cause) => {
                Some(next.line(stream, entry, cause.as_ref()).map_err(|failure| at_index(failure, index))?)
            }
            _ => None,
        });
    }
    let tripped = next.observe(stream, kind)?;

    // Write: the rows and what they change.
    let born = stream.life.is_none();
    if born {
        schema::create(&stream.sql)?;
    }
    let head = stream.head();
    next.drafts.insert(&stream.sql, head, next.at, next.counted, next.hooks)?;
    keys::claim(&stream.sql, &next.claims(entries, &places))?;
    for (offset, control) in &next.controls {
        if *offset > 1 {
            control::note(&stream.sql, *offset)?;
        }
        if control.holds_for_children() {
            children::owe_relay(stream, now.at, *offset)?;
        }
    }
    control::save(&stream.sql, next.state(stream), &next.parts)?;
    if born {
        children::owe_birth_notice(stream, now.at, &next.generation)?;
    }

    // It stands.
    let events = next.events(&verdicts, &places)?;
    let written = Some((head + 1, next.head));
    let controls = std::mem::take(&mut next.controls);
    let drafts = next.install(stream);
    schedule::after_commit(stream, &controls)?;
    delivery::after_commit(stream, now, &controls, head + 1, drafts.types())?;
    Ok(Committed { events, tripped, written, drafts })
}

/// The offset behind which a commit writes; the first of a life writes behind the birth.
fn last_offset<S: Sql>(stream: &Stream<S>) -> u64 {
    stream.head().max(1)
}

/// What is found out about the entries of one commit, entry by entry, each seeing what those before it do.
struct Checks<'e> {
    reader: Reader,
    /// Where the keys of these entries were used before.
    used: HashMap<String, u64>,
    /// Which entry has used a key first.
    in_batch: HashMap<&'e str, (usize, &'e Entry)>,
    /// The last offset so far.
    offset: u64,
    paused: Option<Pause>,
    verdicts: Vec<Verdict>,
}

impl<'e> Checks<'e> {
    fn begin<S: Sql>(stream: &Stream<S>, entries: &'e [Entry]) -> Result<Self, Failure> {
        let wanted: Vec<&str> = entries.iter().filter_map(|entry| entry.key.as_deref()).collect();
        Ok(Self {
            reader: Reader::default(),
            used: if stream.life.is_some() { keys::find(&stream.sql, &wanted)? } else { HashMap::new() },
            in_batch: HashMap::new(),
            offset: last_offset(stream),
            paused: stream.life.as_ref().and_then(|life| life.state.paused.clone()),
            verdicts: Vec::with_capacity(entries.len()),
        })
    }

    /// Idempotency, pause, hops, expected offset: in this order.
    fn check<S: Sql>(
        &mut self,
        stream: &Stream<S>,
        kind: Kind,
        index: usize,
        entry: &'e Entry,
        next: &mut Next,
    ) -> Result<(), Failure> {
        if let Some(key) = entry.key.as_deref() {
            if let Some(&first) = self.used.get(key) {
                let stored = self.reader.event_at(&stream.sql, first)?;
                let stored = stored.ok_or_else(|| Failure::Storage(format!("no event at offset {first}")))?;
                same_content(kind, entry, first, &stored)?;
                let line = Line::Stored(stored.line);
                self.verdicts.push(Verdict::Duplicate(Appended { offset: first, line, duplicate: true }));
                return Ok(());
            }
            if let Some((first, before)) = self.in_batch.get(key) {
                let content = |entry: &Entry| line::content_of_fragment(&entry.fragment);
                if content(before) != content(entry) {
                    let offset = offset_of(&self.verdicts, *first, stream);
                    return Err(Problem::IdempotencyConflict { offset }.into());
                }
                self.verdicts.push(Verdict::Repeats(*first));
                return Ok(());
            }
            self.in_batch.insert(key, (index, entry));
        }
        if let (Some(pause), Kind::Client | Kind::Import) = (&self.paused, kind)
            && !types::is_control(&entry.event_type)
            && !types::configures_tool(&entry.event_type)
        {
            return Err(Problem::StreamPaused { reason: pause.reason.clone(), since: pause.since }.into());
        }
        let cause = resolve(stream, &mut self.reader, entry.origin.as_ref())?;
        if let Some(cause) = &cause {
            cause.check_hops()?;
        }
        self.offset += 1;
        if let Some(expected) = entry.expected.filter(|expected| *expected != self.offset) {
            return Err(Problem::OffsetMismatch { expected, actual: self.offset }.into());
        }
        if matches!(kind, Kind::Client | Kind::Settle) {
            next.count();
        }
        if types::changes_state(&entry.event_type)
            && kind != Kind::Import
            && let Some(control) = read_control(entry)
        {
            // What begins the window anew is not counted itself.
            next.apply(stream, self.offset, control)?;
            self.paused.clone_from(&next.state(stream).paused);
        }
        if kind == Kind::Hook {
            next.hooks += 1;
        }
        self.verdicts.push(Verdict::Append(cause));
        Ok(())
    }
}

/// The same key must come with the same type and payload. Only clients' keys are compared: a repeated delivery of a
/// third party differs in its headers.
fn same_content(kind: Kind, entry: &Entry, first: u64, stored: &Stored) -> Result<(), Failure> {
    if !matches!(kind, Kind::Client | Kind::Import | Kind::Settle) {
        return Ok(());
    }
    let same = match (StoredEvent::parse(&stored.line), line::content_of_fragment(&entry.fragment)) {
        (Ok(stored), Some((event_type, payload))) => {
            stored.event_type == event_type && json::is_same(stored.payload.get(), &payload)
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(Problem::IdempotencyConflict { offset: first }.into()) }
}

/// A cause in the same stream goes on with the hops and turns of that event.
pub(crate) fn resolve<S: Sql>(
    stream: &Stream<S>,
    reader: &mut Reader,
    origin: Option<&Origin>,
) -> Result<Option<Cause>, Failure> {
    match origin {
        None => Ok(None),
        Some(Origin::Known(cause)) => Ok(Some(cause.clone())),
        Some(Origin::Here(offset)) => {
            let before = if stream.life.is_some() { reader.event_at(&stream.sql, *offset)? } else { None };
            let before = before.as_ref().and_then(|stored| StoredEvent::parse(&stored.line).ok()?.cause);
            let (hops, turns) = before.map_or((0, 0), |cause| (cause.hops, cause.turns));
            Ok(Some(Cause { stream_path: stream.path().to_string(), offset: *offset, hops, turns }))
        }
    }
}

fn read_control(entry: &Entry) -> Option<Control> {
    let (event_type, payload) = line::content_of_fragment(&entry.fragment)?;
    Control::read(&event_type, &payload)
}

fn duplicates_only(verdicts: Vec<Verdict>) -> Committed {
    let duplicate = |verdict| match verdict {
        Verdict::Duplicate(event) => Some(event),
        _ => None,
    };
    let events = verdicts.into_iter().filter_map(duplicate).collect();
    Committed { events, tripped: false, written: None, drafts: Drafts::default() }
}

/// The offset that the entry at `index`, which is already checked, will get or has.
fn offset_of<S: Sql>(verdicts: &[Verdict], index: usize, stream: &Stream<S>) -> u64 {
    if let Some(Verdict::Duplicate(event)) = verdicts.get(index) {
        return event.offset;
    }
    let before = verdicts.iter().take(index).filter(|it| matches!(it, Verdict::Append(_))).count();
    stream.head().max(1) + 1 + before as u64
}
