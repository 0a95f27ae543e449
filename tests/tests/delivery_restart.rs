//! Deliveries over kills: every subscriber sees every event in order, and a processor counts each exactly once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tailrace_tests::{Received, Reply, Runtime, Stream, Subscriber, until, until_within};

const EVENTS: u64 = 10_000;
const BATCH: u64 = 250;
const KILLS: u64 = 6;

/// A killed courier's lease runs out ten seconds after the push would have; then what failed twice in a row waits half a
/// minute.
const VERY_PATIENT: Duration = Duration::from_secs(150);

/// Appends everything, a share after every kill; what got no answer is sent again with its keys.
async fn write_all(stream: Stream, kills: Arc<AtomicU64>) {
    let batches = EVENTS / BATCH;
    for batch in 0..batches {
        until_within(VERY_PATIENT, "it is killed again", || async {
            (kills.load(Ordering::Relaxed) >= batch * (KILLS + 1) / batches).then_some(())
        })
        .await;
        let event = |n: u64| json!({"type": "n", "payload": {"n": n}, "idempotencyKey": format!("k{n}")});
        let body = json!((batch * BATCH + 1..=(batch + 1) * BATCH).map(event).collect::<Vec<Value>>()).to_string();
        until("the batch is answered", || async {
            let headers = [("prefer", "return=minimal")];
            let answer = stream.client.try_send("POST", &stream.url(), &headers, body.clone()).await.ok()?;
            assert_eq!(answer.status, 200, "{answer}");
            Some(())
        })
        .await;
    }
}

fn count(received: &Received) -> Reply {
    let body = received.json();
    let added = body["events"].as_array().unwrap().len() as u64;
    let count = body["state"]["count"].as_u64().unwrap_or(0) + added;
    let counted = json!({"type": "counted", "payload": {"added": added, "count": count}});
    Reply::json(json!({"state": {"count": count}, "append": [counted]})).after(Duration::from_millis(20))
}

#[tokio::test]
async fn over_many_kills_all_see_everything_in_order_and_a_count_is_exact() {
    let mut runtime = Runtime::with().start();
    let stream = runtime.a_stream().without_breaker().await;
    let slow = Duration::from_millis(20);
    let willing = Subscriber::answering(move |_| Reply::ok().after(slow)).await;
    let flaky = Subscriber::answering(move |received| {
        Reply::status(if received.number % 7 == 6 { 503 } else { 200 }).after(slow)
    })
    .await;
    let processor = Subscriber::answering(count).await;
    let subscribers = [("willing", &willing), ("flaky", &flaky), ("processor", &processor)];
    for (slug, subscriber) in subscribers {
        // Every failure costs five seconds, so that one fails less often.
        let batch = if slug == "flaky" { 250 } else { 100 };
        let more = json!({"types": ["n"], "timeoutMs": 1_000, "batch": batch});
        stream.subscribe(slug, &subscriber.target(), more).await;
    }
    let kills: Arc<AtomicU64> = Arc::default();
    let writer = tokio::spawn(write_all(stream.clone(), kills.clone()));

    for _ in 0..KILLS {
        let before = subscribers.map(|(_, subscriber)| subscriber.count());
        until_within(VERY_PATIENT, "all are under way again", || async {
            // The local runtime wakes an object with an alarm only when somebody asks for one of its kind.
            let _ = stream.client.try_send("HEAD", &stream.url(), &[], "").await;
            let is_under_way = |(at, (_, it)): (usize, &(&str, &Subscriber))| it.count() > before[at] + 2;
            subscribers.iter().enumerate().all(is_under_way).then_some(())
        })
        .await;
        runtime.kill_and_restart();
        kills.fetch_add(1, Ordering::Relaxed);
    }
    writer.await.unwrap();
    let stream = stream.by(&runtime.client());
    let last = stream.of_type("n").await.last().unwrap()["offset"].as_u64().unwrap();
    for (slug, _) in subscribers {
        until_within(VERY_PATIENT, &format!("{slug} has everything"), || async {
            (stream.subscription(slug).await["cursor"].as_u64() >= Some(last)).then_some(())
        })
        .await;
    }

    let events = stream.of_type("n").await;
    let offsets: Vec<u64> = events.iter().map(|event| event["offset"].as_u64().unwrap()).collect();
    let numbers: Vec<u64> = events.iter().map(|event| event["payload"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=EVENTS).collect::<Vec<u64>>());
    let mut repeated = 0;
    for (slug, subscriber) in subscribers {
        assert_eq!(subscriber.offsets(), offsets, "{slug} saw all, in order of first delivery");
        let mut contents: HashMap<String, Vec<u64>> = HashMap::new();
        for received in subscriber.received() {
            let first = contents.entry(received.header("webhook-id").to_owned()).or_insert_with(|| received.offsets());
            assert_eq!(*first, received.offsets(), "{slug}: what has the same id is the same");
        }
        assert_eq!(contents.values().map(Vec::len).sum::<usize>(), offsets.len(), "{slug}: no event under two ids");
        if slug != "flaky" {
            repeated += subscriber.count() - contents.len();
        }
        assert_eq!(stream.subscription(slug).await["halted"], Value::Null);
    }
    assert!(repeated > 0, "no kill met a delivery");
    assert_eq!(stream.subscription("processor").await["state"], json!({"count": EVENTS}));
    let counted = stream.of_type("counted").await;
    let added: u64 = counted.iter().map(|event| event["payload"]["added"].as_u64().unwrap()).sum();
    assert_eq!((added, &counted.last().unwrap()["payload"]["count"]), (EVENTS, &json!(EVENTS)));
}
