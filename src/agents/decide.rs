//! What an agent does with a lease. What waits is `decide.js`.

use std::collections::BTreeMap;

use js_sys::{Array, JsString};
use serde_json::{Value, json};
use tailrace_agent::append::turn_started;
use tailrace_agent::event::{Event, Fact};
use tailrace_agent::machine::{self, Decision, Effect, Setting, Start};
use tailrace_agent::state::State;
use tailrace_agent::tools;
use tailrace_durable::delivery::lease::{Hosted, Leased};
use tailrace_durable::delivery::retry::Failed;
use tailrace_durable::delivery::settle::Said;
use tailrace_durable::page::Query;
use tailrace_durable::runner::Ask;
use tailrace_model::control::agent::Agent;
use tailrace_model::line::StoredEvent;
use tailrace_model::{StreamPath, limits};
use wasm_bindgen::prelude::*;

use super::log::Log;
use super::prepared::Prepared;
use crate::config::Config;
use crate::deployment::Here;
use crate::http::Answer;
use crate::stream::{Format, read_text};

/// An agent with a lease in its hands.
#[wasm_bindgen]
pub struct Decider {
    leased: Leased,
    hosted: Box<Hosted>,
    agent: Agent,
    path: StreamPath,
    state: State,
    events: Vec<Event>,
    outputs: BTreeMap<u64, Event>,
    reads: BTreeMap<String, Result<Value, String>>,
    decision: Decision,
    log: Option<Log>,
    prepared: Option<Prepared>,
}

#[wasm_bindgen]
impl Decider {
    /// Events of the past that it needs to decide: queries, as the object takes them.
    #[must_use]
    pub fn needs(&self) -> Vec<JsString> {
        let query = |offset: u64| Query { after: offset - 1, before: Some(offset + 1), limit: 1, ..Query::default() };
        let offsets = machine::needs(&self.state, &self.events);
        offsets.into_iter().filter_map(|offset| read_text(Format::Lines, &query(offset)).ok()).map(Into::into).collect()
    }

    /// Takes in the answer to one of [`Self::needs`].
    #[wasm_bindgen(js_name = takeNeeded)]
    pub fn take_needed(&mut self, answer: &JsString) {
        let line = String::from(Answer::new(answer).body);
        if let Ok(event) = StoredEvent::parse(line.trim_end()) {
            self.outputs.insert(event.offset, Event::read(&event, &self.leased.slug));
        }
    }

    /// What its tools want to read: `[call, path, query]` each.
    #[must_use]
    pub fn reads(&mut self, env: &JsValue) -> Vec<Array> {
        let mut wanted = Vec::new();
        let config = Config::of(env);
        let here = Here::new(env, &config, None);
        let setting = self.setting(&here, 0);
        let mut failed = Vec::new();
        for event in &self.events {
            let Fact::Requested { call_id, name, arguments } = &event.fact else { continue };
            if name != "read_stream" || !self.state.calls.iter().any(|call| call.call_id == *call_id) {
                continue;
            }
            match tools::read(&setting, call_id, arguments) {
                Ok(read) => {
                    let query = Query {
                        after: read.after,
                        limit: limits::PAGE_EVENTS,
                        last: read.last,
                        types: read.types,
                        max_bytes: Some(limits::TOLD_BYTES as u64),
                        ..Query::default()
                    };
                    let Ok(query) = read_text(Format::Lines, &query) else { continue };
                    wanted.push(
                        [read.call_id.as_str(), read.path.as_str(), &query].into_iter().map(JsValue::from).collect(),
                    );
                }
                Err(error) => failed.push((call_id.clone(), error)),
            }
        }
        self.reads.extend(failed.into_iter().map(|(call, error)| (call, Err(error))));
        wanted
    }

    /// Takes in what was read for a call.
    #[wasm_bindgen(js_name = takeRead)]
    pub fn take_read(&mut self, call: &str, answer: &JsString) {
        let answer = Answer::new(answer);
        let body = String::from(answer.body.clone());
        let read = match answer.status {
            200 => Ok(told(&body, answer.number("tailrace-head"))),
            404 => Err("stream_not_found: there is no such stream".to_owned()),
            status => Err(format!("it could not be read: {status}")),
        };
        self.reads.insert(call.to_owned(), read);
    }

    /// Decides. True when a turn is to start, and the log must be read for its request.
    pub fn decide(&mut self, env: &JsValue, now: f64) -> bool {
        let config = Config::of(env);
        let here = Here::new(env, &config, None);
        #[expect(clippy::cast_possible_truncation, reason = "times are far below 2^53")]
        let setting = self.setting(&here, now as i64);
        let (state, decision) = machine::step(&setting, self.state.clone(), &self.events, self.leased.replay);
        self.state = state;
        self.log = decision.start.as_ref().map(|start| Log::new(&self.leased.slug, start.up_to));
        self.decision = decision;
        self.log.is_some()
    }

    /// The page to read next for the request, as the object takes it; `undefined` = all is read.
    #[must_use]
    #[wasm_bindgen(js_name = nextQuery)]
    pub fn next_query(&self) -> Option<String> {
        self.log.as_ref().and_then(Log::next_query)
    }

    /// Takes in a page.
    ///
    /// # Errors
    /// When the stream cannot be read.
    #[wasm_bindgen(js_name = takePage)]
    pub fn take_page(&mut self, text: &JsString) -> Result<(), JsError> {
        self.log.as_mut().map_or(Ok(()), |log| log.take_page(text)).map_err(|error| JsError::new(&error))
    }

    /// The request of the turn that starts: `[its id, as the Runner takes it]`; `undefined` when there is none.
    pub fn prepare(&mut self) -> Option<Array> {
        let transcript = &self.log.as_ref()?.transcript;
        self.prepared = Prepared::of(transcript);
        let start = self.decision.start.as_mut()?;
        // An agent that was removed and configured anew does not remember how many turns there were.
        start.turn = start.turn.max(transcript.last_turn() + 1);
        self.state.turn = start.turn;
        let id = &start.request_id;
        let prepared = serde_json::to_string(self.prepared.as_ref()?).ok()?;
        Some([id.as_str(), &prepared].into_iter().map(JsValue::from).collect())
    }

    /// What is to be done before this is settled: `[what, Runner, call, request]` each.
    #[must_use]
    pub fn effects(&self) -> Vec<Array> {
        let runner = format!("{}/{}", self.leased.generation, self.leased.slug);
        let ask = |request: &str, turn: u64, up_to: u64, started: u64| {
            json!(Ask {
                path: self.leased.stream_path.clone(),
                generation: self.leased.generation.clone(),
                slug: self.leased.slug.clone(),
                request_id: request.to_owned(),
                turn,
                up_to,
                started,
            })
            .to_string()
        };
        let effect = |effect: &Effect| {
            let (what, request, turn, up_to, started) = match effect {
                Effect::Ask { request_id, turn, up_to, started } => ("ask", request_id, turn, up_to, started),
                Effect::BreakOff { request_id, turn, up_to, started } => ("breakOff", request_id, turn, up_to, started),
            };
            [what, &runner, &ask(request, *turn, *up_to, *started), request].into_iter().map(JsValue::from).collect()
        };
        self.decision.effects.iter().map(effect).collect()
    }

    /// What to settle.
    #[must_use]
    pub fn said(&self, next: bool) -> String {
        let mut said = Said { lease: self.leased.lease.clone(), next, wake: self.decision.wake, ..Said::default() };
        said.held = self.decision.held;
        let state = serde_json::to_string(&self.state).unwrap_or_default();
        if state.len() > limits::STATE_BYTES {
            said.refused = Some("the agent remembers more than a subscription may".to_owned());
        }
        said.state = Some(state);
        said.append.clone_from(&self.decision.append);
        if let Some(start) = &self.decision.start {
            match self.started(start) {
                Some(started) => said.append.push(started),
                None => return self.failed("the request cannot be made: the agent is not configured in the log", next),
            }
        }
        serde_json::to_string(&said).unwrap_or_default()
    }

    /// What to settle when it could not decide.
    #[must_use]
    pub fn failed(&self, error: &str, next: bool) -> String {
        let failed = Failed { error: error.to_owned(), ..Failed::default() };
        let said = Said { lease: self.leased.lease.clone(), failed: Some(failed), next, ..Said::default() };
        serde_json::to_string(&said).unwrap_or_default()
    }
}

impl Decider {
    /// Takes a lease of an agent.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(leased: &str) -> Result<Self, String> {
        let mut leased: Leased = serde_json::from_str(leased).map_err(|error| error.to_string())?;
        let hosted = leased.hosted.take().ok_or("not an agent")?;
        let agent = hosted.config.agent().cloned().ok_or("not an agent")?;
        let path = StreamPath::from_decoded(&leased.stream_path).map_err(|problem| problem.detail())?;
        let events = leased
            .events
            .iter()
            .filter_map(|line| StoredEvent::parse(line).ok().map(|event| Event::read(&event, &leased.slug)))
            .collect();
        // What somebody set as its state by hand is none of an agent.
        let state = serde_json::from_str(&leased.state).unwrap_or_default();
        Ok(Self {
            hosted,
            agent,
            path,
            state,
            events,
            leased,
            outputs: BTreeMap::new(),
            reads: BTreeMap::new(),
            decision: Decision::default(),
            log: None,
            prepared: None,
        })
    }

    fn setting<'a>(&'a self, here: &'a Here<'a>, now: i64) -> Setting<'a> {
        Setting {
            slug: &self.leased.slug,
            path: &self.path,
            generation: &self.leased.generation,
            agent: &self.agent,
            config: &self.hosted.config,
            configured: self.hosted.configured,
            tools: &self.hosted.tools,
            seen: self.hosted.seen,
            now,
            deployment: here,
            outputs: &self.outputs,
            reads: &self.reads,
        }
    }

    fn started(&self, start: &Start) -> Option<tailrace_model::settle::Answered> {
        turn_started(&self.leased.slug, start, &self.prepared.as_ref()?.sha256())
    }
}

/// What a model is told of the events that it reads.
fn told(lines: &str, head: u64) -> Value {
    let mut bytes = 0;
    let mut events: Vec<Value> = Vec::new();
    let mut is_cut = false;
    for line in lines.lines() {
        bytes += line.len();
        if bytes > limits::TOLD_BYTES {
            is_cut = true;
            break;
        }
        if let Ok(event) = StoredEvent::parse(line) {
            events.push(json!({
                "offset": event.offset, "type": event.event_type, "payload": event.payload, "createdAt": event.created_at,
            }));
        }
    }
    json!({"events": events, "head": head, "more": is_cut})
}
