//! Server-sent events, cut anywhere: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use super::ANSWER_BYTES;

/// An event: what came between two blank lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its `event`, mostly empty.
    pub name: String,
    /// Its `data`, lines joined.
    pub data: String,
}

/// A line, or the data of one event, is past [`ANSWER_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// What was read of a stream that is not a whole event yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    /// The last byte was CR: a LF that follows belongs to it.
    after_cr: bool,
    event: Event,
}

impl Events {
    /// Takes bytes off the front up to the end of an event; `None` when none ends in them, and all are taken.
    ///
    /// # Errors
    /// [`TooLong`]; nothing can be read after it.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, TooLong> {
        while let Some((at, end)) = bytes.iter().copied().enumerate().find(|(_, byte)| matches!(byte, b'\r' | b'\n')) {
            let (front, rest) = (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default());
            *bytes = rest;
            let is_rest_of_crlf = self.after_cr && at == 0 && end == b'\n';
            self.after_cr = end == b'\r';
            if is_rest_of_crlf {
                continue;
            }
            self.extend(front)?;
            if let Some(event) = self.end_line()? {
                return Ok(Some(event));
            }
        }
        self.after_cr &= bytes.is_empty();
        self.extend(std::mem::take(bytes))?;
        Ok(None)
    }

    /// The stream ended: what it said without the blank line that ends an event.
    pub(super) fn rest(mut self) -> Option<Event> {
        let ended = self.end_line().ok()?;
        ended.or(Some(self.event)).filter(|event| !event.data.is_empty())
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + bytes.len() > ANSWER_BYTES {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<Event>, TooLong> {
        let line = String::from_utf8_lossy(&self.line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok((!event.data.is_empty()).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.event.data.len() + value.len() >= ANSWER_BYTES {
                    return Err(TooLong);
                }
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments, ids, times to reconnect.
            _ => {}
        }
        self.line.clear();
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut stream = Events::default();
        let mut seen = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while let Some(event) = stream.next(&mut rest).unwrap() {
                seen.push((event.name, event.data));
            }
        }
        seen.extend(stream.rest().map(|event| (event.name, event.data)));
        seen
    }

    #[test]
    fn lines_end_in_any_way_and_are_cut_anywhere() {
        let expected = [("a".to_owned(), "1\n2é".to_owned()), (String::new(), "3".to_owned())];
        for end in ["\n", "\r", "\r\n"] {
            let lines =
                [":hi", "event: a", "id: 7", "data:1", "data: 2é", "nonsense", "", ":", "", "data", "data: 3", ""];
            let text = lines.map(|line| format!("{line}{end}")).concat();
            for at in 0..text.len() {
                let (front, back) = text.as_bytes().split_at(at);
                assert_eq!(events(&[front, back]), expected, "{end:?} {at}");
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(events(&bytes), expected);
        }
    }

    #[test]
    fn each_line_may_end_in_its_own_way() {
        let bytes: Vec<&[u8]> = b"data: 1\rdata: 2\n\ndata: 3\r\r\ndata: 4\n\r".chunks(1).collect();
        let data: Vec<String> = events(&bytes).into_iter().map(|(_, data)| data).collect();
        assert_eq!(data, ["1\n2", "3", "4"]);
    }

    #[test]
    fn an_event_that_the_end_of_the_stream_ends_is_the_rest() {
        assert_eq!(events(&[b"data: 1"]), [(String::new(), "1".to_owned())]);
        assert_eq!(events(&[b"data: 1\r"]), [(String::new(), "1".to_owned())]);
        assert_eq!(events(&[b"event: x\n"]), []);
    }

    #[test]
    fn a_line_has_its_limit() {
        let mut stream = Events::default();
        let piece = vec![b'x'; ANSWER_BYTES];
        assert_eq!(stream.next(&mut piece.as_slice()), Ok(None));
        assert_eq!(stream.next(&mut &b"x"[..]), Err(TooLong));
    }

    #[test]
    fn many_lines_of_one_event_have_it_too() {
        let mut stream = Events::default();
        let line = format!("data: {}\n", "x".repeat(ANSWER_BYTES / 2));
        assert_eq!(stream.next(&mut line.as_bytes()), Ok(None));
        assert_eq!(stream.next(&mut line.as_bytes()), Err(TooLong));
    }
}
