//! The Rust SDK against the real runtime: what it promises holds over kills, lost answers and restarts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::{Value, json};
use tailrace_sdk::{
    Appended, CancellationToken, Event, Failure, Handler, NewEvent, Processor, Retry, StreamExt, TailItem, Tailrace,
    TryStreamExt, each, fold,
};
use tailrace_tests::runtime::a_stream;
use tailrace_tests::{PATIENCE, Reply, Runtime, Subscriber, shared, unique, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

type Running = JoinHandle<Result<(), tailrace_sdk::Error>>;
type Seen = Arc<Mutex<Vec<(String, u64)>>>;

fn sdk(url: &str) -> Tailrace {
    Tailrace::new(url).unwrap()
}

fn stream() -> tailrace_sdk::Stream {
    sdk(&shared().url).stream(&format!("/{}", unique("t"))).unwrap()
}

async fn without_breaker(stream: &tailrace_sdk::Stream) {
    stream.append(("breaker.configured", json!({"limit": null}))).await.unwrap();
}

async fn all(stream: &tailrace_sdk::Stream) -> Vec<Event> {
    stream.read().all().await.unwrap()
}

/// Notes what it handles, and answers it.
fn echo(seen: &Seen) -> impl Processor<State = u64> + use<> {
    let seen = seen.clone();
    fold(|count: &mut u64, _| {
        *count += 1;
        Ok(())
    })
    .then(move |it: Appended<u64>| {
        seen.lock().unwrap().push((it.event.stream_path.clone(), it.event.offset));
        it.append(("echo", json!({"of": it.event.offset, "count": it.state})));
        async { Ok(()) }
    })
}

#[tokio::test]
async fn what_is_appended_is_read_followed_and_described() {
    let stream = stream();
    assert_eq!(stream.head().await.unwrap(), None);
    assert_eq!(stream.state().await.unwrap_err().code(), "stream_not_found");

    let event = stream.append(("message", json!({"text": "hello"}))).await.unwrap();
    let keyed = NewEvent::new("keyed").key("k").because(&event);
    let batch = stream.append_all([keyed.clone(), "plain".into()]).await.unwrap();
    let again = stream.append(keyed).await.unwrap();

    assert_eq!((event.offset, batch[0].offset, batch[1].offset), (2, 3, 4));
    assert_eq!((&again, batch[0].cause.as_ref().unwrap().offset), (&batch[0], 2));
    let read = stream.read().limit(2).after_offset(1).all().await.unwrap();
    assert_eq!(read, [event, batch[0].clone()]);
    let head = stream.head().await.unwrap().unwrap();
    assert_eq!((head.offset, head.is_paused), (4, false));
    let state = stream.state().await.unwrap();
    assert_eq!((state.head, state.generation.as_ref()), (4, Some(&head.generation)));
    assert_eq!(stream.state_at(1).await.unwrap().head, 1);

    let items: Vec<TailItem> =
        timeout(PATIENCE, stream.tail().types(["keyed"]).items().take(2).try_collect()).await.unwrap().unwrap();
    assert_eq!(items, [TailItem::Event(batch[0].clone()), TailItem::CaughtUp(4)]);

    for name in ["a", "b", "b/c"] {
        stream.join(name).unwrap().append("x").await.unwrap();
    }
    until("all are listed", || async {
        let below = tailrace_sdk::stream::Below { recursive: true, details: false };
        let children: Vec<String> = stream.children(below).map_ok(|it| it.path).try_collect().await.unwrap();
        (children == ["a", "b", "b/c"].map(|name| format!("{}/{name}", stream.path()))).then_some(())
    })
    .await;

    stream.delete().await.unwrap();
    assert_eq!(stream.read().all().await.unwrap_err().status(), 404);
}

#[tokio::test]
async fn a_refusal_is_an_error_with_its_code_at_once() {
    let stream = stream();
    let error = stream.append("breaker.tripped").await.unwrap_err();
    assert_eq!((error.status(), error.code()), (403, "reserved_type"));
    let error = stream.append(("breaker.configured", json!({"limit": -1}))).await.unwrap_err();
    assert_eq!((error.status(), error.code()), (422, "invalid_control_event"));
    assert!(error.refusal().unwrap().field.is_some());

    stream.append("stream.paused").await.unwrap();
    let begun = Instant::now();
    assert_eq!(stream.append("x").await.unwrap_err().code(), "stream_paused");
    assert!(begun.elapsed() < Duration::from_secs(30), "a person resumes it: nothing is tried again");
}

#[tokio::test]
async fn what_rust_has_no_number_for_is_passed_all_the_same() {
    let black_box = a_stream();
    for body in [r#"{"type":"x","payload":[1e400,"1e400"]}"#, r#"{"type":"x","payload":["a\ud800"]}"#] {
        let _ = black_box.post(body).await.ok();
    }
    let stream = sdk(&shared().url).stream(&black_box.path).unwrap();

    let read = stream.read().types(["x"]).all().await.unwrap();
    let followed: Vec<Event> =
        timeout(PATIENCE, stream.tail().types(["x"]).take(2).try_collect()).await.unwrap().unwrap();

    assert_eq!(read, followed);
    assert_eq!((&read[0].payload, &read[1].payload), (&json!([f64::MAX, "1e400"]), &json!(["a\u{fffd}"])));
}

/// Between the SDK and the runtime: of every three connections it cuts two, when the answer begins.
async fn unlucky_proxy(runtime: &Runtime) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let authority = runtime.authority().to_owned();
    let serving = tokio::spawn(async move {
        for count in 0.. {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(&authority).await.unwrap();
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let up = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
                let mut first = [0; 1_000];
                if let Ok(length) = from_server.read(&mut first).await
                    && count % 3 == 2
                {
                    let _ = to_client.write_all(&first[..length]).await;
                    let _ = copy(&mut from_server, &mut to_client).await;
                }
                up.abort();
            });
        }
    });
    (url, serving)
}

#[tokio::test]
async fn a_lost_answer_never_doubles_an_event() {
    let (url, proxy) = unlucky_proxy(shared()).await;
    let retry = Retry { first: Duration::from_millis(5), ..Retry::default() };
    for n in 0..20 {
        let lucky = stream();
        // A client of its own, so that no connection is kept over the requests.
        let stream = sdk(&url).with_retry(retry).stream(lucky.path()).unwrap();
        let one = stream.append(("one", json!(n))).await.unwrap();
        let two = stream.append_all([("two", json!(n)), ("two", json!(n))]).await.unwrap();

        assert_eq!([one.offset, two[0].offset, two[1].offset], [2, 3, 4]);
        assert_eq!(all(&lucky).await[1..], [one, two[0].clone(), two[1].clone()]);
    }
    proxy.abort();
}

#[tokio::test]
async fn a_tail_shows_everything_once_and_in_order_over_kills() {
    let mut runtime = Runtime::with().start();
    let stream = sdk(&runtime.url).stream("/tailed").unwrap();
    without_breaker(&stream).await;
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let caught_up = Arc::new(AtomicUsize::new(0));
    let tail = {
        let (stream, seen, caught_up) = (stream.clone(), seen.clone(), caught_up.clone());
        tokio::spawn(async move {
            let mut items = stream.tail().items();
            while let Some(item) = items.try_next().await.unwrap() {
                match item {
                    TailItem::Event(event) => seen.lock().unwrap().push(event.offset),
                    TailItem::CaughtUp(_) => _ = caught_up.fetch_add(1, Ordering::Relaxed),
                    other => panic!("{other:?}"),
                }
            }
        })
    };
    let stop = CancellationToken::new();
    let writer = {
        let (stream, stop) = (stream.clone(), stop.clone());
        tokio::spawn(async move {
            let mut count = 0_u64;
            while !stop.is_cancelled() {
                count += 1;
                stream.append(("w", json!(count))).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            count
        })
    };

    let goes_on = async || {
        let before = seen.lock().unwrap().len();
        until("the tail goes on", || async { (seen.lock().unwrap().len() > before + 20).then_some(()) }).await;
    };
    goes_on().await;
    for _ in 0..2 {
        runtime.kill_and_restart();
        goes_on().await;
    }
    stop.cancel();
    let written = writer.await.unwrap();

    let events = all(&stream).await;
    let numbers: Vec<u64> = events.iter().filter_map(|event| event.payload.as_u64()).collect();
    assert_eq!(numbers, (1..=written).collect::<Vec<u64>>(), "no lost answer doubled an event");
    until("the tail has it all", || async { (seen.lock().unwrap().len() >= events.len()).then_some(()) }).await;
    tail.abort();
    assert_eq!(*seen.lock().unwrap(), (1..=events.len() as u64).collect::<Vec<u64>>());
    assert!(caught_up.load(Ordering::Relaxed) >= 3, "told for each connection");
}

#[tokio::test]
async fn a_tail_says_when_the_stream_began_anew() {
    let stream = stream();
    let mut items = stream.tail().items();
    let mut next = async || timeout(PATIENCE, items.try_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(next().await, TailItem::CaughtUp(0), "it is not born yet");
    stream.append("first").await.unwrap();
    let types = |item: TailItem| match item {
        TailItem::Event(event) => event.event_type,
        other => format!("{other:?}"),
    };
    assert_eq!([types(next().await), types(next().await)], ["stream.created", "first"]);

    stream.delete().await.unwrap();
    stream.append("second").await.unwrap();

    let mut told = Vec::new();
    while told.last().is_none_or(|it| it != "second") {
        told.push(types(next().await));
    }
    told.retain(|it| !it.starts_with("CaughtUp"));
    assert_eq!(told, ["Reset", "stream.created", "second"]);
}

#[tokio::test]
async fn a_token_that_does_not_hold_ends_a_tail_and_a_run() {
    let runtime = Runtime::with().var("TAILRACE_TOKEN", "right").var("TAILRACE_OPEN", "").start();
    let stream = |token: &str| sdk(&runtime.url).with_token(token).stream("/a").unwrap();
    stream("right").append("x").await.unwrap();

    let items: Vec<_> = timeout(PATIENCE, stream("wrong").tail().collect()).await.unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].as_ref().unwrap_err().code(), "unauthorized");
    let run = timeout(PATIENCE, stream("wrong").run("s", each(|_| async { Ok(()) })).into_future()).await.unwrap();
    assert_eq!(run.unwrap_err().status(), 401);
}

fn start(stream: &tailrace_sdk::Stream, seen: &Seen, stop: &CancellationToken) -> Running {
    let run = stream.run("echo", echo(seen)).types(["x"]).children().concurrency(3).lease_seconds(2);
    tokio::spawn(run.until(stop.clone()).into_future())
}

#[tokio::test]
async fn a_run_handles_all_below_also_what_is_born_later_and_goes_on_where_it_stopped() {
    let top = stream();
    let old = top.join("old").unwrap();
    old.append("x").await.unwrap();
    let (seen, stop) = (Seen::default(), CancellationToken::new());
    let first = start(&top, &seen, &stop);
    until("it is configured below", || async {
        old.state().await.unwrap().subscriptions.contains_key("echo").then_some(())
    })
    .await;
    let mut expected = 0;
    let mut say = async |names: &[&str], count: usize| {
        for name in names {
            let stream = top.join(name).unwrap();
            stream.append_all(vec!["x"; count]).await.unwrap();
            expected += count;
        }
        expected
    };

    let expected = say(&["old", "a/b", "c", "."], 3).await;
    until("all is handled", || async { (seen.lock().unwrap().len() >= expected).then_some(()) }).await;
    stop.cancel();
    timeout(PATIENCE, first).await.unwrap().unwrap().unwrap();
    let expected = say(&["a/b", "d/e/f", "."], 2).await;
    let stop = CancellationToken::new();
    let second = start(&top, &seen, &stop);
    until("the rest is handled", || async { (seen.lock().unwrap().len() >= expected).then_some(()) }).await;
    stop.cancel();
    timeout(PATIENCE, second).await.unwrap().unwrap().unwrap();

    let mut by_stream: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (path, offset) in seen.lock().unwrap().iter() {
        by_stream.entry(path.clone()).or_default().push(*offset);
    }
    assert_eq!(by_stream.values().map(Vec::len).sum::<usize>(), expected, "each once: {by_stream:?}");
    for (path, offsets) in by_stream {
        assert!(offsets.is_sorted(), "{path}: {offsets:?}");
        let events = all(&top.join(&path).unwrap()).await;
        let echoes: Vec<&Event> = events.iter().filter(|event| event.event_type == "echo").collect();
        let of: Vec<u64> = echoes.iter().map(|echo| echo.payload["of"].as_u64().unwrap()).collect();
        let counts: Vec<u64> = echoes.iter().map(|echo| echo.payload["count"].as_u64().unwrap()).collect();
        let causes: Vec<u64> = echoes.iter().map(|echo| echo.cause.as_ref().unwrap().offset).collect();
        assert_eq!((&of, &causes), (&offsets, &offsets));
        assert_eq!(counts, (1..=offsets.len() as u64).collect::<Vec<u64>>(), "each stream has its own state");
    }
    let configured = all(&top).await.iter().filter(|event| event.event_type == "subscription.configured").count();
    assert_eq!(configured, 1, "a restart has nothing to configure");
}

#[tokio::test]
async fn however_often_it_is_killed_each_event_is_answered_once() {
    let mut runtime = Runtime::with().start();
    let stream = sdk(&runtime.url).stream("/counted").unwrap();
    without_breaker(&stream).await;
    let seen = Seen::default();
    let run = || {
        let run = stream.run("echo", echo(&seen)).types(["x"]).lease_seconds(1).batch(10).into_future();
        tokio::spawn(run)
    };
    let mut running = run();
    until("it is configured", || async { stream.subscription("echo").await.ok() }).await;
    stream.append_all(vec!["x"; 200]).await.unwrap();

    for kills in 1..=6 {
        until("it is under way", || async { (seen.lock().unwrap().len() >= kills * 20).then_some(()) }).await;
        running.abort();
        if kills % 3 == 0 {
            runtime.kill_and_restart();
        }
        running = run();
    }
    until("all is settled", || async {
        let standing = stream.subscription("echo").await.unwrap();
        (standing.state == json!(200)).then_some(())
    })
    .await;
    running.abort();

    let of: Vec<Value> =
        stream.read().types(["echo"]).map_ok(|it| it.payload["of"].clone()).try_collect().await.unwrap();
    assert_eq!(of, (4..204).map(|offset| json!(offset)).collect::<Vec<Value>>());
}

#[tokio::test]
async fn history_is_folded_without_effects() {
    let stream = stream();
    stream.append_all(vec!["x"; 5]).await.unwrap();
    let (seen, stop) = (Seen::default(), CancellationToken::new());
    let run = stream.run("echo", echo(&seen)).types(["x"]).from_start().until(stop.clone());
    let running = tokio::spawn(run.into_future());
    until("history is folded", || async {
        let standing = stream.subscription("echo").await.ok()?;
        (standing.state == json!(5)).then_some(())
    })
    .await;

    let sixth = stream.append("x").await.unwrap();

    let echo = timeout(PATIENCE, stream.tail().types(["echo"]).try_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(echo.payload, json!({"of": sixth.offset, "count": 6}));
    assert_eq!(*seen.lock().unwrap(), [(stream.path().to_owned(), sixth.offset)]);
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_failure_is_an_event_and_is_tried_again() {
    let stream = stream();
    let (attempts, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let failing = {
        let attempts = attempts.clone();
        each(move |it: Appended<()>| {
            let attempt = attempts.fetch_add(1, Ordering::Relaxed);
            async move {
                it.append("done");
                if attempt == 0 { Err(Failure::from("no luck")) } else { Ok(()) }
            }
        })
    };
    let troubles: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = troubles.clone();
    let run = stream.run("shaky", failing).types(["x"]).until(stop.clone());
    let run = run.on_trouble(move |trouble| told.lock().unwrap().push(trouble.to_string()));
    let running = tokio::spawn(run.into_future());
    until("it is configured", || async { stream.subscription("shaky").await.ok() }).await;

    let offset = stream.append("x").await.unwrap().offset;

    timeout(PATIENCE, stream.tail().types(["done"]).try_next()).await.unwrap().unwrap().unwrap();
    let events = all(&stream).await;
    let types: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["stream.created", "subscription.configured", "x", "error.occurred", "done"]);
    let error = &events[3];
    assert_eq!(error.payload, json!({"message": "no luck", "subscription": "shaky", "offset": offset}));
    assert_eq!(error.cause.as_ref().unwrap().offset, offset);
    assert_eq!(*troubles.lock().unwrap(), [format!("event {offset} of {}: no luck", stream.path())]);
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lease_is_kept_alive_while_a_handler_works_and_given_back_when_it_is_stopped() {
    let stream = stream();
    let (seen, stop) = (Seen::default(), CancellationToken::new());
    let slow = {
        let seen = seen.clone();
        each(move |it: Appended<()>| {
            let seen = seen.clone();
            async move {
                seen.lock().unwrap().push(("slow".to_owned(), it.event.offset));
                // Longer than the lease, twice.
                tokio::time::sleep(Duration::from_millis(2_500)).await;
                it.append("slow");
                Ok(())
            }
        })
    };
    let running = tokio::spawn(stream.run("s", slow).types(["x"]).lease_seconds(1).until(stop.clone()).into_future());
    until("it is configured", || async { stream.subscription("s").await.ok() }).await;
    stream.append_all(vec!["x"; 3]).await.unwrap();
    until("it is at work", || async { (seen.lock().unwrap().len() == 1).then_some(()) }).await;
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();

    let standing = stream.subscription("s").await.unwrap();
    assert_eq!((seen.lock().unwrap().len(), standing.cursor), (1, 3), "what was in hand is finished");
    assert_eq!((&standing.other["lease"], &standing.other["failedAttempts"]), (&Value::Null, &json!(0)));

    let stop = CancellationToken::new();
    let run = stream.run("s", echo(&seen)).types(["x"]).until(stop.clone());
    let running = tokio::spawn(run.into_future());
    until("the rest is handled", || async { (seen.lock().unwrap().len() >= 3).then_some(()) }).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let answers: Vec<String> =
        stream.read().types(["slow", "echo"]).map_ok(|it| it.event_type).try_collect().await.unwrap();
    assert_eq!(answers, ["slow", "echo", "echo"]);
}

#[tokio::test]
async fn who_lost_the_lease_is_told_and_changes_nothing() {
    let stream = stream();
    let signalled = Arc::new(AtomicUsize::new(0));
    let stuck = {
        let signalled = signalled.clone();
        each(move |it: Appended<()>| {
            let signalled = signalled.clone();
            async move {
                it.append("late");
                it.signal.cancelled().await;
                signalled.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        })
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(stream.run("s", stuck).types(["x"]).lease_seconds(3).until(stop.clone()).into_future());
    until("it is configured", || async { stream.subscription("s").await.ok() }).await;
    stream.append("x").await.unwrap();
    until("it is at work", || async {
        let standing = stream.subscription("s").await.unwrap();
        standing.other["lease"].is_object().then_some(())
    })
    .await;

    // Configured anew, what was leased before is nobody's any more.
    let payload = json!({"slug": "s", "target": {"pull": true}, "types": ["y"], "version": "2"});
    stream.append(("subscription.configured", payload)).await.unwrap();

    until("it is told", || async { (signalled.load(Ordering::Relaxed) == 1).then_some(()) }).await;
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert!(all(&stream).await.iter().all(|event| event.event_type != "late"));
}

#[tokio::test]
async fn a_handler_is_a_push_endpoint_for_signed_pushes_alone() {
    let black_box = a_stream();
    let handler: Arc<OnceLock<Handler<_>>> = Arc::default();
    let endpoint = {
        let handler = handler.clone();
        Subscriber::answering(move |received| {
            let Some(handler) = handler.get() else { return Reply::status(503) };
            let mut request = http::Request::new(received.body.clone());
            *request.headers_mut() = received.headers.clone();
            // This processor never waits.
            let response = handler.handle(request).now_or_never().unwrap();
            Reply::status(response.status().as_u16()).body(response.body().to_vec())
        })
        .await
    };
    black_box.subscribe("count", &endpoint.target(), json!({"types": ["x"]})).await;
    let seen = Seen::default();
    assert!(handler.set(Handler::new(echo(&seen), [black_box.secret("count").await]).unwrap()).is_ok());

    let stream = sdk(&shared().url).stream(&black_box.path).unwrap();
    let events = stream.append_all(["x", "x", "x"]).await.unwrap();

    let answered: Vec<Event> =
        timeout(PATIENCE, stream.tail().types(["echo"]).take(3).try_collect()).await.unwrap().unwrap();
    for (nth, (event, echo)) in events.iter().zip(&answered).enumerate() {
        assert_eq!(echo.payload, json!({"of": event.offset, "count": nth + 1}));
        assert_eq!(echo.cause.as_ref().unwrap().offset, event.offset);
    }
    // What it was sent, changed by somebody.
    let push = endpoint.first().await;
    let handler = handler.get().unwrap();
    let sent = |change: &dyn Fn(&mut http::Request<Vec<u8>>)| {
        let mut request = http::Request::new(push.body.clone());
        *request.headers_mut() = push.headers.clone();
        change(&mut request);
        handler.handle(request).now_or_never().unwrap().status().as_u16()
    };
    let before = seen.lock().unwrap().len();
    assert_eq!(sent(&|request| request.body_mut().push(b' ')), 401);
    assert_eq!(sent(&|request| drop(request.headers_mut().remove("webhook-signature"))), 401);
    assert_eq!(sent(&|request| drop(request.headers_mut().insert("webhook-timestamp", 1.into()))), 401);
    assert_eq!(seen.lock().unwrap().len(), before, "nothing is run");
    assert_eq!(sent(&|_| ()), 200);
}
