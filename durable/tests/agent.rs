//! Agents and tools, as far as the stream has a part in them: leases without events, what code in the system is handed,
//! tools as subscriptions, and what a model is saying right now.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(missing_docs, reason = "a test's name says it")]

mod support;

use serde_json::{Value, json};
use support::deployment::Said;
use support::{Deployment, START};
use tailrace_durable::call;
use tailrace_durable::delivery::lease::Leased;
use tailrace_durable::delivery::retry::Failed;
use tailrace_durable::delivery::settle as settling;
use tailrace_durable::speech::{self, Delta};
use tailrace_durable::wire::Frame;
use tailrace_model::time::Millis;

const S: &str = "/s";
const SECOND: Millis = 1_000;

fn control(d: &mut Deployment, path: &str, event_type: &str, payload: &Value) -> u64 {
    let said = d.append(path, &json!({"type": event_type, "payload": payload}).to_string());
    assert_eq!(said.status, 200, "{}", said.body);
    said.offsets()[0]
}

fn input(d: &mut Deployment) -> u64 {
    control(d, S, "agent.input-added", &json!({"content": "hi"}))
}

fn agent(more: &Value) -> Value {
    let mut agent = json!({"api": "chat", "baseUrl": "https://model.example/v1", "model": "m"});
    for (name, value) in more.as_object().unwrap() {
        agent[name] = value.clone();
    }
    json!({"slug": "w", "target": {"agent": agent}})
}

/// A stream with the agent `w`, at offset 2, that owes nothing.
fn with_agent(more: &Value) -> Deployment {
    let mut d = Deployment::new();
    assert_eq!(control(&mut d, S, "subscription.configured", &agent(more)), 2);
    d.work_off();
    d.now = START;
    d
}

/// The agent settles all of its lease: its state, and when it wants to be asked again.
fn settle(d: &mut Deployment, leased: &Leased, state: &Value, wake: Option<Millis>) -> Said {
    let said = settling::Said {
        lease: leased.lease.clone(),
        state: Some(state.to_string()),
        wake,
        ..settling::Said::default()
    };
    let said = d.tell_settled(S, &said).unwrap();
    assert_eq!(said.status, 200, "{}", said.body);
    said
}

fn fail(d: &mut Deployment, leased: &Leased) {
    let failed = Failed { error: "it could not decide".to_owned(), ..Failed::default() };
    let said = settling::Said { lease: leased.lease.clone(), failed: Some(failed), ..settling::Said::default() };
    assert_eq!(d.tell_settled(S, &said).unwrap().status, 200);
}

fn offsets(leased: &Leased) -> Vec<u64> {
    let offset = |line: &String| serde_json::from_str::<Value>(line).unwrap()["offset"].as_u64().unwrap();
    leased.events.iter().map(offset).collect()
}

/// An agent that has taken in input and wants to be asked again in 250 ms.
fn waiting() -> Deployment {
    let mut d = with_agent(&json!({}));
    input(&mut d);
    let leased = d.pushed();
    assert_eq!(offsets(&leased), [3]);
    settle(&mut d, &leased, &json!({"waits": 1}), Some(START + 250));
    assert!(d.in_flight.is_empty());
    d
}

// Leases without events.

#[test]
fn an_agent_is_asked_again_when_it_wants_to_be_with_its_state_and_no_event() {
    let mut d = waiting();
    assert_eq!(d.opened_anew(S).next_alarm(), Some(START + 250));
    d.wait_for_push(S);
    assert_eq!(d.now, START + 250);
    let leased = d.pushed();
    assert_eq!((offsets(&leased), leased.first, leased.last), (vec![], 4, 3));
    assert_eq!((leased.state.as_str(), leased.replay, leased.attempt), (r#"{"waits":1}"#, false, 0));
    settle(&mut d, &leased, &json!({"waits": 0}), None);
    assert_eq!(d.opened_anew(S).next_alarm(), None, "it sleeps");
    input(&mut d);
    assert_eq!(d.pushed().state, r#"{"waits":0}"#);
}

#[test]
fn an_agent_is_asked_again_after_its_stream_slept() {
    let mut d = waiting();
    d.evict(S);
    assert_eq!(d.stream(S).next_alarm(), Some(START + 250));
    d.wait_for_push(S);
    let leased = d.pushed();
    d.evict(S);
    settle(&mut d, &leased, &json!({}), Some(START + 900));
    d.evict(S);
    d.wait_for_push(S);
    assert_eq!(d.now, START + 900);
}

#[test]
fn a_wake_moves_with_every_settle_and_what_is_settled_without_one_takes_it_back() {
    let mut d = waiting();
    input(&mut d);
    let leased = d.pushed();
    settle(&mut d, &leased, &json!({}), Some(START + 700));
    d.wait_for_push(S);
    assert_eq!(d.now, START + 700);
    let leased = d.pushed();
    settle(&mut d, &leased, &json!({}), Some(START + 800));
    input(&mut d);
    let leased = d.pushed();
    settle(&mut d, &leased, &json!({}), None);
    assert_eq!(d.opened_anew(S).next_alarm(), None);
}

#[test]
fn events_that_are_there_when_its_time_has_come_come_with_it() {
    let mut d = waiting();
    d.now = START + 250;
    input(&mut d);
    let leased = d.pushed();
    assert_eq!(offsets(&leased), [4], "one lease, not two");
}

#[test]
fn events_that_come_while_it_decides_are_handed_over_next() {
    let mut d = waiting();
    d.wait_for_push(S);
    let leased = d.pushed();
    input(&mut d);
    assert!(d.in_flight.is_empty(), "one at a time");
    let said = settling::Said {
        lease: leased.lease.clone(),
        state: Some("{}".to_owned()),
        next: true,
        ..settling::Said::default()
    };
    let answer = d.tell_settled(S, &said).unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("\\\"offset\\\":4") || answer.body.contains("\"events\""), "{}", answer.body);
}

#[test]
fn a_wake_that_nobody_settles_is_given_again_and_one_that_failed_too() {
    let mut d = waiting();
    d.wait_for_push(S);
    let lost = d.pushed();
    assert_eq!(lost.expires, d.now + 10 * SECOND);
    d.wait_for_push(S);
    assert!(d.now >= lost.expires);
    let again = d.pushed();
    assert_eq!((offsets(&again), again.attempt, again.state.as_str()), (vec![], 1, r#"{"waits":1}"#));
    // Who lost it settles nothing any more.
    let late = settling::Said { lease: lost.lease, state: Some("9".to_owned()), ..settling::Said::default() };
    assert_eq!(d.tell_settled(S, &late).unwrap().code(), "lease_lost");
    fail(&mut d, &again);
    d.wait_for_push(S);
    let third = d.pushed();
    assert_eq!((offsets(&third), third.attempt), (vec![], 2));
    settle(&mut d, &third, &json!({}), None);
    assert_eq!(d.opened_anew(S).next_alarm(), None);
}

#[test]
fn what_comes_after_a_wake_that_failed_is_handed_over() {
    for is_lost in [true, false] {
        let mut d = waiting();
        d.wait_for_push(S);
        let leased = d.pushed();
        let offset = input(&mut d);
        if is_lost {
            d.now = leased.expires;
        } else {
            fail(&mut d, &leased);
        }
        d.wait_for_push(S);
        assert_eq!(offsets(&d.pushed()), [offset], "{is_lost}");
    }
}

#[test]
fn a_settle_that_is_said_twice_is_one_without_events_too() {
    let mut d = waiting();
    d.wait_for_push(S);
    let leased = d.pushed();
    let wake = Some(d.now + SECOND);
    let first = settle(&mut d, &leased, &json!({"n": 1}), wake);
    input(&mut d);
    let other = d.pushed();
    assert_eq!(settle_again(&mut d, &leased), first.body, "what was said once is answered again");
    assert_eq!(other.state, r#"{"n":1}"#);
}

fn settle_again(d: &mut Deployment, leased: &Leased) -> String {
    let said = settling::Said { lease: leased.lease.clone(), state: Some("7".to_owned()), ..settling::Said::default() };
    d.tell_settled(S, &said).unwrap().body
}

#[test]
fn a_paused_stream_asks_nobody_and_asks_when_it_goes_on() {
    let mut d = waiting();
    control(&mut d, S, "stream.paused", &json!({}));
    d.now = START + 10 * SECOND;
    d.ring(S, |_| support::deployment::Reach::Heard);
    assert!(d.in_flight.is_empty());
    control(&mut d, S, "stream.resumed", &json!({}));
    d.push(S);
    let leased = d.pushed();
    assert!(leased.events.last().unwrap().contains("stream.resumed"));
}

#[test]
fn what_is_leased_while_the_stream_is_paused_is_settled_all_the_same() {
    let mut d = waiting();
    d.wait_for_push(S);
    let leased = d.pushed();
    control(&mut d, S, "stream.paused", &json!({}));
    settle(&mut d, &leased, &json!({"n": 1}), Some(START + SECOND));
    control(&mut d, S, "stream.resumed", &json!({}));
    d.push(S);
    assert_eq!(d.pushed().state, r#"{"n":1}"#);
}

#[test]
fn a_wake_goes_with_its_agent() {
    let mut d = waiting();
    control(&mut d, S, "subscription.removed", &json!({"slug": "w"}));
    assert_eq!(d.opened_anew(S).next_alarm(), None);
    control(&mut d, S, "subscription.configured", &agent(&json!({})));
    assert_eq!(d.opened_anew(S).next_alarm(), None, "another, which wants nothing yet");
}

// Waiting for others.

#[test]
fn an_agent_that_waits_for_another_subscription_is_told_how_far_that_is_and_looks_again_when_it_is_further() {
    let mut d = with_agent(&json!({"waitFor": ["guard"]}));
    control(&mut d, S, "subscription.configured", &json!({"slug": "guard", "target": {"pull": true}}));
    let leased = d.pushed();
    settle(&mut d, &leased, &json!({}), None);
    input(&mut d);
    let leased = d.pushed();
    let hosted = leased.hosted.clone().unwrap();
    assert_eq!(hosted.seen, Some(3), "it has not seen the input at 4");
    hold(&mut d, &leased);
    let held = d.lease(S, "guard");
    d.now += SECOND;
    d.push(S);
    assert!(d.in_flight.is_empty(), "it is still at it");
    d.evict(S);
    d.done(S, &held);
    d.push(S);
    let leased = d.pushed();
    assert_eq!((offsets(&leased), leased.hosted.clone().unwrap().seen), (vec![], None), "all have seen it");
    // One that only waits for its time is not asked before.
    settle(&mut d, &leased, &json!({}), Some(d_in(&leased, 60)));
    control(&mut d, S, "note", &json!({}));
    let other = d.lease(S, "guard");
    d.done(S, &other);
    d.push(S);
    assert!(d.in_flight.is_empty());
}

/// A time so many seconds behind a lease's end.
fn d_in(leased: &Leased, seconds: Millis) -> Millis {
    leased.expires + seconds * SECOND
}

/// The agent waits for others, five seconds at most.
fn hold(d: &mut Deployment, leased: &Leased) {
    let said = settling::Said {
        lease: leased.lease.clone(),
        state: Some("{}".to_owned()),
        wake: Some(d.now + 5 * SECOND),
        held: true,
        ..settling::Said::default()
    };
    assert_eq!(d.tell_settled(S, &said).unwrap().status, 200);
}

#[test]
fn an_agent_looks_again_at_once_when_the_others_were_done_while_it_decided() {
    let mut d = with_agent(&json!({"waitFor": ["guard"]}));
    control(&mut d, S, "subscription.configured", &json!({"slug": "guard", "target": {"pull": true}}));
    let leased = d.pushed();
    settle(&mut d, &leased, &json!({}), None);
    input(&mut d);
    let leased = d.pushed();
    let guard = d.lease(S, "guard");
    d.done(S, &guard);
    hold(&mut d, &leased);
    d.push(S);
    assert_eq!(d.pushed().hosted.unwrap().seen, None);
}

#[test]
fn an_agent_goes_on_without_the_others_when_these_take_too_long() {
    let mut d = with_agent(&json!({"waitFor": ["guard"]}));
    control(&mut d, S, "subscription.configured", &json!({"slug": "guard", "target": {"pull": true}}));
    let leased = d.pushed();
    settle(&mut d, &leased, &json!({}), None);
    input(&mut d);
    let leased = d.pushed();
    hold(&mut d, &leased);
    d.wait_for_push(S);
    assert_eq!((d.now, d.pushed().hosted.unwrap().seen), (START + 5 * SECOND, Some(3)));
}

#[test]
fn nobody_waits_for_what_is_not_there_or_gave_up() {
    for guard in ["absent", "halted", "done"] {
        let mut d = with_agent(&json!({"waitFor": ["guard"]}));
        if guard != "absent" {
            control(&mut d, S, "subscription.configured", &json!({"slug": "guard", "target": {"pull": true}}));
            let leased = d.pushed();
            settle(&mut d, &leased, &json!({}), None);
        }
        if guard == "halted" {
            control(&mut d, S, "note", &json!({}));
            let leased = d.lease(S, "guard");
            let refused = Some("it can never be".to_owned());
            let said = settling::Said { lease: leased.lease, refused, ..settling::Said::default() };
            assert_eq!(d.tell_settled(S, &said).unwrap().status, 200);
        }
        if guard == "done" {
            control(
                &mut d,
                S,
                "subscription.configured",
                &json!({"slug": "guard", "target": {"pull": true}, "types": ["other"]}),
            );
            let leased = d.pushed();
            settle(&mut d, &leased, &json!({}), None);
        }
        input(&mut d);
        assert_eq!(d.pushed().hosted.unwrap().seen, None, "{guard}");
    }
}

// What code in the system is handed.

#[test]
fn an_agent_is_handed_how_it_is_configured_and_which_tools_there_are() {
    let mut d = with_agent(&json!({"maxTurns": 3}));
    control(
        &mut d,
        S,
        "tool.configured",
        &json!({"name": "lookup", "description": "…", "timeoutMs": 5_000, "approval": true}),
    );
    control(&mut d, S, "tool.configured", &json!({"name": "gone"}));
    control(&mut d, S, "tool.removed", &json!({"name": "gone"}));
    let leased = d.pushed();
    let hosted = leased.hosted.unwrap();
    assert_eq!((hosted.configured, hosted.config.slug.as_str()), (2, "w"));
    assert_eq!(hosted.config.agent().unwrap().max_turns, 3);
    // What was there when it was leased.
    assert!(hosted.tools.is_empty() || hosted.tools.contains_key("lookup"));
    let lease = leased.lease.clone();
    let said = settling::Said { lease, state: Some("{}".to_owned()), ..settling::Said::default() };
    assert_eq!(d.tell_settled(S, &said).unwrap().status, 200);
    d.push(S);
    let hosted = d.pushed().hosted.unwrap();
    assert_eq!(hosted.tools.keys().collect::<Vec<_>>(), ["lookup"]);
    assert!(hosted.tools["lookup"].approval && hosted.tools["lookup"].timeout_ms == 5_000);
    assert!(leased.push.is_none());
}

#[test]
fn hosted_code_is_handed_its_source_and_no_tools() {
    let mut d = with_agent(&json!({}));
    control(&mut d, S, "tool.configured", &json!({"name": "lookup"}));
    d.in_flight.clear();
    let code = json!({"slug": "js", "target": {"javascript": {"source": "export default {}"}}, "types": ["note"]});
    let configured = control(&mut d, S, "subscription.configured", &code);
    control(&mut d, S, "note", &json!({}));
    let (_, leased) = d.in_flight.iter().find(|(_, leased)| leased.slug == "js").unwrap();
    let hosted = leased.hosted.as_ref().unwrap();
    assert_eq!((hosted.configured, hosted.tools.len(), hosted.seen), (configured, 0, None));
}

#[test]
fn an_agent_hears_what_concerns_it_and_nothing_else() {
    let mut d = with_agent(&json!({}));
    for kind in ["note", "agents", "stream.metadata-updated", "message"] {
        control(&mut d, S, kind, &json!({"metadata": {}}));
    }
    assert!(d.in_flight.is_empty());
    for kind in ["agent.input-added", "tool.completed", "error.occurred"] {
        control(&mut d, S, kind, &json!({}));
        let leased = d.pushed();
        assert!(leased.events[0].contains(kind));
        settle(&mut d, &leased, &json!({}), None);
    }
}

// What an agent appends.

#[test]
fn a_turn_is_one_more_in_the_chain_of_causes_and_its_end_as_many() {
    let mut d = with_agent(&json!({}));
    input(&mut d);
    let leased = d.pushed();
    let started = |is_turn: bool, cause: u64| tailrace_model::settle::Answered {
        to: None,
        event_type: "agent.turn-started".to_owned(),
        key: None,
        cause: Some((None, cause)),
        fragment: r#""type":"agent.turn-started","payload":{}"#.to_owned(),
        is_system: true,
        is_turn,
        call: None,
    };
    let append = vec![started(true, 3), started(false, 3)];
    let said =
        settling::Said { lease: leased.lease, append, state: Some("{}".to_owned()), ..settling::Said::default() };
    assert_eq!(d.tell_settled(S, &said).unwrap().status, 200);
    let log = d.log(S);
    let turns: Vec<&Value> = log[3..].iter().map(|event| &event["cause"]["turns"]).collect();
    assert_eq!(turns, [1, 0]);
}

#[test]
fn what_a_tool_appends_and_the_stream_refuses_fails_its_call_and_nothing_else() {
    let mut d = with_agent(&json!({}));
    input(&mut d);
    let leased = d.pushed();
    let appended = |event_type: &str, payload: &str, call: Option<&str>| tailrace_model::settle::Answered {
        to: None,
        event_type: event_type.to_owned(),
        key: None,
        cause: Some((None, 3)),
        fragment: format!(r#""type":"{event_type}","payload":{payload}"#),
        is_system: true,
        is_turn: false,
        call: call.map(str::to_owned),
    };
    let append = vec![
        appended("tool.requested", r#"{"callId":"c.1"}"#, None),
        appended("subscription.resumed", r#"{"slug":"nobody"}"#, Some("c.0")),
        appended("tool.completed", r#"{"callId":"c.0"}"#, Some("c.0")),
    ];
    let said =
        settling::Said { lease: leased.lease, append, state: Some("{}".to_owned()), ..settling::Said::default() };
    assert_eq!(d.tell_settled(S, &said).unwrap().status, 200);
    let log = d.log(S);
    let types: Vec<&str> = log[3..].iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["tool.requested", "tool.failed"]);
    assert_eq!(log[4]["payload"]["callId"], "c.0");
    assert!(log[4]["payload"]["error"].as_str().unwrap().contains("no subscription nobody"), "{}", log[4]);
    assert!(d.state(S, None).json()["subscriptions"]["w"]["halted"].is_null());
}

// Tools as subscriptions.

#[test]
fn a_tool_with_a_url_is_a_subscription_to_its_requests() {
    let mut d = Deployment::new();
    let tool = |url: &str| json!({"name": "lookup", "url": url, "timeoutMs": 5_000, "headers": {"x-a": "b"}});
    control(&mut d, S, "tool.configured", &tool("https://a.example/t"));
    let state = d.state(S, None).json();
    assert_eq!(state["subscriptions"]["tool.lookup"]["target"]["url"], "https://a.example/t");
    assert_eq!(state["tools"]["lookup"]["subscription"], "tool.lookup");
    control(&mut d, S, "tool.requested", &json!({"callId": "c", "name": "lookup", "arguments": {}}));
    let leased = d.pushed();
    assert_eq!(leased.condition.as_deref(), Some("event.payload.name == \"lookup\""));
    let push = leased.push.clone().unwrap();
    assert_eq!((push.url.as_str(), push.timeout_ms, push.headers.len()), ("https://a.example/t", 5_000, 1));
    assert_eq!(push.tool.unwrap().name, "lookup");
    d.passed(S, &leased);
    // Another URL: the same subscription, changed.
    control(&mut d, S, "tool.configured", &tool("https://b.example/t"));
    control(&mut d, S, "tool.requested", &json!({"callId": "c", "name": "lookup", "arguments": {}}));
    let leased = d.pushed();
    assert_eq!(leased.push.clone().unwrap().url, "https://b.example/t");
    d.passed(S, &leased);
    // None any more: somebody else hears its requests.
    control(&mut d, S, "tool.configured", &json!({"name": "lookup"}));
    let state = d.state(S, None).json();
    assert!(state["subscriptions"]["tool.lookup"].is_null() && !state["tools"]["lookup"].is_null(), "{state}");
    control(&mut d, S, "tool.requested", &json!({"callId": "c", "name": "lookup", "arguments": {}}));
    assert!(d.in_flight.is_empty());
}

#[test]
fn a_tool_takes_its_subscription_with_it() {
    let mut d = Deployment::new();
    control(&mut d, S, "tool.configured", &json!({"name": "lookup", "url": "https://a.example/t"}));
    control(&mut d, S, "tool.removed", &json!({"name": "lookup"}));
    for sleeps in [false, true] {
        if sleeps {
            d.evict(S);
        }
        let state = d.state(S, None).json();
        assert!(
            state["subscriptions"].get("tool.lookup").is_none() && state["tools"].get("lookup").is_none(),
            "{state}"
        );
    }
    control(&mut d, S, "tool.requested", &json!({"name": "lookup"}));
    assert!(d.in_flight.is_empty());
}

#[test]
fn a_subscription_that_only_has_a_tools_name_is_none_of_a_tool() {
    let mut d = Deployment::new();
    let own = json!({"slug": "tool.lookup", "target": {"url": "https://a.example/t"}, "types": ["note"]});
    control(&mut d, S, "tool.configured", &json!({"name": "lookup"}));
    control(&mut d, S, "subscription.configured", &own);
    control(&mut d, S, "note", &json!({}));
    assert!(d.pushed().push.unwrap().tool.is_none());
}

#[test]
fn the_state_at_an_offset_has_the_tools_of_then() {
    let mut d = Deployment::new();
    let first = control(&mut d, S, "tool.configured", &json!({"name": "lookup", "url": "https://a.example/t"}));
    let second = control(&mut d, S, "tool.configured", &json!({"name": "lookup", "approval": true}));
    let third = control(&mut d, S, "tool.removed", &json!({"name": "lookup"}));
    control(&mut d, S, "note", &json!({}));
    let at = |d: &mut Deployment, offset: u64| d.state(S, Some(offset)).json();
    assert_eq!(at(&mut d, first)["tools"]["lookup"]["url"], "https://a.example/t");
    assert!(!at(&mut d, first)["subscriptions"]["tool.lookup"].is_null());
    assert_eq!(at(&mut d, second)["tools"]["lookup"]["approval"], true);
    assert!(at(&mut d, second)["subscriptions"].get("tool.lookup").is_none());
    assert!(at(&mut d, third)["tools"].get("lookup").is_none());
}

#[test]
fn a_tool_for_all_below_is_there_too_and_goes_when_it_is_taken_back() {
    let mut d = Deployment::new();
    control(&mut d, "/s/young", "note", &json!({}));
    d.work_off();
    control(&mut d, S, "tool.configured", &json!({"name": "lookup", "url": "https://a.example/t", "children": true}));
    d.work_off();
    control(&mut d, "/s/younger", "note", &json!({}));
    d.work_off();
    for path in ["/s/young", "/s/younger"] {
        let state = d.state(path, None).json();
        assert_eq!(state["subscriptions"]["tool.lookup"]["target"]["url"], "https://a.example/t", "{path}");
        assert!(!state["tools"]["lookup"].is_null());
        control(&mut d, path, "tool.requested", &json!({"name": "lookup"}));
        let (at, leased) = d.in_flight.pop_front().unwrap();
        assert_eq!((at.as_str(), leased.push.unwrap().tool.is_some()), (path, true));
        d.in_flight.clear();
    }
    control(&mut d, S, "tool.removed", &json!({"name": "lookup", "children": true}));
    d.work_off();
    for path in ["/s/young", "/s/younger"] {
        let state = d.state(path, None).json();
        assert!(
            state["tools"].get("lookup").is_none() && state["subscriptions"].get("tool.lookup").is_none(),
            "{path} {state}"
        );
    }
}

#[test]
fn an_imported_tool_configures_nothing() {
    let mut d = Deployment::new();
    let payload = json!({"name": "lookup", "url": "https://a.example/t"});
    let event = json!({
        "offset": 7, "type": "tool.configured", "payload": payload, "streamPath": "/elsewhere", "createdAt": "2020-01-01T00:00:00Z",
    });
    let said = d.append_as(S, &event.to_string(), true, None).unwrap();
    assert_eq!(said.status, 200, "{}", said.body);
    for sleeps in [false, true] {
        if sleeps {
            d.evict(S);
        }
        let state = d.state(S, None).json();
        assert!(
            state["tools"].get("lookup").is_none() && state["subscriptions"].get("tool.lookup").is_none(),
            "{state}"
        );
    }
    control(&mut d, S, "note", &json!({}));
    assert!(d.state(S, Some(2)).json()["tools"].get("lookup").is_none());
}

#[test]
fn a_paused_stream_is_told_which_tools_there_are() {
    let mut d = Deployment::new();
    control(&mut d, S, "stream.paused", &json!({}));
    control(&mut d, S, "tool.configured", &json!({"name": "lookup"}));
    control(&mut d, S, "tool.removed", &json!({"name": "lookup"}));
    let refused = d.append(S, r#"{"type":"tool.completed","payload":{"callId":"c"}}"#);
    assert_eq!(refused.code(), "stream_paused");
}

// Hosted code.

fn source(n: u64) -> Value {
    json!({"slug": "js", "target": {"javascript": {"source": format!("export default {{}} // {n}")}}})
}

#[test]
fn code_is_configured_ten_times_a_minute_and_nothing_is_written_of_more() {
    let mut d = with_agent(&json!({}));
    for n in 0..10 {
        d.now = START + Millis::try_from(n).unwrap() * SECOND;
        control(&mut d, S, "subscription.configured", &source(n));
    }
    let head = d.head(S);
    for sleeps in [false, true] {
        if sleeps {
            d.evict(S);
        }
        for body in [
            json!({"type": "subscription.configured", "payload": source(99)}),
            json!([{"type": "note"}, {"type": "subscription.configured", "payload": source(99)}]),
        ] {
            let said = d.append(S, &body.to_string());
            assert_eq!(
                (said.status, said.code().as_str(), d.written),
                (503, "unavailable", 0),
                "{sleeps} {}",
                said.body
            );
            assert_eq!(said.header("retry-after"), Some("52"));
        }
        assert_eq!(d.head(S), head);
    }
    // Everything else may be configured meanwhile, and code again as soon as the first is a minute old.
    control(&mut d, S, "subscription.configured", &agent(&json!({"maxTurns": 2})));
    d.now = START + 60 * SECOND;
    control(&mut d, S, "subscription.configured", &source(100));
    assert_eq!(
        d.append(S, &json!({"type": "subscription.configured", "payload": source(101)}).to_string()).status,
        503
    );
}

// What a model is saying.

fn delta(d: &mut Deployment, attempt: u32, at: u64, text: &str) -> Delta {
    Delta {
        generation: d.generation(S).unwrap(),
        slug: "w".to_owned(),
        request_id: "w.g.3".to_owned(),
        attempt,
        started: 3,
        at,
        text: text.to_owned(),
    }
}

/// How many characters are known then.
fn say(d: &mut Deployment, delta: &Delta) -> String {
    let text = serde_json::to_string(delta).unwrap();
    let said = d.ask(S, |stream, now| call::say(stream, now, &text)).unwrap();
    assert_eq!(d.written, 0, "it is kept in memory alone");
    if said.status == 200 { said.body } else { said.code() }
}

/// What those who follow are sent: where it begins, and the text.
fn frames(frames: &[Frame]) -> Vec<(u64, String)> {
    let said = |frame: &Frame| match frame {
        Frame::Ephemeral { line } => {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!((&event["type"], event.get("offset")), (&json!("agent.output-delta"), None));
            assert_eq!((&event["payload"]["agent"], &event["payload"]["requestId"]), (&json!("w"), &json!("w.g.3")));
            assert_eq!(event["metadata"]["tailrace"]["by"], "subscription:w");
            (event["payload"]["at"].as_u64().unwrap(), event["payload"]["text"].as_str().unwrap().to_owned())
        }
        other => panic!("{other:?}"),
    };
    frames.iter().map(said).collect()
}

fn joined(d: &mut Deployment) -> Vec<(u64, String)> {
    let so_far = d.transact(S, |stream, now| Ok(speech::so_far(stream, now))).unwrap();
    frames(&so_far)
}

fn speaking() -> Deployment {
    let mut d = with_agent(&json!({}));
    d.stream(S).followed = true;
    d
}

#[test]
fn those_who_follow_are_told_each_piece_and_those_who_join_late_all_of_it() {
    let mut d = speaking();
    assert_eq!(joined(&mut d), []);
    for (at, text, known) in [(0, "Grüß", "4"), (4, " dich 👋", "11"), (11, "!", "12")] {
        let delta = delta(&mut d, 1, at, text);
        assert_eq!(say(&mut d, &delta), known);
        assert_eq!(frames(&d.frames), [(at, text.to_owned())]);
    }
    assert_eq!(joined(&mut d), [(0, "Grüß dich 👋!".to_owned())]);
}

#[test]
fn a_piece_that_does_not_fit_is_not_told_and_the_rest_is_said_again() {
    let mut d = speaking();
    let first = delta(&mut d, 1, 0, "one");
    say(&mut d, &first);
    let gap = delta(&mut d, 1, 7, "three");
    assert_eq!((say(&mut d, &gap), frames(&d.frames)), ("3".to_owned(), vec![]));
    d.evict(S);
    d.stream(S).followed = true;
    let next = delta(&mut d, 1, 3, " two");
    assert_eq!((say(&mut d, &next), frames(&d.frames)), ("0".to_owned(), vec![]), "a stream that slept knows nothing");
    let all = delta(&mut d, 1, 0, "one two");
    assert_eq!(say(&mut d, &all), "7");
    assert_eq!(frames(&d.frames), [(0, "one two".to_owned())]);
    assert_eq!(joined(&mut d), [(0, "one two".to_owned())]);
}

#[test]
fn another_attempt_begins_anew() {
    let mut d = speaking();
    for (attempt, at, text, known) in
        [(1, 0, "half of", "7"), (2, 0, "all", "3"), (2, 3, " of it", "9"), (3, 9, "x", "0")]
    {
        let delta = delta(&mut d, attempt, at, text);
        assert_eq!(say(&mut d, &delta), known);
    }
}

#[test]
fn what_is_too_long_is_not_kept_and_nobody_is_told_its_middle_as_its_beginning() {
    let mut d = speaking();
    let long = "x".repeat(200 * 1_024);
    let mut at = 0;
    for _ in 0..3 {
        let piece = delta(&mut d, 1, at, &long);
        at += long.len() as u64;
        assert_eq!(say(&mut d, &piece), at.to_string());
    }
    let last = delta(&mut d, 1, at, "the end");
    say(&mut d, &last);
    assert_eq!(frames(&d.frames), [(at, "the end".to_owned())]);
    assert_eq!(joined(&mut d), []);
}

#[test]
fn what_has_its_end_is_not_being_said_any_more() {
    let mut d = speaking();
    let piece = delta(&mut d, 1, 0, "one");
    say(&mut d, &piece);
    let outcome = json!({
        "generation": piece.generation, "slug": "w", "requestId": "w.g.3", "started": 2, "type": "agent.output-added",
        "payload": "{}", "key": "w.g.3:end",
    });
    let said = d.ask(S, |stream, now| call::end_request(stream, now, &outcome.to_string())).unwrap();
    assert_eq!(said.status, 200, "{}", said.body);
    assert_eq!(joined(&mut d), []);
    let late = delta(&mut d, 1, 3, "late");
    say(&mut d, &late);
    assert_eq!(joined(&mut d), [], "what comes late is not told as if it were said now");
}

#[test]
fn whether_an_answer_is_wanted_follows_from_the_stream() {
    let standing = |d: &mut Deployment, delta: &Delta| {
        let text = serde_json::to_string(delta).unwrap();
        let said = d.ask(S, |stream, _| call::standing(stream, &text)).unwrap();
        if said.status == 200 { said.body } else { said.code() }
    };
    let mut d = speaking();
    let piece = delta(&mut d, 1, 0, "one");
    assert_eq!(standing(&mut d, &piece), "wanted");
    control(&mut d, S, "stream.paused", &json!({}));
    assert_eq!(standing(&mut d, &piece), "paused");
    control(&mut d, S, "subscription.removed", &json!({"slug": "w"}));
    assert_eq!(standing(&mut d, &piece), "unwanted");
    assert_eq!(say(&mut d, &piece), "unwanted");
    control(&mut d, S, "stream.resumed", &json!({}));
    control(&mut d, S, "subscription.configured", &agent(&json!({})));
    assert_eq!(
        (standing(&mut d, &piece), say(&mut d, &piece)),
        ("unwanted".to_owned(), "unwanted".to_owned()),
        "another agent"
    );
    let outcome = json!({
        "generation": piece.generation, "slug": "w", "requestId": "w.g.3", "started": 2, "type": "agent.output-added",
        "payload": "{}", "key": "w.g.3:end",
    });
    d.ask(S, |stream, now| call::end_request(stream, now, &outcome.to_string())).unwrap();
    assert_eq!(standing(&mut d, &piece), "ended");
    let foreign = Delta { generation: "another".to_owned(), ..piece };
    assert_eq!(
        (standing(&mut d, &foreign), say(&mut d, &foreign)),
        ("stream_not_found".to_owned(), "stream_not_found".to_owned())
    );
}

#[test]
fn a_long_answer_is_told_to_those_who_follow_though_nobody_follows_at_first() {
    let mut d = with_agent(&json!({}));
    let first = delta(&mut d, 1, 0, "one");
    say(&mut d, &first);
    assert_eq!(frames(&d.frames), []);
    assert_eq!(joined(&mut d), [(0, "one".to_owned())]);
}
