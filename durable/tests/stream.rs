//! One stream, by example: what it takes, refuses, keeps and gives back.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(missing_docs, reason = "a test's name says it")]

mod support;

use serde_json::{Value, json};
use support::{Deployment, START, all};
use tailrace_durable::page::Query;
use tailrace_durable::raw::{Bytes, Raw};
use tailrace_durable::wire::Frame;
use tailrace_durable::{call, raw};
use tailrace_model::cause::Cause;
use tailrace_model::limits;

const S: &str = "/s";

/// A stream with one event behind its birth, so that the next offset is 3. It owes nothing.
fn born() -> Deployment {
    let mut d = Deployment::new();
    assert_eq!(d.append(S, r#"{"type":"first"}"#).offsets(), [2]);
    d.work_off();
    d.now = START;
    d
}

fn batch(count: usize) -> String {
    format!("[{}]", vec![r#"{"type":"m"}"#; count].join(","))
}

fn sized(event_type: &str, bytes: usize) -> String {
    json!({"type": event_type, "payload": "x".repeat(bytes)}).to_string()
}

fn offsets(lines: &[String]) -> Vec<u64> {
    lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["offset"].as_u64().unwrap()).collect()
}

fn page(d: &mut Deployment, query: Query) -> Vec<u64> {
    let query = Query { limit: if query.limit == 0 { 1_000 } else { query.limit }, ..query };
    offsets(&d.lines(S, &query))
}

fn configure(d: &mut Deployment, breaker: &Value) {
    assert_eq!(d.append(S, &json!({"type": "breaker.configured", "payload": breaker}).to_string()).status, 200);
}

// The order of checks.

#[test]
fn the_first_append_bears_the_stream_and_gets_offset_2() {
    let mut d = Deployment::new();
    let said = d.append(S, r#"{"type":"m","payload":{"a":[1, 2]},"metadata":{"k":1}}"#);
    let event = said.json()["event"].clone();
    assert_eq!(
        event,
        json!({"offset": 2, "type": "m", "payload": {"a": [1, 2]}, "metadata": {"k": 1}, "streamPath": S, "createdAt": "2026-01-01T00:00:00.000Z"})
    );
    let log = d.log(S);
    assert_eq!(log[0]["type"], "stream.created");
    assert_eq!(log[0]["payload"], json!({"path": S, "generation": d.generation(S).unwrap()}));
    assert_eq!(log[1], event);
}

#[test]
fn the_same_event_again_is_answered_with_the_first_and_writes_nothing() {
    let mut d = born();
    let body = r#"{"type":"m","payload":{"a":1},"idempotencyKey":"k"}"#;
    let first = d.append(S, body);
    assert_eq!((first.offsets(), first.header("tailrace-duplicate")), (vec![3], None));
    for spelling in [body, r#"{"idempotencyKey":"k", "payload": {"a": 1 }, "type":"m","metadata":{"other":1}}"#] {
        let again = d.append(S, spelling);
        assert_eq!((again.status, d.written), (200, 0));
        assert_eq!(again.header("tailrace-duplicate"), Some("true"));
        assert_eq!(again.body, first.body);
    }
    d.evict(S);
    assert_eq!(d.append(S, body).body, first.body);
    assert_eq!(d.head(S), 3);
}

#[test]
fn a_key_with_other_content_conflicts_and_names_the_first() {
    let mut d = born();
    d.append(S, r#"{"type":"m","payload":1,"idempotencyKey":"k"}"#);
    for other in
        [r#"{"type":"m","payload":2,"idempotencyKey":"k"}"#, r#"{"type":"n","payload":1,"idempotencyKey":"k"}"#]
    {
        let said = d.append(S, other);
        assert_eq!(
            (said.status, said.code().as_str(), &said.json()["offset"]),
            (409, "idempotency_conflict", &json!(3))
        );
    }
    assert_eq!(d.head(S), 3);
}

#[test]
fn idempotency_is_checked_before_pause_hops_and_offset() {
    let mut d = born();
    d.append(S, r#"{"type":"m","idempotencyKey":"k"}"#);
    d.append(S, r#"{"type":"stream.paused"}"#);
    let far = Cause { stream_path: "/x".to_owned(), offset: 1, hops: 90, turns: 0 };
    let said = d.append_as(S, r#"{"type":"m","idempotencyKey":"k","offset":99}"#, false, Some(&far)).unwrap();
    assert_eq!((said.status, said.offsets()), (200, vec![3]));
    let said = d.append_as(S, r#"{"type":"n","idempotencyKey":"k","offset":99}"#, false, Some(&far)).unwrap();
    assert_eq!(said.code(), "idempotency_conflict");
}

#[test]
fn pause_is_checked_before_hops_and_hops_before_the_offset() {
    let mut d = born();
    let far = Cause { stream_path: "/x".to_owned(), offset: 1, hops: 32, turns: 0 };
    let body = r#"{"type":"m","offset":99}"#;
    assert_eq!(d.append_as(S, body, false, Some(&far)).unwrap().code(), "hop_limit");
    assert_eq!(d.append(S, body).code(), "offset_mismatch");
    d.append(S, r#"{"type":"stream.paused"}"#);
    assert_eq!(d.append_as(S, body, false, Some(&far)).unwrap().code(), "stream_paused");
}

#[test]
fn thirty_two_hops_are_allowed_and_the_cause_is_stored() {
    let mut d = born();
    let cause = Cause { stream_path: "/x".to_owned(), offset: 5, hops: 31, turns: 2 };
    let said = d.append_as(S, r#"{"type":"m"}"#, false, Some(&cause)).unwrap();
    assert_eq!(said.json()["event"]["cause"], json!({"streamPath": "/x", "offset": 5, "hops": 32, "turns": 2}));
    let said = d.append(S, r#"{"type":"m","cause":{"offset":3}}"#);
    assert_eq!(said.json()["event"]["cause"], json!({"streamPath": S, "offset": 3, "hops": 32, "turns": 2}));
    let said = d.append(S, r#"{"type":"m","cause":{"streamPath":"/y","offset":3}}"#);
    assert_eq!(said.json()["event"]["cause"], json!({"streamPath": "/y", "offset": 3, "hops": 1, "turns": 0}));
}

#[test]
fn an_expected_offset_is_met_or_nothing_is_written() {
    let mut d = Deployment::new();
    let said = d.append(S, r#"{"type":"m","offset":1}"#);
    assert_eq!((said.code().as_str(), &said.json()["actual"]), ("offset_mismatch", &json!(2)));
    assert!(d.database(S).is_untouched());
    assert_eq!(d.append(S, r#"{"type":"m","offset":2}"#).offsets(), [2]);
    let said = d.append(S, r#"[{"type":"m","offset":3},{"type":"m"},{"type":"m","offset":4}]"#);
    assert_eq!(
        (said.status, said.json()["expected"].clone(), said.json()["actual"].clone()),
        (412, json!(4), json!(5))
    );
    assert_eq!(d.append(S, r#"[{"type":"m","offset":3},{"type":"m"},{"type":"m","offset":5}]"#).offsets(), [3, 4, 5]);
}

// Batches.

#[test]
fn a_batch_is_answered_in_its_order_with_duplicates_in_their_place() {
    let mut d = born();
    d.append(S, r#"{"type":"old","idempotencyKey":"o"}"#);
    let said = d.append(
        S,
        r#"[{"type":"a"},{"type":"old","idempotencyKey":"o"},{"type":"b","idempotencyKey":"k"},{"type":"b","idempotencyKey":"k"},{"type":"c"}]"#,
    );
    assert_eq!(said.offsets(), [4, 3, 5, 5, 6]);
    assert_eq!(said.header("tailrace-duplicate"), None);
    let types: Vec<Value> = said.json()["events"].as_array().unwrap().iter().map(|it| it["type"].clone()).collect();
    assert_eq!(types, ["a", "old", "b", "b", "c"]);
    let again = d.append(S, r#"[{"type":"old","idempotencyKey":"o"},{"type":"b","idempotencyKey":"k"}]"#);
    assert_eq!((again.offsets(), again.header("tailrace-duplicate"), d.written), (vec![3, 5], Some("true"), 0));
}

#[test]
fn a_repeat_inside_a_batch_is_compared_by_type_and_payload_only() {
    let mut d = born();
    let said = d.append(
        S,
        r#"[{"type":"b","idempotencyKey":"k","metadata":{"try":1}},{"type":"b","idempotencyKey":"k","metadata":{"try":2}}]"#,
    );
    assert_eq!((said.status, said.offsets()), (200, vec![3, 3]));
    let said = d.append(S, r#"[{"type":"b","idempotencyKey":"l"},{"type":"b","payload":1,"idempotencyKey":"l"}]"#);
    assert_eq!((said.code().as_str(), &said.json()["offset"]), ("idempotency_conflict", &json!(4)));
    assert_eq!(d.head(S), 3);
}

#[test]
fn a_page_of_the_last_says_how_far_was_looked_back() {
    let mut d = born();
    d.append(S, r#"{"type":"wanted"}"#);
    let rows = limits::LAST_SCAN_ROWS + 500;
    d.database(S).execute(&format!(
        "INSERT INTO log (last, count, at, bytes, counted, hooks, types, lines)
         WITH RECURSIVE n(n) AS (SELECT 4 UNION ALL SELECT n + 1 FROM n WHERE n < {})
         SELECT n, 1, 1, 14, 0, 0, 'other', '{{\"type\":\"other\"}}' FROM n",
        rows + 3
    ));
    d.evict(S);
    let types = Some("wanted".to_owned());
    let query = Query { last: Some(2), types, ..all() };
    let said = d.read(S, &query).json();
    assert_eq!((&said["events"], &said["afterOffset"]), (&json!([]), &json!(rows + 3)));
    let before = said["beforeOffset"].as_u64().unwrap();
    assert!((5..1_000).contains(&before), "{before}");
    let said = d.read(S, &Query { before: Some(before), ..query.clone() });
    assert_eq!((&said.json()["events"][0]["offset"], said.header("tailrace-before-offset")), (&json!(3), None));
    // All that was wanted was found: nobody needs to look further.
    let said = d.read(S, &Query { last: Some(1), types: Some("other".to_owned()), ..all() });
    assert_eq!((said.json()["events"].as_array().unwrap().len(), said.header("tailrace-before-offset")), (1, None));
}

#[test]
fn what_is_refused_in_a_batch_is_named_by_its_place() {
    let mut d = born();
    d.append(S, r#"{"type":"b","idempotencyKey":"k"}"#);
    let long = format!(r#"[{{"type":"a"}},{{"type":"b","payload":"{}"}}]"#, "x".repeat(limits::EVENT_BYTES - 60));
    for (batch, code, index) in [
        (r#"[{"type":"a"},{"type":"a"},{"type":"c","idempotencyKey":"k"}]"#, "idempotency_conflict", json!(2)),
        (r#"[{"type":"a"},{"type":"a","offset":9}]"#, "offset_mismatch", json!(1)),
        (r#"[{"type":"a","offset":9}]"#, "offset_mismatch", json!(0)),
        (r#"{"type":"a","offset":9}"#, "offset_mismatch", Value::Null),
        (r#"[{"type":"a"},{"type":"breaker.configured","payload":{"limit":"x"}}]"#, "invalid_control_event", json!(1)),
        (
            r#"[{"type":"subscription.resumed","payload":{"slug":"none"}},{"type":"a"}]"#,
            "invalid_control_event",
            json!(0),
        ),
        (r#"[{"type":"a"},{"type":"stream.created"}]"#, "reserved_type", json!(1)),
        (r#"[{"type":"a"},{"n":1}]"#, "invalid_batch", json!(1)),
        (&long, "too_large", json!(1)),
        (r#"[{"type":"stream.paused"},{"type":"a"}]"#, "stream_paused", Value::Null),
        (r#"{"type":"c","idempotencyKey":"k"}"#, "idempotency_conflict", Value::Null),
    ] {
        let said = d.append(S, batch);
        assert_eq!((said.code().as_str(), &said.json()["index"]), (code, &index), "{}", said.body);
        assert_eq!(d.head(S), 3);
    }
}

#[test]
fn a_batch_that_is_refused_leaves_nothing_behind() {
    let mut d = born();
    let said = d.append(S, r#"[{"type":"a","idempotencyKey":"k"},{"type":"stream.paused"},{"type":"m"}]"#);
    assert_eq!(said.code(), "stream_paused");
    assert_eq!(d.head(S), 2);
    assert!(!d.is_paused(S));
    assert_eq!(d.append(S, r#"{"type":"other","idempotencyKey":"k"}"#).offsets(), [3]);
}

#[test]
fn a_batch_that_resumes_inside_lets_in_what_follows() {
    let mut d = born();
    d.append(S, r#"{"type":"stream.paused","payload":{"reason":"lunch"}}"#);
    let refused = d.append(S, r#"[{"type":"m"},{"type":"stream.resumed"}]"#);
    assert_eq!(refused.json()["reason"], "lunch");
    assert_eq!(refused.json()["since"], "2026-01-01T00:00:00.000Z");
    assert_eq!(d.append(S, r#"[{"type":"stream.resumed"},{"type":"m"}]"#).offsets(), [4, 5]);
    assert!(!d.is_paused(S));
    assert_eq!(d.append(S, r#"[{"type":"m"},{"type":"stream.paused"}]"#).offsets(), [6, 7]);
    assert!(d.is_paused(S));
}

// What is written.

#[test]
fn a_request_costs_one_written_row_and_a_keyed_event_one_more() {
    let mut d = born();
    configure(&mut d, &json!({"limit": null}));
    for (body, rows) in [
        (r#"{"type":"m"}"#.to_owned(), 1),
        (batch(1_000), 1),
        (r#"{"type":"m","idempotencyKey":"k"}"#.to_owned(), 2),
        (r#"[{"type":"m","idempotencyKey":"k1"},{"type":"m"},{"type":"m","idempotencyKey":"k2"}]"#.to_owned(), 3),
    ] {
        assert_eq!(d.append(S, &body).status, 200);
        assert_eq!(d.written, rows, "{body:.60}");
    }
    d.hook(S, "hello");
    assert_eq!(d.written, 1);
}

#[test]
fn a_large_batch_takes_a_row_per_mib_and_no_row_is_larger() {
    let mut d = born();
    let events = vec![sized("m", 300_000); 20];
    let said = d.append(S, &format!("[{}]", events.join(",")));
    assert_eq!(said.offsets(), (3..=22).collect::<Vec<_>>());
    assert_eq!(d.written, 7);
    let database = d.database(S);
    assert!(database.number("SELECT max(length(lines)) FROM log").unwrap() <= 1 << 20);
    assert_eq!(database.number("SELECT sum(count) FROM log"), Some(22));
    assert_eq!(database.number("SELECT count(*) FROM log WHERE bytes <> length(lines)"), Some(0));
    assert_eq!(page(&mut d, all()), (1..=22).collect::<Vec<_>>());
}

#[test]
fn an_event_fits_up_to_1_mib_of_its_finished_line() {
    let mut d = born();
    let overhead = d.append(S, &sized("m", 0)).body.len() - "{\"event\":}".len();
    assert_eq!(d.append(S, &sized("m", limits::EVENT_BYTES - overhead)).status, 200);
    let said = d.append(S, &sized("m", limits::EVENT_BYTES - overhead + 1));
    assert_eq!((said.status, said.code().as_str()), (413, "too_large"));
    assert_eq!(d.append(S, r#"{"type":"m"}"#).offsets(), [5]);
}

#[test]
fn a_batch_of_the_longest_types_and_keys_stays_within_the_platforms_limits() {
    let mut d = born();
    let wide = |n: usize, fill: char| format!("{n:04}{}", String::from(fill).repeat(252));
    let events: Vec<Value> =
        (0..1_000).map(|n| json!({"type": wide(n, '𝄞'), "idempotencyKey": wide(n, '\u{1}')})).collect();
    let body = json!(events).to_string();
    let first = d.append(S, &body);
    assert_eq!(first.offsets(), (3..=1_002).collect::<Vec<_>>());
    assert_eq!(d.append(S, &body).header("tailrace-duplicate"), Some("true"));
    let types = Some(wide(999, '𝄞'));
    assert_eq!(page(&mut d, Query { types, ..all() }), [1_002]);
}

#[test]
fn created_at_never_decreases_when_the_clock_does() {
    let mut d = born();
    d.now = START - 5_000;
    assert_eq!(d.append(S, r#"{"type":"m"}"#).json()["event"]["createdAt"], "2026-01-01T00:00:00.000Z");
    d.evict(S);
    assert_eq!(d.append(S, r#"{"type":"m"}"#).json()["event"]["createdAt"], "2026-01-01T00:00:00.000Z");
}

#[test]
fn a_crash_before_the_commit_leaves_nothing_and_one_after_it_everything() {
    let mut d = born();
    d.crash_next = true;
    assert!(d.append_as(S, r#"[{"type":"m","idempotencyKey":"k"},{"type":"stream.paused"}]"#, false, None).is_none());
    assert_eq!((d.head(S), d.is_paused(S)), (2, false));
    assert_eq!(d.append(S, r#"{"type":"other","idempotencyKey":"k"}"#).offsets(), [3]);
    d.evict(S);
    assert_eq!(d.head(S), 3);
}

#[test]
fn a_stream_in_a_file_is_the_same_after_it_was_closed() {
    let file = std::env::temp_dir().join(format!("tailrace-test-{}.sqlite", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let mut d = Deployment::new();
    d.node(S).database = support::Database::in_file(&file);
    d.append(
        S,
        r#"[{"type":"a","idempotencyKey":"k"},{"type":"stream.metadata-updated","payload":{"metadata":{"x":1}}}]"#,
    );
    d.hook(S, "hello");
    let before = (d.log(S), d.state(S, None).body);
    drop(d);
    let mut d = Deployment::new();
    d.node(S).database = support::Database::in_file(&file);
    assert_eq!((d.log(S), d.state(S, None).body), before);
    assert_eq!(d.append(S, r#"{"type":"a","idempotencyKey":"k"}"#).offsets(), [2]);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn reading_creates_nothing() {
    let mut d = Deployment::new();
    assert_eq!(d.read(S, &all()).code(), "stream_not_found");
    assert_eq!(d.state(S, None).code(), "stream_not_found");
    assert_eq!(d.state(S, Some(1)).code(), "stream_not_found");
    assert_eq!(d.ask(S, |stream, _| call::head(stream)).unwrap().code(), "stream_not_found");
    assert_eq!(d.ask(S, |stream, _| call::list_children(stream, "10\n")).unwrap().code(), "stream_not_found");
    assert_eq!(d.ask(S, |stream, _| call::find_raw(stream, 1)).unwrap().code(), "stream_not_found");
    assert_eq!(d.delete(S, true).code(), "stream_not_found");
    assert_eq!(d.hook_as(S, "x", false, None).unwrap().code(), "unauthorized");
    let ephemeral = "client\tevent\t\t1\nm\t\t\t\t\t\"type\":\"m\",\"payload\":{}";
    assert_eq!(d.ask(S, |stream, now| call::ephemeral(stream, now, ephemeral)).unwrap().status, 200);
    assert!(d.ring(S, |_| support::deployment::Reach::Heard) || d.next_call(S).is_none());
    assert!(d.database(S).is_untouched());
}

#[test]
fn an_ephemeral_event_reaches_live_readers_and_is_not_kept() {
    let mut d = born();
    let text = "client\tevent\t\t1\nm\t\t\t2\t\t\"type\":\"m\",\"payload\":{}";
    let said = d.ask(S, |stream, now| call::ephemeral(stream, now, text)).unwrap();
    let event = &said.json()["event"];
    assert_eq!((event["offset"].clone(), event["cause"]["offset"].clone()), (Value::Null, json!(2)));
    assert_eq!(d.frames, [Frame::Ephemeral { line: event_line(&said.body) }]);
    assert_eq!((d.written, d.head(S)), (0, 2));
    d.append(S, r#"{"type":"stream.paused"}"#);
    assert_eq!(d.ask(S, |stream, now| call::ephemeral(stream, now, text)).unwrap().code(), "stream_paused");
}

fn event_line(body: &str) -> String {
    body.strip_prefix("{\"event\":").unwrap().strip_suffix('}').unwrap().to_owned()
}

#[test]
fn live_readers_are_sent_the_very_lines_up_to_64_kib_and_the_head_above() {
    let mut d = born();
    d.append(S, r#"{"type":"m"}"#);
    assert_eq!(d.frames, [], "nobody follows");
    d.stream(S).followed = true;
    let generation = d.generation(S).unwrap();
    let said = d.append(S, r#"{"type":"m"}"#);
    let lines = Some(event_line(&said.body));
    assert_eq!(d.frames, [Frame::Events { first: 4, last: 4, generation: generation.clone(), lines }]);
    d.append(S, &format!("[{}]", vec![sized("m", 40_000); 2].join(",")));
    assert_eq!(d.frames, [Frame::Events { first: 5, last: 6, generation, lines: None }]);
}

// Pages.

/// Offsets 1 to 13 in rows of several sizes: 1-2, 3-7, 8, 9-12, 13; a second passes between them.
fn rows() -> Deployment {
    let mut d = Deployment::new();
    for body in [
        r#"{"type":"a.x"}"#,
        r#"[{"type":"b"},{"type":"a.y"},{"type":"b"},{"type":"c","cause":{"offset":2}},{"type":"b"}]"#,
        r#"{"type":"a.x","cause":{"offset":2}}"#,
        r#"[{"type":"b"},{"type":"c"},{"type":"a.z","cause":{"streamPath":"/o","offset":2}},{"type":"c","cause":{"offset":2}}]"#,
        r#"{"type":"b"}"#,
    ] {
        d.append(S, body);
        d.now += 1_000;
    }
    assert_eq!(d.database(S).number("SELECT count(*) FROM log"), Some(5));
    d
}

#[test]
fn every_range_of_offsets_can_be_read_wherever_rows_begin_and_end() {
    let mut d = rows();
    for after in 0..=14 {
        for before in (0..=15).map(Some).chain([None]) {
            for limit in [1, 2, 3, 5, 12, 13, 1_000] {
                let expected: Vec<u64> =
                    (1..=13).filter(|it| *it > after && before.is_none_or(|before| *it < before)).take(limit).collect();
                let query = Query { after, before, limit: limit as u64, ..Query::default() };
                let said = d.read(S, &query).json();
                assert_eq!(page(&mut d, query), expected, "{after} {before:?} {limit}");
                let end = before.map_or(13, |before: u64| before.saturating_sub(1).min(13));
                let last = expected.last().copied().unwrap_or(after);
                assert_eq!(said["afterOffset"], last, "{after} {before:?} {limit}");
                assert_eq!(said["upToDate"], last >= end, "{after} {before:?} {limit}");
                assert_eq!(said["head"], 13);
            }
        }
    }
}

#[test]
fn the_last_events_can_be_read_also_of_a_range_and_through_a_filter() {
    let mut d = rows();
    let last = |last| Query { last: Some(last), ..Query::default() };
    assert_eq!(page(&mut d, last(1)), [13]);
    assert_eq!(page(&mut d, last(6)), [8, 9, 10, 11, 12, 13]);
    assert_eq!(page(&mut d, last(99)), (1..=13).collect::<Vec<_>>());
    assert_eq!(page(&mut d, Query { before: Some(12), ..last(2) }), [10, 11]);
    assert_eq!(page(&mut d, Query { after: 11, ..last(5) }), [12, 13]);
    let b = Some("b".to_owned());
    assert_eq!(page(&mut d, Query { types: b.clone(), ..last(3) }), [7, 9, 13]);
    assert_eq!(page(&mut d, Query { types: b.clone(), before: Some(9), ..last(2) }), [5, 7]);
    assert_eq!(page(&mut d, Query { types: b, after: 9, ..last(9) }), [13]);
}

#[test]
fn the_last_events_are_paged_alike_with_and_without_a_filter() {
    let mut d = rows();
    for types in [None, Some("*".to_owned())] {
        let query = Query { last: Some(8), limit: 3, types, ..Query::default() };
        let said = d.read(S, &query).json();
        assert_eq!(page(&mut d, query), [6, 7, 8]);
        assert_eq!((said["afterOffset"].clone(), said["upToDate"].clone()), (json!(8), json!(false)));
    }
}

#[test]
fn a_filtered_page_says_how_far_it_looked() {
    let mut d = rows();
    let query = |types: &str, limit| Query { types: Some(types.to_owned()), limit, ..Query::default() };
    for (types, limit, expected, after, up_to_date) in [
        ("a.*", 1_000, vec![2, 4, 8, 11], 13, true),
        ("a.*", 4, vec![2, 4, 8, 11], 13, true),
        ("a.*", 2, vec![2, 4], 7, false),
        ("b,c", 3, vec![3, 5, 6], 6, false),
        ("none", 5, vec![], 13, true),
    ] {
        let said = d.read(S, &query(types, limit)).json();
        assert_eq!(page(&mut d, query(types, limit)), expected, "{types}");
        assert!(said["afterOffset"].as_u64().unwrap() <= after, "{types}: {said}");
        assert!(said["afterOffset"].as_u64() >= expected.last().copied(), "{types}: {said}");
        assert_eq!(said["upToDate"], up_to_date, "{types}");
    }
    // Going on where a page ended misses nothing.
    let mut found = Vec::new();
    let mut after = 0;
    loop {
        let query = Query { after, ..query("c,a.*", 1) };
        let said = d.read(S, &query).json();
        found.extend(page(&mut d, query));
        after = said["afterOffset"].as_u64().unwrap();
        if said["upToDate"] == true {
            break;
        }
    }
    assert_eq!(found, [2, 4, 6, 8, 10, 11, 12]);
}

#[test]
fn pages_can_be_bounded_by_time_and_both_bounds_count() {
    let mut d = rows();
    let between = |since: Option<i64>, until: Option<i64>| Query {
        since: since.map(|it| START + it),
        until: until.map(|it| START + it),
        ..Query::default()
    };
    assert_eq!(page(&mut d, between(Some(1_000), Some(1_000))), [3, 4, 5, 6, 7]);
    assert_eq!(page(&mut d, between(Some(1_001), Some(3_000))), (8..=12).collect::<Vec<_>>());
    assert_eq!(page(&mut d, between(None, Some(999))), [1, 2]);
    assert_eq!(page(&mut d, between(Some(3_001), None)), [13]);
    assert_eq!(page(&mut d, between(Some(4_001), None)), Vec::<u64>::new());
    assert_eq!(page(&mut d, between(Some(3_000), Some(1_000))), Vec::<u64>::new());
    assert_eq!(page(&mut d, Query { last: Some(2), ..between(None, Some(2_999)) }), [7, 8]);
}

#[test]
fn pages_can_hold_only_what_one_event_caused() {
    let mut d = rows();
    let caused = |offset| Query { cause: Some(offset), ..Query::default() };
    assert_eq!(page(&mut d, caused(2)), [6, 8, 12]);
    assert_eq!(page(&mut d, Query { types: Some("c".to_owned()), ..caused(2) }), [6, 12]);
    assert_eq!(page(&mut d, Query { last: Some(1), ..caused(2) }), [12]);
    assert_eq!(page(&mut d, caused(3)), Vec::<u64>::new());
    let elsewhere = |path: &str| Query { cause_path: Some(path.to_owned()), ..caused(2) };
    assert_eq!(page(&mut d, elsewhere(S)), [6, 8, 12]);
    assert_eq!(page(&mut d, elsewhere("/no/such")), Vec::<u64>::new());
    // A payload that looks like a cause is none.
    d.append(S, &format!(r#"{{"type":"m","payload":{{"cause":{{"streamPath":"{S}","offset":3,"hops":0}}}}}}"#));
    assert_eq!(page(&mut d, caused(3)), Vec::<u64>::new());
}

#[test]
fn a_page_is_cut_at_8_mib_and_goes_on_behind() {
    let mut d = born();
    configure(&mut d, &json!({"limit": null}));
    for _ in 0..4 {
        let events = vec![sized("big", 400_000); 10];
        assert_eq!(d.append(S, &format!("[{}]", events.join(","))).status, 200);
    }
    for types in [None, Some("big,f*,s*".to_owned())] {
        let (mut after, mut found) = (0, Vec::new());
        loop {
            let said = d.read(S, &Query { after, types: types.clone(), ..all() });
            assert!(said.body.len() < limits::PAGE_BYTES + 4_096, "{}", said.body.len());
            let offsets: Vec<u64> =
                said.json()["events"].as_array().unwrap().iter().map(|it| it["offset"].as_u64().unwrap()).collect();
            assert!(!offsets.is_empty());
            assert!(offsets.len() < 24, "{} of 400 KB", offsets.len());
            found.extend(offsets);
            after = said.json()["afterOffset"].as_u64().unwrap();
            if said.json()["upToDate"] == true {
                break;
            }
        }
        let expected: Vec<u64> = (1..=43).filter(|it| types.is_none() || *it != 3).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_page_has_at_most_1000_events() {
    let mut d = born();
    configure(&mut d, &json!({"limit": null}));
    d.append(S, &batch(1_000));
    assert_eq!(page(&mut d, Query { limit: 5_000, ..Query::default() }).len(), 1_000);
    assert_eq!(page(&mut d, Query { limit: 5_000, types: Some("*".into()), ..Query::default() }).len(), 1_000);
    assert_eq!(d.read(S, &Query { limit: 0, ..Query::default() }).json()["events"], json!([]));
}

// The breaker.

#[test]
fn a_hundred_events_in_a_second_pass_and_the_next_stands_and_pauses() {
    let mut d = Deployment::new();
    for n in 0..100 {
        assert_eq!(d.append(S, r#"{"type":"m"}"#).header("tailrace-paused"), None, "{n}");
    }
    d.now += 999;
    let tripping = d.append(S, r#"{"type":"m"}"#);
    assert_eq!(
        (tripping.status, tripping.header("tailrace-paused"), tripping.offsets()),
        (200, Some("true"), vec![102])
    );
    assert_eq!(d.written, 3, "a row for both events, one that notes the control event, one for the state");
    let log = d.log(S);
    assert_eq!(log.len(), 103);
    assert_eq!(
        log[102]["payload"],
        json!({"reason": "circuit breaker: 101 events in 1000 ms", "breaker": {"limit": 100, "windowMs": 1_000, "observed": 101}})
    );
    let refused = d.append(S, r#"{"type":"m"}"#);
    assert_eq!(
        (refused.status, refused.json()["reason"].clone()),
        (423, json!("circuit breaker: 101 events in 1000 ms"))
    );
    assert_eq!(d.state(S, None).json()["paused"]["breaker"]["observed"], 101);
}

#[test]
fn an_event_leaves_the_window_when_it_is_exactly_as_old_as_it() {
    for (later, trips) in [(999, true), (1_000, false)] {
        let mut d = Deployment::new();
        for _ in 0..100 {
            d.append(S, r#"{"type":"m"}"#);
        }
        d.now += later;
        d.append(S, r#"{"type":"m"}"#);
        assert_eq!(d.is_paused(S), trips, "{later}");
    }
}

#[test]
fn a_batch_alone_never_trips_and_a_second_in_the_window_does() {
    let mut d = Deployment::new();
    assert_eq!(d.append(S, &batch(1_000)).header("tailrace-paused"), None);
    d.now += 1_000;
    assert_eq!(d.append(S, &batch(1_000)).header("tailrace-paused"), None);
    d.now += 999;
    let second = d.append(S, &batch(2));
    assert_eq!(second.header("tailrace-paused"), Some("true"));
    assert_eq!(d.types(S).last().unwrap(), "stream.paused");
    assert_eq!(d.head(S), 2_004);
}

#[test]
fn the_window_survives_sleep() {
    let mut d = Deployment::new();
    for n in 0..100 {
        d.append(S, r#"{"type":"m"}"#);
        d.now += 5;
        if n % 7 == 0 {
            d.evict(S);
        }
    }
    d.evict(S);
    assert_eq!(d.append(S, r#"{"type":"m"}"#).header("tailrace-paused"), Some("true"));
    d.evict(S);
    assert_eq!(d.append(S, r#"{"type":"m"}"#).status, 423);
}

#[test]
fn the_window_begins_anew_behind_a_resume_and_a_setting() {
    for body in [r#"{"type":"stream.resumed"}"#, r#"{"type":"breaker.configured"}"#] {
        for asleep in [false, true] {
            let mut d = Deployment::new();
            d.append(S, &batch(100));
            d.append(S, body);
            if asleep {
                d.evict(S);
            }
            for n in 0..100 {
                assert_eq!(d.append(S, r#"{"type":"m"}"#).header("tailrace-paused"), None, "{body} {asleep} {n}");
            }
            assert_eq!(d.append(S, r#"{"type":"m"}"#).header("tailrace-paused"), Some("true"), "{body} {asleep}");
        }
    }
}

#[test]
fn only_what_stands_behind_a_resume_in_its_batch_counts() {
    let mut d = born();
    configure(&mut d, &json!({"limit": 3}));
    d.append(S, r#"[{"type":"m"},{"type":"m"},{"type":"stream.resumed"},{"type":"m"},{"type":"m"}]"#);
    assert_eq!(d.append(S, r#"{"type":"m"}"#).header("tailrace-paused"), None);
    assert_eq!(d.append(S, r#"{"type":"m"}"#).header("tailrace-paused"), Some("true"));
}

#[test]
fn control_events_of_clients_count_and_what_the_system_writes_does_not() {
    let mut d = born();
    configure(&mut d, &json!({"limit": 2, "windowMs": 60_000}));
    d.append(S, r#"{"type":"stream.metadata-updated","payload":{"metadata":{"a":1}}}"#);
    let import = format!("[{}]", vec![r#"{"type":"stream.paused","offset":9}"#; 50].join(","));
    assert_eq!(d.append_as(S, &import, true, None).unwrap().status, 200);
    d.append("/s/child", r#"{"type":"m"}"#);
    d.work_off();
    assert!(d.types(S).contains(&"stream.child-created".to_owned()));
    assert!(!d.is_paused(S));
    assert_eq!(d.append(S, r#"{"type":"m"}"#).header("tailrace-paused"), None);
    assert_eq!(d.append(S, r#"{"type":"m"}"#).header("tailrace-paused"), Some("true"));
}

#[test]
fn a_breaker_that_is_off_never_trips() {
    let mut d = born();
    configure(&mut d, &json!({"limit": null}));
    for _ in 0..5 {
        assert_eq!(d.append(S, &batch(1_000)).header("tailrace-paused"), None);
    }
    d.evict(S);
    assert_eq!(d.append(S, &batch(1_000)).header("tailrace-paused"), None);
    assert_eq!(d.state(S, None).json()["breaker"], json!({"limit": null, "windowMs": 1_000}));
}

#[test]
fn a_paused_stream_takes_all_control_events_and_is_not_paused_twice_by_the_breaker() {
    let mut d = born();
    configure(&mut d, &json!({"limit": 1}));
    d.append(S, r#"{"type":"stream.paused","payload":{"reason":"r"}}"#);
    for _ in 0..3 {
        let said = d.append(S, r#"{"type":"stream.metadata-updated","payload":{"metadata":{}}}"#);
        assert_eq!((said.status, said.header("tailrace-paused")), (200, None));
    }
    assert_eq!(d.state(S, None).json()["paused"]["reason"], "r");
    assert_eq!(d.append(S, r#"{"type":"stream.resumed"}"#).status, 200);
    assert_eq!(d.append(S, r#"{"type":"m"}"#).header("tailrace-paused"), None);
}

// Hooks.

fn markers(d: &mut Deployment) -> Vec<String> {
    let log = d.log(S);
    let hooks = log.iter().filter(|event| event["type"] == "webhook.received");
    hooks.map(|event| event["payload"]["body"].to_string()).collect()
}

#[test]
fn hooks_never_trip_the_breaker_but_wait_and_come_in_at_its_pace_in_order() {
    let mut d = born();
    configure(&mut d, &json!({"limit": 3}));
    d.append(S, r#"{"type":"m"}"#);
    d.now += 10;
    let statuses: Vec<u16> = (0..8).map(|n| d.hook(S, &format!("h{n}")).status).collect();
    assert_eq!(statuses, [200, 200, 202, 202, 202, 202, 202, 202]);
    assert_eq!(d.state(S, None).json()["parked"]["count"], 6);
    assert!(!d.is_paused(S));
    d.evict(S);
    // The counted event leaves the window first, then the two hooks, then what was let in with them.
    let mut steps = Vec::new();
    while d.stream(S).next_alarm().is_some() && steps.len() < 20 {
        d.now = d.now.max(d.stream(S).next_alarm().unwrap());
        while d.next_call(S).is_some() {}
        steps.push((d.now - START, markers(&mut d).len()));
    }
    assert_eq!(steps, [(1_000, 3), (1_010, 5), (2_000, 6), (2_010, 8)]);
    let expected: Vec<String> = (0..8).map(|n| format!("\"h{n}\"")).collect();
    assert_eq!(markers(&mut d), expected);
    assert_eq!(d.database(S).number("SELECT count(*) FROM parked"), Some(0));
}

#[test]
fn what_is_let_in_later_bears_the_time_it_was_let_in() {
    let mut d = born();
    d.append(S, r#"{"type":"stream.paused"}"#);
    assert_eq!(d.hook(S, "h").json(), json!({"parked": true}));
    d.now += 60_000;
    d.append(S, r#"{"type":"stream.resumed"}"#);
    d.work_off();
    assert_eq!(d.log(S).last().unwrap()["createdAt"], "2026-01-01T00:01:00.000Z");
}

#[test]
fn a_hook_waits_behind_those_that_wait() {
    let mut d = born();
    d.append(S, r#"{"type":"stream.paused"}"#);
    d.hook(S, "h0");
    d.append(S, r#"{"type":"stream.resumed"}"#);
    assert_eq!(d.hook(S, "h1").status, 202);
    d.work_off();
    assert_eq!(markers(&mut d), [r#""h0""#, r#""h1""#]);
    assert_eq!(d.hook(S, "h2").json(), json!({"offset": 7}));
}

#[test]
fn a_parked_hook_keeps_its_cause_and_its_exact_bytes() {
    let mut d = born();
    d.append(S, r#"{"type":"stream.paused"}"#);
    let cause = Cause { stream_path: "/o".to_owned(), offset: 4, hops: 1, turns: 3 };
    let body = "{ \"a\" : 1 }";
    assert_eq!(d.hook_as(S, body, true, Some(cause)).unwrap().status, 202);
    assert_eq!(d.written, 2);
    d.append(S, r#"{"type":"stream.resumed"}"#);
    d.evict(S);
    d.work_off();
    let event = d.log(S).pop().unwrap();
    assert_eq!(event["cause"], json!({"streamPath": "/o", "offset": 4, "hops": 1, "turns": 3}));
    assert_eq!(bytes(&mut d, 5), body.as_bytes());
}

#[test]
fn a_full_parking_pauses_the_stream_and_refuses_more_until_it_is_resumed() {
    let mut d = born();
    configure(&mut d, &json!({"limit": 1, "windowMs": 60_000}));
    assert_eq!(d.hook(S, "first").status, 200);
    for n in 0..1_000 {
        assert!(!d.is_paused(S), "{n}");
        assert_eq!(d.hook(S, &format!("h{n}")).status, 202);
    }
    assert!(d.is_paused(S));
    let refused = d.hook(S, "one too many");
    assert_eq!(
        (refused.status, refused.code().as_str(), refused.header("retry-after")),
        (503, "unavailable", Some("30"))
    );
    d.evict(S);
    assert_eq!(d.hook(S, "one too many").status, 503);
    assert_eq!(d.stream(S).next_alarm(), None, "a paused stream lets nothing in");
    configure(&mut d, &json!({"limit": 600, "windowMs": 1_000}));
    d.append(S, r#"{"type":"stream.resumed"}"#);
    d.work_off();
    assert_eq!(markers(&mut d).len(), 1_001);
    assert_eq!(d.state(S, None).json()["parked"], json!({"count": 0, "bytes": 0}));
    assert_eq!(d.now - START, 1_000, "600 at once, the rest a second later");
}

#[test]
fn bytes_can_fill_the_parking_too() {
    let mut d = born();
    d.append(S, r#"{"type":"stream.paused"}"#);
    let body = "x".repeat(1 << 20);
    for n in 0..32 {
        assert_eq!(d.hook(S, &body).status, 202, "{n}");
    }
    assert_eq!(d.state(S, None).json()["parked"], json!({"count": 32, "bytes": 32 << 20}));
    assert_eq!(d.hook(S, "x").status, 503);
    d.evict(S);
    assert_eq!(d.hook(S, "x").status, 503);
}

#[test]
fn a_parked_hook_with_too_many_hops_is_refused_at_once() {
    let mut d = born();
    d.append(S, r#"{"type":"stream.paused"}"#);
    let cause = Cause { stream_path: "/o".to_owned(), offset: 4, hops: 33, turns: 0 };
    assert_eq!(d.hook_as(S, "x", true, Some(cause)).unwrap().code(), "hop_limit");
}

// The exact bytes of hooks.

fn bytes(d: &mut Deployment, offset: u64) -> Vec<u8> {
    let stream = d.stream(S);
    match raw::of(stream, offset).unwrap() {
        Raw { bytes: Bytes::Whole(bytes), .. } => bytes,
        Raw { bytes: Bytes::Parts { id, count, size }, .. } => {
            let all: Vec<u8> = (0..count).flat_map(|number| raw::part(stream, &id, number).unwrap()).collect();
            assert_eq!(all.len() as u64, size);
            all
        }
    }
}

#[test]
fn the_exact_bytes_of_a_hook_can_be_read_whatever_they_were() {
    let mut d = born();
    let large = "y".repeat(300_000);
    for (body, rows) in [("plain text", 1), (r#"{"a":1}"#, 1), ("{ \"a\": 1 }", 2), ("", 1), (large.as_str(), 2)] {
        let said = d.hook(S, body);
        assert_eq!(d.written, rows, "{body:.20}");
        let offset = said.json()["offset"].as_u64().unwrap();
        assert_eq!(bytes(&mut d, offset), body.as_bytes());
    }
    assert_eq!(d.ask(S, |stream, _| call::find_raw(stream, 2)).unwrap().code(), "not_found");
    assert_eq!(d.ask(S, |stream, _| call::find_raw(stream, 99)).unwrap().code(), "not_found");
}

fn upload(d: &mut Deployment, id: &str, parts: u64) {
    for number in 0..parts {
        let part = vec![u8::try_from(number).unwrap(); limits::RAW_CHUNK_BYTES];
        let said = d.ask(S, |stream, now| call::upload(stream, now, id, number, &part, true)).unwrap();
        assert_eq!(said.status, 200);
    }
}

#[test]
fn a_large_hook_is_uploaded_in_parts_and_seen_only_when_it_is_whole() {
    let mut d = Deployment::new();
    upload(&mut d, "u1", 3);
    assert_eq!(d.head(S), 0);
    assert_eq!(d.read(S, &all()).code(), "stream_not_found");
    d.evict(S);
    let said = d.hook_uploaded(S, "u1", 3 << 20).unwrap();
    assert_eq!(said.json(), json!({"offset": 2}));
    let found = d.ask(S, |stream, _| call::find_raw(stream, 2)).unwrap().json();
    assert_eq!((found["count"].clone(), found["size"].clone()), (json!(3), json!(3 << 20)));
    let whole = bytes(&mut d, 2);
    assert_eq!((whole.len(), whole[0], whole[(3 << 20) - 1]), (3 << 20, 0, 2));
    d.now += 4_000_000;
    d.work_off();
    assert_eq!(bytes(&mut d, 2).len(), 3 << 20, "what an event names is not swept");
}

#[test]
fn an_upload_that_no_event_came_to_name_is_swept_after_an_hour() {
    let mut d = Deployment::new();
    upload(&mut d, "u1", 2);
    assert_eq!(d.node(S).alarm, Some(START + 3_600_000));
    d.now += 3_599_999;
    d.ring(S, |_| support::deployment::Reach::Heard);
    assert_eq!(d.database(S).number("SELECT count(*) FROM raw"), Some(2));
    d.evict(S);
    d.work_off();
    assert_eq!(d.database(S).number("SELECT count(*) FROM raw"), Some(0));
    assert_eq!(d.database(S).number("SELECT count(*) FROM obligations"), Some(0));
    assert_eq!(d.head(S), 0, "an upload bears no stream");
}

#[test]
fn a_parked_upload_is_not_swept() {
    let mut d = born();
    d.append(S, r#"{"type":"stream.paused"}"#);
    upload(&mut d, "u1", 1);
    assert_eq!(d.hook_uploaded(S, "u1", 1 << 20).unwrap().status, 202);
    d.work_off();
    d.now += 4_000_000;
    d.append(S, r#"{"type":"stream.resumed"}"#);
    d.work_off();
    assert_eq!(bytes(&mut d, 5).len(), 1 << 20);
}

// The control state.

#[test]
fn the_state_at_any_offset_is_what_the_log_said_by_then() {
    let mut d = born();
    d.now += 1_000;
    d.append(
        S,
        r#"[{"type":"stream.metadata-updated","payload":{"metadata":{"a":1,"b":{"c":2}}}},{"type":"m"},
            {"type":"breaker.configured","payload":{"limit":7}},{"type":"stream.paused","payload":{"reason":"r"}}]"#,
    );
    d.append(S, r#"[{"type":"stream.resumed"},{"type":"stream.metadata-updated","payload":{"metadata":{"a":null,"b":{"d":3}}}}]"#);
    let at = |d: &mut Deployment, n| d.state(S, Some(n)).json();
    assert_eq!((at(&mut d, 0)["generation"].clone(), at(&mut d, 0)["head"].clone()), (Value::Null, json!(0)));
    assert_eq!(at(&mut d, 1)["generation"], json!(d.generation(S)));
    assert_eq!(at(&mut d, 2)["metadata"], json!({}));
    assert_eq!(at(&mut d, 3)["metadata"], json!({"a": 1, "b": {"c": 2}}));
    assert_eq!(at(&mut d, 4)["breaker"]["limit"], 100);
    assert_eq!(at(&mut d, 5)["breaker"]["limit"], 7);
    assert_eq!(at(&mut d, 5)["paused"], Value::Null);
    let paused = json!({"reason": "r", "since": "2026-01-01T00:00:01.000Z", "offset": 6});
    assert_eq!(at(&mut d, 6)["paused"], paused);
    assert_eq!(at(&mut d, 7)["paused"], Value::Null);
    assert_eq!(at(&mut d, 8)["metadata"], json!({"b": {"c": 2, "d": 3}}));
    assert_eq!(at(&mut d, 999), at(&mut d, 8));
}

#[test]
fn the_streams_metadata_has_a_limit_that_refuses_the_event() {
    let mut d = born();
    let half = |name: &str| {
        json!({"type": "stream.metadata-updated", "payload": {"metadata": {name: "x".repeat(40_000)}}}).to_string()
    };
    assert_eq!(d.append(S, &half("a")).status, 200);
    let said = d.append(S, &half("b"));
    assert_eq!((said.code().as_str(), &said.json()["limit"]), ("too_large", &json!(65_536)));
    assert_eq!(d.append(S, &half("a")).status, 200, "what is replaced does not count");
    assert_eq!(d.head(S), 4);
}

#[test]
fn a_stream_can_be_born_paused() {
    let mut d = Deployment::new();
    assert_eq!(d.append(S, r#"{"type":"stream.paused"}"#).offsets(), [2]);
    assert_eq!(d.append(S, r#"{"type":"m"}"#).status, 423);
    assert_eq!(d.types(S), ["stream.created", "stream.paused"]);
    d.evict(S);
    assert_eq!(d.append(S, r#"{"type":"m"}"#).status, 423);
}
