//! What a subscriber answers: cursor, state and appended events commit together, or nothing does.

use std::time::Duration;

use serde_json::{Value, json};
use tailrace_tests::runtime::a_stream;
use tailrace_tests::{Reply, Stream, Subscriber, until};

/// A stream with the subscription `s` to events of type `x`, that is answered so.
async fn answered(replies: Vec<Reply>, more: Value) -> (Stream, Subscriber) {
    let (stream, subscriber) = (a_stream(), Subscriber::saying(replies).await);
    let mut more = more;
    more["types"] = json!(["x"]);
    stream.subscribe("s", &subscriber.target(), more).await;
    (stream, subscriber)
}

async fn say_x(stream: &Stream, count: usize) {
    let _ = stream.append(json!(vec![json!({"type": "x"}); count])).await.ok();
}

#[tokio::test]
async fn state_and_appended_events_commit_with_the_cursor() {
    let answer = json!({
        "state": {"seen": [1, 2.50, "ü"]},
        "append": [
            {"type": "answer", "payload": {"n": 1}, "metadata": {"m": 1}, "idempotencyKey": "k"},
            {"type": "answer", "cause": {"offset": 3}},
        ],
    });
    let (stream, subscriber) = answered(vec![Reply::json(answer), Reply::ok()], json!({})).await;

    say_x(&stream, 2).await;
    let report = stream.wait_for_cursor("s", 4).await;

    assert_eq!(report["state"], json!({"seen": [1, 2.5, "ü"]}));
    let answers = stream.of_type("answer").await;
    assert_eq!((&answers[0]["offset"], &answers[1]["offset"]), (&json!(5), &json!(6)));
    assert_eq!((&answers[0]["payload"], &answers[0]["metadata"]["m"]), (&json!({"n": 1}), &json!(1)));
    assert_eq!(answers[0]["metadata"]["tailrace"]["by"], "subscription:s");
    let cause = |offset: u64| json!({"streamPath": stream.path, "offset": offset, "hops": 0, "turns": 0});
    assert_eq!(
        (&answers[0]["cause"], &answers[1]["cause"]),
        (&cause(4), &cause(3)),
        "the last event, or the named one"
    );
    // What it said comes back to it.
    say_x(&stream, 1).await;
    assert_eq!(subscriber.wait_for(2).await[1].json()["state"], json!({"seen": [1, 2.5, "ü"]}));
}

#[tokio::test]
async fn a_state_stays_until_another_takes_its_place_or_it_is_cleared() {
    let says = |body: Value| Reply::json(body);
    let replies = vec![
        says(json!({"state": {"a": 1}})),
        says(json!({"append": []})),
        says(json!({"state": null})),
        says(json!({"state": 0})),
        Reply::ok(),
    ];
    let (stream, subscriber) = answered(replies, json!({"batch": 1, "state": "first"})).await;

    say_x(&stream, 5).await;

    stream.wait_for_cursor("s", 7).await;
    let states: Vec<Value> = subscriber.received().iter().map(|it| it.json()["state"].clone()).collect();
    assert_eq!(states, [json!("first"), json!({"a": 1}), json!({"a": 1}), Value::Null, json!(0)]);
    assert_eq!(stream.subscription("s").await["state"], 0);
}

#[tokio::test]
async fn any_other_success_is_just_success() {
    let stream = a_stream();
    let html = Reply::ok().header("content-type", "text/html").body("<html><body>state</body></html>");
    let large = Reply::ok().header("content-type", "text/plain").body("long ".repeat(400_000));
    let replies = [
        ("ok", Reply::ok().body("ok")),
        ("html", html),
        ("empty", Reply::ok()),
        ("no-content", Reply::status(204)),
        ("created", Reply::status(201).body("{}")),
        ("accepted", Reply::status(202).body(r#"{"id": 7, "status": "queued"}"#)),
        ("array", Reply::json(json!([{"append": [{"type": "no"}]}, {"state": 1}]))),
        ("text", Reply::json(json!("state"))),
        ("null", Reply::json(Value::Null)),
        ("broken", Reply::ok().body(r#"{"state": 1"#)),
        ("bytes", Reply::ok().body(vec![0xff, 0xfe, 0x00])),
        ("nested", Reply::json(json!({"result": {"state": 1, "append": [{"type": "no"}]}}))),
        ("large", large),
        ("zipped", Reply::ok().header("content-encoding", "gzip").body("no gzip")),
    ];
    let mut subscribers = Vec::new();
    for (slug, reply) in &replies {
        let subscriber = Subscriber::saying(vec![reply.clone()]).await;
        stream.subscribe(slug, &subscriber.target(), json!({"types": ["x"], "state": "kept"})).await;
        subscribers.push(subscriber);
    }

    let offset = stream.say("x").await;

    for (slug, _) in &replies {
        if *slug == "zipped" {
            // Whatever it is, it is no success that nobody could read, and nothing breaks.
            stream.wait_for_subscription(slug, "was tried", |it| !it["lastAttempt"].is_null()).await;
            continue;
        }
        let report = stream.wait_for_cursor(slug, offset).await;
        assert_eq!((&report["state"], &report["lastError"]), (&json!("kept"), &Value::Null), "{slug}: {report}");
        assert_eq!(report["attempts"].as_array().unwrap().len(), 1, "{slug}: {report}");
    }
    assert_eq!(stream.head_offset().await, offset, "nothing was appended, nobody is halted");
}

#[tokio::test]
async fn an_answer_may_be_about_the_first_events_only() {
    let first = json!({"upTo": 4, "state": "two of three", "append": [{"type": "answer"}]});
    let (stream, subscriber) = answered(vec![Reply::json(first), Reply::ok()], json!({})).await;

    say_x(&stream, 3).await;

    stream.wait_for_cursor("s", 5).await;
    let offsets: Vec<_> = subscriber.received().iter().map(tailrace_tests::Received::offsets).collect();
    assert_eq!(offsets, [vec![3, 4, 5], vec![5]], "the rest comes again");
    assert_eq!(subscriber.received()[1].json()["state"], "two of three");
    assert_eq!(stream.wait_for("answer").await["cause"]["offset"], 4);
}

#[tokio::test]
async fn an_error_in_a_successful_answer_is_a_failed_attempt() {
    let error = json!({"error": "the model is overloaded", "state": 1, "append": [{"type": "answer"}]});
    let (stream, subscriber) = answered(vec![Reply::json(error), Reply::ok()], json!({})).await;

    say_x(&stream, 1).await;

    let report = stream.wait_for_subscription("s", "is retrying", |it| it["status"] == "retrying").await;
    assert!(report["lastError"].as_str().unwrap().contains("the model is overloaded"), "{report}");
    assert_eq!((&report["state"], &report["cursor"]), (&Value::Null, &json!(2)));
    assert_eq!(stream.head_offset().await, 3, "nothing was appended");
    let received = subscriber.wait_for(2).await;
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    stream.wait_for_cursor("s", 3).await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_none() {
    let late = Reply::json(json!({"state": 1, "append": [{"type": "answer"}]})).after(Duration::from_millis(900));
    let (stream, subscriber) = answered(vec![late, Reply::ok()], json!({"timeoutMs": 300})).await;

    say_x(&stream, 1).await;

    let report = stream.wait_for_subscription("s", "is retrying", |it| it["status"] == "retrying").await;
    assert!(report["lastError"].as_str().unwrap().contains("300 ms"), "{report}");
    assert!(report["attempts"][0]["ms"].as_u64().unwrap() < 900, "{report}");
    subscriber.wait_for(2).await;
    let report = stream.wait_for_cursor("s", 3).await;
    assert_eq!((&report["state"], stream.head_offset().await), (&Value::Null, 3));
}

/// Answers that can never be accepted. All of them say a state that is fine, and a first event that is.
fn unacceptable() -> Vec<(&'static str, String)> {
    let appends = |event: Value| json!({"state": "new", "append": [{"type": "fine"}, event]}).to_string();
    let configured = json!({"slug": "t", "target": {"pull": true}});
    let many = json!({"state": "new", "append": vec![json!({"type": "fine"}); 1_001]}).to_string();
    let deep = format!("{{\"append\": [{{\"type\": \"fine\"}}], \"state\": {}{}}}", "[".repeat(100), "]".repeat(100));
    vec![
        ("an event without a type", appends(json!({"payload": {}}))),
        ("an empty type", appends(json!({"type": ""}))),
        ("a type that is none", appends(json!({"type": 7}))),
        ("no event", appends(json!("event"))),
        ("an unknown field", appends(json!({"type": "y", "what": 1}))),
        ("an offset", appends(json!({"type": "y", "offset": 4}))),
        ("the system's metadata", appends(json!({"type": "y", "metadata": {"tailrace": {"by": "me"}}}))),
        ("a path that is none", appends(json!({"type": "y", "streamPath": "/a//b"}))),
        ("a path above the root", appends(json!({"type": "y", "streamPath": "../../.."}))),
        ("a reserved type", appends(json!({"type": "stream.other"}))),
        ("what only the system writes", appends(json!({"type": "stream.created", "payload": {}}))),
        ("a control event", appends(json!({"type": "subscription.configured", "payload": configured}))),
        ("a control event for another", appends(json!({"type": "stream.paused", "streamPath": "../another"}))),
        ("a pause", appends(json!({"type": "stream.paused"}))),
        ("a resume", appends(json!({"type": "stream.resumed"}))),
        ("a breaker", appends(json!({"type": "breaker.configured", "payload": {"limit": null}}))),
        ("a tool", appends(json!({"type": "tool.configured", "payload": {}}))),
        ("an approval", appends(json!({"type": "tool.approved", "payload": {"callId": "c"}}))),
        ("a used key", appends(json!({"type": "y", "idempotencyKey": "used"}))),
        ("too many events", many),
        ("a list that is none", json!({"state": "new", "append": "y"}).to_string()),
        ("a state that is too large", json!({"state": "x".repeat(257 * 1_024)}).to_string()),
        ("a state that is too deep", deep),
        ("an event that is too large", appends(json!({"type": "y", "payload": "x".repeat(1_024 * 1_024)}))),
        ("more than a MiB", json!({"state": "new", "padding": "x".repeat(1_100_000)}).to_string()),
        ("beyond what was sent", json!({"state": "new", "upTo": 5}).to_string()),
        ("before what was sent", json!({"state": "new", "upTo": 2}).to_string()),
        ("no offset", json!({"state": "new", "upTo": "all"}).to_string()),
    ]
}

#[tokio::test]
async fn an_answer_that_can_never_be_accepted_halts_and_nothing_of_it_is_done() {
    for (what, body) in unacceptable() {
        let (stream, subscriber) = answered(vec![Reply::ok().body(body)], json!({"state": "old"})).await;
        let used = stream.append(json!({"type": "used", "idempotencyKey": "used"})).await.offset();
        assert_eq!(used, 3);
        // One more, so that there is something that would be next.
        say_x(&stream, 1).await;

        let halted = stream.wait_for("subscription.halted").await;
        let payload = &halted["payload"];
        assert_eq!((&payload["slug"], &payload["offset"]), (&json!("s"), &json!(4)), "{what}: {halted}");
        assert_eq!(payload["lastStatus"], 200, "{what}: {halted}");
        assert!(payload["reason"].as_str().unwrap().contains("can never be accepted"), "{what}: {halted}");
        let report = stream.subscription("s").await;
        assert_eq!((&report["status"], &report["state"]), (&json!("halted"), &json!("old")), "{what}: {report}");
        assert_eq!(report["cursor"], 3, "{what}: {report}");
        assert_eq!((subscriber.count(), stream.head_offset().await), (1, 5), "{what}");
        assert_eq!(report["outbox"]["waiting"], 0, "{what}");
    }
}

#[tokio::test]
async fn who_is_granted_control_events_may_append_them() {
    let pull = json!({"pull": true});
    let answer = json!({"append": [
        {"type": "subscription.configured", "payload": {"slug": "born", "target": pull}},
        {"type": "schedule.configured", "payload": {"slug": "later", "after": "P1D", "event": {"type": "y"}}},
        {"type": "tool.approved", "payload": {"callId": "c"}},
        {"type": "stream.metadata-updated", "payload": {"metadata": {"by": "an answer"}}},
        {"type": "stream.paused", "payload": {"reason": "enough"}},
    ]});
    let grants = json!(["subscription.*", "schedule.configured", "tool.approved", "stream.*"]);
    let (stream, _subscriber) = answered(vec![Reply::json(answer)], json!({"grants": grants})).await;

    say_x(&stream, 1).await;

    stream.wait_for("stream.paused").await;
    let state = stream.state().await;
    assert_eq!(state["paused"]["reason"], "enough");
    assert_eq!(state["subscriptions"]["born"]["target"], pull);
    assert_eq!(state["schedules"]["later"]["event"]["type"], "y");
    assert_eq!(state["metadata"], json!({"by": "an answer"}));
    assert_eq!(stream.of_type("tool.approved").await.len(), 1);
}

#[tokio::test]
async fn no_grant_frees_a_runaway_or_lets_through_what_is_malformed() {
    for (event, grants) in [
        (json!({"type": "stream.resumed"}), json!(["*"])),
        (json!({"type": "stream.resumed"}), json!(["stream.resumed"])),
        (json!({"type": "breaker.configured", "payload": {"limit": null}}), json!(["*", "breaker.configured"])),
        (json!({"type": "stream.resumed", "streamPath": "../another"}), json!(["*"])),
        (json!({"type": "stream.created", "payload": {"path": "/a", "generation": "g"}}), json!(["*"])),
        (json!({"type": "schedule.configured", "payload": {"slug": "s"}}), json!(["*"])),
        (json!({"type": "tool.configured", "payload": {}}), json!(["subscription.*", "tool.approved"])),
    ] {
        let answer = Reply::json(json!({"append": [{"type": "fine"}, event]}));
        let (stream, _subscriber) = answered(vec![answer], json!({"grants": grants})).await;

        say_x(&stream, 1).await;

        stream.wait_for("subscription.halted").await;
        assert_eq!(stream.head_offset().await, 4, "{event}");
    }
}

#[tokio::test]
async fn answers_go_to_other_streams_once_each_and_in_order() {
    let elsewhere = a_stream();
    let to = |path: &str, n: u64| json!({"type": "told", "payload": {"n": n}, "streamPath": path});
    let relative = format!("..{}", elsewhere.path);
    let append = json!([
        to(&elsewhere.path, 1),
        to("child/below", 1),
        {"type": "here"},
        to(&relative, 2),
        to("./child/below", 2),
        to(&elsewhere.path, 3),
        to(".", 3),
    ]);
    let answers = vec![Reply::json(json!({"append": append})), Reply::ok()];
    let (stream, _subscriber) = answered(answers, json!({})).await;

    say_x(&stream, 1).await;

    let child = stream.child("child").child("below");
    for (target, expected) in [(&elsewhere, vec![1, 2, 3]), (&child, vec![1, 2])] {
        until("all have landed", || async {
            let there = target.head().await.status == 200;
            (there && target.of_type("told").await.len() == expected.len()).then_some(())
        })
        .await;
        let told = target.of_type("told").await;
        assert_eq!(told.iter().map(|it| it["payload"]["n"].as_u64().unwrap()).collect::<Vec<_>>(), expected);
        for event in &told {
            assert_eq!(event["cause"], json!({"streamPath": stream.path, "offset": 3, "hops": 1, "turns": 0}));
            assert_eq!(event["metadata"]["tailrace"]["by"], "subscription:s");
        }
    }
    let here: Vec<_> =
        stream.page("?afterOffset=3&types=here,told").await.iter().map(|it| it["type"].clone()).collect();
    assert_eq!(here, ["here", "told"], "the stream itself is written to at once");
    stream.wait_for_subscription("s", "owes nothing", |it| it["outbox"]["waiting"] == 0).await;
}

#[tokio::test]
async fn a_refusal_elsewhere_is_told_here_and_the_rest_lands() {
    let elsewhere = a_stream();
    let _ = elsewhere.append(json!({"type": "taken", "idempotencyKey": "k"})).await.ok();
    let told = |n: u64| json!({"type": "told", "payload": {"n": n}, "streamPath": elsewhere.path});
    let refused = json!({"type": "refused", "payload": {"a": 1}, "streamPath": elsewhere.path, "idempotencyKey": "k"});
    let answer = Reply::json(json!({"append": [told(1), refused, told(2)]}));
    let (stream, _subscriber) = answered(vec![answer], json!({})).await;

    say_x(&stream, 1).await;

    let error = stream.wait_for("error.occurred").await;
    assert_eq!(error["payload"]["code"], "idempotency_conflict");
    assert_eq!(error["payload"]["target"], json!(elsewhere.path));
    assert_eq!(error["payload"]["append"]["type"], "refused");
    assert_eq!(error["payload"]["append"]["payload"], json!({"a": 1}));
    assert_eq!(error["cause"]["offset"], 3);
    until("the rest has landed", || async { (elsewhere.of_type("told").await.len() == 2).then_some(()) }).await;
    assert_eq!(stream.subscription("s").await["status"], "idle");
}

#[tokio::test]
async fn what_goes_to_a_paused_stream_waits_there_and_holds_up_no_other() {
    let (paused, open) = (a_stream(), a_stream());
    paused.say("stream.paused").await;
    let told = |to: &Stream, n: u64| json!({"type": "told", "payload": {"n": n}, "streamPath": to.path});
    let answer = Reply::json(json!({"append": [told(&paused, 1), told(&open, 1), told(&paused, 2)]}));
    let (stream, _subscriber) = answered(vec![answer], json!({})).await;

    say_x(&stream, 1).await;

    open.wait_for("told").await;
    let report = stream.wait_for_subscription("s", "owes two", |it| it["outbox"]["waiting"] == 2).await;
    assert_eq!(report["outbox"]["targets"][0]["target"], json!(paused.path));
    assert_eq!(report["cursor"], 3, "it is settled");
    assert_eq!(paused.head_offset().await, 2);

    paused.say("stream.resumed").await;
    until("all has landed", || async { (paused.of_type("told").await.len() == 2).then_some(()) }).await;
    assert_eq!(paused.of_type("told").await[0]["payload"]["n"], 1);
    stream.wait_for_subscription("s", "owes nothing", |it| it["outbox"]["waiting"] == 0).await;
    assert!(stream.of_type("error.occurred").await.is_empty());
}

#[tokio::test]
async fn a_key_lands_once_however_often_it_is_answered() {
    let elsewhere = a_stream();
    let append = json!([
        {"type": "once", "idempotencyKey": "k"},
        {"type": "once", "idempotencyKey": "k", "streamPath": elsewhere.path},
    ]);
    let (stream, _subscriber) = answered(vec![Reply::json(json!({"append": append}))], json!({"batch": 1})).await;

    say_x(&stream, 3).await;

    stream.wait_for_cursor("s", 5).await;
    stream.wait_for_subscription("s", "owes nothing", |it| it["outbox"]["waiting"] == 0).await;
    assert_eq!((stream.of_type("once").await.len(), elsewhere.of_type("once").await.len()), (1, 1));
    assert!(stream.of_type("subscription.halted").await.is_empty());
}

#[tokio::test]
async fn every_stream_on_the_way_is_a_hop_and_a_ring_comes_to_an_end() {
    let (one, other) = (a_stream(), a_stream());
    let mut subscribers = Vec::new();
    for (stream, next) in [(&one, &other), (&other, &one)] {
        let answer = json!({"append": [{"type": "ball", "streamPath": next.path}]});
        let subscriber = Subscriber::saying(vec![Reply::json(answer)]).await;
        stream.subscribe("s", &subscriber.target(), json!({"types": ["ball"]})).await;
        subscribers.push(subscriber);
    }

    one.say("ball").await;

    // 32 hops lead back to where it began; the one after that is refused, and its sender says so.
    let error = one.wait_for("error.occurred").await;
    assert_eq!((&error["payload"]["code"], &error["payload"]["target"]), (&json!("hop_limit"), &json!(other.path)));
    let hops = |events: Vec<Value>| events.iter().map(|it| it["cause"]["hops"].as_u64()).collect::<Vec<_>>();
    let even: Vec<_> = (0..=32).filter(|it| it % 2 == 0).map(|it| Some(it).filter(|it| *it > 0)).collect();
    let odd: Vec<_> = (0..=32).filter(|it| it % 2 == 1).map(Some).collect();
    assert_eq!((hops(one.of_type("ball").await), hops(other.of_type("ball").await)), (even, odd));
    for stream in [&one, &other] {
        stream.wait_for_subscription("s", "owes nothing", |it| it["outbox"]["waiting"] == 0 && it["lag"] == 0).await;
    }
    assert_eq!(subscribers.iter().map(Subscriber::count).sum::<usize>(), 33);
}
