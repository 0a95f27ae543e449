//! Where subscriptions may send to, and what a subscriber can do to others: nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tailrace_tests::runtime::a_stream;
use tailrace_tests::{Reply, Runtime, Stream, Subscriber, until};

/// This machine, in every notation.
const LOOPBACK: &[&str] = &[
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.255.255.254:8787/x?y#z",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7F.0.0.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.01/",
    "https://①②⑦.0.0.1/",
    "https://127。0。0。1/",
    "https://127.0.0.%31/",
    "https:127.0.0.1",
    "https:\\\\127.0.0.1/",
    "https://127.0.0.1\\@example.com/",
    "https://127.0.0.1#@example.com/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]:8787/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://localhost/",
    "https://localhost./",
    "https://LOCALHOST/",
    "https://ⓛocalhost/",
    "https://a.b.localhost/",
    "http://127.0.0.1/",
    "http://localhost:8787/",
    "http://[::1]/",
];

/// What is nobody's target, wherever Tailrace runs.
const NEVER: &[&str] = &[
    // Other schemes.
    "http://example.com/",
    "http://8.8.8.8/",
    "ftp://example.com/",
    "ftp://127.0.0.1/",
    "ws://example.com/",
    "file:///etc/passwd",
    "data:text/plain,x",
    "javascript:alert(1)",
    "gopher://127.0.0.1:70/",
    // Credentials.
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://:password@127.0.0.1/",
    "https://example.com@127.0.0.1/",
    "https://example.com:443@10.0.0.1/",
    // The metadata services of clouds.
    "https://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254./",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://0xA9.0xFE.0xA9.0xFE/",
    "https://0251.0376.0251.0376/",
    "https://025177524776/",
    "https://169.254.43518/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[2002:a9fe:a9fe::]/",
    "https://[fd00:ec2::254]/",
    "https://metadata.google.internal/",
    "https://METADATA.google.internal./",
    "https://100.100.100.200/",
    // Private networks.
    "https://0.0.0.0/",
    "https://0/",
    "https://10.0.0.1/",
    "http://10.0.0.1/",
    "https://012.1/",
    "https://100.64.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://192.168.257/",
    "https://3232235777/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[fc00::1]/",
    "https://[fe80::1]/",
    "https://[ff02::1]/",
    // Names that only a network of one's own knows, or that lead anywhere.
    "https://printer/",
    "https://printer.local/",
    "https://wiki.intranet/",
    "https://x.internal/",
    "https://x.test/",
    "https://10.0.0.1.nip.io/",
    "https://127-0-0-1.sslip.io/",
    "https://localtest.me/",
    // No host, or no URL.
    "https:///",
    "https://./",
    "https://[::1",
    "https://1.2.3.4.5/",
    "//example.com/",
    "/hooks/x",
    "example.com",
    "",
];

const PUBLIC: &[&str] = &["https://example.com/hook?token=x", "https://8.8.8.8/", "https://[2606:4700::1111]:8443/"];

async fn subscribe_to(stream: &Stream, url: &str) -> tailrace_tests::Answer {
    stream.try_subscribe("s", &json!({"url": url}), json!({"types": ["never"]})).await
}

#[track_caller]
fn is_refused(answer: &tailrace_tests::Answer, url: &str) {
    assert_eq!(answer.status, 422, "{url}: {answer}");
    assert_eq!(answer.problem(422, "invalid_control_event")["field"], "payload.target.url", "{url}");
}

#[tokio::test]
async fn a_deployment_sends_to_public_hosts_only() {
    let runtime = Runtime::with().var("TAILRACE_LOOPBACK_TARGETS", "0").start();
    let stream = runtime.a_stream();

    for url in LOOPBACK.iter().chain(NEVER) {
        is_refused(&subscribe_to(&stream, url).await, url);
    }

    assert_eq!(stream.head().await.status, 404, "nothing was written");
    for url in PUBLIC {
        assert_eq!(subscribe_to(&stream, url).await.status, 200, "{url}");
    }
}

#[tokio::test]
async fn the_development_switch_opens_loopback_and_nothing_else() {
    let stream = a_stream();

    for url in NEVER {
        is_refused(&subscribe_to(&stream, url).await, url);
    }

    for url in LOOPBACK.iter().chain(PUBLIC) {
        assert_eq!(subscribe_to(&stream, url).await.status, 200, "{url}");
    }
}

#[tokio::test]
async fn a_deployment_does_not_send_to_itself() {
    let runtime = Runtime::with().var("TAILRACE_LOOPBACK_TARGETS", "0").var("TAILRACE_TOKEN", "secret").start();
    let stream = runtime.client().with_token("secret").stream("/s");
    let subscribe_at = async |host: &str, url: &str| {
        let payload = json!({"slug": "s", "target": {"url": url}});
        let body = json!({"type": "subscription.configured", "payload": payload}).to_string();
        stream.post_with("", &[("host", host)], body).await
    };

    for url in [
        "https://tail.example.com/api/streams/x",
        "https://tail.example.com:8443/",
        "https://TAIL.example.com./hooks/x",
        "https://tail.ex%61mple.com/",
    ] {
        is_refused(&subscribe_at("tail.example.com", url).await, url);
    }
    assert_eq!(subscribe_at("tail.example.com", "https://other.example.com/").await.status, 200);
}

#[tokio::test]
async fn a_redirect_leads_nowhere_not_even_to_the_system_itself() {
    let runtime = Runtime::with().start();
    let (stream, victim) = (runtime.a_stream(), runtime.a_stream());
    let secret_keeper = Subscriber::willing().await;
    let places = [
        format!("{}{}", runtime.url, victim.url()),
        format!("{}/hooks{}", runtime.url, victim.path),
        secret_keeper.url("/latest/meta-data/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "/elsewhere".to_owned(),
        "file:///etc/passwd".to_owned(),
    ];
    let mut subscribers = Vec::new();
    for (at, place) in places.iter().enumerate() {
        let reply = Reply::status(307).header("Location", place).body(json!({"append": [{"type": "no"}]}).to_string());
        let subscriber = Subscriber::saying(vec![reply]).await;
        stream.subscribe(&format!("s{at}"), &subscriber.target(), json!({"types": ["x"]})).await;
        subscribers.push(subscriber);
    }

    let last = stream.say("x").await;

    for (at, place) in places.iter().enumerate() {
        let report =
            stream.wait_for_subscription(&format!("s{at}"), "has failed", |it| it["status"] == "retrying").await;
        assert!(report["lastError"].as_str().unwrap().contains("307"), "{place}: {report}");
        assert_eq!(subscribers[at].count(), 1, "{place}");
    }
    assert_eq!((secret_keeper.count(), victim.head().await.status), (0, 404));
    assert_eq!(stream.head_offset().await, last);
}

/// Two streams, each subscribed to the other's address. Returns them when both have nothing more to send now.
async fn ring(address: impl Fn(&Stream) -> String, more: Value) -> [Stream; 2] {
    let streams = [a_stream(), a_stream()];
    for (stream, next) in [(&streams[0], &streams[1]), (&streams[1], &streams[0])] {
        let mut more = more.clone();
        more["types"] = json!(["x", "webhook.received"]);
        stream.subscribe("s", &json!({"url": address(next)}), more).await;
    }
    streams[0].say("x").await;
    until("one of them has had enough", || async {
        for stream in &streams {
            if stream.subscription("s").await["status"] == "retrying" {
                return Some(());
            }
        }
        None
    })
    .await;
    streams
}

/// The log does not grow any more, though what failed is tried again.
async fn has_ended(streams: &[Stream; 2]) {
    let heads = [streams[0].head_offset().await, streams[1].head_offset().await];
    until("it was tried again", || async {
        for stream in streams {
            if stream.subscription("s").await["failedAttempts"].as_u64() >= Some(2) {
                return Some(());
            }
        }
        None
    })
    .await;
    assert_eq!([streams[0].head_offset().await, streams[1].head_offset().await], heads);
}

#[tokio::test]
async fn streams_that_push_to_each_other_are_stopped_by_the_hops() {
    let base = tailrace_tests::shared().url.clone();
    for place in ["/api/streams", "/hooks"] {
        let streams = ring(|stream| format!("{base}{place}{}", stream.path), json!({})).await;

        let mut hops = Vec::new();
        for stream in &streams {
            assert!(stream.of_type("stream.paused").await.is_empty(), "{place}: the breaker was not needed");
            for event in stream.of_type("webhook.received").await {
                hops.push(event["cause"]["hops"].as_u64().unwrap());
            }
        }
        hops.sort_unstable();
        assert_eq!(hops, (1..=32).collect::<Vec<u64>>(), "{place}");
        let report = streams[0].subscription("s").await;
        let error = report["lastError"].as_str().unwrap();
        assert!(error.contains("409") && error.contains("hop_limit"), "{place}: {report}");
        has_ended(&streams).await;
    }
}

#[tokio::test]
async fn a_crowd_in_such_a_ring_is_stopped_by_the_breaker() {
    let base = tailrace_tests::shared().url.clone();
    let streams = [a_stream(), a_stream()];
    for (stream, next) in [(&streams[0], &streams[1]), (&streams[1], &streams[0])] {
        let breaker = json!({"limit": 20, "windowMs": 60_000});
        let _ = stream.append(json!({"type": "breaker.configured", "payload": breaker})).await.ok();
        let more = json!({"types": ["x", "webhook.received"], "batch": 1});
        stream.subscribe("s", &json!({"url": format!("{base}{}", next.url())}), more).await;
    }

    let _ = streams[0].append(json!(vec![json!({"type": "x"}); 60])).await.ok();

    // One commit fills the first stream's window, so what comes back to it is too much; to the other one, the 21st is.
    until("somebody is paused", || async {
        for stream in &streams {
            let paused = stream.state().await["paused"].clone();
            if !paused.is_null() {
                assert_eq!(paused["breaker"]["limit"], 20, "{paused}");
                return Some(());
            }
        }
        None
    })
    .await;
    let is_stopped = async |stream: &Stream| {
        let report = stream.subscription("s").await;
        let is_refused = report["lastError"].as_str().is_some_and(|error| error.contains("423"));
        is_refused || report["status"] == "paused" || report["lag"] == 0
    };
    until("both are stopped", || async {
        (is_stopped(&streams[0]).await && is_stopped(&streams[1]).await).then_some(())
    })
    .await;
    let heads = [streams[0].head_offset().await, streams[1].head_offset().await];
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!([streams[0].head_offset().await, streams[1].head_offset().await], heads, "retries bring nothing in");
    assert!(heads.iter().all(|head| *head < 100), "{heads:?}");
}

#[tokio::test]
async fn plain_events_that_are_pushed_back_are_refused_as_the_system_s_own() {
    let base = tailrace_tests::shared().url.clone();

    let streams = ring(|stream| format!("{base}{}", stream.url()), json!({"plain": true})).await;

    // What the other one got is `webhook.received`, which nobody but the system writes.
    assert_eq!(streams[1].of_type("webhook.received").await.len(), 1);
    assert!(streams[0].of_type("webhook.received").await.is_empty());
    let report = streams[1].subscription("s").await;
    assert!(report["lastError"].as_str().unwrap().contains("422"), "{report}");
    has_ended(&streams).await;
}

/// A gzip of so many MiB of spaces: a few KB for each.
fn bomb(mib: usize) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    let push = |bits: &mut Vec<bool>, text: &str| bits.extend(text.bytes().map(|bit| bit == b'1'));
    // The last block, with the fixed codes: one space, and then 258 times what stands one before.
    push(&mut bits, "110");
    push(&mut bits, "01010000");
    for _ in 0..mib * 1_024 * 1_024 / 258 {
        push(&mut bits, "11000101");
        push(&mut bits, "00000");
    }
    push(&mut bits, "0000000");
    let byte = |bits: &[bool]| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit) << at);
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    gzip.extend(bits.chunks(8).map(byte));
    gzip
}

/// Appends to a stream again and again, and says how long the slowest event took to its subscriber.
async fn slowest(stream: &Stream, subscriber: &Subscriber, until: Instant) -> Duration {
    let mut slowest = Duration::ZERO;
    while Instant::now() < until {
        let begun = Instant::now();
        let offset = stream.say("x").await;
        let received = subscriber.wait_for_offset(offset).await;
        slowest = slowest.max(received.at - begun);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    slowest
}

#[tokio::test]
async fn a_hostile_subscriber_harms_nobody_but_itself() {
    const HUGE: u64 = 200 * 1_024 * 1_024;
    let runtime = Runtime::with().start();
    let (stream, elsewhere) = (runtime.a_stream(), runtime.a_stream());
    let (neighbour, another) = (Subscriber::willing().await, Subscriber::willing().await);
    stream.subscribe("neighbour", &neighbour.target(), json!({"types": ["x"]})).await;
    elsewhere.subscribe("s", &another.target(), json!({"types": ["x"]})).await;
    stream.say("x").await;
    elsewhere.say("x").await;
    neighbour.first().await;
    another.first().await;
    let (before, _) = runtime.memory();
    let zipped = |reply: Reply| reply.header("content-encoding", "gzip").body(bomb(200));
    let hostile = [
        ("hang", Reply::hang()),
        ("drip", Reply::ok().body("x".repeat(1_000)).dripping(Duration::from_secs(1))),
        ("huge-text", Reply::ok().body("text").followed_by(HUGE)),
        ("huge-json", Reply::ok().body(r#"{"state": 1, "rest": ""#).followed_by(HUGE)),
        ("huge-error", Reply::status(500).body("sorry").followed_by(HUGE)),
        ("huge-redirect", Reply::status(302).header("location", "/").followed_by(HUGE)),
        ("bomb", zipped(Reply::ok())),
        ("bomb-error", zipped(Reply::status(500))),
        ("early", Reply::ok().body(r#"{"state": 1"#).closing_early()),
        ("early-error", Reply::status(500).body("oh").closing_early()),
    ];
    let mut subscribers = Vec::new();
    for (slug, reply) in &hostile {
        let subscriber = Subscriber::saying(vec![reply.clone()]).await;
        let more = json!({"types": ["x"], "timeoutMs": 5_000, "batch": 1});
        stream.subscribe(slug, &subscriber.target(), more).await;
        subscribers.push(subscriber);
    }

    let until_then = Instant::now() + Duration::from_secs(6);
    let (here, there) =
        tokio::join!(slowest(&stream, &neighbour, until_then), slowest(&elsewhere, &another, until_then));

    assert!(here < Duration::from_secs(2) && there < Duration::from_secs(2), "{here:?} {there:?}");
    let (_, most) = runtime.memory();
    assert!(most < before + 300, "{before} MiB became {most} MiB");
    for ((slug, _), subscriber) in hostile.iter().zip(&subscribers) {
        let report = stream.wait_for_subscription(slug, "was tried", |it| !it["lastAttempt"].is_null()).await;
        let first = report["attempts"].as_array().unwrap().last().unwrap();
        let error = first["error"].as_str().unwrap_or_default();
        let is_as_wanted = match *slug {
            "hang" | "drip" => error.contains("5000 ms") && first["ms"].as_u64() < Some(8_000),
            // More than is read of any answer, but no JSON: a success like any other.
            "huge-text" | "bomb" => error.is_empty() && first["status"] == 200,
            "huge-json" => report["status"] == "halted" && error.contains("can never be accepted"),
            "huge-error" | "bomb-error" => error.contains("500") && report["status"] == "retrying",
            "huge-redirect" => error.contains("302") && report["status"] == "retrying",
            "early" => !error.is_empty() && report["status"] == "retrying",
            _ => !error.is_empty() && first["status"].as_u64().is_none_or(|status| status == 500),
        };
        assert!(is_as_wanted, "{slug}: {report}");
        assert_eq!(report["state"], Value::Null, "{slug}: {report}");
        // What the two buffer in between is not read.
        let per_request = subscriber.sent() / subscriber.count();
        assert!(per_request < 32 * 1_024 * 1_024, "{slug} got rid of {per_request} bytes a request");
    }
}

#[tokio::test]
async fn a_target_that_nobody_listens_at_is_tried_again() {
    let stream = a_stream();
    let subscriber = Subscriber::willing().await;
    let url = subscriber.url("/");
    drop(subscriber);
    stream.subscribe("s", &json!({"url": url}), json!({"types": ["x"]})).await;

    stream.say("x").await;

    let report = stream.wait_for_subscription("s", "is retrying", |it| it["status"] == "retrying").await;
    assert!(report["lastError"].as_str().unwrap().starts_with("not reached"), "{report}");
    assert_eq!(report["lastAttempt"]["status"], Value::Null);
}
