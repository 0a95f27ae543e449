//! Instants: milliseconds since the Unix epoch inside, RFC 3339 outside.

use chrono::{DateTime, SecondsFormat};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// `2026-11-22T16:00:12.345Z`: RFC 3339 in UTC, always with three decimals, so that texts sort as times do.
#[must_use]
pub fn to_rfc3339(at: Millis) -> String {
    DateTime::from_timestamp_millis(at).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads an RFC 3339 instant with any offset; `None` if it is not one.
#[must_use]
pub fn from_rfc3339(text: &str) -> Option<Millis> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_the_round_trip_to_the_millisecond() {
        let text = to_rfc3339(1_795_000_000_007);
        assert_eq!(text, "2026-11-18T11:06:40.007Z");
        assert_eq!(from_rfc3339(&text), Some(1_795_000_000_007));
    }

    #[test]
    fn any_offset_is_read_and_nonsense_is_not() {
        assert_eq!(from_rfc3339("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(from_rfc3339("yesterday"), None);
    }
}
