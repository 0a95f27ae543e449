//! Plays the cases of `sdk/behaviour`: reads what to do as lines of JSON, and writes what was seen.
#![expect(clippy::indexing_slicing, reason = "what JSON does not have is null")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tailrace_sdk::stream::Below;
use tailrace_sdk::{
    Appended, CancellationToken, Error, Event, Failure, Handler, NewEvent, Processor, Retry, Stream, StreamExt,
    TailItem, Tailrace, TryStreamExt,
};
use tokio::io::{AsyncBufReadExt, BufReader};

type Seen = Arc<Mutex<Vec<Value>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let task: Value = serde_json::from_str(&line)?;
        let said = match play(&task).await {
            Ok(saw) => json!({"id": task["id"], "saw": saw}),
            Err(error) => json!({"id": task["id"], "error": told(&error)}),
        };
        println!("{said}");
    }
    Ok(())
}

fn told(error: &Error) -> Value {
    let refusal = error.refusal();
    json!({
        "code": Some(error.code()).filter(|code| !code.is_empty()),
        "status": refusal.map(|it| it.status),
        "field": refusal.and_then(|it| it.field.clone()),
        "message": error.to_string(),
    })
}

async fn play(task: &Value) -> Result<Vec<Value>, Error> {
    let with = &task["with"];
    let mut retry = Retry::default();
    if std::env::var_os("TAILRACE_SDK_FAST").is_some() {
        retry = Retry { first: Duration::from_millis(1), most: Duration::from_millis(20), ..retry };
    }
    if let Some(ms) = with["retryForMs"].as_u64() {
        retry = retry.within(Duration::from_millis(ms));
    }
    if task["do"] == "handle" || task["do"] == "verify" {
        return handle(with).await;
    }
    let mut tailrace = Tailrace::new(task["url"].as_str().unwrap_or_default())?.with_retry(retry);
    if let Some(token) = with["token"].as_str() {
        tailrace = tailrace.with_token(token);
    }
    let stream = tailrace.stream(with["path"].as_str().unwrap_or("/"))?;
    match task["do"].as_str().unwrap_or_default() {
        "append" => append(&stream, with).await,
        "read" => read(&stream, with).await,
        "tail" => tail(&stream, with).await,
        "run" => run(&stream, with).await,
        "state" => {
            let at = with["at"].as_u64();
            let state = if let Some(at) = at { stream.state_at(at).await? } else { stream.state().await? };
            Ok(vec![json!(state)])
        }
        "children" => {
            let wants = |name: &str| with["options"][name] == true;
            let below = Below { recursive: wants("recursive"), details: wants("details") };
            stream.children(below).map_ok(|child| json!(child)).try_collect().await
        }
        other => Err(Error::Invalid(format!("nobody knows how to {other}"))),
    }
}

async fn append(stream: &Stream, with: &Value) -> Result<Vec<Value>, Error> {
    let read = |value: &Value| {
        serde_json::from_value::<NewEvent>(value.clone()).map_err(|error| Error::Invalid(error.to_string()))
    };
    match &with["events"] {
        Value::Array(events) => {
            let events = events.iter().map(read).collect::<Result<Vec<NewEvent>, Error>>()?;
            Ok(stream.append_all(events).await?.iter().map(|event| json!(event)).collect())
        }
        _ => Ok(vec![json!(stream.append(read(&with["event"])?).await?)]),
    }
}

fn globs(types: &Value) -> Vec<String> {
    match types {
        Value::String(text) => text.split(',').map(str::to_owned).collect(),
        Value::Array(list) => list.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

async fn read(stream: &Stream, with: &Value) -> Result<Vec<Value>, Error> {
    let mut read = stream.read();
    for (name, value) in with["options"].as_object().into_iter().flatten() {
        let text = || value.as_str().unwrap_or_default();
        let number = || value.as_u64().unwrap_or_default();
        read = match name.as_str() {
            "afterOffset" => read.after_offset(number()),
            "beforeOffset" if value == "end" => read.before_now(),
            "beforeOffset" => read.before_offset(number()),
            "limit" => read.limit(number()),
            "last" => read.last(number()),
            "types" => read.types(globs(value)),
            "since" => read.since(text()),
            "until" => read.until(text()),
            "cause" => read.cause(number()),
            "payloads" => read,
            other => return Err(Error::Invalid(format!("a read has no {other}"))),
        };
    }
    let with_payloads = with["payloads"] == true || with["options"]["payloads"] == true;
    let told = |event: Event| {
        if with_payloads {
            json!([event.offset, event.event_type, event.payload])
        } else {
            json!([event.offset, event.event_type])
        }
    };
    read.map_ok(told).try_collect().await
}

async fn tail(stream: &Stream, with: &Value) -> Result<Vec<Value>, Error> {
    let options = &with["options"];
    let mut tail = stream.tail();
    if let Some(offset) = options["afterOffset"].as_u64() {
        tail = tail.after_offset(offset);
    }
    if let Some(events) = options["last"].as_u64() {
        tail = tail.last(events);
    }
    if !options["types"].is_null() {
        tail = tail.types(globs(&options["types"]));
    }
    let until = match with["until"].as_u64() {
        Some(0) | None => usize::MAX,
        Some(until) => usize::try_from(until).unwrap_or(usize::MAX),
    };
    let items = tail.items().map_ok(|item| match item {
        TailItem::Event(event) => json!(["event", event.offset, event.event_type, event.payload]),
        TailItem::CaughtUp(offset) => json!(["caught-up", offset]),
        TailItem::Ephemeral(event) => json!(["ephemeral", event.event_type]),
        TailItem::Reset => json!(["reset"]),
        other => json!([format!("{other:?}")]),
    });
    let watched = with["watch"].as_array();
    let is_watched = |item: &Value| watched.is_none_or(|kinds| kinds.contains(&item[0]));
    items.try_filter(|item| std::future::ready(is_watched(item))).take(until).try_collect().await
}

/// The processors that cases name.
struct Actor {
    kind: String,
    ms: u64,
    seen: Seen,
    failed: Mutex<Vec<u64>>,
    until: usize,
    stop: CancellationToken,
}

impl Actor {
    fn new(with: &Value, stop: CancellationToken) -> Self {
        Self {
            kind: with["processor"].as_str().unwrap_or("counter").to_owned(),
            ms: with["ms"].as_u64().unwrap_or(0),
            seen: Seen::default(),
            failed: Mutex::default(),
            until: usize::try_from(with["until"].as_u64().unwrap_or(u64::MAX)).unwrap_or(usize::MAX),
            stop,
        }
    }

    fn see(&self, what: Value) {
        if let Ok(mut seen) = self.seen.lock() {
            seen.push(what);
            let handled = seen.iter().filter(|it| it[0] == "handled").count();
            if handled >= self.until {
                self.stop.cancel();
            }
        }
    }
}

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Count {
    n: u64,
}

impl Processor for Actor {
    type State = Count;

    fn reduce(&self, state: &mut Count, event: &Event) -> Result<(), Failure> {
        state.n += 1;
        self.see(json!(["reduced", event.offset]));
        Ok(())
    }

    async fn after_append(&self, it: Appended<Count>) -> Result<(), Failure> {
        let offset = it.event.offset;
        if self.kind == "throws-once" && it.event.event_type == "bad" {
            let mut failed = self.failed.lock().map_err(|_| "poisoned")?;
            if !failed.contains(&offset) {
                failed.push(offset);
                self.see(json!(["threw", offset]));
                return Err("bad event".into());
            }
        }
        self.see(json!(["handled", offset, it.state]));
        if self.kind == "slow" {
            let wait = tokio::time::sleep(Duration::from_millis(self.ms));
            if it.signal.run_until_cancelled(wait).await.is_none() {
                self.see(json!(["aborted", offset]));
                return Ok(());
            }
        }
        if self.kind != "counter" && self.kind != "throws-once" {
            it.append(("echo", json!({"of": offset})));
        }
        Ok(())
    }
}

/// One actor for several owners.
struct Shared(Arc<Actor>);

impl Processor for Shared {
    type State = Count;

    fn reduce(&self, state: &mut Count, event: &Event) -> Result<(), Failure> {
        self.0.reduce(state, event)
    }

    async fn after_append(&self, it: Appended<Count>) -> Result<(), Failure> {
        self.0.after_append(it).await
    }
}

async fn run(stream: &Stream, with: &Value) -> Result<Vec<Value>, Error> {
    let options = &with["options"];
    let stop = CancellationToken::new();
    let actor = Arc::new(Actor::new(with, stop.clone()));
    let mut run = stream.run(with["slug"].as_str().unwrap_or("case"), Shared(actor.clone())).until(stop);
    for (name, value) in options.as_object().into_iter().flatten() {
        let text = || value.as_str().unwrap_or_default();
        let number = || value.as_u64().unwrap_or_default();
        run = match name.as_str() {
            "children" if value == true => run.children(),
            "whilePaused" if value == true => run.while_paused(),
            "concurrency" => run.concurrency(usize::try_from(number()).unwrap_or(1)),
            "types" => run.types(globs(value)),
            "where" => run.only(text()),
            "from" if value == "start" => run.from_start(),
            "from" if value.is_u64() => run.from_offset(number()),
            "version" => run.version(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
            "batch" => run.batch(number()),
            "grants" => run.grants(globs(value)),
            "leaseSeconds" => run.lease_seconds(number()),
            _ => run,
        };
    }
    run.await?;
    let seen = actor.seen.lock().map_err(|_| Error::Invalid("poisoned".to_owned()))?;
    Ok(seen.clone())
}

async fn handle(with: &Value) -> Result<Vec<Value>, Error> {
    let secrets = globs(&with["secrets"]);
    let actor = Shared(Arc::new(Actor::new(with, CancellationToken::new())));
    let handler = Handler::new(actor, secrets)?;
    let mut request = http::Request::post("/");
    for (name, value) in with["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap_or_default());
    }
    let body = with["body"].as_str().map_or_else(|| with["body"].to_string(), str::to_owned);
    let request = request.body(body).map_err(|error| Error::Invalid(error.to_string()))?;
    let response = match with["now"].as_i64() {
        Some(now) => handler.handle_at(request, now).await,
        None => handler.handle(request).await,
    };
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    Ok(vec![json!({"status": response.status().as_u16(), "body": body})])
}
