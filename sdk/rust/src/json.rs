//! JSON as others write it: half a pair of surrogates and 1e400 are allowed there, but no text and no number in Rust.

use serde::de::DeserializeOwned;

/// Reads JSON. Half a pair of surrogates becomes U+FFFD, and a number beyond all numbers the last one: else one such event
/// could never be passed.
pub(crate) fn read<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(json).or_else(|error| match mended(json) {
        Some(mended) => serde_json::from_slice(&mended),
        None => Err(error),
    })
}

/// The same without what Rust has no place for; nothing if there is nothing of that.
fn mended(json: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    let (mut is_in_text, mut has_changed) = (false, false);
    while let [first, behind @ ..] = rest {
        let (piece, length) = match first {
            b'\\' => escape(rest),
            b'-' | b'0'..=b'9' if !is_in_text => number(rest),
            _ => {
                is_in_text ^= *first == b'"';
                out.push(*first);
                rest = behind;
                continue;
            }
        };
        let (as_it_was, behind) = rest.split_at_checked(length)?;
        out.extend_from_slice(piece.unwrap_or(as_it_was));
        has_changed |= piece.is_some();
        rest = behind;
    }
    has_changed.then_some(out)
}

/// What stands for the escape that begins here, if not itself, and its length.
fn escape(rest: &[u8]) -> (Option<&'static [u8]>, usize) {
    match (unit(rest), rest.get(6..).and_then(unit)) {
        (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (None, 12),
        (Some(0xd800..0xe000), _) => (Some(b"\\ufffd"), 6),
        (Some(_), _) => (None, 6),
        // Whatever is escaped begins no escape itself.
        (None, _) => (None, 2),
    }
}

/// What stands for the number that begins here, if not itself, and its length.
fn number(rest: &[u8]) -> (Option<&'static [u8]>, usize) {
    let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
    let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
    let text = rest.get(..length).and_then(|text| std::str::from_utf8(text).ok());
    let last: Option<&'static [u8]> = match text.and_then(|text| text.parse::<f64>().ok()) {
        Some(f64::INFINITY) => Some(b"1.7976931348623157e308"),
        Some(f64::NEG_INFINITY) => Some(b"-1.7976931348623157e308"),
        _ => None,
    };
    (last, length)
}

/// The number in `\uXXXX`.
fn unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |number, &digit| Some(number * 16 + char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(json: &str) -> Option<String> {
        read(json.as_bytes()).ok()
    }

    fn escaped(units: &[u16]) -> String {
        let units: Vec<String> = units.iter().map(|unit| format!("\\u{unit:04X}")).collect();
        format!("\"{}\"", units.concat())
    }

    #[test]
    fn a_number_beyond_all_numbers_is_the_last_one() {
        let json = br#"{"a":[1e400,-1E+999,1,-2.5e3,0],"1e400":"1e400"}"#;
        let value: serde_json::Value = read(json).unwrap();
        assert_eq!(value, serde_json::json!({"a": [f64::MAX, f64::MIN, 1, -2500.0, 0], "1e400": "1e400"}));
    }

    #[test]
    fn half_a_pair_becomes_a_replacement_character() {
        assert_eq!(text(r#""a\ud800b""#).unwrap(), "a\u{fffd}b");
        assert_eq!(text(r#""\uDC00\ud83d\ude00\uD83D""#).unwrap(), "\u{fffd}😀\u{fffd}");
        assert_eq!(text(r#""\ud83d\ud83d\ude00\\ud800\n""#).unwrap(), "\u{fffd}😀\\ud800\n");
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for odd in [r#""\ud800"#, r#""\ud80""#, r#""\"#, r#""\ud800\"#, r#"{"\ud800"}"#] {
            assert_eq!(text(odd), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn whole_pairs_are_never_touched(text in "\\PC{0,20}") {
            let units: Vec<u16> = text.encode_utf16().collect();
            prop_assert_eq!(mended(escaped(&units).as_bytes()), None);
        }

        #[test]
        fn any_units_become_what_utf_16_makes_of_them(units in proptest::collection::vec(0xd7f0..0xe010_u16, 0..12)) {
            prop_assert_eq!(text(&escaped(&units)).unwrap(), String::from_utf16_lossy(&units));
        }
    }
}
