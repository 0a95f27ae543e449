//! Restart: what was answered is there, once, whatever kills the process and whenever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tailrace_tests::{Runtime, Tail, until};

fn offsets(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["offset"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn every_answered_append_survives_kill_9_and_retries_land_once() {
    let mut runtime = Runtime::with().start();
    let stream = runtime.a_stream().without_breaker().await;
    let acknowledged: Arc<Mutex<HashMap<String, u64>>> = Arc::default();

    // Every kill but the first meets what the one before left behind.
    for round in 0..3 {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (stream, acknowledged) = (stream.clone(), acknowledged.clone());
                tokio::spawn(async move {
                    for n in 0..10_000 {
                        let key = format!("{round}.{writer}.{n}");
                        let event = json!({"type": "w", "payload": {"key": key}, "idempotencyKey": key});
                        let body = if n % 7 == 0 { json!([event]) } else { event };
                        let sent = stream.client.try_send("POST", &stream.url(), &[], body.to_string()).await;
                        let Ok(answer) = sent else { return (body, key) };
                        assert_eq!(answer.status, 200, "{answer}");
                        let answer = answer.json();
                        let event = if n % 7 == 0 { &answer["events"][0] } else { &answer["event"] };
                        acknowledged.lock().unwrap().insert(key, event["offset"].as_u64().unwrap());
                    }
                    panic!("the runtime outlived 10,000 appends");
                })
            })
            .collect();
        until("the blast is under way", || async {
            (acknowledged.lock().unwrap().len() > 200 * (round + 1)).then_some(())
        })
        .await;
        runtime.kill();
        let mut unanswered = Vec::new();
        for writer in writers {
            unanswered.push(writer.await.unwrap());
        }
        runtime.start_again();
        let stream = stream.by(&runtime.client());

        for (body, key) in unanswered {
            let first = stream.append(body.clone()).await.ok().json();
            let again = stream.append(body).await.ok();
            assert_eq!(again.header("tailrace-duplicate"), "true");
            assert_eq!(again.json(), first);
            let event = if first["event"].is_object() { &first["event"] } else { &first["events"][0] };
            acknowledged.lock().unwrap().insert(key, event["offset"].as_u64().unwrap());
        }
    }

    let events = stream.events().await;
    assert_eq!(offsets(&events), (1..=events.len() as u64).collect::<Vec<u64>>());
    let mut found: HashMap<String, u64> = HashMap::new();
    for event in events.iter().filter(|event| event["type"] == "w") {
        let key = event["payload"]["key"].as_str().unwrap().to_owned();
        assert_eq!(found.insert(key.clone(), event["offset"].as_u64().unwrap()), None, "{key} landed twice");
    }
    assert_eq!(found, *acknowledged.lock().unwrap());
}

#[tokio::test]
async fn a_batch_is_there_whole_or_not_at_all_after_kill_9() {
    let mut runtime = Runtime::with().start();
    let stream = runtime.a_stream().without_breaker().await;
    let answered = Arc::new(Mutex::new(Vec::new()));
    let writer = {
        let (stream, answered) = (stream.clone(), answered.clone());
        tokio::spawn(async move {
            for n in 0..10_000 {
                // Several rows a batch.
                let batch: Vec<Value> =
                    (0..40).map(|_| json!({"type": "w", "payload": [n, "x".repeat(50_000)]})).collect();
                let headers = [("prefer", "return=minimal")];
                let sent = stream.client.try_send("POST", &stream.url(), &headers, json!(batch).to_string()).await;
                let Ok(answer) = sent else { return };
                assert_eq!(answer.status, 200, "{answer}");
                answered.lock().unwrap().push(n);
            }
        })
    };
    until("some are written", || async { (answered.lock().unwrap().len() > 5).then_some(()) }).await;

    runtime.kill();
    writer.await.unwrap();
    runtime.start_again();
    let stream = stream.by(&runtime.client());

    let mut counts: HashMap<u64, usize> = HashMap::new();
    for event in stream.of_type("w").await {
        *counts.entry(event["payload"][0].as_u64().unwrap()).or_default() += 1;
    }
    assert!(counts.values().all(|&count| count == 40), "{counts:?}");
    for n in answered.lock().unwrap().iter() {
        assert!(counts.contains_key(n), "batch {n} was answered and is gone");
    }
}

#[tokio::test]
async fn everything_a_stream_knows_survives_a_restart() {
    let mut runtime = Runtime::with().start();
    let stream = runtime.a_stream();
    let keyed = json!({"type": "a", "idempotencyKey": "k"});
    let first = stream.append(keyed.clone()).await.event();
    let hook = stream.hook("", &[], vec![0xff; 2_500_000]).await.offset();
    let _ = stream.append(json!({"type": "stream.metadata-updated", "payload": {"metadata": {"m": 1}}})).await.ok();
    let _ =
        stream.append(json!({"type": "breaker.configured", "payload": {"limit": 50, "windowMs": 60_000}})).await.ok();
    stream.child("c").say("x").await;
    until("the child is listed", || async { (!stream.child_paths("").await.is_empty()).then_some(()) }).await;
    let _ = stream.append(json!({"type": "stream.paused", "payload": {"reason": "r"}})).await.ok();
    let _ = stream.hook("", &[], "parked").await;
    let (events, state, children) = (stream.events().await, stream.state().await, stream.children("").await);

    runtime.kill_and_restart();
    let stream = stream.by(&runtime.client());

    assert_eq!(stream.events().await, events);
    assert_eq!(stream.state().await, state);
    assert_eq!(state["parked"]["count"], 1);
    assert_eq!(stream.children("").await, children);
    assert_eq!(stream.raw(hook).await.ok().body, vec![0xff; 2_500_000]);
    let again = stream.append(keyed).await;
    assert_eq!(again.header("tailrace-duplicate"), "true");
    assert_eq!(again.event(), first);
    stream.say("stream.resumed").await;
    stream.wait_for_parked().await;
    assert_eq!(stream.of_type("webhook.received").await[1]["payload"]["body"], "parked");
}

#[tokio::test]
async fn the_breakers_window_survives_a_restart() {
    let mut runtime = Runtime::with().start();
    let stream = runtime.a_stream();
    let payload = json!({"limit": 3, "windowMs": 60_000});
    let _ = stream.append(json!({"type": "breaker.configured", "payload": payload})).await.ok();
    for _ in 0..3 {
        stream.say("x").await;
    }

    runtime.kill_and_restart();
    let stream = stream.by(&runtime.client());

    let fourth = stream.append(json!({"type": "x"})).await.ok();
    assert_eq!(fourth.header("tailrace-paused"), "true");
}

#[tokio::test]
async fn parked_hooks_are_let_in_after_a_restart_by_themselves() {
    let mut runtime = Runtime::with().start();
    let stream = runtime.a_stream();
    let payload = json!({"limit": 1, "windowMs": 3_000});
    let _ = stream.append(json!({"type": "breaker.configured", "payload": payload})).await.ok();
    for n in 0..3 {
        let _ = stream.hook("", &[], n.to_string()).await;
    }
    assert_eq!(stream.of_type("webhook.received").await.len(), 1);

    runtime.kill_and_restart();
    let stream = stream.by(&runtime.client());

    // The alarm alone: nobody calls the stream before they are due.
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    let events = stream.of_type("webhook.received").await;
    let bodies: Vec<&Value> = events.iter().map(|event| &event["payload"]["body"]).collect();
    assert_eq!(bodies, [0, 1, 2]);
}

#[tokio::test]
async fn what_is_owed_to_parents_is_told_after_a_restart() {
    let mut runtime = Runtime::with().start();
    let top = runtime.a_stream();
    let leaves: Vec<_> = (0..20).map(|n| top.child(&format!("b{}/c{n}", n % 3))).collect();
    let mut born = Vec::new();
    for leaf in &leaves {
        let leaf = leaf.clone();
        born.push(tokio::spawn(async move { leaf.say("x").await }));
    }
    for birth in born {
        birth.await.unwrap();
    }

    runtime.kill_and_restart();
    let top = top.by(&runtime.client());

    // The local runtime wakes an object with an alarm only when somebody asks for one of its kind.
    until("all are listed", || async {
        if top.head().await.status != 200 {
            return None;
        }
        (top.child_paths("?recursive=true&limit=1000").await.len() == 23).then_some(())
    })
    .await;
    assert_eq!(top.of_type("stream.child-created").await.len(), 3);
}

#[tokio::test]
async fn a_live_reader_resumes_over_kills_without_a_gap_or_a_double() {
    let mut runtime = Runtime::with().start();
    let stream = runtime.a_stream().without_breaker().await;
    let reader = {
        let stream = stream.clone();
        tokio::spawn(async move {
            let (mut seen, mut last_id) = (Vec::new(), String::new());
            while seen.len() < 302 {
                let request = stream.client.request("GET", &stream.url()).header("accept", "text/event-stream");
                let Ok(response) = request.header("last-event-id", &last_id).send().await else {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    continue;
                };
                let mut tail = Tail::of(response);
                while let Some(block) = tail.next_block().await {
                    assert_ne!(block.event.as_deref(), Some("reset"));
                    if let Some(id) = &block.id {
                        last_id.clone_from(id);
                    }
                    if block.is_event() {
                        seen.push(block.offset());
                    }
                    if seen.len() == 302 {
                        break;
                    }
                }
            }
            seen
        })
    };

    for _ in 0..3 {
        let stream = stream.by(&runtime.client());
        for n in 0..100 {
            stream.say(&format!("e{n}")).await;
        }
        runtime.kill_and_restart();
    }

    assert_eq!(reader.await.unwrap(), (1..=302).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_deletion_of_a_tree_is_finished_after_a_restart() {
    let mut runtime = Runtime::with().start();
    let top = runtime.a_stream();
    for n in 0..10 {
        top.child(&format!("b{}/c{n}", n % 3)).say("x").await;
    }
    until("all are listed", || async {
        (top.head().await.status == 200 && top.child_paths("?recursive=true").await.len() == 13).then_some(())
    })
    .await;

    assert_eq!(top.delete("?children=true").await.status, 202);
    runtime.kill_and_restart();
    let top = top.by(&runtime.client());

    until("all are gone", || async {
        for path in ["", "/b0", "/b1", "/b0/c0", "/b1/c1"] {
            if top.client.stream(&format!("{}{path}", top.path)).head().await.status != 404 {
                return None;
            }
        }
        Some(())
    })
    .await;
}
