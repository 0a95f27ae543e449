//! The main job: everything that GitHub sends, as it sends it, kept to the byte, read back and followed live.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tailrace_tests::github::{Delivery, deliveries};
use tailrace_tests::{Client, Runtime, Stream};

const SENDERS: usize = 6;
const HOOK: &str = "/hooks/github/octo-org";

/// What became of each delivery; those without an answer are not there.
type Answers = Arc<Mutex<HashMap<String, u16>>>;

/// Sends all, several at a time; `answered` hears of every answer. A sender stops where the connection fails.
async fn send_all(
    client: &Client,
    deliveries: Vec<Delivery>,
    answers: &Answers,
    answered: impl Fn(usize) + Clone + Send + 'static,
) {
    let queue = Arc::new(Mutex::new(deliveries));
    let senders = (0..SENDERS).map(|_| {
        let (client, queue, answers, answered) = (client.clone(), queue.clone(), answers.clone(), answered.clone());
        tokio::spawn(async move {
            loop {
                let Some(delivery) = queue.lock().unwrap().pop() else { return };
                let Ok(answer) = client.try_send("POST", HOOK, &delivery.headers(), delivery.body.clone()).await else {
                    return;
                };
                assert!([200, 202].contains(&answer.status), "{}: {answer}", delivery.event);
                let count = {
                    let mut answers = answers.lock().unwrap();
                    answers.insert(delivery.id, answer.status);
                    answers.len()
                };
                answered(count);
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
}

/// Checks every received event against what was sent, and returns how often each delivery is there.
async fn compare(stream: &Stream, sent: &[Delivery]) -> HashMap<String, usize> {
    let by_id: HashMap<&str, &Delivery> = sent.iter().map(|delivery| (delivery.id.as_str(), delivery)).collect();
    let mut found: HashMap<String, usize> = HashMap::new();
    for event in stream.of_type("webhook.received").await {
        let payload = &event["payload"];
        let id = payload["headers"]["x-github-delivery"].as_str().unwrap();
        let delivery = by_id[id];
        assert_eq!(payload["headers"]["x-github-event"], delivery.event.as_str());
        assert_eq!(payload["headers"]["user-agent"], "GitHub-Hookshot/044aadd");
        assert_eq!((payload["method"].as_str(), payload["encoding"].as_str()), (Some("POST"), Some("json")));
        assert_eq!(payload["body"], serde_json::from_str::<Value>(&delivery.body).unwrap(), "{id}");
        assert_eq!(payload["size"], delivery.body.len());
        let raw = stream.raw(event["offset"].as_u64().unwrap()).await.ok();
        assert!(raw.body == delivery.body.as_bytes(), "the bytes of {} {id} changed", delivery.event);
        *found.entry(id.to_owned()).or_default() += 1;
    }
    found
}

fn offsets(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["offset"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn all_deliveries_land_once_to_the_byte_and_are_followed_live() {
    let runtime = Runtime::with().start();
    let stream = runtime.client().stream("/github/octo-org");
    let mut tail = stream.tail().await;
    let sent = deliveries();
    let (answers, client) = (Answers::default(), runtime.client());

    let (live, ()) = tokio::join!(
        async {
            // 329, and the stream's creation.
            let mut live = tail.next_events(330).await;
            live.retain(|event| event["type"] == "webhook.received");
            live
        },
        send_all(&client, sent.clone(), &answers, |_| {}),
    );
    stream.wait_for_parked().await;

    let stored = stream.of_type("webhook.received").await;
    assert_eq!(live, stored);
    assert_eq!(offsets(&stored), (2..=330).collect::<Vec<u64>>());
    let found = compare(&stream, &sent).await;
    assert_eq!(found.len(), 329);
    assert!(found.values().all(|&times| times == 1));
    assert_eq!(stream.state().await["paused"], Value::Null, "a stranger pauses nothing");
    runtime_lists_the_tree(&runtime).await;
}

async fn runtime_lists_the_tree(runtime: &Runtime) {
    let parent = runtime.client().stream("/github");
    parent.wait_for("stream.child-created").await;
    assert_eq!(parent.child_paths("").await, ["/github/octo-org"]);
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_by_kill_9_in_the_middle() {
    for kill_at in [1, 60, 200] {
        let mut runtime = Runtime::with().start();
        let client = runtime.client();
        let sent = deliveries();
        let answers = Answers::default();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();

        let sending = {
            let (client, sent, answers) = (client.clone(), sent.clone(), answers.clone());
            tokio::spawn(async move {
                send_all(&client, sent, &answers, move |count| {
                    if count == kill_at {
                        let _ = tell.send(());
                    }
                })
                .await;
            })
        };
        told.recv().await.unwrap();
        runtime.kill();
        sending.await.unwrap();
        let before: HashSet<String> = answers.lock().unwrap().keys().cloned().collect();
        assert!(before.len() >= kill_at && before.len() < 329, "{}", before.len());

        // As GitHub does, or a person with its button: what failed is delivered again.
        runtime.start_again();
        let again = sent.iter().filter(|delivery| !before.contains(&delivery.id)).cloned().collect();
        let client = runtime.client();
        send_all(&client, again, &answers, |_| {}).await;
        let stream = client.stream("/github/octo-org");
        stream.wait_for_parked().await;

        let found = compare(&stream, &sent).await;
        assert_eq!(found.len(), 329, "killed at {kill_at}");
        for id in &before {
            assert_eq!(found[id], 1, "killed at {kill_at}: answered once, stored {} times", found[id]);
        }
        let events = stream.events().await;
        assert_eq!(offsets(&events), (1..=events.len() as u64).collect::<Vec<u64>>());
        assert_eq!(stream.state().await["paused"], Value::Null);
        let mut tail = stream.tail().await;
        assert_eq!(tail.to_head().await, events);
    }
}
