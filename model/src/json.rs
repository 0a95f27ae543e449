//! JSON text on one line. Bodies are never built as a tree: an isolate has little memory, and a tree of
//! `[0,0,…]` takes 16 times its text.

use crate::limits;

/// Why a text could not be put on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooDeep;

/// Appends `text`, which must be valid JSON, to `out` without insignificant white space and on one line for every
/// reader: U+0085, U+2028 and U+2029, which some languages take for line ends, are escaped. The value stays the same, but
/// for halves of surrogate pairs, which become U+FFFD.
///
/// # Errors
/// [`TooDeep`] when arrays and objects nest deeper than `depth_limit`.
pub fn push_compact(out: &mut String, text: &str, depth_limit: usize) -> Result<(), TooDeep> {
    let bytes = text.as_bytes();
    out.reserve(bytes.len());
    let mut depth = 0_usize;
    let mut in_string = false;
    // Everything from `start` up to the cursor is still to be copied.
    let mut start = 0;
    let mut at = 0;
    loop {
        let table = if in_string { &IN_STRING } else { &OUTSIDE };
        let rest = bytes.get(at..).unwrap_or_default();
        // Most bytes of most texts mean nothing: over those in one go.
        let special = |byte: &u8| !matches!(table.get(*byte as usize), Some(Kind::Plain));
        let Some(plain) = rest.iter().position(special) else { break };
        at += plain;
        let kind = rest.get(plain).and_then(|byte| table.get(*byte as usize)).copied().unwrap_or(Kind::Plain);
        let (skipped, instead) = match kind {
            Kind::Plain => (0, ""),
            Kind::Quote => {
                in_string = !in_string;
                (0, "")
            }
            Kind::Escape => match escape(rest.get(plain..).unwrap_or_default()) {
                (length, true) => (length, "\\ufffd"),
                (length, false) => {
                    at += length - 1;
                    (0, "")
                }
            },
            Kind::Open => {
                depth += 1;
                if depth > depth_limit {
                    return Err(TooDeep);
                }
                (0, "")
            }
            Kind::Close => {
                depth = depth.saturating_sub(1);
                (0, "")
            }
            Kind::Space => (1, ""),
            Kind::MayBreak => line_break(bytes.get(at..).unwrap_or_default()),
        };
        if skipped > 0 {
            out.push_str(text.get(start..at).unwrap_or_default());
            out.push_str(instead);
            at += skipped;
            start = at;
        } else {
            at += 1;
        }
    }
    out.push_str(text.get(start..).unwrap_or_default());
    Ok(())
}

/// What a byte may mean.
#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Quote,
    Escape,
    Open,
    Close,
    Space,
    /// The first byte of U+0085, U+2028 or U+2029.
    MayBreak,
}

const IN_STRING: [Kind; 256] =
    kinds(&[(b'"', Kind::Quote), (b'\\', Kind::Escape), (0xC2, Kind::MayBreak), (0xE2, Kind::MayBreak)]);

const OUTSIDE: [Kind; 256] = kinds(&[
    (b'"', Kind::Quote),
    (b'{', Kind::Open),
    (b'[', Kind::Open),
    (b'}', Kind::Close),
    (b']', Kind::Close),
    (b' ', Kind::Space),
    (b'\t', Kind::Space),
    (b'\r', Kind::Space),
    (b'\n', Kind::Space),
]);

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn kinds(special: &[(u8, Kind)]) -> [Kind; 256] {
    let mut table = [Kind::Plain; 256];
    let mut index = 0;
    while index < special.len() {
        table[special[index].0 as usize] = special[index].1;
        index += 1;
    }
    table
}

/// How long the escape at the front is, and whether it is half of a surrogate pair: no character, and many readers
/// refuse the whole text for it. It becomes U+FFFD, as whenever such a string is written as UTF-8.
fn escape(bytes: &[u8]) -> (usize, bool) {
    let unit = |from: usize| {
        let escape = bytes.get(from..from + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
    };
    match (unit(0), unit(6)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, false),
        (Some(0xD800..=0xDFFF), _) => (6, true),
        (Some(_), _) => (6, false),
        (None, _) => (2, false),
    }
}

/// How many bytes at the front are a line end to some readers, and what stands for them.
fn line_break(bytes: &[u8]) -> (usize, &'static str) {
    match bytes {
        [0xC2, 0x85, ..] => (2, "\\u0085"),
        [0xE2, 0x80, 0xA8, ..] => (3, "\\u2028"),
        [0xE2, 0x80, 0xA9, ..] => (3, "\\u2029"),
        _ => (0, ""),
    }
}

/// `text` on one line; see [`push_compact`]. The depth is that of a payload.
///
/// # Errors
/// [`TooDeep`] past [`limits::JSON_DEPTH`].
pub fn compact(text: &str) -> Result<String, TooDeep> {
    let mut out = String::new();
    push_compact(&mut out, text, limits::JSON_DEPTH)?;
    Ok(out)
}

/// `text` as a JSON string with its quotes, on one line for every reader.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// Appends what [`quoted`] makes.
pub fn push_quoted(out: &mut String, text: &str) {
    let is_plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // A string nests nothing, so the depth cannot be exceeded.
        let _ = push_compact(out, &serde_json::Value::from(text).to_string(), 0);
    }
}

/// True when two JSON texts say the same, whatever the order of members and the spelling of strings.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other || value(one).is_some_and(|it| value(other) == Some(it))
}

/// Appends a whole number.
pub fn push_number(out: &mut String, number: u64) {
    out.push_str(itoa::Buffer::new().format(number));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn white_space_goes_and_the_value_stays() {
        assert_eq!(compact("{ \"a b\" :\r\n[ 1 ,\t\"x \\\" y\" ] }").unwrap(), "{\"a b\":[1,\"x \\\" y\"]}");
    }

    #[test]
    fn what_some_readers_take_for_a_line_end_is_escaped() {
        assert_eq!(
            compact("\"a\u{2028}b\u{2029}c\u{85}d\u{2030}é\"").unwrap(),
            "\"a\\u2028b\\u2029c\\u0085d\u{2030}é\""
        );
        assert_eq!(quoted("a\u{2028}\n"), "\"a\\u2028\\n\"");
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced_and_a_whole_one_stays() {
        for (text, expected) in [
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ude00x""#, r#""\ufffdx""#),
            (r#""\ud83d\u0041""#, r#""\ufffd\u0041""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
        ] {
            assert_eq!(compact(text).unwrap(), expected);
            assert!(serde_json::from_str::<Value>(expected).is_ok());
        }
    }

    #[test]
    fn texts_that_say_the_same_are_the_same() {
        assert!(is_same(r#"{"a":1,"b":"é"}"#, r#"{"b":"\u00e9","a":1}"#));
        assert!(!is_same(r#"{"a":1}"#, r#"{"a":2}"#) && !is_same("[1,2]", "[2,1]"));
    }

    #[test]
    fn depth_is_counted_outside_strings() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(compact(&deep(64)).is_ok());
        assert_eq!(compact(&deep(65)), Err(TooDeep));
        assert!(compact(&format!("\"{}\"", "[".repeat(100))).is_ok());
    }

    proptest! {
        #[test]
        fn compact_keeps_any_value(text in "\\PC*", n in any::<f64>(), pretty in any::<bool>()) {
            let value = serde_json::json!({"t": text, "n": [n, null, true, {}], "k": {"x": [[]]}});
            let source = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let one_line = compact(&source).unwrap();
            let parsed = |text| serde_json::from_str::<Value>(text).unwrap();
            prop_assert_eq!(parsed(&one_line), parsed(&source));
            let breaks = one_line.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
            prop_assert!(!breaks);
        }
    }
}
