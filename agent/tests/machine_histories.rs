//! The state machine through random histories: whatever comes in which order, and wherever batches are cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(missing_docs, reason = "a test's name says it")]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Rig, SLUG};
use tailrace_agent::state::{Phase, Stage, State};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Happens {
    /// Somebody says something; it may name an earlier event as its cause.
    Input {
        pick: Option<usize>,
        owed: bool,
    },
    InterruptRequested,
    /// A batch of at most so many events.
    Delivered(usize),
    /// The courier died between what it did outside and the settle.
    SettleLost(usize),
    TimePasses(i64),
    /// The model answers, with these calls.
    Answers {
        pick: usize,
        calls: Vec<usize>,
    },
    FailsForGood(usize),
    FailsOnce(usize),
    BrokenOff(usize),
    /// A tool ends, whether it was asked to or not: open or ended long ago.
    ToolEnds {
        pick: usize,
        how: usize,
        has_cause: bool,
    },
    Approved(usize),
    Denied(usize),
    ChildDeleted(usize),
    /// An end of what is not its own.
    Foreign(usize),
    Resumed,
    /// How far others have seen the stream.
    Seen(bool),
}

const CALLS: usize = 7;

fn happens() -> impl Strategy<Value = Happens> {
    let pick = 0_usize..1_000;
    prop_oneof![
        4 => (prop::option::of(pick.clone()), any::<bool>()).prop_map(|(pick, owed)| Happens::Input { pick, owed }),
        1 => Just(Happens::InterruptRequested),
        10 => (1_usize..5).prop_map(Happens::Delivered),
        1 => (1_usize..5).prop_map(Happens::SettleLost),
        5 => prop::sample::select(vec![1_i64, 100, 300, 2_000, 6_000, 61_000, 400_000, 90_000_000]).prop_map(Happens::TimePasses),
        6 => (pick.clone(), prop::collection::vec(0..CALLS, 0..4)).prop_map(|(pick, calls)| Happens::Answers { pick, calls }),
        1 => pick.clone().prop_map(Happens::FailsForGood),
        1 => pick.clone().prop_map(Happens::FailsOnce),
        1 => pick.clone().prop_map(Happens::BrokenOff),
        6 => (pick.clone(), 0_usize..3, any::<bool>())
            .prop_map(|(pick, how, has_cause)| Happens::ToolEnds { pick, how, has_cause }),
        3 => pick.clone().prop_map(Happens::Approved),
        1 => pick.clone().prop_map(Happens::Denied),
        1 => pick.clone().prop_map(Happens::ChildDeleted),
        1 => pick.prop_map(Happens::Foreign),
        1 => Just(Happens::Resumed),
        1 => any::<bool>().prop_map(Happens::Seen),
    ]
}

fn wanted(kind: usize) -> (&'static str, Value) {
    match kind {
        0 | 1 => ("lookup", json!({"q": kind})),
        2 => ("danger", json!({"rm": 1})),
        3 => ("nowhere", json!({})),
        4 => ("append_event", json!({"type": "note.taken"})),
        5 => ("append_event", json!({"type": "agent.input-added", "payload": {"content": "again"}})),
        _ => ("spawn", json!({"input": "count", "timeoutMs": 30_000})),
    }
}

fn pick<T: Clone>(from: &[T], pick: usize) -> Option<T> {
    (!from.is_empty()).then(|| from[pick % from.len()].clone())
}

/// Requests that have no end yet.
fn open_requests(rig: &Rig) -> Vec<String> {
    rig.runner.iter().filter(|(_, call)| !call.has_end).map(|(request, _)| request.clone()).collect()
}

fn happen(rig: &mut Rig, it: &Happens) {
    match it {
        Happens::Input { pick: from, owed } => {
            let payload = if *owed {
                json!({"content": "x", "replyTo": {"streamPath": "/team", "callId": format!("o.{}", rig.head())}})
            } else {
                json!({"content": "x"})
            };
            let cause = from.map(|it| 1 + it as u64 % rig.head());
            rig.add_after("agent.input-added", &payload, cause);
        }
        Happens::InterruptRequested => {
            rig.add("agent.interrupt-requested", &json!({}));
        }
        // Without events it is asked only when there are none and its time has come.
        Happens::Delivered(_) | Happens::SettleLost(_)
            if rig.next_batch(1).is_empty() && rig.wake.is_none_or(|wake| wake > rig.now) => {}
        Happens::Delivered(count) => {
            rig.deliver(*count);
        }
        Happens::SettleLost(count) => {
            let (_, decision) = rig.step(&rig.next_batch(*count));
            rig.work(&decision.effects);
        }
        Happens::TimePasses(ms) => rig.now += ms,
        Happens::Answers { pick: which, calls } => {
            if let Some(request) = pick(&open_requests(rig), *which) {
                let calls: Vec<(&str, Value)> = calls.iter().map(|kind| wanted(*kind)).collect();
                rig.output(&request, "said", &calls);
            }
        }
        Happens::FailsForGood(which) => {
            if let Some(request) = pick(&open_requests(rig), *which) {
                rig.failed(&request, true);
            }
        }
        Happens::FailsOnce(which) => {
            if let Some(request) = pick(&open_requests(rig), *which) {
                rig.failed(&request, false);
            }
        }
        Happens::BrokenOff(which) => {
            let stopping: Vec<String> = open_requests(rig).into_iter().filter(|it| rig.runner[it].stops).collect();
            if let Some(request) = pick(&stopping, *which) {
                rig.interrupted(&request);
            }
        }
        Happens::ToolEnds { pick: which, how, has_cause } => {
            if let Some(call) = pick(&rig.wanted_calls(), *which) {
                end_tool(rig, &call, *how, *has_cause);
            }
        }
        Happens::Approved(which) => {
            let mut calls = rig.wanted_calls();
            calls.push("writer.g1.1.0".to_owned());
            let call = pick(&calls, *which).unwrap();
            rig.add("tool.approved", &json!({"callId": call}));
        }
        Happens::Denied(which) => {
            if let Some(call) = pick(&rig.wanted_calls(), *which) {
                rig.add("tool.denied", &json!({"callId": call}));
            }
        }
        Happens::ChildDeleted(which) => {
            let children = rig.all("tool.started");
            if let Some(offset) = pick(&children, *which) {
                let path = rig.payload_at(offset)["streamPath"].clone();
                rig.add("stream.child-deleted", &json!({"path": path, "generation": "x"}));
            }
        }
        Happens::Foreign(which) => {
            let request = pick(&open_requests(rig), *which).unwrap_or_else(|| "writer.g1.0".to_owned());
            match which % 3 {
                0 => rig.add("agent.output-added", &json!({"agent": SLUG, "requestId": request, "content": "forged"})),
                1 => rig.add_own(
                    "agent.output-added",
                    &json!({"agent": SLUG, "requestId": "writer.g0.7", "content": "x"}),
                    None,
                ),
                _ => rig.add_own("agent.turn-interrupted", &json!({"agent": "reader", "requestId": request}), None),
            };
        }
        Happens::Resumed => {
            rig.add("stream.resumed", &json!({}));
        }
        Happens::Seen(all) => {
            rig.seen = (!all).then_some(2);
            // The stream has those look again who wait for others.
            rig.wake = rig.wake.map(|wake| if *all { rig.now } else { wake });
        }
    }
}

fn end_tool(rig: &mut Rig, call: &str, how: usize, has_cause: bool) {
    let cause = (1..=rig.head())
        .find(|it| rig.type_at(*it) == "tool.requested" && rig.payload_at(*it)["callId"] == call)
        .filter(|_| has_cause);
    match how {
        0 => rig.add_after("tool.completed", &json!({"callId": call, "result": 1}), cause),
        1 => rig.add_after("tool.failed", &json!({"callId": call, "error": "x"}), cause),
        _ => rig.add_after("tool.started", &json!({"callId": call, "attempt": 1}), cause),
    };
}

/// Calls of tools outside that run and have not ended.
fn running(rig: &Rig) -> Vec<String> {
    let calls = rig.state.calls.iter().filter(|call| call.stage == Stage::Running);
    let open = calls.filter(|call| rig.ends_of(&call.call_id).is_empty());
    open.map(|call| call.call_id.clone()).collect()
}

/// All that is under way comes to its end, and nothing new happens.
fn come_to_rest(rig: &mut Rig, tools_end: bool) {
    for _ in 0..2_000 {
        if !rig.next_batch(1).is_empty() {
            rig.deliver(7);
        } else if let Some(request) = open_requests(rig).first() {
            let request = request.clone();
            if rig.runner[&request].stops {
                rig.interrupted(&request)
            } else {
                rig.output(&request, "done", &[])
            };
        } else if let (Some(call), true) = (running(rig).first(), tools_end) {
            end_tool(rig, &call.clone(), 0, false);
        } else if let Some(wake) = rig.wake {
            asked_in_time(rig, wake);
        } else {
            return;
        }
    }
    panic!("it never comes to rest: {:#?}\n{:?}", rig.log, rig.state);
}

/// It is asked when it wants to be: nothing would follow before, and it does not want to be asked for nothing.
fn asked_in_time(rig: &mut Rig, wake: i64) {
    if wake > rig.now {
        let early = Rig { now: wake - 1, ..rig.clone() };
        let (_, decision) = early.step(&[]);
        let is_nothing = decision.append.is_empty() && decision.start.is_none() && decision.effects.is_empty();
        assert!(is_nothing, "it wanted to be asked too late: {decision:?}");
    }
    rig.now = rig.now.max(wake);
    let before = rig.head();
    let decision = rig.deliver(0);
    let went_on = rig.head() > before || !decision.effects.is_empty();
    assert!(
        went_on || rig.wake.is_none_or(|next| next > rig.now),
        "asked for nothing, again and again: {:?}",
        rig.state
    );
}

/// What must hold of every log, at any time.
fn check_log(rig: &Rig) {
    let mut turn = 0;
    let mut open: Option<String> = None;
    let mut ended: BTreeMap<String, u64> = BTreeMap::new();
    let mut requests = Vec::new();
    let mut calls: Vec<(String, u64)> = Vec::new();
    for offset in 1..=rig.head() {
        let (kind, payload) = (rig.type_at(offset), rig.payload_at(offset));
        let request = payload["requestId"].as_str().unwrap_or_default().to_owned();
        let is_own = payload["agent"] == SLUG && rig.is_own(offset);
        match kind.as_str() {
            "agent.turn-started" => {
                assert_eq!(open, None, "two turns at once at {offset}");
                assert!(!requests.contains(&request), "{request} twice");
                turn += 1;
                assert_eq!(payload["turn"], turn, "turns count up");
                let up_to = payload["upTo"].as_u64().unwrap();
                assert!(up_to < offset);
                for (call, output) in &calls {
                    let end = rig.ends_of(call).first().copied();
                    assert!(
                        end.is_some_and(|end| end <= up_to),
                        "{call} of {output} has no end up to {up_to}: {end:?}"
                    );
                }
                requests.push(request.clone());
                open = Some(request);
            }
            "agent.output-added" | "agent.turn-interrupted" | "agent.turn-failed" => {
                let is_end =
                    is_own && requests.contains(&request) && (kind != "agent.turn-failed" || payload["final"] == true);
                if is_end && ended.insert(request.clone(), offset).is_none() {
                    assert_eq!(open, Some(request));
                    open = None;
                    let wanted = payload["toolCalls"].as_array().cloned().unwrap_or_default();
                    calls.extend(wanted.iter().map(|call| (call["callId"].as_str().unwrap().to_owned(), offset)));
                }
            }
            "tool.requested" => {
                let call = &payload["callId"];
                let is_same = |it: &u64| rig.payload_at(*it)["callId"] == *call;
                assert_eq!(rig.all("tool.requested").iter().filter(|it| is_same(it)).count(), 1, "{call} runs once");
                if payload["name"] == "danger" {
                    let approved = rig.all("tool.approved").into_iter().find(|it| is_same(it));
                    assert!(approved.is_some_and(|it| it < offset), "{call} runs unapproved");
                }
                let early = rig.ends_of(call.as_str().unwrap()).into_iter().find(|it| *it < offset);
                assert!(
                    early.is_none() || payload["name"] != "danger" || early > rig.all("tool.approved").first().copied()
                );
            }
            _ => {}
        }
    }
    for (call, _) in &calls {
        let own = rig.ends_of(call).into_iter().filter(|it| rig.payload_at(*it)["agent"] == SLUG).count();
        assert!(own <= 1, "the agent ends {call} {own} times");
    }
}

/// What must hold once all has come to rest.
fn check_rest(rig: &Rig) {
    assert_eq!((&rig.state.phase, rig.wake), (&Phase::Idle, None));
    assert!(rig.state.waiting.is_empty() && rig.state.calls.is_empty() && !rig.state.goes_on && !rig.state.stops);
    assert!(rig.state.owed.is_empty(), "{:?}", rig.state.owed);
    for call in rig.wanted_calls() {
        assert!(!rig.ends_of(&call).is_empty(), "{call} has no end");
    }
    for request in rig.all("agent.turn-started") {
        let request = rig.payload_at(request)["requestId"].as_str().unwrap().to_owned();
        assert!(rig.runner.contains_key(&request), "{request} was never asked");
    }
    let upto: Vec<u64> =
        rig.all("agent.turn-started").iter().map(|it| rig.payload_at(*it)["upTo"].as_u64().unwrap()).collect();
    let stops = [rig.all("agent.stopped"), rig.all("agent.interrupt-requested")].concat();
    for input in rig.all("agent.input-added") {
        let is_answered = upto.iter().any(|up_to| *up_to >= input) || stops.iter().any(|stop| *stop > input);
        assert!(is_answered, "the input at {input} was lost");
    }
    let owed = rig.all("agent.input-added").into_iter().filter(|it| !rig.payload_at(*it)["replyTo"].is_null()).count();
    let paid: Vec<&Value> =
        rig.sent.iter().filter(|(to, ..)| to == "/team").map(|(.., payload)| &payload["callId"]).collect();
    assert_eq!(paid.len(), owed, "each is answered once: {paid:?}");
}

/// A state but for what differs when it is folded later: when the model is looked after, since when others are waited for,
/// which of the ends of its calls the next turn names as its cause, and what is left of a call that has ended.
fn comparable(state: &State) -> State {
    let mut state = state.clone();
    state.held_since = None;
    state.chain.offset = 0;
    for call in &mut state.calls {
        // Live it counts from when it was decided, replayed from when it was written.
        call.until = 0;
        if call.stage == Stage::Ended {
            call.child = None;
        }
    }
    if let Phase::Asking { check_at, .. } = &mut state.phase {
        *check_at = 0;
    }
    state
}

/// The log folded from its beginning, in batches of these sizes.
fn folded(rig: &Rig, sizes: &[usize]) -> State {
    let mut replayed = Rig { cursor: 2, state: State::default(), replay_until: rig.head(), wake: None, ..rig.clone() };
    for size in sizes.iter().cycle() {
        if replayed.next_batch(1).is_empty() {
            break;
        }
        let decision = replayed.deliver(*size);
        assert!(decision.append.is_empty() && decision.effects.is_empty() && decision.start.is_none(), "{decision:?}");
    }
    assert_eq!(replayed.head(), rig.head());
    replayed.state
}

fn agents() -> impl Strategy<Value = Value> {
    let debounce = prop::sample::select(vec![0, 250, 20_000]);
    (debounce, any::<bool>(), 1_u32..5, any::<bool>()).prop_map(|(debounce, interrupts, turns, waits)| {
        json!({
            "debounceMs": debounce,
            "onInput": if interrupts { "interrupt" } else { "queue" },
            "maxTurns": turns,
            "waitFor": if waits { vec!["guard"] } else { vec![] },
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_turn_and_every_call_ends_once_and_no_input_is_lost(
        agent in agents(),
        history in prop::collection::vec(happens(), 0..80),
        sizes in prop::collection::vec(1_usize..9, 1..5),
        tools_end in any::<bool>(),
    ) {
        let mut rig = Rig::with_tools(&agent);
        for it in &history {
            happen(&mut rig, it);
        }
        while !rig.next_batch(1).is_empty() {
            rig.deliver(3);
        }
        check_log(&rig);
        prop_assert_eq!(comparable(&folded(&rig, &sizes)), comparable(&rig.state), "{:#?}", rig.log);
        come_to_rest(&mut rig, tools_end);
        check_log(&rig);
        check_rest(&rig);
        prop_assert_eq!(comparable(&folded(&rig, &sizes)), comparable(&rig.state), "{:#?}", rig.log);
    }

    #[test]
    fn a_model_that_never_stops_wanting_more_is_stopped(
        turns in 1_u32..6,
        wants in prop::collection::vec(prop::collection::vec(0..CALLS, 1..4), 1..4),
        has_cause in any::<bool>(),
    ) {
        let mut rig = Rig::with_tools(&json!({"maxTurns": turns, "debounceMs": 0}));
        rig.add("agent.input-added", &json!({"content": "go"}));
        for round in 0..500 {
            if !rig.next_batch(1).is_empty() {
                rig.deliver(4);
            } else if let Some(request) = open_requests(&rig).first() {
                let calls: Vec<(&str, Value)> = wants[round % wants.len()].iter().map(|kind| wanted(*kind)).collect();
                rig.output(&request.clone(), "", &calls);
            } else if let Some(call) = running(&rig).first() {
                end_tool(&mut rig, &call.clone(), 0, has_cause);
            } else if let Some(wake) = rig.wake {
                asked_in_time(&mut rig, wake);
            }
        }
        prop_assert!(rig.all("agent.turn-started").len() <= turns as usize, "{:#?}", rig.log);
        prop_assert!(!rig.all("agent.stopped").is_empty());
        prop_assert_eq!(rig.wake, None);
    }
}
