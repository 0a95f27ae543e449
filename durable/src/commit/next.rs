//! A stream as it will be once a commit stands: lines, control state, what the breaker counts.

use serde_json::json;
use tailrace_model::Problem;
use tailrace_model::cause::Cause;
use tailrace_model::control::Control;
use tailrace_model::limits;
use tailrace_model::line::{self, Fragment};
use tailrace_model::state::{ControlState, Part};
use tailrace_model::time::{Millis, to_rfc3339};

use super::{Appended, Entry, Kind, Line, Verdict};
use crate::log::{Drafts, Place};
use crate::sql::Sql;
use crate::stream::{Life, Moment, Stream};
use crate::{Failure, breaker};

/// The stream as it will be once the commit stands.
pub(super) struct Next {
    pub(super) at: Millis,
    pub(super) created_at: String,
    /// Set by the first control event: most commits have none.
    pub(super) changed: Option<ControlState>,
    pub(super) unborn: ControlState,
    pub(super) generation: String,
    pub(super) parts: Vec<Part>,
    pub(super) controls: Vec<(u64, Control)>,
    pub(super) drafts: Drafts,
    /// The offset of the last line made.
    pub(super) head: u64,
    /// Counted events of this commit, since the window last began anew.
    pub(super) events: u64,
    /// The window begins anew with this commit.
    pub(super) anew: bool,
    pub(super) counted: u64,
    pub(super) hooks: u64,
}

impl Next {
    pub(super) fn after<S: Sql>(stream: &Stream<S>, now: Moment) -> Self {
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

    pub(super) fn count(&mut self) {
        self.events += 1;
    }

    pub(super) fn state<'a, S: Sql>(&'a self, stream: &'a Stream<S>) -> &'a ControlState {
        let before = stream.life.as_ref().map_or(&self.unborn, |life| &life.state);
        self.changed.as_ref().unwrap_or(before)
    }

    pub(super) fn apply<S: Sql>(&mut self, stream: &Stream<S>, offset: u64, control: Control) -> Result<(), Failure> {
        let mut state = match self.changed.take() {
            Some(state) => state,
            None => self.state(stream).clone(),
        };
        let parts = state.apply(offset, self.at, &control)?;
        self.changed = Some(state);
        for part in parts {
            if !self.parts.contains(&part) {
                self.parts.push(part);
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
    pub(super) fn birth<S: Sql>(&mut self, stream: &Stream<S>, now: Moment) -> Result<(), Failure> {
        self.generation = now.short_name();
        let payload = json!({"path": stream.path().as_str(), "generation": self.generation}).to_string();
        self.system_line(stream, "stream.created", &payload)?;
        // Controls of this commit were applied while checking; who the stream is does not touch them.
        self.apply(stream, 1, Control::Created { path: stream.path().to_string(), generation: self.generation.clone() })
    }

    pub(super) fn system_line<S: Sql>(
        &mut self,
        stream: &Stream<S>,
        event_type: &str,
        payload: &str,
    ) -> Result<Place, Failure> {
        let fragment = Fragment { event_type, payload, metadata: None, system: None, key: None }.to_text()?;
        self.push(stream, event_type, None, &fragment, None)
    }

    pub(super) fn line<S: Sql>(
        &mut self,
        stream: &Stream<S>,
        entry: &Entry,
        cause: Option<&Cause>,
    ) -> Result<Place, Failure> {
        self.push(stream, &entry.event_type, entry.raw.as_deref(), &entry.fragment, cause)
    }

    pub(super) fn push<S: Sql>(
        &mut self,
        stream: &Stream<S>,
        event_type: &str,
        raw: Option<&str>,
        fragment: &str,
        cause: Option<&Cause>,
    ) -> Result<Place, Failure> {
        let place = self.drafts.push(event_type, raw, |out| {
            line::push_line(out, Some(self.head + 1), fragment, cause, stream.quoted_path(), &self.created_at);
        });
        if place.len() > limits::EVENT_BYTES {
            return Err(Problem::TooLarge { what: "an event in bytes", limit: limits::EVENT_BYTES }.into());
        }
        self.head += 1;
        Ok(place)
    }

    /// Lets the breaker see the commit. If it brings the window above the limit it stands, and pauses the stream.
    pub(super) fn observe<S: Sql>(&mut self, stream: &mut Stream<S>, kind: Kind) -> Result<bool, Failure> {
        let breaker = self.state(stream).breaker;
        if matches!(kind, Kind::Client | Kind::Settle) {
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

    pub(super) fn claims<'a>(&self, entries: &'a [Entry], places: &[Option<Place>]) -> Vec<(&'a str, u64)> {
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
    pub(super) fn first_appended(&self, places: &[Option<Place>]) -> u64 {
        let appended = places.iter().flatten().count() as u64;
        let pauses = u64::from(
            matches!(self.controls.last(), Some((offset, Control::Paused { breaker: Some(_), .. })) if *offset == self.head),
        );
        self.head + 1 - appended - pauses
    }

    pub(super) fn events(&self, verdicts: &[Verdict], places: &[Option<Place>]) -> Result<Vec<Appended>, Failure> {
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
                (Verdict::Duplicate(event), _) => event.clone(),
                (Verdict::Append(_), None) => return Err(Failure::Storage("an event without a line".to_owned())),
            });
        }
        Ok(events)
    }

    pub(super) fn install<S: Sql>(self, stream: &mut Stream<S>) -> Drafts {
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
