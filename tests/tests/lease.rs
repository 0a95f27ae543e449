//! Leases: workers outside take events, and settle them. One holds them at a time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tailrace_tests::client::Answer;
use tailrace_tests::runtime::a_stream;
use tailrace_tests::{Leased, Reply, Runtime, Stream, Subscriber, token};
use tokio::task::JoinHandle;

async fn pulled(more: Value) -> Stream {
    let stream = a_stream();
    let mut more = more;
    if more["types"].is_null() {
        more["types"] = json!(["x"]);
    }
    stream.subscribe("s", &json!({"pull": true}), more).await;
    stream
}

async fn say_x(stream: &Stream, count: usize) {
    let _ = stream.append(json!(vec![json!({"type": "x"}); count])).await.ok();
}

#[track_caller]
fn is_nothing(answer: &Answer) {
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer}");
}

/// A worker that waits, and when it was answered.
fn waiting(stream: &Stream, query: &'static str) -> JoinHandle<(Answer, Instant)> {
    let stream = stream.clone();
    tokio::spawn(async move { (stream.try_lease("s", query).await, Instant::now()) })
}

/// Time for those who wait to have begun: nothing shows from outside that they have.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

#[tokio::test]
async fn a_worker_is_handed_what_is_due_and_settles_it() {
    let stream = pulled(json!({"state": {"n": 0}})).await;
    say_x(&stream, 3).await;

    let answer = stream.try_lease("s", "").await.ok();
    is_nothing(&stream.try_lease("s", "").await);
    let body = answer.json();
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(body["lease"].as_str().unwrap().starts_with("s.") && body["expiresAt"].is_string(), "{body}");
    assert_eq!(body["events"], json!(stream.of_type("x").await));
    assert_eq!(
        (&body["streamPath"], &body["state"], &body["replay"], &body["head"]),
        (&json!(stream.path), &json!({"n": 0}), &json!(false), &json!(5))
    );
    let said = json!({"lease": body["lease"], "state": {"n": 3}, "append": [{"type": "y"}, {"type": "y"}]});
    let settled = stream.settle(&said).await.ok().json();

    assert_eq!(settled, json!({"cursor": 5, "offsets": [6, 7]}));
    assert_eq!(stream.subscription("s").await["state"], json!({"n": 3}));
    for event in stream.of_type("y").await {
        assert_eq!(event["metadata"]["tailrace"]["by"], "subscription:s");
        assert_eq!(event["cause"], json!({"streamPath": stream.path, "offset": 5, "hops": 0, "turns": 0}));
    }
    is_nothing(&stream.try_lease("s", "").await);
}

#[tokio::test]
async fn an_append_releases_a_worker_that_waits_at_once() {
    let stream = pulled(json!({})).await;
    let worker = waiting(&stream, "&wait=30");
    a_moment().await;
    stream.say("no match").await;
    a_moment().await;
    assert!(!worker.is_finished());

    let begun = Instant::now();
    let offset = stream.say("x").await;

    let (answer, answered) = worker.await.unwrap();
    assert_eq!(answer.ok().json()["events"][0]["offset"], offset);
    assert!(answered - begun < Duration::from_secs(2), "{:?}", answered - begun);
}

#[tokio::test]
async fn when_the_wait_is_over_there_is_nothing() {
    let stream = pulled(json!({})).await;

    let begun = Instant::now();
    let answer = stream.try_lease("s", "&wait=2").await;

    is_nothing(&answer);
    assert!((2.0..10.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
    assert_eq!((answer.header("tailrace-paused"), answer.header("tailrace-halted")), ("", ""));
    assert_eq!(stream.head_offset().await, 2, "waiting writes nothing");
}

#[tokio::test]
async fn of_many_that_wait_one_gets_the_event() {
    let stream = pulled(json!({})).await;
    let workers: Vec<_> = (0..6).map(|_| waiting(&stream, "&wait=4&for=600")).collect();
    a_moment().await;

    stream.say("x").await;

    let mut statuses = Vec::new();
    for worker in workers {
        statuses.push(worker.await.unwrap().0.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 204, 204, 204, 204, 204]);
}

#[tokio::test]
async fn a_settle_releases_who_waits_for_the_rest() {
    let stream = pulled(json!({"batch": 2})).await;
    say_x(&stream, 3).await;
    let first = stream.lease("s", "&for=600").await;
    let worker = waiting(&stream, "&wait=30");
    a_moment().await;

    let begun = Instant::now();
    let _ = first.settle(json!({"upTo": 3})).await.ok();

    let (answer, answered) = worker.await.unwrap();
    assert_eq!(answer.ok().json()["events"][0]["offset"], 4);
    assert!(answered - begun < Duration::from_secs(2), "{:?}", answered - begun);
}

#[tokio::test]
async fn a_part_may_be_settled_and_the_rest_is_given_back_or_kept() {
    let stream = pulled(json!({})).await;
    say_x(&stream, 4).await;

    let first = stream.lease("s", "").await;
    let settled = first.settle(json!({"upTo": 3, "state": 1})).await.ok().json();
    assert_eq!(settled, json!({"cursor": 3, "offsets": []}));
    let second = stream.lease("s", "").await;
    assert_eq!((second.offsets(), &second.body["state"]), (vec![4, 5, 6], &json!(1)));

    // With more time the same lease holds the rest.
    let _ = second.settle(json!({"upTo": 4, "extend": 60})).await.ok();
    is_nothing(&stream.try_lease("s", "").await);
    assert_eq!(second.settle(json!({"upTo": 5, "extend": 60, "append": {"type": "y"}})).await.ok().json()["cursor"], 5);
    assert_eq!(second.settle(json!({})).await.ok().json()["cursor"], 6);
    is_nothing(&stream.try_lease("s", "").await);
    assert_eq!(stream.wait_for("y").await["cause"]["offset"], 5);
}

#[tokio::test]
async fn a_worker_that_needs_longer_says_so() {
    let stream = pulled(json!({})).await;
    say_x(&stream, 1).await;
    let slow = stream.lease("s", "&for=1").await;

    let _ = slow.settle(json!({"extend": 600})).await.ok();

    let begun = Instant::now();
    is_nothing(&stream.try_lease("s", "&wait=3").await);
    assert!(begun.elapsed() >= Duration::from_secs(2), "longer than the lease first was");
    assert_eq!(slow.settle(json!({"state": "done"})).await.ok().json()["cursor"], 3);
    assert_eq!(stream.subscription("s").await["failedAttempts"], 0);
}

#[tokio::test]
async fn what_is_given_back_is_due_at_once() {
    let stream = pulled(json!({})).await;
    say_x(&stream, 2).await;
    let first = stream.lease("s", "&for=600").await;

    let settled = first.settle(json!({"upTo": 2})).await.ok().json();

    assert_eq!(settled["cursor"], 2);
    let second = stream.lease("s", "").await;
    assert_eq!(second.offsets(), [3, 4]);
    assert_eq!(second.settle(json!({})).await.ok().json()["cursor"], 4);
}

#[tokio::test]
async fn another_settle_of_what_was_given_back_is_not_a_repeated_one() {
    let stream = pulled(json!({})).await;
    say_x(&stream, 3).await;
    let leased = stream.lease("s", "").await;
    let first = leased.settle(json!({"upTo": 3, "state": "first"})).await.ok().json();

    // Answered with 200 it would take its work for done.
    leased.settle(json!({"upTo": 4, "state": "second", "append": [{"type": "y"}]})).await.problem(409, "lease_lost");
    leased.settle(json!({"state": "all"})).await.problem(409, "lease_lost");

    assert_eq!(leased.settle(json!({"upTo": 3, "state": "first"})).await.ok().json(), first);
    assert_eq!((stream.head_offset().await, &stream.subscription("s").await["state"]), (5, &json!("first")));
}

#[tokio::test]
async fn a_repeated_settle_is_answered_as_the_first_was() {
    let stream = pulled(json!({})).await;
    say_x(&stream, 3).await;
    let leased = stream.lease("s", "").await;

    let part = json!({"upTo": 4, "state": "part", "append": [{"type": "y"}], "extend": 60});
    let first = leased.settle(part.clone()).await.ok().json();
    assert_eq!(leased.settle(part).await.ok().json(), first);
    let rest = json!({"state": "all", "append": [{"type": "y"}, {"type": "y"}]});
    let second = leased.settle(rest.clone()).await.ok().json();
    assert_eq!(leased.settle(rest).await.ok().json(), second);

    assert_eq!((&first, &second), (&json!({"cursor": 4, "offsets": [6]}), &json!({"cursor": 5, "offsets": [7, 8]})));
    assert_eq!(stream.of_type("y").await.len(), 3);
    assert_eq!(stream.subscription("s").await["state"], "all");
}

#[tokio::test]
async fn who_was_too_slow_changes_nothing_any_more() {
    let stream = pulled(json!({})).await;
    say_x(&stream, 2).await;
    let slow = stream.lease("s", "&for=1").await;

    let quick = stream.lease("s", "&wait=10").await;

    assert_eq!(quick.offsets(), slow.offsets());
    assert_ne!(quick.id(), slow.id());
    for said in [
        json!({"state": "slow", "append": [{"type": "slow"}]}),
        json!({"upTo": 3}),
        json!({"extend": 60}),
        json!({"error": "slow"}),
        json!({"append": [{"type": "stream.paused"}]}),
    ] {
        slow.settle(said).await.problem(409, "lease_lost");
    }
    assert_eq!(quick.settle(json!({"state": "quick"})).await.ok().json()["cursor"], 4);
    slow.settle(json!({"state": "slow"})).await.problem(409, "lease_lost");
    let report = stream.subscription("s").await;
    assert_eq!((&report["state"], &report["halted"]), (&json!("quick"), &Value::Null));
    assert_eq!(stream.head_offset().await, 4);
}

#[tokio::test]
async fn a_lease_that_ran_out_may_still_be_settled_while_nobody_else_has_it() {
    let stream = pulled(json!({})).await;
    say_x(&stream, 1).await;
    let slow = stream.lease("s", "&for=1").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    assert_eq!(slow.settle(json!({"state": 1})).await.ok().json()["cursor"], 3);
    is_nothing(&stream.try_lease("s", "").await);
}

#[tokio::test]
async fn a_worker_that_fails_leaves_the_same_events_for_later() {
    let stream = pulled(json!({})).await;
    say_x(&stream, 2).await;
    let first = stream.lease("s", "").await;

    let _ = first.settle(json!({"error": "no luck", "state": "no", "append": [{"type": "no"}]})).await.ok();
    let failed = Instant::now();
    say_x(&stream, 1).await;

    is_nothing(&stream.try_lease("s", "").await);
    let report = stream.subscription("s").await;
    assert_eq!((&report["status"], &report["lastError"]), (&json!("retrying"), &json!("no luck")));
    assert!(report["nextAttempt"].is_string() && report["state"].is_null(), "{report}");
    let again = stream.lease("s", "&wait=30").await;
    assert!((3.5..9.0).contains(&failed.elapsed().as_secs_f64()), "{:?}", failed.elapsed());
    assert_eq!(again.offsets(), first.offsets());
    let _ = again.settle(json!({})).await.ok();
    assert_eq!(stream.lease("s", "").await.offsets(), [5]);
    assert!(stream.of_type("no").await.is_empty());
}

/// Leases, works, settles; every tenth time it dies instead.
async fn work(stream: Stream, number: usize, held: Arc<Mutex<HashSet<u64>>>, done: Arc<Mutex<Vec<u64>>>) {
    for turn in 0.. {
        let answer = stream.try_lease("s", "&wait=3&for=1").await;
        if answer.status == 204 {
            return;
        }
        let body = answer.ok().json();
        let offsets: Vec<u64> =
            body["events"].as_array().unwrap().iter().map(|event| event["offset"].as_u64().unwrap()).collect();
        for offset in &offsets {
            assert!(held.lock().unwrap().insert(*offset), "two workers have {offset}");
        }
        tokio::time::sleep(Duration::from_millis(5 * number as u64)).await;
        for offset in &offsets {
            held.lock().unwrap().remove(offset);
        }
        if (turn + number) % 10 == 9 {
            continue;
        }
        let _ = stream.settle(&json!({"lease": body["lease"]})).await.ok();
        done.lock().unwrap().extend(offsets);
    }
}

#[tokio::test]
async fn workers_that_compete_never_have_the_same_event_at_once() {
    let stream = pulled(json!({"batch": 10})).await.without_breaker().await;
    say_x(&stream, 500).await;
    let held: Arc<Mutex<HashSet<u64>>> = Arc::default();
    let done: Arc<Mutex<Vec<u64>>> = Arc::default();

    let workers: Vec<_> =
        (0..6).map(|number| tokio::spawn(work(stream.clone(), number, held.clone(), done.clone()))).collect();
    for worker in workers {
        worker.await.unwrap();
    }

    assert_eq!(*done.lock().unwrap(), (4..=503).collect::<Vec<u64>>(), "each settled once, and in order");
}

#[tokio::test]
async fn workers_get_only_what_fulfils_the_condition() {
    let stream = pulled(json!({"where": "event.payload.n % 3 == 0"})).await;
    let numbered =
        |from: u64, to: u64| json!((from..=to).map(|n| json!({"type": "x", "payload": {"n": n}})).collect::<Vec<_>>());
    let _ = stream.append(numbered(1, 2)).await.ok();

    is_nothing(&stream.try_lease("s", "").await);
    assert_eq!(stream.subscription("s").await["cursor"], 4);

    let worker = waiting(&stream, "&wait=30");
    a_moment().await;
    let _ = stream.append(numbered(4, 5)).await.ok();
    a_moment().await;
    assert!(!worker.is_finished());
    let _ = stream.append(numbered(6, 10)).await.ok();
    let body = worker.await.unwrap().0.ok().json();
    let numbers: Vec<_> = body["events"].as_array().unwrap().iter().map(|it| it["payload"]["n"].clone()).collect();
    assert_eq!(numbers, [6, 9]);
    is_nothing(&stream.try_lease("s", "").await);
    // What lies behind the last one that was delivered is looked at again.
    assert_eq!(stream.settle(&json!({"lease": body["lease"]})).await.ok().json()["cursor"], 10);
    is_nothing(&stream.try_lease("s", "").await);
}

#[tokio::test]
async fn one_lease_serves_everything_below_also_what_is_born_later() {
    let top = a_stream();
    let old = top.child("old");
    old.say("before").await;
    top.wait_for("stream.child-created").await;
    top.subscribe("s", &json!({"pull": true}), json!({"types": ["x"], "children": true})).await;
    old.wait_for("subscription.configured").await;
    is_nothing(&top.try_lease("s", "&children=true").await);

    // Born while somebody waits, three levels below.
    let worker = waiting(&top, "&wait=30&children=true");
    a_moment().await;
    let young = top.child("a").child("b").child("young");
    say_x(&young, 2).await;
    let body = worker.await.unwrap().0.ok().json();
    assert_eq!((&body["streamPath"], &body["events"].as_array().unwrap().len()), (&json!(young.path), &2));
    assert_eq!(body["replay"], false, "{body}");
    let said = json!({"lease": body["lease"], "state": "young", "append": [{"type": "answer"}]});
    top.settle(&said).await.problem(409, "lease_lost");
    let _ = young.settle(&said).await.ok();
    assert_eq!(young.of_type("answer").await.len(), 1);

    // Each stream has a cursor of its own, and each event comes once.
    let mut expected = HashSet::new();
    for stream in [&top, &old, &young, &top.child("a")] {
        for _ in 0..3 {
            expected.insert((stream.path.clone(), stream.say("x").await));
        }
    }
    let mut seen = HashSet::new();
    while seen.len() < expected.len() {
        let leased: Leased = top.lease("s", "&wait=20&children=true").await;
        for offset in leased.offsets() {
            assert!(seen.insert((leased.path().to_owned(), offset)), "{} {offset} came twice", leased.path());
        }
        let _ = leased.settle(json!({})).await.ok();
    }
    assert_eq!(seen, expected);
    is_nothing(&top.try_lease("s", "&wait=1&children=true").await);
    // Without the wish for it, only the stream itself.
    say_x(&old, 1).await;
    is_nothing(&top.try_lease("s", "&wait=1").await);
}

#[tokio::test]
async fn what_a_worker_leaves_undone_somewhere_below_is_found_by_the_next() {
    let top = a_stream();
    top.subscribe("s", &json!({"pull": true}), json!({"types": ["x"], "children": true})).await;
    let below = top.child("a").child("b");
    say_x(&below, 3).await;

    let dead = top.lease("s", "&wait=20&for=1&children=true").await;
    let first = top.lease("s", "&wait=20&for=600&children=true").await;
    assert_eq!((dead.offsets(), first.path()), (first.offsets(), below.path.as_str()), "the first worker died");
    let offsets = first.offsets();

    let _ = first.settle(json!({"upTo": offsets[0]})).await.ok();
    let part = top.lease("s", "&wait=20&for=1&children=true").await;
    assert_eq!(part.offsets(), offsets[1..], "a part was given back");

    let _ = part.settle(json!({"upTo": offsets[1], "extend": 4})).await.ok();
    is_nothing(&top.try_lease("s", "&wait=2&children=true").await);
    let rest = top.lease("s", "&wait=20&for=600&children=true").await;
    assert_eq!(rest.offsets(), offsets[2..], "the rest was not settled in time");

    let failed = Instant::now();
    let _ = rest.settle(json!({"error": "no luck"})).await.ok();
    is_nothing(&top.try_lease("s", "&wait=1&children=true").await);
    let again = top.lease("s", "&wait=30&for=600&children=true").await;
    assert_eq!(again.offsets(), offsets[2..], "it failed, and is tried again when it is due");
    assert!((3.5..12.0).contains(&failed.elapsed().as_secs_f64()), "{:?}", failed.elapsed());

    // What comes meanwhile is due when that is settled.
    let next = below.say("x").await;
    let worker = waiting(&top, "&wait=30&children=true");
    let _ = again.settle(json!({})).await.ok();
    assert_eq!(worker.await.unwrap().0.ok().json()["events"][0]["offset"], next);
}

#[tokio::test]
async fn workers_over_a_tree_get_every_event_once_over_a_kill() {
    let mut runtime = Runtime::with().start();
    let top = runtime.a_stream();
    top.subscribe("s", &json!({"pull": true}), json!({"types": ["x"], "children": true, "batch": 2})).await;
    let mut expected = HashSet::new();
    for name in ["a", "b", "c/d", "c/e", "f"] {
        let stream = top.child(name);
        for _ in 0..5 {
            expected.insert((stream.path.clone(), stream.say("x").await));
        }
    }
    let held = top.lease("s", "&wait=20&for=600&children=true").await;

    runtime.kill_and_restart();
    let top = top.by(&runtime.client());

    let mut seen: HashSet<(String, u64)> = HashSet::new();
    let mut kept = Some(held);
    while seen.len() < expected.len() {
        let answer = top.try_lease("s", "&wait=5&for=60&children=true").await;
        let (path, body) = if answer.status == 204 {
            // Only what was leased before the kill is left, and what comes after it.
            let held = kept.take().expect("something is due");
            (held.path().to_owned(), held.body)
        } else {
            let body = answer.ok().json();
            (body["streamPath"].as_str().unwrap().to_owned(), body)
        };
        for event in body["events"].as_array().unwrap() {
            let offset = event["offset"].as_u64().unwrap();
            assert!(seen.insert((path.clone(), offset)), "{path} {offset} came twice");
        }
        let stream = top.client.stream(&path);
        let _ = stream.settle(&json!({"lease": body["lease"]})).await.ok();
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_worker_may_ask_for_a_part_of_the_tree() {
    let top = a_stream();
    top.subscribe("s", &json!({"pull": true}), json!({"types": ["x"], "children": true})).await;
    let (left, right) = (top.child("left"), top.child("left-not"));
    for stream in [left.child("a"), right.child("b")] {
        stream.say("x").await;
        stream.wait_for("subscription.configured").await;
    }
    left.wait_for("subscription.configured").await;

    let leased = left.lease("s", "&wait=20&children=true").await;
    assert_eq!(leased.path(), left.child("a").path);
    is_nothing(&left.try_lease("s", "&wait=1&children=true").await);
    assert_eq!(top.lease("s", "&wait=20&children=true").await.path(), right.child("b").path);
}

#[tokio::test]
async fn nothing_is_given_while_the_stream_is_paused_and_it_says_so() {
    let stream = pulled(json!({})).await;
    stream.subscribe("watcher", &json!({"pull": true}), json!({"types": ["stream.*"], "whilePaused": true})).await;
    say_x(&stream, 2).await;
    let before = stream.lease("s", "").await;
    let worker = waiting(&stream, "&wait=30");
    a_moment().await;

    stream.say("stream.paused").await;

    let answer = stream.try_lease("s", "").await;
    is_nothing(&answer);
    assert_eq!(answer.header("tailrace-paused"), "true");
    assert_eq!(stream.lease("watcher", "").await.events()[0]["type"], "stream.paused");
    // What was given before still settles whole.
    let settled = before.settle(json!({"upTo": 4, "append": [{"type": "y"}]})).await.ok().json();
    assert_eq!(settled, json!({"cursor": 4, "offsets": [7]}));
    assert!(!worker.is_finished());

    stream.say("stream.resumed").await;
    assert_eq!(worker.await.unwrap().0.ok().json()["events"][0]["offset"], 5);
}

#[tokio::test]
async fn a_worker_whose_answer_can_never_be_accepted_halts_the_subscription_and_is_told_why() {
    let too_large = "x".repeat(257 * 1_024);
    for (said, status, code) in [
        (json!({"append": [{"type": "fine"}, {"type": "stream.paused"}]}), 403, "forbidden"),
        (json!({"append": [{"type": "fine"}, {"type": "stream.resumed"}]}), 403, "forbidden"),
        (json!({"append": [{"type": "fine"}, {"type": 1}]}), 400, "invalid_settle"),
        (json!({"append": [{"type": "fine"}, {"type": "y", "streamPath": "/a//b"}]}), 400, "invalid_settle"),
        (json!({"append": "y"}), 400, "invalid_settle"),
        (json!({"append": [{"type": "fine"}], "state": too_large}), 413, "too_large"),
    ] {
        let stream = pulled(json!({"state": "old"})).await;
        say_x(&stream, 1).await;
        let leased = stream.lease("s", "").await;

        let mut said = said;
        if said["state"].is_null() {
            said["state"] = json!("new");
        }
        leased.settle(said).await.problem(status, code);

        let halted = stream.wait_for("subscription.halted").await;
        assert_eq!((&halted["payload"]["offset"], &halted["payload"]["lastStatus"]), (&json!(3), &Value::Null));
        let report = stream.subscription("s").await;
        assert_eq!(
            (&report["status"], &report["state"], &report["cursor"]),
            (&json!("halted"), &json!("old"), &json!(2))
        );
        assert_eq!(stream.head_offset().await, 4, "nothing half-applied");
        let answer = stream.try_lease("s", "&wait=0").await;
        is_nothing(&answer);
        assert_eq!(answer.header("tailrace-halted"), "true");

        let resumed = json!({"type": "subscription.resumed", "payload": {"slug": "s"}});
        let _ = stream.append(resumed).await.ok();
        assert_eq!(stream.lease("s", "").await.offsets(), [3]);
    }
}

#[tokio::test]
async fn a_settle_that_is_not_understood_is_refused_and_changes_nothing() {
    let stream = pulled(json!({})).await;
    say_x(&stream, 2).await;
    let leased = stream.lease("s", "&for=600").await;

    for (said, field) in [
        (json!({"upTo": 5}), "upTo"),
        (json!({"upTo": "all"}), "upTo"),
        (json!({"upTo": -1}), "upTo"),
        (json!({"upTo": 3.5}), "upTo"),
        (json!({"upTo": 2, "state": 1}), "upTo"),
        (json!({"upTo": 2, "append": [{"type": "y"}]}), "upTo"),
        (json!({"extend": 0}), "extend"),
        (json!({"extend": 601}), "extend"),
        (json!({"extend": "long"}), "extend"),
        (json!({"cursor": 3}), "cursor"),
    ] {
        let problem = leased.settle(said.clone()).await.problem(400, "invalid_settle");
        assert_eq!(problem["field"], field, "{said}");
    }
    for body in ["", "no json", "[]", "7", "{}", r#"{"lease": 7}"#, r#"{"lease": null, "state": 1}"#] {
        let answer = stream.client.send("POST", &format!("/api/settle{}", stream.path), &[], body).await;
        assert_eq!(answer.problem(400, "invalid_settle")["field"], "lease", "{body}");
    }
    for lease in ["", "s", "s.", "s.0", "nobody.0", "unicode-ü.😀"] {
        stream.settle(&json!({"lease": lease})).await.problem(409, "lease_lost");
    }
    let elsewhere = a_stream();
    let answer = elsewhere.settle(&json!({"lease": leased.id()})).await;
    assert!(answer.status == 404 || answer.status == 409, "{answer}");
    assert_eq!(elsewhere.head().await.status, 404, "a settle makes no stream");

    assert_eq!((stream.head_offset().await, stream.subscription("s").await["cursor"].clone()), (4, json!(2)));
    assert_eq!(leased.settle(json!({})).await.ok().json()["cursor"], 4);
}

#[tokio::test]
async fn a_wish_for_a_lease_that_is_not_right_is_named() {
    let stream = pulled(json!({})).await;
    for (query, field) in [
        ("", "slug"),
        ("?slug=s&for=0", "for"),
        ("?slug=s&for=601", "for"),
        ("?slug=s&for=soon", "for"),
        ("?slug=s&wait=61", "wait"),
        ("?slug=s&wait=-1", "wait"),
        ("?slug=s&wait=1.5", "wait"),
        ("?slug=s&children=maybe", "children"),
    ] {
        let answer = stream.client.send("POST", &format!("/api/lease{}{query}", stream.path), &[], "").await;
        assert_eq!(answer.problem(400, "invalid_query")["field"], field, "{query}");
    }
    stream.try_lease("nobody", "").await.problem(404, "not_found");
    stream.try_lease("nobody", "&wait=5&children=true").await.problem(404, "not_found");
    let nowhere = a_stream();
    assert_eq!(nowhere.try_lease("s", "").await.status, 404);
    assert_eq!(nowhere.head().await.status, 404, "no lease makes a stream");
    assert_eq!(stream.client.get(&format!("/api/lease{}?slug=s", stream.path)).await.status, 405);
}

#[tokio::test]
async fn what_is_pushed_is_leased_to_nobody() {
    let (stream, subscriber) = (a_stream(), Subscriber::saying(vec![Reply::status(500)]).await);
    stream.subscribe("s", &subscriber.target(), json!({"types": ["x"]})).await;
    say_x(&stream, 1).await;
    stream.wait_for_subscription("s", "has failed once", |it| it["status"] == "retrying").await;

    for query in ["", "&wait=30", "&for=10&children=true"] {
        let answer = stream.try_lease("s", query).await;
        assert_eq!(answer.problem(400, "invalid_query")["field"], "slug", "{query}");
    }
}

#[tokio::test]
async fn a_lease_is_lost_when_its_subscription_is_configured_anew_or_removed() {
    let stream = pulled(json!({})).await;
    say_x(&stream, 1).await;
    let first = stream.lease("s", "").await;
    stream.subscribe("s", &json!({"pull": true}), json!({"types": ["x"]})).await;
    first.settle(json!({"state": 1})).await.problem(409, "lease_lost");

    let second = stream.lease("s", "").await;
    assert_eq!((second.offsets(), &second.body["state"]), (vec![3], &Value::Null));
    let worker = waiting(&stream, "&wait=30");
    a_moment().await;
    let _ = stream.append(json!({"type": "subscription.removed", "payload": {"slug": "s"}})).await.ok();
    second.settle(json!({"state": 1})).await.problem(409, "lease_lost");
    stream.try_lease("s", "").await.problem(404, "not_found");
    worker.abort();
}

#[tokio::test]
async fn a_worker_needs_to_read_and_to_append_where_it_works() {
    let runtime = Runtime::with().var("TAILRACE_TOKEN", "secret").start();
    let stream = runtime.a_stream();
    let all = stream.by(&runtime.client().with_token("secret"));
    all.subscribe("s", &json!({"pull": true}), json!({"types": ["x"]})).await;
    all.say("x").await;
    let with =
        |path: &str, can: &[&str]| stream.by(&runtime.client().with_token(&token::sign("secret", "t", path, can)));

    for can in [&["read"][..], &["append"], &["control", "approve", "read"]] {
        with(&stream.path, can).try_lease("s", "").await.problem(403, "forbidden");
    }
    with("/elsewhere", &["read", "append"]).try_lease("s", "").await.problem(403, "forbidden");
    stream.try_lease("s", "").await.problem(401, "unauthorized");
    let worker = with(&stream.path, &["read", "append"]);
    let leased = worker.lease("s", "").await;

    let said = json!({"lease": leased.id(), "state": 1});
    with(&stream.path, &["read"]).settle(&said).await.problem(403, "forbidden");
    with("/elsewhere", &["read", "append"]).settle(&said).await.problem(403, "forbidden");
    stream.settle(&said).await.problem(401, "unauthorized");
    let _ = leased.settle(json!({"state": 1})).await.ok();
    assert_eq!(all.subscription("s").await["state"], 1);
}

#[tokio::test]
async fn what_a_worker_appends_elsewhere_is_within_the_path_of_its_token() {
    let runtime = Runtime::with().var("TAILRACE_TOKEN", "secret").start();
    let stream = runtime.a_stream();
    let all = stream.by(&runtime.client().with_token("secret"));
    all.subscribe("s", &json!({"pull": true}), json!({"types": ["x"], "grants": ["*"], "state": 0})).await;
    all.say("x").await;
    let worker = |can: &[&str]| stream.by(&runtime.client().with_token(&token::sign("secret", "t", &stream.path, can)));
    let leased = worker(&["read", "append"]).lease("s", "").await;
    let (below, foreign) = (all.child("below"), all.client.stream(&format!("{}-foreign", stream.path)));

    for append in [
        json!([{"type": "y"}, {"type": "y", "streamPath": foreign.path}]),
        json!([{"type": "y"}, {"type": "y", "streamPath": "/"}]),
        // What is more than an append needs the token's leave, besides the subscription's grant.
        json!([{"type": "y"}, {"type": "stream.paused", "streamPath": below.path}]),
    ] {
        leased.settle(json!({"state": 1, "append": append})).await.problem(403, "forbidden");
    }
    let report = all.subscription("s").await;
    assert_eq!((&report["cursor"], &report["state"], &report["halted"]), (&json!(2), &json!(0), &Value::Null));
    assert_eq!((all.head_offset().await, foreign.head().await.status, below.head().await.status), (3, 404, 404));

    let append = json!([{"type": "y"}, {"type": "y", "streamPath": below.path}]);
    let _ = leased.settle(json!({"state": 1, "append": append})).await.ok();
    assert_eq!(below.wait_for("y").await["cause"]["streamPath"], stream.path);
}

#[tokio::test]
async fn a_thousand_workers_that_wait_lock_out_no_reader() {
    let runtime = Runtime::with().start();
    let stream = runtime.a_stream();
    stream.subscribe("s", &json!({"pull": true}), json!({"types": ["x"]})).await;
    let workers: Vec<_> = (0..1_001).map(|_| waiting(&stream, "&wait=60")).collect();

    // Nothing shows that all of them have begun, so readers come as long as that may take.
    let (begun, mut readers) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(5) {
        let mut reader = stream.tail_with("?afterOffset=2", &[]).await;
        reader.to_head().await;
        readers += 1;
        a_moment().await;
    }
    println!("{readers} readers");

    for worker in workers {
        assert!(!worker.is_finished());
        worker.abort();
    }
}

#[tokio::test]
async fn replay_and_new_events_are_never_in_one_lease() {
    let stream = a_stream();
    say_x(&stream, 2).await;
    stream.subscribe("s", &json!({"pull": true}), json!({"types": ["x"], "from": "start"})).await;
    say_x(&stream, 2).await;

    let old = stream.lease("s", "").await;
    assert_eq!((old.offsets(), &old.body["replay"]), (vec![2, 3], &json!(true)));
    let _ = old.settle(json!({})).await.ok();
    let new = stream.lease("s", "").await;
    assert_eq!((new.offsets(), &new.body["replay"]), (vec![5, 6], &json!(false)));
}

#[tokio::test]
async fn a_lease_survives_a_kill_and_whoever_holds_it_settles_it() {
    let mut runtime = Runtime::with().start();
    let stream = runtime.a_stream();
    stream.subscribe("s", &json!({"pull": true}), json!({"types": ["x"]})).await;
    say_x(&stream, 2).await;
    let leased = stream.lease("s", "&for=600").await;

    runtime.kill_and_restart();
    let stream = stream.by(&runtime.client());

    is_nothing(&stream.try_lease("s", "").await);
    let said = json!({"lease": leased.id(), "upTo": 3, "state": 1, "append": [{"type": "y"}]});
    let first = stream.settle(&said).await.ok().json();
    runtime.kill_and_restart();
    let stream = stream.by(&runtime.client());
    assert_eq!(stream.settle(&said).await.ok().json(), first);
    assert_eq!(stream.of_type("y").await.len(), 1);
    let rest = stream.lease("s", "").await;
    assert_eq!((rest.offsets(), &rest.body["state"]), (vec![4], &json!(1)));
}
