//! Every call that reaches a stream's object: a text in, an [`Answer`] out. What changed goes to those who follow live.

mod delivery;

use serde_json::{Value, json};
use tailrace_model::cause::Origin;
use tailrace_model::limits;
use tailrace_model::line::push_line;
use tailrace_model::problem::Problem;
use tailrace_model::time::{Millis, to_rfc3339};

use crate::commit::{Committed, Terms, commit_if};
use crate::delivery::report;
use crate::log::{Reader, SEPARATOR};
use crate::obligation::{Call, Message};
use crate::page::{self, Page, Query};
use crate::parking::{self, Received};
use crate::raw::{self, Bytes};
use crate::sql::{Sql, Text};
use crate::stream::{Moment, Stream};
use crate::wire::{Answer, Append, Frame, Reply};
use crate::{Failure, children, hooks, obligation, schedule};
pub use delivery::{end_request, hold, lease, pick, say, settle_lease, standing, subscriptions, take_pushes, unpick};

/// An answer, and what those who follow live are to be sent.
pub struct Outcome<T> {
    /// The answer.
    pub answer: Answer<T>,
    /// Frames, in order.
    pub frames: Vec<Frame>,
}

type Done<S> = Result<Outcome<<S as Sql>::Text>, Failure>;

fn only<T>(answer: Answer<T>) -> Outcome<T> {
    Outcome { answer, frames: Vec::new() }
}

/// Appends: the text is an [`Append`].
///
/// # Errors
/// [`Failure`]
pub fn append<S: Sql>(stream: &mut Stream<S>, now: Moment, text: &str) -> Done<S> {
    let append = Append::parse(text)?;
    expect_raw(stream, &append)?;
    let is_batch = matches!(append.reply, Reply::Events | Reply::Offsets);
    let terms = Terms { expected: append.expected, is_batch };
    let committed = commit_if(stream, now, append.kind, &append.entries, terms)?;
    if committed.written.is_some() {
        keep_raw(stream, &append)?;
    }
    let mut answer = Answer::ok(&append_body(&committed, append.reply));
    if committed.written.is_none() {
        answer = answer.with("tailrace-duplicate", "true");
    }
    if committed.tripped {
        answer = answer.with("tailrace-paused", "true");
    }
    Ok(Outcome { answer, frames: frames(stream, [Some(&committed)]) })
}

/// Takes a hook: the text is whether it may make the stream (`1` or `0`), the size of its body, the source that the URL
/// names and the version of its configuration that was gone by, and an [`Append`]. With another version than the present
/// one nothing is done, and the answer is the present configuration: [`hooks::STALE`].
///
/// # Errors
/// [`Failure`]
pub fn hook<S: Sql>(stream: &mut Stream<S>, now: Moment, text: &str) -> Done<S> {
    let bad = || Failure::Storage("a hook that the front Worker did not write".to_owned());
    let (head, append) = text.split_once('\n').ok_or_else(bad)?;
    let mut words = head.split('\t');
    let (may_create, size) = words.next().zip(words.next()).ok_or_else(bad)?;
    let (source, version) = words.next().zip(words.next()).unwrap_or_default();
    if !source.is_empty() && version != hooks::version(stream, source)? {
        return Ok(only(Answer { status: hooks::STALE, ..hooks::config_answer(stream, source)? }));
    }
    may_receive(stream, may_create == "1")?;
    let append = Append::parse(append)?;
    expect_raw(stream, &append)?;
    let received = parking::receive(stream, now, &append.entries, size.parse().map_err(|_| bad())?)?;
    let is_new = match &received {
        Received::Stored(committed) => committed.written.is_some(),
        Received::Parked { is_new, .. } => *is_new,
    };
    if is_new {
        keep_raw(stream, &append)?;
    }
    match received {
        Received::Stored(committed) => Ok(Outcome {
            answer: {
                let answer = Answer::ok(&append_body(&committed, append.reply));
                if committed.written.is_none() { answer.with("tailrace-duplicate", "true") } else { answer }
            },
            frames: frames(stream, [Some(&committed)]),
        }),
        Received::Parked { paused, is_new } => {
            let mut answer = Answer::ok(r#"{"parked":true}"#);
            if !is_new {
                answer = answer.with("tailrace-duplicate", "true");
            }
            answer.status = 202;
            Ok(Outcome { answer, frames: frames(stream, [paused.as_ref()]) })
        }
    }
}

/// How hooks of a source are configured: see [`hooks::config_answer`].
///
/// # Errors
/// [`Failure`]
pub fn hook_config<S: Sql>(stream: &Stream<S>, source: &str) -> Done<S> {
    hooks::config_answer(stream, source).map(only)
}

/// Stores a part of a large body, before the hook that names it.
///
/// # Errors
/// [`Failure`]
pub fn upload<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    id: &str,
    number: u64,
    bytes: &[u8],
    may_create: bool,
) -> Done<S> {
    may_receive(stream, may_create)?;
    raw::upload(stream, now, id, number, bytes)?;
    Ok(only(Answer::ok("")))
}

/// Hands an event to those who follow live, and keeps nothing. The text is an [`Append`].
///
/// # Errors
/// [`Failure`]
pub fn ephemeral<S: Sql>(stream: &mut Stream<S>, now: Moment, text: &str) -> Done<S> {
    let append = Append::parse(text)?;
    if let Some(pause) = stream.life.as_ref().and_then(|life| life.state.paused.as_ref()) {
        return Err(Problem::StreamPaused { reason: pause.reason.clone(), since: pause.since }.into());
    }
    let mut reader = Reader::default();
    let mut lines = Vec::with_capacity(append.entries.len());
    for entry in &append.entries {
        let cause = crate::commit::resolve(stream, &mut reader, entry.origin.as_ref())?;
        if let Some(cause) = &cause {
            cause.check_hops()?;
        }
        let mut line = String::new();
        push_line(&mut line, None, &entry.fragment, cause.as_ref(), stream.quoted_path(), &to_rfc3339(now.at));
        lines.push(line);
    }
    let body = match append.reply {
        Reply::Event | Reply::Offset => format!("{{\"event\":{}}}", lines.concat()),
        Reply::Events | Reply::Offsets => format!("{{\"events\":[{}]}}", lines.join(SEPARATOR)),
    };
    Ok(Outcome { answer: Answer::ok(&body), frames: lines.into_iter().map(|line| Frame::Ephemeral { line }).collect() })
}

/// Reads a page. The text is how (`json` or `lines`), a line end, and a [`Query`] as JSON.
///
/// # Errors
/// [`Failure`]
pub fn read<S: Sql>(stream: &Stream<S>, text: &str) -> Done<S> {
    let bad = |_| Failure::Storage("a query that the front Worker did not write".to_owned());
    let (format, query) = text.split_once('\n').unwrap_or((text, "{}"));
    let query: Query = serde_json::from_str(query).map_err(bad)?;
    let page = page::read(stream, &query)?;
    let (content_type, body) = if format == "json" {
        ("application/json", json_page(&page))
    } else {
        ("application/x-ndjson", line_page(&page))
    };
    let mut answer = Answer { status: 200, headers: Vec::new(), body };
    if let Some(before) = page.before {
        answer = answer.with("tailrace-before-offset", before.to_string());
    }
    Ok(only(
        answer
            .with("content-type", content_type)
            .with("cache-control", "no-store")
            .with("tailrace-head", page.head.to_string())
            .with("tailrace-generation", stream.generation().unwrap_or_default())
            .with("tailrace-after-offset", page.after.to_string())
            .with("tailrace-up-to-date", page.up_to_date.to_string())
            .with("tailrace-count", page.count.to_string()),
    ))
}

/// Where the stream stands.
///
/// # Errors
/// [`Failure`]
pub fn head<S: Sql>(stream: &Stream<S>) -> Done<S> {
    let life = stream.life()?;
    let paused = life.state.paused.is_some();
    let body = json!({"head": life.head, "lastEventAt": to_rfc3339(life.last_at), "paused": paused}).to_string();
    Ok(only(
        Answer::ok(&body)
            .with("tailrace-head", life.head.to_string())
            .with("tailrace-generation", stream.generation().unwrap_or_default())
            .with("tailrace-paused", paused.to_string()),
    ))
}

/// How far the chain of causes of the event at `offset` has come: `[hops, turns]`.
///
/// # Errors
/// [`Failure`]
pub fn chain<S: Sql>(stream: &Stream<S>, offset: u64) -> Done<S> {
    let origin = Origin::Here(offset);
    let cause = crate::commit::resolve(stream, &mut Reader::default(), Some(&origin))?;
    Ok(only(Answer::ok(&json!(cause.map_or((0, 0), |cause| (cause.hops, cause.turns))).to_string())))
}

/// The control state after offset `at`, or now.
///
/// # Errors
/// [`Failure`]
pub fn state<S: Sql>(stream: &Stream<S>, now: Millis, at: Option<u64>) -> Done<S> {
    let (state, holds_for) = stream.state_at(at)?;
    let mut body = state.to_json(holds_for);
    if at.is_none() {
        let life = stream.life()?;
        for (slug, subscription) in body.get_mut("subscriptions").and_then(Value::as_object_mut).into_iter().flatten() {
            if let Value::Object(subscription) = subscription {
                subscription.append(&mut report::brief(stream, life, now, slug)?);
            }
        }
        for (slug, schedule) in body.get_mut("schedules").and_then(Value::as_object_mut).into_iter().flatten() {
            if let Value::Object(schedule) = schedule {
                schedule.append(&mut schedule::brief(life, slug));
            }
        }
        body.insert("lastEventAt".to_owned(), json!(to_rfc3339(life.last_at)));
        body.insert("parked".to_owned(), json!({"count": life.parked.count, "bytes": life.parked.bytes}));
    }
    Ok(only(Answer::ok(&Value::Object(body).to_string())))
}

/// The streams right below. The text is `limit`, a line end, and the path to go on behind.
///
/// # Errors
/// [`Failure`]
pub fn list_children<S: Sql>(stream: &Stream<S>, text: &str) -> Done<S> {
    let (limit, after) = text.split_once('\n').unwrap_or((text, ""));
    let children = children::list(stream, after, limit.parse().unwrap_or(limits::CHILDREN_DEFAULT))?;
    Ok(only(Answer::ok(&json!(children).to_string())))
}

/// Where the exact bytes of the hook at an offset are: small ones come in the answer, encoded in base64.
///
/// # Errors
/// [`Failure`]
pub fn find_raw<S: Sql>(stream: &Stream<S>, offset: u64) -> Result<Outcome<S::Text>, Failure> {
    let raw = raw::of(stream, offset)?;
    let body = match raw.bytes {
        Bytes::Whole(bytes) => json!({"contentType": raw.content_type, "whole": tailrace_model::hook::base64(&bytes)}),
        Bytes::Parts { id, count, size } => {
            json!({"contentType": raw.content_type, "id": id, "count": count, "size": size})
        }
    };
    Ok(only(Answer::ok(&body.to_string())))
}

/// Deletes the stream; with `below`, everything under it too.
///
/// # Errors
/// [`Failure`]
pub fn delete<S: Sql>(stream: &mut Stream<S>, now: Moment, below: bool) -> Done<S> {
    let generation = stream.generation().unwrap_or_default().to_owned();
    let gone = children::delete(stream, now, below)?;
    let mut answer = Answer::ok(&json!({"streamPath": stream.path().as_str(), "generation": generation}).to_string());
    if below {
        answer.status = 202;
    }
    Ok(Outcome { answer, frames: if gone { vec![Frame::Deleted] } else { Vec::new() } })
}

/// Takes in what another stream says: a [`Message`] as JSON. The answer is an [`obligation::Reply`].
///
/// # Errors
/// [`Failure`]
pub fn hear<S: Sql>(stream: &mut Stream<S>, now: Moment, text: &str) -> Done<S> {
    let message: Message = serde_json::from_str(text).map_err(|error| Failure::Storage(error.to_string()))?;
    let lived = stream.life.is_some();
    let (reply, committed) = children::hear(stream, now, &message)?;
    let mut frames = frames(stream, [committed.as_ref()]);
    if lived && stream.life.is_none() {
        frames.push(Frame::Deleted);
    }
    Ok(Outcome { answer: Answer::ok(&json!(reply).to_string()), frames })
}

/// The next call to make on another stream: a [`Call`] as JSON, or nothing. To be asked by the alarm.
///
/// # Errors
/// [`Failure`]
pub fn next_call<S: Sql>(stream: &mut Stream<S>, now: Moment) -> Result<(Option<Call>, Vec<Frame>), Failure> {
    let (lived, head) = (stream.life.is_some(), stream.head());
    let call = obligation::next_call(stream, now)?;
    Ok((call, changes(stream, lived, head)))
}

/// Takes in how a call went.
///
/// # Errors
/// [`Failure`]
pub fn settle<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    call: &Call,
    reply: Option<&str>,
) -> Result<Vec<Frame>, Failure> {
    let reply = reply.and_then(|text| serde_json::from_str(text).ok());
    let (lived, head) = (stream.life.is_some(), stream.head());
    obligation::settle(stream, now, call, reply.as_ref())?;
    Ok(changes(stream, lived, head))
}

/// What an alarm did to the log: readers are told the new head and page.
fn changes<S: Sql>(stream: &Stream<S>, lived: bool, head: u64) -> Vec<Frame> {
    match stream.generation() {
        None if lived => vec![Frame::Deleted],
        Some(generation) if stream.head() > head => {
            vec![Frame::Events { first: head + 1, last: stream.head(), generation: generation.to_owned(), lines: None }]
        }
        _ => Vec::new(),
    }
}

fn frames<'a, S: Sql>(stream: &Stream<S>, committed: impl IntoIterator<Item = Option<&'a Committed>>) -> Vec<Frame> {
    if !stream.followed {
        return Vec::new();
    }
    let Some(generation) = stream.generation() else { return Vec::new() };
    committed.into_iter().flatten().filter_map(|committed| Frame::of(committed, generation)).collect()
}

/// Only who knows the hook key may make a stream by sending to it.
fn may_receive<S: Sql>(stream: &Stream<S>, may_create: bool) -> Result<(), Failure> {
    if stream.life.is_none() && !may_create {
        let detail = "a hook for a stream that does not exist yet needs the hook key: ?key=".to_owned();
        return Err(Problem::Unauthorized { detail }.into());
    }
    Ok(())
}

/// Refuses an entry whose bytes were uploaded and are not there any more: the stream was deleted in between.
fn expect_raw<S: Sql>(stream: &Stream<S>, append: &Append) -> Result<(), Failure> {
    let uploaded = append.entries.iter().find_map(|entry| entry.raw.as_deref()).filter(|_| append.attached.is_none());
    match uploaded {
        Some(id) if !raw::is_uploaded(stream, id)? => Err(raw::lost().into()),
        _ => Ok(()),
    }
}

/// Makes sure of the exact bytes that an entry names: attached to it, or uploaded before.
fn keep_raw<S: Sql>(stream: &mut Stream<S>, append: &Append) -> Result<(), Failure> {
    let Some(id) = append.entries.iter().find_map(|entry| entry.raw.as_deref()) else { return Ok(()) };
    match &append.attached {
        Some(attached) => raw::keep(stream, id, 0, attached.as_bytes()),
        None => raw::adopt(stream, id),
    }
}

fn append_body(committed: &Committed, reply: Reply) -> String {
    let offsets = || committed.events.iter().map(|event| event.offset.to_string());
    let lines = || committed.events.iter().map(|event| committed.line(event));
    match reply {
        Reply::Event => format!("{{\"event\":{}}}", lines().collect::<String>()),
        Reply::Offset => format!("{{\"offset\":{}}}", offsets().collect::<String>()),
        Reply::Offsets => format!("{{\"offsets\":[{}]}}", offsets().collect::<Vec<_>>().join(",")),
        Reply::Events => {
            let size: usize = lines().map(|line| line.len() + SEPARATOR.len()).sum();
            let mut body = String::with_capacity(size + 16);
            body.push_str("{\"events\":[");
            for (index, line) in lines().enumerate() {
                body.push_str(if index == 0 { "" } else { SEPARATOR });
                body.push_str(line);
            }
            body.push_str("]}");
            body
        }
    }
}

fn json_page<T: Text>(page: &Page<T>) -> T {
    let before = page.before.map(|before| format!("\"beforeOffset\":{before},")).unwrap_or_default();
    let tail =
        format!("],\"afterOffset\":{},{before}\"head\":{},\"upToDate\":{}}}\n", page.after, page.head, page.up_to_date);
    let (open, close) = if page.count == 0 { ("{\"events\":[", "") } else { ("{\"events\":[\n", "\n") };
    T::from_str(open).joined("", &page.lines).joined(close, &T::from_str(&tail))
}

fn line_page<T: Text>(page: &Page<T>) -> T {
    if page.count == 0 {
        return T::default();
    }
    page.lines.replaced(SEPARATOR, "\n").joined("", &T::from_str("\n"))
}
