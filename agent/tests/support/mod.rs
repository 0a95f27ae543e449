//! What the tests of agents stand on: one agent with its stream's log, handed its events in batches and in order. What it
//! appends goes to the log, and a Runner that is only played keeps what it is asked to do.
#![allow(dead_code, reason = "each test file uses its part of it")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tailrace_agent::append::turn_started;
use tailrace_agent::event::{Event, Fact};
use tailrace_agent::machine::{self, Decision, Effect, Setting};
use tailrace_agent::state::State;
use tailrace_agent::tools::{self, Read};
use tailrace_agent::transcript::Transcript;
use tailrace_model::StreamPath;
use tailrace_model::cause::Cause;
use tailrace_model::control::{Control, Subscription, Tool};
use tailrace_model::deployment::Deployment;
use tailrace_model::line::{Fragment, StoredEvent, push_line};
use tailrace_model::secret::Secret;
use tailrace_model::settle::Answered;
use tailrace_model::target::{Allowed, Url};
use tailrace_model::time::{Millis, to_rfc3339};
use tailrace_model::types::TypeFilter;

/// When every test begins: 2026-01-01.
pub const START: Millis = 1_767_225_600_000;

pub const SLUG: &str = "writer";
pub const PATH: &str = "/team/desk";
pub const GENERATION: &str = "g1";

/// Any URL may be sent to, and there is the secret `KEY`.
pub struct Open;

impl Deployment for Open {
    fn url(&self, text: &str) -> Option<Url> {
        let (scheme, rest) = text.split_once("://")?;
        let hostname = rest.split('/').next()?.to_owned();
        Some(Url { href: text.to_owned(), scheme: scheme.to_owned(), has_credentials: false, hostname, port: None })
    }

    fn allowed(&self) -> Allowed {
        Allowed::default()
    }

    fn secret(&self, _: &str) -> Option<Result<Secret, String>> {
        None
    }

    fn check_condition(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// What the Runner knows of a request.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub started: u64,
    pub stops: bool,
    pub has_end: bool,
    /// How often the machine wanted it.
    pub wanted: u32,
}

/// One agent, its log, and all that is around it.
#[derive(Clone)]
pub struct Rig {
    pub path: StreamPath,
    pub config: Subscription,
    pub configured: u64,
    pub tools: BTreeMap<String, Tool>,
    pub now: Millis,
    pub seen: Option<u64>,
    /// The stream's events, one line each.
    pub log: Vec<String>,
    /// The last event that was delivered.
    pub cursor: u64,
    /// Up to here events are only folded.
    pub replay_until: u64,
    pub state: State,
    pub wake: Option<Millis>,
    pub runner: BTreeMap<String, Call>,
    /// What went to other streams: path, type, payload.
    pub sent: Vec<(String, String, Value)>,
    /// What the last step appended here: type and payload.
    pub appended: Vec<(String, Value)>,
}

/// A subscription as its payload configures it.
pub fn subscription(payload: &Value) -> Subscription {
    match Control::check("subscription.configured", &payload.to_string(), &Open).unwrap() {
        Some(Control::SubscriptionConfigured(config)) => *config,
        other => panic!("{other:?}"),
    }
}

/// A tool as its payload configures it.
pub fn tool(payload: &Value) -> Tool {
    match Control::check("tool.configured", &payload.to_string(), &Open).unwrap() {
        Some(Control::ToolConfigured(tool)) => *tool,
        other => panic!("{other:?}"),
    }
}

/// An agent's subscription with more in its target.
pub fn agent_payload(more: &Value) -> Value {
    let mut agent = json!({"api": "chat", "baseUrl": "https://model.example/v1", "model": "m"});
    for (name, value) in more.as_object().unwrap() {
        agent[name] = value.clone();
    }
    json!({"slug": SLUG, "target": {"agent": agent}})
}

impl Rig {
    /// An agent, configured at offset 2. `more` stands in its target.
    pub fn new(more: &Value) -> Self {
        let payload = agent_payload(more);
        let mut rig = Self {
            path: StreamPath::parse(PATH).unwrap(),
            config: subscription(&payload),
            configured: 2,
            tools: BTreeMap::new(),
            now: START,
            seen: None,
            log: Vec::new(),
            cursor: 2,
            replay_until: 0,
            state: State::default(),
            wake: None,
            runner: BTreeMap::new(),
            sent: Vec::new(),
            appended: Vec::new(),
        };
        rig.add("stream.created", &json!({"path": PATH, "generation": GENERATION}));
        rig.add("subscription.configured", &payload);
        rig
    }

    /// The same with the tools `lookup` and `danger`, of which the second must be approved.
    pub fn with_tools(more: &Value) -> Self {
        let mut rig = Self::new(more);
        rig.add_tool(&json!({"name": "lookup", "timeoutMs": 60_000}));
        rig.add_tool(&json!({"name": "danger", "approval": true, "timeoutMs": 60_000}));
        rig.deliver(10);
        rig
    }

    pub fn add_tool(&mut self, payload: &Value) {
        let tool = tool(payload);
        self.tools.insert(tool.name.clone(), tool);
        self.add("tool.configured", payload);
    }

    pub fn head(&self) -> u64 {
        self.log.len() as u64
    }

    /// Somebody outside appends an event.
    pub fn add(&mut self, event_type: &str, payload: &Value) -> u64 {
        self.add_after(event_type, payload, None)
    }

    /// The same with the event that caused it.
    pub fn add_after(&mut self, event_type: &str, payload: &Value, cause: Option<u64>) -> u64 {
        self.add_in_chain(event_type, payload, cause.map(|offset| (offset, self.turns(offset))))
    }

    /// The same with a cause and the turns in its chain. What wants a reply comes from the stream that it goes to.
    pub fn add_in_chain(&mut self, event_type: &str, payload: &Value, cause: Option<(u64, u32)>) -> u64 {
        let from = payload["replyTo"]["streamPath"].as_str().map(str::to_owned);
        self.add_from(from.as_deref(), event_type, payload, cause)
    }

    /// An event comes from another stream, if one is named.
    pub fn add_from(
        &mut self,
        from: Option<&str>,
        event_type: &str,
        payload: &Value,
        cause: Option<(u64, u32)>,
    ) -> u64 {
        let payload = payload.to_string();
        let system = from.map(|from| json!({"by": "subscription:boss", "from": from}).to_string());
        let fragment = Fragment { event_type, payload: &payload, metadata: None, system, key: None };
        self.push(&fragment.to_text().unwrap(), cause)
    }

    /// The agent itself, or its Runner, appends an event.
    pub fn add_own(&mut self, event_type: &str, payload: &Value, cause: Option<u64>) -> u64 {
        let payload = payload.to_string();
        let system = Some(format!("{{\"by\":\"subscription:{SLUG}\"}}"));
        let fragment = Fragment { event_type, payload: &payload, metadata: None, system, key: None };
        let cause = cause.map(|offset| (offset, self.turns(offset)));
        self.push(&fragment.to_text().unwrap(), cause)
    }

    fn push(&mut self, fragment: &str, cause: Option<(u64, u32)>) -> u64 {
        let offset = self.head() + 1;
        let cause = cause.map(|(offset, turns)| Cause { stream_path: PATH.to_owned(), offset, hops: 0, turns });
        let mut line = String::new();
        let path = format!("\"{PATH}\"");
        push_line(&mut line, Some(offset), fragment, cause.as_ref(), &path, &to_rfc3339(self.now));
        self.log.push(line);
        offset
    }

    pub fn stored(&self, offset: u64) -> StoredEvent<'_> {
        StoredEvent::parse(&self.log[usize::try_from(offset - 1).unwrap()]).unwrap()
    }

    pub fn event(&self, offset: u64) -> Event {
        Event::read(&self.stored(offset), SLUG)
    }

    pub fn turns(&self, offset: u64) -> u32 {
        if offset == 0 || offset > self.head() { 0 } else { self.event(offset).turns }
    }

    pub fn type_at(&self, offset: u64) -> String {
        self.stored(offset).event_type.into_owned()
    }

    pub fn payload_at(&self, offset: u64) -> Value {
        serde_json::from_str(self.stored(offset).payload.get()).unwrap()
    }

    /// True for what the agent itself, or its Runner, appended.
    pub fn is_own(&self, offset: u64) -> bool {
        let metadata: Value =
            self.stored(offset).metadata.map_or(Value::Null, |raw| serde_json::from_str(raw.get()).unwrap());
        metadata["tailrace"]["by"] == format!("subscription:{SLUG}") && metadata["tailrace"]["from"].is_null()
    }

    /// Offsets of the events of a type.
    pub fn all(&self, event_type: &str) -> Vec<u64> {
        (1..=self.head()).filter(|offset| self.type_at(*offset) == event_type).collect()
    }

    /// The payload of the last event of a type.
    pub fn last(&self, event_type: &str) -> Value {
        let offset = *self.all(event_type).last().unwrap_or_else(|| panic!("no {event_type}: {:#?}", self.log));
        self.payload_at(offset)
    }

    /// The offsets of the next events that it hears, at most so many.
    pub fn next_batch(&self, count: usize) -> Vec<u64> {
        let heard = TypeFilter::new(&self.config.hears().unwrap());
        let due = (self.cursor + 1..=self.head()).filter(|offset| heard.matches(&self.type_at(*offset)));
        let mut batch: Vec<u64> = due.take(count).collect();
        if batch.first().is_some_and(|first| *first <= self.replay_until) {
            batch.retain(|offset| *offset <= self.replay_until);
        }
        batch
    }

    /// What follows from a batch, and the state behind it. Nothing is done yet.
    pub fn step(&self, batch: &[u64]) -> (State, Decision) {
        let events: Vec<Event> = batch.iter().map(|offset| self.event(*offset)).collect();
        let replay = batch.first().is_some_and(|first| *first <= self.replay_until);
        let needed = machine::needs(&self.state, &events);
        let outputs = needed.into_iter().map(|offset| (offset, self.event(offset))).collect();
        let (none, nothing) = (BTreeMap::new(), BTreeMap::new());
        let reading = self.setting(&none, &nothing);
        let mut reads = BTreeMap::new();
        for event in &events {
            if let Fact::Requested { call_id, name, arguments } = &event.fact
                && name == "read_stream"
            {
                let read =
                    tools::read(&reading, call_id, arguments).map(|Read { path, .. }| json!({"read": path.as_str()}));
                reads.insert(call_id.clone(), read);
            }
        }
        let setting = self.setting(&outputs, &reads);
        let state: State = serde_json::from_str(&serde_json::to_string(&self.state).unwrap()).unwrap();
        assert_eq!(state, self.state, "a state is the same once it was written");
        let (next, decision) = machine::step(&setting, state.clone(), &events, replay);
        let (same, again) = machine::step(&setting, state, &events, replay);
        assert_eq!((&next, format!("{decision:?}")), (&same, format!("{again:?}")), "the same twice");
        (next, decision)
    }

    fn setting<'a>(
        &'a self,
        outputs: &'a BTreeMap<u64, Event>,
        reads: &'a BTreeMap<String, Result<Value, String>>,
    ) -> Setting<'a> {
        Setting {
            slug: SLUG,
            path: &self.path,
            generation: GENERATION,
            agent: self.config.agent().unwrap(),
            config: &self.config,
            configured: self.configured,
            tools: &self.tools,
            seen: self.seen,
            now: self.now,
            deployment: &Open,
            outputs,
            reads,
        }
    }

    /// Hands over the next events, at most so many, and settles what is decided. With none, its time has come.
    pub fn deliver(&mut self, count: usize) -> Decision {
        let batch = self.next_batch(count);
        let (state, decision) = self.step(&batch);
        self.work(&decision.effects);
        if let Some(last) = batch.last() {
            self.cursor = *last;
        }
        self.state = state;
        self.wake = decision.wake;
        self.appended.clear();
        for answered in &decision.append {
            self.settle(answered);
        }
        if let Some(start) = &decision.start {
            self.settle(&turn_started(SLUG, start, "sha").unwrap());
        }
        decision
    }

    /// What happens outside before a settle.
    pub fn work(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Ask { request_id, started, .. } => {
                    let call = self.runner.entry(request_id.clone()).or_default();
                    call.started = *started;
                    call.wanted += 1;
                }
                Effect::BreakOff { request_id, started, .. } => {
                    let call = self.runner.entry(request_id.clone()).or_default();
                    call.started = *started;
                    call.stops = true;
                }
            }
        }
    }

    fn settle(&mut self, answered: &Answered) {
        let content: Value = serde_json::from_str(&format!("{{{}}}", answered.fragment)).unwrap();
        if let Some(to) = &answered.to {
            self.sent.push((to.clone(), answered.event_type.clone(), content["payload"].clone()));
            return;
        }
        let (path, offset) = answered.cause.clone().unwrap();
        assert_eq!(path, None, "it names no event of another stream");
        let turns = self.turns(offset) + u32::from(answered.is_turn);
        self.appended.push((answered.event_type.clone(), content["payload"].clone()));
        self.push(&answered.fragment, Some((offset, turns)));
    }

    /// Hands over all there is, and once more when it wants to be asked again right now.
    pub fn settle_all(&mut self) {
        for _ in 0..200 {
            if self.next_batch(1).is_empty() && self.wake.is_none_or(|wake| wake > self.now) {
                return;
            }
            self.deliver(100);
        }
        panic!("it never comes to rest: {:#?} {:?}", self.log, self.state);
    }

    /// Time goes by until it wants to be asked again.
    pub fn wait(&mut self) {
        let wake = self.wake.expect("it wants to be asked again");
        self.now = self.now.max(wake);
        self.settle_all();
    }

    /// Somebody says something, and enough time goes by that a turn starts. Returns the request.
    pub fn asked(&mut self, content: &str) -> String {
        self.add("agent.input-added", &json!({"content": content}));
        self.settle_all();
        self.wait();
        self.request()
    }

    /// The request that is under way.
    pub fn request(&self) -> String {
        let last = self.last("agent.turn-started");
        last["requestId"].as_str().unwrap().to_owned()
    }

    /// The model answers, as the Runner tells it: with `[name, arguments]` for each call.
    pub fn output(&mut self, request: &str, content: &str, calls: &[(&str, Value)]) -> u64 {
        let calls: Vec<Value> = calls
            .iter()
            .enumerate()
            .map(|(index, (name, arguments))| {
                json!({"callId": format!("{request}.{index}"), "name": name, "arguments": arguments})
            })
            .collect();
        let payload = json!({"agent": SLUG, "requestId": request, "content": content, "toolCalls": calls});
        self.end(request, "agent.output-added", &payload)
    }

    /// A request ends, as the Runner tells it.
    pub fn end(&mut self, request: &str, event_type: &str, payload: &Value) -> u64 {
        let call = self.runner.entry(request.to_owned()).or_default();
        call.has_end = true;
        let started = call.started;
        self.add_own(event_type, payload, Some(started))
    }

    pub fn interrupted(&mut self, request: &str) -> u64 {
        let payload = json!({"agent": SLUG, "requestId": request, "partial": "so f"});
        self.end(request, "agent.turn-interrupted", &payload)
    }

    pub fn failed(&mut self, request: &str, is_final: bool) -> u64 {
        let payload =
            json!({"agent": SLUG, "requestId": request, "error": "HTTP 500", "attempt": 1, "final": is_final});
        if is_final {
            return self.end(request, "agent.turn-failed", &payload);
        }
        self.add_own("agent.turn-failed", &payload, None)
    }

    /// The types that the last step appended here.
    pub fn appended_types(&self) -> Vec<&str> {
        self.appended.iter().map(|(event_type, _)| event_type.as_str()).collect()
    }

    /// The calls of the log's outputs that count: those of outputs that ended their request first.
    pub fn wanted_calls(&self) -> Vec<String> {
        let mut ended = BTreeSet::new();
        let mut calls = Vec::new();
        for offset in 1..=self.head() {
            let payload = self.payload_at(offset);
            let is_end = match self.type_at(offset).as_str() {
                "agent.output-added" | "agent.turn-interrupted" => true,
                "agent.turn-failed" => payload["final"] == true,
                _ => false,
            };
            let request = payload["requestId"].as_str().unwrap_or_default().to_owned();
            let is_own = self.stored(offset).metadata.is_some()
                && payload["agent"] == SLUG
                && self.runner.contains_key(&request);
            if !is_end || !is_own || !ended.insert(request) {
                continue;
            }
            for call in payload["toolCalls"].as_array().into_iter().flatten() {
                calls.push(call["callId"].as_str().unwrap().to_owned());
            }
        }
        calls
    }

    /// Offsets of the ends of a call.
    pub fn ends_of(&self, call_id: &str) -> Vec<u64> {
        let is_end = |offset: &u64| {
            matches!(self.type_at(*offset).as_str(), "tool.completed" | "tool.failed" | "tool.denied")
                && self.payload_at(*offset)["callId"] == call_id
        };
        (1..=self.head()).filter(is_end).collect()
    }

    /// The log up to an event as a conversation.
    pub fn transcript(&self, up_to: u64) -> Transcript {
        let mut transcript = Transcript::new(SLUG);
        for offset in 1..=up_to.min(self.head()) {
            transcript.take(&self.stored(offset));
        }
        transcript
    }

    /// The body of the request made of the log up to an event.
    pub fn body(&self, up_to: u64) -> Value {
        serde_json::from_str(&self.transcript(up_to).request().unwrap().body).unwrap()
    }
}
