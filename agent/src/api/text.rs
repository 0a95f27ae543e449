//! Texts that come in pieces. JSON writes half of a surrogate pair as readily as any character, and servers that cut
//! by UTF-16 units send one half in one piece and the other in the next. So pieces are decoded here, unit by unit.

use serde_json::value::RawValue;
use tailrace_model::text::cut;

/// A text that grows by JSON strings.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    said: String,
    /// The first half of a pair whose second half may come with the next piece.
    high: Option<u16>,
}

impl Text {
    /// Appends what a JSON string says; any other value says nothing.
    pub(super) fn push(&mut self, literal: &RawValue) {
        let Some(inner) = literal.get().strip_prefix('"') else { return };
        let mut rest = inner.strip_suffix('"').unwrap_or(inner);
        while let Some((plain, escaped)) = rest.split_once('\\') {
            self.push_plain(plain);
            let mut chars = escaped.chars();
            match chars.next() {
                Some('u') => {
                    let unit = escaped.get(1..5).and_then(|digits| u16::from_str_radix(digits, 16).ok());
                    self.push_unit(unit.unwrap_or(0xFFFD));
                    rest = escaped.get(5..).unwrap_or_default();
                    continue;
                }
                Some('b') => self.push_plain("\u{8}"),
                Some('f') => self.push_plain("\u{c}"),
                Some('n') => self.push_plain("\n"),
                Some('r') => self.push_plain("\r"),
                Some('t') => self.push_plain("\t"),
                Some(itself) => self.push_plain(itself.encode_utf8(&mut [0; 4])),
                None => {}
            }
            rest = chars.as_str();
        }
        self.push_plain(rest);
    }

    /// Appends a text as it is.
    pub(super) fn push_plain(&mut self, text: &str) {
        if !text.is_empty() {
            self.close();
            self.said.push_str(text);
        }
    }

    fn push_unit(&mut self, unit: u16) {
        match (self.high, unit) {
            (Some(high), 0xDC00..=0xDFFF) => {
                self.high = None;
                self.said.extend(char::decode_utf16([high, unit]).flatten());
            }
            (_, 0xD800..=0xDBFF) => {
                self.close();
                self.high = Some(unit);
            }
            _ => {
                self.close();
                self.said.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
    }

    /// No more follows: a half that waits stays alone, and no character.
    pub(super) fn close(&mut self) {
        if self.high.take().is_some() {
            self.said.push(char::REPLACEMENT_CHARACTER);
        }
    }

    /// Keeps at most so many bytes.
    pub(super) fn keep(&mut self, max_bytes: usize) {
        let end = cut(&self.said, max_bytes).len();
        self.said.truncate(end);
    }

    /// What was said so far, but for a half that waits.
    pub(super) fn as_str(&self) -> &str {
        &self.said
    }

    /// What was said.
    pub(super) fn into_string(mut self) -> String {
        self.close();
        self.said
    }
}

/// What a JSON string says; `None` for any other value.
pub(super) fn plain(literal: &RawValue) -> Option<String> {
    literal.get().starts_with('"').then(|| {
        let mut text = Text::default();
        text.push(literal);
        text.into_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(literals: &[&str]) -> String {
        let mut text = Text::default();
        for literal in literals {
            text.push(&RawValue::from_string((*literal).to_owned()).unwrap());
        }
        text.into_string()
    }

    #[test]
    fn halves_of_a_pair_meet_across_pieces() {
        assert_eq!(joined(&[r#""a\ud83d""#, r#""""#, r#""\ude00b""#]), "a😀b");
        assert_eq!(joined(&[r#""\uD83D\uDE00\ud83d""#, r#""\ude00""#]), "😀😀");
    }

    #[test]
    fn a_half_that_stays_alone_becomes_a_replacement_character() {
        for (pieces, expected) in [
            (&[r#""\ud83d""#, r#""x""#][..], "\u{fffd}x"),
            (&[r#""\ude00""#, r#""\ud83d""#], "\u{fffd}\u{fffd}"),
            (&[r#""\ud83d""#, r#""\ud83d\ude00""#], "\u{fffd}😀"),
            (&[r#""\ud83d""#, r#""\n""#], "\u{fffd}\n"),
        ] {
            assert_eq!(joined(pieces), expected);
        }
    }

    #[test]
    fn whatever_is_no_string_says_nothing() {
        assert_eq!(joined(&["null", "5", "[\"x\"]", "\"y\""]), "y");
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_it_was_written(pieces in prop::collection::vec(any::<String>(), 0..5)) {
            let literals: Vec<String> = pieces.iter().map(|piece| serde_json::to_string(piece).unwrap()).collect();
            let literals: Vec<&str> = literals.iter().map(String::as_str).collect();
            prop_assert_eq!(joined(&literals), pieces.concat());
        }

        #[test]
        fn any_units_are_read_wherever_they_are_cut(units in prop::collection::vec(any::<u16>(), 0..20), at in 0_usize..20) {
            let literal = |units: &[u16]| {
                use std::fmt::Write as _;
                let mut text = "\"".to_owned();
                for unit in units {
                    write!(text, "\\u{unit:04x}").unwrap();
                }
                text + "\""
            };
            let (front, back) = units.split_at(at.min(units.len()));
            prop_assert_eq!(joined(&[&literal(front), &literal(back)]), String::from_utf16_lossy(&units));
        }
    }
}
