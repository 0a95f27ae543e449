//! Hooks: anything from anyone, stored first and answered then, every byte kept.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tailrace_tests::runtime::{a_stream, shared};
use tailrace_tests::{Runtime, Stream, raw};

async fn received(stream: &Stream, offset: u64) -> Value {
    let event = stream.page(&format!("?afterOffset={}&limit=1", offset - 1)).await.remove(0);
    assert_eq!(event["type"], "webhook.received", "{event}");
    event["payload"].clone()
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Bytes that do not repeat and are no text.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(size);
    out
}

#[tokio::test]
async fn every_method_is_taken_and_answered_with_the_offset() {
    let stream = a_stream();
    let url = format!("/hooks{}", stream.path);

    for (n, method) in ["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS", "HEAD"].into_iter().enumerate() {
        let answer = stream.client.send(method, &url, &[], "x=1").await;
        assert_eq!(answer.status, 200, "{method}: {answer}");
        let offset = n as u64 + 2;
        if method != "HEAD" {
            assert_eq!(answer.json(), json!({"offset": offset}), "{method}");
        }
        assert_eq!(received(&stream, offset).await["method"], method);
    }
}

#[tokio::test]
async fn a_request_is_kept_with_its_method_url_headers_size_and_digest() {
    let stream = a_stream();
    let headers = [("content-type", "application/json"), ("x-custom", "Value, 2"), ("user-agent", "Sender/1")];

    let offset = stream.hook("?source=shop&a=1", &headers, r#"{"n":1}"#).await.offset();

    let payload = received(&stream, offset).await;
    assert_eq!((&payload["method"], &payload["source"]), (&json!("POST"), &json!("shop")));
    assert!(payload["url"].as_str().unwrap().ends_with(&format!("/hooks{}?source=shop&a=1", stream.path)), "{payload}");
    assert_eq!(payload["headers"]["x-custom"], "Value, 2");
    assert_eq!(payload["headers"]["user-agent"], "Sender/1");
    assert_eq!(payload["contentType"], "application/json");
    assert_eq!((&payload["encoding"], &payload["body"]), (&json!("json"), &json!({"n": 1})));
    assert_eq!((&payload["size"], &payload["sha256"]), (&json!(7), &json!(sha256(br#"{"n":1}"#))));
    assert_eq!(payload["verified"], Value::Null);
}

#[tokio::test]
async fn a_body_is_kept_as_json_form_text_base64_or_nothing_whatever_its_content_type() {
    let stream = a_stream();
    let form = "application/x-www-form-urlencoded";
    for (body, content_type, encoding, value) in [
        (&b"{\"a\": [1]}"[..], "text/plain", "json", json!({"a": [1]})),
        (b"hello", "application/json", "text", json!("hello")),
        (b"", "application/json", "none", Value::Null),
        (b"\xff\x00", "text/plain", "base64", json!("/wA=")),
        (b"a=1&b=%C3%A9+x&a=2", form, "form", json!("a=1&b=%C3%A9+x&a=2")),
    ] {
        let offset = stream.hook("", &[("content-type", content_type)], body).await.offset();
        let payload = received(&stream, offset).await;
        assert_eq!((&payload["encoding"], &payload["body"]), (&json!(encoding), &value), "{payload}");
        if encoding == "form" {
            assert_eq!(payload["form"], json!({"a": ["1", "2"], "b": "é x"}));
        }
    }
}

#[tokio::test]
async fn secrets_are_not_kept_and_signatures_are() {
    let stream = a_stream();
    let headers = [
        ("authorization", "Bearer canary"),
        ("cookie", "session=canary"),
        ("x-api-key", "canary"),
        ("x-gitlab-token", "canary"),
        ("x-telegram-bot-api-secret-token", "canary"),
        ("x-hub-signature-256", "sha256=abc"),
        ("stripe-signature", "t=1,v1=abc"),
        ("webhook-signature", "v1,abc"),
    ];

    let offset = stream.hook("?key=canary&token=canary&access_token=canary&keep=1", &headers, "x").await.offset();

    let page = stream.read("").await.text();
    assert!(!page.contains("canary"), "{page}");
    let payload = received(&stream, offset).await;
    for name in ["x-hub-signature-256", "stripe-signature", "webhook-signature"] {
        assert!(payload["headers"][name].as_str().unwrap().ends_with("abc"), "{payload}");
    }
    assert!(payload["headers"]["x-api-key"].is_string(), "that it was there can be seen: {payload}");
    assert!(payload["url"].as_str().unwrap().ends_with("?keep=1"), "{payload}");
}

#[tokio::test]
async fn the_exact_bytes_of_any_body_come_back() {
    let stream = a_stream();
    for body in [
        Vec::new(),
        b" { \"a\" : 1.0e5 ,\r\n \"a\" : \"\\u00e9\" } ".to_vec(),
        b"{\"a\":1}".to_vec(),
        "\u{feff}{}".as_bytes().to_vec(),
        "é漢🦀\u{2028}".as_bytes().to_vec(),
        b"a\0b\r\nc".to_vec(),
        (0..=255).collect(),
        "[".repeat(100_000).into_bytes(),
        noise(10_000),
        noise(190_000),
        noise(300_000),
        noise(1 << 20),
        noise((1 << 20) + 1),
        noise(5_000_000),
        json!({"text": "ü".repeat(100_000)}).to_string().into_bytes(),
        json!({"text": "ü".repeat(150_000)}).to_string().into_bytes(),
        json!({"text": "ü".repeat(600_000)}).to_string().into_bytes(),
    ] {
        let offset = stream.hook("", &[("content-type", "text/html")], body.clone()).await.offset();

        let raw = stream.raw(offset).await.ok();

        assert!(raw.body == body, "{} bytes came back of {}", raw.body.len(), body.len());
        assert_eq!(received(&stream, offset).await["sha256"], sha256(&body));
        // What a stranger sent is never shown as a page of ours.
        assert!(raw.header("content-disposition").starts_with("attachment"), "{:?}", raw.headers);
        assert_eq!(raw.header("x-content-type-options"), "nosniff");
        assert!(raw.header("content-security-policy").contains("sandbox"), "{:?}", raw.headers);
    }
}

#[tokio::test]
async fn a_body_above_256_kib_is_not_parsed_and_left_out_of_the_event() {
    let stream = a_stream();
    let body = json!({"text": "x".repeat(300_000)}).to_string();

    let offset = stream.hook("", &[("content-type", "application/json")], body.clone()).await.offset();

    let payload = received(&stream, offset).await;
    assert_eq!((&payload["encoding"], &payload["size"]), (&json!("raw"), &json!(body.len())));
    assert_eq!(payload.get("body"), None);
    assert!(stream.raw(offset).await.ok().body == body.as_bytes());
}

#[tokio::test]
async fn the_bytes_of_what_is_no_hook_cannot_be_asked_for() {
    let stream = a_stream();
    stream.say("a").await;

    stream.raw(2).await.problem(404, "not_found");
    stream.raw(99).await.problem(404, "not_found");
    let answer = stream.client.get(&format!("/api/raw{}", stream.path)).await;
    assert_eq!(answer.problem(400, "invalid_query")["field"], "offset");
}

#[tokio::test]
async fn a_hook_has_at_most_25_mib() {
    let runtime = Runtime::with().start();
    let stream = runtime.a_stream();
    let most = noise(25 << 20);
    let more = [most.as_slice(), b"x"].concat();

    let offset = stream.hook("", &[], most.clone()).await.offset();
    let refused = stream.hook("", &[], more.clone()).await;
    let target = format!("/hooks{}", stream.path);
    let (chunked, _) =
        raw::send(runtime.authority(), "POST", &target, "Transfer-Encoding: chunked\r\n", &raw::chunked(&more)).await;
    let claimed = raw::send(runtime.authority(), "POST", "/hooks/other", "", &more).await;

    assert_eq!(refused.problem(413, "too_large")["limit"], 25 << 20);
    assert_eq!(chunked, 413);
    assert_eq!(claimed.0, 413);
    assert_eq!(runtime.client().stream("/other").head().await.status, 404);
    assert_eq!(stream.head_offset().await, 2);
    assert!(stream.raw(offset).await.ok().body == most);
}

#[tokio::test]
async fn a_large_body_of_unknown_length_is_kept() {
    let stream = a_stream();
    let body = noise(3_000_000);
    let target = format!("/hooks{}", stream.path);

    let (status, answer) =
        raw::send(shared().authority(), "POST", &target, "Transfer-Encoding: chunked\r\n", &raw::chunked(&body)).await;

    assert_eq!(status, 200, "{answer}");
    assert!(stream.raw(2).await.ok().body == body);
}

#[tokio::test]
async fn eight_large_bodies_at_once_keep_memory_bounded_and_their_neighbours_served() {
    let runtime = Runtime::with().start();
    let neighbour = runtime.a_stream().without_breaker().await;
    let mut tail = neighbour.tail().await;
    tail.to_head().await;
    let (before, _) = runtime.memory();

    let senders: Vec<_> = (0..8)
        .map(|n| {
            let stream = runtime.a_stream();
            tokio::spawn(async move {
                let mut body = noise(25 << 20);
                body[0] = n;
                (stream.hook("", &[], body.clone()).await, stream, body)
            })
        })
        .collect();
    let mut served = 0;
    while !senders.iter().all(tokio::task::JoinHandle::is_finished) {
        neighbour.say("still here").await;
        assert_eq!(tail.next_event().await["type"], "still here");
        served += 1;
    }
    let (_, most) = runtime.memory();

    println!("{before} MiB before, {most} MiB at most, the neighbour was served {served} times");
    assert!(most < before + 500, "{before} MiB before, {most} MiB at most");
    for sender in senders {
        let (answer, stream, body) = sender.await.unwrap();
        assert!(answer.status == 200 || answer.status == 503, "{answer}");
        if answer.status == 200 {
            assert!(stream.raw(answer.offset()).await.ok().body == body);
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    use tokio::io::AsyncWriteExt;
    let stream = a_stream();
    stream.say("a").await;
    let head = format!(
        "POST /hooks{} HTTP/1.1\r\nHost: {}\r\nContent-Length: 5000000\r\n\r\n",
        stream.path,
        shared().authority()
    );

    let mut socket = tokio::net::TcpStream::connect(shared().authority()).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&noise(3_000_000)).await.unwrap();
    drop(socket);

    let offset = stream.hook("", &[], "next").await.offset();
    assert_eq!((offset, stream.head_offset().await), (3, 3));
}

#[tokio::test]
async fn a_hook_inherits_the_cause_in_its_header_and_ignores_one_that_is_malformed() {
    let stream = a_stream();

    let caused = stream.hook("", &[("tailrace-cause", "/elsewhere;7;3;2")], "x").await.offset();
    let malformed = stream.hook("", &[("tailrace-cause", "nonsense")], "x").await.offset();
    let too_far = stream.hook("", &[("tailrace-cause", "/elsewhere;7;32;2")], "x").await;

    let events = stream.events().await;
    let of = |offset: u64| events[usize::try_from(offset).unwrap() - 1]["cause"].clone();
    assert_eq!(of(caused), json!({"streamPath": "/elsewhere", "offset": 7, "hops": 4, "turns": 2}));
    assert_eq!(of(malformed), Value::Null);
    too_far.problem(409, "hop_limit");
}

#[tokio::test]
async fn an_event_in_the_body_of_a_hook_is_not_obeyed() {
    let stream = a_stream();

    let _ = stream.hook("", &[("content-type", "application/json")], r#"{"type":"stream.paused"}"#).await.ok();

    assert_eq!(stream.state().await["paused"], Value::Null);
    assert_eq!(stream.events().await[1]["type"], "webhook.received");
}

#[tokio::test]
async fn a_header_that_comes_twice_is_kept() {
    let stream = a_stream();
    let target = format!("/hooks{}", stream.path);

    let (status, _) = raw::send(shared().authority(), "POST", &target, "X-Twice: a\r\nX-Twice: b\r\n", b"x").await;

    assert_eq!(status, 200);
    assert_eq!(received(&stream, 2).await["headers"]["x-twice"], "a, b");
}

#[tokio::test]
async fn hooks_to_a_path_that_is_none_are_refused() {
    for path in ["/hooks/_system", "/hooks/a%2F%2Fb", "/hooks/a%20b"] {
        shared().client().send("POST", path, &[], "x").await.problem(400, "invalid_path");
    }
}
