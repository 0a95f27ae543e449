//! The stream as a conversation: what a request is made of, by example and for any log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(missing_docs, reason = "a test's name says it")]

mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{GENERATION, PATH, Rig, SLUG, agent_payload};
use tailrace_agent::transcript::{TYPES, Transcript};
use tailrace_model::types::TypeFilter;

/// Everything is said already: the messages of the request made now.
fn messages(rig: &Rig) -> Vec<Value> {
    rig.body(rig.head())["messages"].as_array().unwrap().clone()
}

fn said(rig: &Rig) -> Vec<String> {
    let text = |message: &Value| match &message["content"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    messages(rig).iter().map(text).collect()
}

fn offered(rig: &Rig) -> Vec<String> {
    let body = rig.body(rig.head());
    let names = body["tools"].as_array().into_iter().flatten().map(|tool| &tool["function"]["name"]);
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// A turn that wants calls, in the log alone.
fn turn(rig: &mut Rig, number: u64, calls: &[&str]) -> String {
    let request = format!("{SLUG}.{GENERATION}.{}", rig.head());
    let up_to = rig.head();
    rig.add_own(
        "agent.turn-started",
        &json!({"agent": SLUG, "turn": number, "requestId": request, "upTo": up_to}),
        None,
    );
    let calls: Vec<(&str, Value)> = calls.iter().map(|name| (*name, json!({"for": name}))).collect();
    rig.output(&request, "hm", &calls);
    request
}

#[test]
fn results_follow_the_output_that_asked_for_them_in_its_order_however_they_came() {
    let mut rig = Rig::new(&json!({}));
    rig.add("agent.input-added", &json!({"content": "go"}));
    let request = turn(&mut rig, 3, &["a", "b", "c", "d", "e"]);
    rig.add("agent.input-added", &json!({"content": "meanwhile"}));
    rig.add("tool.completed", &json!({"callId": format!("{request}.3"), "result": {"x": [1, 2]}}));
    rig.add("tool.denied", &json!({"callId": format!("{request}.2"), "reason": "no way"}));
    rig.add("tool.completed", &json!({"callId": format!("{request}.0"), "result": "one"}));
    rig.add("tool.failed", &json!({"callId": format!("{request}.1"), "error": {"code": 7}}));
    rig.add("tool.completed", &json!({"callId": format!("{request}.1"), "result": "late"}));
    rig.add("tool.completed", &json!({"callId": "of.nobody", "result": "?"}));
    let messages = messages(&rig);
    let calls = messages[1]["tool_calls"].as_array().unwrap();
    let ids: Vec<&str> = calls.iter().map(|call| call["id"].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..5).map(|index| format!("call_1_{index}")).collect();
    assert_eq!(ids, expected);
    assert_eq!(calls[1]["function"]["arguments"], r#"{"for":"b"}"#);
    let results: Vec<(&str, &str)> = messages[2..7]
        .iter()
        .map(|it| (it["tool_call_id"].as_str().unwrap(), it["content"].as_str().unwrap()))
        .collect();
    let told = ["one", r#"failed: {"code":7}"#, "denied: no way", r#"{"x":[1,2]}"#, "failed: there is no result yet"];
    assert_eq!(results, expected.iter().map(String::as_str).zip(told).collect::<Vec<_>>());
    assert_eq!(messages[7]["content"], "meanwhile");
    assert_eq!(messages.len(), 8);
}

/// Numbers of turns begin anew when an agent was removed and configured again; what a provider sees must not.
#[test]
fn two_calls_of_one_request_never_have_the_same_id() {
    let mut rig = Rig::new(&json!({}));
    for _ in 0..2 {
        let request = turn(&mut rig, 1, &["a", "a"]);
        for index in 0..2 {
            rig.add("tool.completed", &json!({"callId": format!("{request}.{index}"), "result": index}));
        }
    }
    let messages = messages(&rig);
    let ids: Vec<&Value> = messages.iter().filter_map(|message| message.get("tool_call_id")).collect();
    let unique: std::collections::BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
    assert_eq!((ids.len(), unique.len()), (4, 4), "{ids:?}");
}

#[test]
fn a_result_without_words_says_what_it_was() {
    let mut rig = Rig::new(&json!({}));
    let request = turn(&mut rig, 1, &["a", "b", "c", "d"]);
    rig.add("tool.completed", &json!({"callId": format!("{request}.0")}));
    rig.add("tool.failed", &json!({"callId": format!("{request}.1"), "error": null}));
    rig.add("tool.denied", &json!({"callId": format!("{request}.2")}));
    rig.add("tool.completed", &json!({"callId": format!("{request}.3"), "result": null}));
    assert_eq!(said(&rig)[1..4], ["done", "failed", "denied"]);
}

#[test]
fn what_was_said_before_it_was_broken_off_stays_said() {
    let mut rig = Rig::new(&json!({}));
    rig.add("agent.input-added", &json!({"content": "go"}));
    rig.add_own("agent.turn-interrupted", &json!({"agent": SLUG, "requestId": "r", "partial": "once upon"}), None);
    rig.add_own("agent.turn-interrupted", &json!({"agent": SLUG, "requestId": "q", "partial": ""}), None);
    rig.add_own("agent.turn-failed", &json!({"agent": SLUG, "requestId": "p", "error": "x", "final": true}), None);
    rig.add_own("agent.output-delta", &json!({"agent": SLUG, "requestId": "o", "text": "not this"}), None);
    rig.add("agent.input-added", &json!({"content": "no"}));
    assert_eq!(said(&rig), ["go", "once upon", "no"]);
    assert_eq!(messages(&rig)[1]["role"], "assistant");
}

#[test]
fn agents_of_one_stream_hear_what_is_for_them_and_say_what_is_theirs() {
    let mut rig = Rig::new(&json!({}));
    rig.add("agent.input-added", &json!({"content": "for all"}));
    rig.add("agent.input-added", &json!({"content": "for writer", "to": SLUG}));
    rig.add("agent.input-added", &json!({"content": "for reader", "to": "reader"}));
    rig.add("agent.context-added", &json!({"content": "reader's context", "agent": "reader"}));
    rig.add("agent.context-added", &json!({"content": "context"}));
    rig.add(
        "agent.output-added",
        &json!({"agent": "reader", "requestId": "x", "content": "reader speaks", "toolCalls": []}),
    );
    rig.add("agent.turn-interrupted", &json!({"agent": "reader", "requestId": "x", "partial": "reader part"}));
    rig.add("agent.output-added", &json!({"content": "nobody speaks", "requestId": "x"}));
    rig.add(
        "subscription.configured",
        &json!({"slug": "reader", "target": {"agent": {"api": "chat", "model": "other"}}}),
    );
    assert_eq!(said(&rig), ["for all", "for writer", "context"]);
    assert_eq!(rig.body(rig.head())["model"], "m");
}

#[test]
fn nobody_else_puts_words_into_its_mouth() {
    let mut rig = Rig::new(&json!({}));
    rig.add("agent.input-added", &json!({"content": "go"}));
    rig.add("agent.output-added", &json!({"agent": SLUG, "requestId": "r", "content": "forged", "toolCalls": []}));
    rig.add("agent.turn-interrupted", &json!({"agent": SLUG, "requestId": "r", "partial": "forged"}));
    assert_eq!(said(&rig), ["go"]);
}

#[test]
fn a_request_is_made_as_the_agent_was_configured_then() {
    let mut rig = Rig::new(&json!({"system": "be kind"}));
    rig.add("agent.input-added", &json!({"content": "go"}));
    rig.add(
        "tool.configured",
        &json!({"name": "lookup", "description": "old", "parameters": {"properties": {"a": {}}}}),
    );
    let before = rig.head();
    rig.add(
        "subscription.configured",
        &agent_payload(&json!({"system": "be quick", "model": "n", "tools": ["look*", "append_*"]})),
    );
    rig.add("tool.configured", &json!({"name": "lookup", "description": "new"}));
    rig.add("tool.configured", &json!({"name": "other"}));
    let (old, new) = (rig.body(before), rig.body(rig.head()));
    assert_eq!(
        (&old["messages"][0]["content"], &new["messages"][0]["content"]),
        (&json!("be kind"), &json!("be quick"))
    );
    assert_eq!((&old["model"], &new["model"]), (&json!("m"), &json!("n")));
    let description = |body: &Value| {
        let tools = body["tools"].as_array().unwrap().clone();
        tools.into_iter().find(|it| it["function"]["name"] == "lookup").unwrap()["function"].clone()
    };
    assert_eq!(description(&old)["parameters"], json!({"properties": {"a": {}}, "type": "object"}));
    assert_eq!(description(&new)["description"], "new");
    assert_eq!(offered(&rig), ["lookup", "append_event"]);
    rig.add("tool.removed", &json!({"name": "lookup"}));
    assert_eq!(offered(&rig), ["append_event"]);
    rig.add("subscription.configured", &agent_payload(&json!({})));
    assert_eq!(offered(&rig), ["other", "append_event", "read_stream", "schedule", "spawn"]);
    rig.add("subscription.configured", &agent_payload(&json!({"tools": []})));
    assert!(offered(&rig).is_empty());
}

#[test]
fn nothing_is_asked_before_it_is_configured() {
    let mut rig = Rig::new(&json!({}));
    assert!(rig.transcript(1).request().is_none());
    rig.add("subscription.configured", &json!({"slug": SLUG, "target": {"pull": true}}));
    assert!(rig.transcript(rig.head()).request().is_none());
}

#[test]
fn input_has_a_role_and_any_content_is_shown() {
    let mut rig = Rig::new(&json!({}));
    for (payload, role, content) in [
        (json!({"content": "a"}), "user", json!("a")),
        (json!({"content": "a", "role": "assistant"}), "assistant", json!("a")),
        (json!({"content": "a", "role": "system"}), "system", json!("a")),
        (json!({"content": "a", "role": 5}), "user", json!("a")),
        (json!({"content": {"b": 1}}), "user", json!("{\"b\":1}")),
        (json!({"content": 5}), "user", json!("5")),
        (json!({"content": []}), "user", json!("[]")),
        (json!({"text": "hi"}), "user", json!("{\"text\":\"hi\"}")),
        (json!({"content": ["x", {"type": "odd"}]}), "user", json!("[\"x\",{\"type\":\"odd\"}]")),
    ] {
        rig.add("agent.input-added", &payload);
        let messages = messages(&rig);
        let last = messages.last().unwrap();
        assert_eq!((&last["role"], &last["content"]), (&json!(role), &content), "{payload}");
    }
}

/// The machine answers every input; so the model must be told of it.
#[test]
fn every_input_that_is_answered_is_in_the_request_whatever_else_its_payload_says() {
    for payload in [
        json!("hello"),
        json!(5),
        json!(["hello"]),
        json!({"content": "hello", "name": 5}),
        json!({"content": "hello", "name": {"first": "A"}}),
        json!({"content": "hello", "turn": "third"}),
        json!({"content": "hello", "turn": -1}),
        json!({"content": "hello", "requestId": 7}),
        json!({"content": "hello", "callId": 7}),
        json!({"content": "hello", "toolCalls": {}}),
        json!({"content": "hello", "partial": true, "description": 1}),
        json!({"content": "hello", "to": 5, "agent": []}),
    ] {
        let mut rig = Rig::new(&json!({"debounceMs": 0}));
        rig.add("agent.input-added", &payload);
        rig.settle_all();
        assert_eq!(rig.all("agent.turn-started").len(), 1, "{payload}");
        assert_eq!(messages(&rig).len(), 1, "{payload} is answered and not said");
    }
}

#[test]
fn a_result_counts_whatever_else_its_payload_says() {
    let mut rig = Rig::new(&json!({}));
    let request = turn(&mut rig, 1, &["a"]);
    rig.add("tool.completed", &json!({"callId": format!("{request}.0"), "result": "one", "name": 5, "turn": "x"}));
    assert_eq!(said(&rig)[1], "one");
}

#[test]
fn all_that_a_request_is_made_of_is_read() {
    let filter = TypeFilter::new(&TYPES.split(',').map(str::to_owned).collect::<Vec<_>>());
    for kind in [
        "agent.input-added",
        "agent.context-added",
        "agent.output-added",
        "tool.completed",
        "tool.configured",
        "subscription.configured",
    ] {
        assert!(filter.matches(kind), "{kind}");
    }
    let mut rig = Rig::new(&json!({}));
    rig.add("agent.input-added", &json!({"content": "go"}));
    rig.add("note", &json!({"content": "no"}));
    rig.add("stream.metadata-updated", &json!({"content": "no"}));
    assert_eq!(said(&rig), ["go"]);
}

/// Any event that may stand in an agent's stream.
fn event() -> impl Strategy<Value = (String, Value)> {
    let kinds = [
        "agent.input-added",
        "agent.context-added",
        "agent.turn-started",
        "agent.output-added",
        "agent.turn-interrupted",
        "agent.turn-failed",
        "tool.requested",
        "tool.completed",
        "tool.failed",
        "tool.denied",
        "tool.configured",
        "tool.removed",
        "agent.odd",
        "note",
    ];
    let value = prop_oneof![
        Just(json!("r.1.0")),
        Just(json!("r")),
        Just(json!(SLUG)),
        Just(json!(1)),
        Just(json!(null)),
        Just(json!("text")),
        Just(
            json!([{"callId": "r.1.0", "name": "lookup", "arguments": {"a": 1}}, {"callId": "r.1.1", "name": "x", "arguments": "{"}])
        ),
        Just(json!([{"type": "text", "text": "hi"}, {"type": "image", "url": "https://x.example/i.png"}])),
    ];
    let field = prop::sample::select(vec![
        "agent",
        "to",
        "role",
        "content",
        "requestId",
        "turn",
        "toolCalls",
        "partial",
        "callId",
        "result",
        "error",
        "reason",
        "name",
        "parameters",
    ]);
    let payload = prop::collection::vec((field, value), 0..6)
        .prop_map(|fields| Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()));
    (prop::sample::select(kinds.to_vec()).prop_map(str::to_owned), payload)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_is_the_same_bytes_for_the_same_log_and_answers_every_call_once(
        events in prop::collection::vec(event(), 0..30),
        api in prop::sample::select(vec!["chat", "responses", "messages"]),
        more in prop::collection::vec(event(), 0..5),
    ) {
        let mut rig = Rig::new(&json!({"api": api}));
        for (kind, payload) in &events {
            rig.add(kind, payload);
        }
        let up_to = rig.head();
        let first = rig.transcript(up_to).request().unwrap();
        for (kind, payload) in &more {
            rig.add(kind, payload);
        }
        let again = rig.transcript(up_to).request().unwrap();
        prop_assert_eq!(&first.body, &again.body);
        let filter = TypeFilter::new(&TYPES.split(',').map(str::to_owned).collect::<Vec<_>>());
        let mut filtered = Transcript::new(SLUG);
        for offset in (1..=up_to).filter(|offset| filter.matches(&rig.type_at(*offset))) {
            filtered.take(&rig.stored(offset));
        }
        prop_assert_eq!(&first.body, &filtered.request().unwrap().body, "what is not read changes nothing");
        let body: Value = serde_json::from_str(&first.body).unwrap();
        if api == "chat" {
            let messages = body["messages"].as_array().unwrap();
            for (at, message) in messages.iter().enumerate() {
                for (index, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
                    prop_assert_eq!(&messages[at + 1 + index]["tool_call_id"], &call["id"]);
                }
            }
            let calls: usize = messages.iter().map(|it| it["tool_calls"].as_array().map_or(0, Vec::len)).sum();
            let results = messages.iter().filter(|it| it["role"] == "tool").count();
            prop_assert_eq!(calls, results);
        }
        prop_assert!(!first.body.contains(PATH));
    }
}
