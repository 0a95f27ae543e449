//! Durations: ISO 8601 outside, milliseconds inside. Only units of a fixed length.

const SECOND: u128 = 1_000;
const MINUTE: u128 = 60 * SECOND;
const HOUR: u128 = 60 * MINUTE;
const DAY: u128 = 24 * HOUR;
const WEEK: u128 = 7 * DAY;
/// The largest integer that every JSON reader keeps exactly.
const MAX: u64 = 1 << 53;

/// Reads `PnW` or `PnDTnHnMnS` as milliseconds, rounded down. The last component may have a decimal fraction, after
/// `.` or `,`. `None` for everything else: years and months, which have no fixed length, and what exceeds 2^53.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let text = text.strip_prefix('P').filter(|rest| !rest.is_empty())?;
    if let Some(weeks) = text.strip_suffix('W') {
        return exact(component(weeks, WEEK)?.0);
    }
    let (days, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let mut total = 0_u128;
    let mut finished = false;
    let units: [&[_]; 2] = [&[('D', DAY)], &[('H', HOUR), ('M', MINUTE), ('S', SECOND)]];
    for (mut rest, units) in [days, time].into_iter().zip(units) {
        for &(letter, unit) in units {
            let Some((number, after)) = rest.split_once(letter) else { continue };
            if finished {
                return None;
            }
            let (length, fraction) = component(number, unit)?;
            total = total.checked_add(length)?;
            finished = fraction;
            rest = after;
        }
        if !rest.is_empty() {
            return None;
        }
    }
    exact(total)
}

fn exact(total: u128) -> Option<u64> {
    u64::try_from(total).ok().filter(|total| *total <= MAX)
}

/// So many units, in milliseconds, and whether the number had a fraction.
fn component(number: &str, unit: u128) -> Option<(u128, bool)> {
    let Some((whole, fraction)) = number.split_once(['.', ',']) else {
        return Some((digits(number)?.checked_mul(unit)?, false));
    };
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = digits(fraction)?.checked_mul(unit)?.checked_div(scale)?;
    Some((digits(whole)?.checked_mul(unit)?.checked_add(part)?, true))
}

fn digits(text: &str) -> Option<u128> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixed_unit_is_read() {
        for (text, milliseconds) in [
            ("P2W", 1_209_600_000),
            ("P1D", 86_400_000),
            ("PT1H", 3_600_000),
            ("PT1M", 60_000),
            ("PT1S", 1_000),
            ("P1DT2H3M4S", 93_784_000),
            ("P1DT1S", 86_401_000),
            ("PT1H1S", 3_601_000),
            ("PT90M", 5_400_000),
            ("P0D", 0),
            ("PT007S", 7_000),
        ] {
            assert_eq!(parse(text), Some(milliseconds), "{text}");
        }
    }

    #[test]
    fn the_last_component_may_have_a_fraction_and_is_rounded_down_to_the_millisecond() {
        for (text, milliseconds) in [
            ("PT0.5S", 500),
            ("PT0,25S", 250),
            ("PT1M0.001S", 60_001),
            ("PT0.0019S", 1),
            ("PT1.5H", 5_400_000),
            ("P0.5D", 43_200_000),
            ("P0.5W", 302_400_000),
        ] {
            assert_eq!(parse(text), Some(milliseconds), "{text}");
        }
        for text in ["PT1.5H1S", "P0.5DT1H", "PT.5S", "PT1.S", "PT1.5.5S", "PT1.-5S"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_fixed_duration_is_refused() {
        for text in [
            "", "P", "PT", "T1S", "1S", "P1Y", "P1M", "P1Y2M", "PT1", "P1", "PTS", "-PT1S", "P-1D", "PT+1S", "PT1M1H",
            "PT1S1S", "P1D1D", "P1S", "PT1D", "P1DT", "P1WT1H", "P1W1D", "P1D1W", "P1DT1W", "p1d", "PT1s", "PT 1S",
            " PT1S", "PT1S ", "PT1ST", "PT1TS", "PT１S",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_overflows_and_nothing_exceeds_what_json_keeps_exactly() {
        assert_eq!(parse("PT9007199254740.992S"), Some(MAX));
        assert_eq!(parse("PT9007199254740.993S"), None);
        assert_eq!(parse("P104249991DT9H"), None);
        let nines = "9".repeat(38);
        for text in [format!("PT{nines}S"), format!("P{nines}W"), format!("PT{nines}9999S"), format!("PT0.{nines}S")] {
            assert_eq!(parse(&text), None, "{text}");
        }
        assert_eq!(parse(&format!("P{}D", "9".repeat(1_000_000))), None);
    }
}
