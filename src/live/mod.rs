//! Following a stream live over Server-Sent Events: history, then what comes, on one connection, in order, without gap
//! or double.
//!
//! The handover: open the object's socket, learn the head, read pages up to it, then follow the frames. A frame is a
//! hint: when one is not the next, or too much waits, it is dropped and a page is read instead.

pub mod feed;
pub mod sse;

use futures_util::stream;
use tailrace_durable::page;
use tailrace_durable::wire::Frame;
use tailrace_model::cursor::Cursor;
use tailrace_model::event::type_of_line;
use tailrace_model::problem::Problem;
use tailrace_model::types::TypeFilter;
use wasm_bindgen::JsValue;

use crate::http::{EVENT_STREAM, Request, Response, make, text, unforeseen};
use crate::platform;
use crate::read;
use crate::stream::{Format, Stream};
use feed::Feed;

/// A comment keeps the connection open, and finds out clients that are gone.
const HEARTBEAT_MS: i64 = 15_000;

const HEADERS: [(&str, &str); 3] =
    [("content-type", EVENT_STREAM), ("cache-control", "no-cache, no-transform"), ("x-accel-buffering", "no")];

/// Answers a live read. It waits for a stream that is not born yet, and makes none.
///
/// # Errors
/// [`Problem::InvalidQuery`]. What may pass is no error: the answer then tells the client when to come again.
pub async fn follow(stream: Stream, request: &Request) -> Result<Response, Problem> {
    let mut query = read::query(&request.query)?;
    let cursor = cursor(request).unwrap_or(Cursor { offset: query.after, generation: None });
    query.after = cursor.offset;
    let retry = retry_ms();
    let feed = match Feed::open(&stream).await {
        Ok(Some(feed)) => feed,
        Ok(None) => return come_again(retry),
        Err(error) => {
            let _ = unforeseen("follow", &error);
            return come_again(retry);
        }
    };
    let tail = Tail {
        feed,
        stream,
        left: request.query.get("limit").map(|_| query.limit),
        to_end: request.query.get("beforeOffset") == Some("end"),
        types: query.types.as_deref().map(TypeFilter::parse).transpose()?,
        query,
        generation: cursor.generation,
        cursor: cursor.offset,
        head: 0,
        behind: false,
        announced: None,
        last_sent: 0,
        out: format!("retry: {retry}\n"),
        ended: false,
    };
    let chunks = stream::unfold(tail, |mut tail| async move {
        let chunk = tail.next_chunk().await?;
        let bytes = js_sys::Uint8Array::from(chunk.as_bytes());
        Some((Ok::<JsValue, JsValue>(bytes.into()), tail))
    });
    let body = wasm_streams::ReadableStream::from_stream(chunks).into_raw();
    make(200, &HEADERS, &body)
}

/// `Last-Event-ID`, from the header or the query; it wins over `afterOffset`.
fn cursor(request: &Request) -> Option<Cursor> {
    let header = request.header("last-event-id");
    header.as_deref().and_then(Cursor::parse).or_else(|| request.query.get("lastEventId").and_then(Cursor::parse))
}

/// From one to ten seconds, so that clients do not all come back at once.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number from 1,000 to 10,000")]
fn retry_ms() -> u32 {
    1_000 + (platform::random() * 9_000.0) as u32
}

/// Never an error where coming again could help: some clients give up for good on one.
fn come_again(retry: u32) -> Result<Response, Problem> {
    text(200, &HEADERS, &format!("retry: {retry}\n:\n"))
}

/// One client that follows.
struct Tail {
    feed: Feed,
    stream: Stream,
    query: page::Query,
    types: Option<TypeFilter>,
    /// Ends at the head as it is when the connection opens.
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
    out: String,
    ended: bool,
}

impl Tail {
    /// The next piece of text; `None` = the end.
    async fn next_chunk(&mut self) -> Option<String> {
        loop {
            if !self.out.is_empty() && (self.ended || !self.behind || self.out.len() > 64 * 1024) && self.is_whole() {
                return Some(std::mem::take(&mut self.out));
            }
            if self.ended {
                return None;
            }
            if self.behind {
                if self.page().await.is_err() {
                    // The client comes again, with the last id it saw.
                    self.ended = true;
                }
                continue;
            }
            match self.feed.next(HEARTBEAT_MS).await {
                Some(frame) => self.take(frame),
                None if self.feed.is_closed() => self.ended = true,
                None => self.out.push_str(":\n"),
            }
        }
    }

    /// The first line, `retry:`, is sent with the block it stands before.
    fn is_whole(&self) -> bool {
        self.ended || self.out.ends_with("\n\n") || self.out.ends_with(":\n")
    }

    fn take(&mut self, frame: Frame) {
        match frame {
            Frame::Hello { head, generation } => {
                self.head = head;
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
                    None if self.generation.is_none() => self.announce(),
                    // There was a stream once. Wait: the next one has another generation.
                    None => self.out.push_str(":\n"),
                }
            }
            Frame::Events { first, last, generation, lines } => {
                self.live_in(&generation);
                self.head = last;
                if last <= self.cursor {
                    return;
                }
                match lines {
                    Some(lines) if first == self.cursor + 1 && self.can_follow_frames() => {
                        self.send_lines(&lines, ",\n", last)
                    }
                    _ => self.behind = true,
                }
            }
            Frame::Ephemeral { line } => {
                let wanted =
                    self.types.as_ref().is_none_or(|types| types.matches(&type_of_line(&line).unwrap_or_default()));
                if wanted {
                    sse::ephemeral(&mut self.out, &line);
                }
            }
            Frame::Deleted => self.ended = true,
        }
    }

    /// True when only types are asked for: everything else is the object's to decide.
    fn can_follow_frames(&self) -> bool {
        self.query.cause.is_none()
            && self.query.before.is_none()
            && self.query.until.is_none()
            && self.query.last.is_none()
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
        self.cursor = 0;
        self.announced = None;
        self.last_sent = 0;
        self.behind = true;
        let generation = self.generation.as_deref().unwrap_or_default();
        sse::reset(&mut self.out, generation);
    }

    async fn page(&mut self) -> Result<(), Problem> {
        self.query.after = self.cursor;
        self.query.limit = self.left.unwrap_or(500).min(500);
        if let Some(last) = self.query.last {
            self.query.limit = last;
        }
        let answer = self.stream.read(Format::Lines, &self.query).await?;
        if answer.status != 200 {
            // Deleted meanwhile: its frame is on the way, or the next life's.
            self.behind = false;
            return Ok(());
        }
        if let Some(generation) =
            answer.header("tailrace-generation").filter(|it| self.generation.as_deref() != Some(*it))
        {
            let generation = generation.to_owned();
            self.live_in(&generation);
            return Ok(());
        }
        self.head = answer.number("tailrace-head");
        let after = answer.number("tailrace-after-offset");
        let up_to_date = answer.header("tailrace-up-to-date") == Some("true");
        self.query.last = None;
        self.behind = !up_to_date;
        self.send_lines(&String::from(answer.body), "\n", after);
        if up_to_date && self.is_finite() {
            self.ended = true;
        }
        Ok(())
    }

    /// True when nothing that comes later can be asked for any more.
    fn is_finite(&self) -> bool {
        self.query.before.is_some_and(|before| self.head + 1 >= before)
            || self.query.until.is_some_and(|until| platform::now() > until)
    }

    /// Sends the lines that are asked for; everything up to `last` was looked at then.
    fn send_lines(&mut self, lines: &str, separator: &str, last: u64) {
        let generation = self.generation.clone().unwrap_or_default();
        for line in lines.split(separator).filter(|line| !line.is_empty()) {
            let wanted = self.types.as_ref().is_none_or(|types| types.matches(&type_of_line(line).unwrap_or_default()));
            let Some(offset) = sse::offset_of(line).filter(|_| wanted) else { continue };
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
