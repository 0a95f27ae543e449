//! Server-Sent Events, as the HTML Standard reads them (section 9.2.6), in pieces of any size.

use std::time::Duration;

/// What stood between two empty lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// `event:`; empty for a plain message.
    pub name: String,
    /// `data:`, its lines joined; `None` when there was none.
    pub data: Option<String>,
    /// `id:`, if this block has one.
    pub id: Option<String>,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A whole block.
    Block(Block),
    /// How long to wait before connecting again. Holds as soon as its line has ended.
    Retry(Duration),
}

/// Holds what has come of the line and the block that are not whole yet.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    block: Block,
    /// The last byte was a CR: an LF behind it belongs to the same line end.
    is_after_cr: bool,
    is_past_first_line: bool,
}

impl Parser {
    /// Takes the next bytes, and tells what they complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Said)) {
        if self.is_after_cr && !bytes.is_empty() {
            self.is_after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, rest) = bytes.split_at(end);
            bytes = match rest {
                [b'\r'] => {
                    self.is_after_cr = true;
                    &[]
                }
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
                [] => &[],
            };
            if self.line.is_empty() {
                self.end_line(line, &mut tell);
            } else {
                self.line.extend_from_slice(line);
                let line = std::mem::take(&mut self.line);
                self.end_line(&line, &mut tell);
            }
        }
        self.line.extend_from_slice(bytes);
    }

    fn end_line(&mut self, line: &[u8], tell: &mut impl FnMut(Said)) {
        let mut line = line;
        if !std::mem::replace(&mut self.is_past_first_line, true) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            let block = std::mem::take(&mut self.block);
            if block.data.is_some() || block.id.is_some() {
                tell(Said::Block(block));
            }
            return;
        }
        let line = String::from_utf8_lossy(line);
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.block.name),
            "data" => match &mut self.block.data {
                None => self.block.data = Some(value.to_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            "id" if !value.contains('\0') => self.block.id = Some(value.to_owned()),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                if let Ok(ms) = value.parse() {
                    tell(Said::Retry(Duration::from_millis(ms)));
                }
            }
            // A comment, or a field of tomorrow.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Said> {
        let mut parser = Parser::default();
        let mut said = Vec::new();
        for piece in pieces {
            parser.push(piece, |it| said.push(it));
        }
        said
    }

    fn block(name: &str, data: Option<&str>, id: Option<&str>) -> Said {
        Said::Block(Block { name: name.into(), data: data.map(str::to_owned), id: id.map(str::to_owned) })
    }

    const TALK: &str = "\u{feff}retry: 2500\n\nid: 1.g\ndata: {\"a\":\"ü😀\"}\n\n:\n: comment\r\n\r\nevent: tail\rid:1.g\rdata:{\"offset\":1}\r\rdata\ndata: x\ndata:  y\nodd: field\nretry: 1x\n\nid: 2\0\nevent: lost\n\nid: 9.g\ndata: never ended";

    fn expected() -> Vec<Said> {
        vec![
            Said::Retry(Duration::from_millis(2_500)),
            block("", Some("{\"a\":\"ü😀\"}"), Some("1.g")),
            block("tail", Some("{\"offset\":1}"), Some("1.g")),
            block("", Some("\nx\n y"), None),
        ]
    }

    #[test]
    fn a_stream_is_read_as_the_standard_says_and_what_has_not_ended_is_nothing() {
        assert_eq!(parse([TALK.as_bytes()]), expected());
    }

    #[test]
    fn it_does_not_matter_where_it_is_cut() {
        let bytes = TALK.as_bytes();
        assert_eq!(parse(bytes.chunks(1)), expected());
        for first in 0..=bytes.len() {
            let (begin, rest) = bytes.split_at(first);
            assert_eq!(parse([begin, rest]), expected(), "cut at {first}");
            for second in (0..=rest.len()).step_by(7) {
                let (middle, end) = rest.split_at(second);
                assert_eq!(parse([begin, middle, end]), expected(), "cut at {first} and {second} later");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_say_the_same(
            text in "([a-z:\u{feff}é \r\n]|data: |id: |\r\n|event: ){0,60}",
            sizes in proptest::collection::vec(1..9_usize, 1..60),
        ) {
            let mut rest = text.as_bytes();
            let mut pieces = Vec::new();
            for size in sizes {
                let (piece, left) = rest.split_at(size.min(rest.len()));
                pieces.push(piece);
                rest = left;
            }
            pieces.push(rest);
            prop_assert_eq!(parse(pieces), parse([text.as_bytes()]));
        }
    }
}
