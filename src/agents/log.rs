//! Reads a stream's pages into a transcript.

use js_sys::JsString;
use tailrace_agent::transcript::{self, Transcript};
use tailrace_durable::page::Query;
use tailrace_model::limits;
use tailrace_model::line::StoredEvent;

use crate::http::Answer;
use crate::stream::{Format, read_text};

/// Bytes of one page: what is read goes by in pieces.
const PAGE_BYTES: u64 = 1_024 * 1_024;

/// A stream's events up to some offset, on their way into a transcript.
pub struct Log {
    /// What was read so far.
    pub transcript: Transcript,
    after: u64,
    up_to: u64,
}

impl Log {
    /// Nothing is read yet of what the agent `slug` was told up to an event.
    #[must_use]
    pub fn new(slug: &str, up_to: u64) -> Self {
        Self { transcript: Transcript::new(slug), after: 0, up_to }
    }

    /// The page to read next, as the object takes it; `None` = all is read.
    #[must_use]
    pub fn next_query(&self) -> Option<String> {
        if self.after >= self.up_to {
            return None;
        }
        let query = Query {
            after: self.after,
            before: Some(self.up_to + 1),
            limit: limits::PAGE_EVENTS,
            types: Some(transcript::TYPES.to_owned()),
            max_bytes: Some(PAGE_BYTES),
            ..Query::default()
        };
        read_text(Format::Lines, &query).ok()
    }

    /// Takes in a page, as the object answers it.
    ///
    /// # Errors
    /// What the object refused it with.
    pub fn take_page(&mut self, text: &JsString) -> Result<(), String> {
        let answer = Answer::new(text);
        if answer.status != 200 {
            return Err(format!("the stream cannot be read: {}", answer.status));
        }
        let lines = String::from(answer.body.clone());
        for line in lines.lines() {
            if let Ok(event) = StoredEvent::parse(line) {
                self.transcript.take(&event);
            }
        }
        let after = answer.number("tailrace-after-offset");
        let is_done = answer.header("tailrace-up-to-date") == Some("true") || after <= self.after;
        self.after = if is_done { self.up_to } else { after };
        Ok(())
    }
}
