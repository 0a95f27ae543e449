//! The state machine, by example: every row of its table, and what lies between them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(missing_docs, reason = "a test's name says it")]

mod support;

use serde_json::{Value, json};
use support::{PATH, Rig, SLUG, START};
use tailrace_agent::machine::Effect;
use tailrace_agent::state::Phase;

const DAY: i64 = 86_400_000;

fn has_ask(effects: &[Effect], request: &str) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Ask { request_id, .. } if request_id == request))
}

fn breaks_off(effects: &[Effect], request: &str) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::BreakOff { request_id, .. } if request_id == request))
}

fn call_of(request: &str, index: usize) -> String {
    format!("{request}.{index}")
}

/// An agent whose model wants these calls, right behind its output.
fn calling(more: &Value, calls: &[(&str, Value)]) -> (Rig, String) {
    let mut rig = Rig::with_tools(more);
    let request = rig.asked("do it");
    rig.output(&request, "", calls);
    rig.deliver(1);
    (rig, request)
}

// Idle.

#[test]
fn input_is_answered_after_the_debounce_by_a_turn_that_says_what_it_is_made_of() {
    let mut rig = Rig::new(&json!({}));
    let input = rig.add("agent.input-added", &json!({"content": "hi"}));
    let decision = rig.deliver(10);
    assert_eq!((decision.start, decision.wake), (None, Some(START + 250)));
    rig.now = START + 249;
    assert_eq!(rig.deliver(10).start, None);
    rig.now = START + 250;
    let start = rig.deliver(10).start.unwrap();
    assert_eq!((start.turn, start.up_to, start.cause), (1, input, input));
    let started = rig.last("agent.turn-started");
    assert_eq!(started["agent"], SLUG);
    assert_eq!(started["requestId"], format!("{SLUG}.g1.{input}"));
    assert_eq!((&started["turn"], &started["upTo"]), (&json!(1), &json!(input)));
    assert_eq!(rig.turns(rig.head()), 1);
    let request = rig.request();
    let decision = rig.deliver(10);
    assert!(has_ask(&decision.effects, &request));
    assert_eq!(rig.runner[&request].started, rig.head());
}

#[test]
fn every_input_puts_the_answer_off_but_not_for_ever() {
    let mut rig = Rig::new(&json!({"debounceMs": 1_000}));
    for second in 0..9 {
        rig.now = START + second * 900;
        rig.add("agent.input-added", &json!({"content": "more"}));
        let decision = rig.deliver(10);
        assert_eq!((decision.start, decision.wake), (None, Some(rig.now + 1_000)));
    }
    for (at, wake) in [(9_500, 10_000), (9_900, 10_000)] {
        rig.now = START + at;
        rig.add("agent.input-added", &json!({"content": "more"}));
        assert_eq!(rig.deliver(10).wake, Some(START + wake));
    }
    rig.now = START + 10_000;
    let head = rig.head();
    assert_eq!(rig.deliver(10).start.unwrap().up_to, head);
    rig.settle_all();
    let request = rig.request();
    rig.output(&request, "all of it", &[]);
    rig.settle_all();
    assert_eq!((&rig.state.phase, rig.wake), (&Phase::Idle, None));
}

#[test]
fn without_a_debounce_the_turn_starts_with_the_delivery() {
    let mut rig = Rig::new(&json!({"debounceMs": 0}));
    rig.add("agent.input-added", &json!({"content": "hi"}));
    assert!(rig.deliver(10).start.is_some());
}

#[test]
fn what_is_for_another_agent_is_not_answered() {
    let mut rig = Rig::new(&json!({"debounceMs": 0}));
    rig.add("agent.input-added", &json!({"content": "hi", "to": "reader"}));
    rig.add("agent.context-added", &json!({"content": "by the way"}));
    rig.add("agent.interrupt-requested", &json!({"agent": "reader"}));
    rig.add("agent.turn-started", &json!({"agent": "reader", "requestId": "reader.g1.3", "turn": 7, "upTo": 3}));
    rig.add("agent.output-added", &json!({"agent": "reader", "requestId": "reader.g1.3", "content": "…"}));
    let decision = rig.deliver(10);
    assert_eq!((decision.start, decision.wake, decision.append.len()), (None, None, 0));
    assert_eq!((&rig.state.phase, rig.state.turn), (&Phase::Idle, 0));
    rig.add("agent.input-added", &json!({"content": "hi", "to": SLUG}));
    assert_eq!(rig.deliver(10).start.unwrap().turn, 1);
}

#[test]
fn a_chain_with_as_many_turns_as_it_may_have_stops() {
    let mut rig = Rig::new(&json!({"debounceMs": 0, "maxTurns": 3}));
    let input = rig.add_in_chain("agent.input-added", &json!({"content": "again"}), Some((1, 3)));
    let decision = rig.deliver(10);
    assert_eq!((decision.start, decision.wake), (None, None));
    assert_eq!(
        rig.appended,
        [("agent.stopped".to_owned(), json!({"agent": SLUG, "reason": "maxTurns", "upTo": input}))]
    );
    assert_eq!(rig.stored(rig.head()).cause.unwrap().offset, input);
    // Somebody from outside begins a new chain.
    rig.settle_all();
    rig.add_in_chain("agent.input-added", &json!({"content": "again"}), Some((1, 9)));
    rig.add("agent.input-added", &json!({"content": "hello?"}));
    assert!(rig.deliver(10).start.is_some());
    assert_eq!(rig.turns(rig.head()), 1);
}

#[test]
fn an_interrupt_of_one_that_waits_clears_what_waits_and_an_idle_one_says_nothing() {
    let mut rig = Rig::new(&json!({}));
    rig.add("agent.interrupt-requested", &json!({}));
    assert_eq!(rig.deliver(10).append.len(), 0);
    rig.add("agent.input-added", &json!({"content": "hi"}));
    rig.deliver(10);
    rig.add("agent.interrupt-requested", &json!({}));
    let decision = rig.deliver(10);
    assert_eq!((rig.appended_types(), decision.wake), (vec!["agent.stopped"], None));
    assert_eq!(rig.last("agent.stopped")["reason"], "interrupted");
}

// Waiting for others.

#[test]
fn a_turn_waits_until_others_have_seen_the_input() {
    let mut rig = Rig::new(&json!({"debounceMs": 0, "waitFor": ["guard"]}));
    let input = rig.add("agent.input-added", &json!({"content": "hi"}));
    rig.seen = Some(input - 1);
    let decision = rig.deliver(10);
    assert_eq!((decision.start, decision.wake), (None, Some(START + 5_000)));
    rig.seen = Some(input);
    rig.now += 10;
    assert_eq!(rig.deliver(10).start.unwrap().up_to, input);
}

#[test]
fn a_turn_waits_five_seconds_for_others_at_most() {
    let mut rig = Rig::new(&json!({"debounceMs": 100, "waitFor": ["guard"]}));
    rig.seen = Some(2);
    rig.add("agent.input-added", &json!({"content": "hi"}));
    rig.settle_all();
    rig.wait();
    assert_eq!(rig.wake, Some(START + 5_100));
    rig.now = START + 5_099;
    assert_eq!(rig.deliver(10).start, None);
    rig.now = START + 5_100;
    assert!(rig.deliver(10).start.is_some());
}

#[test]
fn the_next_turn_waits_for_others_anew() {
    let mut rig = Rig::new(&json!({"debounceMs": 0, "waitFor": ["guard"]}));
    rig.seen = Some(2);
    rig.add("agent.input-added", &json!({"content": "hi"}));
    rig.deliver(10);
    rig.add("agent.interrupt-requested", &json!({}));
    rig.deliver(10);
    rig.now += 60_000;
    rig.add("agent.input-added", &json!({"content": "once more"}));
    let decision = rig.deliver(10);
    assert_eq!((decision.start, decision.wake), (None, Some(rig.now + 5_000)), "{:?}", rig.state);
}

#[test]
fn one_that_is_held_and_gets_more_input_is_not_woken_for_nothing() {
    let mut rig = Rig::new(&json!({"debounceMs": 4_000, "waitFor": ["guard"]}));
    rig.seen = Some(2);
    rig.add("agent.input-added", &json!({"content": "hi"}));
    rig.settle_all();
    rig.wait();
    let held = rig.now;
    rig.now = held + 3_000;
    rig.add("agent.input-added", &json!({"content": "more"}));
    let decision = rig.deliver(10);
    assert_eq!(decision.wake, Some(held + 7_000), "held until {}, due at {}", held + 5_000, held + 7_000);
}

// Asking.

#[test]
fn an_output_without_calls_ends_the_turn() {
    let mut rig = Rig::new(&json!({}));
    let request = rig.asked("hi");
    rig.output(&request, "hello", &[]);
    let decision = rig.deliver(10);
    assert_eq!((decision.append.len(), decision.start, decision.wake), (0, None, None));
    assert_eq!(rig.state.phase, Phase::Idle);
    rig.asked("and now?");
    assert_eq!(rig.last("agent.turn-started")["turn"], 2);
}

#[test]
fn each_call_of_an_output_is_requested_sent_for_approval_or_refused() {
    let calls = [
        ("lookup", json!({"q": 1})),
        ("danger", json!({"rm": "-rf"})),
        ("nowhere", json!({})),
        ("lookup", json!("no json {")),
        ("append_event", json!({"type": "note"})),
    ];
    let (rig, request) = calling(&json!({}), &calls);
    let types = ["tool.requested", "tool.approval-requested", "tool.failed", "tool.failed", "tool.requested"];
    assert_eq!(rig.appended_types(), types);
    for (index, (_, payload)) in rig.appended.iter().enumerate() {
        assert_eq!((&payload["callId"], &payload["agent"]), (&json!(call_of(&request, index)), &json!(SLUG)));
    }
    assert_eq!(rig.appended[0].1["arguments"], json!({"q": 1}));
    assert_eq!(rig.appended[1].1["expiresAt"], "2026-01-02T00:00:00.250Z");
    assert_eq!(rig.appended[2].1["error"], "there is no tool nowhere");
    assert_eq!(rig.appended[3].1["error"], "the arguments are not a JSON object");
    assert_eq!(rig.state.phase, Phase::Calling);
    assert_eq!(rig.wake, Some(rig.now + 60_000), "the first that runs out");
}

#[test]
fn a_tool_that_the_agent_is_not_offered_is_not_there() {
    let (rig, _) =
        calling(&json!({"tools": ["read_*"]}), &[("lookup", json!({})), ("append_event", json!({"type": "x"}))]);
    assert_eq!(rig.appended_types()[..2], ["tool.failed", "tool.failed"]);
    assert!(rig.all("tool.requested").is_empty());
}

#[test]
fn a_final_failure_stops_it_and_one_that_is_tried_again_changes_nothing() {
    let mut rig = Rig::new(&json!({}));
    let request = rig.asked("hi");
    rig.failed(&request, false);
    assert_eq!((rig.deliver(10).append.len(), rig.request()), (0, request.clone()));
    assert!(matches!(rig.state.phase, Phase::Asking { .. }));
    rig.failed(&request, true);
    rig.deliver(10);
    assert_eq!(rig.last("agent.stopped")["reason"], "the model could not be called: HTTP 500");
    assert_eq!((&rig.state.phase, rig.wake), (&Phase::Idle, None));
}

#[test]
fn input_waits_for_the_end_of_a_turn_when_it_queues() {
    let mut rig = Rig::with_tools(&json!({}));
    let request = rig.asked("hi");
    rig.add("agent.input-added", &json!({"content": "wait"}));
    let decision = rig.deliver(10);
    assert_eq!((decision.effects.len(), decision.start), (0, None));
    rig.output(&request, "", &[("lookup", json!({}))]);
    rig.settle_all();
    rig.add("tool.failed", &json!({"callId": call_of(&request, 0), "error": "x"}));
    rig.settle_all();
    assert_ne!(rig.request(), request);
    let (up_to, last) = (rig.last("agent.turn-started")["upTo"].as_u64(), rig.all("tool.failed").pop());
    assert!(up_to >= last, "the request has the result in it");
}

#[test]
fn input_breaks_a_turn_off_when_it_interrupts_and_is_answered_once_that_has_ended() {
    let mut rig = Rig::new(&json!({"onInput": "interrupt"}));
    let request = rig.asked("hi");
    rig.now += 1_000;
    let input = rig.add("agent.input-added", &json!({"content": "no, wait"}));
    let decision = rig.deliver(10);
    assert!(breaks_off(&decision.effects, &request) && decision.start.is_none());
    rig.now += 1_000;
    rig.interrupted(&request);
    let start = rig.deliver(10).start.unwrap();
    assert_eq!((start.turn, start.cause), (2, input));
    assert!(rig.all("agent.stopped").is_empty());
}

#[test]
fn input_that_comes_before_the_turn_was_seen_to_start_breaks_it_off_all_the_same() {
    let mut rig = Rig::new(&json!({"onInput": "interrupt", "debounceMs": 0}));
    rig.add("agent.input-added", &json!({"content": "hi"}));
    // Another is there already when the turn's event is appended.
    let batch = rig.next_batch(10);
    rig.add("agent.input-added", &json!({"content": "no, wait"}));
    assert_eq!(rig.deliver(batch.len()).start.unwrap().up_to, 3);
    let request = rig.request();
    let decision = rig.deliver(10);
    assert!(breaks_off(&decision.effects, &request) && !has_ask(&decision.effects, &request));
}

#[test]
fn an_interrupt_breaks_the_turn_off_and_stops_once_that_has_ended() {
    let mut rig = Rig::new(&json!({}));
    let request = rig.asked("hi");
    rig.add("agent.input-added", &json!({"content": "queued"}));
    rig.add("agent.interrupt-requested", &json!({}));
    let decision = rig.deliver(10);
    assert!(breaks_off(&decision.effects, &request));
    assert!(decision.append.is_empty());
    rig.interrupted(&request);
    let decision = rig.deliver(10);
    assert_eq!((rig.appended_types(), decision.start, decision.wake), (vec!["agent.stopped"], None, None));
    assert_eq!(rig.all("agent.turn-started").len(), 1);
}

#[test]
fn an_output_that_was_on_its_way_when_it_was_interrupted_calls_nothing() {
    let mut rig = Rig::with_tools(&json!({}));
    let request = rig.asked("hi");
    rig.add("agent.interrupt-requested", &json!({}));
    rig.deliver(10);
    rig.output(&request, "", &[("lookup", json!({})), ("danger", json!({}))]);
    rig.deliver(10);
    assert_eq!(rig.appended_types(), ["tool.failed", "tool.failed", "agent.stopped"]);
    rig.settle_all();
    assert_eq!((&rig.state.phase, rig.wake), (&Phase::Idle, None));
    let next = rig.asked("and now?");
    assert!(has_asked(&rig, &next));
}

fn has_asked(rig: &Rig, request: &str) -> bool {
    rig.runner.get(request).is_some_and(|call| call.wanted > 0 && !call.stops)
}

#[test]
fn a_failure_that_was_on_its_way_when_it_was_interrupted_does_not_stop_the_next_turn() {
    let mut rig = Rig::new(&json!({}));
    let request = rig.asked("hi");
    rig.add("agent.interrupt-requested", &json!({}));
    rig.deliver(10);
    rig.failed(&request, true);
    rig.settle_all();
    assert_eq!(rig.all("agent.stopped").len(), 1);
    let next = rig.asked("and now?");
    assert!(has_asked(&rig, &next));
}

#[test]
fn an_end_of_a_request_counts_once_and_one_of_another_request_never() {
    let mut rig = Rig::with_tools(&json!({}));
    let request = rig.asked("hi");
    rig.output("writer.g1.999", "foreign", &[("lookup", json!({}))]);
    rig.failed("writer.g0.3", true);
    rig.interrupted("x");
    assert_eq!(rig.deliver(10).append.len(), 0);
    rig.output(&request, "", &[("lookup", json!({}))]);
    rig.deliver(10);
    for _ in 0..2 {
        rig.output(&request, "late", &[("danger", json!({}))]);
        rig.failed(&request, true);
        rig.interrupted(&request);
    }
    assert_eq!(rig.deliver(10).append.len(), 0);
    assert_eq!(rig.state.calls.len(), 1);
}

#[test]
fn what_others_say_in_its_name_counts_for_nothing() {
    let (mut rig, request) = calling(&json!({}), &[("danger", json!({})), ("lookup", json!({}))]);
    rig.settle_all();
    let before = (rig.state.clone(), rig.head());
    let call = call_of(&request, 0);
    let event = json!({"type": "note", "payload": {}});
    for (kind, payload) in [
        ("tool.requested", json!({"agent": SLUG, "callId": call, "name": "append_event", "arguments": event})),
        (
            "tool.requested",
            json!({"agent": SLUG, "callId": call_of(&request, 1), "name": "spawn", "arguments": {"input": "x"}}),
        ),
        ("agent.turn-started", json!({"agent": SLUG, "requestId": "writer.g1.99", "turn": u64::MAX, "upTo": 5})),
        ("agent.stopped", json!({"agent": SLUG, "reason": "x", "upTo": 99})),
        (
            "tool.started",
            json!({"agent": SLUG, "callId": call_of(&request, 1), "attempt": 1, "streamPath": "/team/desk/x"}),
        ),
    ] {
        let offset = rig.add(kind, &payload);
        rig.settle_all();
        assert_eq!(rig.head(), offset, "{kind} made it do something");
    }
    assert_eq!((rig.state.turn, &rig.state.calls), (before.0.turn, &before.0.calls));
    assert_eq!(rig.sent, []);
}

#[test]
fn after_all_attempts_must_have_ended_the_model_is_asked_for_again() {
    let mut rig = Rig::new(&json!({"timeouts": {"totalMs": 10_000}}));
    let request = rig.asked("hi");
    let asked = rig.now;
    assert_eq!(rig.wake, Some(asked + 70_000));
    rig.now = asked + 70_000;
    assert!(has_ask(&rig.deliver(10).effects, &request));
    assert_eq!(rig.wake, Some(asked + 140_000));
}

#[test]
fn a_break_off_is_made_sure_of_too() {
    let mut rig = Rig::new(&json!({"timeouts": {"totalMs": 10_000}}));
    let request = rig.asked("hi");
    rig.add("agent.interrupt-requested", &json!({}));
    rig.deliver(10);
    rig.now = rig.wake.unwrap();
    assert!(breaks_off(&rig.deliver(10).effects, &request));
}

#[test]
fn a_stream_that_goes_on_has_its_turn_go_on() {
    let mut rig = Rig::new(&json!({}));
    let request = rig.asked("hi");
    rig.add("stream.resumed", &json!({}));
    assert!(has_ask(&rig.deliver(10).effects, &request));
    rig.add("stream.resumed", &json!({}));
    rig.output(&request, "hello", &[]);
    assert_eq!(rig.deliver(10).effects, [], "it has its end");
}

// Calling.

#[test]
fn when_all_calls_have_ended_the_next_turn_starts_at_once_with_all_results_in_its_request() {
    let (mut rig, request) = calling(&json!({"debounceMs": 60_000}), &[("lookup", json!({})), ("lookup", json!({}))]);
    rig.settle_all();
    rig.add("tool.completed", &json!({"callId": call_of(&request, 1), "result": "b"}));
    assert_eq!(rig.deliver(10).start, None);
    let last = rig.add("tool.denied", &json!({"callId": call_of(&request, 0), "reason": "no"}));
    let start = rig.deliver(10).start.unwrap();
    assert_eq!((start.turn, start.up_to), (2, last));
    assert_eq!(rig.turns(rig.head()), 2, "the chain goes on, though the ends name no cause");
}

#[test]
fn what_the_harness_ends_itself_is_in_the_next_request_too() {
    let calls = [("append_event", json!({"type": "note.taken"})), ("nowhere", json!({})), ("read_stream", json!({}))];
    let (mut rig, request) = calling(&json!({}), &calls);
    for _ in 0..10 {
        rig.deliver(100);
    }
    assert_eq!(rig.all("agent.turn-started").len(), 2);
    let up_to = rig.last("agent.turn-started")["upTo"].as_u64().unwrap();
    for index in 0..3 {
        let ends = rig.ends_of(&call_of(&request, index));
        assert!(ends.len() == 1 && ends[0] <= up_to, "{index}: {ends:?}, the request goes up to {up_to}");
    }
    assert!(!rig.body(up_to).to_string().contains("no result yet"), "{}", rig.body(up_to));
}

#[test]
fn a_call_that_must_be_approved_is_requested_when_it_is_and_with_its_own_arguments() {
    let (mut rig, request) = calling(&json!({}), &[("danger", json!({"rm": "-rf"}))]);
    rig.settle_all();
    let call = call_of(&request, 0);
    rig.add("tool.approved", &json!({"callId": "writer.g1.1.0"}));
    rig.settle_all();
    assert!(rig.all("tool.requested").is_empty());
    rig.now += DAY - 1_000;
    let approved = rig.add("tool.approved", &json!({"callId": call, "arguments": {"rm": "/"}}));
    let decision = rig.deliver(10);
    let requested = (
        "tool.requested".to_owned(),
        json!({"callId": call, "name": "danger", "arguments": {"rm": "-rf"}, "agent": SLUG}),
    );
    assert_eq!(rig.appended, [requested]);
    assert_eq!(decision.wake, Some(rig.now + 60_000), "from here on it has its own time");
    let metadata: Value = serde_json::from_str(rig.stored(rig.head()).metadata.unwrap().get()).unwrap();
    assert_eq!(metadata["tailrace"], json!({"by": "subscription:writer", "approved": approved}));
    rig.add("tool.approved", &json!({"callId": call}));
    rig.settle_all();
    assert_eq!(rig.all("tool.requested").len(), 1, "approved twice, run once");
}

#[test]
fn an_approval_that_comes_with_its_output_counts() {
    let mut rig = Rig::with_tools(&json!({}));
    let request = rig.asked("hi");
    rig.output(&request, "", &[("danger", json!({}))]);
    rig.add("tool.approved", &json!({"callId": call_of(&request, 0)}));
    rig.settle_all();
    assert_eq!(rig.all("tool.requested").len(), 1, "{:?}", rig.state);
}

#[test]
fn what_nobody_approves_is_denied_after_a_day_and_not_requested_any_more() {
    let (mut rig, request) = calling(&json!({}), &[("danger", json!({}))]);
    rig.settle_all();
    let output = rig.all("agent.output-added")[0];
    assert_eq!(rig.wake, Some(rig.event(output).at + DAY));
    rig.wait();
    assert_eq!(
        rig.last("tool.denied"),
        json!({"callId": call_of(&request, 0), "reason": "nobody approved it in time", "agent": SLUG})
    );
    assert_eq!(rig.all("agent.turn-started").len(), 2);
    rig.add("tool.approved", &json!({"callId": call_of(&request, 0)}));
    rig.settle_all();
    assert!(rig.all("tool.requested").is_empty());
}

#[test]
fn a_tool_whose_time_is_over_has_failed_and_its_late_result_changes_nothing() {
    let (mut rig, request) = calling(&json!({}), &[("lookup", json!({})), ("append_event", json!({"type": "n"}))]);
    rig.settle_all();
    assert_eq!(rig.all("tool.completed").len(), 1);
    rig.now = rig.wake.unwrap() - 1;
    rig.deliver(10);
    assert!(rig.all("tool.failed").is_empty());
    rig.wait();
    assert_eq!(rig.last("tool.failed")["error"], "no result in time");
    let second = rig.request();
    assert_ne!(second, request);
    rig.add("tool.completed", &json!({"callId": call_of(&request, 0), "result": "late"}));
    assert_eq!(rig.deliver(10).start, None);
    assert_eq!(rig.request(), second);
}

#[test]
fn input_ends_what_is_called_when_it_interrupts() {
    let (mut rig, request) = calling(&json!({"onInput": "interrupt"}), &[("lookup", json!({})), ("danger", json!({}))]);
    rig.settle_all();
    let input = rig.add("agent.input-added", &json!({"content": "stop that"}));
    rig.settle_all();
    for index in 0..2 {
        let ends = rig.ends_of(&call_of(&request, index));
        assert_eq!((ends.len(), &rig.payload_at(ends[0])["error"]), (1, &json!("interrupted")));
    }
    if rig.all("agent.turn-started").len() < 2 {
        rig.wait();
    }
    assert!(rig.last("agent.turn-started")["upTo"].as_u64().unwrap() >= input);
    assert!(rig.all("agent.stopped").is_empty());
    rig.add("tool.approved", &json!({"callId": call_of(&request, 1)}));
    rig.settle_all();
    assert_eq!(rig.all("tool.requested").len(), 1, "lookup alone");
}

#[test]
fn an_interrupt_ends_what_is_called_and_stops() {
    let (mut rig, request) = calling(&json!({}), &[("lookup", json!({})), ("danger", json!({}))]);
    rig.settle_all();
    rig.add("agent.interrupt-requested", &json!({}));
    rig.settle_all();
    assert_eq!(rig.ends_of(&call_of(&request, 0)).len() + rig.ends_of(&call_of(&request, 1)).len(), 2);
    assert_eq!(rig.all("agent.stopped").len(), 1);
    assert_eq!((&rig.state.phase, rig.wake), (&Phase::Idle, None));
    assert_eq!(rig.all("agent.turn-started").len(), 1);
}

#[test]
fn a_model_that_always_calls_tools_is_stopped_though_no_end_names_a_cause() {
    let mut rig = Rig::with_tools(&json!({"maxTurns": 4}));
    rig.asked("go");
    for _ in 0..10 {
        let request = rig.request();
        if rig.runner.get(&request).is_some_and(|call| call.has_end) {
            break;
        }
        rig.output(&request, "", &[("lookup", json!({})), ("append_event", json!({"type": "note"}))]);
        rig.settle_all();
        rig.add("tool.completed", &json!({"callId": call_of(&request, 0), "result": 1}));
        rig.settle_all();
    }
    assert_eq!((rig.all("agent.turn-started").len(), rig.all("agent.stopped").len()), (4, 1));
    assert_eq!((&rig.state.phase, rig.wake), (&Phase::Idle, None));
}

#[test]
fn a_model_that_always_gives_itself_input_is_stopped() {
    let mut rig = Rig::with_tools(&json!({"maxTurns": 4, "debounceMs": 0}));
    rig.asked_now("go");
    for _ in 0..10 {
        let request = rig.request();
        if rig.runner.get(&request).is_some_and(|call| call.has_end) {
            break;
        }
        rig.output(
            &request,
            "",
            &[("append_event", json!({"type": "agent.input-added", "payload": {"content": "on"}}))],
        );
        rig.settle_all();
    }
    assert_eq!(rig.all("agent.turn-started").len(), 4);
    assert!(!rig.all("agent.stopped").is_empty());
    assert_eq!((&rig.state.phase, rig.wake), (&Phase::Idle, None));
}

impl Rig {
    fn asked_now(&mut self, content: &str) -> String {
        self.add("agent.input-added", &json!({"content": content}));
        self.settle_all();
        self.request()
    }
}

// Sub-agents, from both sides.

fn reply_to(path: &str, call: &str) -> Value {
    json!({"content": "task", "replyTo": {"streamPath": path, "callId": call}})
}

#[test]
fn an_answer_is_owed_to_a_stream_above_and_to_no_other() {
    for (path, is_owed) in [
        ("/team", true),
        ("/", true),
        (PATH, false),
        ("/team/other", false),
        ("/team/desk/below", false),
        ("/tea", false),
    ] {
        let mut rig = Rig::new(&json!({"debounceMs": 0}));
        rig.add("agent.input-added", &reply_to(path, "c.1"));
        rig.settle_all();
        let request = rig.request();
        rig.output(&request, "the answer", &[]);
        rig.settle_all();
        let payload = json!({"callId": "c.1", "result": "the answer", "agent": SLUG});
        let expected = is_owed.then(|| (path.to_owned(), "tool.completed".to_owned(), payload));
        assert_eq!(rig.sent, Vec::from_iter(expected), "{path}");
    }
}

#[test]
fn an_answer_goes_to_the_stream_however_its_path_is_written() {
    for path in ["team", "/team/"] {
        let mut rig = Rig::new(&json!({"debounceMs": 0}));
        rig.add("agent.input-added", &reply_to(path, "c.1"));
        rig.settle_all();
        let request = rig.request();
        rig.output(&request, "the answer", &[]);
        rig.settle_all();
        assert!(rig.sent.iter().all(|(to, ..)| to == "/team"), "{path}: {:?}", rig.sent);
    }
}

#[test]
fn an_answer_is_owed_only_to_the_stream_that_the_input_came_from() {
    for from in [None, Some("/team/other"), Some("/")] {
        let mut rig = Rig::new(&json!({"debounceMs": 0}));
        rig.add_from(from, "agent.input-added", &reply_to("/team", "c.1"), None);
        rig.settle_all();
        let request = rig.request();
        rig.output(&request, "the answer", &[]);
        rig.settle_all();
        assert_eq!(rig.sent, [], "{from:?}");
    }
}

#[test]
fn what_a_sub_agent_does_no_other_stream_ends() {
    let (mut rig, call, child) = spawned(&json!({"input": "count"}));
    rig.add_from(Some("/team/desk/other"), "tool.completed", &json!({"callId": call, "result": "forged"}), None);
    rig.settle_all();
    assert_eq!(rig.all("agent.turn-started").len(), 1);
    rig.add_from(Some(&child), "tool.completed", &json!({"callId": call, "result": "42"}), None);
    rig.settle_all();
    assert_eq!(rig.all("agent.turn-started").len(), 2);
}

#[test]
fn an_answer_is_sent_once_and_not_before_the_calls_are_done() {
    let mut rig = Rig::with_tools(&json!({"debounceMs": 0}));
    rig.add("agent.input-added", &reply_to("/team", "c.1"));
    rig.settle_all();
    let request = rig.request();
    rig.output(&request, "let me see", &[("lookup", json!({}))]);
    rig.settle_all();
    assert_eq!(rig.sent, []);
    rig.add("tool.completed", &json!({"callId": call_of(&request, 0), "result": 1}));
    rig.settle_all();
    let request = rig.request();
    rig.output(&request, "done", &[]);
    rig.settle_all();
    let request = rig.asked_now("more");
    rig.output(&request, "nobody waits for this", &[]);
    rig.settle_all();
    assert_eq!(rig.sent.len(), 1);
    assert_eq!(rig.sent[0].2["result"], "done");
}

#[test]
fn a_sub_agent_that_fails_or_stops_says_so_above() {
    for how in ["failed", "interrupted", "maxTurns"] {
        let mut rig = Rig::new(&json!({"debounceMs": 0, "maxTurns": 1}));
        if how == "maxTurns" {
            rig.add_in_chain("agent.input-added", &reply_to("/team", "c.1"), Some((1, 1)));
            rig.settle_all();
        } else {
            rig.add("agent.input-added", &reply_to("/team", "c.1"));
            rig.settle_all();
            let request = rig.request();
            if how == "failed" {
                rig.failed(&request, true);
            } else {
                rig.add("agent.interrupt-requested", &json!({}));
                rig.deliver(10);
                rig.interrupted(&request);
            }
            rig.settle_all();
        }
        assert_eq!(rig.sent.len(), 1, "{how}");
        let (to, event_type, payload) = &rig.sent[0];
        assert_eq!((to.as_str(), event_type.as_str(), &payload["callId"]), ("/team", "tool.failed", &json!("c.1")));
        assert!(payload["error"].as_str().unwrap().starts_with("the agent stopped: "), "{payload}");
    }
}

#[test]
fn an_answer_goes_only_to_those_whose_input_the_model_was_told() {
    let mut rig = Rig::new(&json!({"debounceMs": 0}));
    rig.add("agent.input-added", &reply_to("/team", "a"));
    rig.settle_all();
    let first = rig.request();
    rig.add("agent.input-added", &reply_to("/team", "b"));
    rig.settle_all();
    rig.output(&first, "about a", &[]);
    rig.settle_all();
    let second = rig.request();
    assert_ne!(first, second);
    rig.output(&second, "about b", &[]);
    rig.settle_all();
    let said: Vec<(&str, &str)> = rig
        .sent
        .iter()
        .map(|(_, _, payload)| (payload["callId"].as_str().unwrap(), payload["result"].as_str().unwrap()))
        .collect();
    assert_eq!(said, [("a", "about a"), ("b", "about b")]);
}

/// A turn whose model spawned a sub-agent.
fn spawned(more: &Value) -> (Rig, String, String) {
    let (mut rig, request) = calling(&json!({}), &[("spawn", more.clone())]);
    rig.settle_all();
    let child = rig.last("tool.started")["streamPath"].as_str().unwrap().to_owned();
    (rig, call_of(&request, 0), child)
}

#[test]
fn a_sub_agent_is_made_in_a_stream_below_and_given_its_task() {
    let (rig, call, child) = spawned(&json!({"input": "count", "path": "helper"}));
    assert_eq!(child, format!("{PATH}/helper"));
    let types: Vec<(&str, &str)> = rig.sent.iter().map(|(to, kind, _)| (to.as_str(), kind.as_str())).collect();
    assert_eq!(types, [(child.as_str(), "subscription.configured"), (child.as_str(), "agent.input-added")]);
    let input = &rig.sent[1].2;
    assert_eq!(input["replyTo"], json!({"streamPath": PATH, "callId": call}));
    assert_eq!((&input["content"], &input["to"]), (&json!("count"), &rig.sent[0].2["slug"]));
    assert_eq!(rig.last("tool.started"), json!({"callId": call, "attempt": 1, "streamPath": child, "agent": SLUG}));
    assert_eq!(rig.all("agent.turn-started").len(), 1);
}

#[test]
fn a_sub_agent_ends_by_its_answer_its_failure_its_deletion_a_refusal_or_in_time() {
    for how in ["output", "stopped", "deleted", "refused", "time", "denied"] {
        let (mut rig, call, child) = spawned(&json!({"input": "count", "timeoutMs": 5_000}));
        match how {
            "output" => rig.add("tool.completed", &json!({"callId": call, "result": "42"})),
            "stopped" => rig.add("tool.failed", &json!({"callId": call, "error": "the agent stopped: maxTurns"})),
            "denied" => rig.add("tool.denied", &json!({"callId": call, "reason": "enough"})),
            "deleted" => {
                rig.add("stream.child-deleted", &json!({"path": "/team/desk/other", "generation": "g"}));
                rig.add("stream.child-deleted", &json!({"path": child, "generation": "g"}))
            }
            "refused" => rig.add("error.occurred", &json!({"message": "it is paused", "target": child})),
            _ => {
                assert_eq!(rig.wake, Some(rig.event(rig.all("agent.output-added")[0]).at + 5_000));
                rig.now = rig.wake.unwrap();
                0
            }
        };
        rig.settle_all();
        let ends = rig.ends_of(&call);
        assert_eq!((ends.len(), rig.all("agent.turn-started").len()), (1, 2), "{how}");
        let error = rig.payload_at(ends[0])["error"].clone();
        let expected = match how {
            "deleted" => json!("the sub-agent's stream was deleted"),
            "refused" => json!("it is paused"),
            "time" => json!("no result in time"),
            "stopped" => json!("the agent stopped: maxTurns"),
            _ => Value::Null,
        };
        assert_eq!(error, expected, "{how}");
        // Whatever else comes changes nothing.
        let head = rig.head();
        rig.add("tool.completed", &json!({"callId": call, "result": "late"}));
        rig.add("stream.child-deleted", &json!({"path": child}));
        rig.settle_all();
        assert_eq!(rig.head(), head + 2, "{how}");
    }
}

// What was replayed.

#[test]
fn what_is_replayed_changes_the_state_and_does_nothing() {
    let (mut rig, request) = calling(&json!({}), &[("lookup", json!({})), ("danger", json!({}))]);
    rig.settle_all();
    let live = rig.clone();
    rig.replay_until = rig.head();
    (rig.cursor, rig.state, rig.now) = (2, tailrace_agent::state::State::default(), rig.now + 1_000);
    let decision = rig.deliver(100);
    assert_eq!((decision.append.len(), decision.effects.len(), decision.start), (0, 0, None));
    assert_eq!(rig.state, live.state);
    rig.add("tool.approved", &json!({"callId": call_of(&request, 1)}));
    rig.settle_all();
    assert_eq!(rig.all("tool.requested").len(), 2, "it goes on where it stood");
}

#[test]
fn a_replayed_approval_leaves_the_tool_its_own_time() {
    let (mut rig, request) = calling(&json!({}), &[("danger", json!({}))]);
    rig.settle_all();
    rig.add("tool.approved", &json!({"callId": call_of(&request, 0)}));
    rig.settle_all();
    let until = rig.state.calls[0].until;
    rig.replay_until = rig.head();
    (rig.cursor, rig.state) = (2, tailrace_agent::state::State::default());
    rig.deliver(100);
    assert_eq!(rig.state.calls[0].until, until);
}

#[test]
fn what_was_stopped_is_not_stopped_again_after_a_replay() {
    let mut rig = Rig::new(&json!({"debounceMs": 0, "maxTurns": 1}));
    rig.add_in_chain("agent.input-added", &json!({"content": "again"}), Some((1, 1)));
    rig.settle_all();
    assert_eq!(rig.all("agent.stopped").len(), 1);
    rig.replay_until = rig.head();
    (rig.cursor, rig.state) = (2, tailrace_agent::state::State::default());
    rig.settle_all();
    assert_eq!(rig.all("agent.stopped").len(), 1);
}
