//! Following a stream live over Server-Sent Events: history, then what comes, on one connection, in order, without gap
//! or double.
//!
//! The handover: open the object's socket, learn the head, read pages up to it, then follow the frames. A frame is a
//! hint: when one is not the next, or too much waits, it is dropped and a page is read instead. What is decided is in
//! [`tail`], which waits for nothing; the waiting is in `live.js`.

pub mod backlog;
pub mod sse;
pub mod tail;

use js_sys::JsString;
use tailrace_durable::wire::Frame;
use tailrace_model::Problem;
use tailrace_model::cursor::Cursor;
use wasm_bindgen::prelude::*;

use crate::http::{Answer, Query};
use crate::platform;
use crate::read;
use crate::stream::{Format, read_text};
use tail::{Page, Tail, Wish};

/// A [`Tail`], as `live.js` holds it.
#[wasm_bindgen]
pub struct LiveTail(Tail);

impl LiveTail {
    /// For what the URL and the header `Last-Event-ID` ask for.
    ///
    /// # Errors
    /// [`Problem::InvalidQuery`]
    pub fn new(query: &Query, last_event_id: Option<&str>) -> Result<Self, Problem> {
        let mut wanted = read::query(query)?;
        // From the header or the query; it wins over `afterOffset`.
        let cursor = last_event_id.and_then(Cursor::parse).or_else(|| query.get("lastEventId").and_then(Cursor::parse));
        if cursor.is_some() {
            // Who comes again wants what it missed, not the last few.
            wanted.last = None;
        }
        Ok(Self(Tail::new(Wish {
            cursor: cursor.unwrap_or(Cursor { offset: wanted.after, generation: None }),
            to_end: query.get("beforeOffset") == Some("end"),
            limit: query.get("limit").map(|_| wanted.limit),
            retry: retry_ms(),
            query: wanted,
        })))
    }
}

#[wasm_bindgen]
impl LiveTail {
    /// A frame came from the object.
    pub fn put(&mut self, frame: &str) {
        if let Some(frame) = Frame::parse(frame) {
            self.0.put(frame);
        }
    }

    /// The connection to the object is gone.
    pub fn close(&mut self) {
        self.0.close();
    }

    /// Nothing happened for a while.
    pub fn heartbeat(&mut self) {
        self.0.heartbeat(platform::now());
    }

    /// What to send to the client now, if anything.
    #[wasm_bindgen(js_name = nextPiece)]
    pub fn next_piece(&mut self) -> Option<String> {
        self.0.next_piece()
    }

    /// The page to read now, if any, as `stream.js` takes it.
    #[must_use]
    pub fn wanted(&self) -> Option<String> {
        read_text(Format::Lines, &self.0.wanted()?).ok()
    }

    /// The page that was wanted, as `stream.js` gives it.
    pub fn page(&mut self, answer: &JsString) {
        let answer = Answer::new(answer);
        if answer.status != 200 {
            return self.0.no_page();
        }
        let page = Page {
            generation: answer.header("tailrace-generation").unwrap_or_default(),
            head: answer.number("tailrace-head"),
            after: answer.number("tailrace-after-offset"),
            up_to_date: answer.header("tailrace-up-to-date") == Some("true"),
            lines: &String::from(answer.body.clone()),
        };
        self.0.page(page, platform::now());
    }

    /// The page could not be read.
    #[wasm_bindgen(js_name = giveUp)]
    pub fn give_up(&mut self) {
        self.0.give_up();
    }

    /// True when nothing more will be sent.
    #[must_use]
    #[wasm_bindgen(js_name = isEnded)]
    pub fn is_ended(&self) -> bool {
        self.0.is_ended()
    }
}

/// From one to ten seconds, so that clients do not all come back at once.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number from 1,000 to 10,000")]
fn retry_ms() -> u32 {
    1_000 + (platform::random() * 9_000.0) as u32
}
