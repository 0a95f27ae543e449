//! Bad input: every refusal is a problem that says what is wrong, and nothing is half-written.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tailrace_tests::runtime::{Build, a_stream, shared};
use tailrace_tests::{Runtime, raw, unique, until};

async fn send_raw(method: &str, target: &str, headers: &str, body: &[u8]) -> (u16, String) {
    raw::send(shared().authority(), method, target, headers, body).await
}

#[tokio::test]
async fn paths_that_are_none_are_refused() {
    let name = unique("t");
    for path in [
        format!("/{name}//b"),
        format!("/{name}%2F%2Fb"),
        format!("/{name}/..%2Fb"),
        format!("/{name}/.%2e%2Fb"),
        format!("/{name}%2F..%2F..%2Fb"),
        format!("/_{name}"),
        format!("/{name}/_b"),
        format!("/{name}/b%20c"),
        format!("/{name}/b+c"),
        format!("/{name}/%C3%A9"),
        format!("/{name}/%FF"),
        format!("/{name}/%00"),
        format!("/{name}/b%0D%0Ac"),
        format!("/{name}/b%5Cc"),
        format!("/{name}/b;c"),
        format!("/{name}/%252F"),
        format!("/{}", "x".repeat(129)),
        format!("/{}", "x".repeat(300)),
        format!("/{name}{}", "/x".repeat(16)),
        format!("/{name}{}", format!("/{}", "x".repeat(120)).repeat(9)),
    ] {
        for (method, call) in
            [("POST", "/api/streams"), ("GET", "/api/streams"), ("GET", "/api/state"), ("POST", "/hooks")]
        {
            let (status, body) = send_raw(method, &format!("{call}{path}"), "", br#"{"type":"a"}"#).await;
            assert_eq!(status, 400, "{method} {call}{path}: {body}");
            assert!(body.contains("\"invalid_path\""), "{method} {call}{path}: {body}");
        }
    }
    assert_eq!(shared().client().stream(&format!("/{name}")).head().await.status, 404);
}

#[tokio::test]
async fn dots_in_a_url_never_become_a_part_of_a_path() {
    let name = unique("t");
    // What resolves dots before us, as URLs are resolved, may do so; a path never holds any.
    for target in [format!("/{name}/../b"), format!("/{name}/%2e%2e/b"), format!("/{name}/./b"), format!("/{name}/..")]
    {
        let (status, body) = send_raw("POST", &format!("/api/streams{target}"), "", br#"{"type":"a"}"#).await;
        assert!(status == 200 || status == 400 || status == 404 || status == 405, "{target}: {status} {body}");
        assert!(!body.contains("/..") && !body.contains("/./"), "{target}: {body}");
    }
}

#[tokio::test]
async fn paths_up_to_the_limits_are_taken() {
    let client = shared().client();
    let name = unique("t");
    for path in [
        format!("/{name}/A-Z.a_z~0@9:-"),
        format!("/{name}/..."),
        format!("/{name}/{}", "x".repeat(128)),
        format!("/{name}{}", "/x".repeat(15)),
    ] {
        let stream = client.stream(&path);
        assert_eq!(stream.append(json!({"type": "a"})).await.event()["streamPath"], path);
    }
}

#[tokio::test]
async fn a_body_of_millions_of_zeros_is_refused_at_once_and_takes_no_memory() {
    let runtime = Runtime::with().start();
    let stream = runtime.a_stream();
    stream.say("a").await;
    let (before, _) = runtime.memory();
    let zeros = format!("[{}0]", "0,".repeat(4 << 20)).into_bytes();
    assert!(zeros.len() > 8 << 20);
    let fits = zeros[..(8 << 20) - 3].iter().chain(b"0]").copied().collect::<Vec<u8>>();

    let begun = Instant::now();
    let refused = stream.post(fits).await;
    let too_large = stream.post(zeros).await;
    let nested = stream.post(format!(r#"{{"type":"a","payload":[{}0]}}"#, "0,".repeat(400_000))).await;
    let took = begun.elapsed();

    assert_eq!(refused.problem(400, "invalid_batch")["index"], 0);
    assert!([400, 413].contains(&too_large.status), "{too_large}");
    assert_eq!(nested.status, 200, "{nested}");
    let (_, most) = runtime.memory();
    println!("{took:?}, {before} MiB before, {most} MiB at most");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(most < before + 150, "{before} MiB before, {most} MiB at most");
}

#[tokio::test]
async fn json_of_any_depth_is_refused_and_nobody_else_is_hurt() {
    let stream = a_stream();
    stream.say("a").await;
    for depth in [65, 1_000, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let inner = if open == "[" { "" } else { "1" };
            let deep = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            let payload = stream.post(format!(r#"{{"type":"a","payload":{deep}}}"#)).await;
            let metadata = stream.post(format!(r#"{{"type":"a","metadata":{{"a":{deep}}}}}"#)).await;
            let alone = stream.post(deep).await;
            assert!(
                [413, 422].contains(&payload.status) || (depth > 128 && payload.status < 500),
                "{depth}: {payload}"
            );
            assert!(metadata.status < 500, "{depth}: {metadata}");
            assert!(alone.status < 500, "{depth}: {alone}");
        }
    }
    stream.say("still here").await;
}

#[tokio::test]
async fn nul_bytes_and_broken_utf_8_never_fail() {
    let stream = a_stream();
    for body in [
        &b"\0"[..],
        b"\0\0\0\0",
        b"{\"type\":\"a\0b\"}",
        b"{\"type\":\"a\",\"payload\":\"\0\"}",
        b"{\"type\":\"a\",\"payload\":\"\xff\"}",
        b"{\"type\":\"\xed\xa0\x80\"}",
        b"\xef\xbb\xbf",
        b"\xff\xfe{\0}\0",
        b"{\"type\":\"\\u0000\"}",
    ] {
        let answer = stream.post(body).await;
        let shown = String::from_utf8_lossy(body).into_owned();
        assert!([200, 400].contains(&answer.status), "{shown:?}: {answer}");
        if answer.status == 200 && answer.header("tailrace-interpreted-as") == "webhook" {
            assert!(stream.raw(answer.offset()).await.ok().body == body, "{shown:?}");
        }
    }
    // All that was kept can be read, by every way of reading.
    let events = stream.events().await;
    let mut tail = stream.tail().await;
    assert_eq!(tail.to_head().await.len(), events.len());
}

#[tokio::test]
async fn half_a_surrogate_pair_does_not_make_a_page_unreadable() {
    let stream = a_stream();
    for body in [
        r#"{"type":"a","payload":"\ud800"}"#,
        r#"{"type":"a","payload":{"\udfff":1}}"#,
        r#"{"type":"\ud800"}"#,
        r#"{"type":"a","idempotencyKey":"\udfff"}"#,
        r#"{"type":"a","metadata":{"m":"\ud800"}}"#,
        r#"{"\ud800":1}"#,
        r#""\ud800""#,
    ] {
        let headers = [("prefer", "return=minimal")];
        let answer = stream.post_with("", &headers, body).await;
        assert!([200, 400].contains(&answer.status), "{body}: {answer}");
        let hook = stream.hook("", &[], body).await;
        assert_eq!(hook.status, 200, "{body}: {hook}");
    }
    // Strict parsers refuse a text with such an escape in it, and with it the whole page.
    let answer = stream.read("").await.ok();
    for line in answer.text().lines().filter(|line| line.starts_with("{\"offset\"")) {
        let event = serde_json::from_str::<Value>(line.trim_end_matches(','));
        assert!(event.is_ok(), "{event:?}: {line}");
    }
}

#[tokio::test]
async fn line_ends_never_leave_the_line_of_an_event() {
    let stream = a_stream();
    let _ =
        stream.post_with("", &[], json!({"type": "a", "payload": "x\n\ndata: {}\n\nid: 9\r\n"}).to_string()).await.ok();
    stream.append(json!({"type": "a\r\ndata: x"})).await.problem(400, "invalid_event");
    let _ = stream.hook("?source=a%0D%0Ab", &[], "x\n\nevent: reset\n\n").await;

    let mut tail = stream.tail().await;

    let events = tail.to_head().await;
    assert_eq!(events, stream.events().await);
}

#[tokio::test]
async fn what_is_not_served_is_not_found_and_what_is_not_allowed_says_what_is() {
    let client = shared().client();
    let stream = a_stream();
    stream.say("a").await;
    for path in ["/api", "/api/nothing", "/nothing", "/api/streamsx/a", "/v1/stream/a"] {
        client.get(path).await.problem(404, "not_found");
    }
    for (method, path) in [
        ("PUT", stream.url()),
        ("PATCH", stream.url()),
        ("POST", format!("/api/state{}", stream.path)),
        ("DELETE", format!("/api/children{}", stream.path)),
        ("POST", format!("/api/raw{}", stream.path)),
        ("POST", "/api/openapi.json".to_owned()),
    ] {
        let answer = client.send(method, &path, &[], "").await;
        answer.problem(405, "method_not_allowed");
        assert!(answer.header("allow").contains("GET"), "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn numbers_beyond_all_limits_are_refused_or_clamped() {
    let stream = a_stream();
    stream.say("a").await;
    for query in [
        "limit=0",
        "limit=1001",
        "limit=99999999999999999999",
        "afterOffset=9007199254740993",
        "afterOffset=18446744073709551616",
        "beforeOffset=18446744073709551615",
        "last=0",
        "last=99999999999999999999",
        "cause=18446744073709551615",
        "wait=61",
        "wait=-1",
    ] {
        let answer = stream.read(&format!("?{query}")).await;
        assert!([200, 400].contains(&answer.status), "{query}: {answer}");
        if answer.status == 400 {
            let field = answer.problem(400, "invalid_query")["field"].clone();
            assert_eq!(field, query.split('=').next().unwrap());
        }
    }
    for offset in ["18446744073709551616", "9007199254740993", "1e3", "-1", "0"] {
        let answer = stream.post(format!(r#"{{"type":"a","offset":{offset}}}"#)).await;
        assert!([200, 400, 412].contains(&answer.status), "{offset}: {answer}");
    }
}

#[tokio::test]
async fn an_event_that_names_a_bad_path_as_its_cause_is_refused() {
    let stream = a_stream();
    for path in ["/a/../b", "/_a", "//", "/a b", "x".repeat(2_000).as_str()] {
        let answer = stream.append(json!({"type": "a", "cause": {"streamPath": path, "offset": 1}})).await;
        assert_eq!(answer.problem(400, "invalid_event")["field"], "cause.streamPath", "{path}");
    }
}

#[tokio::test]
async fn headers_of_any_kind_do_no_harm() {
    let stream = a_stream();
    stream.say("a").await;
    for headers in [
        "Prefer: \r\n",
        "Prefer: ,,;=,return\r\n",
        "If-Match: *\r\n",
        "If-Match: \r\n",
        "Tailrace-Cause: ;;;\r\n",
        "Tailrace-Cause: /a;99999999999999999999;0;0\r\n",
        "Last-Event-ID: \u{e9}\r\n",
        "Accept: ;;;,,,/\r\n",
        "Content-Encoding: gzip\r\n",
        "Authorization: Bearer\r\n",
    ] {
        for (method, body) in [("POST", &br#"{"type":"b"}"#[..]), ("GET", b"")] {
            let (status, body) = send_raw(method, &stream.url(), headers, body).await;
            assert!((200..500).contains(&status), "{method} {headers}: {status} {body}");
        }
    }
}

#[tokio::test]
async fn a_large_body_that_is_no_hook_is_refused_before_it_is_kept() {
    let stream = a_stream();
    stream.say("a").await;

    let answer = stream.post(vec![b'{'; 25 << 20]).await;
    let beyond = stream.post(vec![b'x'; (25 << 20) + 1]).await;

    assert!([200, 413].contains(&answer.status), "{answer}");
    beyond.problem(413, "too_large");
}

#[tokio::test]
async fn the_description_of_the_system_is_served() {
    let description = shared().client().get("/api/openapi.json").await.ok().json();

    assert!(description["openapi"].as_str().unwrap().starts_with("3."), "{description}");
    let paths = description["paths"].as_object().unwrap();
    assert!(paths.keys().any(|path| path.starts_with("/api/streams")), "{paths:?}");
}

#[tokio::test]
async fn a_panic_is_a_500_at_once_and_hurts_no_neighbour() {
    let runtime = Runtime::with().build(Build::FaultInjection).start();
    let (victim, neighbour) = (runtime.a_stream(), runtime.a_stream());
    victim.say("before").await;
    neighbour.say("a").await;
    let (mut tail, mut own_tail) = (neighbour.tail().await, victim.tail().await);
    tail.to_head().await;
    own_tail.to_head().await;

    let begun = Instant::now();
    let answer = victim.append(json!({"type": "fault.panic"})).await;
    let took = begun.elapsed();

    answer.problem(500, "internal");
    assert!(took < Duration::from_secs(2), "{took:?}");
    neighbour.say("b").await;
    assert_eq!(tail.next_event().await["offset"], 3);
    assert_eq!(victim.head_offset().await, 2, "nothing was half-written");
    assert_eq!(victim.say("after").await, 3);

    // Those who append beside it are not drawn in.
    let beside = (0..20).map(|n| {
        let victim = victim.clone();
        tokio::spawn(async move {
            let event_type = if n % 5 == 0 { "fault.panic" } else { "fine" };
            (event_type, victim.append(json!({"type": event_type, "idempotencyKey": n.to_string()})).await)
        })
    });
    for appended in beside.collect::<Vec<_>>() {
        let (event_type, answer) = appended.await.unwrap();
        match event_type {
            "fine" => assert!([200, 500, 503].contains(&answer.status), "{answer}"),
            _ => assert_eq!(answer.status, 500, "{answer}"),
        }
    }
    until("the stream goes on", || async {
        (victim.append(json!({"type": "goes-on"})).await.status == 200).then_some(())
    })
    .await;
    let events = victim.events().await;
    let offsets: Vec<&Value> = events.iter().map(|event| &event["offset"]).collect();
    assert_eq!(offsets, (1..=events.len()).map(|n| json!(n)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    assert!(!events.iter().any(|event| event["type"] == "fault.panic"));
}

#[tokio::test]
async fn an_event_wrapped_a_hundred_thousand_times_is_foreign_and_hurts_nobody() {
    let (stream, neighbour) = (a_stream(), a_stream());
    let mut tail = neighbour.tail().await;
    tail.to_head().await;
    let depth = 100_000;
    let body = format!("{}{}{}", "{\"event\":".repeat(depth), "{\"type\":\"a\"}", "}".repeat(depth));

    let answer = stream.post(body).await.ok();

    assert_eq!(answer.header("tailrace-interpreted-as"), "webhook");
    neighbour.say("still there").await;
    let heard =
        |block: &tailrace_tests::tail::Block| block.data.as_ref().is_some_and(|data| data.contains("still there"));
    assert!(tail.next_where(heard).await.is_event());
}

#[tokio::test]
async fn who_sends_all_of_a_large_body_first_still_sees_the_refusal() {
    let body = vec![b'x'; 20 << 20];
    let authority = shared().authority();

    for (method, target, headers, status) in [
        ("PUT", "/api/streams/a", "", 405),
        ("POST", "/hooks/_a", "", 400),
        ("POST", "/nowhere", "", 404),
        ("POST", "/api/streams/a", "Prefer: handling=strict\r\n", 400),
        ("POST", "/hooks/a", "Origin: http://example.com\r\n", 403),
    ] {
        let (answered, _) = raw::send(authority, method, target, headers, &body).await;
        assert_eq!(answered, status, "{method} {target}");
    }
}
