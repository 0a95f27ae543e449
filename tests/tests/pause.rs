//! Pause and breaker: a runaway is stopped, a stranger stops nobody, only a person resumes.

use std::time::Duration;

use serde_json::{Value, json};
use tailrace_tests::runtime::a_stream;
use tailrace_tests::{Stream, until};

async fn configured(limit: impl Into<Value>, window_ms: u64) -> Stream {
    let stream = a_stream();
    let payload = json!({"limit": limit.into(), "windowMs": window_ms});
    let _ = stream.append(json!({"type": "breaker.configured", "payload": payload})).await.ok();
    stream
}

#[tokio::test]
async fn the_commit_that_exceeds_the_limit_stands_and_the_stream_pauses_behind_it() {
    let stream = configured(5, 60_000).await;
    for _ in 0..5 {
        let answer = stream.append(json!({"type": "x"})).await.ok();
        assert_eq!(answer.header("tailrace-paused"), "");
    }

    let last = stream.append(json!({"type": "last"})).await;

    assert_eq!(last.header("tailrace-paused"), "true");
    let offset = last.offset();
    let paused = &stream.page(&format!("?afterOffset={offset}")).await[0];
    assert_eq!((&paused["offset"], &paused["type"]), (&json!(offset + 1), &json!("stream.paused")));
    assert_eq!(paused["payload"]["reason"], "circuit breaker: 6 events in 60000 ms");
    assert_eq!(paused["payload"]["breaker"], json!({"limit": 5, "windowMs": 60_000, "observed": 6}));
}

#[tokio::test]
async fn a_paused_stream_refuses_and_says_why_since_when_and_how_to_go_on() {
    let stream = a_stream();
    stream.say("x").await;
    let _ = stream.append(json!({"type": "stream.paused", "payload": {"reason": "lunch"}})).await.ok();
    let since = stream.of_type("stream.paused").await[0]["createdAt"].clone();

    for body in [json!({"type": "y"}), json!([{"type": "y"}, {"type": "z"}]), json!({"not": "an event"})] {
        let problem = stream.append(body).await.problem(423, "stream_paused");
        assert_eq!((&problem["reason"], &problem["since"]), (&json!("lunch"), &since));
        assert!(problem["resume"].as_str().unwrap().contains("stream.resumed"), "{problem}");
    }
    assert_eq!(stream.head_offset().await, 3);
    assert_eq!(stream.page("").await.len(), 3, "reads go on");

    stream.say("stream.resumed").await;
    assert_eq!(stream.say("y").await, 5);
}

#[tokio::test]
async fn a_paused_stream_takes_what_configures_it() {
    let stream = a_stream();
    stream.say("stream.paused").await;

    for event in [
        json!({"type": "breaker.configured", "payload": {"limit": 9}}),
        json!({"type": "stream.metadata-updated", "payload": {"metadata": {"a": 1}}}),
        json!({"type": "stream.paused", "payload": {"reason": "again"}}),
        json!({"type": "stream.resumed"}),
    ] {
        assert_eq!(stream.append(event.clone()).await.status, 200, "{event}");
    }
    stream.say("x").await;
}

#[tokio::test]
async fn a_batch_sees_what_its_own_events_do() {
    let stream = a_stream();
    stream.say("x").await;

    let behind_a_pause = stream.append(json!([{"type": "stream.paused"}, {"type": "y"}])).await;
    let behind_a_resume =
        stream.append(json!([{"type": "stream.paused"}, {"type": "stream.resumed"}, {"type": "y"}])).await;

    behind_a_pause.problem(423, "stream_paused");
    assert_eq!(behind_a_resume.status, 200, "{behind_a_resume}");
    assert_eq!(stream.head_offset().await, 5);
}

#[tokio::test]
async fn a_single_batch_never_trips_and_two_do() {
    let stream = a_stream();
    let batch = json!(vec![json!({"type": "x"}); 1_000]);

    let first = stream.append(batch.clone()).await.ok();
    assert_eq!(first.header("tailrace-paused"), "");
    assert_eq!(stream.state().await["paused"], Value::Null);

    let stream = configured(100, 60_000).await;
    let _ = stream.append(batch.clone()).await.ok();
    let second = stream.append(batch).await.ok();
    assert_eq!(second.header("tailrace-paused"), "true");
    stream.append(json!({"type": "y"})).await.problem(423, "stream_paused");
}

#[tokio::test]
async fn by_default_more_than_a_hundred_events_in_a_second_trip() {
    let stream = a_stream();
    stream.say("x").await;
    assert_eq!(stream.state().await["breaker"], json!({"limit": 100, "windowMs": 1_000}));

    // Fifty at a time, faster than a hundred a second on any machine.
    let fifty = json!(vec![json!({"type": "x"}); 50]);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(stream.append(fifty.clone()).await);
    }

    assert!(answers.iter().any(|answer| answer.header("tailrace-paused") == "true"), "{answers:?}");
    let paused = stream.wait_for("stream.paused").await;
    assert!(paused["payload"]["reason"].as_str().unwrap().starts_with("circuit breaker: 1"), "{paused}");
}

#[tokio::test]
async fn events_leave_the_window_with_time() {
    let stream = configured(3, 300).await;
    for _ in 0..3 {
        for _ in 0..3 {
            stream.say("x").await;
        }
        tokio::time::sleep(Duration::from_millis(350)).await;
    }

    assert_eq!(stream.state().await["paused"], Value::Null);
}

#[tokio::test]
async fn the_window_begins_anew_at_a_resume_and_at_a_new_configuration() {
    let stream = configured(3, 60_000).await;
    for _ in 0..3 {
        stream.say("x").await;
    }
    stream.say("stream.resumed").await;
    for _ in 0..3 {
        stream.say("x").await;
    }
    let _ =
        stream.append(json!({"type": "breaker.configured", "payload": {"limit": 3, "windowMs": 60_000}})).await.ok();
    for _ in 0..3 {
        let answer = stream.append(json!({"type": "x"})).await.ok();
        assert_eq!(answer.header("tailrace-paused"), "");
    }

    let answer = stream.append(json!({"type": "x"})).await.ok();
    assert_eq!(answer.header("tailrace-paused"), "true");
}

#[tokio::test]
async fn the_breaker_can_be_turned_off() {
    let stream = configured(Value::Null, 60_000).await;

    for _ in 0..5 {
        let answer = stream.append(json!(vec![json!({"type": "x"}); 500])).await.ok();
        assert_eq!(answer.header("tailrace-paused"), "");
    }
    assert_eq!(stream.state().await["breaker"]["limit"], Value::Null);
}

#[tokio::test]
async fn refused_and_repeated_events_are_not_counted() {
    let stream = configured(3, 60_000).await;
    let keyed = json!({"type": "x", "idempotencyKey": "k"});
    let _ = stream.append(keyed.clone()).await.ok();

    for _ in 0..10 {
        let _ = stream.append(keyed.clone()).await.ok();
        let _ = stream.append(json!({"type": "x", "offset": 99})).await;
        let _ = stream.append(json!({"type": "stream.created"})).await;
        let _ = stream.post_with("?ephemeral=true", &[], r#"{"type":"typing"}"#).await;
    }
    stream.say("x").await;
    let third = stream.append(json!({"type": "x"})).await.ok();

    assert_eq!(third.header("tailrace-paused"), "");
}

#[tokio::test]
async fn foreign_bodies_posted_as_events_are_counted() {
    let stream = configured(3, 60_000).await;

    let mut last = stream.post("hello").await;
    for _ in 0..3 {
        last = stream.post("hello").await;
    }

    assert_eq!(last.header("tailrace-paused"), "true");
}

#[tokio::test]
async fn hooks_above_the_pace_are_parked_and_let_in_later_in_their_order() {
    let stream = configured(10, 500).await;

    let mut statuses = Vec::new();
    for n in 0..40 {
        let answer = stream.hook("", &[], format!("{{\"n\":{n}}}")).await;
        assert!(answer.status == 200 || answer.json() == json!({"parked": true}), "{answer}");
        statuses.push(answer.status);
    }
    stream.wait_for_parked().await;

    assert!(statuses.contains(&200) && statuses.contains(&202), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 202].contains(status)), "{statuses:?}");
    let numbers: Vec<Value> =
        stream.of_type("webhook.received").await.iter().map(|e| e["payload"]["body"]["n"].clone()).collect();
    assert_eq!(numbers, (0..40).map(|n| json!(n)).collect::<Vec<_>>());
    assert_eq!(stream.state().await["paused"], Value::Null);
}

#[tokio::test]
async fn hooks_reach_live_readers_when_they_are_let_in() {
    let stream = configured(5, 300).await;
    let mut tail = stream.tail_with("?types=webhook.*", &[]).await;
    tail.to_head().await;

    for n in 0..15 {
        let _ = stream.hook("", &[], n.to_string()).await;
    }

    let bodies: Vec<Value> = tail.next_events(15).await.iter().map(|event| event["payload"]["body"].clone()).collect();
    assert_eq!(bodies, (0..15).map(|n| json!(n)).collect::<Vec<_>>());
}

#[tokio::test]
async fn hooks_wait_while_the_stream_is_paused_and_come_in_when_it_is_resumed() {
    let stream = a_stream();
    stream.say("stream.paused").await;

    for n in 0..3 {
        let answer = stream.hook("", &[], n.to_string()).await;
        assert_eq!((answer.status, answer.json()), (202, json!({"parked": true})));
    }
    assert_eq!(stream.state().await["parked"]["count"], 3);
    assert_eq!(stream.head_offset().await, 2);
    stream.say("stream.resumed").await;

    stream.wait_for_parked().await;
    assert_eq!(stream.of_type("webhook.received").await.len(), 3);
}

#[tokio::test]
async fn a_thousand_parked_hooks_pause_the_stream_and_further_ones_are_told_to_come_later() {
    let stream = configured(1, 60_000).await;
    stream.say("x").await;

    let senders = (0..8).map(|_| {
        let stream = stream.clone();
        tokio::spawn(async move {
            for _ in 0..125 {
                assert_eq!(stream.hook("", &[], "x").await.status, 202);
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }

    let refused = stream.hook("", &[], "one more").await;
    refused.problem(503, "unavailable");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0, "{refused}");
    let state = stream.state().await;
    assert_eq!(state["parked"]["count"], 1_000);
    assert!(state["paused"]["reason"].is_string(), "{state}");
}

#[tokio::test]
async fn parked_hooks_take_at_most_32_mib() {
    let stream = configured(1, 60_000).await;
    stream.say("x").await;
    let large = vec![b'x'; 17 << 20];

    let first = stream.hook("", &[], large.clone()).await;
    let second = stream.hook("", &[], large.clone()).await;
    let third = stream.hook("", &[], "small").await;

    assert_eq!((first.status, second.status), (202, 202), "{first} {second}");
    third.problem(503, "unavailable");
    assert!(stream.state().await["paused"].is_object());

    let payload = json!({"limit": null});
    let _ =
        stream.append(json!([{"type": "breaker.configured", "payload": payload}, {"type": "stream.resumed"}])).await;
    stream.wait_for_parked().await;
    for event in stream.of_type("webhook.received").await {
        let raw = stream.raw(event["offset"].as_u64().unwrap()).await.ok();
        assert!(raw.body == large);
    }
}

#[tokio::test]
async fn hooks_do_not_trip_the_breaker_and_clients_still_do() {
    let stream = configured(20, 2_000).await;
    for _ in 0..30 {
        let _ = stream.hook("", &[], "x").await;
    }
    assert_eq!(stream.state().await["paused"], Value::Null);

    until("clients trip it", || async {
        let answer = stream.append(json!({"type": "x"})).await;
        (answer.header("tailrace-paused") == "true").then_some(())
    })
    .await;
}
