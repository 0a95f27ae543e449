//! Subscriptions at work: how far each has come, who has a lease, what is tried when. One row each.
//!
//! There is one mechanism: a batch is leased, and settled. The courier does it for subscriptions by URL, workers outside
//! for those that are pulled.
//!
//! | module | what it knows |
//! |---|---|
//! | [`lease`] | which events are next, and giving them to one holder |
//! | [`settle`] | what the holder says: cursor, state and appended events in one transaction |
//! | [`retry`] | when a failed attempt is tried again |
//! | [`push`] | what is handed to the courier now |
//! | [`outbox`] | what answers append to other streams |
//! | [`below`] | one lease for everything below a path |
//! | [`report`] | how it stands, for people |

pub mod below;
pub mod lease;
pub mod outbox;
pub mod push;
pub mod report;
pub mod retry;
pub mod settle;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use tailrace_model::control::subscription::{From, Subscription};
use tailrace_model::control::{Control, Resume};
use tailrace_model::limits;
use tailrace_model::line::StoredEvent;
use tailrace_model::state::{ControlState, Subscribed};
use tailrace_model::time::Millis;
use tailrace_model::types::TypeFilter;

use crate::Failure;
use crate::delivery::outbox::Outbox;
use crate::sql::{Param, Sql};
use crate::stream::{Life, Moment, Stream};

/// How far a subscription has come. What is never null is written in one row of the table `deliveries`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Everything up to here is settled, or does not match.
    pub cursor: u64,
    /// Where it once began: a new version begins behind it again.
    pub begin: u64,
    /// The highest offset that was ever settled.
    pub settled: u64,
    /// Events up to here are only to be folded.
    pub replay_until: u64,
    /// Rises whenever events are delivered anew.
    pub epoch: u64,
    /// The version it was configured with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Failed attempts at `range`.
    pub attempt: u32,
    /// The events of the first attempt, which every retry carries: first and last offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<(u64, u64)>,
    /// Not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Millis>,
    /// Who has the events now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The last settle, so that a repeated one is answered as the first was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastSettle>,
    /// The last attempts, oldest first.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub attempts: VecDeque<Attempt>,
    /// The signing secret's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_version: Option<String>,
    /// The version before, and when it was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_before: Option<(Option<String>, Millis)>,
    /// The stream above where it was configured, if it holds here because of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

/// A batch that somebody has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its name.
    pub id: String,
    /// The first event in it.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// When it was given.
    pub at: Millis,
    /// When it runs out.
    pub expires: Millis,
}

/// What the last settle was, and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastSettle {
    /// The lease.
    pub lease: String,
    /// The `upTo` that was said.
    #[serde(default)]
    pub asked: Option<u64>,
    /// Up to which offset.
    pub up_to: u64,
    /// The attempt failed.
    #[serde(default)]
    pub failed: bool,
    /// What was answered.
    pub answer: String,
}

/// One attempt to deliver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attempt {
    /// When it ended.
    pub at: Millis,
    /// The first event it carried.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// The HTTP status it was answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long it took.
    pub ms: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A subscription at work.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What is in its row, but for a cursor that moved past events that do not match.
    pub progress: Progress,
    /// The cursor in the row.
    saved: u64,
    filter: Option<TypeFilter>,
    /// Something behind the cursor matches, or may.
    pub pending: bool,
    /// It was handed to the courier; when that does not come to lease, it is handed on again at this time.
    handed: Option<Millis>,
    /// A lease that is not written yet: whether any of its events matches is still being found out.
    tentative: Option<Lease>,
    /// The stream above knows that something is due here.
    told: bool,
}

/// What the metadata of an inherited `subscription.configured` says about where it comes from.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Inheritance {
    root: Option<Root>,
    at_birth: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Root {
    stream_path: String,
}

impl Delivery {
    fn new(progress: Progress, config: &Subscription) -> Self {
        let filter = config.types.as_deref().map(TypeFilter::new);
        let saved = progress.cursor;
        Self { progress, saved, filter, pending: false, handed: None, tentative: None, told: false }
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
    find_pending(sql, state, head, &mut deliveries)?;
    for delivery in deliveries.values_mut() {
        // What was due when it was last in memory was told to the stream above in the same transaction.
        delivery.told = delivery.progress.lease.is_none();
    }
    Ok(deliveries)
}

/// Finds out for which of them something behind the cursor matches, looking at the types of the rows alone.
fn find_pending<S: Sql>(
    sql: &S,
    state: &ControlState,
    head: u64,
    deliveries: &mut BTreeMap<String, Delivery>,
) -> Result<(), Failure> {
    let mut near: Vec<&mut Delivery> = Vec::new();
    for (slug, delivery) in deliveries {
        let is_halted = state.subscriptions.get(slug).is_none_or(|it| it.halted.is_some());
        let behind = head.saturating_sub(delivery.progress.cursor);
        // One that is far behind has something to deliver, for else its cursor would have been written meanwhile.
        delivery.pending = behind > 2 * limits::CURSOR_SAVED_EVERY;
        if !is_halted && !delivery.pending && behind > 0 {
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

/// Writes a delivery's row; its state stays as it is.
fn save<S: Sql>(sql: &S, slug: &str, delivery: &mut Delivery) -> Result<(), Failure> {
    sql.run(
        "UPDATE deliveries SET progress = ? WHERE slug = ?",
        &[text(&delivery.progress)?.as_str().into(), slug.into()],
    )?;
    delivery.saved = delivery.progress.cursor;
    Ok(())
}

/// Writes a delivery's row with its state.
fn save_with_state<S: Sql>(sql: &S, slug: &str, delivery: &mut Delivery, state: Option<&str>) -> Result<(), Failure> {
    sql.run(
        "INSERT INTO deliveries (slug, progress, state) VALUES (?, ?, ?)
         ON CONFLICT (slug) DO UPDATE SET progress = excluded.progress, state = excluded.state",
        &[slug.into(), text(&delivery.progress)?.as_str().into(), state.map_or(Param::Null, Param::Text)],
    )?;
    delivery.saved = delivery.progress.cursor;
    Ok(())
}

fn text(progress: &Progress) -> Result<String, Failure> {
    serde_json::to_string(progress).map_err(|error| Failure::Storage(error.to_string()))
}

/// The state that a subscription keeps, as JSON text.
fn state_of<S: Sql>(sql: &S, slug: &str) -> Result<Option<String>, Failure> {
    let rows = sql.run("SELECT state FROM deliveries WHERE slug = ?", &[slug.into()])?;
    Ok(rows.first().filter(|row| !row.is_null(0)).map(|row| row.text(0).to_owned()))
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
        obey(stream, now, *offset, control)?;
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

fn obey<S: Sql>(stream: &mut Stream<S>, now: Moment, offset: u64, control: &Control) -> Result<(), Failure> {
    match control {
        Control::SubscriptionConfigured(config) => configure(stream, now, offset, config),
        Control::SubscriptionRemoved { slug, .. } => {
            if let Some(life) = stream.life.as_mut()
                && life.deliveries.remove(slug).is_some()
            {
                stream.sql.run("DELETE FROM deliveries WHERE slug = ?", &[slug.as_str().into()])?;
                below::forget(stream, slug)?;
            }
            Ok(())
        }
        Control::SubscriptionResumed(resume) => resume_one(stream, resume),
        Control::Resumed { .. } => {
            let Some(life) = stream.life.as_mut() else { return Ok(()) };
            for delivery in life.deliveries.values_mut() {
                // What was due while the stream was paused is told anew: nothing was given then.
                delivery.told = false;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn configure<S: Sql>(stream: &mut Stream<S>, now: Moment, offset: u64, config: &Subscription) -> Result<(), Failure> {
    let stored = stream.event_at(offset)?.ok_or_else(|| Failure::Storage(format!("no event at offset {offset}")))?;
    let event = StoredEvent::parse(&stored.line).map_err(|error| Failure::Storage(error.to_string()))?;
    let inheritance = inheritance_of(&event);
    let known = stream.life.as_mut().and_then(|life| life.deliveries.remove(&config.slug));
    let (mut delivery, is_new) = match known {
        Some(known) if known.progress.version == config.version => (reconfigured(known, config, now), false),
        Some(known) => {
            let mut delivery = reconfigured(known, config, now);
            begin_again(&mut delivery.progress, config);
            (delivery, true)
        }
        None => (Delivery::new(begun(offset, config, inheritance.at_birth), config), true),
    };
    delivery.progress.root = inheritance.root.map(|root| root.stream_path);
    delivery.pending = true;
    if is_new {
        save_with_state(&stream.sql, &config.slug, &mut delivery, initial_state(&event).as_deref())?;
    } else {
        save(&stream.sql, &config.slug, &mut delivery)?;
    }
    if let Some(life) = stream.life.as_mut() {
        life.deliveries.insert(config.slug.clone(), delivery);
    }
    lease::look_ahead(stream, &config.slug)
}

/// A subscription that is new begins where its `from` says, `now` if nothing. What lies before is only to be folded. For a
/// stream that is younger than the subscription, everything comes after it.
fn begun(offset: u64, config: &Subscription, at_birth: bool) -> Progress {
    let since = if at_birth { 0 } else { offset };
    let cursor = match config.from.unwrap_or(From::Now) {
        From::Now => since,
        From::Start => 0,
        From::Offset(first) => first.saturating_sub(1),
    };
    Progress {
        cursor,
        begin: cursor,
        replay_until: since,
        version: config.version.clone(),
        secret_version: config.secret_version.clone(),
        ..Progress::default()
    }
}

/// The same subscription in its new form: nobody has a lease any more, and nothing has failed yet.
fn reconfigured(mut known: Delivery, config: &Subscription, now: Moment) -> Delivery {
    let progress = &mut known.progress;
    progress.attempt = 0;
    progress.range = None;
    progress.due = None;
    progress.lease = None;
    if progress.secret_version != config.secret_version {
        progress.secret_before = Some((progress.secret_version.take(), now.at));
        progress.secret_version.clone_from(&config.secret_version);
    }
    let saved = known.saved;
    Delivery { saved, ..Delivery::new(known.progress, config) }
}

/// A new version: its state is built anew from what was delivered before.
fn begin_again(progress: &mut Progress, config: &Subscription) {
    progress.replay_until = progress.replay_until.max(progress.settled);
    progress.epoch += 1;
    progress.version.clone_from(&config.version);
    progress.cursor = match config.from {
        Some(From::Start) => 0,
        Some(From::Offset(first)) => first.saturating_sub(1),
        Some(From::Now) | None => progress.begin,
    };
    progress.begin = progress.cursor;
}

fn resume_one<S: Sql>(stream: &mut Stream<S>, resume: &Resume) -> Result<(), Failure> {
    let skipped = if resume.skip { lease::next_offset(stream, &resume.slug)? } else { None };
    let Some(delivery) = stream.life.as_mut().and_then(|life| life.deliveries.get_mut(&resume.slug)) else {
        return Ok(());
    };
    let progress = &mut delivery.progress;
    progress.attempt = 0;
    progress.range = None;
    progress.due = None;
    progress.lease = None;
    if let Some(offset) = skipped {
        progress.cursor = offset;
        progress.settled = progress.settled.max(offset);
    }
    if let Some(from) = resume.from {
        progress.epoch += 1;
        progress.replay_until = if resume.redo { 0 } else { progress.replay_until.max(progress.settled) };
        progress.cursor = from.saturating_sub(1);
    }
    delivery.tentative = None;
    delivery.handed = None;
    delivery.pending = true;
    delivery.told = false;
    save(&stream.sql, &resume.slug, delivery)?;
    lease::look_ahead(stream, &resume.slug)
}

fn inheritance_of(event: &StoredEvent) -> Inheritance {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Metadata {
        tailrace: Inheritance,
    }
    let metadata = event.metadata.and_then(|raw| serde_json::from_str::<Metadata>(raw.get()).ok());
    metadata.unwrap_or_default().tailrace
}

/// The state that a `subscription.configured` gives.
fn initial_state(event: &StoredEvent) -> Option<String> {
    #[derive(Deserialize)]
    struct Payload<'a> {
        #[serde(borrow, default)]
        state: Option<&'a serde_json::value::RawValue>,
    }
    let payload: Payload = serde_json::from_str(event.payload.get()).ok()?;
    payload.state.map(|state| state.get().to_owned())
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
    if !delivery.pending {
        return None;
    }
    let due = delivery.progress.due.unwrap_or(life.last_at);
    Some(delivery.handed.map_or(due, |handed| handed.max(due)))
}

/// Whether leases are given at all.
fn may_deliver(life: &Life, subscribed: &Subscribed) -> bool {
    subscribed.halted.is_none() && (life.state.paused.is_none() || subscribed.config.while_paused)
}
