//! Subscriptions at work: how far each has come, who has a lease, what is tried when. One row each.
//!
//! There is one mechanism: a batch is leased, and settled. The courier does it for subscriptions by URL, workers outside
//! for those that are pulled.
//!
//! | module | what it knows |
//! |---|---|
//! | [`progress`] | how far one has come: its row |
//! | `configure` | what control events do to them |
//! | `next` | which events are next |
//! | [`lease`] | giving them to one holder |
//! | [`settle`] | what the holder says: cursor, state and appended events in one transaction |
//! | `refused` | what an agent's tool appends and the stream refuses |
//! | [`retry`] | when a failed attempt is tried again |
//! | [`push`] | what is handed to the courier now |
//! | [`outbox`] | what answers append to other streams |
//! | [`below`] | one lease for everything below a path |
//! | [`report`] | how it stands, for people |

pub mod below;
mod configure;
pub mod lease;
mod next;
pub mod outbox;
pub mod progress;
pub mod push;
mod refused;
pub mod report;
pub mod retry;
pub mod settle;

use std::collections::BTreeMap;

use tailrace_model::control::{Control, Subscription};
use tailrace_model::limits;
use tailrace_model::state::{ControlState, Subscribed};
use tailrace_model::time::Millis;
use tailrace_model::types::TypeFilter;

use crate::Failure;
use crate::scan::Sieve;
use crate::sql::Sql;
use crate::stream::{Life, Moment, Stream};
use outbox::Outbox;
use progress::{Attempt, Lease, Progress, save};

/// A subscription at work.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What is in its row, but for a cursor that moved past events that do not match.
    pub progress: Progress,
    /// The cursor in the row.
    saved: u64,
    filter: Option<TypeFilter>,
    /// What rows have in which something matches.
    sieve: Sieve,
    /// Something behind the cursor matches, or may.
    pub pending: bool,
    /// A lease that is not written yet: whether any of its events matches is still being found out.
    tentative: Option<Lease>,
    /// The stream above knows that something is due here.
    told: bool,
}

impl Delivery {
    /// A subscription that has come so far.
    fn new(progress: Progress, config: &Subscription) -> Self {
        let filter = config.hears().as_deref().map(TypeFilter::new);
        let (saved, sieve) = (progress.cursor, Sieve::of_types(filter.as_ref()));
        Self { progress, saved, filter, sieve, pending: false, tentative: None, told: false }
    }

    fn matches(&self, event_type: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(event_type))
    }

    /// The lease that holds now, written or not.
    fn lease(&self) -> Option<&Lease> {
        self.progress.lease.as_ref().or(self.tentative.as_ref())
    }

    fn record(&mut self, attempt: Attempt) {
        self.progress.attempts.push_back(attempt);
        while self.progress.attempts.len() > limits::ATTEMPTS_KEPT {
            self.progress.attempts.pop_front();
        }
    }
}

/// Loads what is at work. Reads only.
pub(crate) fn load<S: Sql>(sql: &S, state: &ControlState, head: u64) -> Result<BTreeMap<String, Delivery>, Failure> {
    let mut deliveries = BTreeMap::new();
    if state.subscriptions.is_empty() {
        return Ok(deliveries);
    }
    for row in sql.run("SELECT slug, progress FROM deliveries", &[])? {
        let Some(subscribed) = state.subscriptions.get(row.text(0)) else { continue };
        let progress = serde_json::from_str(row.text(1)).map_err(|error| Failure::Storage(error.to_string()))?;
        deliveries.insert(row.text(0).to_owned(), Delivery::new(progress, &subscribed.config));
    }
    find_pending(sql, head, &mut deliveries)?;
    for (slug, delivery) in &mut deliveries {
        let has_condition = state.subscriptions.get(slug).is_some_and(|it| it.config.condition.is_some());
        // What was due when it was last in memory was told to the stream above in the same transaction; with a condition it
        // may have been passed over since then.
        delivery.told = delivery.progress.lease.is_none() && !has_condition;
    }
    Ok(deliveries)
}

/// Finds out for which of them something behind the cursor matches, looking at the types of the rows alone.
fn find_pending<S: Sql>(sql: &S, head: u64, deliveries: &mut BTreeMap<String, Delivery>) -> Result<(), Failure> {
    let mut near: Vec<&mut Delivery> = Vec::new();
    for delivery in deliveries.values_mut() {
        let behind = head.saturating_sub(delivery.progress.cursor);
        // One that is far behind has something to deliver, for else its cursor would have been written meanwhile.
        delivery.pending = behind > 2 * limits::CURSOR_SAVED_EVERY;
        if !delivery.pending && behind > 0 {
            near.push(delivery);
        }
    }
    let Some(from) = near.iter().map(|it| it.progress.cursor).min() else { return Ok(()) };
    for row in sql.run("SELECT types, max(last) FROM log WHERE last > ? GROUP BY types", &[from.into()])? {
        for delivery in &mut near {
            delivery.pending |= row.number(1) > delivery.progress.cursor
                && row.text(0).split('\n').any(|event_type| delivery.matches(event_type));
        }
    }
    for delivery in near.into_iter().filter(|it| !it.pending) {
        delivery.progress.cursor = head;
    }
    Ok(())
}

/// What a commit does to the subscriptions: those it configures, and those that have something to deliver now.
/// `first` is the offset of its first event, `types` are the types in it.
pub(crate) fn after_commit<'a, S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    controls: &[(u64, Control)],
    first: u64,
    types: impl Iterator<Item = &'a str>,
) -> Result<(), Failure> {
    for (offset, control) in controls {
        configure::obey(stream, now, *offset, control)?;
    }
    let Some(life) = stream.life.as_mut().filter(|life| !life.deliveries.is_empty()) else { return Ok(()) };
    let types: Vec<&str> = types.collect();
    let head = life.head;
    for (slug, delivery) in &mut life.deliveries {
        if delivery.pending || delivery.progress.cursor >= head {
            continue;
        }
        if types.iter().any(|event_type| delivery.matches(event_type)) {
            delivery.pending = true;
            delivery.told = false;
        } else if delivery.progress.cursor + 1 >= first && delivery.lease().is_none() {
            delivery.progress.cursor = head;
            if head - delivery.saved >= limits::CURSOR_SAVED_EVERY {
                save(&stream.sql, slug, delivery)?;
            }
        }
    }
    below::tell(stream, now)
}

/// When something is to be done for a subscription without anybody calling; `None` = never.
pub(crate) fn due<S: Sql>(stream: &Stream<S>) -> Option<Millis> {
    let life = stream.life.as_ref()?;
    life.deliveries.iter().filter_map(|(slug, delivery)| due_of(life, &stream.outbox, slug, delivery)).min()
}

fn due_of(life: &Life, outbox: &Outbox, slug: &str, delivery: &Delivery) -> Option<Millis> {
    let subscribed = life.state.subscriptions.get(slug)?;
    if subscribed.config.is_pulled() || !may_deliver(life, subscribed) || outbox.is_full(slug) {
        return None;
    }
    if let Some(lease) = delivery.lease() {
        return Some(lease.expires);
    }
    let wanted = if delivery.pending { Some(life.last_at) } else { delivery.progress.wake };
    wanted.map(|at| delivery.progress.due.map_or(at, |due| if delivery.pending { due } else { due.max(at) }))
}

/// Those that waited for others to have seen what they are about to answer go on, if these have.
pub(crate) fn look_again<S: Sql>(stream: &mut Stream<S>, now: Moment) {
    let Some(life) = stream.life.as_mut() else { return };
    let held = life.deliveries.iter().filter(|(_, delivery)| delivery.progress.held);
    let goes_on = |(slug, delivery): (&String, &Delivery)| {
        let agent = life.state.subscriptions.get(slug)?.config.agent()?;
        let seen = agent.wait_for.iter().filter_map(|slug| lease::seen_by(life, slug)).min();
        seen.is_none_or(|seen| seen >= delivery.progress.cursor).then(|| slug.clone())
    };
    for slug in held.filter_map(goes_on).collect::<Vec<_>>() {
        if let Some(delivery) = life.deliveries.get_mut(&slug) {
            delivery.progress.wake = Some(now.at);
            delivery.progress.held = false;
        }
    }
}

/// Whether leases are given at all.
fn may_deliver(life: &Life, subscribed: &Subscribed) -> bool {
    subscribed.halted.is_none() && (life.state.paused.is_none() || subscribed.config.while_paused)
}
