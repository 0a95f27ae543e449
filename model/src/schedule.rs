//! When a schedule fires. All of it is computed from three instants; there is no clock here.

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::{GapInfo, Tz};
use croner::Cron;
use croner::parser::{CronParser, Year};
use serde::{Deserialize, Serialize};

use crate::time::Millis;

/// Bytes of a cron expression.
const EXPRESSION_BYTES: usize = 256;
/// The Gregorian calendar repeats itself after so many years, weekdays included.
const CALENDAR_CYCLE: i32 = 400;

/// When a schedule fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// Once, at this instant.
    At(Millis),
    /// Once, so many milliseconds after it was configured.
    After(u64),
    /// Again and again, so many milliseconds apart, counted from when it was configured: it does not drift.
    Every(u64),
    /// Whenever the clock on the wall of a time zone shows what the expression says.
    ///
    /// An expression that names its times of day (no `*` in hour, minute or second) fires exactly once for each of
    /// them, when the wall clock first reaches or passes it: at the end of the gap that summer time begins with, in
    /// the first of the two hours that it ends with. Any other expression fires whenever the wall clock agrees: never
    /// in the gap, in both of the two hours.
    Cron {
        /// Five fields, or six with the seconds first.
        expression: String,
        /// An IANA zone name; UTC when there is none.
        timezone: Option<String>,
    },
}

/// What is not right about a cron schedule; the text says what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CronError {
    /// The expression is not understood, or never occurs.
    Expression(String),
    /// There is no such time zone.
    Timezone(String),
}

impl When {
    /// A cron schedule that occurs again and again.
    ///
    /// # Errors
    /// [`CronError`] when the expression is not understood or never occurs (30 February), or the zone is not known.
    pub fn cron(expression: &str, timezone: Option<&str>) -> Result<Self, CronError> {
        let cron = parse(expression).map_err(CronError::Expression)?;
        if !occurs(&cron) {
            return Err(CronError::Expression("a cron expression that occurs; this one never does".to_owned()));
        }
        zone(timezone)
            .ok_or_else(|| CronError::Timezone("the name of an IANA time zone, as Europe/Berlin".to_owned()))?;
        Ok(Self::Cron { expression: expression.to_owned(), timezone: timezone.map(str::to_owned) })
    }

    /// The first occurrence of all, of a schedule that was configured at `anchor`. It may lie in the past only for
    /// [`When::At`].
    #[must_use]
    pub fn first(&self, anchor: Millis) -> Option<Millis> {
        match self {
            Self::At(at) => Some(*at),
            Self::After(delay) => anchor.checked_add_unsigned(*delay),
            Self::Every(_) | Self::Cron { .. } => self.next(anchor, anchor),
        }
    }

    /// The first occurrence strictly after `after`; `None` when no more will come. Repeated, it rises strictly.
    ///
    /// A cron expression is parsed anew each time: some 15 µs, most of what this costs.
    #[must_use]
    pub fn next(&self, anchor: Millis, after: Millis) -> Option<Millis> {
        match self {
            Self::At(_) | Self::After(_) => self.first(anchor).filter(|at| *at > after),
            Self::Every(period) => {
                let passed = u64::try_from(i128::from(after) - i128::from(anchor)).unwrap_or(0);
                let steps = passed.checked_div(*period)?.checked_add(1)?;
                anchor.checked_add_unsigned(steps.checked_mul(*period)?)
            }
            Self::Cron { expression, timezone } => Clock::new(expression, timezone.as_deref())?.next(after.max(anchor)),
        }
    }

    /// The last occurrence that is not after `now`, where `due` is one already: what is left of all that was missed
    /// meanwhile. `due` itself when nothing came after it.
    #[must_use]
    pub fn latest(&self, anchor: Millis, due: Millis, now: Millis) -> Millis {
        match self {
            Self::At(_) | Self::After(_) => due,
            Self::Every(period) => {
                let passed = u64::try_from(i128::from(now) - i128::from(anchor)).unwrap_or(0);
                let on_grid = passed
                    .checked_div(*period)
                    .and_then(|steps| steps.checked_mul(*period))
                    .and_then(|passed| anchor.checked_add_unsigned(passed));
                on_grid.map_or(due, |at| at.max(due))
            }
            Self::Cron { expression, timezone } => match Clock::new(expression, timezone.as_deref()) {
                Some(clock) => clock.latest(due, now),
                None => due,
            },
        }
    }
}

/// A cron expression on the wall of a time zone.
struct Clock {
    cron: Cron,
    zone: Tz,
    /// The expression names its times of day.
    named: bool,
}

impl Clock {
    fn new(expression: &str, timezone: Option<&str>) -> Option<Self> {
        let cron = parse(expression).ok()?;
        // The last three fields are days; what stands before them are times of day.
        let named = cron.as_str().split_whitespace().rev().skip(3).all(|field| !field.contains('*'));
        Some(Self { cron, zone: zone(timezone)?, named })
    }

    fn next(&self, after: Millis) -> Option<Millis> {
        // Occurrences are whole seconds. From the year 5000 on croner finds none.
        let after = DateTime::from_timestamp(after.div_euclid(1_000), 0)
            .filter(|after| (1..croner::YEAR_UPPER_LIMIT).contains(&after.year()))?
            .with_timezone(&self.zone);
        if !self.named {
            return self.cron.find_next_occurrence(&after, false).ok().map(|at| at.timestamp_millis());
        }
        // croner takes an expression with lists (`30 2,14 * * *`) for one that does not name its times, and then
        // loses 02:30 in the gap: so it only says what the wall shows, and `instant` when that is.
        let mut wall = after.naive_local();
        loop {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let at = self.instant(&wall)?;
            if at > after {
                return Some(at.timestamp_millis());
            }
        }
    }

    /// When the wall clock shows this: the first of two times, or the first instant after the gap.
    fn instant(&self, wall: &NaiveDateTime) -> Option<DateTime<Tz>> {
        match self.zone.from_local_datetime(wall) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at),
            LocalResult::None => GapInfo::new(wall, &self.zone)?.end,
        }
    }

    /// Searches forward only, so it agrees with `next`: once when nothing was missed, and otherwise between ever closer
    /// bounds, some 40 times for a year.
    fn latest(&self, due: Millis, now: Millis) -> Millis {
        let mut last = due;
        // No occurrence lies after this one and up to now.
        let mut end = now;
        let mut after = due;
        while last < end {
            match self.next(after).filter(|at| *at <= now) {
                Some(at) => last = at,
                None => end = after,
            }
            after = last.saturating_add(end.saturating_sub(last) / 2);
        }
        last
    }
}

fn parse(expression: &str) -> Result<Cron, String> {
    const SHAPE: &str = "a cron expression of 5 fields, or of 6 with the seconds first";
    if expression.len() > EXPRESSION_BYTES {
        return Err(format!("{SHAPE}, and of at most {EXPRESSION_BYTES} bytes"));
    }
    // croner skips an empty item, and a field without any never matches.
    if expression.split_whitespace().any(|field| field.split(',').any(str::is_empty)) {
        return Err(format!("{SHAPE}, with no empty item in a list"));
    }
    let parser = CronParser::builder().year(Year::Disallowed).build();
    parser.parse(expression).map_err(|error| format!("{SHAPE} ({error})"))
}

fn zone(name: Option<&str>) -> Option<Tz> {
    name.map_or(Some(Tz::UTC), |name| name.parse().ok())
}

/// Looks through the last whole cycle of the calendar that croner knows: what does not occur there never does. Days
/// alone can be impossible, so this takes 150,000 short steps at most.
fn occurs(cron: &Cron) -> bool {
    NaiveDate::from_ymd_opt(croner::YEAR_UPPER_LIMIT - CALENDAR_CYCLE, 1, 1)
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .is_some_and(|start| cron.find_next_occurrence(&start, true).is_ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::time::{from_rfc3339, to_rfc3339};

    const SECOND: Millis = 1_000;
    const MINUTE: Millis = 60 * SECOND;
    const HOUR: Millis = 60 * MINUTE;
    const DAY: Millis = 24 * HOUR;

    fn at(text: &str) -> Millis {
        from_rfc3339(text).unwrap()
    }

    fn clock(expression: &str, zone: &str) -> Clock {
        assert!(When::cron(expression, Some(zone)).is_ok(), "{expression} {zone}");
        Clock::new(expression, Some(zone)).unwrap()
    }

    /// The occurrences after `from` and up to `to`.
    fn between(clock: &Clock, from: Millis, to: Millis) -> Vec<Millis> {
        std::iter::successors(clock.next(from), |last| clock.next(*last)).take_while(|at| *at <= to).collect()
    }

    /// The same, with the offset that the wall clock then has.
    fn shown(expression: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
        let clock = clock(expression, zone);
        let show = |at: Millis| {
            let at = DateTime::from_timestamp_millis(at).unwrap().with_timezone(&clock.zone);
            at.format("%m-%d %H:%M %:z").to_string()
        };
        between(&clock, at(from), at(to)).into_iter().map(show).collect()
    }

    /// What [`When::Cron`] promises, minute by minute, of an expression of five fields.
    fn by_hand(clock: &Clock, from: Millis, to: Millis) -> Vec<Millis> {
        let minute = chrono::TimeDelta::minutes(1);
        let wall = |at: Millis| DateTime::from_timestamp_millis(at).unwrap().with_timezone(&clock.zone).naive_local();
        let matches = |wall: &NaiveDateTime| clock.cron.is_time_matching(wall).unwrap();
        // Far enough back that no wall clock was ever ahead of this.
        let mut passed = (from / MINUTE - 2 * 24 * 60..=from / MINUTE).map(|at| wall(at * MINUTE)).max().unwrap();
        let mut found = Vec::new();
        for at in (from / MINUTE + 1..=to / MINUTE).map(|at| at * MINUTE) {
            let now = wall(at);
            let mut named = false;
            while passed < now {
                passed += minute;
                named |= matches(&passed);
            }
            if if clock.named { named } else { matches(&now) } {
                found.push(at);
            }
        }
        found
    }

    #[test]
    fn an_instant_fires_once_even_when_it_is_past() {
        let when = When::At(500);
        assert_eq!(when.first(1_000), Some(500));
        assert_eq!(when.next(1_000, 499), Some(500));
        assert_eq!(when.next(1_000, 500), None);
        assert_eq!(when.latest(1_000, 500, 9_000), 500);
    }

    #[test]
    fn a_delay_fires_once_counted_from_when_it_was_configured() {
        let when = When::After(500);
        assert_eq!(when.first(1_000), Some(1_500));
        assert_eq!(when.next(1_000, 1_000), Some(1_500));
        assert_eq!(when.next(1_000, 1_500), None);
        assert_eq!(when.latest(1_000, 1_500, 9_000), 1_500);
        assert_eq!(When::After(0).first(1_000), Some(1_000));
        assert_eq!(When::After(u64::MAX).first(1_000), None);
    }

    #[test]
    fn a_period_never_drifts() {
        let (when, anchor) = (When::Every(1_000), 1_795_000_000_007);
        let mut last = anchor;
        for step in 1..=86_400 {
            last = when.next(anchor, last).unwrap();
            assert_eq!(last, anchor + step * SECOND);
        }
        assert_eq!(when.first(anchor), Some(anchor + SECOND));
        assert_eq!(when.next(anchor, anchor - DAY), Some(anchor + SECOND));
        assert_eq!(when.next(anchor, anchor + 1_999), Some(anchor + 2_000));
    }

    #[test]
    fn what_was_missed_comes_down_to_its_last_occurrence_on_the_grid() {
        let when = When::Every(1_000);
        assert_eq!(when.latest(7, 1_007, 1_007), 1_007);
        assert_eq!(when.latest(7, 1_007, 2_006), 1_007);
        assert_eq!(when.latest(7, 1_007, 2_007), 2_007);
        assert_eq!(when.latest(7, 1_007, 1_000_000_000), 999_999_007);
        let when = When::cron("*/15 * * * *", Some("Asia/Kathmandu")).unwrap();
        let due = at("2026-11-22T10:15:00Z");
        assert_eq!(when.latest(0, due, due), due);
        assert_eq!(when.latest(0, due, due + 15 * MINUTE - 1), due);
        assert_eq!(when.latest(0, due, due + 15 * MINUTE), due + 15 * MINUTE);
        assert_eq!(when.latest(0, due, at("2027-06-01T00:14:59.999Z")), at("2027-06-01T00:00:00Z"));
        assert_eq!(when.latest(0, due, due - 1), due);
    }

    #[test]
    fn extreme_numbers_end_a_schedule_and_nothing_else() {
        for (anchor, after) in [(Millis::MIN, Millis::MAX), (Millis::MAX, Millis::MIN), (0, Millis::MAX), (-1, 0)] {
            for period in [0, 1, 1_000, u64::MAX] {
                let when = When::Every(period);
                assert!(when.next(anchor, after).is_none_or(|next| next > after && next > anchor));
                let _ = when.latest(anchor, anchor, after);
            }
            let when = When::cron("* * * * *", Some("Europe/Berlin")).unwrap();
            assert!(when.next(anchor, after).is_none_or(|next| next > after && next > anchor));
            let _ = when.latest(anchor, anchor, after);
        }
        assert_eq!(When::Every(0).first(0), None);
        let when = When::cron("* * * * * *", None).unwrap();
        assert_eq!(when.latest(-DAY, -DAY, -1), -SECOND);
        assert_eq!(when.latest(-DAY, -DAY, 0), 0);
        let broken = When::Cron { expression: "often".to_owned(), timezone: None };
        assert_eq!((broken.first(0), broken.latest(0, 5, 9)), (None, 5));
    }

    #[test]
    fn a_cron_schedule_begins_strictly_after_it_was_configured() {
        let when = When::cron("0 12 * * *", None).unwrap();
        let noon = at("2026-11-22T12:00:00Z");
        assert_eq!(when.first(noon - 1), Some(noon));
        assert_eq!(when.first(noon), Some(noon + DAY));
        assert_eq!(when.next(noon, noon - DAY), Some(noon + DAY));
        assert_eq!(when.next(0, noon + 1), Some(noon + DAY));
    }

    #[test]
    fn the_common_forms_of_cron_are_understood() {
        for (expression, next) in [
            ("*/5 * * * *", "2026-11-22T10:05:00Z"),
            ("0 9 * * MON-FRI", "2026-11-23T09:00:00Z"),
            ("0 9 * * 1-5", "2026-11-23T09:00:00Z"),
            ("0 0 * * 7", "2026-11-29T00:00:00Z"),
            ("0 0 1 jan *", "2027-01-01T00:00:00Z"),
            ("0 0 L * *", "2026-11-30T00:00:00Z"),
            ("0 0 * * FRI#2", "2026-12-11T00:00:00Z"),
            ("0 0 * * FRIL", "2026-11-27T00:00:00Z"),
            ("0 0 15W * ?", "2026-12-15T00:00:00Z"),
            ("0 0 13 * FRI", "2026-11-27T00:00:00Z"),
            ("0 0 13 * +FRI", "2027-08-13T00:00:00Z"),
            ("  30 0 10 * * *  ", "2026-11-22T10:00:30Z"),
            ("@hourly", "2026-11-22T11:00:00Z"),
            ("@daily", "2026-11-23T00:00:00Z"),
            ("@weekly", "2026-11-29T00:00:00Z"),
            ("@monthly", "2026-12-01T00:00:00Z"),
            ("@yearly", "2027-01-01T00:00:00Z"),
        ] {
            let when = When::cron(expression, None).unwrap();
            let first = when.first(at("2026-11-22T10:00:00Z")).map(to_rfc3339);
            assert_eq!(first, Some(to_rfc3339(at(next))), "{expression}");
        }
    }

    #[test]
    fn what_is_no_cron_expression_is_refused_and_so_is_what_never_occurs() {
        let long = format!("{} * * * *", "1,".repeat(EXPRESSION_BYTES));
        for expression in [
            "",
            " ",
            "*",
            "* * * *",
            "* * * * * * *",
            "0 0 0 1 1 * 2027",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "often",
            "@often",
            "@reboot",
            "1/5 * * * *",
            ", * * * *",
            "1, * * * *",
            "* , * * * *",
            "0 0 30 2 *",
            "0 0 31 2,4,6,9,11 *",
            "0 0 31 4 +MON",
            "0 0 * * L",
            "* * * * * L",
            "0 0 30W 2 *",
            "\u{0}",
            "０ * * * *",
            &long,
        ] {
            let refused = When::cron(expression, None);
            assert!(matches!(refused, Err(CronError::Expression(_))), "{expression:?}: {refused:?}");
        }
        for zone in ["", "Berlin", "europe/berlin", "+01:00", " UTC", "Europe/Atlantis"] {
            assert!(matches!(When::cron("* * * * *", Some(zone)), Err(CronError::Timezone(_))), "{zone}");
        }
        assert_eq!(
            When::cron("61 * * * *", None),
            Err(CronError::Expression(
                "a cron expression of 5 fields, or of 6 with the seconds first (Component error: Number out of bounds.)"
                    .to_owned()
            ))
        );
    }

    #[test]
    fn a_schedule_survives_the_round_trip_as_json() {
        for (when, json) in [
            (When::At(-5), r#"{"at":-5}"#),
            (When::After(5), r#"{"after":5}"#),
            (When::Every(5), r#"{"every":5}"#),
            (When::cron("@daily", None).unwrap(), r#"{"cron":{"expression":"@daily","timezone":null}}"#),
        ] {
            assert_eq!(serde_json::to_string(&when).unwrap(), json);
            assert_eq!(serde_json::from_str::<When>(json).unwrap(), when);
        }
    }

    #[test]
    fn every_hour_is_every_hour_across_both_changes_of_the_clocks() {
        for (zone, from, to) in [
            ("Europe/Berlin", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z"),
            ("Europe/Berlin", "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z"),
            ("America/New_York", "2026-03-07T00:00:00Z", "2026-03-10T00:00:00Z"),
            ("America/New_York", "2026-10-31T00:00:00Z", "2026-11-03T00:00:00Z"),
        ] {
            let (from, to) = (at(from), at(to));
            let hours: Vec<_> = (1..=72).map(|hour| from + hour * HOUR).collect();
            assert_eq!(between(&clock("0 * * * *", zone), from, to), hours, "{zone}");
        }
    }

    #[test]
    fn a_daily_time_in_the_gap_fires_once_at_its_end() {
        let (from, to) = ("2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
        let once = ["03-28 02:30 +01:00", "03-29 03:00 +02:00", "03-30 02:30 +02:00"];
        assert_eq!(shown("30 2 * * *", "Europe/Berlin", from, to), once);
        // croner itself loses 02:30 of the 29th here.
        assert_eq!(
            shown("30 2,14 28-29 * *", "Europe/Berlin", from, to),
            ["03-28 02:30 +01:00", "03-28 14:30 +01:00", "03-29 03:00 +02:00", "03-29 14:30 +02:00"]
        );
        // All that lies in the gap, and what lies at its end, is one occurrence.
        assert_eq!(
            shown("0,30 1-3 29 * *", "Europe/Berlin", from, to),
            ["03-29 01:00 +01:00", "03-29 01:30 +01:00", "03-29 03:00 +02:00", "03-29 03:30 +02:00"]
        );
    }

    #[test]
    fn a_daily_time_that_comes_twice_fires_when_it_comes_first() {
        let (from, to) = ("2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z");
        let once = ["10-24 02:30 +02:00", "10-25 02:30 +02:00", "10-26 02:30 +01:00"];
        assert_eq!(shown("30 2 * * *", "Europe/Berlin", from, to), once);
        assert_eq!(shown("30 2,14 25 * *", "Europe/Berlin", from, to), ["10-25 02:30 +02:00", "10-25 14:30 +01:00"]);
        // Configured, or looked at, in the second hour: it is past.
        let clock = clock("30 2 * * *", "Europe/Berlin");
        assert_eq!(clock.next(at("2026-10-25T01:15:00Z")), Some(at("2026-10-26T01:30:00Z")));
        assert_eq!(clock.latest(at("2026-10-24T00:30:00Z"), at("2026-10-25T01:15:00Z")), at("2026-10-25T00:30:00Z"));
    }

    #[test]
    fn a_repetition_skips_the_gap_and_runs_through_both_of_the_two_hours() {
        assert_eq!(
            shown("*/30 1-3 * * *", "Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T10:00:00Z"),
            ["03-29 01:00 +01:00", "03-29 01:30 +01:00", "03-29 03:00 +02:00", "03-29 03:30 +02:00"]
        );
        assert_eq!(
            shown("*/30 2 * * *", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T10:00:00Z"),
            ["10-25 02:00 +02:00", "10-25 02:30 +02:00", "10-25 02:00 +01:00", "10-25 02:30 +01:00"]
        );
    }

    #[test]
    fn a_gap_that_ends_at_midnight_loses_nothing_of_the_day_before() {
        // 2027-03-27 is the Saturday on which Nuuk has no 23:30.
        assert_eq!(
            shown("30 23 * * SAT", "America/Nuuk", "2027-03-25T00:00:00Z", "2027-04-05T00:00:00Z"),
            ["03-28 00:00 -01:00", "04-03 23:30 -01:00"]
        );
    }

    #[test]
    fn a_leap_day_and_the_last_day_of_a_month_are_found() {
        let leap = clock("0 0 29 2 *", "UTC");
        let years = [2028, 2032, 2036].map(|year| at(&format!("{year}-02-29T00:00:00Z")));
        assert_eq!(between(&leap, at("2026-01-01T00:00:00Z"), at("2039-01-01T00:00:00Z")), years);
        assert_eq!(leap.next(at("2096-03-01T00:00:00Z")), Some(at("2104-02-29T00:00:00Z")));
        assert_eq!(
            shown("0 12 L * *", "UTC", "2028-01-01T00:00:00Z", "2028-05-01T00:00:00Z"),
            ["01-31 12:00 +00:00", "02-29 12:00 +00:00", "03-31 12:00 +00:00", "04-30 12:00 +00:00"]
        );
    }

    #[test]
    fn every_second_of_a_day_comes_exactly_once() {
        let clock = clock("* * * * * *", "Europe/Berlin");
        // The day after which the clocks go back: the zone does not matter.
        let from = at("2026-10-24T12:00:00Z");
        let seconds: Vec<_> = (1..=86_400).map(|second| from + second * SECOND).collect();
        assert_eq!(between(&clock, from, from + DAY), seconds);
    }

    #[test]
    fn zones_with_odd_offsets_and_odd_changes_keep_the_promise() {
        assert_eq!(
            When::cron("0 0 * * *", Some("Asia/Kathmandu")).unwrap().first(0),
            Some(DAY - 5 * HOUR - 30 * MINUTE)
        );
        // Lord Howe changes its clocks by half an hour.
        assert_eq!(
            shown("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T13:30:00Z", "2026-10-05T00:00:00Z"),
            ["10-03 02:15 +10:30", "10-04 02:30 +11:00", "10-05 02:15 +11:00"]
        );
        assert_eq!(
            shown("45 1 * * *", "Australia/Lord_Howe", "2026-04-03T13:00:00Z", "2026-04-06T00:00:00Z"),
            ["04-04 01:45 +11:00", "04-05 01:45 +11:00", "04-06 01:45 +10:30"]
        );
        // Apia had no 30 December 2011.
        assert_eq!(
            shown("30 2 * * *", "Pacific/Apia", "2011-12-28T10:00:00Z", "2012-01-01T00:00:00Z"),
            [
                "12-28 02:30 -10:00",
                "12-29 02:30 -10:00",
                "12-31 00:00 +14:00",
                "12-31 02:30 +14:00",
                "01-01 02:30 +14:00"
            ]
        );
        assert_eq!(
            shown("0 */12 * * *", "Pacific/Apia", "2011-12-29T09:00:00Z", "2011-12-31T00:00:00Z"),
            ["12-29 00:00 -10:00", "12-29 12:00 -10:00", "12-31 00:00 +14:00", "12-31 12:00 +14:00"]
        );
    }

    #[test]
    fn around_every_change_of_the_clocks_the_occurrences_are_those_counted_by_hand() {
        for (zone, days) in [
            ("Europe/Berlin", ["2026-03-28", "2026-10-24"]),
            ("America/New_York", ["2026-03-07", "2026-10-31"]),
            ("America/Nuuk", ["2027-03-27", "2027-10-30"]),
            ("Australia/Lord_Howe", ["2026-04-04", "2026-10-03"]),
            ("Antarctica/Troll", ["2026-03-28", "2026-10-24"]),
            ("Africa/Casablanca", ["2026-02-14", "2026-03-21"]),
            ("Pacific/Apia", ["2011-12-29", "2010-09-25"]),
            ("Asia/Kathmandu", ["2026-03-28", "1985-12-31"]),
        ] {
            for expression in
                EXPRESSIONS.iter().chain(&["0,30 0-4,22-23 * * *", "*/20 0-3,22-23 * * *", "7 1,2,3 * * *"])
            {
                if expression.split_whitespace().count() == 6 {
                    continue;
                }
                let clock = clock(expression, zone);
                for day in days {
                    let from = at(&format!("{day}T00:00:00Z")) - 6 * HOUR;
                    let to = from + 3 * DAY;
                    let expected = by_hand(&clock, from, to);
                    assert_eq!(between(&clock, from, to), expected, "{expression} {zone} {day}");
                    // From wherever one looks.
                    let all: BTreeSet<_> = expected.into_iter().collect();
                    for after in (from..to).step_by(1_740_001) {
                        let next = all.range(after + 1..).next().copied();
                        assert_eq!(clock.next(after).filter(|at| *at <= to), next, "{expression} {zone} {after}");
                    }
                }
            }
        }
    }

    const EXPRESSIONS: [&str; 14] = [
        "* * * * *",
        "*/7 * * * *",
        "0 * * * *",
        "30 2 * * *",
        "30 2,14 * * *",
        "0,30 1-3 * * *",
        "*/10 2 * * *",
        "15 */2 * * *",
        "0 9 * * MON-FRI",
        "0 0 L * *",
        "30 23 * * SAT",
        "0 0 29 2 *",
        "*/20 * * * * *",
        "59 59 23 31 12 *",
    ];

    const ZONES: [&str; 8] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Nuuk",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Antarctica/Troll",
    ];

    fn any_when() -> impl Strategy<Value = When> {
        prop_oneof![
            (1_u64..10 * 86_400_000).prop_map(When::Every),
            (prop::sample::select(&EXPRESSIONS[..]), prop::sample::select(&ZONES[..]))
                .prop_map(|(expression, zone)| When::cron(expression, Some(zone)).unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn occurrences_rise_strictly_and_the_latest_is_the_last_of_them(
            when in any_when(),
            anchor in 1_300_000_000_000_i64..4_000_000_000_000,
            steps in 1_usize..60,
            rest in 0_u64..100_000_000,
        ) {
            let first = when.first(anchor).unwrap();
            prop_assert!(first > anchor);
            let mut all = vec![first];
            while all.len() < steps {
                let last = *all.last().unwrap();
                let next = when.next(anchor, last).unwrap();
                prop_assert!(next > last);
                all.push(next);
            }
            let following = when.next(anchor, *all.last().unwrap()).unwrap();
            let now = all.last().unwrap().saturating_add_unsigned(rest).min(following - 1);
            prop_assert_eq!(when.latest(anchor, first, now), *all.last().unwrap());
            prop_assert_eq!(when.latest(anchor, *all.last().unwrap(), now), *all.last().unwrap());
            prop_assert_eq!(when.next(anchor, now), Some(following));
        }

        #[test]
        fn no_expression_panics_and_what_is_accepted_occurs(
            expression in prop_oneof![
                "[0-9*,/#LW?+@ A-Z-]{0,24}",
                "((\\*|[0-9]{1,2}|[0-9]-[0-9]{1,2}|\\*/[0-9]|L|[0-9]{1,2}W|[0-9](#[0-9]|L))(,[0-9]{1,2})?[ ]){5,6}",
                "[0-9]{1,2} [0-9]{1,2} [0-9]{1,2}(W|L)? [0-9]{1,2} [+]?[0-9](#[0-9]|L)?",
            ],
            zone in prop::sample::select(&ZONES[..]),
        ) {
            if let Ok(when) = When::cron(&expression, Some(zone)) {
                prop_assert!(when.first(1_795_000_000_000).is_some(), "{}", expression);
            }
        }
    }
}
