//! When a failed attempt is tried again, and when it is given up.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tailrace_model::control::tool;
use tailrace_model::limits;
use tailrace_model::text::cut;
use tailrace_model::time::Millis;

use super::progress::{Attempt, Lease, save};
use crate::Failure;
use crate::children::system_entry;
use crate::commit::{Kind, commit};
use crate::sql::Sql;
use crate::stream::{Moment, Stream};

/// Seconds from one attempt to the next: the first is made at once, and after the last it is given up.
const DELAYS_S: [i64; 9] = [5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200, 86_400];

/// A call of a tool is tried again sooner: a model waits for it.
const TOOL_DELAY_MS: Millis = 10_000;

/// A subscriber may ask for so much patience.
const RETRY_AFTER_MAX_S: u64 = 3_600;

/// How an attempt failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failed {
    /// In words.
    pub error: String,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// Seconds that the subscriber wants to be left alone.
    pub retry_after: Option<u64>,
    /// How long it took.
    pub ms: u64,
}

/// When the attempt after `failed` ones is made: that many seconds later, 20 % more or less, and not before the
/// subscriber wants it. `None` = it was the last.
#[must_use]
pub fn delay_ms(failed: u32, random: u64, retry_after_s: Option<u64>) -> Option<Millis> {
    let delay = DELAYS_S.get(usize::try_from(failed).ok()?.checked_sub(1)?)? * 1_000;
    // From 80 to 120 %, in 1,024 steps.
    let jittered = delay * 4 / 5 + delay * 2 / 5 * i64::try_from(random % 1_024).unwrap_or(0) / 1_023;
    let wanted = retry_after_s.map_or(0, |seconds| i64::try_from(seconds.min(RETRY_AFTER_MAX_S)).unwrap_or(0) * 1_000);
    Some(jittered.max(wanted))
}

/// Takes in that an attempt failed: it is tried again, some time after `since`, or the subscription halts. No `since`: a
/// worker is just gone, and others may have the events now.
pub(super) fn failed<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    slug: &str,
    lease: &Lease,
    failure: &Failed,
    since: Option<Millis>,
) -> Result<(), Failure> {
    let Some(delivery) = stream.life.as_mut().and_then(|life| life.deliveries.get_mut(slug)) else { return Ok(()) };
    delivery.progress.attempt += 1;
    // A worker that vanished says nothing about the events.
    delivery.progress.failures += u32::from(since.is_some());
    delivery.progress.lease = None;
    delivery.record(Attempt {
        at: now.at,
        first: lease.first,
        last: lease.last,
        status: failure.status,
        ms: failure.ms,
        error: Some(cut(&failure.error, limits::REASON_BYTES / 4).to_owned()),
    });
    let attempts = delivery.progress.attempt;
    let gone = failure.status == Some(410);
    let due = match since {
        None => Some(now.at),
        Some(since) => delay_ms(delivery.progress.failures, now.random, failure.retry_after)
            // A model waits for a tool.
            .map(|delay| if tool::name_of(slug).is_some() { delay.min(TOOL_DELAY_MS) } else { delay })
            .map(|delay| (since + delay).max(now.at)),
    };
    if let Some(due) = due.filter(|_| !gone) {
        delivery.progress.due = Some(due);
        delivery.told = false;
        return save(&stream.sql, slug, delivery);
    }
    let reason = if gone {
        "410: the subscriber wants nothing more".to_owned()
    } else {
        format!("gave up after {attempts} attempts: {}", failure.error)
    };
    halt(stream, now, slug, &reason, failure.status)
}

/// Gives up: nothing is skipped, and nothing is tried before somebody resumes it.
pub(super) fn halt<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    slug: &str,
    reason: &str,
    last_status: Option<u16>,
) -> Result<(), Failure> {
    let Some(delivery) = stream.life.as_mut().and_then(|life| life.deliveries.get_mut(slug)) else { return Ok(()) };
    delivery.progress.lease = None;
    delivery.tentative = None;
    delivery.progress.due = None;
    let offset = delivery.progress.range.map_or(delivery.progress.cursor + 1, |(first, _)| first);
    save(&stream.sql, slug, delivery)?;
    let payload =
        json!({"slug": slug, "reason": cut(reason, limits::REASON_BYTES), "offset": offset, "lastStatus": last_status});
    let mut entry = system_entry("subscription.halted", &payload.to_string(), None, None)?;
    entry.origin = Some(tailrace_model::cause::Origin::Here(offset));
    commit(stream, now, Kind::System, &[entry]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_made_ten_times_in_three_days() {
        let delays: Vec<_> = (1..=9).map(|failed| delay_ms(failed, 0, None).unwrap()).collect();
        assert_eq!(delays.first(), Some(&4_000));
        assert_eq!(delays.last(), Some(&(86_400_000 * 4 / 5)));
        assert_eq!(delay_ms(10, 0, None), None);
    }

    #[test]
    fn jitter_is_a_fifth_at_most() {
        for random in 0..3_000 {
            let delay = delay_ms(2, random, None).unwrap();
            assert!((24_000..=36_000).contains(&delay), "{delay}");
        }
    }

    #[test]
    fn a_subscriber_may_ask_for_an_hour_and_no_more() {
        assert_eq!(delay_ms(1, 0, Some(60)), Some(60_000));
        assert_eq!(delay_ms(1, 0, Some(1)), Some(4_000));
        assert_eq!(delay_ms(1, 0, Some(1_000_000)), Some(3_600_000));
    }
}
