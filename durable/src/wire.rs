//! What the front Worker and the objects say to each other: one text each way, because that is what costs least to hand
//! over. It never leaves the system.

use std::fmt::Write as _;

use tailrace_model::cause::{Cause, Origin};
use tailrace_model::json::push_number;
use tailrace_model::problem::Problem;

use crate::Failure;
use crate::commit::{Committed, Entry, Kind};
use crate::sql::Text;

/// How an append is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `{"event": …}`
    Event,
    /// `{"events": […]}`
    Events,
    /// `{"offset": …}`
    Offset,
    /// `{"offsets": […]}`
    Offsets,
}

/// An append on its way to the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// On whose account.
    pub kind: Kind,
    /// How it is answered.
    pub reply: Reply,
    /// The offset that the first event that is written must get.
    pub expected: Option<u64>,
    /// What to append.
    pub entries: Vec<Entry>,
    /// Bytes that belong to one of the entries and come with it.
    pub attached: Option<String>,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::Client, "client"),
    (Kind::Import, "import"),
    (Kind::Hook, "hook"),
    (Kind::System, "system"),
    (Kind::Settle, "settle"),
];
const REPLIES: [(Reply, &str); 4] =
    [(Reply::Event, "event"), (Reply::Events, "events"), (Reply::Offset, "offset"), (Reply::Offsets, "offsets")];

impl Append {
    /// A line that says how, a line an entry with its fields between tabs, and what is attached.
    /// Types hold no control characters, and a fragment is JSON on one line, so neither holds a tab or a line end.
    #[must_use]
    pub fn to_text(&self) -> String {
        let size: usize = self.entries.iter().map(|entry| entry.fragment.len() + 64).sum();
        let mut out = String::with_capacity(size + 64);
        let kind = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, name)| name);
        let reply = REPLIES.iter().find(|(reply, _)| *reply == self.reply).map_or("", |(_, name)| name);
        let expected = self.expected.map(|offset| offset.to_string()).unwrap_or_default();
        let _ = write!(out, "{kind}\t{reply}\t{expected}\t{}", self.entries.len());
        for entry in &self.entries {
            out.push('\n');
            out.push_str(&entry.event_type);
            out.push('\t');
            if let Some(key) = &entry.key {
                out.push_str(&escape_key(key));
            }
            out.push('\t');
            if let Some(offset) = entry.expected {
                push_number(&mut out, offset);
            }
            out.push('\t');
            match &entry.origin {
                None => {}
                Some(Origin::Here(offset)) => push_number(&mut out, *offset),
                Some(Origin::Known(cause)) => out.push_str(&cause.to_header()),
            }
            out.push('\t');
            out.push_str(entry.raw.as_deref().unwrap_or_default());
            out.push('\t');
            out.push_str(&entry.fragment);
        }
        if let Some(attached) = &self.attached {
            out.push('\n');
            out.push_str(attached);
        }
        out
    }

    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// [`Failure::Storage`] when it did not.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        Self::read(text).ok_or_else(|| Failure::Storage("an append that the front Worker did not write".to_owned()))
    }

    fn read(text: &str) -> Option<Self> {
        let (head, mut rest) = text.split_once('\n')?;
        let mut fields = head.split('\t');
        let (kind, reply, first) = (fields.next()?, fields.next()?, fields.next()?);
        let count = fields.next()?.parse::<usize>().ok()?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let (line, more) = cut(rest, b'\n').unwrap_or((rest, ""));
            let mut line = line;
            let mut field = || {
                let (field, rest) = cut(line, b'\t')?;
                line = rest;
                Some(field)
            };
            let (event_type, key, expected, origin, raw) = (field()?, field()?, field()?, field()?, field()?);
            entries.push(Entry {
                event_type: event_type.to_owned(),
                key: (!key.is_empty()).then(|| unescape_key(key)).flatten(),
                expected: expected.parse().ok(),
                origin: read_origin(origin),
                raw: (!raw.is_empty()).then(|| raw.to_owned()),
                fragment: line.to_owned(),
            });
            rest = more;
        }
        Some(Self {
            kind: KINDS.iter().find(|(_, name)| *name == kind)?.0,
            reply: REPLIES.iter().find(|(_, name)| *name == reply)?.0,
            expected: first.parse().ok(),
            entries,
            attached: (!rest.is_empty()).then(|| rest.to_owned()),
        })
    }
}

/// What stands before and behind the first `byte`, which is ASCII.
fn cut(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(byte, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Keys may hold anything, so they travel as JSON strings.
fn escape_key(key: &str) -> String {
    serde_json::Value::from(key).to_string()
}

fn unescape_key(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

fn read_origin(text: &str) -> Option<Origin> {
    if text.is_empty() {
        return None;
    }
    match text.parse() {
        Ok(offset) => Some(Origin::Here(offset)),
        Err(_) => Cause::from_header(text).ok().map(Origin::Known),
    }
}

/// What an object answers: an HTTP answer, as far as it knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer<T> {
    /// The HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: T,
}

impl<T: Text> Answer<T> {
    /// `200` with a body.
    #[must_use]
    pub fn ok(body: &str) -> Self {
        Self { status: 200, headers: Vec::new(), body: T::from_str(body) }
    }

    /// A refusal.
    #[must_use]
    pub fn problem(problem: &Problem) -> Self {
        let mut headers = problem.headers();
        headers.push(("content-type", "application/problem+json".to_owned()));
        Self { status: problem.status(), headers, body: T::from_str(&problem.to_json()) }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The status, a line a header, an empty line, the body.
    #[must_use]
    pub fn to_text(&self) -> T {
        let mut head = format!("{}\n", self.status);
        for (name, value) in &self.headers {
            let _ = writeln!(head, "{name}:{value}");
        }
        head.push('\n');
        T::from_str(&head).joined("", &self.body)
    }
}

/// Where the head of an answer's text ends and what it says.
#[must_use]
pub fn read_head(head: &str) -> (u16, Vec<(&str, &str)>) {
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.parse().ok()).unwrap_or(500);
    (status, lines.filter_map(|line| line.split_once(':')).collect())
}

/// What is sent to those who follow live. A frame is a hint: who misses one reads a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Where the stream stands, sent first on every connection; no generation while there is no stream.
    Hello {
        /// The last offset.
        head: u64,
        /// The stream's life.
        generation: Option<String>,
    },
    /// Events were written.
    Events {
        /// The first of them.
        first: u64,
        /// The last, the new head.
        last: u64,
        /// The stream's life.
        generation: String,
        /// Their lines as a row has them, unless they are too long.
        lines: Option<String>,
    },
    /// An event that is not stored.
    Ephemeral {
        /// Its line.
        line: String,
    },
    /// Something is due for a subscription: workers that wait for it lease.
    Due {
        /// Its slug.
        slug: String,
    },
    /// The stream was deleted.
    Deleted,
}

impl Frame {
    /// The text that is sent.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Hello { head, generation } => format!("hello {head} {}", generation.as_deref().unwrap_or("-")),
            Self::Events { first, last, generation, lines } => {
                format!("events {first} {last} {generation}\n{}", lines.as_deref().unwrap_or_default())
            }
            Self::Ephemeral { line } => format!("ephemeral\n{line}"),
            Self::Due { slug } => format!("due {slug}"),
            Self::Deleted => "deleted".to_owned(),
        }
    }

    /// Reads what [`Self::to_text`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once('\n').unwrap_or((text, ""));
        let mut words = head.split(' ');
        Some(match words.next()? {
            "hello" => Self::Hello {
                head: words.next()?.parse().ok()?,
                generation: words.next().filter(|it| *it != "-").map(str::to_owned),
            },
            "events" => Self::Events {
                first: words.next()?.parse().ok()?,
                last: words.next()?.parse().ok()?,
                generation: words.next()?.to_owned(),
                lines: (!body.is_empty()).then(|| body.to_owned()),
            },
            "ephemeral" => Self::Ephemeral { line: body.to_owned() },
            "due" => Self::Due { slug: words.next()?.to_owned() },
            "deleted" => Self::Deleted,
            _ => return None,
        })
    }

    /// The frame for what a commit wrote.
    #[must_use]
    pub fn of(committed: &Committed, generation: &str) -> Option<Self> {
        let (first, last) = committed.written?;
        Some(Self::Events { first, last, generation: generation.to_owned(), lines: committed.frame_lines() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let origin = prop_oneof![
            Just(None),
            any::<u32>().prop_map(|offset| Some(Origin::Here(u64::from(offset)))),
            (0_u32..40, 0_u32..9).prop_map(|(hops, turns)| Some(Origin::Known(Cause {
                stream_path: "/a/b".to_owned(),
                offset: 7,
                hops,
                turns
            }))),
        ];
        (
            "[a-z.é ]{1,9}",
            proptest::option::of("\\PC{1,9}[\t\n]?"),
            proptest::option::of(any::<u32>()),
            origin,
            "\\PC{0,20}",
        )
            .prop_map(|(event_type, key, expected, origin, fragment)| Entry {
                event_type,
                key,
                expected: expected.map(u64::from),
                origin,
                fragment,
                raw: None,
            })
    }

    proptest! {
        #[test]
        fn an_append_reads_as_it_was_written(entries in proptest::collection::vec(entry(), 1..5), attached in proptest::option::of("[ -~\n\t]{1,20}")) {
            let append = Append { kind: Kind::Import, reply: Reply::Offsets, expected: Some(7), entries, attached };
            prop_assert_eq!(Append::parse(&append.to_text()).unwrap(), append);
        }
    }

    #[test]
    fn frames_read_as_they_were_written() {
        for frame in [
            Frame::Hello { head: 0, generation: None },
            Frame::Hello { head: 7, generation: Some("g".into()) },
            Frame::Events { first: 1, last: 2, generation: "g".into(), lines: Some("{},\n{}".into()) },
            Frame::Events { first: 1, last: 2, generation: "g".into(), lines: None },
            Frame::Ephemeral { line: "{}".into() },
            Frame::Due { slug: "a.b".into() },
            Frame::Deleted,
        ] {
            assert_eq!(Frame::parse(&frame.to_text()), Some(frame));
        }
        assert_eq!(Frame::parse("what"), None);
    }

    #[test]
    fn an_answer_has_a_head_and_a_body() {
        let text = Answer::<String>::ok("a\n\nb").with("x-y", "1").to_text();
        let (head, body) = text.split_once("\n\n").unwrap();
        assert_eq!(read_head(head), (200, vec![("x-y", "1")]));
        assert_eq!(body, "a\n\nb");
    }
}
