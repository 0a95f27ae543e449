//! Subscriptions by URL: what is sent, to whom, how often, and how each stands.

use std::time::Duration;

use serde_json::{Value, json};
use tailrace_tests::runtime::a_stream;
use tailrace_tests::{Received, Reply, Runtime, Stream, Subscriber, millis, token, until};

async fn say_many(stream: &Stream, count: u64) {
    let events: Vec<Value> = (1..=count).map(|n| json!({"type": "n", "payload": {"n": n}})).collect();
    let _ = stream.append(json!(events)).await.ok();
}

async fn resume(stream: &Stream, slug: &str, more: Value) {
    let mut payload = more;
    payload["slug"] = json!(slug);
    let _ = stream.append(json!({"type": "subscription.resumed", "payload": payload})).await.ok();
}

#[tokio::test]
async fn a_push_brings_events_state_and_where_they_come_from() {
    let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
    stream.say("before").await;
    stream.subscribe("s", &subscriber.target(), json!({"state": {"a": [1, "ü"]}})).await;

    let event = stream.append(json!({"type": "x", "payload": {"text": "grüß"}, "metadata": {"m": 1}})).await.event();

    let received = subscriber.first().await;
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/"));
    assert_eq!(
        received.json(),
        json!({
            "subscription": "s", "streamPath": stream.path, "events": [event], "state": {"a": [1, "ü"]},
            "replay": false, "head": 4,
        })
    );
    assert_eq!(received.header("content-type"), "application/json");
    assert!(received.header("user-agent").starts_with("Tailrace/"), "{received:?}");
    assert_eq!(received.header("tailrace-cause"), format!("{};4;0;0", stream.path));
    stream.wait_for_cursor("s", 4).await;
    assert_eq!(subscriber.count(), 1);
}

#[tokio::test]
async fn a_push_is_signed_after_standard_webhooks() {
    let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
    for slug in ["s", "t"] {
        stream.subscribe(slug, &json!({"url": subscriber.url(&format!("/{slug}"))}), json!({})).await;
    }
    let (own, others) = (stream.secret("s").await, stream.secret("t").await);
    assert!(own.starts_with("whsec_"), "{own}");
    assert_ne!(own, others);

    stream.say("x").await;

    let received = subscriber.wait_for(2).await.into_iter().find(|it| it.target == "/s").unwrap();
    assert!(received.header("webhook-id").starts_with("msg_"));
    assert!(received.is_signed_with(&own));
    assert!(!received.is_signed_with(&others));
    let mut forged = received.clone();
    forged.body.push(b' ');
    assert!(!forged.is_signed_with(&own));
    // What the log and the state show is not enough to sign.
    let shown = format!("{:?}{}{}", stream.events().await, stream.state().await, stream.subscription("s").await);
    assert!(!shown.contains("whsec_"));
}

#[tokio::test]
async fn after_a_change_of_the_secret_both_signatures_are_sent() {
    let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
    stream.subscribe("s", &subscriber.target(), json!({"secretVersion": 1})).await;
    let old = stream.secret("s").await;

    stream.subscribe("s", &subscriber.target(), json!({"secretVersion": 2})).await;
    let new = stream.secret("s").await;
    let offset = stream.say("x").await;

    assert_ne!(old, new);
    let received = subscriber.wait_for_offset(offset).await;
    assert_eq!(received.header("webhook-signature").split(' ').count(), 2);
    assert!(received.is_signed_with(&old) && received.is_signed_with(&new));
}

#[tokio::test]
async fn a_plain_push_is_the_event_alone() {
    let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
    stream.subscribe("s", &subscriber.target(), json!({"plain": true, "types": ["n"]})).await;

    say_many(&stream, 3).await;

    let bodies: Vec<Value> = subscriber.wait_for(3).await.iter().map(Received::json).collect();
    assert_eq!(bodies, stream.of_type("n").await);
    assert!(subscriber.received()[0].is_signed_with(&stream.secret("s").await));
}

#[tokio::test]
async fn a_batch_is_as_large_as_it_may_be_and_no_larger() {
    let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
    stream.subscribe("s", &subscriber.target(), json!({"batch": 3})).await;

    say_many(&stream, 7).await;

    stream.wait_for_cursor("s", 9).await;
    let offsets: Vec<_> = subscriber.received().iter().map(Received::offsets).collect();
    assert_eq!(offsets, [vec![3, 4, 5], vec![6, 7, 8], vec![9]]);
}

#[tokio::test]
async fn headers_carry_secrets_to_the_hosts_that_they_are_declared_for_and_nowhere_else() {
    let runtime = Runtime::with()
        .var("TAILRACE_SECRET_API", r#"{"value": "hunter2", "send": ["127.0.0.1"]}"#)
        .var("TAILRACE_SECRET_ELSEWHERE", r#"{"value": "hunter3", "send": ["api.example.com"]}"#)
        .var("TAILRACE_SECRET_HOOK", r#"{"value": "hunter4", "verify": ["slack"]}"#)
        .var("TAILRACE_SECRET_BARE", "hunter5")
        .start();
    let (stream, subscriber) = (runtime.a_stream(), Subscriber::willing().await);
    let headers = json!({"Authorization": "Bearer {{secret:API}}", "x-plain": "as it is", "content-type": "text/x"});
    stream.subscribe("s", &subscriber.target(), json!({"headers": headers})).await;

    stream.say("x").await;
    let received = subscriber.first().await;
    assert_eq!(received.header("authorization"), "Bearer hunter2");
    assert_eq!(received.header("x-plain"), "as it is");
    assert_eq!(received.header("content-type"), "text/x");

    let (here, there) = (subscriber.target(), json!({"url": "https://elsewhere.example.com/"}));
    for (target, header) in [
        (&here, "{{secret:ELSEWHERE}}"),
        (&here, "{{secret:HOOK}}"),
        (&here, "{{secret:BARE}}"),
        (&here, "{{secret:MISSING}}"),
        (&here, "{{secret:API"),
        (&here, "{{env:API}}"),
        (&there, "{{secret:API}}"),
    ] {
        let answer = stream.try_subscribe("t", target, json!({"headers": {"x-key": header}})).await;
        let problem = answer.problem(422, "invalid_control_event");
        assert_eq!(problem["field"], "payload.headers.x-key", "{header}: {problem}");
        assert!(!problem.to_string().contains("hunter"), "{problem}");
    }
    let shown = format!("{:?}{}{}", stream.events().await, stream.state().await, stream.subscription("s").await);
    assert!(!shown.contains("hunter"), "{shown}");
}

#[tokio::test]
async fn a_secret_that_a_subscriber_repeats_is_kept_nowhere() {
    let runtime = Runtime::with().var("TAILRACE_SECRET_API", r#"{"value": "hunter2", "send": ["127.0.0.1"]}"#).start();
    let stream = runtime.a_stream();
    let headers = json!({"authorization": "Bearer {{secret:API}}"});
    let repeats = [
        ("refused", Reply::status(401).body("no such key: Bearer hunter2"), "retrying"),
        ("gone", Reply::status(410).body(r#"{"no such key":"hunter2"}"#), "halted"),
        ("failed", Reply::json(json!({"error": "no such key: hunter2"})), "retrying"),
        ("malformed", Reply::json(json!({"append": [{"type": "x", "no such key: hunter2": 1}]})), "halted"),
    ];
    let mut subscribers = Vec::new();
    for (slug, reply, _) in &repeats {
        let subscriber = Subscriber::saying(vec![reply.clone()]).await;
        let more = json!({"types": ["x"], "headers": headers});
        stream.subscribe(slug, &subscriber.target(), more).await;
        subscribers.push(subscriber);
    }

    stream.say("x").await;

    let mut shown = Vec::new();
    for (slug, _, status) in &repeats {
        let report = stream.wait_for_subscription(slug, &format!("is {status}"), |it| it["status"] == *status).await;
        let said = report["lastError"].as_str().unwrap();
        assert!(said.contains("no such key") && said.contains("[secret]"), "{slug}: {report}");
        shown.push(report.to_string());
    }
    assert_eq!(stream.of_type("subscription.halted").await.len(), 2);
    shown.push(format!("{:?}{}", stream.events().await, stream.state().await));
    assert!(!shown.concat().contains("hunter2"), "{shown:?}");
}

#[tokio::test]
async fn types_choose_what_is_sent() {
    let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
    stream.subscribe("s", &subscriber.target(), json!({"types": ["a.*", "exact"]})).await;

    let batch = ["x", "a.one", "exact", "exactly", "b.a.two", "a.", "end"].map(|it| json!({"type": it}));
    let _ = stream.append(json!(batch)).await.ok();

    stream.wait_for_cursor("s", 9).await;
    let types: Vec<_> = subscriber.received().iter().flat_map(Received::types).collect();
    assert_eq!(types, ["a.one", "exact", "a."]);
    assert_eq!(stream.subscription("s").await["lag"], 0);
}

#[tokio::test]
async fn a_condition_chooses_what_is_sent() {
    let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
    let condition = "event.type == 'n' && event.payload.n > 3 && has(event.payload.n)";
    stream.subscribe("s", &subscriber.target(), json!({"where": condition})).await;

    say_many(&stream, 6).await;
    // Where it cannot be evaluated, it does not hold.
    let _ = stream.append(json!([{"type": "n", "payload": {}}, {"type": "n", "payload": {"n": "four"}}])).await.ok();
    stream.say("end").await;

    stream.wait_for_cursor("s", 11).await;
    assert_eq!(subscriber.offsets(), [6, 7, 8]);
}

#[tokio::test]
async fn a_condition_that_could_run_long_or_is_none_is_refused() {
    let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
    let long = format!("event.type == '{}'", "x".repeat(1_024));
    for condition in [
        "event.payload.list.exists(x, x == 1)",
        "event.payload.list.all(x, x > 1)",
        "event.payload.list.map(x, x + 1) == [2]",
        "event.payload.list.filter(x, x > 1) == []",
        "event.type.matches('^(a+)+$')",
        "matches(event.type, 'a')",
        "event.type ==",
        "unknown == 1",
        "'text'",
        "1 + 1",
        "",
        long.as_str(),
    ] {
        let answer = stream.try_subscribe("s", &subscriber.target(), json!({"where": condition})).await;
        let problem = answer.problem(422, "invalid_control_event");
        assert_eq!(problem["field"], "payload.where", "{condition}: {problem}");
    }
    assert_eq!(stream.head().await.status, 404, "nothing was written");
}

#[tokio::test]
async fn what_is_not_right_in_a_subscription_is_named() {
    let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
    let url = subscriber.target();
    let pull = json!({"pull": true});
    for (slug, target, more, field) in [
        ("", &url, json!({}), "slug"),
        ("a/b", &url, json!({}), "slug"),
        ("s", &Value::Null, json!({}), "target"),
        ("s", &json!({}), json!({}), "target"),
        ("s", &json!({"url": 1}), json!({}), "target.url"),
        ("s", &json!({"url": "no url"}), json!({}), "target.url"),
        ("s", &json!({"pull": false}), json!({}), "target.pull"),
        ("s", &json!({"pull": true, "also": 1}), json!({}), "target.also"),
        ("s", &url, json!({"types": []}), "types"),
        ("s", &url, json!({"types": [1]}), "types"),
        ("s", &url, json!({"from": 0}), "from"),
        ("s", &url, json!({"from": "later"}), "from"),
        ("s", &url, json!({"batch": 0}), "batch"),
        ("s", &url, json!({"batch": 1_001}), "batch"),
        ("s", &url, json!({"plain": true, "batch": 2}), "batch"),
        ("s", &url, json!({"plain": "yes"}), "plain"),
        ("s", &url, json!({"timeoutMs": 25_001}), "timeoutMs"),
        ("s", &url, json!({"timeoutMs": 99}), "timeoutMs"),
        ("s", &url, json!({"headers": []}), "headers"),
        ("s", &url, json!({"headers": {"host": "x"}}), "headers.host"),
        ("s", &url, json!({"headers": {"webhook-id": "x"}}), "headers.webhook-id"),
        ("s", &url, json!({"headers": {"tailrace-cause": "x"}}), "headers.tailrace-cause"),
        ("s", &url, json!({"headers": {"a b": "x"}}), "headers.a b"),
        ("s", &url, json!({"headers": {"x": "a\r\nb: c"}}), "headers.x"),
        ("s", &url, json!({"grants": [""]}), "grants"),
        ("s", &url, json!({"whilePaused": 1}), "whilePaused"),
        ("s", &url, json!({"version": []}), "version"),
        ("s", &url, json!({"state": "x".repeat(256 * 1_024)}), "state"),
        ("s", &url, json!({"retries": 3}), "retries"),
        ("s", &pull, json!({"plain": true}), "plain"),
        ("s", &pull, json!({"headers": {"x": "y"}}), "headers"),
    ] {
        let problem = stream.try_subscribe(slug, target, more.clone()).await.problem(422, "invalid_control_event");
        assert_eq!(problem["field"], format!("payload.{field}"), "{target} {more}: {problem}");
    }
    stream.say("x").await;
    let resumed = json!({"type": "subscription.resumed", "payload": {"slug": "nobody"}});
    assert_eq!(stream.append(resumed).await.problem(422, "invalid_control_event")["field"], "payload.slug");
}

#[tokio::test]
async fn a_subscription_begins_where_it_says_and_old_events_are_a_replay() {
    for (from, old, new) in
        [(json!("now"), vec![], vec![5]), (json!("start"), vec![1, 2, 3, 4], vec![5]), (json!(3), vec![3, 4], vec![5])]
    {
        let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
        say_many(&stream, 2).await;
        let configured = json!({"slug": "s", "target": subscriber.target(), "from": from});
        // In one commit: what is old and what is new is told by the offset alone.
        let batch = json!([{"type": "subscription.configured", "payload": configured}, {"type": "new"}]);
        let _ = stream.append(batch).await.ok();

        stream.wait_for_cursor("s", 5).await;

        let mut expected = vec![(old, true), (new, false)];
        expected.retain(|(offsets, _)| !offsets.is_empty());
        let received: Vec<_> =
            subscriber.received().iter().map(|it| (it.offsets(), it.json()["replay"] == true)).collect();
        assert_eq!(received, expected, "{from}");
    }
}

#[tokio::test]
async fn a_subscription_that_is_configured_anew_keeps_its_place_and_a_new_version_starts_over() {
    let stream = a_stream();
    let count = |received: &Received| {
        let before = received.json()["state"].as_u64().unwrap_or(0);
        Reply::json(json!({"state": before + received.events().len() as u64}))
    };
    let (first, second) = (Subscriber::answering(count).await, Subscriber::answering(count).await);
    stream.subscribe("s", &first.target(), json!({"types": ["n"], "version": 1, "state": 0})).await;
    say_many(&stream, 3).await;
    stream.wait_for_cursor("s", 5).await;

    stream.subscribe("s", &second.target(), json!({"types": ["n"], "version": 1, "state": 0})).await;
    say_many(&stream, 1).await;
    stream.wait_for_cursor("s", 7).await;
    assert_eq!((first.offsets(), second.offsets()), (vec![3, 4, 5], vec![7]));
    assert_eq!(stream.subscription("s").await["state"], 4);

    stream.subscribe("s", &first.target(), json!({"types": ["n"], "version": 2, "state": 100})).await;
    say_many(&stream, 1).await;
    stream.wait_for_cursor("s", 9).await;
    let again: Vec<_> = first.received()[1..].iter().map(|it| (it.offsets(), it.json()["replay"].clone())).collect();
    assert_eq!(again, [(vec![3, 4, 5, 7], json!(true)), (vec![9], json!(false))]);
    assert_eq!(first.received()[1].json()["state"], 100);
    assert_eq!(stream.subscription("s").await["state"], 105);
}

#[tokio::test]
async fn what_is_delivered_again_is_a_replay_unless_it_is_to_be_done_again() {
    let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
    stream.subscribe("s", &subscriber.target(), json!({"types": ["n"]})).await;
    say_many(&stream, 2).await;
    stream.wait_for_cursor("s", 4).await;

    resume(&stream, "s", json!({"from": 3})).await;
    stream.wait_for_cursor("s", 5).await;
    resume(&stream, "s", json!({"from": 4, "redo": true})).await;
    stream.wait_for_cursor("s", 6).await;

    let received = subscriber.received();
    let told: Vec<_> = received.iter().map(|it| (it.offsets(), it.json()["replay"] == true)).collect();
    assert_eq!(told, [(vec![3, 4], false), (vec![3, 4], true), (vec![4], false)]);
    assert_ne!(received[0].header("webhook-id"), received[1].header("webhook-id"));
}

#[tokio::test]
async fn imported_history_is_a_replay_and_ephemeral_events_are_not_sent() {
    let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
    stream.subscribe("s", &subscriber.target(), json!({})).await;

    let _ = stream.post_with("?ephemeral=true", &[], json!({"type": "passing"}).to_string()).await;
    let old = json!([{"type": "old", "createdAt": "2001-02-03T04:05:06Z", "offset": 7}, {"type": "older"}]);
    let _ = stream.post_with("?import=true", &[], old.to_string()).await.ok();
    stream.say("x").await;

    stream.wait_for_cursor("s", 5).await;
    let told: Vec<_> = subscriber.received().iter().map(|it| (it.types(), it.json()["replay"] == true)).collect();
    assert_eq!(told, [(vec!["old".to_owned(), "older".to_owned()], true), (vec!["x".to_owned()], false)]);
}

#[tokio::test]
async fn a_failure_is_tried_again_with_the_same_events_and_the_same_id() {
    let stream = a_stream();
    let failing = Reply::status(503).body("come back later");
    let subscriber = Subscriber::saying(vec![failing, Reply::ok()]).await;
    stream.subscribe("s", &subscriber.target(), json!({})).await;
    say_many(&stream, 2).await;
    let report = stream.wait_for_subscription("s", "is retrying", |it| it["status"] == "retrying").await;
    let failed = subscriber.first().await;

    say_many(&stream, 1).await;
    let received = subscriber.wait_for(3).await;

    assert_eq!((&report["failedAttempts"], &report["lag"]), (&json!(1), &json!(2)));
    let error = report["lastError"].as_str().unwrap();
    assert!(error.contains("503") && error.contains("come back later"), "{report}");
    let waited = millis(&report["nextAttempt"]) - millis(&report["attempts"][0]["at"]);
    assert!((4_000..=6_000).contains(&waited), "{report}");
    assert!(received[1].at - failed.at >= Duration::from_millis(3_900));
    assert_eq!(received[1].header("webhook-id"), failed.header("webhook-id"));
    assert_eq!((failed.offsets(), received[1].offsets(), received[2].offsets()), (vec![3, 4], vec![3, 4], vec![5]));
    assert_ne!(received[2].header("webhook-id"), failed.header("webhook-id"));
    let report = stream.wait_for_cursor("s", 5).await;
    let attempts: Vec<_> = report["attempts"].as_array().unwrap().iter().map(|it| it["status"].clone()).collect();
    assert_eq!(attempts, [200, 200, 503]);
    assert_eq!((&report["failedAttempts"], &report["status"]), (&json!(0), &json!("idle")));
    assert_eq!(report["lastError"], Value::Null);
    assert_eq!(stream.events().await.len(), 5, "attempts are not events");
}

#[tokio::test]
async fn who_asks_for_patience_gets_it_but_not_more_than_an_hour() {
    let stream = a_stream();
    let busy = |after: &str| Reply::status(429).header("Retry-After", after);
    let patient = Subscriber::saying(vec![busy("8"), Reply::ok()]).await;
    let endless = Subscriber::saying(vec![busy("86400")]).await;
    let by_date = Subscriber::saying(vec![busy("Fri, 31 Dec 2100 23:59:59 GMT")]).await;
    stream.subscribe("patient", &patient.target(), json!({})).await;
    stream.subscribe("endless", &endless.target(), json!({"types": ["x"]})).await;
    stream.subscribe("by-date", &by_date.target(), json!({"types": ["x"]})).await;

    stream.say("x").await;

    for slug in ["endless", "by-date"] {
        let report = stream.wait_for_subscription(slug, "is retrying", |it| it["status"] == "retrying").await;
        assert_eq!(millis(&report["nextAttempt"]) - millis(&report["attempts"][0]["at"]), 3_600_000, "{report}");
    }
    let received = patient.wait_for(2).await;
    assert!(received[1].at - received[0].at >= Duration::from_millis(7_900));
}

#[tokio::test]
async fn gone_halts_and_nothing_is_skipped() {
    let stream = a_stream();
    let leaving = Subscriber::saying(vec![Reply::ok(), Reply::status(410), Reply::ok()]).await;
    let neighbour = Subscriber::willing().await;
    stream.subscribe("leaving", &leaving.target(), json!({"types": ["n"]})).await;
    stream.subscribe("neighbour", &neighbour.target(), json!({"types": ["n"]})).await;
    say_many(&stream, 1).await;
    stream.wait_for_cursor("leaving", 4).await;

    say_many(&stream, 2).await;

    let halted = stream.wait_for("subscription.halted").await;
    let payload = &halted["payload"];
    assert_eq!(
        (&payload["slug"], &payload["offset"], &payload["lastStatus"]),
        (&json!("leaving"), &json!(5), &json!(410))
    );
    let reason = payload["reason"].as_str().unwrap();
    assert!(reason.contains("410"), "{reason}");
    let report = stream.subscription("leaving").await;
    assert_eq!(report["status"], "halted");
    assert_eq!((&report["halted"]["reason"], &report["halted"]["offset"]), (&payload["reason"], &json!(5)));
    assert_eq!((&report["nextAttempt"], &report["cursor"]), (&Value::Null, &json!(4)));
    assert_eq!(stream.state().await["subscriptions"]["leaving"]["halted"]["lastStatus"], 410);

    let last = stream.say("n").await;
    neighbour.wait_for_offset(last).await;
    assert_eq!(leaving.count(), 2, "nothing goes to who is halted");

    resume(&stream, "leaving", json!({})).await;
    leaving.wait_for_offset(last).await;
    assert_eq!(leaving.offsets(), [4, 5, 6, last]);
}

#[tokio::test]
async fn who_is_halted_goes_on_past_one_bad_event_or_when_configured_anew() {
    let stream = a_stream();
    let picky =
        |received: &Received| Reply::status(if received.json()["events"][0]["payload"]["n"] == 2 { 410 } else { 200 });
    let (picky, healed) = (Subscriber::answering(picky).await, Subscriber::willing().await);
    stream.subscribe("skips", &picky.target(), json!({"types": ["n"], "batch": 1})).await;
    stream.subscribe("anew", &picky.target(), json!({"types": ["n"], "batch": 1})).await;
    say_many(&stream, 3).await;
    until("both are halted", || async { (stream.of_type("subscription.halted").await.len() == 2).then_some(()) }).await;

    resume(&stream, "skips", json!({"skip": true})).await;
    stream.subscribe("anew", &healed.target(), json!({"types": ["n"], "batch": 1})).await;

    stream.wait_for_cursor("skips", 6).await;
    stream.wait_for_cursor("anew", 6).await;
    let slug = |received: &Received| received.json()["subscription"].as_str().unwrap().to_owned();
    let skipped: Vec<_> = picky.received().into_iter().filter(|it| slug(it) == "skips").collect();
    assert_eq!(skipped.iter().flat_map(Received::offsets).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(healed.offsets(), [5, 6]);
    assert_eq!(stream.subscription("anew").await["halted"], Value::Null);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_nobody_follows_it() {
    let (stream, elsewhere) = (a_stream(), Subscriber::willing().await);
    let mut redirecting = Vec::new();
    for status in [301, 302, 303, 307, 308] {
        let subscriber = Subscriber::saying(vec![Reply::status(status).header("Location", &elsewhere.url("/"))]).await;
        stream.subscribe(&format!("s{status}"), &subscriber.target(), json!({"types": ["x"]})).await;
        redirecting.push((status, subscriber));
    }

    stream.say("x").await;

    for (status, subscriber) in &redirecting {
        let slug = format!("s{status}");
        let report = stream.wait_for_subscription(&slug, "is retrying", |it| it["status"] == "retrying").await;
        assert!(report["lastError"].as_str().unwrap().contains(&status.to_string()), "{report}");
        assert_eq!(report["lastAttempt"]["status"], *status);
        assert_eq!(subscriber.count(), 1);
    }
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn while_a_stream_is_paused_only_watchers_are_sent_anything() {
    let (stream, worker, watcher) = (a_stream(), Subscriber::willing().await, Subscriber::willing().await);
    stream.subscribe("worker", &worker.target(), json!({"types": ["x", "stream.*"]})).await;
    stream.subscribe("watcher", &watcher.target(), json!({"types": ["stream.*"], "whilePaused": true})).await;

    let batch = json!([{"type": "x"}, {"type": "stream.paused", "payload": {"reason": "lunch"}}]);
    let _ = stream.append(batch).await.ok();

    let told = watcher.first().await;
    assert_eq!(told.events()[0]["payload"]["reason"], "lunch");
    stream.wait_for_cursor("watcher", 5).await;
    let report = stream.subscription("worker").await;
    assert_eq!((&report["status"], &report["nextAttempt"]), (&json!("paused"), &Value::Null));
    assert_eq!((&report["failedAttempts"], report["attempts"].as_array().unwrap().len()), (&json!(0), 0));
    assert_eq!(worker.count(), 0);

    stream.say("stream.resumed").await;
    stream.wait_for_cursor("worker", 6).await;
    assert_eq!(worker.offsets(), [4, 5, 6]);
}

#[tokio::test]
async fn what_was_leased_before_a_pause_still_settles_whole() {
    let stream = a_stream();
    let slow = Reply::json(json!({"state": 1, "append": [{"type": "answer"}]})).after(Duration::from_millis(500));
    let subscriber = Subscriber::saying(vec![slow]).await;
    stream.subscribe("s", &subscriber.target(), json!({"types": ["x"]})).await;
    stream.say("x").await;
    subscriber.first().await;

    stream.say("stream.paused").await;

    assert_eq!(stream.wait_for("answer").await["offset"], 5);
    let report = stream.subscription("s").await;
    assert_eq!((&report["state"], &report["cursor"].as_u64().map(|it| it >= 3)), (&json!(1), &Some(true)));
    assert_ne!(stream.state().await["paused"], Value::Null);
}

#[tokio::test]
async fn everybody_can_see_how_a_subscription_stands() {
    let stream = a_stream();
    let subscriber = Subscriber::saying(vec![Reply::ok().after(Duration::from_millis(1_500)), Reply::ok()]).await;
    stream.subscribe("s", &subscriber.target(), json!({"types": ["n"], "batch": 2})).await;
    stream.subscribe("pulled", &json!({"pull": true}), json!({"types": ["never"]})).await;
    let idle = stream.subscription("s").await;
    assert_eq!((&idle["status"], &idle["lag"], &idle["lagSeconds"]), (&json!("idle"), &json!(0), &json!(0.0)));
    assert_eq!((&idle["nextAttempt"], &idle["lastError"], &idle["state"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(idle["attempts"], json!([]));
    assert_eq!(idle["outbox"], json!({"waiting": 0, "targets": []}));

    say_many(&stream, 3).await;
    subscriber.first().await;
    let busy = stream
        .wait_for_subscription("s", "has waited", |it| it["lagSeconds"].as_f64().is_some_and(|waited| waited > 0.2))
        .await;
    assert_eq!((&busy["status"], &busy["cursor"], &busy["head"]), (&json!("delivering"), &json!(3), &json!(6)));
    assert_eq!((&busy["lag"], &busy["lease"]["first"], &busy["lease"]["last"]), (&json!(3), &json!(4), &json!(5)));

    let done = stream.wait_for_cursor("s", 6).await;
    assert_eq!((&done["status"], &done["lag"], &done["lagSeconds"]), (&json!("idle"), &json!(0), &json!(0.0)));
    let attempt = &done["attempts"][1];
    assert_eq!((&attempt["first"], &attempt["last"], &attempt["status"]), (&json!(4), &json!(5), &json!(200)));
    assert!(attempt["ms"].as_u64().unwrap() >= 1_400 && attempt["error"].is_null(), "{attempt}");

    let all = stream.client.get(&format!("/api/subscriptions{}", stream.path)).await.ok().json();
    let slugs: Vec<_> = all["subscriptions"].as_array().unwrap().iter().map(|it| it["slug"].clone()).collect();
    assert_eq!(slugs, ["pulled", "s"]);
    let in_state = &stream.state().await["subscriptions"]["s"];
    for name in ["status", "cursor", "lag", "lagSeconds", "nextAttempt", "lastError"] {
        assert_eq!(in_state[name], done[name], "{name}");
    }
    let path = format!("/api/subscriptions{}", stream.path);
    stream.client.get(&format!("{path}?slug=nobody")).await.problem(404, "not_found");
    stream.client.get(&format!("{path}-none")).await.problem(404, "stream_not_found");
    assert_eq!(
        stream.client.get(&format!("{path}?reveal=secret")).await.problem(400, "invalid_query")["field"],
        "slug"
    );
    let odd = stream.client.get(&format!("{path}?slug=s&reveal=all")).await;
    assert_eq!(odd.problem(400, "invalid_query")["field"], "reveal");
}

#[tokio::test]
async fn who_may_read_sees_how_it_stands_but_not_the_secret() {
    let runtime = Runtime::with().var("TAILRACE_TOKEN", "secret").start();
    let stream = runtime.a_stream();
    let all = stream.by(&runtime.client().with_token("secret"));
    all.subscribe("s", &json!({"url": "https://example.com/"}), json!({})).await;
    let path = format!("/api/subscriptions{}?slug=s", stream.path);
    let with = |can: &[&str]| runtime.client().with_token(&token::sign("secret", "t", &stream.path, can));

    let reader = with(&["read", "append", "approve"]);
    let report = reader.get(&path).await.ok().json();
    assert!(report["slug"] == "s" && report["secret"].is_null(), "{report}");
    reader.get(&format!("{path}&reveal=secret")).await.problem(403, "forbidden");
    with(&["append"]).get(&path).await.problem(403, "forbidden");
    runtime.client().get(&path).await.problem(401, "unauthorized");
    let elsewhere = runtime.client().with_token(&token::sign("secret", "t", "/elsewhere", &["read"]));
    elsewhere.get(&path).await.problem(403, "forbidden");
    let configurer = with(&["read", "control"]).get(&format!("{path}&reveal=secret")).await.ok().json();
    assert_eq!(configurer["secret"], all.secret("s").await);

    let appender = stream.by(&with(&["read", "append"]));
    appender.try_subscribe("t", &json!({"pull": true}), json!({})).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_removed_subscription_is_sent_nothing_more() {
    let (stream, subscriber, other) = (a_stream(), Subscriber::willing().await, Subscriber::willing().await);
    stream.subscribe("s", &subscriber.target(), json!({"types": ["x"]})).await;
    stream.subscribe("other", &other.target(), json!({"types": ["x"]})).await;
    stream.say("x").await;
    subscriber.first().await;

    let _ = stream.append(json!({"type": "subscription.removed", "payload": {"slug": "s"}})).await.ok();
    let last = stream.say("x").await;

    other.wait_for_offset(last).await;
    assert_eq!(subscriber.count(), 1);
    stream.client.get(&format!("/api/subscriptions{}?slug=s", stream.path)).await.problem(404, "not_found");
    assert_eq!(stream.state().await["subscriptions"]["s"], Value::Null);
}

#[tokio::test]
async fn one_event_wires_everything_below_also_what_is_born_later() {
    let (stream, subscriber) = (a_stream(), Subscriber::willing().await);
    let (old, young) = (stream.child("old"), stream.child("a").child("young"));
    old.say("before").await;
    stream.wait_for("stream.child-created").await;

    let offset = stream.subscribe("s", &subscriber.target(), json!({"types": ["x"], "children": true})).await;
    old.wait_for("subscription.configured").await;
    old.say("x").await;
    young.say("x").await;

    let mut seen: Vec<String> = Vec::new();
    for received in subscriber.wait_for(2).await {
        let body = received.json();
        assert_eq!((&body["subscription"], &body["replay"]), (&json!("s"), &json!(false)), "{body}");
        seen.push(body["streamPath"].as_str().unwrap().to_owned());
    }
    seen.sort();
    assert_eq!(seen, [young.path.clone(), old.path.clone()]);
    for child in [&old, &young] {
        let copy = &child.of_type("subscription.configured").await[0];
        assert!(copy["cause"]["offset"].is_number(), "{copy}");
        let root = &copy["metadata"]["tailrace"]["root"];
        assert_eq!((&root["streamPath"], &root["offset"]), (&json!(stream.path), &json!(offset)), "{copy}");
    }
    // Removed above, removed below.
    let removed = json!({"type": "subscription.removed", "payload": {"slug": "s", "children": true}});
    let _ = stream.append(removed).await.ok();
    young.wait_for("subscription.removed").await;
    assert_eq!(young.state().await["subscriptions"], json!({}));
}

#[tokio::test]
async fn what_a_subscriber_writes_with_the_cause_it_was_given_goes_on_with_the_chain() {
    let (stream, elsewhere, subscriber) = (a_stream(), a_stream(), Subscriber::willing().await);
    stream.subscribe("s", &subscriber.target(), json!({})).await;
    let offset = stream.say("x").await;
    let cause = subscriber.first().await.header("tailrace-cause").to_owned();

    let headers = [("tailrace-cause", cause.as_str())];
    let there = elsewhere.post_with("", &headers, json!({"type": "answer"}).to_string()).await.event();
    let hook = elsewhere.hook("", &headers, "anything").await.offset();

    let expected = json!({"streamPath": stream.path, "offset": offset, "hops": 1});
    for event in [&there, &elsewhere.page(&format!("?afterOffset={}", hook - 1)).await[0]] {
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(event["cause"][name], *value, "{event}");
        }
    }
}
