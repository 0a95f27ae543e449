//! The calls that deliver: leases and settles, for the courier and for workers outside.

use serde_json::json;
use tailrace_model::limits;
use tailrace_model::problem::Problem;
use tailrace_model::settle::Answered;
use tailrace_model::time::Millis;

use super::{Done, Outcome, changes, only};
use crate::Failure;
use crate::delivery::below::{self, Picked};
use crate::delivery::lease::{self, Leased, Wish};
use crate::delivery::settle::{self as settling, Said};
use crate::delivery::{push, report};
use crate::speech::{self, Delta, Standing};
use crate::sql::{Sql, Text};
use crate::stream::{Moment, Stream};
use crate::wire::{Answer, Frame};

/// Leases what is due for a subscription. The text is its slug, a line end, and for how many milliseconds. The answer is a
/// [`Leased`], or `204` with when to ask again.
///
/// # Errors
/// [`Failure`]
pub fn lease<S: Sql>(stream: &mut Stream<S>, now: Moment, text: &str) -> Done<S> {
    let (slug, for_ms) = text.split_once('\n').unwrap_or((text, ""));
    let configured = stream.life()?.state.subscriptions.get(slug);
    if configured.is_some_and(|it| !it.config.is_pulled()) {
        let detail = "only those with the target {\"pull\": true} are leased by workers outside".to_owned();
        return Err(Problem::InvalidQuery { field: "slug".to_owned(), detail }.into());
    }
    let wish = lease::lease(stream, now, slug, for_ms.parse().unwrap_or(limits::LEASE_SECONDS * 1_000))?;
    let wished = match &wish {
        Wish::Given(leased) => leased_answer(leased),
        Wish::Nothing { again } => nothing(*again),
    };
    let life = stream.life()?;
    let halted = life.state.subscriptions.get(slug).is_some_and(|it| it.halted.is_some());
    Ok(only(
        wished
            .with("tailrace-paused", life.state.paused.is_some().to_string())
            .with("tailrace-halted", halted.to_string()),
    ))
}

/// Holds on to a lease of which some events match its condition. The text is its name, the first and the last of them, and
/// an event to append with it ([`Answered`] as JSON, with the key of the system's under which it lands once) or nothing, a
/// line each.
///
/// # Errors
/// [`Failure`]
pub fn hold<S: Sql>(stream: &mut Stream<S>, now: Moment, text: &str) -> Done<S> {
    let mut lines = text.split('\n');
    let id = lines.next().unwrap_or_default();
    let mut offset = |missing| lines.next().and_then(|text| text.parse().ok()).unwrap_or(missing);
    let delivered = (offset(0), offset(u64::MAX));
    lease::hold(stream, id, delivered)?;
    let Some(started) = lines.next().filter(|text| !text.is_empty()) else { return Ok(only(Answer::ok(""))) };
    let started: Answered = serde_json::from_str(started).map_err(|error| Failure::Storage(error.to_string()))?;
    let committed = settling::append_once(stream, now, &started)?;
    Ok(Outcome { answer: Answer::ok(""), frames: super::frames(stream, [committed.as_ref()]) })
}

/// Takes in what the holder of a lease says: a [`Said`] as JSON. The answer is for the holder; for the courier that goes on,
/// it is the next [`Leased`], or `204`.
///
/// # Errors
/// [`Failure`]
pub fn settle_lease<S: Sql>(stream: &mut Stream<S>, now: Moment, text: &str) -> Done<S> {
    let said: Said = serde_json::from_str(text).map_err(|error| Failure::Storage(error.to_string()))?;
    let head = stream.head();
    let settled = settling::settle(stream, now, &said)?;
    let frames = match (&settled.committed, stream.generation()) {
        (Some(committed), Some(generation)) if stream.followed => {
            let first = Frame::of(committed, generation);
            let last = committed.written.map_or(head, |(_, last)| last);
            first.into_iter().chain(changes(stream, true, last)).collect()
        }
        _ => changes(stream, true, head),
    };
    let answer = match (settled.answer, &settled.next) {
        (_, Some(Wish::Given(leased))) => leased_answer(leased),
        (_, Some(Wish::Nothing { again })) => nothing(*again),
        (Ok(body), None) => Answer::ok(&body),
        (Err(problem), None) => Answer::problem(&problem),
    };
    Ok(Outcome { answer, frames })
}

/// What is handed to the courier now: a [`Leased`] as JSON each.
///
/// # Errors
/// [`Failure`]
pub fn take_pushes<S: Sql>(stream: &mut Stream<S>, now: Moment) -> Result<(Vec<String>, Vec<Frame>), Failure> {
    let head = stream.head();
    let pushes = push::take(stream, now)?.iter().map(|leased| json!(leased).to_string()).collect();
    Ok((pushes, changes(stream, true, head)))
}

/// Picks a stream below that has something due for a subscription. The text is its slug, the path below which, and for how
/// many milliseconds, a line each. The answer is the path and a mark, a line each; `204` with when to ask again; or `307`
/// and the path of the stream to ask.
///
/// # Errors
/// [`Failure`]
pub fn pick<S: Sql>(stream: &mut Stream<S>, now: Moment, text: &str) -> Done<S> {
    let mut lines = text.split('\n');
    let (slug, prefix) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let for_ms = lines.next().and_then(|text| text.parse().ok()).unwrap_or(limits::LEASE_SECONDS * 1_000);
    stream.life()?;
    Ok(only(match below::pick(stream, now, slug, prefix, for_ms)? {
        Picked::Stream { path, mark } => Answer::ok(&format!("{path}\n{mark}")),
        Picked::Nothing { again } => nothing(again),
        Picked::Above(root) => Answer { status: 307, headers: Vec::new(), body: Text::from_str(&root) },
    }))
}

/// A stream that was picked had nothing due. The text is the slug, the path, the mark, and when something may be due there
/// again or nothing, a line each.
///
/// # Errors
/// [`Failure`]
pub fn unpick<S: Sql>(stream: &mut Stream<S>, text: &str) -> Done<S> {
    let mut lines = text.split('\n');
    let (slug, path, mark) = (lines.next(), lines.next(), lines.next());
    let again = lines.next().and_then(|text| text.parse().ok());
    below::unpick(stream, slug.unwrap_or_default(), path.unwrap_or_default(), mark.unwrap_or_default(), again)?;
    Ok(only(Answer::ok("")))
}

/// How the subscriptions stand, or the one of this slug. The answer names what their secrets are derived from.
///
/// # Errors
/// [`Failure`]
pub fn subscriptions<S: Sql>(stream: &Stream<S>, now: Millis, slug: &str) -> Done<S> {
    let report = report::report(stream, now, Some(slug).filter(|slug| !slug.is_empty()))?;
    Ok(only(Answer::ok(&report.to_string()).with("tailrace-generation", stream.generation().unwrap_or_default())))
}

/// Whether the answer to a model's request is still wanted: a [`Delta`] without text as JSON. The answer is one of `wanted`,
/// `paused`, `unwanted` and `ended`.
///
/// # Errors
/// [`Failure`]
pub fn standing<S: Sql>(stream: &Stream<S>, text: &str) -> Done<S> {
    let delta: Delta = serde_json::from_str(text).map_err(|error| Failure::Storage(error.to_string()))?;
    Ok(only(Answer::ok(match speech::standing(stream, &delta)? {
        Standing::Wanted => "wanted",
        Standing::Paused => "paused",
        Standing::Unwanted => "unwanted",
        Standing::Ended => "ended",
    })))
}

/// Takes in more of what a model is saying: a [`Delta`] as JSON. The answer is how many characters are known here now, or
/// `unwanted`.
///
/// # Errors
/// [`Failure`]
pub fn say<S: Sql>(stream: &mut Stream<S>, now: Moment, text: &str) -> Done<S> {
    let delta: Delta = serde_json::from_str(text).map_err(|error| Failure::Storage(error.to_string()))?;
    let (known, frames) = speech::say(stream, now, &delta)?;
    Ok(Outcome { answer: Answer::ok(&known.map_or_else(|| "unwanted".to_owned(), |known| known.to_string())), frames })
}

/// Takes in what became of a model's request: a [`speech::Outcome`] as JSON.
///
/// # Errors
/// [`Failure`]
pub fn end_request<S: Sql>(stream: &mut Stream<S>, now: Moment, text: &str) -> Done<S> {
    let outcome: speech::Outcome = serde_json::from_str(text).map_err(|error| Failure::Storage(error.to_string()))?;
    let committed = speech::end(stream, now, &outcome)?;
    Ok(Outcome { answer: Answer::ok("{}"), frames: super::frames(stream, [committed.as_ref()]) })
}

fn leased_answer<T: Text>(leased: &Leased) -> Answer<T> {
    Answer::ok(&json!(leased).to_string())
}

fn nothing<T: Text>(again: Option<Millis>) -> Answer<T> {
    let answer = Answer { status: 204, headers: Vec::new(), body: T::default() };
    match again {
        Some(at) => answer.with("tailrace-again", at.to_string()),
        None => answer,
    }
}
