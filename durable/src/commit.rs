//! The commit path: parse and refuse first, then write, in one synchronous go.
//!
//! [`commit`] is all of it. Its caller opened a transaction and rolls it back if this fails; nothing in memory is
//! changed before everything is written.

use std::collections::HashMap;

use serde_json::json;
use tailrace_model::Problem;
use tailrace_model::cause::{Cause, Origin};
use tailrace_model::control::Control;
use tailrace_model::event::{self, Fragment, StoredEvent};
use tailrace_model::limits;
use tailrace_model::state::{ControlState, Part};
use tailrace_model::time::{Millis, to_rfc3339};
use tailrace_model::types;

use crate::log::{Drafts, Place};
use crate::sql::Sql;
use crate::stream::{Life, Moment, Stream};
use crate::{Failure, breaker, children, control, keys, log, schema};

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
    /// The event at this offset has its key already.
    DuplicateOf(u64),
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
    // Check.
    let mut next = Next::after(stream, now);
    let verdicts = check(stream, kind, entries, &mut next)?;
    if !verdicts.iter().any(|verdict| matches!(verdict, Verdict::Append(_))) {
        return duplicates_only(stream, &verdicts);
    }

    // Make the lines.
    if stream.life.is_none() {
        next.birth(stream, now)?;
    }
    let mut places = Vec::with_capacity(entries.len());
    for (entry, verdict) in entries.iter().zip(&verdicts) {
        places.push(match verdict {
            Verdict::Append(cause) => Some(next.line(stream, entry, cause.as_ref())?),
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
    let events = next.events(stream, &verdicts, &places)?;
    let written = Some((head + 1, next.head));
    let drafts = next.install(stream);
    Ok(Committed { events, tripped, written, drafts })
}

/// Idempotency, pause, hops, expected offset: in this order, entry by entry, each seeing what those before it do.
fn check<S: Sql>(stream: &Stream<S>, kind: Kind, entries: &[Entry], next: &mut Next) -> Result<Vec<Verdict>, Failure> {
    let wanted: Vec<&str> = entries.iter().filter_map(|entry| entry.key.as_deref()).collect();
    let used = if stream.life.is_some() { keys::find(&stream.sql, &wanted)? } else { HashMap::new() };
    let mut in_batch: HashMap<&str, usize> = HashMap::new();
    let mut offset = stream.head().max(1);
    let mut paused = stream.life.as_ref().and_then(|life| life.state.paused.clone());
    let mut verdicts = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        if let Some(key) = entry.key.as_deref() {
            if let Some(&first) = used.get(key) {
                same_content(stream, kind, entry, first)?;
                verdicts.push(Verdict::DuplicateOf(first));
                continue;
            }
            if let Some(&first) = in_batch.get(key) {
                let content = |entry: &Entry| event::content_of_fragment(&entry.fragment);
                if entries.get(first).and_then(content) != content(entry) {
                    return Err(Problem::IdempotencyConflict { offset: offset_of(&verdicts, first, stream) }.into());
                }
                verdicts.push(Verdict::Repeats(first));
                continue;
            }
            in_batch.insert(key, index);
        }
        if let (Some(pause), Kind::Client | Kind::Import) = (&paused, kind)
            && !types::is_control(&entry.event_type)
        {
            return Err(Problem::StreamPaused { reason: pause.reason.clone(), since: pause.since }.into());
        }
        let cause = resolve(stream, entry.origin.as_ref())?;
        if let Some(cause) = &cause {
            cause.check_hops()?;
        }
        offset += 1;
        if let Some(expected) = entry.expected.filter(|expected| *expected != offset) {
            return Err(Problem::OffsetMismatch { expected, actual: offset }.into());
        }
        if kind == Kind::Client {
            next.count();
        }
        if types::is_control(&entry.event_type)
            && let Some(control) = read_control(entry)
        {
            // What begins the window anew is not counted itself.
            next.apply(stream, offset, control)?;
            paused.clone_from(&next.state(stream).paused);
        }
        if kind == Kind::Hook {
            next.hooks += 1;
        }
        verdicts.push(Verdict::Append(cause));
    }
    Ok(verdicts)
}

/// The same key must come with the same type and payload. Only clients' keys are compared: a repeated delivery of a
/// third party differs in its headers.
fn same_content<S: Sql>(stream: &Stream<S>, kind: Kind, entry: &Entry, first: u64) -> Result<(), Failure> {
    if !matches!(kind, Kind::Client | Kind::Import) {
        return Ok(());
    }
    let stored = log::event_at(&stream.sql, first)?;
    let stored = stored.as_ref().and_then(|stored| StoredEvent::parse(&stored.line).ok());
    let same = match (stored, event::content_of_fragment(&entry.fragment)) {
        (Some(stored), Some((event_type, payload))) => {
            stored.event_type == event_type && stored.payload.get() == payload
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(Problem::IdempotencyConflict { offset: first }.into()) }
}

/// A cause in the same stream goes on with the hops and turns of that event.
pub(crate) fn resolve<S: Sql>(stream: &Stream<S>, origin: Option<&Origin>) -> Result<Option<Cause>, Failure> {
    match origin {
        None => Ok(None),
        Some(Origin::Known(cause)) => Ok(Some(cause.clone())),
        Some(Origin::Here(offset)) => {
            let before = stream.event_at(*offset)?;
            let before = before.as_ref().and_then(|stored| StoredEvent::parse(&stored.line).ok()?.cause);
            let (hops, turns) = before.map_or((0, 0), |cause| (cause.hops, cause.turns));
            Ok(Some(Cause { stream_path: stream.path().to_string(), offset: *offset, hops, turns }))
        }
    }
}

fn read_control(entry: &Entry) -> Option<Control> {
    let (event_type, payload) = event::content_of_fragment(&entry.fragment)?;
    Control::read(&event_type, &payload)
}

fn duplicates_only<S: Sql>(stream: &Stream<S>, verdicts: &[Verdict]) -> Result<Committed, Failure> {
    let mut events = Vec::with_capacity(verdicts.len());
    for verdict in verdicts {
        if let Verdict::DuplicateOf(offset) = verdict {
            events.push(stored_duplicate(stream, *offset)?);
        }
    }
    Ok(Committed { events, tripped: false, written: None, drafts: Drafts::default() })
}

fn stored_duplicate<S: Sql>(stream: &Stream<S>, offset: u64) -> Result<Appended, Failure> {
    let stored = stream.event_at(offset)?.ok_or_else(|| Failure::Storage(format!("no event at offset {offset}")))?;
    Ok(Appended { offset, line: Line::Stored(stored.line), duplicate: true })
}

/// The offset that the entry at `index`, which is already checked, will get or has.
fn offset_of<S: Sql>(verdicts: &[Verdict], index: usize, stream: &Stream<S>) -> u64 {
    if let Some(Verdict::DuplicateOf(offset)) = verdicts.get(index) {
        return *offset;
    }
    let before = verdicts.iter().take(index).filter(|it| matches!(it, Verdict::Append(_))).count();
    stream.head().max(1) + 1 + before as u64
}

/// The stream as it will be once the commit stands.
struct Next {
    at: Millis,
    created_at: String,
    /// Set by the first control event: most commits have none.
    changed: Option<ControlState>,
    unborn: ControlState,
    generation: String,
    parts: Vec<Part>,
    controls: Vec<(u64, Control)>,
    drafts: Drafts,
    /// The offset of the last line made.
    head: u64,
    /// Counted events of this commit, since the window last began anew.
    events: u64,
    /// The window begins anew with this commit.
    anew: bool,
    counted: u64,
    hooks: u64,
}

impl Next {
    fn after<S: Sql>(stream: &Stream<S>, now: Moment) -> Self {
        let life = stream.life.as_ref();
        let at = life.map_or(now.at, |life| now.at.max(life.last_at));
        Self {
            at,
            created_at: to_rfc3339(at),
            changed: None,
            unborn: ControlState::default(),
            generation: String::new(),
            parts: Vec::new(),
            controls: Vec::new(),
            drafts: Drafts::default(),
            head: stream.head(),
            events: 0,
            anew: false,
            counted: 0,
            hooks: 0,
        }
    }

    fn count(&mut self) {
        self.events += 1;
    }

    fn state<'a, S: Sql>(&'a self, stream: &'a Stream<S>) -> &'a ControlState {
        let before = stream.life.as_ref().map_or(&self.unborn, |life| &life.state);
        self.changed.as_ref().unwrap_or(before)
    }

    fn apply<S: Sql>(&mut self, stream: &Stream<S>, offset: u64, control: Control) -> Result<(), Failure> {
        let mut state = match self.changed.take() {
            Some(state) => state,
            None => self.state(stream).clone(),
        };
        let parts = state.apply(offset, self.at, &control)?;
        self.changed = Some(state);
        for part in parts {
            if !self.parts.contains(part) {
                self.parts.push(*part);
            }
        }
        if matches!(control, Control::Resumed { .. } | Control::BreakerConfigured { .. }) {
            self.anew = true;
            self.events = 0;
        }
        self.controls.push((offset, control));
        Ok(())
    }

    /// Begins a new life: its first event.
    fn birth<S: Sql>(&mut self, stream: &Stream<S>, now: Moment) -> Result<(), Failure> {
        self.generation = now.short_name();
        let payload = json!({"path": stream.path().as_str(), "generation": self.generation}).to_string();
        self.system_line(stream, "stream.created", &payload)?;
        // Controls of this commit were applied while checking; who the stream is does not touch them.
        self.apply(stream, 1, Control::Created { path: stream.path().to_string(), generation: self.generation.clone() })
    }

    fn system_line<S: Sql>(&mut self, stream: &Stream<S>, event_type: &str, payload: &str) -> Result<Place, Failure> {
        let fragment = Fragment { event_type, payload, metadata: None, system: None, key: None }.to_text()?;
        self.push(stream, event_type, None, &fragment, None)
    }

    fn line<S: Sql>(&mut self, stream: &Stream<S>, entry: &Entry, cause: Option<&Cause>) -> Result<Place, Failure> {
        self.push(stream, &entry.event_type, entry.raw.as_deref(), &entry.fragment, cause)
    }

    fn push<S: Sql>(
        &mut self,
        stream: &Stream<S>,
        event_type: &str,
        raw: Option<&str>,
        fragment: &str,
        cause: Option<&Cause>,
    ) -> Result<Place, Failure> {
        let place = self.drafts.push(event_type, raw, |out| {
            event::push_line(out, Some(self.head + 1), fragment, cause, stream.quoted_path(), &self.created_at);
        });
        if place.len() > limits::EVENT_BYTES {
            return Err(Problem::TooLarge { what: "an event in bytes", limit: limits::EVENT_BYTES }.into());
        }
        self.head += 1;
        Ok(place)
    }

    /// Lets the breaker see the commit. If it brings the window above the limit it stands, and pauses the stream.
    fn observe<S: Sql>(&mut self, stream: &mut Stream<S>, kind: Kind) -> Result<bool, Failure> {
        let breaker = self.state(stream).breaker;
        if kind == Kind::Client {
            self.counted = breaker::weight(&breaker, self.events);
        }
        let before = match stream.life.as_mut() {
            Some(life) if !self.anew => {
                life.window.slide(self.at, breaker.window_ms);
                life.window.counted()
            }
            _ => 0,
        };
        let observed = before + self.counted;
        let Some(limit) = breaker.limit.filter(|limit| observed > *limit && self.state(stream).paused.is_none()) else {
            return Ok(false);
        };
        let window_ms = breaker.window_ms;
        let payload = json!({
            "reason": format!("circuit breaker: {observed} events in {window_ms} ms"),
            "breaker": {"limit": limit, "windowMs": window_ms, "observed": observed},
        })
        .to_string();
        self.system_line(stream, "stream.paused", &payload)?;
        if let Some(control) = Control::read("stream.paused", &payload) {
            self.apply(stream, self.head, control)?;
        }
        Ok(true)
    }

    fn claims<'a>(&self, entries: &'a [Entry], places: &[Option<Place>]) -> Vec<(&'a str, u64)> {
        let mut offset = self.first_appended(places);
        let mut claims = Vec::new();
        for (entry, place) in entries.iter().zip(places) {
            if place.is_some() {
                if let Some(key) = entry.key.as_deref() {
                    claims.push((key, offset));
                }
                offset += 1;
            }
        }
        claims
    }

    /// The offset of the first appended entry: a birth stands before it, a tripped breaker behind the last.
    fn first_appended(&self, places: &[Option<Place>]) -> u64 {
        let appended = places.iter().flatten().count() as u64;
        let pauses = u64::from(
            matches!(self.controls.last(), Some((offset, Control::Paused { breaker: Some(_), .. })) if *offset == self.head),
        );
        self.head + 1 - appended - pauses
    }

    fn events<S: Sql>(
        &self,
        stream: &Stream<S>,
        verdicts: &[Verdict],
        places: &[Option<Place>],
    ) -> Result<Vec<Appended>, Failure> {
        let mut offset = self.first_appended(places);
        let mut events: Vec<Appended> = Vec::with_capacity(verdicts.len());
        for (verdict, place) in verdicts.iter().zip(places) {
            events.push(match (verdict, place) {
                (Verdict::Append(_), Some(place)) => {
                    offset += 1;
                    Appended { offset: offset - 1, line: Line::Made(*place), duplicate: false }
                }
                (Verdict::Repeats(first), _) => {
                    let first = events.get(*first).cloned();
                    let first = first.ok_or_else(|| Failure::Storage("a repeat before its first".to_owned()))?;
                    Appended { duplicate: true, ..first }
                }
                (Verdict::DuplicateOf(first), _) => stored_duplicate(stream, *first)?,
                (Verdict::Append(_), None) => return Err(Failure::Storage("an event without a line".to_owned())),
            });
        }
        Ok(events)
    }

    fn install<S: Sql>(self, stream: &mut Stream<S>) -> Drafts {
        let life = stream.life.get_or_insert_with(Life::default);
        life.head = self.head;
        life.last_at = self.at;
        if let Some(state) = self.changed {
            life.state = state;
        }
        if self.anew {
            life.window.clear();
        }
        life.window.slide(self.at, life.state.breaker.window_ms);
        life.window.add(self.at, self.counted, self.hooks);
        self.drafts
    }
}
