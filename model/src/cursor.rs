//! How far a live reader has come: what stands in `id:` and comes back in `Last-Event-ID`.

use std::fmt;

/// An offset, and the generation of the stream it was read in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The last offset seen; 0 before the first.
    pub offset: u64,
    /// The stream's life it belongs to; `None` for a bare offset.
    pub generation: Option<String>,
}

impl Cursor {
    /// Reads `57.abc` or `57`; `None` for anything else, which counts as no cursor at all (some clients send an empty one).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (offset, generation) = match text.split_once('.') {
            Some((offset, generation)) if !generation.is_empty() => (offset, Some(generation.to_owned())),
            Some(_) => return None,
            None => (text, None),
        };
        Some(Self { offset: offset.parse().ok()?, generation })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.offset)?;
        match &self.generation {
            Some(generation) => write!(f, ".{generation}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_writes_and_nothing_else() {
        let cursor = Cursor { offset: 57, generation: Some("abc".to_owned()) };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        assert_eq!(Cursor::parse("57").map(|cursor| cursor.offset), Some(57));
        for bad in ["", " ", "abc", "-1", "5.", ".x"] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
