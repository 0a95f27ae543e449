//! Schedules: each occurrence is appended once, on time, on its grid, whatever was asleep or dead when it was due.

use std::time::Duration;

use serde_json::{Value, json};
use tailrace_tests::runtime::a_stream;
use tailrace_tests::{Runtime, Stream, Subscriber, millis, now_ms, rfc3339, until, until_within};

async fn schedule(stream: &Stream, payload: Value) -> Value {
    stream.append(json!({"type": "schedule.configured", "payload": payload})).await.event()
}

async fn occurrences(stream: &Stream, count: usize) -> Vec<Value> {
    until(&format!("{} has {count} occurrences", stream.path), || async {
        Some(stream.of_type("due").await).filter(|events| events.len() >= count)
    })
    .await
}

fn scheduled_for(event: &Value) -> i64 {
    millis(&event["metadata"]["tailrace"]["schedule"]["scheduledFor"])
}

fn run(event: &Value) -> u64 {
    event["metadata"]["tailrace"]["schedule"]["run"].as_u64().unwrap()
}

#[tokio::test]
async fn a_period_is_kept_without_drift() {
    let stream = a_stream();
    let event = json!({"type": "due", "payload": {"n": 1.50}, "metadata": {"m": "ü"}});
    let configured = schedule(&stream, json!({"slug": "s", "every": 1_000, "event": event})).await;

    let fired = occurrences(&stream, 3).await;

    let begun = millis(&configured["createdAt"]);
    for (index, event) in fired.iter().enumerate() {
        let number = i64::try_from(index).unwrap() + 1;
        assert_eq!((&event["payload"], &event["metadata"]["m"]), (&json!({"n": 1.5}), &json!("ü")));
        assert_eq!(event["metadata"]["tailrace"]["by"], "schedule:s");
        assert_eq!(event["metadata"]["tailrace"]["schedule"]["slug"], "s");
        assert_eq!((scheduled_for(event), run(event)), (begun + number * 1_000, index as u64 + 1), "{event}");
        assert!((0..900).contains(&(millis(&event["createdAt"]) - scheduled_for(event))), "{event}");
        assert_eq!(event["cause"]["offset"], configured["offset"]);
    }
    let state = &stream.state().await["schedules"]["s"];
    assert_eq!((&state["every"], &state["event"]["type"]), (&json!(1_000), &json!("due")));
    let (runs, next) = (state["runs"].as_i64().unwrap(), millis(&state["nextRun"]));
    assert!(runs >= 3 && next == begun + (runs + 1) * 1_000, "{state}");
}

#[tokio::test]
async fn what_is_due_once_comes_once_and_ends() {
    let due = json!({"type": "due"});
    let soon = now_ms() + 1_200;
    for (when, expected) in [
        (json!({"at": rfc3339(soon)}), Some(soon)),
        (json!({"at": "2001-02-03T04:05:06+01:00"}), Some(millis(&json!("2001-02-03T03:05:06Z")))),
        (json!({"after": 0}), None),
        (json!({"after": 700}), None),
        (json!({"after": "PT0.7S"}), None),
    ] {
        let stream = a_stream();
        let mut payload = when.clone();
        payload["slug"] = json!("s");
        payload["event"] = due.clone();
        let configured = schedule(&stream, payload).await;

        let ended = stream.wait_for("schedule.ended").await;

        assert_eq!(ended["payload"], json!({"slug": "s", "reason": "completed", "runs": 1}), "{when}");
        let fired = stream.of_type("due").await;
        assert_eq!(fired.len(), 1, "{when}");
        let delay = if when["after"] == 0 { 0 } else { 700 };
        assert_eq!(scheduled_for(&fired[0]), expected.unwrap_or(millis(&configured["createdAt"]) + delay), "{when}");
        assert!(millis(&fired[0]["createdAt"]) >= scheduled_for(&fired[0]), "{when}");
        assert_eq!(stream.state().await["schedules"], json!({}), "{when}");
    }
}

#[tokio::test]
async fn cron_follows_the_clock() {
    let stream = a_stream();
    let event = json!({"type": "due"});
    schedule(&stream, json!({"slug": "s", "cron": "* * * * * *", "event": event})).await;
    // Nepal is 5:45 ahead of UTC, all year.
    let zone = "Asia/Kathmandu";
    schedule(&stream, json!({"slug": "daily", "cron": "0 9 * * *", "timezone": zone, "event": event})).await;

    let fired = occurrences(&stream, 3).await;

    for pair in fired.windows(2) {
        assert_eq!(scheduled_for(&pair[1]) - scheduled_for(&pair[0]), 1_000);
    }
    assert_eq!(scheduled_for(&fired[0]) % 1_000, 0);
    let daily = &stream.state().await["schedules"]["daily"];
    assert!(daily["nextRun"].as_str().unwrap().contains("T03:15:00"), "{daily}");
    assert_eq!((&daily["cron"], &daily["timezone"]), (&json!("0 9 * * *"), &json!(zone)));
    let runs: Vec<i64> = daily["nextRuns"].as_array().unwrap().iter().map(millis).collect();
    assert_eq!(runs, [0, 1, 2].map(|days| millis(&daily["nextRun"]) + days * 86_400_000), "{daily}");
}

#[tokio::test]
async fn what_is_not_right_in_a_schedule_is_named() {
    let stream = a_stream();
    for (payload, field) in [
        (json!({"slug": "a/b", "every": 1_000}), "slug"),
        (json!({"slug": "", "every": 1_000}), "slug"),
        (json!({"every": 1_000}), "slug"),
        (json!({"slug": "s"}), "at"),
        (json!({"slug": "s", "at": "tomorrow"}), "at"),
        (json!({"slug": "s", "at": "2026-13-01T00:00:00Z"}), "at"),
        (json!({"slug": "s", "at": "2026-01-01T00:00:00"}), "at"),
        (json!({"slug": "s", "at": 1_700_000_000}), "at"),
        (json!({"slug": "s", "after": -1}), "after"),
        (json!({"slug": "s", "after": "1h"}), "after"),
        (json!({"slug": "s", "after": "P1M"}), "after"),
        (json!({"slug": "s", "every": 999}), "every"),
        (json!({"slug": "s", "every": "PT0.5S"}), "every"),
        (json!({"slug": "s", "every": "P200Y"}), "every"),
        (json!({"slug": "s", "every": 1_000, "after": 1_000}), "after"),
        (json!({"slug": "s", "at": "2026-01-01T00:00:00Z", "every": 1_000}), "every"),
        (json!({"slug": "s", "every": 1_000, "cron": "* * * * *"}), "every"),
        (json!({"slug": "s", "at": "2026-01-01T00:00:00Z", "cron": "* * * * *"}), "cron"),
        (json!({"slug": "s", "cron": "often"}), "cron"),
        (json!({"slug": "s", "cron": "* * * *"}), "cron"),
        (json!({"slug": "s", "cron": "61 * * * *"}), "cron"),
        (json!({"slug": "s", "cron": "0 0 30 2 *"}), "cron"),
        (json!({"slug": "s", "cron": "* * * * *", "timezone": "Mars/Olympus"}), "timezone"),
        (json!({"slug": "s", "every": 1_000, "timezone": "Europe/Berlin"}), "timezone"),
        (json!({"slug": "s", "every": 1_000, "maxRuns": 0}), "maxRuns"),
        (json!({"slug": "s", "every": 1_000, "until": "soon"}), "until"),
        (json!({"slug": "s", "at": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}), "until"),
        (json!({"slug": "s", "every": 1_000, "often": true}), "often"),
        (json!({"slug": "s", "every": 1_000, "children": "yes"}), "children"),
        (json!({"slug": "s", "every": 1_000, "event": null}), "event"),
        (json!({"slug": "s", "every": 1_000, "event": "due"}), "event"),
        (json!({"slug": "s", "every": 1_000, "event": {}}), "event.type"),
        (json!({"slug": "s", "every": 1_000, "event": {"type": ""}}), "event.type"),
        (json!({"slug": "s", "every": 1_000, "event": {"type": "stream.paused"}}), "event.type"),
        (json!({"slug": "s", "every": 1_000, "event": {"type": "stream.resumed"}}), "event.type"),
        (json!({"slug": "s", "every": 1_000, "event": {"type": "stream.other"}}), "event.type"),
        (json!({"slug": "s", "every": 1_000, "event": {"type": "tool.approved"}}), "event.type"),
        (json!({"slug": "s", "every": 1_000, "event": {"type": "tool.configured"}}), "event.type"),
        (json!({"slug": "s", "every": 1_000, "event": {"type": "due", "offset": 3}}), "event.offset"),
        (json!({"slug": "s", "every": 1_000, "event": {"type": "due", "idempotencyKey": "k"}}), "event.idempotencyKey"),
        (json!({"slug": "s", "every": 1_000, "event": {"type": "due", "cause": {"offset": 1}}}), "event.cause"),
        (json!({"slug": "s", "every": 1_000, "event": {"type": "due", "what": 1}}), "event.what"),
        (json!({"slug": "s", "every": 1_000, "event": {"type": "due", "metadata": 1}}), "event.metadata"),
        (json!({"slug": "s", "every": 1_000, "event": {"type": "due", "payload": "x".repeat(257 * 1_024)}}), "event"),
    ] {
        let mut payload = payload;
        if payload.get("event").is_none() {
            payload["event"] = json!({"type": "due"});
        }
        let answer = stream.append(json!({"type": "schedule.configured", "payload": payload})).await;
        let problem = answer.problem(422, "invalid_control_event");
        assert_eq!(problem["field"], format!("payload.{field}"), "{problem}");
    }
    assert_eq!(stream.head().await.status, 404, "nothing was written");
}

#[tokio::test]
async fn a_schedule_that_is_set_anew_takes_the_place_of_the_old_one() {
    let stream = a_stream();
    schedule(&stream, json!({"slug": "s", "every": 1_000, "event": {"type": "old"}})).await;
    stream.wait_for("old").await;

    let anew = schedule(&stream, json!({"slug": "s", "every": 1_000, "event": {"type": "due"}})).await;

    let fired = occurrences(&stream, 2).await;
    assert_eq!((run(&fired[0]), scheduled_for(&fired[0])), (1, millis(&anew["createdAt"]) + 1_000));
    let types: Vec<_> = stream.page(&format!("?afterOffset={}", anew["offset"])).await;
    assert!(types.iter().all(|event| event["type"] == "due"), "{types:?}");
    assert_eq!(stream.state().await["schedules"].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn a_schedule_that_is_removed_is_silent() {
    let stream = a_stream();
    schedule(&stream, json!({"slug": "s", "every": 1_000, "event": {"type": "gone"}})).await;
    schedule(&stream, json!({"slug": "other", "every": 1_000, "event": {"type": "due"}})).await;
    stream.wait_for("gone").await;

    let removed = stream.append(json!({"type": "schedule.removed", "payload": {"slug": "s"}})).await.offset();

    occurrences(&stream, 4).await;
    assert!(stream.of_type("gone").await.iter().all(|event| event["offset"].as_u64().unwrap() < removed));
    let state = stream.state().await;
    assert_eq!((&state["schedules"]["s"], state["schedules"]["other"].is_object()), (&Value::Null, true));
}

#[tokio::test]
async fn a_schedule_ends_after_so_many_runs_or_with_a_time() {
    let stream = a_stream();
    let event = |name: &str| json!({"type": "due", "payload": name});
    schedule(&stream, json!({"slug": "runs", "every": 1_000, "maxRuns": 2, "event": event("runs")})).await;
    let until_then = rfc3339(now_ms() + 2_800);
    schedule(&stream, json!({"slug": "until", "every": "PT1S", "until": until_then, "event": event("until")})).await;
    let past = json!({"slug": "past", "every": 1_000, "until": rfc3339(now_ms() - 10_000), "event": event("past")});
    schedule(&stream, past).await;

    until("all have ended", || async { (stream.of_type("schedule.ended").await.len() == 3).then_some(()) }).await;

    let ended = stream.of_type("schedule.ended").await;
    let reason = |slug: &str| {
        let found = ended.iter().find(|it| it["payload"]["slug"] == slug).unwrap();
        found["payload"]["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!((reason("runs"), reason("until"), reason("past")), ("maxRuns".into(), "until".into(), "until".into()));
    let fired = stream.of_type("due").await;
    let count = |name: &str| fired.iter().filter(|it| it["payload"] == name).count();
    assert_eq!((count("runs"), count("until"), count("past")), (2, 2, 0));
    assert_eq!(stream.state().await["schedules"], json!({}));
}

#[tokio::test]
async fn what_was_due_during_a_pause_comes_as_one_when_it_is_over() {
    let stream = a_stream();
    let configured = schedule(&stream, json!({"slug": "s", "every": 1_000, "event": {"type": "due"}})).await;
    occurrences(&stream, 1).await;
    let paused = stream.say("stream.paused").await;
    tokio::time::sleep(Duration::from_millis(3_300)).await;
    assert_eq!(stream.head_offset().await, paused, "nothing while it is paused");

    let resumed = stream.append(json!({"type": "stream.resumed"})).await.event();

    let begun = millis(&configured["createdAt"]);
    let before = stream.of_type("due").await.iter().filter(|it| it["offset"].as_u64() < Some(paused)).count();
    let fired = occurrences(&stream, before + 2).await;
    let (late, next) = (&fired[before], &fired[before + 1]);
    let since = millis(&resumed["createdAt"]) - begun;
    assert_eq!(scheduled_for(late), begun + since / 1_000 * 1_000, "the latest of those that were missed");
    assert_eq!(scheduled_for(next), scheduled_for(late) + 1_000);
    assert_eq!((run(late), run(next)), (before as u64 + 1, before as u64 + 2));
}

#[tokio::test]
async fn what_was_due_while_the_system_was_down_comes_as_one_when_it_is_up() {
    let mut runtime = Runtime::with().start();
    let stream = runtime.a_stream();
    let configured = schedule(&stream, json!({"slug": "s", "every": 1_000, "event": {"type": "due"}})).await;
    let once = json!({"slug": "once", "after": 1_500, "event": {"type": "once"}});
    schedule(&stream, once).await;
    let before = occurrences(&stream, 1).await.len();

    runtime.kill();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let down = now_ms();
    runtime.start_again();
    let stream = stream.by(&runtime.client());

    let fired = occurrences(&stream, before + 3).await;
    let begun = millis(&configured["createdAt"]);
    let late = &fired[before];
    assert!(millis(&late["createdAt"]) >= down, "{late}");
    assert!(scheduled_for(late) > down - 1_100, "the latest of those that were missed: {late}");
    for pair in fired[before..].windows(2) {
        assert_eq!(scheduled_for(&pair[1]) - scheduled_for(&pair[0]), 1_000);
        assert_eq!(run(&pair[1]), run(&pair[0]) + 1);
    }
    assert_eq!(((scheduled_for(late) - begun) % 1_000, run(late)), (0, before as u64 + 1));
    assert_eq!(stream.of_type("once").await.len(), 1);
}

#[tokio::test]
async fn a_stream_that_sleeps_is_woken_by_its_schedule_and_nobody_else() {
    let mut runtime = Runtime::with().start();
    let (stream, subscriber) = (runtime.a_stream(), Subscriber::willing().await);
    stream.subscribe("s", &subscriber.target(), json!({"types": ["due"]})).await;
    let configured = schedule(&stream, json!({"slug": "s", "after": 4_000, "event": {"type": "due"}})).await;

    runtime.kill_and_restart();
    // The local runtime knows of no alarm before somebody asks for an object of its kind; another one does.
    let _ = runtime.a_stream().head().await;

    let received = subscriber.first().await;
    assert_eq!(scheduled_for(&received.events()[0]), millis(&configured["createdAt"]) + 4_000);
    assert!(now_ms() >= millis(&configured["createdAt"]) + 4_000);
    let stream = stream.by(&runtime.client());
    stream.wait_for("schedule.ended").await;
    assert_eq!((stream.of_type("due").await.len(), subscriber.count()), (1, 1));
}

#[tokio::test]
async fn many_that_are_due_at_once_all_come_once_and_in_order() {
    let stream = a_stream().without_breaker().await;
    let at = rfc3339(now_ms() + 1_500);
    let one = |n: u64| {
        let payload = json!({"slug": format!("s{n}"), "at": at, "event": {"type": "due", "payload": n}});
        json!({"type": "schedule.configured", "payload": payload})
    };
    let _ = stream.append((1..=1_000).map(one).collect()).await.ok();
    // No more than that.
    stream.append(one(1_001)).await.problem(413, "too_large");
    assert_eq!(stream.append(one(7)).await.status, 200, "what is there may be set anew");

    // Two thousand events, each by itself: a machine that does other things takes its time.
    until_within(Duration::from_mins(2), "all have ended", || async {
        stream.state().await["schedules"].as_object().unwrap().is_empty().then_some(())
    })
    .await;

    let mut numbers: Vec<u64> = stream.of_type("due").await.iter().map(|it| it["payload"].as_u64().unwrap()).collect();
    assert_eq!(numbers.pop(), Some(7), "it was set last");
    assert_eq!(numbers, (1..=1_000).filter(|n| *n != 7).collect::<Vec<u64>>());
    assert_eq!(stream.of_type("schedule.ended").await.len(), 1_000);
}

#[tokio::test]
async fn a_schedule_is_stopped_by_the_breaker_like_anybody() {
    let stream = a_stream();
    let breaker = json!({"type": "breaker.configured", "payload": {"limit": 2, "windowMs": 60_000}});
    for slug in ["a", "b", "c", "d"] {
        schedule(&stream, json!({"slug": slug, "every": 1_000, "event": {"type": "due"}})).await;
    }
    let _ = stream.append(breaker).await.ok();

    let paused = stream.wait_for("stream.paused").await;

    assert_eq!(paused["payload"]["breaker"]["limit"], 2, "{paused}");
    let head = stream.head_offset().await;
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    assert_eq!(stream.head_offset().await, head);
}

#[tokio::test]
async fn a_schedule_for_everything_below_fires_in_each_stream() {
    let top = a_stream();
    let young = top.child("young");
    schedule(&top, json!({"slug": "s", "every": 1_000, "event": {"type": "due"}, "children": true})).await;

    young.say("x").await;

    assert_eq!(occurrences(&young, 1).await[0]["streamPath"], json!(young.path));
    assert_eq!(occurrences(&top, 1).await[0]["streamPath"], json!(top.path));
    let removed = json!({"type": "schedule.removed", "payload": {"slug": "s", "children": true}});
    let _ = top.append(removed).await.ok();
    young.wait_for("schedule.removed").await;
    assert_eq!(young.state().await["schedules"], json!({}));
}
