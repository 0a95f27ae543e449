//! The state machine: what an agent does when it is handed events, or when its time has come. A pure function
//! `(state, events) -> (state, append, effects)`.
//!
//! | phase | event | what follows |
//! |---|---|---|
//! | idle | input, `debounceMs` ago, and `waitFor` have seen it | asking: `agent.turn-started`, the model is called |
//! | idle | the same, with `maxTurns` in its chain of causes | idle: `agent.stopped` |
//! | asking | output without calls | idle; an answer that is owed is sent |
//! | asking | output with calls | calling: `tool.requested` or `tool.approval-requested` for each, `tool.failed` for what it may not call |
//! | asking | final failure | idle: `agent.stopped` |
//! | asking | input, `onInput: "interrupt"` | asking, until the call that is broken off has ended; then a new turn |
//! | asking | input, `onInput: "queue"` | asking; a new turn afterwards |
//! | asking | `agent.interrupt-requested` | asking, until the call that is broken off has ended; then `agent.stopped` |
//! | calling | `tool.approved` | calling: `tool.requested` |
//! | calling | 24 h without approval; the tool's time is over | calling: `tool.denied`; `tool.failed` |
//! | calling | the last call completed, failed or was denied | idle, and the next turn without `debounceMs` |
//! | calling | input, `onInput: "interrupt"` | idle: `tool.failed` for each open call; then a new turn |
//! | calling | `agent.interrupt-requested` | idle: `tool.failed` for each open call, `agent.stopped` |
//!
//! Every end of a request or of a call counts once: what comes later is in the log and changes nothing. Events that are
//! only replayed change the state and nothing else.

mod calls;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tailrace_model::StreamPath;
use tailrace_model::control::agent::{Agent, OnInput};
use tailrace_model::control::{Subscription, Tool};
use tailrace_model::deployment::Deployment;
use tailrace_model::limits;
use tailrace_model::settle::Answered;
use tailrace_model::time::Millis;

use crate::append::{event, to_stream};
use crate::event::{Event, Fact, ReplyTo};
use crate::state::{Call, Input, Link, Owed, Phase, Stage, State};
use calls::ends_at;

/// What surrounds an agent: nothing of it changes while it decides.
pub struct Setting<'a> {
    /// The agent's slug.
    pub slug: &'a str,
    /// The stream it is in.
    pub path: &'a StreamPath,
    /// That stream's life.
    pub generation: &'a str,
    /// How it is configured.
    pub agent: &'a Agent,
    /// How its subscription is.
    pub config: &'a Subscription,
    /// The event that configured it.
    pub configured: u64,
    /// The tools that are configured in the stream.
    pub tools: &'a BTreeMap<String, Tool>,
    /// The last event that all of `waitFor` have seen; `None` = all of them.
    pub seen: Option<u64>,
    /// Now.
    pub now: Millis,
    /// What the events that its tools append are checked against.
    pub deployment: &'a dyn Deployment,
    /// Outputs of the past whose calls were approved now, by offset.
    pub outputs: &'a BTreeMap<u64, Event>,
    /// What was read for calls of `read_stream`, by call.
    pub reads: &'a BTreeMap<String, Result<Value, String>>,
}

/// What an agent decides.
#[derive(Debug, Default)]
pub struct Decision {
    /// What it appends, in order. All of it is the system's own, but for what a tool appends.
    pub append: Vec<Answered>,
    /// The turn that it starts, behind all of that.
    pub start: Option<Start>,
    /// What is to be done outside, before this is settled. To do it twice is the same as once.
    pub effects: Vec<Effect>,
    /// When it is to be asked again, if no event comes before.
    pub wake: Option<Millis>,
    /// It waits for other subscriptions, and is to be asked as soon as they have seen what it has.
    pub held: bool,
}

/// A turn to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its number.
    pub turn: u64,
    /// Its request.
    pub request_id: String,
    /// The last event that the request is made of.
    pub up_to: u64,
    /// The event that it follows from.
    pub cause: u64,
}

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Call the model, if that is not done already.
    Ask {
        /// The request.
        request_id: String,
        /// Its turn.
        turn: u64,
        /// The last event that it is made of.
        up_to: u64,
        /// `agent.turn-started` of it.
        started: u64,
    },
    /// Break the call off.
    BreakOff {
        /// The request.
        request_id: String,
        /// Its turn.
        turn: u64,
        /// The last event that it is made of.
        up_to: u64,
        /// `agent.turn-started` of it.
        started: u64,
    },
}

/// How long a tool call waits for approval.
const APPROVAL_MS: Millis = 86_400_000;

/// How long a turn waits for other subscriptions at most.
const HOLD_MS: Millis = 5_000;

/// However often input comes, it is answered after so many times the time that is waited for more.
const DEBOUNCES: u64 = 10;

/// Input that is remembered one by one.
const INPUTS: usize = 1_000;

/// Replies that are owed at once.
const OWED: usize = 32;

/// How long after all attempts must have ended it is made sure that the model is still being called.
const CHECK_MS: Millis = 60_000;

/// Takes in events, and decides.
#[must_use]
pub fn step(setting: &Setting, state: State, events: &[Event], replay: bool) -> (State, Decision) {
    let mut machine = Machine { setting, state, decision: Decision::default(), events, replay, requests: Vec::new() };
    for event in events {
        machine.take(event);
    }
    if !replay {
        machine.end_what_took_too_long();
        machine.start_if_due();
    }
    machine.drop_requests();
    machine.drop_what_is_over();
    machine.decision.wake = machine.wake();
    machine.decision.held = machine.state.held_since.is_some();
    (machine.state, machine.decision)
}

/// Outputs of the past that are needed to decide about these events: by offset.
#[must_use]
pub fn needs(state: &State, events: &[Event]) -> Vec<u64> {
    let approved = events.iter().filter_map(|event| match &event.fact {
        Fact::Approved { call_id } => state.calls.iter().find(|call| call.call_id == *call_id),
        _ => None,
    });
    let mut outputs: Vec<u64> = approved.map(|call| call.output).collect();
    outputs.dedup();
    outputs
}

struct Machine<'a> {
    setting: &'a Setting<'a>,
    state: State,
    decision: Decision,
    events: &'a [Event],
    replay: bool,
    /// Calls that are requested with this decision, and where in what is appended.
    requests: Vec<(String, usize)>,
}

impl Machine<'_> {
    fn take(&mut self, event: &Event) {
        let is_known = event.offset <= self.state.folded;
        if is_known {
            // Delivered anew to be done again: what was said then is answered once more.
            if !self.replay && matches!(event.fact, Fact::Input { .. }) {
                self.input(event);
            }
            return;
        }
        self.state.folded = event.offset;
        match &event.fact {
            Fact::Input { reply_to } => {
                self.owe(event.offset, reply_to.as_ref());
                self.input(event);
            }
            Fact::TurnStarted { request_id, turn, up_to } => {
                self.state.turn = (*turn).max(self.state.turn);
                self.state.waiting.retain(|input| input.offset > *up_to);
                self.state.chain = Link { offset: event.offset, turns: event.turns };
                self.state.goes_on = false;
                // The turn was decided before that was seen.
                self.state.stops |= self.state.interrupted > *up_to;
                self.asking(request_id, *up_to, event.offset);
                let is_outdated = self.setting.agent.on_input == OnInput::Interrupt && !self.state.waiting.is_empty();
                if is_outdated { self.break_off() } else { self.ask() }
            }
            Fact::Output { request_id, content, calls } if self.is_asking(request_id) => {
                let up_to = self.rest();
                self.state.chain = Link { offset: event.offset, turns: event.turns };
                self.output(event, up_to, content, calls);
            }
            Fact::Failed { request_id, error } if self.is_asking(request_id) => {
                let up_to = self.rest();
                // Whoever asked it to stop wants no answer to what came meanwhile either.
                let up_to =
                    if std::mem::take(&mut self.state.stops) { up_to.max(self.state.interrupted) } else { up_to };
                self.stop(event.offset, up_to, &format!("the model could not be called: {error}"));
            }
            Fact::Interrupted { request_id } if self.is_asking(request_id) => {
                self.rest();
                if std::mem::take(&mut self.state.stops) {
                    self.stop(event.offset, self.state.interrupted, "interrupted");
                }
            }
            // Live it is known already.
            Fact::Stopped { up_to } if self.replay => {
                self.state.waiting.retain(|input| input.offset > *up_to);
                self.state.owed.retain(|owed| owed.input > *up_to);
                self.state.goes_on = false;
            }
            Fact::InterruptRequested => self.interrupt(event.offset),
            Fact::Approved { call_id } => self.approved(event, call_id),
            Fact::Requested { call_id, name, arguments } => self.run(event, call_id, name, arguments),
            Fact::Ended { call_id, from } => {
                let link = Link { offset: event.offset, turns: event.turns };
                let call = self.state.unseen(call_id);
                // What a sub-agent does, no other stream ends.
                if call.is_some_and(|call| from.is_none() || call.child.is_none() || call.child == *from) {
                    self.ended(call_id, link);
                }
            }
            Fact::Started { call_id, stream_path } => {
                if let (Some(call), Some(path)) = (self.state.open(call_id), stream_path) {
                    call.child = Some(path.clone());
                }
            }
            Fact::ChildDeleted { path } => {
                self.fail_child(path, event.offset, "the sub-agent's stream was deleted");
            }
            Fact::Refused { target, message } => self.fail_child(target, event.offset, message),
            Fact::Resumed => {
                self.ask();
            }
            Fact::Output { .. }
            | Fact::Failed { .. }
            | Fact::Interrupted { .. }
            | Fact::Stopped { .. }
            | Fact::Other => {}
        }
    }

    /// The model is not called any more. Returns up to where its request told it.
    fn rest(&mut self) -> u64 {
        match std::mem::take(&mut self.state.phase) {
            Phase::Asking { up_to, .. } => up_to,
            Phase::Idle | Phase::Calling => self.state.folded,
        }
    }

    fn owe(&mut self, input: u64, reply_to: Option<&ReplyTo>) {
        let Some(reply_to) = reply_to else { return };
        // Only a stream above may have asked: nobody is answered in streams that have nothing to do with this one.
        let Ok(path) = StreamPath::from_decoded(&reply_to.stream_path) else { return };
        let reply_to = ReplyTo { stream_path: path.to_string(), call_id: reply_to.call_id.clone() };
        let is_above = self.setting.path.is_at_or_below(&path) && path != *self.setting.path;
        let is_short = reply_to.call_id.len() <= limits::KEY_CHARS;
        if is_above
            && is_short
            && self.state.owed.len() < OWED
            && !self.state.owed.iter().any(|owed| owed.to == reply_to)
        {
            self.state.owed.push(Owed { input, to: reply_to });
        }
    }

    fn input(&mut self, event: &Event) {
        let input = Input { offset: event.offset, at: event.at, turns: event.turns };
        if self.state.waiting.len() < INPUTS {
            self.state.waiting.push(input);
        } else if let Some(last) = self.state.waiting.last_mut() {
            *last = input;
        }
        if self.setting.agent.on_input == OnInput::Interrupt && !self.replay {
            match &self.state.phase {
                Phase::Asking { .. } => self.break_off(),
                Phase::Calling => self.fail_all(event.offset, "interrupted"),
                Phase::Idle => {}
            }
        }
    }

    fn interrupt(&mut self, offset: u64) {
        let had_input = !self.state.waiting.is_empty() || self.state.goes_on;
        let is_stopping = self.state.stops;
        self.state.interrupted = offset;
        self.state.waiting.clear();
        self.state.goes_on = false;
        match &self.state.phase {
            Phase::Asking { .. } => {
                self.state.stops = true;
                self.break_off();
            }
            Phase::Calling if is_stopping && had_input => self.stop(offset, offset, "interrupted"),
            Phase::Calling if is_stopping => {}
            Phase::Calling => self.stop_calls(offset),
            Phase::Idle if had_input => self.stop(offset, offset, "interrupted"),
            Phase::Idle => {}
        }
    }

    fn end_what_took_too_long(&mut self) {
        let now = self.setting.now;
        let late = self.state.calls.iter().filter(|call| ends_at(call).is_some_and(|at| at <= now));
        for Call { call_id, stage, output, .. } in late.cloned().collect::<Vec<Call>>() {
            if stage == Stage::Ending && !self.events.is_empty() {
                // It may come with the next events.
            } else if stage == Stage::Ending {
                // Its end never came back: whatever that was, the agent goes on.
                self.ended(&call_id, Link::default());
            } else if stage == Stage::Approval {
                self.append((
                    "tool.denied",
                    json!({"callId": call_id, "reason": "nobody approved it in time"}),
                    output,
                ));
                self.ending(&call_id);
            } else {
                self.fail(&call_id, output, "no result in time");
            }
        }
        if let Phase::Asking { request_id, up_to, started, check_at } = &self.state.phase
            && *check_at <= now
        {
            let (request_id, up_to, started) = (request_id.clone(), *up_to, *started);
            self.asking(&request_id, up_to, started);
            self.ask();
        }
    }

    /// When the next turn is to start; `None` when there is nothing to answer.
    fn due(&self) -> Option<Millis> {
        if self.state.phase != Phase::Idle {
            return None;
        }
        if self.state.goes_on {
            return Some(Millis::MIN);
        }
        let (first, last) = self.state.waiting.first().zip(self.state.waiting.last())?;
        let debounce = i64::try_from(self.setting.agent.debounce_ms).unwrap_or(0);
        let most = i64::try_from(self.setting.agent.debounce_ms.saturating_mul(DEBOUNCES)).unwrap_or(0);
        Some((last.at + debounce).min(first.at + most))
    }

    fn start_if_due(&mut self) {
        let now = self.setting.now;
        if self.due().is_none_or(|due| due > now) {
            self.state.held_since = None;
            return;
        }
        let up_to = self.state.folded.max(self.setting.configured);
        let since = *self.state.held_since.get_or_insert(now);
        if self.setting.seen.is_some_and(|seen| seen < up_to) && now < since + HOLD_MS {
            return;
        }
        self.state.held_since = None;
        let cause = self.cause();
        self.state.goes_on = false;
        self.state.waiting.clear();
        if cause.turns >= self.setting.agent.max_turns {
            return self.stop(cause.offset, up_to, "maxTurns");
        }
        self.state.turn = self.state.turn.saturating_add(1);
        let request_id = format!("{}.{}.{up_to}", self.setting.slug, self.setting.generation);
        self.asking(&request_id, up_to, 0);
        self.decision.start = Some(Start { turn: self.state.turn, request_id, up_to, cause: cause.offset });
    }

    /// What the next turn follows from. Somebody who speaks from outside begins a new chain.
    fn cause(&self) -> Link {
        let link = |input: &Input| Link { offset: input.offset, turns: input.turns };
        let outside = self.state.waiting.iter().rev().find(|input| input.turns == 0).map(link);
        let inputs = self.state.waiting.iter().map(link).max_by_key(|link| link.turns);
        let tools = self.state.goes_on.then_some(self.state.chain);
        outside
            .or_else(|| [inputs, tools].into_iter().flatten().max_by_key(|link| link.turns))
            .unwrap_or(self.state.chain)
    }

    fn stop(&mut self, cause: u64, up_to: u64, reason: &str) {
        if self.replay {
            // It comes with the event that says so.
            return;
        }
        self.append(("agent.stopped", json!({"agent": self.setting.slug, "reason": reason, "upTo": up_to}), cause));
        self.reply(cause, up_to, "tool.failed", ("error", &format!("the agent stopped: {reason}")));
    }

    /// Pays what is owed for input up to an event.
    fn reply(&mut self, cause: u64, up_to: u64, event_type: &str, (field, value): (&str, &str)) {
        let (paid, owed) = std::mem::take(&mut self.state.owed).into_iter().partition(|owed| owed.input <= up_to);
        self.state.owed = owed;
        for Owed { to: owed, .. } in Vec::<Owed>::into_iter(paid).filter(|_| !self.replay) {
            let payload = self.signed(json!({"callId": owed.call_id, field: value}));
            self.decision.append.extend(to_stream(
                (self.setting.slug, self.setting.path),
                &owed.stream_path,
                event_type,
                &payload,
                cause,
            ));
        }
    }

    fn asking(&mut self, request_id: &str, up_to: u64, started: u64) {
        let most = i64::try_from(self.setting.agent.total_ms).unwrap_or(0) + CHECK_MS;
        let check_at = self.setting.now + most;
        self.state.phase = Phase::Asking { request_id: request_id.to_owned(), up_to, started, check_at };
    }

    /// Makes sure that the model is called; or, if it is to stop, that the call has an end.
    fn ask(&mut self) {
        if self.state.stops {
            return self.break_off();
        }
        if let Phase::Asking { request_id, up_to, started, .. } = &self.state.phase
            && *started > 0
        {
            let (request_id, turn) = (request_id.clone(), self.state.turn);
            self.effect(Effect::Ask { request_id, turn, up_to: *up_to, started: *started });
        }
    }

    /// Breaks the call of the model off. A turn whose event was not seen yet is broken off when it is.
    fn break_off(&mut self) {
        if let Phase::Asking { request_id, up_to, started, .. } = &self.state.phase
            && *started > 0
        {
            let (request_id, turn) = (request_id.clone(), self.state.turn);
            self.effect(Effect::BreakOff { request_id, turn, up_to: *up_to, started: *started });
        }
    }

    fn is_asking(&self, request: &str) -> bool {
        matches!(&self.state.phase, Phase::Asking { request_id, .. } if request_id == request)
    }

    /// All its events say whose they are.
    fn signed(&self, mut payload: Value) -> Value {
        if let Value::Object(fields) = &mut payload {
            fields.entry("agent").or_insert_with(|| json!(self.setting.slug));
        }
        payload
    }

    fn append(&mut self, (event_type, payload, cause): (&str, Value, u64)) {
        let payload = self.signed(payload);
        if !self.replay {
            self.decision.append.extend(event(self.setting.slug, event_type, &payload, cause));
        }
    }

    fn effect(&mut self, effect: Effect) {
        if !self.replay && !self.decision.effects.contains(&effect) {
            self.decision.effects.push(effect);
        }
    }

    /// A request whose end came with the same events is neither called nor broken off any more.
    fn drop_what_is_over(&mut self) {
        let asking = match &self.state.phase {
            Phase::Asking { request_id, .. } => Some(request_id),
            Phase::Idle | Phase::Calling => None,
        };
        self.decision.effects.retain(|effect| match effect {
            Effect::Ask { request_id, .. } | Effect::BreakOff { request_id, .. } => Some(request_id) == asking,
        });
        let breaks_off = self.decision.effects.iter().any(|effect| matches!(effect, Effect::BreakOff { .. }));
        self.decision.effects.retain(|effect| !breaks_off || matches!(effect, Effect::BreakOff { .. }));
    }

    /// When it is to be asked again.
    fn wake(&self) -> Option<Millis> {
        let now = self.setting.now;
        let calls = self.state.calls.iter().filter_map(ends_at);
        let check = match &self.state.phase {
            Phase::Asking { check_at, .. } => Some(*check_at),
            _ => None,
        };
        let turn = match (self.due(), self.state.held_since) {
            (Some(due), Some(since)) => Some(due.max(since + HOLD_MS)),
            (due, _) => due,
        };
        calls.chain(check).chain(turn).min().map(|at| at.max(now))
    }
}
