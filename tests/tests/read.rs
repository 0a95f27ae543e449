//! Reading pages: they always end, hold one event a line, and lead on to the next.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tailrace_tests::Stream;
use tailrace_tests::runtime::a_stream;

fn offsets(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["offset"].as_u64().unwrap()).collect()
}

/// A stream with the types a.x, b, a.y, b, a.x at the offsets 2 to 6.
async fn mixed() -> Stream {
    let stream = a_stream();
    for event_type in ["a.x", "b", "a.y", "b", "a.x"] {
        stream.say(event_type).await;
    }
    stream
}

#[tokio::test]
async fn a_page_is_json_with_one_event_a_line() {
    let stream = mixed().await;

    let answer = stream.read("").await.ok();

    assert!(answer.header("content-type").starts_with("application/json"), "{answer}");
    let page = answer.json();
    assert_eq!(page["afterOffset"], 6);
    assert_eq!(page["head"], 6);
    assert_eq!(page["upToDate"], true);
    let text = answer.text();
    let lines: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line.trim_end_matches(',')).ok())
        .filter(|line: &Value| line["offset"].is_u64())
        .collect();
    assert_eq!(&lines, page["events"].as_array().unwrap());
}

#[tokio::test]
async fn a_page_can_be_had_as_lines() {
    let stream = mixed().await;
    let accept = [("accept", "application/x-ndjson")];

    let answer = stream.client.send("GET", &stream.url(), &accept, "").await.ok();

    assert!(answer.header("content-type").starts_with("application/x-ndjson"), "{answer}");
    let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, stream.events().await);
}

#[tokio::test]
async fn a_read_without_an_accept_header_ends() {
    let stream = mixed().await;
    let (status, body) =
        tailrace_tests::raw::send(stream.client.base.trim_start_matches("http://"), "GET", &stream.url(), "", b"")
            .await;

    assert_eq!(status, 200);
    assert!(body.contains("\"upToDate\":true"), "{body}");
}

#[tokio::test]
async fn pages_lead_on_to_the_end_and_no_event_is_missed_or_seen_twice() {
    let stream = a_stream();
    stream.fill(950).await;
    for limit in [1_u64, 7, 500, 1_000] {
        let mut after = if limit == 1 { 930 } else { 0 };
        let mut seen = Vec::new();
        loop {
            let page = stream.read(&format!("?limit={limit}&afterOffset={after}")).await.ok().json();
            let events = page["events"].as_array().unwrap();
            assert!(events.len() as u64 <= limit);
            seen.extend(offsets(events));
            after = page["afterOffset"].as_u64().unwrap();
            assert_eq!(page["head"], 951);
            if page["upToDate"] == true {
                break;
            }
        }
        let first = if limit == 1 { 931 } else { 1 };
        assert_eq!(seen, (first..=951).collect::<Vec<u64>>());
    }
}

#[tokio::test]
async fn a_page_has_500_events_when_nothing_is_said() {
    let stream = a_stream();
    stream.fill(600).await;

    let page = stream.read("").await.ok().json();

    assert_eq!(page["events"].as_array().unwrap().len(), 500);
    assert_eq!((&page["afterOffset"], &page["upToDate"]), (&json!(500), &json!(false)));
}

#[tokio::test]
async fn a_page_is_cut_at_8_mib() {
    let stream = a_stream();
    let large = json!({"type": "large", "payload": "x".repeat(1_000_000)});
    for _ in 0..11 {
        let _ = stream.append(large.clone()).await.ok();
    }

    let first = stream.read("").await.ok();

    assert!(first.body.len() <= (8 << 20) + 1_024, "{}", first.body.len());
    assert!(first.body.len() > 6 << 20, "{}", first.body.len());
    assert_eq!(first.json()["upToDate"], false);
    assert_eq!(offsets(&stream.events().await), (1..=12).collect::<Vec<u64>>());
}

#[tokio::test]
async fn offsets_bound_a_read_on_both_sides_exclusively() {
    let stream = mixed().await;

    assert_eq!(offsets(&stream.page("?afterOffset=2&beforeOffset=5").await), [3, 4]);
    assert_eq!(offsets(&stream.page("?afterOffset=4&beforeOffset=end").await), [5, 6]);
    assert_eq!(offsets(&stream.page("?beforeOffset=1").await), [0_u64; 0]);
    assert_eq!(offsets(&stream.page("?afterOffset=6").await), [0_u64; 0]);
}

#[tokio::test]
async fn behind_the_head_there_is_nothing_and_the_answer_says_so() {
    let stream = mixed().await;

    let page = stream.read("?afterOffset=99").await.ok().json();

    assert_eq!(page["events"], json!([]));
    assert_eq!((&page["head"], &page["upToDate"]), (&json!(6), &json!(true)));
}

#[tokio::test]
async fn the_last_events_can_be_asked_for() {
    let stream = mixed().await;

    assert_eq!(offsets(&stream.page("?last=2").await), [5, 6]);
    assert_eq!(offsets(&stream.page("?last=100").await), [1, 2, 3, 4, 5, 6]);
    assert_eq!(offsets(&stream.page("?last=2&types=a.*").await), [4, 6]);
    assert_eq!(offsets(&stream.page("?last=1&beforeOffset=5").await), [4]);
}

#[tokio::test]
async fn types_are_filtered_by_globs_and_the_cursor_counts_what_was_scanned() {
    let stream = mixed().await;

    assert_eq!(offsets(&stream.page("?types=a.*").await), [2, 4, 6]);
    assert_eq!(offsets(&stream.page("?types=b,stream.created").await), [1, 3, 5]);
    assert_eq!(offsets(&stream.page("?types=*.y").await), [4]);
    let none = stream.read("?types=nothing").await.ok().json();
    assert_eq!(none, json!({"events": [], "afterOffset": 6, "head": 6, "upToDate": true}));
    let first = stream.read("?types=b&limit=1").await.ok().json();
    assert_eq!(first["upToDate"], false);
    let after = first["afterOffset"].as_u64().unwrap();
    assert_eq!(offsets(&stream.page(&format!("?types=b&afterOffset={after}")).await), [5]);
}

#[tokio::test]
async fn times_bound_a_read_inclusively_whatever_their_zone() {
    let stream = a_stream();
    for _ in 0..4 {
        stream.say("a").await;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let events = stream.events().await;
    let at = |offset: usize| events[offset - 1]["createdAt"].as_str().unwrap();
    let (third, fourth) = (at(3), at(4));

    assert_eq!(offsets(&stream.page(&format!("?since={fourth}")).await), [4, 5]);
    assert_eq!(offsets(&stream.page(&format!("?until={third}")).await), [1, 2, 3]);
    assert_eq!(offsets(&stream.page(&format!("?since={third}&until={fourth}")).await), [3, 4]);
    let elsewhere = fourth.replace('Z', "%2B00:00");
    assert_eq!(offsets(&stream.page(&format!("?since={elsewhere}")).await), [4, 5]);
    assert_eq!(offsets(&stream.page("?since=2999-01-01T00:00:00Z").await), [0_u64; 0]);
    assert_eq!(offsets(&stream.page("?until=1999-01-01T00:00:00Z").await), [0_u64; 0]);
}

#[tokio::test]
async fn what_an_event_caused_can_be_asked_for() {
    let stream = mixed().await;
    let _ = stream.append(json!({"type": "c", "cause": {"offset": 3}})).await.ok();
    let _ = stream.append(json!({"type": "d", "cause": {"streamPath": "/elsewhere", "offset": 3}})).await.ok();

    assert_eq!(offsets(&stream.page("?cause=3").await), [7]);
    assert_eq!(offsets(&stream.page("?cause=4").await), [0_u64; 0]);
    assert_eq!(offsets(&stream.page("?cause=3&causePath=/elsewhere").await), [8]);
}

#[tokio::test]
async fn a_long_poll_returns_as_soon_as_there_is_something() {
    let stream = mixed().await;
    let waiting = {
        let stream = stream.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            (stream.page("?afterOffset=6&wait=30").await, begun.elapsed())
        })
    };
    // There is nothing to see of a poll that waits; an append before it would be answered as well.
    tokio::time::sleep(Duration::from_millis(300)).await;

    stream.say("news").await;

    let (events, took) = waiting.await.unwrap();
    assert_eq!(offsets(&events), [7]);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_long_poll_waits_only_for_what_matches() {
    let stream = mixed().await;
    let waiting = {
        let stream = stream.clone();
        tokio::spawn(async move { stream.page("?afterOffset=6&types=wanted&wait=30").await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;

    stream.say("other").await;
    stream.say("wanted").await;

    assert_eq!(offsets(&waiting.await.unwrap()), [8]);
}

#[tokio::test]
async fn a_long_poll_ends_with_an_empty_page_and_does_not_wait_when_there_is_something() {
    let stream = mixed().await;
    let begun = Instant::now();

    let some = stream.read("?afterOffset=5&wait=30").await.ok().json();
    assert!(begun.elapsed() < Duration::from_secs(5));
    let none = stream.read("?afterOffset=6&wait=1").await.ok().json();

    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(offsets(some["events"].as_array().unwrap()), [6]);
    assert_eq!(none, json!({"events": [], "afterOffset": 6, "head": 6, "upToDate": true}));
}

#[tokio::test]
async fn where_no_stream_is_a_finite_read_says_so_and_creates_nothing() {
    let stream = a_stream();

    for path in ["/api/streams", "/api/state", "/api/children"] {
        let answer = stream.client.get(&format!("{path}{}", stream.path)).await;
        answer.problem(404, "stream_not_found");
    }
    stream.raw(1).await.problem(404, "stream_not_found");
    stream.delete("").await.problem(404, "stream_not_found");

    assert_eq!(stream.head().await.status, 404);
    assert_eq!(stream.say("a").await, 2, "nothing was there before");
}

#[tokio::test]
async fn head_tells_the_last_offset_the_generation_and_the_pause() {
    let stream = mixed().await;

    let running = stream.head().await;
    stream.say("stream.paused").await;
    let paused = stream.head().await;

    assert_eq!((running.status, running.body.len()), (200, 0));
    assert_eq!((running.header("tailrace-head"), running.header("tailrace-paused")), ("6", "false"));
    assert_eq!((paused.header("tailrace-head"), paused.header("tailrace-paused")), ("7", "true"));
    assert_eq!(running.header("tailrace-generation"), paused.header("tailrace-generation"));
    assert!(!running.header("tailrace-generation").is_empty());
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_refused_with_its_name() {
    let stream = mixed().await;
    for (query, field) in [
        ("afterOffset=x", "afterOffset"),
        ("afterOffset=-1", "afterOffset"),
        ("afterOffset=1.5", "afterOffset"),
        ("beforeOffset=start", "beforeOffset"),
        ("limit=many", "limit"),
        ("last=x", "last"),
        ("types=,", "types"),
        ("since=yesterday", "since"),
        ("until=2026-13-01T00:00:00Z", "until"),
        ("cause=x", "cause"),
        ("cause=3&causePath=/a//b", "causePath"),
        ("wait=long", "wait"),
    ] {
        let answer = stream.read(&format!("?{query}")).await;
        assert_eq!(answer.problem(400, "invalid_query")["field"], field, "{query}");
    }
}

#[tokio::test]
async fn a_browser_that_opens_a_stream_is_sent_to_the_page_for_people() {
    let stream = mixed().await;
    let accept = [("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")];

    let answer = stream.client.send("GET", &stream.url(), &accept, "").await;

    assert!((300..400).contains(&answer.status), "{answer}");
    assert!(answer.header("location").ends_with(&format!("/streams{}", stream.path)), "{answer}");
}

#[tokio::test]
async fn reading_does_not_change_a_stream() {
    let stream = mixed().await;
    let before = stream.state().await;

    for query in ["", "?last=3", "?types=a.*", "?wait=0"] {
        let _ = stream.read(query).await.ok();
    }
    let _ = stream.tail().await.to_head().await;

    assert_eq!(stream.state().await, before);
}

#[tokio::test]
async fn the_heaviest_type_that_accept_names_decides_the_form() {
    let stream = a_stream();
    stream.say("a").await;

    for (accept, content_type) in [
        ("*/*", "application/json"),
        ("application/json, text/html;q=0.5", "application/json"),
        ("text/event-stream;q=0", "application/json"),
        ("application/x-ndjson;q=0.1, application/json", "application/json"),
        ("application/x-ndjson", "application/x-ndjson"),
    ] {
        let answer = stream.client.send("GET", &stream.url(), &[("accept", accept)], "").await.ok();
        assert_eq!(answer.header("content-type"), content_type, "{accept}");
    }
}

#[tokio::test]
async fn a_poll_for_what_cannot_come_answers_at_once() {
    let stream = a_stream();
    stream.say("a").await;
    let begun = Instant::now();

    for query in
        ["?wait=60&until=2020-01-01T00:00:00Z", "?wait=60&beforeOffset=1", "?wait=60&beforeOffset=end&afterOffset=9"]
    {
        assert_eq!(stream.page(query).await.len(), 0, "{query}");
    }

    assert!(begun.elapsed() < Duration::from_mins(1));
}
