//! Import: history from elsewhere, taken as it was read.

use serde_json::{Value, json};
use tailrace_tests::runtime::a_stream;

const IMPORT: &str = "?import=true";

#[tokio::test]
async fn events_as_read_can_be_appended_elsewhere() {
    let (from, to) = (a_stream(), a_stream());
    let _ = from.append(json!({"type": "a", "payload": {"n": 1}, "metadata": {"m": 1}})).await.ok();
    let _ = from.append(json!({"type": "b", "cause": {"offset": 2}})).await.ok();
    from.say("stream.paused").await;
    let events = from.events().await;
    let ndjson = from.client.send("GET", &from.url(), &[("accept", "application/x-ndjson")], "").await.ok().text();

    let _ = to.post_with(IMPORT, &[], ndjson).await.ok();

    let imported = &to.events().await[1..];
    let types: Vec<&Value> = imported.iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["imported.stream.created", "a", "b", "imported.stream.paused"]);
    for (now, then) in imported.iter().zip(&events) {
        let origin = &now["metadata"]["tailrace"]["origin"];
        assert_eq!(origin["offset"], then["offset"], "{now}");
        assert_eq!(origin["streamPath"], then["streamPath"]);
        assert_eq!(origin["createdAt"], then["createdAt"]);
        assert_eq!(now["payload"], then["payload"]);
        assert_eq!(now["streamPath"], to.path);
    }
    assert_eq!(imported[1]["metadata"]["m"], 1);
    assert_eq!(to.state().await["paused"], Value::Null, "what is imported is not obeyed");
}

#[tokio::test]
async fn a_whole_page_can_be_imported_as_an_array() {
    let (from, to) = (a_stream(), a_stream());
    from.fill(5).await;

    let answer = to.post_with(IMPORT, &[], json!(from.events().await).to_string()).await.ok();

    assert_eq!(answer.json()["events"].as_array().unwrap().len(), 6);
    assert_eq!(to.head_offset().await, 7);
}

#[tokio::test]
async fn an_import_is_not_counted_by_the_breaker() {
    let stream = a_stream();
    let payload = json!({"limit": 3, "windowMs": 60_000});
    let _ = stream.append(json!({"type": "breaker.configured", "payload": payload})).await.ok();

    for _ in 0..5 {
        let answer = stream.post_with(IMPORT, &[], json!(vec![json!({"type": "old"}); 100]).to_string()).await.ok();
        assert_eq!(answer.header("tailrace-paused"), "");
    }
    for _ in 0..3 {
        assert_eq!(stream.append(json!({"type": "new"})).await.ok().header("tailrace-paused"), "");
    }
}

#[tokio::test]
async fn an_import_of_keyed_events_can_be_repeated() {
    let stream = a_stream();
    let events = json!([{"type": "old", "offset": 12, "streamPath": "/x", "createdAt": "2020-01-01T00:00:00.000Z", "idempotencyKey": "k"}]);

    let _ = stream.post_with(IMPORT, &[], events.to_string()).await.ok();
    let again = stream.post_with(IMPORT, &[], events.to_string()).await.ok();

    assert_eq!(again.header("tailrace-duplicate"), "true");
    assert_eq!(stream.head_offset().await, 2);
}

#[tokio::test]
async fn what_cannot_be_read_as_an_event_is_not_imported() {
    let stream = a_stream();
    stream.say("a").await;

    let answer = stream.post_with(IMPORT, &[], r#"[{"type":"a"},{"no":"event"}]"#).await;

    assert_eq!(answer.problem(400, "invalid_batch")["index"], 1);
    assert_eq!(stream.head_offset().await, 2);
}
