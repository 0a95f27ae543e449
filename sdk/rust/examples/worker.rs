//! A worker in a process of its own, for `tests/processors` to kill. What it does is its argument, as JSON; those in the
//! other languages stand there.
#![expect(clippy::indexing_slicing, reason = "what JSON does not have is null")]

use std::io::{Write, stdout};

use serde_json::{Value, json};
use tailrace_sdk::{Appended, Error, Failure, Stream, Tailrace, TryStreamExt, fold};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let wish: Value = serde_json::from_str(&std::env::args().nth(1).ok_or("what shall it do?")?)?;
    let text = |name: &str| wish[name].as_str().unwrap_or_default();
    let stream = Tailrace::new(text("url"))?.stream(text("path"))?;
    match text("does") {
        "rounds" => rounds(&stream, &wish).await?,
        "subtree" => subtree(&stream, &wish).await?,
        "tail" => tail(&stream).await?,
        other => return Err(format!("nobody knows how to {other}").into()),
    }
    Ok(())
}

fn number(wish: &Value, name: &str) -> u64 {
    wish[name].as_u64().unwrap_or_default()
}

#[expect(clippy::unnecessary_wraps, reason = "a processor may fail")]
fn one_more(count: &mut u64) -> Result<(), Failure> {
    *count += 1;
    Ok(())
}

/// Answers each round of another's with the next, and counts them.
async fn rounds(stream: &Stream, wish: &Value) -> Result<(), Error> {
    let me = wish["me"].as_str().unwrap_or_default().to_owned();
    let last = number(wish, "rounds");
    let condition = format!("event.payload.by == {}", wish["other"]);
    let slug = me.clone();
    let player = fold(|count: &mut u64, _| one_more(count)).then(move |it: Appended<u64>| {
        let n = number(&it.event.payload, "n");
        if n < last {
            it.append(("round", json!({"n": n + 1, "by": me})));
        }
        async { Ok(()) }
    });
    let run = stream.run(slug, player).types(["round"]).only(condition);
    run.lease_seconds(number(wish, "leaseSeconds")).await
}

/// Counts the items of each stream below, and says of each that it was handled.
async fn subtree(stream: &Stream, wish: &Value) -> Result<(), Error> {
    let counter = fold(|count: &mut u64, _| one_more(count)).then(|it: Appended<u64>| {
        it.append(("handled", json!({"item": it.event.payload, "count": it.state})));
        async { Ok(()) }
    });
    let concurrency = usize::try_from(number(wish, "concurrency")).unwrap_or(1);
    let run = stream.run("count", counter).types(["item"]).children().concurrency(concurrency);
    run.lease_seconds(number(wish, "leaseSeconds")).await
}

/// Writes the offset and the payload of each event.
async fn tail(stream: &Stream) -> Result<(), Error> {
    let mut events = stream.tail();
    while let Some(event) = events.try_next().await? {
        let mut out = stdout().lock();
        let line = json!([event.offset, event.payload["n"]]);
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Ok(())
}
