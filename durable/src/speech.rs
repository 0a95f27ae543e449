//! What a model is saying right now. It is told to those who follow live and kept in memory alone: the finished answer is
//! an event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tailrace_model::cause::Cause;
use tailrace_model::limits;
use tailrace_model::line::{Fragment, push_line};
use tailrace_model::time::to_rfc3339;
use tailrace_model::{Problem, json as text};

use crate::commit::{Committed, Entry, Kind, commit};
use crate::sql::Sql;
use crate::stream::{Life, Moment, Stream};
use crate::wire::Frame;
use crate::{Failure, keys};

/// What is being said in a stream, by request.
pub type Speeches = BTreeMap<String, Speech>;

/// The beginning of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speech {
    agent: String,
    attempt: u32,
    /// `None` when it is too long to be kept.
    text: Option<String>,
    chars: u64,
}

/// So much is kept for those who join late. What is longer they see from where they joined.
const KEPT_BYTES: usize = 256 * 1_024;

/// More of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delta {
    /// The stream's life.
    pub generation: String,
    /// The agent.
    pub slug: String,
    /// The request.
    pub request_id: String,
    /// Which attempt at it.
    pub attempt: u32,
    /// `agent.turn-started` of it.
    pub started: u64,
    /// Characters before it.
    pub at: u64,
    /// What was said.
    pub text: String,
}

/// What became of a request, as an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The stream's life.
    pub generation: String,
    /// The agent.
    pub slug: String,
    /// The request.
    pub request_id: String,
    /// `agent.turn-started` of it.
    pub started: u64,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its payload, as JSON text.
    pub payload: String,
    /// It lands once under this name.
    pub key: String,
}

/// Whether an answer to a request is still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Wanted,
    /// Not before the stream goes on.
    Paused,
    /// The agent was removed.
    Unwanted,
    /// It has its end.
    Ended,
}

/// Whether an answer to a request is still wanted. The delta says which; its text does not matter.
///
/// # Errors
/// [`Problem::StreamNotFound`] when the stream it is for does not live any more; [`Failure::Storage`].
pub fn standing<S: Sql>(stream: &Stream<S>, delta: &Delta) -> Result<Standing, Failure> {
    expect_life(stream, &delta.generation)?;
    let end = keys::system(&end_key(&delta.request_id));
    let life = stream.life()?;
    Ok(if !keys::find(&stream.sql, &[&end])?.is_empty() {
        Standing::Ended
    } else if !is_wanted(life, delta) {
        Standing::Unwanted
    } else if life.state.paused.is_some() {
        Standing::Paused
    } else {
        Standing::Wanted
    })
}

/// Whether it is the same agent that asked: one that was removed and configured anew is another.
fn is_wanted(life: &Life, delta: &Delta) -> bool {
    life.deliveries.get(&delta.slug).is_some_and(|delivery| delivery.progress.since < delta.started)
}

/// Under this name the end of a request lands once.
#[must_use]
pub fn end_key(request_id: &str) -> String {
    format!("{request_id}:end")
}

/// Takes in more of an answer. Returns how many characters of it are known here now; with fewer than were said, all of it is
/// to be said again. `None` = the agent was removed, and nobody wants the rest.
///
/// # Errors
/// [`Problem::StreamNotFound`] when the stream it is for does not live any more.
pub fn say<S: Sql>(stream: &mut Stream<S>, now: Moment, delta: &Delta) -> Result<(Option<u64>, Vec<Frame>), Failure> {
    expect_life(stream, &delta.generation)?;
    let is_new = stream.life.as_ref().is_none_or(|life| !life.speeches.contains_key(&delta.request_id));
    // One that comes after the end would never be forgotten.
    if is_new && !keys::find(&stream.sql, &[&keys::system(&end_key(&delta.request_id))])?.is_empty() {
        return Ok((None, Vec::new()));
    }
    let Some(life) = stream.life.as_mut().filter(|life| is_wanted(life, delta)) else { return Ok((None, Vec::new())) };
    let speech = life.speeches.entry(delta.request_id.clone()).or_default();
    if speech.attempt != delta.attempt || delta.at == 0 {
        *speech = Speech { agent: delta.slug.clone(), attempt: delta.attempt, text: Some(String::new()), chars: 0 };
    }
    if speech.chars != delta.at {
        return Ok((Some(speech.chars), Vec::new()));
    }
    speech.chars += delta.text.chars().count() as u64;
    speech.text.take_if(|text| text.len() + delta.text.len() > KEPT_BYTES);
    if let Some(text) = &mut speech.text {
        text.push_str(&delta.text);
    }
    let known = speech.chars;
    let frames = if stream.followed { frame(stream, now, delta).into_iter().collect() } else { Vec::new() };
    Ok((Some(known), frames))
}

/// What somebody who joins is told first: all that is being said, from its beginning.
pub fn so_far<S: Sql>(stream: &Stream<S>, now: Moment) -> Vec<Frame> {
    let Some(life) = stream.life.as_ref() else { return Vec::new() };
    let whole = |(request_id, speech): (&String, &Speech)| {
        let text = speech.text.clone().filter(|text| !text.is_empty())?;
        let delta = Delta {
            slug: speech.agent.clone(),
            request_id: request_id.clone(),
            attempt: speech.attempt,
            text,
            ..Delta::default()
        };
        frame(stream, now, &delta)
    };
    life.speeches.iter().filter_map(whole).collect()
}

fn frame<S: Sql>(stream: &Stream<S>, now: Moment, delta: &Delta) -> Option<Frame> {
    let Delta { slug, request_id, attempt, at, text, .. } = delta;
    let payload =
        json!({"agent": slug, "requestId": request_id, "attempt": attempt, "at": at, "text": text}).to_string();
    let system = Some(system_of(slug));
    let fragment = Fragment { event_type: "agent.output-delta", payload: &payload, metadata: None, system, key: None };
    let cause = (delta.started > 0).then(|| Cause {
        stream_path: stream.path().to_string(),
        offset: delta.started,
        hops: 0,
        turns: 0,
    });
    let mut line = String::new();
    push_line(&mut line, None, &fragment.to_text().ok()?, cause.as_ref(), stream.quoted_path(), &to_rfc3339(now.at));
    Some(Frame::Ephemeral { line })
}

/// Appends what became of a request, once; `None` when it is there already, or another end of the same request is.
///
/// # Errors
/// [`Problem::StreamNotFound`] when the stream it was for does not live any more; [`Problem::TooLarge`].
pub fn end<S: Sql>(stream: &mut Stream<S>, now: Moment, outcome: &Outcome) -> Result<Option<Committed>, Failure> {
    expect_life(stream, &outcome.generation)?;
    if let Some(life) = stream.life.as_mut() {
        life.speeches.remove(&outcome.request_id);
    }
    let key = keys::system(&outcome.key);
    if !keys::find(&stream.sql, &[&key])?.is_empty() {
        return Ok(None);
    }
    let system = Some(system_of(&outcome.slug));
    let Outcome { event_type, payload, .. } = outcome;
    let fragment = Fragment { event_type, payload, metadata: None, system, key: None }.to_text()?;
    if fragment.len() > limits::EVENT_BYTES {
        return Err(Problem::TooLarge { what: "an event in bytes", limit: limits::EVENT_BYTES }.into());
    }
    let entry = Entry {
        event_type: event_type.clone(),
        key: Some(key),
        expected: None,
        origin: Some(tailrace_model::cause::Origin::Here(outcome.started)),
        fragment,
        raw: None,
    };
    commit(stream, now, Kind::Settle, &[entry]).map(Some)
}

fn system_of(slug: &str) -> String {
    format!("{{\"by\":{}}}", text::quoted(&format!("subscription:{slug}")))
}

fn expect_life<S: Sql>(stream: &Stream<S>, generation: &str) -> Result<(), Problem> {
    stream.life()?;
    if stream.generation() == Some(generation) {
        return Ok(());
    }
    Err(Problem::StreamNotFound { path: stream.path().to_string() })
}
