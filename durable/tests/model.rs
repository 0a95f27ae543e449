//! Random histories of one stream, against a plain model of it: a list of events and the rules.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(missing_docs, reason = "a test's name says it")]

mod support;

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Map, Value, json};
use support::{Deployment, START};
use tailrace_durable::page::Query;
use tailrace_model::time::to_rfc3339;

const S: &str = "/s";

// What can happen.

#[derive(Clone, Debug)]
enum Step {
    Append {
        events: Vec<New>,
        import: bool,
    },
    Hook,
    /// The clock moves, also backwards.
    Clock(i64),
    /// The alarm rings, due or not.
    Alarm,
    Sleep,
    /// The process dies before the next commit.
    Crash,
    Delete,
}

#[derive(Clone, Debug)]
struct New {
    what: What,
    key: Option<u8>,
    /// The expected offset, as a distance from the right one.
    expected: Option<i64>,
    cause: Option<(bool, u64)>,
    /// Differs between repeats, and may.
    metadata: bool,
}

#[derive(Clone, Debug)]
enum What {
    Plain(u8, u8),
    Pause,
    Resume,
    Breaker(Option<u64>, u64),
    Metadata(u8, Option<u8>),
}

impl What {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Plain(kind, _) => ["a.x", "a.y", "b", "c"][usize::from(*kind)],
            Self::Pause => "stream.paused",
            Self::Resume => "stream.resumed",
            Self::Breaker(..) => "breaker.configured",
            Self::Metadata(..) => "stream.metadata-updated",
        }
    }

    fn is_control(&self) -> bool {
        !matches!(self, Self::Plain(..))
    }

    fn payload(&self) -> Value {
        match self {
            Self::Plain(_, variant) => json!({ "v": variant }),
            Self::Pause => json!({"reason": "by hand"}),
            Self::Resume => json!({}),
            Self::Breaker(limit, window_ms) => json!({"limit": limit, "windowMs": window_ms}),
            Self::Metadata(name, value) => json!({"metadata": {format!("m{name}"): value}}),
        }
    }
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        24 => (0_u8..4, 0_u8..2).prop_map(|(kind, variant)| What::Plain(kind, variant)),
        2 => Just(What::Pause),
        3 => Just(What::Resume),
        2 => (prop_oneof![1 => Just(None), 6 => (1_u64..7).prop_map(Some)], prop_oneof![Just(1), Just(10), Just(40), Just(1_000)])
            .prop_map(|(limit, window_ms)| What::Breaker(limit, window_ms)),
        2 => (0_u8..3, proptest::option::of(0_u8..9)).prop_map(|(name, value)| What::Metadata(name, value)),
    ]
}

fn new_event() -> impl Strategy<Value = New> {
    (
        what(),
        prop_oneof![5 => Just(None), 2 => (0_u8..6).prop_map(Some)],
        prop_oneof![8 => Just(None), 2 => Just(Some(0)), 1 => (-1_i64..2).prop_map(Some)],
        prop_oneof![5 => Just(None), 2 => (any::<bool>(), 1_u64..12).prop_map(Some)],
        any::<bool>(),
    )
        .prop_map(|(what, key, expected, cause, metadata)| New { what, key, expected, cause, metadata })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => new_event().prop_map(|event| Step::Append { events: vec![event], import: false }),
        4 => proptest::collection::vec(new_event(), 1..9).prop_map(|events| Step::Append { events, import: false }),
        1 => proptest::collection::vec(new_event(), 1..4).prop_map(|events| Step::Append { events, import: true }),
        4 => Just(Step::Hook),
        6 => prop_oneof![6 => 0_i64..30, 1 => Just(1_000), 1 => -60_i64..0].prop_map(Step::Clock),
        3 => Just(Step::Alarm),
        2 => Just(Step::Sleep),
        1 => Just(Step::Crash),
        1 => Just(Step::Delete),
    ]
}

/// A step of a history that is only about the breaker: many events, few milliseconds, a small limit.
fn breaker_step() -> impl Strategy<Value = Step> {
    let plain = || New { what: What::Plain(0, 0), key: None, expected: None, cause: None, metadata: false };
    let one = move |what: What| Step::Append { events: vec![New { what, ..plain() }], import: false };
    prop_oneof![
        12 => Just(one(What::Plain(0, 0))),
        3 => (1_usize..12).prop_map(move |count| Step::Append { events: vec![plain(); count], import: false }),
        2 => Just(one(What::Resume)),
        1 => Just(one(What::Breaker(Some(5), 10))),
        1 => Just(one(What::Breaker(Some(3), 25))),
        3 => Just(Step::Hook),
        8 => prop_oneof![8 => 1_i64..9, 1 => -15_i64..0].prop_map(Step::Clock),
        3 => Just(Step::Alarm),
        2 => Just(Step::Sleep),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    (
        prop_oneof![3 => Just(0), 2 => 0_u64..40],
        proptest::option::of(0_u64..45),
        prop_oneof![2 => Just(1_000), 3 => 0_u64..9],
        proptest::option::weighted(0.3, 0_u64..12),
        proptest::option::weighted(
            0.5,
            prop_oneof![
                Just("a.*"),
                Just("b,c"),
                Just("stream.*"),
                Just("*"),
                Just("none"),
                Just("st*,a.b"),
                Just("a,b,c,d,e.*"),
            ],
        ),
        proptest::option::weighted(0.2, -30_i64..200),
        proptest::option::weighted(0.2, -30_i64..200),
        proptest::option::weighted(0.2, 1_u64..12),
    )
        .prop_map(|(after, before, limit, last, types, since, until, cause)| Query {
            after,
            before,
            limit,
            last,
            types: types.map(str::to_owned),
            since: since.map(|it| START + it),
            until: until.map(|it| START + it),
            cause,
            cause_path: None,
            max_bytes: None,
        })
}

// The model.

#[derive(Clone, Debug, Default)]
struct Model {
    events: Vec<Event>,
    /// Key -> offset.
    keys: BTreeMap<u8, u64>,
    paused: Option<Value>,
    breaker: Option<(Option<u64>, u64)>,
    /// When, how many counted, how many hooks.
    window: Vec<(i64, u64, u64)>,
    parked: VecDeque<String>,
}

#[derive(Clone, Debug)]
struct Event {
    kind: String,
    payload: Value,
    at: i64,
    cause: Option<(String, u64, u64)>,
}

enum Answer {
    Refused(&'static str),
    Taken { offsets: Vec<u64>, duplicate: bool, tripped: bool },
}

impl Model {
    fn head(&self) -> u64 {
        self.events.len() as u64
    }

    fn now(&self, clock: i64) -> i64 {
        self.events.last().map_or(clock, |last| clock.max(last.at))
    }

    fn breaker(&self) -> (Option<u64>, u64) {
        self.breaker.unwrap_or((Some(100), 1_000))
    }

    fn in_window(&self, at: i64) -> (u64, u64) {
        let edge = at - i64::try_from(self.breaker().1).unwrap();
        let inside = self.window.iter().filter(|(when, ..)| *when > edge);
        inside.fold((0, 0), |sum, (_, counted, hooks)| (sum.0 + counted, sum.1 + hooks))
    }

    fn room(&self, at: i64) -> u64 {
        let (counted, hooks) = self.in_window(at);
        self.breaker().0.map_or(u64::MAX, |limit| limit.saturating_sub(counted + hooks))
    }

    fn push(&mut self, at: i64, event_type: &str, payload: Value, cause: Option<(String, u64, u64)>) -> u64 {
        self.events.push(Event { kind: event_type.to_owned(), payload, at, cause });
        self.head()
    }

    fn be_born(&mut self, at: i64) {
        if self.events.is_empty() {
            self.push(at, "stream.created", Value::Null, None);
        }
    }

    fn append(&mut self, clock: i64, events: &[New], import: bool) -> Answer {
        let before = self.clone();
        let answer = self.try_append(clock, events, import);
        if matches!(answer, Answer::Refused(_)) {
            *self = before;
        }
        answer
    }

    fn try_append(&mut self, clock: i64, events: &[New], import: bool) -> Answer {
        let at = self.now(clock);
        let before = self.events.len();
        self.be_born(at);
        let (mut offsets, mut counted, mut anew, mut written) = (Vec::new(), 0, false, false);
        for new in events {
            let (event_type, payload) = (stored_type(new, import), new.what.payload());
            if let Some(&first) = new.key.and_then(|key| self.keys.get(&key)) {
                let known = &self.events[usize::try_from(first).unwrap() - 1];
                if (&known.kind, &known.payload) != (&event_type, &payload) {
                    return Answer::Refused("idempotency_conflict");
                }
                offsets.push(first);
                continue;
            }
            let control = new.what.is_control() && !import;
            if self.paused.is_some() && !control {
                return Answer::Refused("stream_paused");
            }
            if !import && new.expected.is_some_and(|distance| distance != 0) {
                return Answer::Refused("offset_mismatch");
            }
            let cause = if import { None } else { new.cause.map(|(here, offset)| self.cause(before, here, offset)) };
            let offset = self.push(at, &event_type, payload, cause);
            offsets.push(offset);
            written = true;
            if let Some(key) = new.key {
                self.keys.insert(key, offset);
            }
            if !import {
                counted += 1;
                if self.obey(&new.what, at, offset) {
                    (counted, anew) = (0, true);
                }
            }
        }
        if !written {
            return Answer::Taken { offsets, duplicate: true, tripped: false };
        }
        if anew {
            self.window.clear();
        }
        let (limit, window_ms) = self.breaker();
        let counted = limit.map_or(counted, |limit| counted.min(limit));
        let observed = self.in_window(at).0 + counted;
        self.window.push((at, counted, 0));
        let tripped = limit.is_some_and(|limit| observed > limit) && self.paused.is_none();
        if tripped {
            let reason = format!("circuit breaker: {observed} events in {window_ms} ms");
            let breaker = json!({"limit": limit, "windowMs": window_ms, "observed": observed});
            let offset = self.push(at, "stream.paused", json!({"reason": reason, "breaker": breaker}), None);
            self.paused =
                Some(json!({"reason": reason, "since": to_rfc3339(at), "offset": offset, "breaker": breaker}));
        }
        Answer::Taken { offsets, duplicate: false, tripped }
    }

    /// A cause in the same stream goes on with the hops of that event, if it stood there `before` this commit.
    fn cause(&self, before: usize, here: bool, offset: u64) -> (String, u64, u64) {
        if !here {
            return ("/other".to_owned(), offset, 1);
        }
        let causing = self.events[..before].get(usize::try_from(offset).unwrap() - 1);
        (S.to_owned(), offset, causing.and_then(|it| it.cause.as_ref()).map_or(0, |it| it.2))
    }

    /// True when the breaker's window begins anew.
    fn obey(&mut self, what: &What, at: i64, offset: u64) -> bool {
        match what {
            What::Pause => {
                self.paused = Some(json!({"reason": "by hand", "since": to_rfc3339(at), "offset": offset}));
                false
            }
            What::Resume => {
                self.paused = None;
                true
            }
            What::Breaker(limit, window_ms) => {
                self.breaker = Some((*limit, *window_ms));
                true
            }
            What::Plain(..) | What::Metadata(..) => false,
        }
    }

    /// The offset, or `None` when it waits.
    fn hook(&mut self, clock: i64, body: &str) -> Option<u64> {
        let at = self.now(clock);
        if !self.events.is_empty() && (!self.parked.is_empty() || self.paused.is_some() || self.room(at) == 0) {
            self.parked.push_back(body.to_owned());
            return None;
        }
        self.be_born(at);
        self.window.push((at, 0, 1));
        Some(self.push(at, "webhook.received", json!(body), None))
    }

    fn let_in(&mut self, clock: i64) {
        let at = self.now(clock);
        if self.paused.is_some() || self.events.is_empty() {
            return;
        }
        let count = self.room(at).min(self.parked.len() as u64);
        for _ in 0..count {
            let body = self.parked.pop_front().unwrap();
            self.push(at, "webhook.received", json!(body), None);
        }
        self.window.push((at, 0, count));
    }
}

fn stored_type(new: &New, import: bool) -> String {
    let prefix = if import && new.what.is_control() { "imported." } else { "" };
    format!("{prefix}{}", new.what.event_type())
}

/// The state as the first `at` events of a log make it.
fn replayed(log: &[Value], at: usize) -> Value {
    let (mut paused, mut breaker, mut metadata) = (Value::Null, json!({"limit": 100, "windowMs": 1_000}), Map::new());
    for event in &log[..at] {
        let payload = &event["payload"];
        match event["type"].as_str().unwrap() {
            "stream.paused" => {
                paused = json!({"reason": payload["reason"], "since": event["createdAt"], "offset": event["offset"]});
                if !payload["breaker"].is_null() {
                    paused["breaker"] = payload["breaker"].clone();
                }
            }
            "stream.resumed" => paused = Value::Null,
            "breaker.configured" => breaker = payload.clone(),
            "stream.metadata-updated" => {
                for (name, value) in payload["metadata"].as_object().unwrap() {
                    if value.is_null() {
                        metadata.remove(name);
                    } else {
                        metadata.insert(name.clone(), value.clone());
                    }
                }
            }
            _ => {}
        }
    }
    let created = log.first().filter(|_| at > 0);
    json!({
        "streamPath": created.map(|it| &it["payload"]["path"]), "generation": created.map(|it| &it["payload"]["generation"]),
        "createdAt": created.map(|it| &it["createdAt"]), "head": at, "paused": paused, "breaker": breaker, "metadata": metadata,
        "schedules": {}, "subscriptions": {}, "hooks": {}, "tools": {},
    })
}

// The comparison.

struct Run {
    d: Deployment,
    model: Model,
    hooks: usize,
}

type Checked = Result<(), TestCaseError>;

impl Run {
    fn new() -> Self {
        Self { d: Deployment::new(), model: Model::default(), hooks: 0 }
    }

    fn step(&mut self, step: &Step) -> Checked {
        match step {
            Step::Clock(by) => self.d.now += by,
            Step::Sleep => self.d.evict(S),
            Step::Crash => self.d.crash_next = true,
            Step::Alarm => {
                if self.d.crash_next {
                    self.d.next_call(S);
                } else {
                    self.model.let_in(self.d.now);
                    // What is owed to the parent is not this test's subject: it never arrives.
                    while self.d.next_call(S).is_some() {}
                }
            }
            Step::Delete => {
                let lived = !self.model.events.is_empty();
                if !self.d.crash_next {
                    self.model = Model::default();
                    prop_assert_eq!(self.d.delete(S, false).status, if lived { 200 } else { 404 });
                }
            }
            Step::Hook => self.hook()?,
            Step::Append { events, import } => self.append(events, *import)?,
        }
        self.same_in_memory_as_stored()
    }

    fn hook(&mut self) -> Checked {
        self.hooks += 1;
        let body = format!("h{}", self.hooks);
        let Some(said) = self.d.hook_as(S, &body, true, None) else { return Ok(()) };
        let expected = match self.model.hook(self.d.now, &body) {
            Some(offset) => (200, json!({ "offset": offset })),
            None => (202, json!({"parked": true})),
        };
        prop_assert_eq!((said.status, said.json()), expected);
        Ok(())
    }

    fn append(&mut self, events: &[New], import: bool) -> Checked {
        let bodies = self.bodies(events, import);
        let body = if let [one] = bodies.as_slice() { one.to_string() } else { json!(bodies).to_string() };
        let Some(said) = self.d.append_as(S, &body, import, None) else { return Ok(()) };
        match self.model.append(self.d.now, events, import) {
            Answer::Refused(code) => {
                prop_assert_eq!(said.code(), code, "{}", body);
                prop_assert_eq!(self.d.written, 0);
            }
            Answer::Taken { offsets, duplicate, tripped } => {
                prop_assert_eq!(said.status, 200, "{}: {}", body, said.body);
                prop_assert_eq!(said.offsets(), offsets);
                prop_assert_eq!(said.header("tailrace-duplicate").is_some(), duplicate);
                prop_assert_eq!(said.header("tailrace-paused").is_some(), tripped);
            }
        }
        Ok(())
    }

    /// The events as a client sends them; it reckons the offsets without knowing of duplicates that are stored already.
    fn bodies(&self, events: &[New], import: bool) -> Vec<Value> {
        let mut known = self.model.keys.clone();
        let mut next = self.model.head().max(1) + 1;
        let mut bodies = Vec::new();
        for (index, new) in events.iter().enumerate() {
            let mut body = json!({"type": new.what.event_type(), "payload": new.what.payload()});
            if let Some(key) = new.key {
                body["idempotencyKey"] = json!(format!("k{key}"));
            }
            if let Some(distance) = new.expected {
                body["offset"] = json!(u64::try_from(i64::try_from(next).unwrap() + distance).unwrap());
            }
            if let Some((here, offset)) = new.cause {
                body["cause"] =
                    if here { json!({ "offset": offset }) } else { json!({"streamPath": "/other", "offset": offset}) };
            }
            if new.metadata {
                body["metadata"] = json!({"index": index});
            }
            if import {
                body["streamPath"] = json!("/origin");
            }
            bodies.push(body);
            let fresh = new.key.is_none_or(|key| known.insert(key, next).is_none());
            next += u64::from(fresh);
        }
        bodies
    }

    /// What is in memory is what a fresh object would load.
    fn same_in_memory_as_stored(&mut self) -> Checked {
        let anew = self.d.opened_anew(S);
        let clock = self.d.now;
        let (now, model) = (self.model.now(clock), &self.model);
        let stream = self.d.stream(S);
        prop_assert_eq!(stream.head(), model.head());
        prop_assert_eq!(anew.head(), model.head());
        prop_assert_eq!(stream.generation(), anew.generation());
        prop_assert_eq!(stream.next_alarm(), anew.next_alarm());
        let (Ok(here), Ok(there)) = (stream.life(), anew.life()) else {
            prop_assert!(stream.life().is_err() && anew.life().is_err() && model.events.is_empty());
            return Ok(());
        };
        prop_assert_eq!(&here.state, &there.state);
        prop_assert_eq!((here.last_at, here.parked), (there.last_at, there.parked));
        prop_assert_eq!(here.parked.count, model.parked.len() as u64);
        prop_assert_eq!(here.state.paused.is_some(), model.paused.is_some());
        for life in [here, there] {
            let mut window = life.window.clone();
            window.slide(now, life.state.breaker.window_ms);
            prop_assert_eq!(window.counted(), model.in_window(now).0);
            prop_assert_eq!(window.room_for_hooks(&life.state.breaker, now), model.room(now));
        }
        Ok(())
    }

    /// The log is the model's, event for event, and the state at every offset a replay of it.
    fn log_is_right(&mut self) -> Result<Vec<String>, TestCaseError> {
        if self.model.events.is_empty() {
            return Ok(Vec::new());
        }
        let lines = self.d.lines(S, &support::all());
        prop_assert_eq!(lines.len(), self.model.events.len());
        let log: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (index, (stored, event)) in log.iter().zip(&self.model.events).enumerate() {
            prop_assert_eq!(&stored["offset"], &json!(index + 1));
            prop_assert_eq!(&stored["type"], &event.kind);
            prop_assert_eq!(&stored["createdAt"], &to_rfc3339(event.at));
            prop_assert_eq!(&stored["streamPath"], S);
            let payload =
                if stored["type"] == "webhook.received" { &stored["payload"]["body"] } else { &stored["payload"] };
            prop_assert!(index == 0 || payload == &event.payload, "{}", stored);
            let cause = event
                .cause
                .as_ref()
                .map(|(path, offset, hops)| json!({"streamPath": path, "offset": offset, "hops": hops, "turns": 0}));
            prop_assert_eq!(&stored["cause"], &json!(cause));
        }
        for at in 0..=log.len() {
            let mut state = self.d.state(S, Some(at as u64)).json();
            if at == log.len() {
                let now = self.d.state(S, None).json();
                prop_assert_eq!(&now["parked"]["count"], &json!(self.model.parked.len()));
                prop_assert_eq!(&now["lastEventAt"], &log[at - 1]["createdAt"]);
                state = now;
                state.as_object_mut().unwrap().retain(|name, _| name != "parked" && name != "lastEventAt");
                prop_assert_eq!(&state["paused"], &json!(self.model.paused));
            }
            prop_assert_eq!(&state, &replayed(&log, at), "at {}", at);
        }
        Ok(lines)
    }

    fn page_is_right(&mut self, query: &Query, lines: &[String]) -> Checked {
        let said = self.d.read(S, query);
        if self.model.events.is_empty() {
            prop_assert_eq!(said.code(), "stream_not_found");
            return Ok(());
        }
        let matching: Vec<usize> = (0..lines.len()).filter(|index| self.matches(query, *index)).collect();
        let skipped = query.last.map_or(0, |last| matching.len().saturating_sub(usize::try_from(last).unwrap()));
        let wanted = &matching[skipped..];
        let count = wanted.len().min(usize::try_from(query.limit).unwrap());
        let expected: Vec<&str> = wanted[..count].iter().map(|index| lines[*index].as_str()).collect();
        prop_assert_eq!(self.d.lines(S, query), expected);
        let page = said.json();
        let after = page["afterOffset"].as_u64().unwrap();
        let next = wanted.get(count).map(|index| *index as u64 + 1);
        prop_assert!(after >= query.after);
        prop_assert!(count == 0 || after > wanted[count - 1] as u64);
        prop_assert!(next.is_none_or(|next| after < next), "{} skips {:?}", page, next);
        if query.limit > 0 {
            prop_assert_eq!(page["upToDate"] == true, next.is_none(), "{}", page);
        }
        Ok(())
    }

    fn matches(&self, query: &Query, index: usize) -> bool {
        let (event, offset) = (&self.model.events[index], index as u64 + 1);
        let glob = |glob: &str| match glob.strip_suffix('*') {
            Some(prefix) => event.kind.starts_with(prefix),
            None => event.kind == glob,
        };
        offset > query.after
            && query.before.is_none_or(|before| offset < before)
            && query.types.as_ref().is_none_or(|types| types.split(',').any(glob))
            && query.since.is_none_or(|since| event.at >= since)
            && query.until.is_none_or(|until| event.at <= until)
            && query.cause.is_none_or(|of| event.cause.as_ref().is_some_and(|it| it.0 == S && it.1 == of))
    }
}

fn follow(steps: &[Step], queries: &[Query]) -> Checked {
    let mut run = Run::new();
    for step in steps {
        run.step(step)?;
    }
    run.d.crash_next = false;
    let lines = run.log_is_right()?;
    for query in queries {
        run.page_is_right(query, &lines)?;
    }
    run.d.evict(S);
    prop_assert_eq!(run.log_is_right()?, lines);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_does_what_a_plain_list_of_events_with_the_rules_would(
        steps in proptest::collection::vec(step(), 1..40),
        queries in proptest::collection::vec(query(), 4),
    ) {
        follow(&steps, &queries)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_breaker_is_exact_to_the_event(steps in proptest::collection::vec(breaker_step(), 1..60)) {
        let first = Step::Append {
            events: vec![New { what: What::Breaker(Some(5), 10), key: None, expected: None, cause: None, metadata: false }],
            import: false,
        };
        let steps: Vec<Step> = std::iter::once(first).chain(steps).collect();
        follow(&steps, &[])?;
    }
}
