//! Subscriptions, by example: who is handed which events, what a settle does, when it is tried again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(missing_docs, reason = "a test's name says it")]

mod support;

use serde_json::{Value, json};
use support::deployment::{Reach, understood};
use support::{Deployment, START};
use tailrace_durable::call;
use tailrace_durable::delivery::lease::Leased;
use tailrace_durable::obligation::Message;
use tailrace_model::limits;
use tailrace_model::time::Millis;

const S: &str = "/s";
const T: &str = "/t";
const URL: &str = "https://subscriber.example/hook";

const SECOND: Millis = 1_000;
const HOUR: Millis = 3_600 * SECOND;

/// A stream with one event behind its birth, so that the next offset is 3. It owes nothing.
fn born() -> Deployment {
    let mut d = Deployment::new();
    assert_eq!(d.append(S, r#"{"type":"first"}"#).offsets(), [2]);
    d.work_off();
    d.now = START;
    d
}

/// A pulled subscription `w`, at offset 3, with more in its payload.
fn pulled(more: &Value) -> Deployment {
    let mut d = born();
    assert_eq!(subscribe(&mut d, S, "w", more), 3);
    d
}

/// The same by URL.
fn by_url(more: &Value) -> Deployment {
    let mut d = born();
    assert_eq!(subscribe_url(&mut d, S, "p", more), 3);
    d
}

fn subscribe(d: &mut Deployment, path: &str, slug: &str, more: &Value) -> u64 {
    configure(d, path, json!({"slug": slug, "target": {"pull": true}}), more)
}

fn subscribe_url(d: &mut Deployment, path: &str, slug: &str, more: &Value) -> u64 {
    configure(d, path, json!({"slug": slug, "target": {"url": URL}}), more)
}

fn configure(d: &mut Deployment, path: &str, mut payload: Value, more: &Value) -> u64 {
    for (name, value) in more.as_object().unwrap() {
        payload[name] = value.clone();
    }
    control(d, path, "subscription.configured", &payload)
}

fn control(d: &mut Deployment, path: &str, event_type: &str, payload: &Value) -> u64 {
    let said = d.append(path, &json!({"type": event_type, "payload": payload}).to_string());
    assert_eq!(said.status, 200, "{}", said.body);
    said.offsets()[0]
}

fn resume(d: &mut Deployment, more: &Value) -> u64 {
    let mut payload = more.clone();
    payload["slug"] = json!(if d.state(S, None).json()["subscriptions"]["w"].is_null() { "p" } else { "w" });
    control(d, S, "subscription.resumed", &payload)
}

fn add(d: &mut Deployment, types: &[&str]) -> Vec<u64> {
    types.iter().map(|event_type| control(d, S, event_type, &json!({}))).collect()
}

fn got(leased: &Leased) -> Vec<u64> {
    let offset = |line: &String| serde_json::from_str::<Value>(line).unwrap()["offset"].as_u64().unwrap();
    let offsets: Vec<u64> = leased.events.iter().map(offset).collect();
    assert_eq!((offsets.first(), offsets.last()), (Some(&leased.first), Some(&leased.last)));
    offsets
}

fn settle(d: &mut Deployment, body: &Value) -> (u16, String) {
    let said = d.settle_lease(S, body);
    (said.status, said.code())
}

/// What a slug is leased and settles until nothing is due: offsets, and whether they are only to be folded.
fn drain(d: &mut Deployment, path: &str, slug: &str) -> Vec<(Vec<u64>, bool)> {
    let mut out = Vec::new();
    loop {
        let said = d.ask_lease(path, slug, 30).unwrap();
        if said.status == 204 {
            return out;
        }
        let leased: Leased = serde_json::from_str(&said.body).unwrap();
        out.push((got(&leased), leased.replay));
        d.done(path, &leased);
    }
}

/// The one push that fails: answered with `status`, and the alarm that tries it again.
fn fail_once(d: &mut Deployment, leased: &Leased, status: u16, retry_after: Option<u64>) {
    let said = understood(S, leased, status, retry_after, "");
    assert_eq!(d.tell_settled(S, &said).unwrap().status, 200);
}

// Order, and where it begins.

#[test]
fn events_are_leased_in_order_and_settled_ones_do_not_come_again() {
    let mut d = pulled(&json!({"batch": 2}));
    add(&mut d, &["a", "b", "c"]);
    let first = d.lease(S, "w");
    assert_eq!((got(&first), first.replay, first.head, first.state.as_str()), (vec![4, 5], false, 6, "null"));
    assert_eq!(d.done(S, &first), json!({"cursor": 5, "offsets": []}));
    let second = d.lease(S, "w");
    assert_eq!(got(&second), [6]);
    d.done(S, &second);
    assert_eq!(d.no_lease(S, "w"), None);
}

#[test]
fn one_holds_the_lease_and_subscriptions_do_not_block_each_other() {
    let mut d = pulled(&json!({}));
    subscribe(&mut d, S, "v", &json!({"from": "start"}));
    add(&mut d, &["a"]);
    let held = d.lease(S, "w");
    assert_eq!(d.no_lease(S, "w"), Some(held.expires));
    assert_eq!(held.expires, START + 30 * SECOND);
    assert_eq!(got(&d.lease(S, "v")), [1, 2, 3, 4]);
}

#[test]
fn what_was_not_settled_in_time_is_leased_again() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a"]);
    let lost = d.lease(S, "w");
    add(&mut d, &["b"]);
    d.now = lost.expires - 1;
    assert_eq!(d.no_lease(S, "w"), Some(lost.expires));
    d.now = lost.expires;
    let again = d.lease(S, "w");
    assert_eq!((got(&again), again.attempt), (vec![4], 1));
    d.done(S, &again);
    assert_eq!(drain(&mut d, S, "w"), [(vec![5], false)]);
}

#[test]
fn a_subscription_begins_now_at_the_start_or_at_an_offset() {
    for (from, expected) in [
        (json!(null), vec![(vec![5], false)]),
        (json!("now"), vec![(vec![5], false)]),
        (json!("start"), vec![(vec![1, 2, 3, 4], true), (vec![5], false)]),
        (json!(3), vec![(vec![3, 4], true), (vec![5], false)]),
        (json!(5), vec![(vec![5], false)]),
        (json!(6), vec![]),
    ] {
        let mut d = born();
        add(&mut d, &["a"]);
        assert_eq!(subscribe(&mut d, S, "w", &json!({"from": from})), 4);
        add(&mut d, &["b"]);
        assert_eq!(drain(&mut d, S, "w"), expected, "{from}");
        add(&mut d, &["c"]);
        assert_eq!(drain(&mut d, S, "w"), [(vec![6], false)], "{from}");
    }
}

#[test]
fn a_beginning_that_lies_ahead_is_waited_for() {
    let mut d = pulled(&json!({"from": 7}));
    for sleeps in [false, true] {
        add(&mut d, &["a"]);
        if sleeps {
            d.evict(S);
        }
        assert_eq!(d.no_lease(S, "w"), None);
    }
    add(&mut d, &["c", "d", "e"]);
    assert_eq!(drain(&mut d, S, "w"), [(vec![7, 8], false)]);
}

#[test]
fn only_types_that_match_are_handed_over() {
    let mut d = pulled(&json!({"types": ["a.*", "z"]}));
    add(&mut d, &["a.1", "b", "a", "z"]);
    d.append(S, r#"[{"type":"b"},{"type":"a.2"},{"type":"b"},{"type":"z"},{"type":"a"}]"#);
    assert_eq!(drain(&mut d, S, "w"), [(vec![4, 7, 9, 11], false)]);
    d.evict(S);
    assert_eq!(d.no_lease(S, "w"), None);
}

#[test]
fn what_matches_is_handed_over_however_much_lies_before_it() {
    for (types, batch) in [
        (json!(["wanted"]), 100),
        (json!(["wanted"]), 1),
        (json!(["a", "b", "c", "d", "want*"]), 100),
        (json!(["*nted"]), 7),
    ] {
        let mut d = born();
        let mut expected = Vec::new();
        let mut head = 2;
        for rows in [3, 199, 1, 5_000, 12_000, 1] {
            d.database(S).execute(&format!(
                "INSERT INTO log (last, count, at, bytes, counted, hooks, types, lines)
                 WITH RECURSIVE n(n) AS (SELECT {} UNION ALL SELECT n + 1 FROM n WHERE n < {})
                 SELECT n, 1, {START}, 14, 0, 0, 'other', '{{\"type\":\"other\"}}' FROM n",
                head + 1,
                head + rows
            ));
            d.evict(S);
            expected.extend(d.append(S, r#"[{"type":"wanted"},{"type":"other"},{"type":"wanted"}]"#).offsets());
            let _ = expected.remove(expected.len() - 2);
            head += rows + 3;
        }
        subscribe(&mut d, S, "w", &json!({"from": "start", "types": types, "batch": batch}));
        let mut told = Vec::new();
        // Where much is passed over one is told to ask again at once.
        for _ in 0..60 {
            let said = d.ask_lease(S, "w", 30).unwrap();
            if said.status == 200 {
                let leased: Leased = serde_json::from_str(&said.body).unwrap();
                told.extend(got(&leased));
                d.done(S, &leased);
            } else if said.header("tailrace-again").is_none() {
                break;
            }
        }
        assert_eq!(told, expected, "{types} {batch}");
    }
}

#[test]
fn a_batch_is_cut_at_1_mib_and_holds_one_event_at_least() {
    let mut d = pulled(&json!({}));
    for kib in [600, 600, 300, 1_000] {
        d.append(S, &json!({"type": "m", "payload": "x".repeat(kib * 1_024)}).to_string());
    }
    let batches = drain(&mut d, S, "w");
    assert_eq!(batches, [(vec![4], false), (vec![5, 6], false), (vec![7], false)]);
}

// State, versions, replay.

#[test]
fn a_state_is_given_kept_changed_and_cleared() {
    let mut d = pulled(&json!({"state": {"n": 1}, "batch": 1}));
    add(&mut d, &["a", "b", "c", "d"]);
    let mut states = Vec::new();
    for state in [None, Some(json!({"n": 2})), Some(Value::Null)] {
        let leased = d.lease(S, "w");
        states.push(leased.state.clone());
        let mut body = json!({"lease": leased.lease});
        if let Some(state) = state {
            body["state"] = state;
        }
        assert_eq!(settle(&mut d, &body).0, 200);
        d.evict(S);
    }
    states.push(d.lease(S, "w").state);
    assert_eq!(states, [r#"{"n":1}"#, r#"{"n":1}"#, r#"{"n":2}"#, "null"]);
}

#[test]
fn a_new_version_resets_the_state_and_replays_what_was_settled() {
    let mut d = pulled(&json!({"state": 0, "version": 1}));
    add(&mut d, &["a", "b"]);
    let leased = d.lease(S, "w");
    assert_eq!(settle(&mut d, &json!({"lease": leased.lease, "state": 2})), (200, String::new()));
    add(&mut d, &["c"]);
    // The same version, said once more, changes neither state nor cursor.
    subscribe(&mut d, S, "w", &json!({"state": 7, "version": 1}));
    let kept = d.lease(S, "w");
    assert_eq!((got(&kept), kept.state.as_str(), kept.replay, kept.epoch), (vec![6, 7], "2", false, 0));
    subscribe(&mut d, S, "w", &json!({"state": 7, "version": 2}));
    let folded = d.lease(S, "w");
    assert_eq!((got(&folded), folded.state.as_str(), folded.replay, folded.epoch), (vec![4, 5], "7", true, 1));
    d.done(S, &folded);
    assert_eq!(drain(&mut d, S, "w"), [(vec![6, 7, 8], false)]);
}

#[test]
fn a_batch_never_mixes_what_is_to_be_folded_and_what_is_to_be_done() {
    let mut d = born();
    d.append(S, r#"[{"type":"a"},{"type":"b"}]"#);
    let said = d.append(
        S,
        r#"[{"type":"c"},{"type":"subscription.configured","payload":{"slug":"w","target":{"pull":true},"from":"start"}},{"type":"d"},{"type":"e"}]"#,
    );
    assert_eq!(said.offsets(), [5, 6, 7, 8]);
    assert_eq!(drain(&mut d, S, "w"), [(vec![1, 2, 3, 4, 5, 6], true), (vec![7, 8], false)]);
}

#[test]
fn a_new_version_folds_all_up_to_where_the_last_one_stood_also_what_that_one_passed_over() {
    for sleeps in [false, true] {
        let mut d = pulled(&json!({"types": ["a"], "version": 1}));
        add(&mut d, &["a", "b", "a"]);
        assert_eq!(drain(&mut d, S, "w"), [(vec![4, 6], false)]);
        add(&mut d, &["b", "b"]);
        if sleeps {
            d.evict(S);
        }
        assert_eq!(subscribe(&mut d, S, "w", &json!({"version": 2})), 9);
        assert_eq!(drain(&mut d, S, "w"), [(vec![4, 5, 6, 7, 8], true), (vec![9], false)], "asleep: {sleeps}");
    }
}

#[test]
fn imported_events_are_only_to_be_folded() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a"]);
    d.append_as(S, r#"[{"type":"old"},{"type":"older","payload":"\"origin\":1"}]"#, true, None).unwrap();
    d.append(S, r#"{"type":"b","payload":{"origin":1},"metadata":{"origin":1}}"#);
    assert_eq!(drain(&mut d, S, "w"), [(vec![4], false), (vec![5, 6], true), (vec![7], false)]);
}

#[test]
fn from_an_offset_again_folds_what_was_settled_and_redo_does_it_again() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a", "b", "c"]);
    assert_eq!(drain(&mut d, S, "w"), [(vec![4, 5, 6], false)]);
    assert_eq!(resume(&mut d, &json!({"from": 5})), 7);
    assert_eq!(drain(&mut d, S, "w"), [(vec![5, 6], true), (vec![7], false)]);
    assert_eq!(resume(&mut d, &json!({"from": 6, "redo": true})), 8);
    assert_eq!(drain(&mut d, S, "w"), [(vec![6, 7, 8], false)]);
    // What was done again counts as settled again.
    resume(&mut d, &json!({"from": 8}));
    assert_eq!(drain(&mut d, S, "w"), [(vec![8], true), (vec![9], false)]);
}

#[test]
fn events_delivered_anew_come_under_another_epoch_so_that_no_receiver_takes_them_for_a_retry() {
    let mut d = by_url(&json!({}));
    add(&mut d, &["a"]);
    let first = d.pushed();
    d.answered(S, &first, 200, "");
    resume(&mut d, &json!({"from": 4, "redo": true}));
    let again = d.pushed();
    assert_eq!((got(&again), again.replay), (vec![4, 5], false));
    assert_ne!(first.epoch, again.epoch);
}

// Retries.

#[test]
fn a_retry_carries_exactly_the_events_of_the_first_attempt() {
    let mut d = by_url(&json!({}));
    add(&mut d, &["a"]);
    let first = d.pushed();
    add(&mut d, &["b"]);
    assert!(d.in_flight.is_empty(), "one lease at a time");
    fail_once(&mut d, &first, 500, None);
    add(&mut d, &["c"]);
    d.evict(S);
    d.rearm(S);
    d.wait_for_alarm(S);
    let second = d.pushed();
    assert_eq!((got(&second), second.attempt, second.epoch), (vec![4], 1, first.epoch));
    assert_ne!(second.lease, first.lease);
    d.answered(S, &second, 200, "");
    d.wait_for_alarm(S);
    let third = d.pushed();
    assert_eq!((got(&third), third.attempt), (vec![5, 6], 0));
}

#[test]
fn an_attempt_is_made_ten_times_with_jitter_and_then_given_up() {
    let mut d = by_url(&json!({"timeoutMs": 1_000}));
    add(&mut d, &["a"]);
    let mut waited = Vec::new();
    for attempt in 0..10 {
        let leased = d.pushed();
        assert_eq!((got(&leased), leased.attempt), (vec![4], attempt));
        assert_eq!(leased.expires, d.now + 11 * SECOND);
        let failed_at = d.now;
        fail_once(&mut d, &leased, 503, None);
        if attempt < 9 {
            d.wait_for_push(S);
            waited.push(d.now - failed_at);
        }
    }
    for (waited, planned) in waited.iter().zip([5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200, 86_400]) {
        let planned = planned * SECOND;
        assert!((planned * 4 / 5..=planned * 6 / 5).contains(waited), "{waited} {planned}");
    }
    assert!(waited.iter().zip([5, 30, 120, 600]).any(|(waited, planned)| *waited != planned * SECOND), "jitter");
    let halted = d.log(S).pop().unwrap();
    assert_eq!(halted["type"], "subscription.halted");
    assert_eq!(halted["cause"]["offset"], 4);
    let Value::Object(mut payload) = halted["payload"].clone() else { panic!("{halted}") };
    assert_eq!(payload.remove("reason"), Some(json!("gave up after 10 attempts: HTTP 503")));
    assert_eq!(payload, *json!({"slug": "p", "offset": 4, "lastStatus": 503}).as_object().unwrap());
    let report = d.report(S, "p");
    assert_eq!(report["attempts"].as_array().unwrap().len(), 10);
    assert_eq!((&report["status"], &report["nextAttempt"]), (&json!("halted"), &Value::Null));
}

#[test]
fn a_subscriber_is_left_alone_as_long_as_it_asks_but_an_hour_at_most() {
    for (asked, least, most) in [(60, 60, 60), (1, 4, 6), (1_000_000, 3_600, 3_600)] {
        let mut d = by_url(&json!({}));
        add(&mut d, &["a"]);
        let leased = d.pushed();
        fail_once(&mut d, &leased, 429, Some(asked));
        d.wait_for_alarm(S);
        assert!((least * SECOND..=most * SECOND).contains(&(d.now - START)), "{asked}: {}", d.now - START);
        d.pushed();
    }
}

#[test]
fn a_410_halts_at_once_and_nothing_wakes_the_stream_for_it() {
    let mut d = by_url(&json!({}));
    add(&mut d, &["a"]);
    let leased = d.pushed();
    fail_once(&mut d, &leased, 410, None);
    assert_eq!(d.report(S, "p")["halted"]["lastStatus"], 410);
    d.evict(S);
    assert_eq!(d.report(S, "p")["lag"], 2, "also when it was asleep");
    for _ in 0..2 {
        add(&mut d, &["b"]);
        assert_eq!((d.stream(S).next_alarm(), d.in_flight.len()), (None, 0));
        d.evict(S);
    }
    d.node(S).alarm = None;
    // Nothing was skipped.
    resume(&mut d, &json!({}));
    assert_eq!(got(&d.pushed()), [4, 5, 6, 7, 8]);
}

#[test]
fn a_courier_that_does_not_come_back_failed_when_its_lease_runs_out() {
    let mut d = by_url(&json!({"timeoutMs": 1_000}));
    add(&mut d, &["a"]);
    let lost = d.pushed();
    assert_eq!(lost.expires, START + 11 * SECOND);
    d.wait_for_alarm(S);
    assert_eq!(d.now, lost.expires);
    // The time that was waited counts, so it is tried again at once: the 5 seconds are over.
    let again = d.pushed();
    assert_eq!((got(&again), again.attempt), (vec![4], 1));
    assert_eq!(settle(&mut d, &json!({"lease": lost.lease})), (409, "lease_lost".to_owned()));
    d.wait_for_alarm(S);
    assert!(d.in_flight.is_empty(), "30 seconds are not over");
    d.wait_for_alarm(S);
    assert_eq!(d.pushed().attempt, 2);
    assert_eq!(d.report(S, "p")["attempts"][0]["error"], "the delivery was not settled in time");
}

#[test]
fn a_worker_that_is_gone_delays_nobody_and_never_halts_its_subscription() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a"]);
    for attempt in 0..15 {
        let leased = d.lease(S, "w");
        assert_eq!((got(&leased), leased.attempt), (vec![4], attempt));
        d.now = leased.expires;
    }
}

#[test]
fn workers_that_vanished_do_not_count_when_one_fails() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a"]);
    for failures in 1..=10 {
        for _ in 0..10 {
            d.now = d.lease(S, "w").expires;
        }
        let leased = d.lease(S, "w");
        d.settle_lease(S, &json!({"lease": leased.lease, "error": "no database"}));
        // Ten attempts that failed are one too many, whoever vanished in between.
        let expected = if failures < 10 { "retrying" } else { "halted" };
        assert_eq!(d.report(S, "w")["status"], expected, "{failures}");
        d.now = d.no_lease(S, "w").unwrap_or(d.now);
    }
}

#[test]
fn a_worker_that_says_it_failed_is_tried_again_as_a_push_is() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a"]);
    let leased = d.lease(S, "w");
    assert_eq!(settle(&mut d, &json!({"lease": leased.lease, "error": "no database"})), (200, String::new()));
    let again = d.no_lease(S, "w").unwrap();
    assert!((START + 4 * SECOND..=START + 6 * SECOND).contains(&again));
    assert_eq!(d.report(S, "w")["lastError"], "no database");
    d.now = again;
    add(&mut d, &["b"]);
    assert_eq!(got(&d.lease(S, "w")), [4]);
}

#[test]
fn resumed_goes_on_skip_passes_one_event_and_from_begins_there() {
    for (how, expected) in
        [(json!({}), vec![4, 5, 6, 7]), (json!({"skip": true}), vec![5, 6, 7]), (json!({"from": 6}), vec![6, 7])]
    {
        let mut d = by_url(&json!({"types": ["a", "subscription.resumed", "subscription.halted"]}));
        add(&mut d, &["a", "a"]);
        let leased = d.pushed();
        assert_eq!(got(&leased), [4]);
        fail_once(&mut d, &leased, 410, None);
        assert_eq!(resume(&mut d, &how), 7);
        assert_eq!(got(&d.pushed()), expected, "{how}");
    }
}

#[test]
fn only_a_subscription_that_is_there_can_be_resumed() {
    let mut d = born();
    let said = d.append(S, r#"{"type":"subscription.resumed","payload":{"slug":"nobody"}}"#);
    assert_eq!((said.status, said.code().as_str()), (422, "invalid_control_event"));
    assert_eq!(d.head(S), 2);
}

#[test]
fn configured_again_it_goes_on_where_it_stood_and_old_leases_are_lost() {
    let mut d = by_url(&json!({}));
    add(&mut d, &["a"]);
    let first = d.pushed();
    d.answered(S, &first, 200, r#"{"state":1}"#);
    add(&mut d, &["b"]);
    let held = d.pushed();
    fail_once(&mut d, &held, 410, None);
    assert_eq!(subscribe_url(&mut d, S, "p", &json!({"timeoutMs": 2_000})), 7);
    let next = d.pushed();
    assert_eq!((got(&next), next.attempt, next.state.as_str()), (vec![5, 6, 7], 0, "1"));
    subscribe_url(&mut d, S, "p", &json!({}));
    assert_eq!(d.answered(S, &next, 200, "").code(), "lease_lost");
    assert_eq!(got(&d.pushed()), [5, 6, 7, 8]);
}

#[test]
fn a_removed_subscription_is_forgotten_with_all_it_kept() {
    let mut d = by_url(&json!({"state": 1}));
    add(&mut d, &["a"]);
    let held = d.pushed();
    control(&mut d, S, "subscription.removed", &json!({"slug": "p"}));
    assert_eq!(d.answered(S, &held, 200, "").code(), "lease_lost");
    assert_eq!(d.ask_lease(S, "p", 30).unwrap().code(), "not_found");
    assert_eq!(d.stream(S).next_alarm(), None);
    assert_eq!(d.database(S).number("SELECT count(*) FROM deliveries"), Some(0));
    subscribe_url(&mut d, S, "p", &json!({}));
    add(&mut d, &["b"]);
    let anew = d.pushed();
    assert_eq!((got(&anew), anew.state.as_str()), (vec![7], "null"));
}

// Settling.

#[test]
fn what_is_settled_in_part_stays_so_and_the_rest_is_given_back() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a", "b", "c"]);
    let leased = d.lease(S, "w");
    let said = d.settle_lease(S, &json!({"lease": leased.lease, "upTo": 4, "state": 1}));
    assert_eq!(said.json(), json!({"cursor": 4, "offsets": []}));
    add(&mut d, &["d"]);
    let rest = d.lease(S, "w");
    assert_eq!((got(&rest), rest.state.as_str(), rest.attempt), (vec![5, 6, 7], "1", 0));
}

#[test]
fn with_extend_the_lease_stays_for_the_rest() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a", "b", "c"]);
    let leased = d.lease(S, "w");
    d.now += 10 * SECOND;
    let body = json!({"lease": leased.lease, "upTo": 4, "extend": 60});
    let said = d.settle_lease(S, &body);
    assert_eq!((d.settle_lease(S, &body).body, d.written), (said.body, 0), "repeated");
    assert_eq!(d.no_lease(S, "w"), Some(START + 70 * SECOND));
    assert_eq!(d.done(S, &leased)["cursor"], 6);
    assert_eq!(d.done(S, &leased)["cursor"], 6);
    assert_eq!(d.no_lease(S, "w"), None);
}

#[test]
fn who_says_so_again_and_again_holds_on_to_the_rest() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a", "b", "c"]);
    let leased = d.lease(S, "w");
    let body = json!({"lease": leased.lease, "upTo": 4, "extend": 60});
    let first = d.settle_lease(S, &body);
    for sleeps in [false, true, false] {
        d.now += 50 * SECOND;
        if sleeps {
            d.evict(S);
        }
        assert_eq!(d.settle_lease(S, &body).body, first.body);
        assert_eq!(d.no_lease(S, "w"), Some(d.now + 60 * SECOND));
    }
    assert_eq!(d.done(S, &leased)["cursor"], 6);
    assert_eq!(d.report(S, "w")["failedAttempts"], 0);
}

#[test]
fn what_is_left_of_an_extended_lease_comes_again_alone() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a", "b"]);
    let leased = d.lease(S, "w");
    assert_eq!(settle(&mut d, &json!({"lease": leased.lease, "upTo": 4, "extend": 5})).0, 200);
    add(&mut d, &["c"]);
    d.now += 5 * SECOND;
    let again = d.lease(S, "w");
    assert_eq!((got(&again), again.attempt), (vec![5], 1));
}

#[test]
fn a_heartbeat_gives_more_time_and_settles_nothing() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a", "b"]);
    let leased = d.lease(S, "w");
    for _ in 0..5 {
        d.now += 25 * SECOND;
        let said = d.settle_lease(S, &json!({"lease": leased.lease, "extend": 30}));
        assert_eq!(said.json(), json!({"cursor": 3, "offsets": []}));
        assert_eq!(d.no_lease(S, "w"), Some(d.now + 30 * SECOND));
    }
    assert_eq!(d.done(S, &leased)["cursor"], 5);
}

#[test]
fn a_lease_can_be_given_back_whole() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a"]);
    let leased = d.lease(S, "w");
    let body = json!({"lease": leased.lease, "upTo": 0});
    let said = d.settle_lease(S, &body);
    assert_eq!((said.status, &said.json()["cursor"]), (200, &json!(3)));
    assert_eq!(d.settle_lease(S, &body).body, said.body);
    add(&mut d, &["b"]);
    let again = d.lease(S, "w");
    assert_eq!((got(&again), again.attempt), (vec![4, 5], 0));
    assert_eq!(settle(&mut d, &json!({"lease": leased.lease, "upTo": 4})), (409, "lease_lost".to_owned()));
    assert_eq!(d.report(S, "w")["cursor"], 3);
}

#[test]
fn a_repeated_settle_is_answered_as_the_first_and_writes_nothing() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a"]);
    let leased = d.lease(S, "w");
    let body = json!({"lease": leased.lease, "state": 1, "append": [{"type": "done"}, {"type": "done"}]});
    let first = d.settle_lease(S, &body);
    assert_eq!(first.json(), json!({"cursor": 4, "offsets": [5, 6]}));
    d.evict(S);
    for _ in 0..2 {
        let again = d.settle_lease(S, &body);
        assert_eq!((again.status, again.body, d.written), (200, first.body.clone(), 0));
    }
    let next = d.lease(S, "w");
    assert_eq!(got(&next), [5, 6]);
    assert_eq!(d.settle_lease(S, &body).body, first.body, "also while the next is leased");
    d.done(S, &next);
    assert_eq!(settle(&mut d, &body), (409, "lease_lost".to_owned()));
    assert_eq!(d.head(S), 6);
}

#[test]
fn a_failure_that_is_repeated_is_answered_as_the_first_and_counted_once() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a"]);
    let leased = d.lease(S, "w");
    let body = json!({"lease": leased.lease, "error": "broken"});
    let first = d.settle_lease(S, &body);
    d.evict(S);
    let again = d.settle_lease(S, &body);
    assert_eq!((again.status, again.body, d.written), (200, first.body, 0));
    assert_eq!(d.report(S, "w")["failedAttempts"], 1);
}

#[test]
fn a_lease_that_ran_out_still_settles_until_it_is_given_on() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a", "b"]);
    let late = d.lease(S, "w");
    d.now = late.expires + 3_600 * SECOND;
    assert_eq!(settle(&mut d, &json!({"lease": late.lease, "upTo": 4, "extend": 1})), (200, String::new()));
    d.now += 10 * SECOND;
    let other = d.lease(S, "w");
    assert_eq!(got(&other), [5]);
    assert_eq!(settle(&mut d, &json!({"lease": late.lease})), (409, "lease_lost".to_owned()));
    assert_eq!(d.done(S, &other)["cursor"], 5);
}

#[test]
fn nonsense_is_no_lease() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a"]);
    d.lease(S, "w");
    for id in ["w.0", "w.", ".", "v.1"] {
        assert_eq!(settle(&mut d, &json!({"lease": id})), (409, "lease_lost".to_owned()), "{id}");
    }
    assert_eq!(d.settle_lease("/nowhere", &json!({"lease": "w.1"})).code(), "stream_not_found");
    assert!(d.database("/nowhere").is_untouched());
}

#[test]
fn a_settle_that_is_not_well_formed_is_refused_and_the_lease_stays() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a", "b"]);
    let leased = d.lease(S, "w");
    for (body, field) in [
        (json!({"upTo": 6}), "upTo"),
        (json!({"upTo": 3, "state": 1}), "upTo"),
        (json!({"upTo": 0, "append": [{"type": "x"}], "extend": 5}), "upTo"),
    ] {
        let mut body = body;
        body["lease"] = json!(leased.lease);
        let said = d.settle_lease(S, &body);
        assert_eq!((said.status, said.code().as_str(), &said.json()["field"]), (400, "invalid_settle", &json!(field)));
        assert_eq!(d.written, 0);
    }
    assert_eq!(d.done(S, &leased)["cursor"], 5);
}

#[test]
fn cursor_state_and_appends_are_one_transaction() {
    let mut d = pulled(&json!({"state": 0}));
    add(&mut d, &["a"]);
    let leased = d.lease(S, "w");
    let body =
        json!({"lease": leased.lease, "state": 1, "append": [{"type": "done"}, {"type": "sent", "streamPath": T}]});
    d.crash_next = true;
    assert!(d.ask_settle(S, &body).is_none());
    assert_eq!((d.head(S), d.report(S, "w")["cursor"].clone()), (4, json!(3)));
    assert_eq!(d.report(S, "w")["state"], 0);
    assert_eq!(d.database(S).number("SELECT count(*) FROM outbox"), Some(0));
    // The lease was not lost with the process, so it is settled when it is said again.
    assert_eq!(d.settle_lease(S, &body).json(), json!({"cursor": 4, "offsets": [5]}));
    d.evict(S);
    assert_eq!((d.head(S), d.report(S, "w")["state"].clone()), (5, json!(1)));
    assert_eq!(d.database(S).number("SELECT count(*) FROM outbox"), Some(1));
}

#[test]
fn what_an_answer_appends_is_caused_by_the_last_event_that_it_settles_and_names_the_subscription() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a", "b"]);
    let leased = d.lease(S, "w");
    let append = json!([{"type": "x"}, {"type": "y", "cause": {"offset": 4}}, {"type": "z", "streamPath": "../t"}]);
    d.settle_lease(S, &json!({"lease": leased.lease, "append": append}));
    d.work_off();
    let log = d.log(S);
    assert_eq!(log[5]["cause"], json!({"streamPath": S, "offset": 5, "hops": 0, "turns": 0}));
    assert_eq!(log[6]["cause"], json!({"streamPath": S, "offset": 4, "hops": 0, "turns": 0}));
    assert_eq!(log[5]["metadata"]["tailrace"]["by"], "subscription:w");
    let there = d.log(T).pop().unwrap();
    assert_eq!(there["cause"], json!({"streamPath": S, "offset": 5, "hops": 1, "turns": 0}));
    assert_eq!(there["metadata"]["tailrace"]["by"], "subscription:w");
}

#[test]
fn an_answer_that_can_never_be_accepted_halts_with_nothing_half_applied() {
    for (answer, code) in [
        (json!({"append": [{"type": "ok"}, {"type": "stream.paused"}]}), "forbidden"),
        (json!({"append": [{"type": "ok"}, {"type": "tool.approved"}]}), "forbidden"),
        (
            json!({"append": [{"type": "elsewhere", "streamPath": T}, {"type": "stream.paused", "streamPath": T}]}),
            "forbidden",
        ),
        (json!({"append": [{"type": "ok"}, {"type": ""}]}), "invalid_settle"),
        (json!({"append": [{"type": "ok"}, 7]}), "invalid_settle"),
        (json!({"append": "many"}), "invalid_settle"),
        (
            json!({"append": [{"type": "ok"}, {"type": "used", "idempotencyKey": "k", "payload": 2}]}),
            "idempotency_conflict",
        ),
        (json!({"append": vec![json!({"type": "m"}); 1_001]}), "too_large"),
        (json!({"state": "x".repeat(limits::STATE_BYTES)}), "too_large"),
    ] {
        let mut d = pulled(&json!({"state": 0}));
        d.append(S, r#"{"type":"used","idempotencyKey":"k","payload":1}"#);
        let leased = d.lease(S, "w");
        let mut body = answer.clone();
        body["lease"] = json!(leased.lease);
        if body["state"].is_null() {
            body["state"] = json!(1);
        }
        let said = d.settle_lease(S, &body);
        assert_eq!(said.code(), code, "{:.100}", answer.to_string());
        let log = d.log(S);
        assert_eq!(
            (log.len(), &log[4]["type"], &log[4]["payload"]["offset"]),
            (5, &json!("subscription.halted"), &json!(4))
        );
        d.evict(S);
        let report = d.report(S, "w");
        assert_eq!((&report["cursor"], &report["state"], &report["status"]), (&json!(3), &json!(0), &json!("halted")));
        assert_eq!(d.database(S).number("SELECT count(*) FROM outbox"), Some(0));
        assert_eq!(d.no_lease(S, "w"), None);
        resume(&mut d, &json!({"skip": true}));
        assert_eq!(got(&d.lease(S, "w")), [5, 6]);
    }
}

#[test]
fn a_push_whose_answer_can_never_be_accepted_halts_too_and_other_successes_are_plain() {
    for answer in [r#"{"append":[{"type":"breaker.configured"}]}"#, r#"{"append":7}"#] {
        let mut d = by_url(&json!({}));
        add(&mut d, &["a"]);
        let leased = d.pushed();
        d.answered(S, &leased, 200, answer);
        assert_eq!(d.report(S, "p")["halted"]["lastStatus"], 200, "{answer}");
    }
    for answer in ["", "ok", "[1]", r#"{"ok":true}"#, r#"{"lease":"x"}"#] {
        let mut d = by_url(&json!({}));
        add(&mut d, &["a"]);
        let leased = d.pushed();
        d.answered(S, &leased, 204, answer);
        assert_eq!((d.report(S, "p")["cursor"].clone(), d.head(S)), (json!(4), 4), "{answer}");
    }
}

#[test]
fn an_answer_has_the_powers_it_was_granted_and_never_those_that_free_a_runaway() {
    let mut d = pulled(&json!({"grants": ["*"], "batch": 1}));
    for (append, status) in [
        (json!({"type": "schedule.configured", "payload": {"slug": "s", "after": 1_000, "event": {"type": "t"}}}), 200),
        (json!({"type": "tool.approved", "payload": {"callId": "c"}}), 200),
        (json!({"type": "stream.paused"}), 200),
        (json!({"type": "stream.resumed"}), 403),
        (json!({"type": "breaker.configured", "payload": {"limit": null}}), 403),
    ] {
        d.append(S, r#"[{"type":"stream.resumed"},{"type":"m"}]"#);
        resume(&mut d, &json!({}));
        // Past its own doings, to an event of which the answer is this.
        let leased = d.lease(S, "w");
        let said = d.settle_lease(S, &json!({"lease": leased.lease, "append": [append]}));
        assert_eq!(said.status, status, "{}", said.body);
    }
}

#[test]
fn an_answer_configures_its_own_stream_and_those_below_and_no_other() {
    for (path, is_below) in [(T, false), ("/", false), ("/s2", false), ("/s/a", true), ("/s/a/b", true)] {
        let mut d = pulled(&json!({"grants": ["*"]}));
        add(&mut d, &["a"]);
        let leased = d.lease(S, "w");
        let append = json!([{"type": "ok"}, {"type": "stream.paused", "streamPath": path}]);
        let said = d.settle_lease(S, &json!({"lease": leased.lease, "append": append}));
        assert_eq!(said.status, if is_below { 200 } else { 403 }, "{path}: {}", said.body);
        d.work_off();
        assert_eq!(d.types(path).contains(&"stream.paused".to_owned()), is_below, "{path}");
        assert_eq!(d.types(S).contains(&"ok".to_owned()), is_below, "{path}: all of it or nothing");
        assert_eq!(d.report(S, "w")["status"] == "halted", !is_below, "{path}");
    }
}

#[test]
fn an_answer_may_end_its_own_subscription() {
    let mut d = pulled(&json!({"grants": ["subscription.*"]}));
    add(&mut d, &["a"]);
    let leased = d.lease(S, "w");
    let append = json!([{"type": "subscription.removed", "payload": {"slug": "w"}}, {"type": "bye"}]);
    let said = d.settle_lease(S, &json!({"lease": leased.lease, "state": 1, "append": append}));
    assert_eq!((said.status, said.json()), (200, json!({"cursor": 4, "offsets": [5, 6]})));
    d.evict(S);
    assert_eq!(d.types(S)[4..], ["subscription.removed", "bye"]);
    assert_eq!(d.ask_lease(S, "w", 30).unwrap().code(), "not_found");
    assert_eq!(d.database(S).number("SELECT count(*) FROM deliveries"), Some(0));
}

#[test]
fn an_answer_may_configure_its_own_subscription_anew_and_a_new_version_begins_as_any() {
    let mut d = pulled(&json!({"grants": ["subscription.*"], "state": 0, "version": 1, "batch": 1}));
    add(&mut d, &["a", "b"]);
    let leased = d.lease(S, "w");
    d.done(S, &leased);
    let leased = d.lease(S, "w");
    let anew = json!({"slug": "w", "target": {"pull": true}, "state": 7, "version": 2});
    let append = json!([{"type": "subscription.configured", "payload": anew}]);
    let said = d.settle_lease(S, &json!({"lease": leased.lease, "state": 1, "append": append}));
    assert_eq!((said.status, &said.json()["offsets"]), (200, &json!([6])), "{}", said.body);
    d.evict(S);
    let first = d.lease(S, "w");
    assert_eq!((first.state.as_str(), first.replay, first.first), ("7", true, 4));
    d.done(S, &first);
    // What this very answer settled is only folded, too.
    assert_eq!((got(&first), drain(&mut d, S, "w")), (vec![4, 5], vec![(vec![6], false)]));
}

#[test]
fn an_answer_that_configures_its_own_subscription_as_it_was_goes_on_behind_what_it_settled() {
    let mut d = pulled(&json!({"grants": ["subscription.*"], "state": 0, "types": ["a", "b"]}));
    add(&mut d, &["a"]);
    let leased = d.lease(S, "w");
    let same = json!({"slug": "w", "target": {"pull": true}, "types": ["a", "b"]});
    let append = json!([{"type": "subscription.configured", "payload": same}]);
    let said = d.settle_lease(S, &json!({"lease": leased.lease, "state": 1, "append": append}));
    assert_eq!((said.status, said.json()), (200, json!({"cursor": 4, "offsets": [5]})));
    d.evict(S);
    assert_eq!(d.no_lease(S, "w"), None);
    add(&mut d, &["b"]);
    let next = d.lease(S, "w");
    assert_eq!((got(&next), next.state.as_str()), (vec![6], "1"));
}

#[test]
fn grants_are_globs_over_types() {
    let mut d = pulled(&json!({"grants": ["schedule.*"], "batch": 1}));
    add(&mut d, &["a", "b"]);
    let leased = d.lease(S, "w");
    let set = json!({"type": "schedule.configured", "payload": {"slug": "s", "after": 1_000, "event": {"type": "t"}}});
    assert_eq!(settle(&mut d, &json!({"lease": leased.lease, "append": [set]})).0, 200);
    let leased = d.lease(S, "w");
    let pause = json!([{"type": "stream.paused"}]);
    assert_eq!(settle(&mut d, &json!({"lease": leased.lease, "append": pause})), (403, "forbidden".to_owned()));
}

#[test]
fn an_answer_that_says_there_is_no_error_is_a_success() {
    for no in ["false", "0", r#""""#, "null"] {
        let mut d = by_url(&json!({}));
        add(&mut d, &["a"]);
        let leased = d.pushed();
        d.answered(S, &leased, 200, &format!(r#"{{"ok":true,"error":{no},"state":1}}"#));
        let report = d.report(S, "p");
        assert_eq!((&report["cursor"], &report["state"], &report["lastError"]), (&json!(4), &json!(1), &Value::Null));
    }
}

// Pauses.

#[test]
fn while_paused_no_lease_is_given_and_no_attempt_made() {
    let mut d = by_url(&json!({}));
    subscribe(&mut d, S, "v", &json!({}));
    add(&mut d, &["a"]);
    let held = d.pushed();
    fail_once(&mut d, &held, 500, None);
    control(&mut d, S, "stream.paused", &json!({}));
    d.evict(S);
    assert_eq!(d.stream(S).next_alarm(), None, "nothing is due while it is paused");
    d.now += 86_400 * SECOND;
    d.work(S, |_| Reach::Heard);
    assert!(d.in_flight.is_empty());
    let said = d.ask_lease(S, "v", 30).unwrap();
    assert_eq!((said.status, said.header("tailrace-paused")), (204, Some("true")));
    assert_eq!(d.report(S, "p")["failedAttempts"], 1);
    control(&mut d, S, "stream.resumed", &json!({}));
    let again = d.pushed();
    assert_eq!((got(&again), again.attempt), (vec![4, 5][..1].to_vec(), 1).clone());
    assert_eq!(got(&d.lease(S, "v")), [5, 6, 7]);
}

#[test]
fn a_lease_that_was_given_before_the_pause_settles_whole() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a"]);
    let leased = d.lease(S, "w");
    control(&mut d, S, "stream.paused", &json!({}));
    let body = json!({"lease": leased.lease, "state": 1, "append": [{"type": "x"}, {"type": "y", "streamPath": T}]});
    assert_eq!(d.settle_lease(S, &body).json(), json!({"cursor": 4, "offsets": [6]}));
    d.work_off();
    assert_eq!(d.types(T).last().unwrap(), "y");
}

#[test]
fn a_lease_that_ran_out_in_a_pause_still_settles_however_many_ask_for_the_next() {
    let mut d = pulled(&json!({}));
    add(&mut d, &["a"]);
    let leased = d.lease(S, "w");
    control(&mut d, S, "stream.paused", &json!({}));
    d.now = leased.expires + HOUR;
    assert_eq!(d.no_lease(S, "w"), None);
    assert_eq!(d.report(S, "w")["failedAttempts"], 0);
    assert_eq!(d.done(S, &leased)["cursor"], 4);
}

#[test]
fn a_watcher_is_handed_events_while_paused() {
    let mut d = by_url(&json!({"whilePaused": true, "types": ["stream.paused"]}));
    control(&mut d, S, "stream.paused", &json!({"reason": "storm"}));
    let leased = d.pushed();
    assert_eq!(got(&leased), [4]);
    d.answered(S, &leased, 200, "");
    assert_eq!(d.report(S, "p")["cursor"], 4);
}

#[test]
fn what_answers_append_is_counted_by_the_breaker() {
    let mut d = pulled(&json!({"types": ["a"]}));
    control(&mut d, S, "breaker.configured", &json!({"limit": 2}));
    add(&mut d, &["a"]);
    let leased = d.lease(S, "w");
    d.settle_lease(S, &json!({"lease": leased.lease, "append": [{"type": "x"}, {"type": "x"}]}));
    assert!(d.is_paused(S));
    assert_eq!(d.types(S)[5..], ["x", "x", "stream.paused"]);
}

// Conditions.

#[test]
fn a_lease_with_a_condition_is_written_once_something_matches() {
    let mut d = by_url(&json!({"where": "event.payload.n > 1"}));
    add(&mut d, &["a"]);
    let leased = d.pushed();
    assert_eq!(
        (
            leased.condition.as_deref(),
            d.database(S).number("SELECT count(*) FROM deliveries WHERE progress LIKE '%lease%'")
        ),
        (Some("event.payload.n > 1"), Some(0))
    );
    assert_eq!((d.hold(S, &leased).unwrap().status, d.written), (200, 1));
    assert_eq!((d.hold(S, &leased).unwrap().status, d.written), (200, 0));
    d.evict(S);
    assert_eq!(d.answered(S, &leased, 200, "").status, 200);
    assert_eq!(d.report(S, "p")["cursor"], 4);
}

#[test]
fn what_matches_no_condition_is_passed_and_written_every_1000_events_only() {
    let mut d = by_url(&json!({"where": "false"}));
    control(&mut d, S, "breaker.configured", &json!({"limit": null}));
    let mut written = 0;
    for n in 1..=2_100 {
        // Here an append costs one row, and what it makes due none.
        d.append(S, r#"{"type":"m"}"#);
        assert_eq!(d.written, 1);
        let Some((_, leased)) = d.in_flight.pop_front() else { panic!("nothing is pushed at {n}") };
        d.passed(S, &leased).unwrap();
        written += d.written;
    }
    assert_eq!(written, 2);
    let cursor = d.report(S, "p")["cursor"].as_u64().unwrap();
    d.evict(S);
    // Asleep, at most the last thousand is forgotten, and looked at once more.
    let after = d.report(S, "p")["cursor"].as_u64().unwrap();
    assert!(cursor == d.head(S) && after < cursor && cursor - after < 1_000, "{after} {cursor}");
    d.push(S);
    assert_eq!(d.pushed().first, after + 1);
}

#[test]
fn a_tentative_lease_that_is_lost_with_the_process_is_given_again() {
    let mut d = pulled(&json!({"where": "true"}));
    add(&mut d, &["a"]);
    let lost = d.lease(S, "w");
    assert_eq!(d.no_lease(S, "w"), Some(lost.expires));
    d.evict(S);
    assert_eq!(d.hold(S, &lost).unwrap().code(), "lease_lost");
    let again = d.lease(S, "w");
    assert_eq!((got(&again), again.attempt), (vec![4], 0));
    // It ran out before anybody held on to it: nothing was delivered, so nothing failed.
    d.now = again.expires;
    assert_eq!(d.lease(S, "w").attempt, 0);
    assert_eq!(d.hold(S, &again).unwrap().code(), "lease_lost");
}

#[test]
fn a_retry_with_a_condition_carries_the_same_events_and_is_held_already() {
    let mut d = by_url(&json!({"where": "true"}));
    add(&mut d, &["a"]);
    let first = d.pushed();
    d.hold(S, &first).unwrap();
    add(&mut d, &["b"]);
    fail_once(&mut d, &first, 500, None);
    d.evict(S);
    d.rearm(S);
    d.wait_for_alarm(S);
    let again = d.pushed();
    assert_eq!(got(&again), [4]);
    assert_eq!((d.hold(S, &again).unwrap().status, d.written), (200, 0));
}

/// `w` has `a` to `d` from offset 4 on, and of these only 5 and 6 match its condition.
fn held_in_part() -> (Deployment, Leased) {
    let mut d = pulled(&json!({"where": "true"}));
    add(&mut d, &["a", "b", "c", "d"]);
    let leased = d.lease(S, "w");
    assert_eq!(got(&leased), [4, 5, 6, 7]);
    let text = format!("{}\n5\n6", leased.lease);
    assert_eq!(d.ask(S, |stream, now| call::hold(stream, now, &text)).unwrap().status, 200);
    (d, leased)
}

#[test]
fn what_is_appended_for_a_part_that_matched_is_caused_by_an_event_of_that_part() {
    let (mut d, leased) = held_in_part();
    let said = d.settle_lease(S, &json!({"lease": leased.lease, "append": [{"type": "x"}]}));
    assert_eq!(said.json(), json!({"cursor": 6, "offsets": [8]}));
    assert_eq!(d.log(S)[7]["cause"]["offset"], 6);
    // What lies behind is looked at once more.
    assert_eq!(got(&d.lease(S, "w")), [7, 8]);
}

#[test]
fn a_subscription_with_a_condition_halts_at_and_skips_what_matched() {
    let (mut d, leased) = held_in_part();
    fail_once(&mut d, &leased, 410, None);
    let halted = d.log(S).pop().unwrap();
    assert_eq!((&halted["payload"]["offset"], &halted["cause"]["offset"]), (&json!(5), &json!(5)));
    assert_eq!(d.report(S, "w")["halted"]["offset"], 5);
    resume(&mut d, &json!({"skip": true}));
    assert_eq!(d.lease(S, "w").first, 6);
}

// What it costs.

#[test]
fn an_append_that_no_subscription_matches_writes_what_it_did_without_any() {
    let mut d = born();
    for n in 0..limits::SUBSCRIPTIONS {
        let more = json!({"types": [format!("t{n}.*")]});
        if n % 2 == 0 {
            subscribe_url(&mut d, S, &format!("s{n}"), &more)
        } else {
            subscribe(&mut d, S, &format!("s{n}"), &more)
        };
        d.now += SECOND;
    }
    let cursors =
        |d: &Deployment| d.nodes[S].database.number("SELECT sum(json_extract(progress, '$.cursor')) FROM deliveries");
    control(&mut d, S, "breaker.configured", &json!({"limit": null}));
    let before = cursors(&d);
    for n in 0..800 {
        d.append(S, r#"{"type":"m"}"#);
        assert_eq!((d.written, d.in_flight.len()), (1, 0), "{n}");
        if n % 300 == 0 {
            d.evict(S);
        }
    }
    assert_eq!(cursors(&d), before);
    assert_eq!(d.stream(S).next_alarm(), None);
}

#[test]
fn a_cursor_that_moves_past_what_does_not_match_is_written_every_1000_events() {
    let mut d = pulled(&json!({"types": ["x"]}));
    control(&mut d, S, "breaker.configured", &json!({"limit": null}));
    let rows: u64 = (0..3_500)
        .map(|_| {
            d.append(S, r#"{"type":"m"}"#);
            d.written - 1
        })
        .sum();
    assert_eq!(rows, 3);
    d.append(S, &format!("[{}]", vec![r#"{"type":"m"}"#; 1_000].join(",")));
    assert_eq!(d.written, 2);
    d.evict(S);
    assert_eq!(d.no_lease(S, "w"), None);
    add(&mut d, &["x"]);
    assert_eq!(d.lease(S, "w").events.len(), 1);
}

#[test]
fn a_delivered_batch_costs_a_row_for_the_lease_and_one_for_the_settle() {
    let mut d = pulled(&json!({}));
    d.append(S, r#"[{"type":"a"},{"type":"b"}]"#);
    assert_eq!(d.written, 1);
    let leased = d.lease(S, "w");
    assert_eq!(d.written, 1);
    d.settle_lease(S, &json!({"lease": leased.lease, "state": {"n": 2}}));
    assert_eq!(d.written, 1);
    d.append(S, r#"{"type":"c"}"#);
    let leased = d.lease(S, "w");
    d.settle_lease(S, &json!({"lease": leased.lease, "append": [{"type": "x"}, {"type": "y"}]}));
    assert_eq!(d.written, 2, "its row, and one for what it appends");
}

#[test]
fn a_stream_has_a_hundred_subscriptions_and_no_more() {
    let mut d = born();
    for n in 0..limits::SUBSCRIPTIONS {
        subscribe(&mut d, S, &format!("s{n}"), &json!({}));
        d.now += SECOND;
    }
    let body = json!({"type": "subscription.configured", "payload": {"slug": "more", "target": {"pull": true}}});
    let said = d.append(S, &body.to_string());
    assert_eq!((said.status, said.code().as_str()), (413, "too_large"));
    subscribe(&mut d, S, "s7", &json!({"batch": 7}));
    control(&mut d, S, "subscription.removed", &json!({"slug": "s8"}));
    assert_eq!(d.append(S, &body.to_string()).status, 200);
}

#[test]
fn the_last_twenty_attempts_are_kept() {
    let mut d = pulled(&json!({"batch": 1}));
    d.append(S, &format!("[{}]", vec![r#"{"type":"m"}"#; 25].join(",")));
    assert_eq!(drain(&mut d, S, "w").len(), 25);
    let report = d.report(S, "w");
    let attempts = report["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["first"], &attempts[19]["first"]), (20, &json!(28), &json!(9)));
}

// The outbox.

/// `w` answers all of its lease with these appends.
fn answer_with(d: &mut Deployment, append: &Value) {
    add(d, &["go"]);
    let leased = d.lease(S, "w");
    let said = d.settle_lease(S, &json!({"lease": leased.lease, "append": append}));
    assert_eq!(said.status, 200, "{}", said.body);
}

#[test]
fn what_goes_to_another_stream_lands_once_and_in_order_whatever_becomes_of_the_calls() {
    let mut d = pulled(&json!({"types": ["go"]}));
    let mut turn = 0;
    let mut reach = move |_: &_| {
        turn += 1;
        [Reach::Unheard, Reach::Lost, Reach::Doubled, Reach::Died, Reach::Heard][turn % 5]
    };
    let mut sent = Vec::new();
    for round in 0..6 {
        let append: Vec<Value> = (0..4)
            .map(|n| json!({"type": "m", "payload": round * 10 + n, "streamPath": (if n % 2 == 0 { T } else { "/u" })}))
            .collect();
        sent.extend((0..4).map(|n| round * 10 + n));
        answer_with(&mut d, &json!(append));
        d.now += SECOND;
    }
    d.work_off_with(&mut reach);
    for (path, odd) in [(T, 0), ("/u", 1)] {
        let landed: Vec<usize> = d.log(path)[1..]
            .iter()
            .filter(|it| it["type"] == "m")
            .map(|it| usize::try_from(it["payload"].as_u64().unwrap()).unwrap())
            .collect();
        let expected: Vec<usize> = sent.iter().copied().filter(|n| n % 2 == odd).collect();
        assert_eq!(landed, expected, "{path}");
    }
    assert_eq!(d.report(S, "w")["outbox"]["waiting"], 0);
}

#[test]
fn a_paused_target_is_waited_for_and_another_is_not_held_up() {
    let mut d = pulled(&json!({"types": ["go"]}));
    for path in [T, "/u"] {
        d.append(path, r#"{"type":"m"}"#);
    }
    d.append(T, r#"{"type":"stream.paused"}"#);
    d.work_off();
    answer_with(
        &mut d,
        &json!([{"type": "x", "streamPath": T}, {"type": "y", "streamPath": T}, {"type": "z", "streamPath": "/u"}]),
    );
    for _ in 0..10 {
        d.wait_for_alarm(S);
    }
    assert_eq!((d.types(T).len(), d.types("/u").last().unwrap().as_str()), (3, "z"));
    let report = d.report(S, "w");
    assert_eq!(report["outbox"]["waiting"], 2);
    assert_eq!(report["outbox"]["targets"][0]["target"], T);
    d.append(T, r#"{"type":"stream.resumed"}"#);
    d.work_off();
    assert_eq!(d.types(T)[4..], ["x", "y"]);
    assert!(!d.types(S).contains(&"error.occurred".to_owned()));
}

#[test]
fn what_a_target_refuses_for_good_becomes_an_error_here_and_the_next_goes_on() {
    let mut d = pulled(&json!({"types": ["go"]}));
    d.append(T, r#"{"type":"m","idempotencyKey":"k","payload":1}"#);
    d.work_off();
    let refused = json!({"type": "m", "payload": 2, "idempotencyKey": "k", "streamPath": T});
    answer_with(&mut d, &json!([refused, {"type": "after", "streamPath": T}]));
    d.work_off();
    assert_eq!(d.types(T).last().unwrap(), "after");
    let error = d.log(S).pop().unwrap();
    assert_eq!(error["type"], "error.occurred");
    let payload = &error["payload"];
    assert_eq!(
        (&payload["code"], &payload["target"], &payload["subscription"]),
        (&json!("idempotency_conflict"), &json!(T), &json!("w"))
    );
    assert_eq!((&payload["append"]["type"], &payload["append"]["payload"]), (&json!("m"), &json!(2)));
    assert_eq!(error["cause"]["offset"], 4);
}

#[test]
fn a_chain_of_answers_from_stream_to_stream_ends_at_32_hops() {
    let mut d = born();
    for (path, other) in [(S, T), (T, S)] {
        d.append(path, r#"{"type":"m"}"#);
        subscribe(&mut d, path, "w", &json!({"types": ["ping"], "state": other}));
    }
    d.work_off();
    d.append(S, r#"{"type":"ping"}"#);
    let mut pings = 0;
    for turn in 0..100 {
        let (path, other) = if turn % 2 == 0 { (S, T) } else { (T, S) };
        let said = d.ask_lease(path, "w", 30).unwrap();
        if said.status == 204 {
            break;
        }
        pings += 1;
        let leased: Leased = serde_json::from_str(&said.body).unwrap();
        d.settle_lease(path, &json!({"lease": leased.lease, "append": [{"type": "ping", "streamPath": other}]}));
        d.work_off();
        d.now += SECOND;
    }
    assert_eq!(pings, 33);
    let error = d.log(S).pop().unwrap();
    assert_eq!((&error["type"], &error["payload"]["code"]), (&json!("error.occurred"), &json!("hop_limit")));
}

#[test]
fn a_cause_that_is_named_makes_a_chain_no_shorter() {
    for cause in [json!({"offset": 1}), json!({"offset": 1, "streamPath": "/elsewhere"})] {
        let mut d = born();
        for path in [S, T] {
            d.append(path, r#"{"type":"m"}"#);
            subscribe(&mut d, path, "w", &json!({"types": ["ping"]}));
        }
        d.work_off();
        d.append(S, r#"{"type":"ping"}"#);
        let mut pings = 0;
        for (path, other) in [(S, T), (T, S)].into_iter().cycle().take(100) {
            let said = d.ask_lease(path, "w", 30).unwrap();
            if said.status == 204 {
                break;
            }
            pings += 1;
            let leased: Leased = serde_json::from_str(&said.body).unwrap();
            let append = json!([{"type": "ping", "streamPath": other, "cause": cause}]);
            assert_eq!(d.settle_lease(path, &json!({"lease": leased.lease, "append": append})).status, 200);
            d.work_off();
            d.now += SECOND;
        }
        assert_eq!(pings, 33, "{cause}");
        assert_eq!(d.log(S).pop().unwrap()["payload"]["code"], "hop_limit");
    }
}

#[test]
fn a_thousand_that_wait_hold_up_their_subscription_until_they_land() {
    let mut d = by_url(&json!({"types": ["go"]}));
    d.append(T, r#"{"type":"stream.paused"}"#);
    d.work_off();
    add(&mut d, &["go", "go"]);
    let leased = d.pushed();
    let many = vec![json!({"type": "m", "streamPath": T}); 1_000];
    d.answered(S, &leased, 200, &json!({"append": many}).to_string());
    d.push(S);
    assert!(d.in_flight.is_empty());
    assert_eq!(d.report(S, "p")["status"], "blocked");
    d.evict(S);
    d.wait_for_alarm(S);
    assert!(d.in_flight.is_empty());
    d.append(T, r#"[{"type":"breaker.configured","payload":{"limit":null}},{"type":"stream.resumed"}]"#);
    d.wait_for_alarm(S);
    d.push(S);
    assert_eq!(got(&d.pushed()), [5]);
}

#[test]
fn what_was_settled_lands_even_when_its_stream_is_deleted() {
    let mut d = pulled(&json!({"types": ["go"]}));
    answer_with(&mut d, &json!([{"type": "x", "streamPath": T}, {"type": "y", "streamPath": T}]));
    assert_eq!(d.delete(S, false).status, 200);
    d.work_off();
    assert_eq!(d.types(T)[1..], ["x", "y"]);
    assert_eq!(d.head(S), 0);
}

// For all below.

#[test]
fn a_subscription_for_all_below_is_there_before_the_first_delivery_of_children_old_and_new() {
    let mut d = Deployment::new();
    for n in 0..1_000 {
        d.append(&format!("/p/c{n}"), r#"{"type":"first"}"#);
    }
    control(&mut d, "/p", "breaker.configured", &json!({"limit": null}));
    settle_down(&mut d);
    d.now += SECOND;
    configure(&mut d, "/p", json!({"slug": "w", "target": {"pull": true}}), &json!({"children": true, "types": ["m"]}));
    // Half of them are told, then more are born, and some have their first event already.
    d.node("/p").alarm = None;
    for _ in 0..500 {
        let Some(call) = d.next_call("/p") else { break };
        let reply = d.hear(&call);
        d.settle("/p", &call, reply.as_deref());
    }
    d.rearm("/p");
    for n in 1_000..1_100 {
        d.append(&format!("/p/c{n}"), r#"{"type":"m"}"#);
    }
    settle_down(&mut d);
    for n in 0..1_100 {
        let path = format!("/p/c{n}");
        d.append(&path, r#"{"type":"m"}"#);
        let leased = d.lease(&path, "w");
        let types: Vec<u64> =
            d.log(&path).iter().filter(|it| it["type"] == "m").map(|it| it["offset"].as_u64().unwrap()).collect();
        assert_eq!((got(&leased), leased.replay, types.len()), (types, false, if n < 1_000 { 1 } else { 2 }), "{path}");
        let configured = d.log(&path).into_iter().find(|it| it["type"] == "subscription.configured").unwrap();
        assert_eq!(configured["cause"]["streamPath"], "/p");
    }
    control(&mut d, "/p", "subscription.removed", &json!({"slug": "w", "children": true}));
    settle_down(&mut d);
    d.append("/p/late", r#"{"type":"m"}"#);
    settle_down(&mut d);
    for path in ["/p/c0", "/p/c1050", "/p/late"] {
        assert_eq!(d.ask_lease(path, "w", 30).unwrap().code(), "not_found", "{path}");
    }
}

/// All alarms ring until none is set, however many there are.
fn settle_down(d: &mut Deployment) {
    for _ in 0..20 {
        let due: Vec<String> =
            d.nodes.iter().filter(|(_, node)| node.alarm.is_some()).map(|(path, _)| path.clone()).collect();
        if due.is_empty() {
            return;
        }
        for path in due {
            d.now = d.now.max(d.nodes[&path].alarm.unwrap_or(0));
            d.ring(&path, |_| Reach::Heard);
        }
    }
    panic!("the alarms never come to rest");
}

/// `/p` has a pulled subscription for all below, `/p/a` and `/p/b/c` exist, and nothing is owed.
fn tree() -> Deployment {
    let mut d = Deployment::new();
    for path in ["/p/a", "/p/b/c"] {
        d.append(path, r#"{"type":"first"}"#);
    }
    d.work_off();
    d.now += SECOND;
    configure(&mut d, "/p", json!({"slug": "w", "target": {"pull": true}}), &json!({"children": true, "types": ["m"]}));
    d.work_off();
    d
}

fn pick(d: &mut Deployment, path: &str, prefix: &str) -> (u16, Vec<String>, Option<Millis>) {
    let text = format!("w\n{prefix}\n30000");
    let said = d.ask(path, |stream, now| call::pick(stream, now, &text)).unwrap();
    let again = said.header("tailrace-again").map(|at| at.parse().unwrap());
    (said.status, said.body.lines().map(str::to_owned).collect(), again)
}

fn unpick(d: &mut Deployment, root: &str, picked: &[String]) {
    let text = format!("w\n{}\n{}", picked[0], picked[1]);
    d.ask(root, |stream, _| call::unpick(stream, &text)).unwrap();
}

#[test]
fn a_worker_is_sent_to_the_streams_below_that_have_something_due() {
    let mut d = tree();
    assert_eq!(pick(&mut d, "/p", "/p").0, 204);
    d.append("/p/b/c", r#"{"type":"other"}"#);
    d.work_off();
    assert_eq!(pick(&mut d, "/p", "/p").0, 204);
    d.append("/p/b/c", r#"{"type":"m"}"#);
    d.work_off();
    assert_eq!(pick(&mut d, "/p", "/p/a"), (204, vec![], None));
    assert_eq!(pick(&mut d, "/p/b", "/p/b").1, ["/p"], "it is asked where the subscription was configured");
    let now = d.now;
    let (_, picked, _) = pick(&mut d, "/p", "/p/b");
    assert_eq!(picked[0], "/p/b/c");
    // For so long nobody else is sent there.
    assert_eq!(pick(&mut d, "/p", "/p"), (204, vec![], Some(now + 30 * SECOND)));
    let leased = d.lease("/p/b/c", "w");
    d.done("/p/b/c", &leased);
    d.now += 30 * SECOND;
    let (_, picked, _) = pick(&mut d, "/p", "/p");
    assert_eq!(d.no_lease(&picked[0].clone(), "w"), None);
    unpick(&mut d, "/p", &picked);
    assert_eq!(pick(&mut d, "/p", "/p"), (204, vec![], None));
}

#[test]
fn a_stream_that_says_anew_that_something_is_due_is_not_forgotten_by_a_notice_before() {
    let mut d = tree();
    d.append("/p/a", r#"{"type":"m"}"#);
    d.work_off();
    let (_, picked, _) = pick(&mut d, "/p", "/p");
    let leased = d.lease("/p/a", "w");
    d.done("/p/a", &leased);
    d.append("/p/a", r#"{"type":"m"}"#);
    d.work_off();
    // The worker that was sent there before comes back late.
    unpick(&mut d, "/p", &picked);
    assert_eq!(pick(&mut d, "/p", "/p").1[0], "/p/a");
}

#[test]
fn a_failed_attempt_below_is_told_with_the_time_at_which_it_is_due() {
    let mut d = tree();
    d.append("/p/a", r#"{"type":"m"}"#);
    d.work_off();
    let (_, picked, _) = pick(&mut d, "/p", "/p");
    let leased = d.lease(&picked[0].clone(), "w");
    let failed_at = d.now;
    d.settle_lease("/p/a", &json!({"lease": leased.lease, "error": "not now"}));
    d.work_off();
    let (status, _, again) = pick(&mut d, "/p", "/p");
    let again = again.unwrap();
    assert!(status == 204 && (4 * SECOND..=6 * SECOND).contains(&(again - failed_at)), "{}", again - failed_at);
    d.now = again;
    assert_eq!(pick(&mut d, "/p", "/p").1[0], "/p/a");
}

#[test]
fn the_news_that_something_is_due_below_is_owed_until_it_arrives() {
    let mut d = tree();
    d.append("/p/a", r#"{"type":"m"}"#);
    let mut calls = 0;
    d.work_off_with(|call| {
        calls += u32::from(matches!(call.message, Message::Due { .. }));
        if calls < 4 { Reach::Lost } else { Reach::Heard }
    });
    assert_eq!(calls, 4);
    assert_eq!(pick(&mut d, "/p", "/p").1[0], "/p/a");
}

#[test]
fn a_stream_below_that_was_held_up_by_what_waits_there_is_found_again() {
    let mut d = tree();
    let config = json!({"slug": "w", "target": {"pull": true}});
    configure(&mut d, "/p", config, &json!({"children": true, "types": ["m"], "batch": 1}));
    d.append(T, r#"[{"type":"breaker.configured","payload":{"limit":null}},{"type":"stream.paused"}]"#);
    d.work_off();
    d.append("/p/a", r#"[{"type":"m"},{"type":"m"}]"#);
    d.work_off();
    let leased = d.lease("/p/a", "w");
    let many = vec![json!({"type": "x", "streamPath": T}); 1_000];
    d.settle_lease("/p/a", &json!({"lease": leased.lease, "append": many}));
    d.work("/p/a", |_| Reach::Heard);
    let (_, picked, _) = pick(&mut d, "/p", "/p");
    assert_eq!(d.no_lease("/p/a", "w"), None);
    unpick(&mut d, "/p", &picked);
    assert_eq!(pick(&mut d, "/p", "/p").0, 204);
    d.evict("/p/a");
    d.append(T, r#"{"type":"stream.resumed"}"#);
    d.now += 60 * SECOND;
    d.work("/p/a", |_| Reach::Heard);
    assert_eq!(pick(&mut d, "/p", "/p").1[0], "/p/a");
    assert_eq!(d.lease("/p/a", "w").events.len(), 1);
}
