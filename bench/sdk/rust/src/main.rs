//! What the bench has the SDK in Rust do; the tasks are in the bench's README. Says one JSON a line.

use std::error::Error;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use tailrace_sdk::{Event, NewEvent, Stream, TailItem, Tailrace, fold, json};

type Done = Result<(), Box<dyn Error>>;

const WARM_UP: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Done {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [task, url, path, numbers @ ..] = args.as_slice() else { return Err("TASK URL PATH NUMBER…".into()) };
    let stream = Tailrace::new(url)?.stream(path)?;
    let numbers = numbers.iter().map(|it| it.parse()).collect::<Result<Vec<u64>, _>>()?;
    match (task.as_str(), numbers.as_slice()) {
        ("append", &[connections, ms]) => append(&stream, connections, Duration::from_millis(ms)).await,
        ("tail", &[after]) => tail(&stream, after).await,
        ("pull", &[skip, count]) => pull(&stream, skip, count).await,
        ("drain", &[count]) => drain(&stream, count).await,
        _ => Err("append CONNECTIONS MS, tail AFTER, pull SKIP COUNT or drain COUNT".into()),
    }
}

async fn append(stream: &Stream, connections: u64, time: Duration) -> Done {
    hammer(stream, connections, WARM_UP).await?;
    say(json!({"ready": true}));
    let begun = Instant::now();
    let times = hammer(stream, connections, time).await?;
    say(json!({"seconds": begun.elapsed().as_secs_f64(), "times": times}));
    Ok(())
}

/// The milliseconds that each append took.
async fn hammer(stream: &Stream, connections: u64, time: Duration) -> Result<Vec<f64>, Box<dyn Error>> {
    let begun = Instant::now();
    let loops = (0..connections).map(|_| {
        let stream = stream.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            let mut now = Instant::now();
            while now - begun < time {
                let payload = json!({"seq": 0, "text": "Water that has turned the wheel runs on."});
                stream.append(NewEvent::new("message.added").payload(payload)).await?;
                times.push(now.elapsed().as_secs_f64() * 1e3);
                now = Instant::now();
            }
            Ok::<_, tailrace_sdk::Error>(times)
        })
    });
    let mut all = Vec::new();
    for times in join_all(loops).await {
        all.extend(times??);
    }
    Ok(all)
}

async fn tail(stream: &Stream, after: u64) -> Done {
    let mut items = stream.tail().after_offset(after).items();
    while let Some(item) = items.try_next().await? {
        match item {
            TailItem::Event(event) => say(event.payload["seq"].clone()),
            TailItem::CaughtUp(_) => say(json!({"ready": true})),
            _ => {}
        }
    }
    Ok(())
}

async fn pull(stream: &Stream, skip: u64, count: u64) -> Done {
    let counting = |seen: &mut u64, _: &Event| {
        *seen += 1;
        Ok(())
    };
    let counter = fold(counting).then(move |it| async move {
        static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        if it.state == skip {
            BEGUN.get_or_init(Instant::now);
            say(json!({"ready": true}));
        } else if it.state == skip + count {
            let seconds = BEGUN.get().map(|begun| begun.elapsed().as_secs_f64());
            say(json!({"seconds": seconds}));
        }
        Ok(())
    });
    Ok(stream.run("worker", counter).await?)
}

async fn drain(stream: &Stream, count: u64) -> Done {
    say(json!({"seen": 0}));
    let mut seen = 0;
    let mut events = stream.tail();
    while events.try_next().await?.is_some() {
        seen += 1;
        if seen % (count / 10) == 0 {
            say(json!({"seen": seen}));
        }
    }
    Ok(())
}

fn say(what: impl std::fmt::Display) {
    println!("{what}");
}
