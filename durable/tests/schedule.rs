//! Schedules in a stream: what is appended when, once for each occurrence, whatever sleeps or dies.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(missing_docs, reason = "a test's name says it")]

mod support;

use serde_json::{Value, json};
use support::deployment::Reach;
use support::{Deployment, START};
use tailrace_model::control::Control;
use tailrace_model::deployment::Nowhere;
use tailrace_model::limits;
use tailrace_model::problem::Problem;
use tailrace_model::time::{Millis, from_rfc3339, to_rfc3339};

const S: &str = "/s";

const SECOND: Millis = 1_000;
const HOUR: Millis = 3_600 * SECOND;
const DAY: Millis = 24 * HOUR;

/// A stream with one event behind its birth, so that the next offset is 3. It owes nothing.
fn born() -> Deployment {
    let mut d = Deployment::new();
    assert_eq!(d.append(S, r#"{"type":"first"}"#).offsets(), [2]);
    d.work_off();
    d.now = START;
    d
}

fn set(d: &mut Deployment, slug: &str, when: &Value) -> u64 {
    let mut payload = json!({"slug": slug, "event": {"type": "tick", "payload": {"of": slug}}});
    for (name, value) in when.as_object().unwrap() {
        payload[name] = value.clone();
    }
    let said = d.append(S, &json!({"type": "schedule.configured", "payload": payload}).to_string());
    assert_eq!(said.status, 200, "{}", said.body);
    said.offsets()[0]
}

fn append(d: &mut Deployment, event_type: &str, payload: &Value) {
    let said = d.append(S, &json!({"type": event_type, "payload": payload}).to_string());
    assert_eq!(said.status, 200, "{}", said.body);
}

/// The alarms ring at their time up to `until`, which it is then.
fn run(d: &mut Deployment, until: Millis) {
    while let Some(at) = d.node(S).alarm.filter(|at| *at <= until) {
        d.now = d.now.max(at);
        assert!(d.ring(S, |_| Reach::Heard));
    }
    d.now = d.now.max(until);
}

/// What fired: which schedule, the seconds after the beginning at which it was due, and the run.
fn fired(d: &mut Deployment) -> Vec<(String, i64, u64)> {
    let log = d.log(S);
    let ticks = log.iter().filter(|event| event["type"] == "tick");
    ticks
        .map(|event| {
            let schedule = &event["metadata"]["tailrace"]["schedule"];
            let due = from_rfc3339(schedule["scheduledFor"].as_str().unwrap()).unwrap();
            assert_eq!(event["payload"]["of"], schedule["slug"]);
            assert!(from_rfc3339(event["createdAt"].as_str().unwrap()).unwrap() >= due, "too early: {event}");
            (schedule["slug"].as_str().unwrap().to_owned(), (due - START) / SECOND, schedule["run"].as_u64().unwrap())
        })
        .collect()
}

fn due(d: &mut Deployment) -> Vec<i64> {
    fired(d).into_iter().map(|(_, due, _)| due).collect()
}

fn ended(d: &mut Deployment) -> Option<Value> {
    d.log(S).into_iter().find(|event| event["type"] == "schedule.ended").map(|event| event["payload"].clone())
}

fn is_set(d: &mut Deployment) -> bool {
    let in_rows = d.database(S).number("SELECT count(*) FROM schedules").unwrap() > 0;
    let in_state = !d.state(S, None).json()["schedules"].as_object().unwrap().is_empty();
    assert_eq!(in_rows, in_state);
    in_rows
}

#[test]
fn an_instant_and_a_delay_fire_once_and_end() {
    for (when, at) in [
        (json!({"at": to_rfc3339(START + 90 * SECOND)}), 90),
        (json!({"at": "2026-01-01T01:01:30+01:00"}), 90),
        (json!({"after": 90_000}), 90),
        (json!({"after": "PT1M30S"}), 90),
        (json!({"after": 0}), 0),
    ] {
        let mut d = born();
        assert_eq!(set(&mut d, "s", &when), 3);
        assert_eq!(d.stream(S).next_alarm(), Some(START + at * SECOND));
        if at > 0 {
            d.now = START + at * SECOND - 1;
            d.work(S, |_| Reach::Heard);
            assert_eq!(fired(&mut d), [], "not before");
        }
        run(&mut d, START + HOUR);
        assert_eq!(fired(&mut d), [("s".to_owned(), at, 1)], "{when}");
        assert_eq!(ended(&mut d), Some(json!({"slug": "s", "reason": "completed", "runs": 1})));
        assert!(!is_set(&mut d) && d.stream(S).next_alarm().is_none());
        let log = d.log(S);
        assert_eq!(log[3]["cause"], json!({"streamPath": S, "offset": 3, "hops": 0, "turns": 0}));
        assert_eq!(log[3]["metadata"]["tailrace"]["by"], "schedule:s");
    }
}

#[test]
fn an_instant_that_is_past_fires_once_at_once() {
    let mut d = born();
    set(&mut d, "s", &json!({"at": "1999-12-31T23:59:59Z"}));
    d.work(S, |_| Reach::Heard);
    d.work(S, |_| Reach::Heard);
    assert_eq!(fired(&mut d).len(), 1);
    assert_eq!(d.log(S)[3]["metadata"]["tailrace"]["schedule"]["scheduledFor"], "1999-12-31T23:59:59.000Z");
    assert!(!is_set(&mut d));
}

#[test]
fn a_number_of_runs_or_an_instant_ends_a_schedule() {
    for (more, due_at, reason) in [
        (json!({"every": 10_000, "maxRuns": 3}), vec![10, 20, 30], "maxRuns"),
        (json!({"every": 10_000, "until": to_rfc3339(START + 40 * SECOND)}), vec![10, 20, 30, 40], "until"),
        (json!({"every": 10_000, "until": to_rfc3339(START + 39 * SECOND)}), vec![10, 20, 30], "until"),
        (json!({"cron": "*/30 * * * * *", "maxRuns": 2}), vec![30, 60], "maxRuns"),
    ] {
        let mut d = born();
        set(&mut d, "s", &more);
        run(&mut d, START + HOUR);
        assert_eq!(due(&mut d), due_at, "{more}");
        assert_eq!(ended(&mut d), Some(json!({"slug": "s", "reason": reason, "runs": due_at.len()})), "{more}");
        assert!(!is_set(&mut d));
    }
}

#[test]
fn a_schedule_whose_end_is_past_ends_without_firing() {
    for when in [
        json!({"every": 10_000}),
        json!({"every": 10_000, "maxRuns": 1}),
        json!({"cron": "* * * * *"}),
        json!({"after": 5_000}),
    ] {
        let mut d = born();
        let mut payload = when.clone();
        payload["until"] = json!("2025-12-31T00:00:00Z");
        set(&mut d, "s", &payload);
        run(&mut d, START + HOUR);
        assert_eq!(fired(&mut d), [], "{when}");
        assert_eq!(ended(&mut d), Some(json!({"slug": "s", "reason": "until", "runs": 0})), "{when}");
        assert!(!is_set(&mut d));
    }
}

#[test]
fn what_was_missed_up_to_the_end_is_its_last_occurrence_before_it() {
    let mut d = born();
    set(&mut d, "s", &json!({"every": 10_000, "until": to_rfc3339(START + 45 * SECOND)}));
    run(&mut d, START + 15 * SECOND);
    d.now = START + DAY;
    d.work(S, |_| Reach::Heard);
    assert_eq!(due(&mut d), [10, 40]);
    assert_eq!(ended(&mut d), Some(json!({"slug": "s", "reason": "until", "runs": 2})));
}

/// The seconds after the beginning at which the state says that `s` fires next.
fn coming(d: &mut Deployment) -> Vec<Millis> {
    let state = d.state(S, None).json();
    let runs = state["schedules"]["s"]["nextRuns"].as_array().unwrap().clone();
    runs.iter().map(|at| (from_rfc3339(at.as_str().unwrap()).unwrap() - START) / SECOND).collect()
}

#[test]
fn the_state_tells_the_next_occurrences() {
    let mut d = born();
    for (when, expected) in [
        (json!({"every": 10_000}), vec![10, 20, 30]),
        (json!({"every": 10_000, "maxRuns": 2}), vec![10, 20]),
        (json!({"every": 10_000, "until": to_rfc3339(START + 25 * SECOND)}), vec![10, 20]),
        (json!({"after": 60_000}), vec![60]),
        (json!({"at": to_rfc3339(START + 5 * SECOND)}), vec![5]),
        (json!({"cron": "0 */15 * * * *"}), vec![900, 1_800, 2_700]),
    ] {
        set(&mut d, "s", &when);
        let begun = START - START.rem_euclid(900 * SECOND);
        let off = if when.get("cron").is_some() { (begun - START) / SECOND } else { 0 };
        assert_eq!(coming(&mut d), expected.iter().map(|at| at + off).collect::<Vec<_>>(), "{when}");
    }
    set(&mut d, "s", &json!({"every": 10_000, "maxRuns": 3}));
    run(&mut d, START + 15 * SECOND);
    d.evict(S);
    assert_eq!(coming(&mut d), [20, 30]);
}

#[test]
fn configured_again_a_schedule_begins_anew_and_removed_it_is_silent() {
    let mut d = born();
    set(&mut d, "s", &json!({"every": 10_000}));
    run(&mut d, START + 25 * SECOND);
    set(&mut d, "s", &json!({"every": 20_000}));
    assert_eq!(d.state(S, None).json()["schedules"]["s"]["runs"], 0);
    d.evict(S);
    run(&mut d, START + 70 * SECOND);
    let due = |due: i64, run| ("s".to_owned(), due, run);
    assert_eq!(fired(&mut d), [due(10, 1), due(20, 2), due(45, 1), due(65, 2)]);
    append(&mut d, "schedule.removed", &json!({"slug": "s"}));
    assert_eq!(d.stream(S).next_alarm(), None);
    d.evict(S);
    run(&mut d, START + HOUR);
    assert_eq!(fired(&mut d).len(), 4);
    assert_eq!((is_set(&mut d), ended(&mut d)), (false, None));
}

#[test]
fn what_is_due_in_the_same_second_fires_in_the_order_it_was_due_and_was_configured() {
    let mut d = born();
    // Their names say another order than that in which they are configured.
    for n in 0..9 {
        set(&mut d, &format!("z{}", 9 - n), &json!({"at": to_rfc3339(START + HOUR)}));
    }
    set(&mut d, "earlier", &json!({"at": to_rfc3339(START + HOUR - 500)}));
    set(&mut d, "later", &json!({"at": to_rfc3339(START + HOUR + 500)}));
    d.now = START + HOUR + SECOND;
    d.work(S, |_| Reach::Heard);
    let order: Vec<String> = fired(&mut d).into_iter().map(|(slug, ..)| slug).collect();
    assert_eq!(order, ["earlier", "z9", "z8", "z7", "z6", "z5", "z4", "z3", "z2", "z1", "later"]);
}

#[test]
fn after_downtime_what_was_missed_is_one_occurrence_and_the_grid_stays() {
    let mut d = born();
    d.now = START + 7 * SECOND;
    set(&mut d, "s", &json!({"every": 10_000}));
    run(&mut d, START + 20 * SECOND);
    d.evict(S);
    d.now = START + 100 * SECOND;
    run(&mut d, START + 130 * SECOND);
    let due = |due: i64, run| ("s".to_owned(), due, run);
    assert_eq!(fired(&mut d), [due(17, 1), due(97, 2), due(107, 3), due(117, 4), due(127, 5)]);
}

#[test]
fn while_paused_nothing_fires_and_afterwards_once() {
    let mut d = born();
    set(&mut d, "s", &json!({"every": 10_000}));
    set(&mut d, "once", &json!({"after": 15_000}));
    run(&mut d, START + 10 * SECOND);
    append(&mut d, "stream.paused", &json!({}));
    assert_eq!(d.stream(S).next_alarm(), None);
    d.now = START + HOUR + 5 * SECOND;
    d.work(S, |_| Reach::Heard);
    assert_eq!(fired(&mut d).len(), 1);
    append(&mut d, "stream.resumed", &json!({}));
    run(&mut d, START + HOUR + 20 * SECOND);
    let due: Vec<_> = fired(&mut d).into_iter().map(|(slug, due, run)| format!("{slug} {due} {run}")).collect();
    assert_eq!(due, ["s 10 1", "once 15 1", "s 3600 2", "s 3610 3", "s 3620 4"]);
}

#[test]
fn a_heartbeat_every_second_fires_each_second_of_a_day_and_never_drifts() {
    let mut d = born();
    d.now = START + 7;
    set(&mut d, "s", &json!({"every": 1_000}));
    let mut late = 0;
    for second in 1..=86_400 {
        // The alarm is a little late, now this much and now that, but never a whole second.
        late = (late * 31 + 17) % 997;
        d.now = START + 7 + second * SECOND + late;
        if second % 9_973 == 0 {
            d.evict(S);
        }
        assert!(d.ring(S, |_| Reach::Heard), "{second}");
        assert_eq!(d.stream(S).next_alarm(), Some(START + 7 + (second + 1) * SECOND));
    }
    let fired = fired(&mut d);
    assert_eq!(fired.len(), 86_400);
    assert!(fired.iter().zip(1..).all(|((_, due, run), n)| *due == n && *run == u64::try_from(n).unwrap()));
    assert!(!d.is_paused(S), "once a second is far from the breaker's limit");
}

#[test]
fn cron_follows_the_wall_clock_through_both_changes_of_daylight_saving() {
    for (cron, from, to, expected) in [
        // 29 March 2026: 02:00 becomes 03:00 in Berlin.
        (
            "30 2 * * *",
            "2026-03-28T00:00:00Z",
            "2026-03-30T12:00:00Z",
            vec!["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"],
        ),
        (
            "0 9 * * *",
            "2026-03-28T00:00:00Z",
            "2026-03-30T12:00:00Z",
            vec!["2026-03-28T08:00", "2026-03-29T07:00", "2026-03-30T07:00"],
        ),
        // 25 October 2026: 03:00 becomes 02:00.
        (
            "30 2 * * *",
            "2026-10-24T00:00:00Z",
            "2026-10-26T12:00:00Z",
            vec!["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"],
        ),
        (
            "*/30 * * * *",
            "2026-10-24T23:45:00Z",
            "2026-10-25T02:15:00Z",
            vec!["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30", "2026-10-25T02:00"],
        ),
    ] {
        let mut d = born();
        d.now = from_rfc3339(from).unwrap();
        set(&mut d, "s", &json!({"cron": cron, "timezone": "Europe/Berlin"}));
        run(&mut d, from_rfc3339(to).unwrap());
        let created: Vec<String> = d
            .log(S)
            .iter()
            .filter(|it| it["type"] == "tick")
            .map(|it| it["createdAt"].as_str().unwrap()[..16].to_owned())
            .collect();
        assert_eq!(created, expected, "{cron} {from}");
    }
}

#[test]
fn the_breaker_counts_what_schedules_append_and_the_rest_waits_for_a_person() {
    let mut d = born();
    append(&mut d, "breaker.configured", &json!({"limit": 3, "windowMs": 1_000}));
    for n in 0..6 {
        d.now += SECOND;
        set(&mut d, &format!("s{n}"), &json!({"at": to_rfc3339(START + HOUR)}));
    }
    run(&mut d, START + 2 * HOUR);
    assert_eq!(fired(&mut d).len(), 4);
    assert!(d.is_paused(S) && d.stream(S).next_alarm().is_none());
    append(&mut d, "stream.resumed", &json!({}));
    run(&mut d, START + 3 * HOUR);
    assert_eq!(fired(&mut d).len(), 6);
}

#[test]
fn a_scheduled_event_has_no_power_over_streams_tools_or_the_schedule_itself() {
    for event_type in [
        "stream.paused",
        "stream.resumed",
        "breaker.configured",
        "schedule.configured",
        "subscription.configured",
        "webhook.received",
        "imported.x",
        "stream.created",
        "tool.configured",
        "tool.approved",
        "tool.denied",
    ] {
        let payload = json!({"slug": "s", "after": 1_000, "event": {"type": event_type}}).to_string();
        let refused = Control::check("schedule.configured", &payload, &Nowhere);
        assert!(
            matches!(&refused, Err(Problem::InvalidControlEvent { field, .. }) if field == "payload.event.type"),
            "{event_type} {refused:?}"
        );
    }
    let fine = json!({"slug": "s", "after": 1_000, "event": {"type": "error.occurred"}}).to_string();
    assert!(Control::check("schedule.configured", &fine, &Nowhere).is_ok());
}

#[test]
fn a_stream_has_a_thousand_schedules_and_no_more_and_all_of_them_fire() {
    let mut d = born();
    append(&mut d, "breaker.configured", &json!({"limit": null}));
    for n in 0..limits::SCHEDULES {
        set(&mut d, &format!("s{n}"), &json!({"at": to_rfc3339(START + HOUR)}));
    }
    let more = json!({"slug": "more", "after": 1_000, "event": {"type": "tick"}});
    let said = d.append(S, &json!({"type": "schedule.configured", "payload": more}).to_string());
    assert_eq!((said.status, said.code().as_str()), (413, "too_large"));
    set(&mut d, "s7", &json!({"at": to_rfc3339(START + HOUR)}));
    run(&mut d, START + 2 * HOUR);
    assert_eq!(fired(&mut d).len(), limits::SCHEDULES);
    assert!(!is_set(&mut d));
    set(&mut d, "more", &json!({"after": 1}));
}

#[test]
fn a_crash_between_any_two_transactions_fires_nothing_twice_and_loses_nothing() {
    // The process dies before the commit of every n-th transaction, or right behind it.
    for n in 1..=7 {
        for behind in [false, true] {
            let mut d = born();
            set(&mut d, "a", &json!({"every": 2_000, "maxRuns": 5}));
            set(&mut d, "b", &json!({"every": 3_000, "maxRuns": 4}));
            set(&mut d, "c", &json!({"after": 6_000}));
            let mut transactions = 0;
            while let Some(at) = d.node(S).alarm {
                d.now = d.now.max(at);
                d.node(S).alarm = None;
                loop {
                    transactions += 1;
                    let dies = transactions % n == 0 && transactions < 30;
                    d.crash_next = dies && !behind;
                    let call = d.next_call(S);
                    if dies {
                        d.evict(S);
                    }
                    if dies || call.is_none() {
                        break;
                    }
                }
                d.crash_next = false;
                d.rearm(S);
            }
            let mut fired = fired(&mut d);
            fired.sort();
            let due = |slug: &str, due: i64, run| (slug.to_owned(), due, run);
            let mut expected: Vec<_> = (1..=5).map(|run| due("a", 2 * run, u64::try_from(run).unwrap())).collect();
            expected.extend((1..=4).map(|run| due("b", 3 * run, u64::try_from(run).unwrap())));
            expected.push(due("c", 6, 1));
            assert_eq!(fired, expected, "{n} {behind}");
            assert!(!is_set(&mut d));
        }
    }
}

#[test]
fn an_occurrence_costs_its_event_and_its_row() {
    let mut d = born();
    set(&mut d, "s", &json!({"every": 1_000}));
    d.now += SECOND;
    assert!(d.next_call(S).is_none());
    assert_eq!((d.written, d.head(S)), (2, 4));
    assert!(d.next_call(S).is_none());
    assert_eq!(d.written, 0, "a wake with nothing due writes nothing");
}
