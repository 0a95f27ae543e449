//! What is tried again, and when.

use std::time::Duration;

use web_time::Instant;

use crate::clock;
use crate::error::Error;

/// So long anybody is made to wait by a `Retry-After`.
const RETRY_AFTER_MOST: Duration = Duration::from_mins(1);

/// How requests are tried again: waiting for a random time below `first`, twice that, four times, at most `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The bound of the first wait.
    pub first: Duration,
    /// The bound of any wait.
    pub most: Duration,
    /// So long a request is tried in all. Tails and runs go on for ever.
    pub total: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(10), total: Duration::from_mins(1) }
    }
}

impl Retry {
    /// The same, but so long in all; zero = each request is sent once.
    #[must_use]
    pub fn within(self, total: Duration) -> Self {
        Self { total, ..self }
    }

    /// The wait before attempt number `attempt + 1`, by chance from 0 to 1.
    #[must_use]
    pub fn pause(&self, attempt: u32, chance: f64) -> Duration {
        let bound = self.first.saturating_mul(1 << attempt.min(20)).min(self.most);
        bound.mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// A series of attempts.
pub(crate) struct Attempts {
    retry: Retry,
    begun: Instant,
    count: u32,
}

impl Attempts {
    pub(crate) fn new(retry: Retry) -> Self {
        Self { retry, begun: Instant::now(), count: 0 }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The error itself, when trying again does not help or the time is over.
    pub(crate) async fn again(&mut self, error: Error) -> Result<(), Error> {
        let left = self.retry.total.saturating_sub(self.begun.elapsed());
        if left.is_zero() || !error.is_passing() {
            return Err(error);
        }
        clock::sleep(self.pause_after(&error).min(left)).await;
        Ok(())
    }

    /// The wait before the next attempt, which there always is.
    pub(crate) fn pause_after(&mut self, error: &Error) -> Duration {
        let usual = self.pause();
        error.retry_after().map_or(usual, |wanted| wanted.min(RETRY_AFTER_MOST))
    }

    /// The wait before the next attempt when nothing is known about the last.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.retry.pause(self.count, clock::chance());
        self.count = self.count.saturating_add(1);
        pause
    }

    /// It went well: what goes wrong next is a new series.
    pub(crate) fn succeeded(&mut self) {
        self.count = 0;
    }
}

/// Reads `Retry-After`: seconds, or a date.
pub(crate) fn retry_after(header: &str, now_ms: i64) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = httpdate::parse_http_date(header).ok()?;
    let at_ms = i64::try_from(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok()?;
    Some(Duration::from_millis(u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;
    use proptest::prelude::*;

    fn refused(status: u16, body: &str) -> Error {
        Error::Refused(Box::new(Refusal::read(status, None, body.as_bytes())))
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_its_bound(attempt in 0..u32::MAX, chance in 0.0..=1.0) {
            let retry = Retry::default();
            let pause = retry.pause(attempt, chance);
            prop_assert!(pause <= retry.most);
            prop_assert!(pause <= retry.first * 2_u32.saturating_pow(attempt.min(10)));
        }
    }

    #[test]
    fn pauses_double_up_to_the_most() {
        let longest = |attempt| Retry::default().pause(attempt, 1.0).as_millis();
        assert_eq!([0, 1, 2, 6, 7, 40].map(longest), [100, 200, 400, 6_400, 10_000, 10_000]);
        assert_eq!(Retry::default().pause(5, 0.0), Duration::ZERO);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(refused(status, "").is_passing(), "{status}");
            assert!(refused(status, "<html>").is_passing(), "{status}");
        }
        for status in [400, 401, 403, 404, 409, 412, 413, 422, 423] {
            assert!(!refused(status, r#"{"retryable": true}"#).is_passing(), "{status}");
        }
        assert!(!refused(501, r#"{"code": "no", "retryable": false}"#).is_passing());
        assert!(refused(503, r#"{"code": "unavailable", "retryable": true}"#).is_passing());
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let seconds = |header, now_ms| retry_after(header, now_ms).map(|it| it.as_secs());
        assert_eq!(seconds("3", 0), Some(3));
        assert_eq!(seconds(" 0 ", 0), Some(0));
        assert_eq!(seconds("Fri, 31 Dec 1999 23:59:59 GMT", 946_684_789_000), Some(10));
        assert_eq!(seconds("Fri, 31 Dec 1999 23:59:59 GMT", 2_000_000_000_000), Some(0), "it is over");
        for odd in ["", "soon", "-1", "1e400", "NaN"] {
            assert_eq!(retry_after(odd, 0), None, "{odd}");
        }
    }

    #[test]
    fn nobody_is_made_to_wait_for_an_hour() {
        let mut refusal = Refusal::read(503, Some(Duration::from_hours(1)), b"");
        let wait = |refusal: &Refusal| {
            Attempts::new(Retry::default()).pause_after(&Error::Refused(Box::new(refusal.clone()))).as_secs()
        };
        assert_eq!(wait(&refusal), 60);
        refusal.retry_after = Some(Duration::from_secs(7));
        assert_eq!(wait(&refusal), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_time_is_over_the_error_is_told() {
        let mut attempts = Attempts::new(Retry::default().within(Duration::ZERO));
        let error = attempts.again(refused(503, "")).await.unwrap_err();
        assert_eq!(error.status(), 503);
    }
}
