//! Live reading: history and then news on one connection, in order, without a gap or a double.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tailrace_tests::runtime::a_stream;
use tailrace_tests::{Block, Runtime, Stream, Tail};

fn offsets(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["offset"].as_u64().unwrap()).collect()
}

async fn with_events(count: u64) -> Stream {
    let stream = a_stream();
    stream.fill(count).await;
    stream
}

#[tokio::test]
async fn history_comes_first_then_a_tail_then_what_happens() {
    let stream = with_events(3).await;
    let generation = stream.generation().await;
    let mut tail = stream.tail().await;

    let mut blocks = Vec::new();
    while !blocks.iter().any(|block: &Block| block.event.as_deref() == Some("tail")) {
        blocks.push(tail.next_block().await.unwrap());
    }
    stream.say("news").await;
    let news = tail.next_where(Block::is_event).await;

    let events: Vec<&Block> = blocks.iter().filter(|block| block.is_event()).collect();
    assert_eq!(events.len(), 4);
    for (block, stored) in events.iter().zip(stream.events().await) {
        assert_eq!(block.id, Some(format!("{}.{generation}", stored["offset"])));
        assert_eq!(block.json(), stored);
    }
    let at_head = blocks.last().unwrap();
    assert_eq!((at_head.json(), at_head.id.clone()), (json!({"offset": 4}), Some(format!("4.{generation}"))));
    assert_eq!((news.offset(), news.json()["type"].clone()), (5, json!("news")));
}

#[tokio::test]
async fn the_line_of_a_live_event_is_the_line_of_a_page() {
    let stream = a_stream();
    let _ = stream.post(r#"{"type":"é\"","payload":{"z":1.50,"a":"\u00e9\n"},"metadata":{"m":[]}}"#).await.ok();

    let block = stream.tail_with("?afterOffset=1", &[]).await.next_where(Block::is_event).await;

    assert!(stream.read("").await.text().contains(&block.data.unwrap()));
}

#[tokio::test]
async fn the_answer_says_that_nobody_may_keep_or_hold_it_back_and_when_to_come_again() {
    let stream = with_events(1).await;

    let mut tail = stream.tail().await;
    let first = tail.next_block().await.unwrap();

    assert_eq!(tail.headers["content-type"], "text/event-stream");
    assert_eq!(tail.headers["cache-control"], "no-cache, no-transform");
    assert_eq!(tail.headers["x-accel-buffering"], "no");
    let retry = first.retry.expect("the first block has a retry");
    assert!((1_000..=10_000).contains(&retry), "{retry}");
}

#[tokio::test]
async fn the_time_to_come_again_is_not_the_same_for_everybody() {
    let stream = with_events(1).await;
    let mut retries = std::collections::HashSet::new();
    for _ in 0..10 {
        retries.insert(stream.tail().await.next_block().await.unwrap().retry);
    }

    assert!(retries.len() > 1, "{retries:?}");
}

#[tokio::test]
async fn live_can_be_asked_for_in_the_query() {
    let stream = with_events(1).await;

    let response = stream.client.request("GET", &format!("{}?live=true", stream.url())).send().await.unwrap();

    assert_eq!(Tail::of(response).next_events(2).await.len(), 2);
}

#[tokio::test]
async fn a_reader_resumes_behind_the_last_event_it_saw() {
    let stream = with_events(5).await;
    let generation = stream.generation().await;
    let cursor = format!("4.{generation}");
    let header = |value| [("last-event-id", value)];

    for mut tail in [
        stream.tail_with("", &header(cursor.as_str())).await,
        stream.tail_with("", &header("4")).await,
        stream.tail_with(&format!("?lastEventId={cursor}"), &[]).await,
        stream.tail_with("?lastEventId=4", &[]).await,
        stream.tail_with("?afterOffset=4", &[]).await,
        stream.tail_with("?afterOffset=1", &header(cursor.as_str())).await,
        stream.tail_with("?afterOffset=4", &header("")).await,
        stream.tail_with("?afterOffset=4&lastEventId=", &[]).await,
    ] {
        assert_eq!(offsets(&tail.to_head().await), [5, 6]);
    }
}

#[tokio::test]
async fn the_id_of_a_tail_event_is_a_cursor_too() {
    let stream = with_events(2).await;
    let id = stream.tail_with("?types=nothing", &[]).await.next_named("tail").await.id.unwrap();
    stream.say("news").await;

    let mut tail = stream.tail_with("", &[("last-event-id", &id)]).await;

    assert_eq!(offsets(&tail.to_head().await), [4]);
}

#[tokio::test]
async fn a_cursor_of_another_life_is_reset_and_reads_from_the_first_event() {
    let stream = with_events(5).await;
    let old = format!("4.{}", stream.generation().await);
    assert_eq!(stream.delete("").await.status, 200);
    stream.say("reborn").await;
    assert_ne!(format!("4.{}", stream.generation().await), old);

    let mut tail = stream.tail_with("", &[("last-event-id", &old)]).await;
    let reset = tail.next_where(|block| block.event.is_some()).await;

    assert_eq!(reset.event.as_deref(), Some("reset"));
    assert_eq!(offsets(&tail.to_head().await), [1, 2]);
}

#[tokio::test]
async fn a_cursor_beyond_the_head_is_reset() {
    let stream = with_events(1).await;
    let beyond = format!("99.{}", stream.generation().await);

    let mut tail = stream.tail_with("", &[("last-event-id", &beyond)]).await;
    let reset = tail.next_where(|block| block.event.is_some()).await;

    assert_eq!(reset.event.as_deref(), Some("reset"));
    assert_eq!(offsets(&tail.to_head().await), [1, 2]);
}

#[tokio::test]
async fn deleting_ends_live_readers() {
    let stream = with_events(2).await;
    let (mut one, mut two) = (stream.tail().await, stream.tail().await);
    one.to_head().await;
    two.to_head().await;

    assert_eq!(stream.delete("").await.status, 200);

    let blocks = [one.to_end().await, two.to_end().await].concat();
    assert!(!blocks.iter().any(Block::is_event), "{blocks:?}");
}

#[tokio::test]
async fn a_live_read_waits_for_a_stream_that_does_not_exist_and_does_not_create_it() {
    let stream = a_stream();
    let mut tail = stream.tail().await;
    assert!(tail.next_block().await.unwrap().retry.is_some());
    assert_eq!(stream.head().await.status, 404);

    stream.say("first").await;

    assert_eq!(offsets(&tail.next_events(2).await), [1, 2]);
}

#[tokio::test]
async fn a_reader_of_some_types_learns_how_far_the_others_went() {
    let stream = with_events(2).await;
    let mut tail = stream.tail_with("?types=wanted", &[]).await;
    assert!(tail.to_head().await.is_empty());

    stream.say("other").await;
    let passed = tail.next_named("tail").await;
    stream.say("wanted").await;
    let wanted = tail.next_where(Block::is_event).await;

    assert_eq!((passed.offset(), passed.json()), (4, json!({"offset": 4})));
    assert_eq!(wanted.offset(), 5);
}

#[tokio::test]
async fn a_live_read_ends_where_its_query_ends() {
    let stream = with_events(5).await;
    let third = stream.page("?afterOffset=2&limit=1").await[0]["createdAt"].as_str().unwrap().to_owned();
    let ended =
        |blocks: Vec<Block>| blocks.iter().filter(|block| block.is_event()).map(Block::offset).collect::<Vec<_>>();

    assert_eq!(ended(stream.tail_with("?beforeOffset=4", &[]).await.to_end().await), [1, 2, 3]);
    assert_eq!(ended(stream.tail_with("?beforeOffset=end", &[]).await.to_end().await), [1, 2, 3, 4, 5, 6]);
    assert_eq!(ended(stream.tail_with("?limit=2", &[]).await.to_end().await), [1, 2]);
    let until = ended(stream.tail_with(&format!("?until={third}"), &[]).await.to_end().await);
    assert!(until.len() >= 3, "{until:?}");
}

#[tokio::test]
async fn a_live_read_that_ends_in_the_future_ends_there() {
    let stream = with_events(1).await;
    let mut tail = stream.tail_with("?beforeOffset=5", &[]).await;
    assert_eq!(offsets(&tail.to_head().await), [1, 2]);

    for _ in 0..4 {
        stream.say("news").await;
    }

    let rest: Vec<u64> = tail.to_end().await.iter().filter(|block| block.is_event()).map(Block::offset).collect();
    assert_eq!(rest, [3, 4]);
}

#[tokio::test]
async fn a_live_read_combines_with_last_and_since() {
    let stream = with_events(5).await;

    let mut last = stream.tail_with("?last=2", &[]).await;
    let mut since = stream.tail_with("?since=2999-01-01T00:00:00Z", &[]).await;

    assert_eq!(offsets(&last.to_head().await), [5, 6]);
    assert!(since.to_head().await.is_empty());
    stream.say("news").await;
    assert_eq!(offsets(&last.next_events(1).await), [7]);
}

#[tokio::test]
async fn a_live_read_with_a_cause_shows_only_what_that_event_caused() {
    let stream = with_events(3).await;
    let mut tail = stream.tail_with("?cause=2", &[]).await;
    assert!(tail.to_head().await.is_empty());

    let _ = stream.append(json!([{"type": "a", "cause": {"offset": 3}}, {"type": "b", "cause": {"offset": 2}}])).await;

    assert_eq!(tail.next_event().await["type"], "b");
}

#[tokio::test]
async fn no_event_is_missed_or_doubled_between_history_and_live() {
    let stream = a_stream().without_breaker().await;
    let writer = {
        let stream = stream.clone();
        tokio::spawn(async move {
            for n in 0..150 {
                let size = if n % 10 == 0 { 100_000 } else { 10 };
                let _ = stream.append(json!({"type": "w", "payload": "x".repeat(size)})).await.ok();
            }
        })
    };

    // Readers come at any moment: each reads what was and what is being written.
    let mut readers = Vec::new();
    while !writer.is_finished() && readers.len() < 20 {
        let stream = stream.clone();
        readers.push(tokio::spawn(async move { offsets(&stream.tail().await.next_events(152).await) }));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }

    writer.await.unwrap();
    assert!(readers.len() > 2, "{}", readers.len());
    for reader in readers {
        assert_eq!(reader.await.unwrap(), (1..=152).collect::<Vec<u64>>());
    }
}

#[tokio::test]
async fn large_events_reach_a_live_reader_whole() {
    let stream = with_events(1).await;
    let mut tail = stream.tail().await;
    tail.to_head().await;
    let text = "ä\n".repeat(200_000);

    let _ = stream.append(json!({"type": "large", "payload": text})).await.ok();

    assert_eq!(tail.next_event().await["payload"], text);
}

#[tokio::test]
async fn batches_reach_a_live_reader_in_order() {
    let stream = a_stream().without_breaker().await;
    let mut tail = stream.tail().await;
    tail.to_head().await;

    for _ in 0..5 {
        stream.fill(1_000).await;
    }

    assert_eq!(offsets(&tail.next_events(5_000).await), (3..=5_002).collect::<Vec<u64>>());
}

#[tokio::test]
async fn an_idle_reader_hears_a_heartbeat() {
    let stream = with_events(1).await;
    let mut tail = stream.tail().await;
    tail.to_head().await;
    let begun = Instant::now();

    let block = tail.next_block_within(Duration::from_secs(25)).await.unwrap();

    // A comment, so that no client takes it for a message.
    assert_eq!(block, Block { comment: true, ..Block::default() });
    assert!((10..20).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn pausing_does_not_end_readers() {
    let stream = with_events(1).await;
    let mut tail = stream.tail().await;
    tail.to_head().await;

    stream.say("stream.paused").await;
    stream.say("stream.resumed").await;

    let events = tail.next_events(2).await;
    assert_eq!((&events[0]["type"], &events[1]["type"]), (&json!("stream.paused"), &json!("stream.resumed")));
}

#[tokio::test]
async fn a_reader_that_does_not_read_costs_little_and_misses_nothing() {
    let runtime = Runtime::with().start();
    let stream = runtime.a_stream().without_breaker().await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut tail = stream.tail().await;
        tail.to_head().await;
        slow.push(tail);
    }
    // What the writing alone takes, a second stream shows.
    let alone = runtime.a_stream().without_breaker().await;
    let large = json!({"type": "large", "payload": "x".repeat(900_000)});
    for _ in 0..40 {
        let _ = alone.post_with("", &[("prefer", "return=minimal")], large.to_string()).await.ok();
    }
    let (before, _) = runtime.memory();

    // 36 MB, twenty readers: 720 MB, if it waited for them in memory.
    for _ in 0..40 {
        let _ = stream.post_with("", &[("prefer", "return=minimal")], large.to_string()).await.ok();
    }

    let (after, _) = runtime.memory();
    println!("{before} MiB before, {after} MiB with twenty readers that do not read");
    assert!(after < before + 150, "{before} MiB, then {after} MiB");
    for mut tail in slow.into_iter().take(3) {
        assert_eq!(offsets(&tail.next_events(40).await), (3..=42).collect::<Vec<u64>>());
    }
}

#[tokio::test]
async fn a_thousand_idle_readers_all_hear_one_event_and_one_more_is_told_to_come_again() {
    let runtime = Runtime::with().start();
    let stream = runtime.a_stream();
    stream.say("a").await;
    let mut readers = Vec::new();
    for _ in 0..1_000 {
        let mut tail = stream.tail_with("?afterOffset=2", &[]).await;
        tail.to_head().await;
        readers.push(tail);
    }

    let blocks = stream.tail().await.to_end().await;
    assert!(blocks.iter().any(|block| block.retry.is_some()), "{blocks:?}");
    assert!(!blocks.iter().any(Block::is_event), "{blocks:?}");

    let begun = Instant::now();
    stream.say("news").await;
    for reader in &mut readers {
        assert_eq!(reader.next_event().await["offset"], 3);
    }
    println!("1,000 readers heard of it within {:?}; {:?} MiB", begun.elapsed(), runtime.memory());

    // Who goes makes room.
    readers.truncate(900);
    tailrace_tests::until("there is room again", || async {
        let mut tail = stream.tail().await;
        (tail.next_where(|block| block.retry.is_some() || block.is_event()).await, tail.next_block().await)
            .1
            .map(|_| ())
    })
    .await;
}
