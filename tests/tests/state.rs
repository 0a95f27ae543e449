//! The control state: what holds for a stream, now and as it was.

use serde_json::{Value, json};
use tailrace_tests::runtime::a_stream;

#[tokio::test]
async fn the_state_says_what_holds() {
    let stream = a_stream();
    stream.say("a").await;

    let state = stream.state().await;

    let events = stream.events().await;
    assert_eq!(state["streamPath"], stream.path);
    assert_eq!(state["generation"], events[0]["payload"]["generation"]);
    assert_eq!(state["createdAt"], events[0]["createdAt"]);
    assert_eq!(state["lastEventAt"], events[1]["createdAt"]);
    assert_eq!((&state["head"], &state["paused"]), (&json!(2), &Value::Null));
    assert_eq!(state["breaker"], json!({"limit": 100, "windowMs": 1_000}));
    assert_eq!(state["parked"], json!({"count": 0, "bytes": 0}));
    for empty in ["metadata", "schedules", "subscriptions", "hooks", "tools"] {
        assert_eq!(state[empty], json!({}), "{empty}");
    }
}

#[tokio::test]
async fn metadata_is_merged_as_a_patch() {
    let stream = a_stream();
    for patch in [json!({"a": {"x": 1, "y": [1]}, "b": 2}), json!({"a": {"x": null, "z": 3}, "c": null})] {
        let _ = stream.append(json!({"type": "stream.metadata-updated", "payload": {"metadata": patch}})).await.ok();
    }

    assert_eq!(stream.state().await["metadata"], json!({"a": {"y": [1], "z": 3}, "b": 2}));
}

#[tokio::test]
async fn metadata_of_a_stream_has_at_most_64_kib() {
    let stream = a_stream();
    let part = |name: &str| {
        let metadata = json!({name: "x".repeat(40_000)});
        json!({"type": "stream.metadata-updated", "payload": {"metadata": metadata}})
    };

    let _ = stream.append(part("a")).await.ok();
    let together = stream.append(part("b")).await;

    together.problem(413, "too_large");
    assert_eq!(stream.head_offset().await, 2);
}

#[tokio::test]
async fn the_state_can_be_had_as_it_was_after_any_event() {
    let stream = a_stream();
    stream.say("a").await;
    let _ = stream.append(json!({"type": "breaker.configured", "payload": {"limit": 7}})).await.ok();
    let _ = stream.append(json!({"type": "stream.paused", "payload": {"reason": "r"}})).await.ok();
    let _ = stream.append(json!({"type": "stream.metadata-updated", "payload": {"metadata": {"a": 1}}})).await.ok();
    stream.say("stream.resumed").await;
    let at = async |offset: u64| stream.client.get(&format!("/api/state{}?at={offset}", stream.path)).await.ok().json();

    let told: Vec<Value> = vec![at(1).await, at(2).await, at(3).await, at(4).await, at(5).await, at(6).await];

    let limits: Vec<&Value> = told.iter().map(|state| &state["breaker"]["limit"]).collect();
    assert_eq!(limits, [&json!(100), &json!(100), &json!(7), &json!(7), &json!(7), &json!(7)]);
    let paused: Vec<bool> = told.iter().map(|state| state["paused"].is_object()).collect();
    assert_eq!(paused, [false, false, false, true, true, false]);
    assert_eq!((&told[3]["metadata"], &told[4]["metadata"]), (&json!({}), &json!({"a": 1})));
    for (index, state) in told.iter().enumerate() {
        assert_eq!(state["head"], index + 1);
    }
    let paused = &told[3]["paused"];
    assert_eq!((&paused["reason"], &paused["offset"]), (&json!("r"), &json!(4)));
    assert!(paused["since"].is_string(), "{paused}");
}

#[tokio::test]
async fn an_offset_that_is_none_is_refused() {
    let stream = a_stream();
    stream.say("a").await;
    for bad in ["x", "-1", "1.5"] {
        let answer = stream.client.get(&format!("/api/state{}?at={bad}", stream.path)).await;
        assert_eq!(answer.problem(400, "invalid_query")["field"], "at");
    }
}

#[tokio::test]
async fn a_pause_by_the_breaker_says_what_it_saw() {
    let stream = a_stream();
    let payload = json!({"limit": 1, "windowMs": 60_000});
    let _ = stream.append(json!({"type": "breaker.configured", "payload": payload})).await.ok();
    stream.say("x").await;
    stream.say("x").await;

    let paused = stream.state().await["paused"].clone();

    assert_eq!(paused["breaker"], json!({"limit": 1, "windowMs": 60_000, "observed": 2}));
    assert_eq!(paused["offset"], stream.head_offset().await);
}
