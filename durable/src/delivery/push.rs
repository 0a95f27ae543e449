//! What is handed to the courier now: leases of subscriptions by URL.

use tailrace_model::limits;
use tailrace_model::time::Millis;

use super::lease::{Leased, Wish, lease};
use super::{due_of, may_deliver};
use crate::Failure;
use crate::sql::Sql;
use crate::stream::{Moment, Stream};

/// So many leases are given in one go; what else is due is next.
const AT_ONCE: usize = 16;

/// Leases what is due for subscriptions by URL. To be called while a call from outside is handled, or by the alarm: the
/// courier is called with what it returns.
///
/// # Errors
/// [`Failure::Storage`]
pub fn take<S: Sql>(stream: &mut Stream<S>, now: Moment) -> Result<Vec<Leased>, Failure> {
    let mut leases = Vec::new();
    let mut bytes = 0;
    for slug in due(stream, now.at) {
        // What does not match is passed over, a stretch at a time.
        if let Wish::Given(leased) = lease(stream, now, &slug, 0)? {
            bytes += leased.events.iter().map(String::len).sum::<usize>() + leased.state.len();
            leases.push(*leased);
        }
        if leases.len() >= AT_ONCE || bytes > 2 * limits::DELIVERY_BYTES {
            break;
        }
    }
    Ok(leases)
}

/// Whether anything is to be handed to the courier now.
#[must_use]
pub fn is_due<S: Sql>(stream: &Stream<S>, now: Millis) -> bool {
    super::due(stream).is_some_and(|due| due <= now)
}

/// The subscriptions by URL for which something is to be done now.
fn due<S: Sql>(stream: &Stream<S>, now: Millis) -> Vec<String> {
    let Some(life) = stream.life.as_ref() else { return Vec::new() };
    let is_due = |slug: &&String| {
        let Some((delivery, subscribed)) = life.deliveries.get(*slug).zip(life.state.subscriptions.get(*slug)) else {
            return false;
        };
        may_deliver(life, subscribed) && due_of(life, &stream.outbox, slug, delivery).is_some_and(|due| due <= now)
    };
    life.deliveries.keys().filter(is_due).cloned().collect()
}
