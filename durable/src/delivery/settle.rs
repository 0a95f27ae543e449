//! What the holder of a lease says: the cursor, the state and the appended events are one transaction.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tailrace_model::cause::{Cause, Origin};
use tailrace_model::limits;
use tailrace_model::settle::Answered;
use tailrace_model::time::Millis;
use tailrace_model::types::{self, Power};
use tailrace_model::{Problem, StreamPath};

use super::Delivery;
use super::lease::{self, Wish, slug_of};
use super::next::look_ahead;
use super::outbox::{self, Outgoing};
use super::progress::{Attempt, LastSettle, Lease, save, save_with_state};
use super::refused;
use super::retry::{self, Failed};
use crate::commit::{Committed, Entry, Kind, commit, resolve};
use crate::log::Reader;
use crate::sql::Sql;
use crate::stream::{Moment, Stream};
use crate::{Failure, keys};

/// What the holder says, as the front Worker understood it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Said {
    /// The lease.
    pub lease: String,
    /// The last event that is done; `None` = all that were leased.
    pub up_to: Option<u64>,
    /// The new state as JSON text; `null` clears it.
    pub state: Option<String>,
    /// What to append, here and elsewhere.
    pub append: Vec<Answered>,
    /// The attempt failed.
    pub failed: Option<Failed>,
    /// Seconds for which the lease stays for the rest.
    pub extend: Option<u64>,
    /// The answer can never be accepted, and why.
    pub refused: Option<String>,
    /// No event of the lease matched the condition: nothing was delivered.
    pub passed: bool,
    /// The HTTP status of a push's answer.
    pub status: Option<u16>,
    /// How long it took.
    pub ms: Option<u64>,
    /// The courier wants to go on with what is due next.
    pub next: bool,
    /// When hosted code wants to be asked again, even if no event comes.
    pub wake: Option<Millis>,
    /// It waits for other subscriptions: it is asked as soon as these have seen what it has.
    pub held: bool,
}

/// What became of it.
pub struct Settled {
    /// The answer, or why the answer can never be accepted: the subscription is halted then.
    pub answer: Result<String, Problem>,
    /// What was appended here.
    pub committed: Option<Committed>,
    /// The next lease, if one was wanted.
    pub next: Option<Wish>,
}

/// Takes in what the holder of a lease says.
///
/// # Errors
/// [`Problem::LeaseLost`] when it is not known any more; [`Problem::InvalidSettle`]; [`Failure::Storage`].
pub fn settle<S: Sql>(stream: &mut Stream<S>, now: Moment, said: &Said) -> Result<Settled, Failure> {
    let slug = slug_of(&said.lease).to_owned();
    let mut settled = match found(stream, &slug, said)? {
        Found::Repeated(answer) => {
            keep_longer(stream, now, &slug, said)?;
            return Ok(Settled { answer: Ok(answer), committed: None, next: None });
        }
        Found::Lease(lease) => apply(stream, now, &slug, &lease, said)?,
    };
    if said.next {
        // Which finds out itself whether anything is due.
        settled.next = Some(lease::lease(stream, now, &slug, 0)?);
    } else {
        look_ahead(stream, &slug)?;
        super::below::tell(stream, now)?;
    }
    Ok(settled)
}

enum Found {
    Lease(Lease),
    Repeated(String),
}

/// Said again and again it may be to hold on to the rest.
fn keep_longer<S: Sql>(stream: &mut Stream<S>, now: Moment, slug: &str, said: &Said) -> Result<(), Failure> {
    let Some(seconds) = said.extend else { return Ok(()) };
    let Some(delivery) = stream.life.as_mut().and_then(|life| life.deliveries.get_mut(slug)) else { return Ok(()) };
    let Some(lease) = delivery.progress.lease.as_mut().filter(|lease| lease.id == said.lease) else { return Ok(()) };
    let expires = now.at + i64::try_from(seconds).unwrap_or(0) * 1_000;
    if lease.expires == expires {
        return Ok(());
    }
    lease.expires = expires;
    save(&stream.sql, slug, delivery)
}

fn found<S: Sql>(stream: &Stream<S>, slug: &str, said: &Said) -> Result<Found, Failure> {
    let life = stream.life()?;
    let delivery = life.deliveries.get(slug).ok_or(Problem::LeaseLost)?;
    let last = delivery.progress.last.as_ref().filter(|last| last.lease == said.lease);
    let Some(lease) = delivery.lease().filter(|lease| lease.id == said.lease) else {
        // Whoever says something else by now does not know that the lease is lost.
        let last = last.filter(|last| {
            last.failed == said.failed.is_some() && (said.up_to == last.asked || said.up_to == Some(last.up_to))
        });
        return last.map(|last| Found::Repeated(last.answer.clone())).ok_or_else(|| Problem::LeaseLost.into());
    };
    match (last, said.up_to) {
        // A part of it was settled already, and this is said once more.
        (Some(last), Some(up_to)) if up_to == last.up_to => Ok(Found::Repeated(last.answer.clone())),
        _ => Ok(Found::Lease(lease.clone())),
    }
}

fn apply<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    slug: &str,
    lease: &Lease,
    said: &Said,
) -> Result<Settled, Failure> {
    let done = |answer| Settled { answer, committed: None, next: None };
    if said.passed {
        return pass(stream, slug, lease).map(|()| done(Ok("{}".to_owned())));
    }
    if let Some(failure) = &said.failed {
        let answer = json!({"cursor": cursor(stream, slug), "failed": true}).to_string();
        if let Some(delivery) = stream.life.as_mut().and_then(|life| life.deliveries.get_mut(slug)) {
            remember(delivery, lease, lease.first - 1, said, &answer);
        }
        // What hosted code has to say about its failure.
        let is_told = !said.append.is_empty() && said.append.iter().all(|answered| answered.is_system);
        let committed = if is_told { append_here(stream, now, slug, lease.last, said)? } else { None };
        retry::failed(stream, now, slug, lease, failure, Some(now.at))?;
        return Ok(Settled { committed, ..done(Ok(answer)) });
    }
    if let Some(reason) = &said.refused {
        record(stream, now, slug, lease, said, Some(reason));
        retry::halt(stream, now, slug, reason, said.status)?;
        return Ok(done(Ok("{}".to_owned())));
    }
    let up_to = up_to(lease, said)?;
    let progress = stream.life.as_ref().and_then(|life| life.deliveries.get(slug)).map(|delivery| &delivery.progress);
    let before = progress.map_or((0, 0), |progress| (progress.since, progress.epoch));
    let mut appended = append_here(stream, now, slug, up_to, said);
    let mut said = Cow::Borrowed(said);
    if let Err(Failure::Refused(problem)) = &appended
        && let Some(rest) = refused::without_calls(slug, &said, problem)
    {
        appended = append_here(stream, now, slug, up_to, &rest);
        said = Cow::Owned(rest);
    }
    match appended {
        Ok(committed) => {
            send_elsewhere(stream, now, slug, up_to, &said)?;
            let answer = advance(stream, now, slug, (lease, before), up_to, &said, committed.as_ref())?;
            Ok(Settled { answer: Ok(answer), committed, next: None })
        }
        // Nothing is written yet. It would be refused again, however often it was delivered.
        Err(Failure::Refused(problem)) => {
            let reason = format!("the answer can never be accepted: {}", problem.detail());
            record(stream, now, slug, lease, &said, Some(&reason));
            retry::halt(stream, now, slug, &reason, said.status)?;
            Ok(done(Err(problem)))
        }
        Err(failure) => Err(failure),
    }
}

/// Up to where it is settled: below the lease's first event, nothing is.
fn up_to(lease: &Lease, said: &Said) -> Result<u64, Problem> {
    let brings = said.state.is_some() || !said.append.is_empty();
    let nothing = lease.first - 1;
    let up_to = match said.up_to {
        Some(up_to) => up_to.max(nothing),
        // Only more time is wanted.
        None if said.extend.is_some() && !brings => nothing,
        None => lease.last,
    };
    if lease.is_wake() {
        return Ok(lease.last);
    }
    let detail = if up_to > lease.last {
        format!("the lease goes from {} to {}", lease.first, lease.last)
    } else if up_to == nothing && brings {
        "state and append come with at least one event that is done".to_owned()
    } else {
        return Ok(up_to);
    };
    Err(Problem::InvalidSettle { field: "upTo".to_owned(), detail })
}

/// Nothing in the lease matched: the cursor moves on, and is written now and then.
fn pass<S: Sql>(stream: &mut Stream<S>, slug: &str, lease: &Lease) -> Result<(), Failure> {
    let Some(delivery) = stream.life.as_mut().and_then(|life| life.deliveries.get_mut(slug)) else { return Ok(()) };
    delivery.tentative = None;
    delivery.progress.lease = None;
    delivery.progress.range = None;
    delivery.progress.wake = None;
    delivery.progress.cursor = lease.last;
    if lease.last.saturating_sub(delivery.saved) >= limits::CURSOR_SAVED_EVERY {
        save(&stream.sql, slug, delivery)?;
    }
    Ok(())
}

/// Appends what stays in this stream.
fn append_here<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    slug: &str,
    up_to: u64,
    said: &Said,
) -> Result<Option<Committed>, Failure> {
    let life = stream.life()?;
    let grants = life.state.subscriptions.get(slug).map_or(&[][..], |it| &it.config.grants);
    for answered in &said.append {
        if answered.is_system {
            continue;
        }
        if !types::is_granted(&answered.event_type, grants) {
            let detail = format!("the subscription {slug} is not granted to append {}", answered.event_type);
            return Err(Problem::Forbidden { detail }.into());
        }
        // Who may configure a stream may configure those below it, and no other.
        let to = answered.to.as_deref().map(StreamPath::from_decoded).transpose()?;
        let is_plain = types::power_for(&answered.event_type) == Power::Append;
        if to.is_some_and(|to| !is_plain && !to.is_at_or_below(stream.path())) {
            let detail = format!("{} goes to this stream and those below only", answered.event_type);
            return Err(Problem::Forbidden { detail }.into());
        }
    }
    let mut reader = Reader::default();
    let chain = chain_of(stream, &mut reader, up_to)?;
    let entry = |answered: &Answered| -> Result<Entry, Failure> {
        Ok(Entry {
            event_type: answered.event_type.clone(),
            key: answered.key.as_deref().map(keys::client),
            expected: None,
            origin: Some(match &answered.cause {
                Some((None, offset)) if answered.is_turn => begins_turn(stream, *offset)?,
                None => Origin::Here(up_to),
                Some((None, offset)) => Origin::Here(*offset),
                Some((Some(path), offset)) if path == stream.path().as_str() => Origin::Here(*offset),
                // Named elsewhere: the chain goes on from what was delivered, else it would never end.
                Some((Some(path), offset)) => Origin::Known(Cause {
                    stream_path: path.clone(),
                    offset: *offset,
                    hops: chain.0.saturating_add(1),
                    turns: chain.1,
                }),
            }),
            fragment: answered.fragment.clone(),
            raw: None,
        })
    };
    let entries: Vec<Entry> =
        said.append.iter().filter(|answered| answered.to.is_none()).map(entry).collect::<Result<_, _>>()?;
    if entries.is_empty() { Ok(None) } else { commit(stream, now, Kind::Settle, &entries).map(Some) }
}

/// Owes what goes to other streams.
fn send_elsewhere<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    slug: &str,
    up_to: u64,
    said: &Said,
) -> Result<(), Failure> {
    let mut reader = Reader::default();
    for (index, answered) in said.append.iter().enumerate() {
        let Some(to) = &answered.to else { continue };
        let (path, offset) = match &answered.cause {
            Some((Some(path), offset)) => (path.clone(), *offset),
            Some((None, offset)) => (stream.path().to_string(), *offset),
            None => (stream.path().to_string(), up_to),
        };
        // A cause that is named makes the chain no shorter than it is.
        let delivered = chain_of(stream, &mut reader, up_to)?;
        let named = if path == stream.path().as_str() { chain_of(stream, &mut reader, offset)? } else { delivered };
        let (hops, turns) = (delivered.0.max(named.0), delivered.1.max(named.1));
        let cause = Cause { stream_path: path, offset, hops: hops.saturating_add(1), turns };
        let key = answered
            .key
            .as_deref()
            .map_or_else(|| keys::system(&format!("outbox:{}:{:x}:{index}", said.lease, now.random)), keys::client);
        let outgoing = Outgoing {
            slug: slug.to_owned(),
            event_type: answered.event_type.clone(),
            key,
            cause,
            fragment: answered.fragment.clone(),
        };
        outbox::owe(stream, now, to, &outgoing)?;
    }
    Ok(())
}

/// Appends an event of the system's own here, if none of its key is there.
///
/// # Errors
/// [`Failure`]
pub fn append_once<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    answered: &Answered,
) -> Result<Option<Committed>, Failure> {
    let key = answered.key.as_deref().map(keys::system);
    if let Some(key) = &key
        && !keys::find(&stream.sql, &[key])?.is_empty()
    {
        return Ok(None);
    }
    let offset = answered.cause.as_ref().map(|(_, offset)| *offset);
    let entry = Entry {
        event_type: answered.event_type.clone(),
        key,
        expected: None,
        origin: offset.map(Origin::Here),
        fragment: answered.fragment.clone(),
        raw: None,
    };
    commit(stream, now, Kind::Settle, &[entry]).map(Some)
}

/// A turn of a model is one more in the chain of causes.
fn begins_turn<S: Sql>(stream: &Stream<S>, offset: u64) -> Result<Origin, Failure> {
    let (hops, turns) = chain_of(stream, &mut Reader::default(), offset)?;
    let stream_path = stream.path().to_string();
    Ok(Origin::Known(Cause { stream_path, offset, hops, turns: turns.saturating_add(1) }))
}

/// Hops and turns of the chain up to an event of this stream.
fn chain_of<S: Sql>(stream: &Stream<S>, reader: &mut Reader, offset: u64) -> Result<(u32, u32), Failure> {
    let cause = resolve(stream, reader, Some(&Origin::Here(offset)))?;
    Ok(cause.map_or((0, 0), |cause| (cause.hops, cause.turns)))
}

/// The cursor moves and the state changes.
fn advance<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    slug: &str,
    (lease, before): (&Lease, (u64, u64)),
    up_to: u64,
    said: &Said,
    committed: Option<&Committed>,
) -> Result<String, Failure> {
    let offsets: Vec<u64> = committed.map_or_else(Vec::new, |it| it.events.iter().map(|event| event.offset).collect());
    let is_progress = up_to >= lease.first || lease.is_wake();
    if is_progress && !lease.is_wake() {
        record(stream, now, slug, lease, said, None);
    }
    let delivery = stream.life.as_mut().and_then(|life| life.deliveries.get_mut(slug));
    let Some(delivery) = delivery else { return Ok(json!({"cursor": up_to, "offsets": offsets}).to_string()) };
    if delivery.lease().is_none_or(|held| held.id != lease.id) {
        return reconfigured_itself(&stream.sql, slug, delivery, before, up_to, said, &offsets);
    }
    let rest = said.extend.filter(|_| up_to < lease.last);
    let progress = &mut delivery.progress;
    progress.lease = rest.map(|seconds| Lease {
        first: up_to + 1,
        expires: now.at + i64::try_from(seconds).unwrap_or(0) * 1_000,
        ..lease.clone()
    });
    if is_progress {
        progress.cursor = up_to;
        progress.settled = progress.settled.max(up_to);
        progress.attempt = 0;
        progress.failures = 0;
        progress.due = None;
        progress.range = rest.map(|_| (up_to + 1, lease.last));
        progress.wake = said.wake;
        progress.held = said.held;
    } else if rest.is_none() {
        progress.range = None;
    }
    let answer = json!({"cursor": progress.cursor, "offsets": offsets}).to_string();
    if is_progress || rest.is_none() {
        remember(delivery, lease, up_to, said, &answer);
    }
    match said.state.as_deref() {
        Some(state) => save_with_state(&stream.sql, slug, delivery, (state != "null").then_some(state))?,
        None => save(&stream.sql, slug, delivery)?,
    }
    if is_progress && !lease.is_wake() {
        super::look_again(stream, now);
    }
    Ok(answer)
}

/// What the answer appended configured its own subscription: it is settled all the same, as far as it still is the same.
fn reconfigured_itself<S: Sql>(
    sql: &S,
    slug: &str,
    delivery: &mut Delivery,
    before: (u64, u64),
    up_to: u64,
    said: &Said,
    offsets: &[u64],
) -> Result<String, Failure> {
    let progress = &mut delivery.progress;
    let (since, epoch) = before;
    if progress.since == since {
        progress.settled = progress.settled.max(up_to);
        if progress.epoch == epoch {
            progress.cursor = progress.cursor.max(up_to);
        } else {
            // A new version folds it, and does nothing else.
            progress.replay_until = progress.replay_until.max(up_to);
        }
        match said.state.as_deref().filter(|_| delivery.progress.epoch == epoch) {
            Some(state) => save_with_state(sql, slug, delivery, (state != "null").then_some(state))?,
            None => save(sql, slug, delivery)?,
        }
    }
    Ok(json!({"cursor": up_to, "offsets": offsets}).to_string())
}

/// Keeps how a settle was answered, for when it is said once more. Whoever calls it writes the row.
fn remember(delivery: &mut Delivery, lease: &Lease, up_to: u64, said: &Said, answer: &str) {
    delivery.progress.last = Some(LastSettle {
        lease: lease.id.clone(),
        asked: said.up_to,
        up_to,
        failed: said.failed.is_some(),
        answer: answer.to_owned(),
    });
}

fn record<S: Sql>(stream: &mut Stream<S>, now: Moment, slug: &str, lease: &Lease, said: &Said, error: Option<&str>) {
    if let Some(delivery) = stream.life.as_mut().and_then(|life| life.deliveries.get_mut(slug)) {
        delivery.record(Attempt {
            at: now.at,
            first: lease.first,
            last: lease.last,
            status: said.status,
            ms: said.ms.unwrap_or_else(|| u64::try_from(now.at - lease.at).unwrap_or(0)),
            error: error.map(str::to_owned),
        });
    }
}

fn cursor<S: Sql>(stream: &Stream<S>, slug: &str) -> u64 {
    stream.life.as_ref().and_then(|life| life.deliveries.get(slug)).map_or(0, |it| it.progress.cursor)
}
