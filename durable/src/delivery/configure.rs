//! What control events do to subscriptions at work: begin, change, go on, end.

use serde::Deserialize;
use tailrace_model::control::subscription::{From, Subscription};
use tailrace_model::control::{Control, Resume, tool};
use tailrace_model::line::StoredEvent;

use super::progress::{Progress, save, save_with_state};
use super::{Delivery, below, next};
use crate::Failure;
use crate::children::inheritance_of;
use crate::sql::Sql;
use crate::stream::{Moment, Stream};

/// Does what a control event says.
pub(super) fn obey<S: Sql>(stream: &mut Stream<S>, now: Moment, offset: u64, control: &Control) -> Result<(), Failure> {
    match control {
        Control::SubscriptionConfigured(config) => configure(stream, now, offset, config),
        Control::SubscriptionRemoved { slug, .. } => remove(stream, slug),
        Control::ToolConfigured(tool) => match tool.subscription() {
            Some(config) => configure(stream, now, offset, &config),
            None => without_tool(stream, &tool.name),
        },
        Control::ToolRemoved { name, .. } => without_tool(stream, name),
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

fn remove<S: Sql>(stream: &mut Stream<S>, slug: &str) -> Result<(), Failure> {
    if let Some(life) = stream.life.as_mut()
        && life.deliveries.remove(slug).is_some()
    {
        stream.sql.run("DELETE FROM deliveries WHERE slug = ?", &[slug.into()])?;
        below::forget(stream, slug)?;
    }
    Ok(())
}

/// Ends the subscription that ran a tool, if that is what it was.
fn without_tool<S: Sql>(stream: &mut Stream<S>, name: &str) -> Result<(), Failure> {
    let slug = tool::slug_of(name);
    let is_configured = stream.life.as_ref().is_some_and(|life| life.state.subscriptions.contains_key(&slug));
    if is_configured { Ok(()) } else { remove(stream, &slug) }
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
    next::look_ahead(stream, &config.slug)
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
        since: offset,
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
    // A call of a tool that is run once more says so.
    let is_begun = tool::name_of(&config.slug).is_some() && progress.range.is_some();
    progress.attempt = if is_begun { progress.attempt + 1 } else { 0 };
    // An agent is asked anyway: it hears of this.
    progress.wake = None;
    progress.held = false;
    progress.failures = 0;
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
    progress.replay_until = progress.replay_until.max(progress.settled).max(progress.cursor);
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
    let skipped = if resume.skip { next::next_offset(stream, &resume.slug)? } else { None };
    let Some(delivery) = stream.life.as_mut().and_then(|life| life.deliveries.get_mut(&resume.slug)) else {
        return Ok(());
    };
    let progress = &mut delivery.progress;
    progress.attempt = 0;
    progress.failures = 0;
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
    delivery.pending = true;
    delivery.told = false;
    save(&stream.sql, &resume.slug, delivery)?;
    next::look_ahead(stream, &resume.slug)
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
