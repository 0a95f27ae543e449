//! Tolerance: a body that is no event lands whole, unless that would swallow a command or hide a mistake.

use serde_json::{Value, json};
use tailrace_tests::runtime::a_stream;

const STRIPE: &str = r#"{
  "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy",
  "object": "event",
  "api_version": "2019-02-19",
  "created": 1686089970,
  "data": { "object": { "id": "seti_1NG8Du2eZvKYlo2C9XMqbR0x", "object": "setup_intent", "status": "requires_payment_method" } },
  "livemode": false,
  "pending_webhooks": 0,
  "request": { "id": null, "idempotency_key": null },
  "type": "setup_intent.created"
}"#;

const SLACK: &str = r#"{"token":"XXYYZZ","team_id":"TXXXXXXXX","api_app_id":"AXXXXXXXXX","event":{"type":"app_mention","event_ts":"1234567890.123456","user":"UXXXXXXX1"},"type":"event_callback","event_id":"Ev08MFMKH6","event_time":1234567890}"#;

/// Bodies that are no events, with the encoding in which they are kept.
fn foreign() -> Vec<(Vec<u8>, &'static str)> {
    let text = |text: &str, encoding| (text.as_bytes().to_vec(), encoding);
    vec![
        text(STRIPE, "json"),
        text(SLACK, "json"),
        text("", "none"),
        text("hello, world\r\n", "text"),
        text("5", "json"),
        text("null", "json"),
        text("\"type\"", "json"),
        text("<xml>é</xml>", "text"),
        text("type=a&payload=b", "text"),
        text("[not json", "text"),
        text(r#"{"type":"a""#, "text"),
        text(r#"{"type":5}"#, "json"),
        text(r#"{"payload":{"type":"a"}}"#, "json"),
        text(r#"{"type":"ping","zen":"Keep it logically awesome."}"#, "json"),
        text(r#"{"type":"a","metadata":"x"}"#, "json"),
        text(r#"{"type":"a","idempotencyKey":5}"#, "json"),
        text(r#"{"type":"a","offset":"3"}"#, "json"),
        text(r#"{"type":"a","cause":"b"}"#, "json"),
        text(r#"{"type":"a","type":"b"}"#, "json"),
        text("{\"id\":1}\n{\"type\":\"a\"}", "text"),
        text("a\u{0}b", "text"),
        (vec![0xff, 0xfe, 0x00, 0x80], "base64"),
    ]
}

#[tokio::test]
async fn a_body_that_is_no_event_lands_whole_with_the_reason() {
    for (body, encoding) in foreign() {
        let stream = a_stream();
        let shown = String::from_utf8_lossy(&body).into_owned();

        let answer = stream.post_with("", &[("content-type", "application/json")], body.clone()).await;

        assert_eq!(answer.header("tailrace-interpreted-as"), "webhook", "{shown}: {answer}");
        let event = answer.event();
        assert_eq!(event["type"], "webhook.received", "{shown}");
        assert!(event["metadata"]["tailrace"]["reason"].is_string(), "{shown}: {event}");
        assert_eq!(event["payload"]["encoding"], encoding, "{shown}: {event}");
        assert_eq!(event["payload"]["size"], body.len(), "{shown}");
        let raw = stream.raw(event["offset"].as_u64().unwrap()).await;
        assert_eq!(raw.status, 200, "{shown}: {event}\n{raw}");
        assert_eq!(raw.body, body, "{shown}");
    }
}

#[tokio::test]
async fn an_event_is_not_called_a_webhook() {
    let stream = a_stream();

    let answer = stream.append(json!({"type": "a"})).await.ok();

    assert_eq!(answer.header("tailrace-interpreted-as"), "");
}

#[tokio::test]
async fn who_asks_for_strict_handling_is_refused_instead() {
    let stream = a_stream();
    stream.say("a").await;
    for (body, _) in foreign() {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = stream.post_with("", &[("prefer", "handling=strict, return=minimal")], body).await;
        assert!(answer.status == 400 || answer.status == 422, "{shown}: {answer}");
        assert!(answer.json()["code"].as_str().unwrap().starts_with("invalid_"), "{shown}: {answer}");
    }
    assert_eq!(stream.head_offset().await, 2);
    let strict = stream.post_with("", &[("prefer", "handling=strict")], r#"{"type":"b"}"#).await;
    assert_eq!(strict.offset(), 3);
}

#[tokio::test]
async fn a_malformed_command_is_refused_and_its_field_named() {
    let stream = a_stream();
    stream.say("a").await;
    for (body, field) in [
        (json!({"type": "agent.input-added", "content": "hi"}), "content"),
        (json!({"type": "tool.approved", "callId": "c"}), "callId"),
        (json!({"type": "stream.paused", "reason": "x"}), "reason"),
        (json!({"type": "breaker.configured", "limit": 5}), "limit"),
        (json!({"type": "agent.input-added", "metadata": 5}), "metadata"),
        (json!({"type": "tool.completed", "offset": "1"}), "offset"),
    ] {
        let answer = stream.append(body).await;
        assert_eq!(answer.problem(422, "invalid_control_event")["field"], field);
    }
    assert_eq!(stream.head_offset().await, 2);
}

#[tokio::test]
async fn a_batch_with_one_bad_element_is_refused_whole_with_its_index() {
    let stream = a_stream();
    stream.say("a").await;
    for (body, index) in [
        (r#"[{"type":"a"},{"typ":"b"}]"#, 1),
        (r#"[{"type":"a"},{"type":"b"},5]"#, 2),
        (r#"[{"type":"a"},{"type":"b","more":1},{"type":"c"}]"#, 1),
        (r#"[{"type":"a"},{"type":""}]"#, 1),
        (r#"[{"type":"a"},[{"type":"b"}]]"#, 1),
        ("[]", 0),
        ("[0,0]", 0),
        ("[null]", 0),
        ("{\"type\":\"a\"}\n{\"type\":5}", 1),
        ("{\"type\":\"a\"}\n{\"type\":\"b\"}\nnot json", 2),
    ] {
        let answer = stream.post(body).await;
        assert_eq!(answer.problem(400, "invalid_batch")["index"], index, "{body}");
    }
    assert_eq!(stream.head_offset().await, 2);
}

#[tokio::test]
async fn a_batch_that_ends_in_the_middle_is_not_half_taken() {
    let stream = a_stream();
    stream.say("a").await;

    let answer = stream.post(r#"[{"type":"a"},{"type":"b"}"#).await;

    // What is no JSON is a stranger's body: kept whole, and no event of it obeyed.
    let types: Vec<Value> = stream.page("?afterOffset=2").await.iter().map(|event| event["type"].clone()).collect();
    match answer.status {
        200 => assert_eq!(types, ["webhook.received"]),
        _ => assert!(types.is_empty()),
    }
}

#[tokio::test]
async fn a_stream_that_does_not_exist_is_made_by_a_foreign_body_too() {
    let stream = a_stream();

    let event = stream.post("hello").await.event();

    assert_eq!(event["offset"], 2);
    assert_eq!(stream.events().await[0]["type"], "stream.created");
}

#[tokio::test]
async fn lines_whose_first_is_a_command_that_is_refused_are_refused() {
    let stream = a_stream();

    for (first, status, code) in [
        (r#"{"type":"stream.paused","payload":{"bogus":1}}"#, 422, "invalid_control_event"),
        (r#"{"type":"stream.created"}"#, 403, "reserved_type"),
        (r#"{"type":"agent.input-added","content":1}"#, 422, "invalid_control_event"),
        (r#"{"type":"m","metadata":{"tailrace":null}}"#, 422, "invalid_control_event"),
    ] {
        stream.post(format!("{first}\n{{\"type\":\"a\"}}")).await.problem(status, code);
    }

    assert_eq!(stream.head().await.status, 404);
}
