//! Giving events to one holder at a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tailrace_model::Problem;
use tailrace_model::control::{Subscription, Target, Tool, tool};
use tailrace_model::limits;
use tailrace_model::state::Subscribed;
use tailrace_model::time::Millis;

use super::next::{Batch, next_batch};
use super::progress::{Lease, save, state_of};
use super::{may_deliver, retry};
use crate::Failure;
use crate::sql::Sql;
use crate::stream::{Life, Moment, Stream};

/// Milliseconds that a lease of the courier lasts longer than the push may take.
const COURIER_MARGIN_MS: u64 = 10_000;

/// What a lease gives its holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leased {
    /// The lease's name.
    pub lease: String,
    /// When it runs out.
    pub expires: Millis,
    /// The stream.
    pub stream_path: String,
    /// Its life.
    pub generation: String,
    /// Its last offset.
    pub head: u64,
    /// The subscription.
    pub slug: String,
    /// Rises whenever events are delivered anew.
    pub epoch: u64,
    /// The first event.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// They are only to be folded.
    pub replay: bool,
    /// Failed attempts before this one.
    pub attempt: u32,
    /// The state as JSON text.
    pub state: String,
    /// The events' lines.
    pub events: Vec<String>,
    /// Only what this is true for is delivered; the lease is not written before it is held on to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// How it is pushed, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Push>,
    /// What code in the system decides with, if that has the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted: Option<Box<Hosted>>,
}

/// What code in the system needs to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hosted {
    /// How the subscription is configured.
    pub config: Subscription,
    /// The event that configured it.
    pub configured: u64,
    /// The tools of the stream, for an agent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, Tool>,
    /// The last event that all have seen that it waits for; `None` = all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
}

/// How a batch is pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    /// Where to.
    pub url: String,
    /// The body is the event alone.
    pub plain: bool,
    /// To the last byte of the answer.
    pub timeout_ms: u64,
    /// Headers, with the names of secrets in them.
    pub headers: Vec<(String, String)>,
    /// The versions of the secrets that it is signed with.
    pub secret_versions: Vec<Option<String>>,
    /// The tool that it runs, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Tool>,
}

/// What became of the wish for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Here it is.
    Given(Box<Leased>),
    /// Nothing is due; it may be at this time, if nothing happens before.
    Nothing {
        /// When to ask again at the latest; `None` = only when something happens.
        again: Option<Millis>,
    },
}

/// Leases what is due for a subscription for `for_ms`; for one that is pushed, for as long as a push takes.
///
/// # Errors
/// [`Problem::NotFound`] when there is no such subscription; [`Failure::Storage`].
pub fn lease<S: Sql>(stream: &mut Stream<S>, now: Moment, slug: &str, for_ms: u64) -> Result<Wish, Failure> {
    // Whose lease ran out may still settle as long as it is given to nobody else.
    if !is_open(stream, slug)? {
        return Ok(Wish::Nothing { again: None });
    }
    expire(stream, now, slug)?;
    if !is_open(stream, slug)? {
        return Ok(Wish::Nothing { again: None });
    }
    let life = stream.life.as_mut().ok_or_else(|| not_found(slug))?;
    let subscribed = life.state.subscriptions.get(slug).cloned().ok_or_else(|| not_found(slug))?;
    let head = life.head;
    let Some(delivery) = life.deliveries.get_mut(slug) else { return Err(not_found(slug).into()) };
    if let Some(lease) = delivery.lease() {
        return Ok(Wish::Nothing { again: Some(lease.expires) });
    }
    if let Some(due) = delivery.progress.due.filter(|due| *due > now.at) {
        return Ok(Wish::Nothing { again: Some(due) });
    }
    let mut batch = Batch { events: Vec::new(), replay: false, seen: delivery.progress.cursor };
    if delivery.pending {
        batch = next_batch(&stream.sql, delivery, &subscribed, head)?;
    }
    if batch.events.is_empty() {
        delivery.progress.cursor = batch.seen;
        delivery.pending = batch.seen < head;
        delivery.told &= delivery.pending;
        if delivery.progress.cursor - delivery.saved.min(delivery.progress.cursor) >= limits::CURSOR_SAVED_EVERY {
            save(&stream.sql, slug, delivery)?;
        }
        if delivery.pending || delivery.progress.wake.is_none_or(|wake| wake > now.at) {
            let again = if delivery.pending { Some(now.at) } else { delivery.progress.wake };
            return Ok(Wish::Nothing { again });
        }
    }
    let (first, last) = match (batch.events.first(), batch.events.last()) {
        (Some((first, _)), Some((last, _))) => (*first, *last),
        _ => (delivery.progress.cursor + 1, delivery.progress.cursor),
    };
    let duration = match &subscribed.config.target {
        Target::Url { .. } | Target::Javascript { .. } => subscribed.config.timeout_ms + COURIER_MARGIN_MS,
        Target::Agent { .. } => COURIER_MARGIN_MS,
        Target::Pull { .. } => for_ms,
    };
    let lease = Lease {
        id: format!("{slug}.{}{:x}", delivery.progress.epoch, now.random),
        first,
        last,
        at: now.at,
        expires: now.at + i64::try_from(duration).unwrap_or(0),
    };
    delivery.told = false;
    if subscribed.config.condition.is_some() && delivery.progress.range.is_none() && !lease.is_wake() {
        delivery.tentative = Some(lease.clone());
    } else {
        if !lease.is_wake() {
            delivery.progress.range = Some((lease.first, lease.last));
        }
        delivery.progress.lease = Some(lease.clone());
        save(&stream.sql, slug, delivery)?;
    }
    let progress = delivery.progress.clone();
    let leased = describe(stream, &subscribed, &progress, lease, batch, now)?;
    Ok(Wish::Given(Box::new(leased)))
}

/// Whether anything may be given for a subscription now.
fn is_open<S: Sql>(stream: &Stream<S>, slug: &str) -> Result<bool, Failure> {
    let life = stream.life.as_ref().ok_or_else(|| not_found(slug))?;
    let subscribed = life.state.subscriptions.get(slug).ok_or_else(|| not_found(slug))?;
    Ok(may_deliver(life, subscribed) && !stream.outbox.is_full(slug))
}

/// Writes a lease of which some events match the condition, from `first` to `last`: from here on somebody has them.
///
/// # Errors
/// [`Problem::LeaseLost`] when it ran out or is not known any more.
pub fn hold<S: Sql>(stream: &mut Stream<S>, id: &str, (first, last): (u64, u64)) -> Result<(), Failure> {
    let slug = slug_of(id);
    let delivery = stream.life.as_mut().and_then(|life| life.deliveries.get_mut(slug)).ok_or(Problem::LeaseLost)?;
    if delivery.progress.lease.as_ref().is_some_and(|lease| lease.id == id) {
        return Ok(());
    }
    let mut lease = delivery.tentative.take_if(|lease| lease.id == id).ok_or(Problem::LeaseLost)?;
    // What lies around them was not delivered, and is no cause of anything.
    lease.last = lease.last.min(last.max(lease.first));
    lease.first = first.clamp(lease.first, lease.last);
    delivery.progress.range = Some((lease.first, lease.last));
    delivery.progress.lease = Some(lease);
    save(&stream.sql, slug, delivery)
}

/// The subscription that a lease's name tells.
pub(super) fn slug_of(id: &str) -> &str {
    id.rsplit_once('.').map_or("", |(slug, _)| slug)
}

/// A lease that ran out: whoever had it does not have it any more. The courier that did not come back failed; a worker is
/// just gone.
fn expire<S: Sql>(stream: &mut Stream<S>, now: Moment, slug: &str) -> Result<(), Failure> {
    let Some(life) = stream.life.as_mut() else { return Ok(()) };
    let is_pulled = life.state.subscriptions.get(slug).is_none_or(|it| it.config.is_pulled());
    let Some(delivery) = life.deliveries.get_mut(slug) else { return Ok(()) };
    delivery.tentative.take_if(|lease| lease.expires <= now.at);
    let Some(lease) = delivery.progress.lease.take_if(|lease| lease.expires <= now.at) else { return Ok(()) };
    let error = if is_pulled { "the lease ran out" } else { "the delivery was not settled in time" };
    let failure = retry::Failed { error: error.to_owned(), ..retry::Failed::default() };
    // What was waited for already counts.
    let since = (!is_pulled).then_some(lease.at);
    retry::failed(stream, now, slug, &lease, &failure, since)
}

fn describe<S: Sql>(
    stream: &Stream<S>,
    subscribed: &Subscribed,
    progress: &super::progress::Progress,
    lease: Lease,
    batch: Batch,
    now: Moment,
) -> Result<Leased, Failure> {
    let config = &subscribed.config;
    let mut secret_versions = vec![progress.secret_version.clone()];
    if let Some((before, changed)) = &progress.secret_before
        && now.at - changed < SECRET_OVERLAP_MS
    {
        secret_versions.push(before.clone());
    }
    let push = match &config.target {
        Target::Url { url } => Some(Push {
            url: url.clone(),
            plain: config.plain,
            timeout_ms: config.timeout_ms,
            headers: config.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            secret_versions,
            tool: tool_of(stream, subscribed),
        }),
        Target::Pull { .. } | Target::Agent { .. } | Target::Javascript { .. } => None,
    };
    Ok(Leased {
        expires: lease.expires,
        lease: lease.id,
        stream_path: stream.path().to_string(),
        generation: stream.generation().unwrap_or_default().to_owned(),
        head: stream.head(),
        slug: config.slug.clone(),
        epoch: progress.epoch,
        first: lease.first,
        last: lease.last,
        replay: batch.replay,
        attempt: progress.attempt,
        state: state_of(&stream.sql, &config.slug)?.unwrap_or_else(|| "null".to_owned()),
        events: batch.events.into_iter().map(|(_, line)| line).collect(),
        condition: config.condition.clone(),
        push,
        hosted: hosted(stream, subscribed),
    })
}

/// The tool that a subscription runs: it was configured by the same event.
fn tool_of<S: Sql>(stream: &Stream<S>, subscribed: &Subscribed) -> Option<Tool> {
    let tool = stream.life.as_ref()?.state.tools.get(tool::name_of(&subscribed.config.slug)?)?;
    (tool.offset == subscribed.offset).then(|| tool.config.clone())
}

fn hosted<S: Sql>(stream: &Stream<S>, subscribed: &Subscribed) -> Option<Box<Hosted>> {
    let life = stream.life.as_ref()?;
    let config = subscribed.config.clone();
    let (tools, seen) = match &config.target {
        Target::Url { .. } | Target::Pull { .. } => return None,
        Target::Javascript { .. } => (BTreeMap::new(), None),
        Target::Agent { agent } => {
            let seen = agent.wait_for.iter().filter_map(|slug| seen_by(life, slug)).min();
            let tools = life.state.tools.iter().map(|(name, it)| (name.clone(), it.config.clone()));
            (tools.collect(), seen)
        }
    };
    Some(Box::new(Hosted { config, configured: subscribed.offset, tools, seen }))
}

/// Up to where a subscription has seen the stream; `None` when there is nothing to wait for.
pub(super) fn seen_by(life: &Life, slug: &str) -> Option<u64> {
    let subscribed = life.state.subscriptions.get(slug)?;
    let delivery = life.deliveries.get(slug)?;
    let waits = subscribed.halted.is_none() && (delivery.pending || delivery.lease().is_some());
    waits.then_some(delivery.progress.cursor)
}

/// After a change of the secret both signatures are sent for a day.
pub(super) const SECRET_OVERLAP_MS: Millis = 86_400_000;

fn not_found(slug: &str) -> Problem {
    Problem::NotFound { detail: format!("this stream has no subscription {slug}") }
}
