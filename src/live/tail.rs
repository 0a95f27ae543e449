//! One client that follows: a machine that is told what comes from the object and says what to send and to ask for. It
//! waits for nothing itself; `live.js` does.

use tailrace_durable::page;
use tailrace_durable::wire::Frame;
use tailrace_model::cursor::Cursor;
use tailrace_model::line::type_of_line;
use tailrace_model::time::Millis;
use tailrace_model::types::TypeFilter;

use super::backlog::Backlog;
use super::sse;

/// So much text is sent in one piece at most, if its pieces allow it.
const PIECE_BYTES: usize = 64 * 1024;

/// Events that are asked for at a time while catching up.
const PAGE_EVENTS: u64 = 500;

/// Bytes that are asked for at a time: what a client that stalls holds in memory.
const PAGE_BYTES: u64 = 256 * 1024;

/// What a client wants to follow.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Which events.
    pub query: page::Query,
    /// What the client saw last.
    pub cursor: Cursor,
    /// End at the head as it is when the connection opens.
    pub to_end: bool,
    /// End after so many events.
    pub limit: Option<u64>,
    /// Milliseconds after which the client may come again when the connection breaks.
    pub retry: u32,
}

/// A page as an object answered it.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The stream's life.
    pub generation: &'a str,
    /// Its last offset.
    pub head: u64,
    /// Up to where was looked.
    pub after: u64,
    /// Nothing more is there now.
    pub up_to_date: bool,
    /// One event a line.
    pub lines: &'a str,
}

/// One client that follows.
pub struct Tail {
    query: page::Query,
    types: Option<TypeFilter>,
    to_end: bool,
    /// Events still to send, when the client named a limit.
    left: Option<u64>,
    /// The life of the stream that `cursor` belongs to, when it is known.
    generation: Option<String>,
    /// Everything up to here was looked at.
    cursor: u64,
    /// The last offset as far as is known.
    head: u64,
    /// Pages have to be read before frames can be followed.
    behind: bool,
    /// The cursor that was last announced as the head.
    announced: Option<u64>,
    /// The offset that the client saw last.
    last_sent: u64,
    backlog: Backlog,
    out: String,
    ended: bool,
}

impl Tail {
    /// A client that has seen nothing of this connection yet.
    #[must_use]
    pub fn new(wish: Wish) -> Self {
        let types = wish.query.types.as_deref().and_then(|list| TypeFilter::parse(list).ok());
        Self {
            types,
            to_end: wish.to_end,
            left: wish.limit,
            generation: wish.cursor.generation,
            cursor: wish.cursor.offset,
            query: wish.query,
            head: 0,
            behind: false,
            announced: None,
            last_sent: 0,
            backlog: Backlog::default(),
            out: format!("retry: {}\n", wish.retry),
            ended: false,
        }
    }

    /// A frame came.
    pub fn put(&mut self, frame: Frame) {
        self.backlog.put(frame);
    }

    /// No more frames will come.
    pub fn close(&mut self) {
        self.backlog.close();
    }

    /// Nothing happened for a while: a comment keeps the connection open, and finds out clients that are gone.
    pub fn heartbeat(&mut self, now: Millis) {
        self.pulse();
        if !self.behind && self.is_finite(now) {
            self.ended = true;
        }
    }

    /// The next piece to send; `None` when there is nothing now.
    pub fn next_piece(&mut self) -> Option<String> {
        while !self.ended && !self.behind && self.out.len() < PIECE_BYTES {
            match self.backlog.take() {
                Some(frame) => self.take(frame),
                None if self.backlog.is_closed() => self.ended = true,
                None => break,
            }
        }
        let full = !self.behind || self.ended || self.out.len() >= PIECE_BYTES;
        (full && !self.out.is_empty() && self.is_whole()).then(|| std::mem::take(&mut self.out))
    }

    /// The page to read next; `None` when none is needed now.
    #[must_use]
    pub fn wanted(&self) -> Option<page::Query> {
        if !self.behind || self.ended {
            return None;
        }
        let limit = self.query.last.unwrap_or_else(|| self.left.unwrap_or(PAGE_EVENTS).min(PAGE_EVENTS));
        Some(page::Query { after: self.cursor, limit, max_bytes: Some(PAGE_BYTES), ..self.query.clone() })
    }

    /// True when nothing more will be sent.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended && self.out.is_empty()
    }

    /// Takes in the page that was wanted.
    pub fn page(&mut self, page: Page, now: Millis) {
        if self.generation.as_deref() != Some(page.generation) {
            self.live_in(page.generation);
            return;
        }
        self.head = page.head;
        self.query.last = None;
        self.behind = !page.up_to_date;
        self.send_lines(page.lines, "\n", page.after);
        if page.up_to_date && self.is_finite(now) {
            self.ended = true;
        }
    }

    /// There is no stream (any more): its end, or the next life, will be told.
    pub fn no_page(&mut self) {
        self.behind = false;
    }

    /// The page could not be read. The client comes again, with the last id it saw.
    pub fn give_up(&mut self) {
        self.ended = true;
    }

    fn pulse(&mut self) {
        self.out.push_str(":\n");
    }

    /// The first line, `retry:`, is sent with the block it stands before.
    fn is_whole(&self) -> bool {
        self.ended || self.out.ends_with("\n\n") || self.out.ends_with(":\n")
    }

    fn take(&mut self, frame: Frame) {
        match frame {
            Frame::Hello { head, generation } => {
                self.head = head;
                if head == 0 {
                    // Of a stream that is not born yet everything is new.
                    self.query.last = None;
                }
                if self.to_end {
                    self.query.before = Some(head + 1);
                }
                match generation {
                    Some(generation) => {
                        self.live_in(&generation);
                        if self.cursor > head {
                            self.reset();
                        }
                        self.behind = true;
                    }
                    None if self.cursor == 0 && self.generation.is_none() => self.announce(),
                    // The client knows a stream that was here once. It waits: the next one has another generation.
                    None => self.pulse(),
                }
            }
            Frame::Events { first, last, generation, lines } => {
                self.live_in(&generation);
                self.head = last;
                if self.cursor > last && first == 1 {
                    self.reset();
                }
                match lines {
                    _ if last <= self.cursor => {}
                    Some(lines) if first == self.cursor + 1 && !self.behind && self.follows_frames() => {
                        self.send_lines(&lines, ",\n", last);
                    }
                    _ => self.behind = true,
                }
            }
            Frame::Ephemeral { line } => {
                let event_type = type_of_line(&line).unwrap_or_default();
                if self.types.as_ref().is_none_or(|types| types.matches(&event_type)) {
                    sse::ephemeral(&mut self.out, &line);
                }
            }
            Frame::Due { .. } => {}
            Frame::Deleted => self.ended = true,
        }
    }

    /// True when only types are asked for: everything else is the object's to decide.
    fn follows_frames(&self) -> bool {
        let page::Query { before, last, since, until, cause, .. } = &self.query;
        before.is_none() && last.is_none() && since.is_none() && until.is_none() && cause.is_none()
    }

    fn live_in(&mut self, generation: &str) {
        match &self.generation {
            Some(known) if known == generation => {}
            Some(_) => {
                self.generation = Some(generation.to_owned());
                self.reset();
            }
            None => self.generation = Some(generation.to_owned()),
        }
    }

    /// The client's cursor means nothing in this stream: all of it is new.
    fn reset(&mut self) {
        self.query.last = None;
        self.cursor = 0;
        self.announced = None;
        self.last_sent = 0;
        self.behind = true;
        let generation = self.generation.as_deref().unwrap_or_default();
        sse::reset(&mut self.out, generation);
    }

    /// True when nothing that comes later can be asked for any more.
    fn is_finite(&self, now: Millis) -> bool {
        self.query.before.is_some_and(|before| self.head + 1 >= before)
            || self.query.until.is_some_and(|until| now > until)
    }

    /// Sends the lines that are asked for; everything up to `last` was looked at then.
    fn send_lines(&mut self, lines: &str, separator: &str, last: u64) {
        let generation = self.generation.clone().unwrap_or_default();
        for line in lines.split(separator).filter(|line| !line.is_empty()) {
            if let Some(types) = &self.types
                && !types.matches(&type_of_line(line).unwrap_or_default())
            {
                continue;
            }
            let Some(offset) = sse::offset_of(line) else { continue };
            sse::event(&mut self.out, offset, &generation, line);
            self.last_sent = offset;
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.cursor = offset;
                    self.ended = true;
                    return;
                }
            }
        }
        self.cursor = self.cursor.max(last);
        if !self.behind {
            self.announce();
        }
    }

    /// Says that the client is up to date: when it first is, and when events it did not ask for went by.
    fn announce(&mut self) {
        let news = match self.announced {
            None => true,
            Some(announced) => self.cursor > announced && self.cursor > self.last_sent,
        };
        if news {
            sse::tail(&mut self.out, self.cursor, self.generation.as_deref());
            self.announced = Some(self.cursor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GENERATION: &str = "g";

    fn line(offset: u64) -> String {
        let event_type = if offset.is_multiple_of(3) { "b" } else { "a" };
        format!("{{\"offset\":{offset},\"type\":\"{event_type}\"}}")
    }

    fn lines(first: u64, last: u64, separator: &str) -> String {
        (first..=last).map(line).collect::<Vec<_>>().join(separator)
    }

    fn events(first: u64, last: u64, with_lines: bool) -> Frame {
        let lines = with_lines.then(|| lines(first, last, ",\n"));
        Frame::Events { first, last, generation: GENERATION.into(), lines }
    }

    /// The offsets of the stored events in a text.
    fn seen(text: &str) -> Vec<u64> {
        text.lines().filter_map(|line| sse::offset_of(line.strip_prefix("data: ")?)).collect()
    }

    /// A stream of `head` events, and a client with its wishes.
    struct Talk {
        tail: Tail,
        head: u64,
        text: String,
    }

    impl Talk {
        fn new(wish: Wish, head: u64) -> Self {
            let mut tail = Tail::new(wish);
            tail.put(Frame::Hello { head, generation: (head > 0).then(|| GENERATION.into()) });
            Self { tail, head, text: String::new() }
        }

        fn step(&mut self) -> bool {
            if let Some(piece) = self.tail.next_piece() {
                self.text.push_str(&piece);
                return true;
            }
            let Some(query) = self.tail.wanted() else { return false };
            let first =
                query.last.map_or(query.after + 1, |last| (query.after + 1).max((self.head + 1).saturating_sub(last)));
            let last = self.head.min(first + query.limit - 1).min(query.before.map_or(u64::MAX, |before| before - 1));
            let page = Page {
                generation: GENERATION,
                head: self.head,
                after: last.max(query.after),
                up_to_date: last == self.head || query.before == Some(last + 1),
                lines: &lines(first, last, "\n"),
            };
            self.tail.page(page, 0);
            true
        }

        fn settle(&mut self) -> &str {
            while self.step() {}
            &self.text
        }
    }

    #[test]
    fn history_comes_first_then_the_head_is_announced_then_what_is_new() {
        let mut talk = Talk::new(Wish::default(), 3);
        assert_eq!(seen(talk.settle()), [1, 2, 3]);
        assert!(talk.text.ends_with("event: tail\nid: 3.g\ndata: {\"offset\":3}\n\n"), "{}", talk.text);
        talk.head = 4;
        talk.tail.put(events(4, 4, true));
        assert_eq!(seen(talk.settle()), [1, 2, 3, 4]);
        assert_eq!(talk.text.matches("event: tail").count(), 1);
    }

    #[test]
    fn a_stream_that_is_not_born_is_waited_for() {
        let mut talk = Talk::new(Wish::default(), 0);
        assert_eq!(talk.settle(), "retry: 0\nevent: tail\ndata: {\"offset\":0}\n\n");
        talk.head = 2;
        talk.tail.put(events(1, 2, true));
        assert_eq!(seen(talk.settle()), [1, 2]);
    }

    #[test]
    fn a_cursor_of_another_life_is_reset() {
        for cursor in [Cursor { offset: 2, generation: Some("old".into()) }, Cursor { offset: 9, generation: None }] {
            let mut talk = Talk::new(Wish { cursor, ..Wish::default() }, 3);
            let text = talk.settle();
            assert!(text.contains("event: reset\nid: 0.g\n"), "{text}");
            assert_eq!(seen(text), [1, 2, 3]);
        }
    }

    #[test]
    fn a_cursor_of_a_deleted_stream_waits_and_is_reset_by_the_next_life() {
        let wish = Wish { cursor: Cursor { offset: 9, generation: Some("old".into()) }, ..Wish::default() };
        let mut talk = Talk::new(wish, 0);
        assert_eq!(talk.settle(), "retry: 0\n:\n");
        talk.head = 1;
        talk.tail.put(events(1, 1, true));
        assert!(talk.settle().contains("event: reset"));
        assert_eq!(seen(&talk.text), [1]);
    }

    #[test]
    fn events_that_are_not_asked_for_move_the_cursor() {
        let query = page::Query { types: Some("b".into()), ..page::Query::default() };
        let mut talk = Talk::new(Wish { query, ..Wish::default() }, 4);
        assert_eq!(seen(talk.settle()), [3]);
        assert!(talk.text.ends_with("data: {\"offset\":4}\n\n"));
        talk.head = 5;
        talk.tail.put(events(5, 5, true));
        assert!(talk.settle().ends_with("data: {\"offset\":5}\n\n"));
    }

    #[test]
    fn a_limit_and_the_end_end_it() {
        let mut talk = Talk::new(Wish { limit: Some(2), ..Wish::default() }, 5);
        assert_eq!(seen(talk.settle()), [1, 2]);
        assert!(talk.tail.is_ended());
        let mut talk = Talk::new(Wish { to_end: true, ..Wish::default() }, 5);
        assert_eq!(seen(talk.settle()), [1, 2, 3, 4, 5]);
        assert!(talk.tail.is_ended());
    }

    #[test]
    fn only_a_first_visit_is_cut_to_the_last_events() {
        let last =
            |cursor| Wish { query: page::Query { last: Some(2), ..page::Query::default() }, cursor, ..Wish::default() };
        assert_eq!(seen(Talk::new(last(Cursor::default()), 5).settle()), [4, 5]);
        let reset = Cursor { offset: 3, generation: Some("old".into()) };
        assert_eq!(seen(Talk::new(last(reset), 5).settle()), [1, 2, 3, 4, 5]);
        let mut unborn = Talk::new(last(Cursor::default()), 0);
        unborn.settle();
        unborn.head = 5;
        unborn.tail.put(events(1, 5, false));
        assert_eq!(seen(unborn.settle()), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn deletion_and_a_lost_connection_end_it() {
        let mut talk = Talk::new(Wish::default(), 1);
        talk.tail.put(Frame::Deleted);
        talk.settle();
        assert!(talk.tail.is_ended());
        let mut talk = Talk::new(Wish::default(), 1);
        talk.tail.close();
        assert_eq!(seen(talk.settle()), [1]);
        assert!(talk.tail.is_ended());
    }

    #[test]
    fn what_is_not_stored_passes_by_the_filter_and_moves_nothing() {
        let query = page::Query { types: Some("x".into()), ..page::Query::default() };
        let mut talk = Talk::new(Wish { query, ..Wish::default() }, 1);
        for event_type in ["x", "y"] {
            talk.tail.put(Frame::Ephemeral { line: format!("{{\"type\":\"{event_type}\"}}") });
        }
        talk.settle();
        assert_eq!(talk.text.matches("event: ephemeral\ndata: {\"type\":\"x\"}").count(), 1);
        assert!(!talk.text.contains("\"y\""));
    }

    proptest! {
        /// Frames come whole, without text, late, doubled or not at all, while the client reads at its own pace.
        #[test]
        fn a_client_sees_every_event_once_and_in_order(
            before in 0_u64..20,
            start in 0_u64..20,
            commits in proptest::collection::vec((1_u64..9, 0_u8..5, 0_usize..4), 0..40),
        ) {
            let start = start.min(before);
            let cursor = Cursor { offset: start, generation: None };
            let mut talk = Talk::new(Wish { cursor, ..Wish::default() }, before);
            for (count, fate, steps) in commits {
                let first = talk.head + 1;
                talk.head += count;
                match fate {
                    0 => {}
                    1 => talk.tail.put(events(first, talk.head, false)),
                    2 => {
                        talk.tail.put(events(first, talk.head, true));
                        talk.tail.put(events(first, talk.head, true));
                    }
                    _ => talk.tail.put(events(first, talk.head, true)),
                }
                for _ in 0..steps {
                    talk.step();
                }
            }
            talk.tail.put(events(talk.head, talk.head, false));
            talk.settle();
            let expected: Vec<u64> = (start + 1..=talk.head).collect();
            prop_assert_eq!(seen(&talk.text), expected);
        }
    }
}
