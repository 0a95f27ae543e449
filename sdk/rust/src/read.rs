//! Reading what is there, page by page.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;
use tailrace_model::limits;

use crate::client::Call;
use crate::error::Error;
use crate::event::Event;
use crate::platform::BoxedStream;
use crate::stream::Stream;

/// The most events that are asked for at once.
const PAGE: u64 = limits::PAGE_EVENTS;

/// What to read. It is a [`Stream`](futures_util::Stream) of events, in order, that ends at the head; nothing is
/// asked for before it is polled, and a page only when the one before is used up.
#[must_use = "nothing is read before it is polled"]
pub struct Read {
    stream: Stream,
    wanted: Wanted,
    reading: Option<BoxedStream<Result<Event, Error>>>,
}

/// The parameters of a read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub after_offset: Option<u64>,
    pub last: Option<u64>,
    pub types: Option<String>,
    before_offset: Option<String>,
    limit: Option<u64>,
    since: Option<String>,
    until: Option<String>,
    cause: Option<u64>,
}

impl Wanted {
    /// As a query.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let number = |name, value: Option<u64>| value.map(|value| (name, value.to_string()));
        let text = |name, value: &Option<String>| value.clone().map(|value| (name, value));
        [
            number("afterOffset", self.after_offset),
            text("beforeOffset", &self.before_offset),
            number("limit", self.limit.map(|left| left.min(PAGE))),
            number("last", self.last),
            text("types", &self.types),
            text("since", &self.since),
            text("until", &self.until),
            number("cause", self.cause),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Globs as a query has them.
pub(crate) fn joined(globs: impl IntoIterator<Item = impl Into<String>>) -> String {
    globs.into_iter().map(Into::into).collect::<Vec<String>>().join(",")
}

impl Read {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, wanted: Wanted::default(), reading: None }
    }

    /// Only events behind this offset.
    pub fn after_offset(mut self, offset: u64) -> Self {
        self.wanted.after_offset = Some(offset);
        self
    }

    /// Only events before this offset.
    pub fn before_offset(mut self, offset: u64) -> Self {
        self.wanted.before_offset = Some(offset.to_string());
        self
    }

    /// Only events that are there now.
    pub fn before_now(mut self) -> Self {
        self.wanted.before_offset = Some("end".to_owned());
        self
    }

    /// At most so many events.
    pub fn limit(mut self, events: u64) -> Self {
        self.wanted.limit = Some(events);
        self
    }

    /// Of all events that match, only the last so many, at most 1,000.
    pub fn last(mut self, events: u64) -> Self {
        self.wanted.last = Some(events);
        self
    }

    /// Only events of these types; `*` stands for anything: `agent.*`.
    pub fn types(mut self, globs: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.wanted.types = Some(joined(globs));
        self
    }

    /// Only events of this instant (RFC 3339) or later.
    pub fn since(mut self, instant: impl Into<String>) -> Self {
        self.wanted.since = Some(instant.into());
        self
    }

    /// Only events of this instant (RFC 3339) or earlier.
    pub fn until(mut self, instant: impl Into<String>) -> Self {
        self.wanted.until = Some(instant.into());
        self
    }

    /// Only events that the event at this offset caused.
    pub fn cause(mut self, offset: u64) -> Self {
        self.wanted.cause = Some(offset);
        self
    }

    /// All of them at once.
    ///
    /// # Errors
    /// [`Error`]; `stream_not_found` when nothing was written yet.
    pub async fn all(self) -> Result<Vec<Event>, Error> {
        self.try_collect().await
    }
}

impl futures_util::Stream for Read {
    type Item = Result<Event, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { stream, wanted, reading } = self.get_mut();
        let reading = reading.get_or_insert_with(|| Box::pin(events(stream.clone(), wanted.clone()).fuse()));
        reading.poll_next_unpin(context)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    events: Vec<Event>,
    after_offset: u64,
    up_to_date: bool,
}

fn events(stream: Stream, wanted: Wanted) -> impl futures_util::Stream<Item = Result<Event, Error>> {
    let pages = stream::try_unfold(Some(wanted), move |wanted| {
        let stream = stream.clone();
        async move {
            let Some(mut wanted) = wanted else { return Ok::<_, Error>(None) };
            let call = Call::get("streams", stream.stream_path()).query(wanted.pairs());
            let call = call.header("accept", "application/json");
            let page: Page = stream.client().send_json(&call).await?;
            let after = wanted.after_offset.unwrap_or(0);
            if page.after_offset <= after && !page.up_to_date {
                return Err(Error::Answer(format!("the page behind {after} leads nowhere")));
            }
            // The last so many are counted from the end once: what is behind this page all belongs to them.
            wanted.last = None;
            wanted.after_offset = Some(page.after_offset);
            let mut events = page.events;
            events.retain(|event| event.offset > after);
            let mut is_last = page.up_to_date;
            if let Some(left) = &mut wanted.limit {
                events.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= events.len() as u64;
                is_last |= *left == 0;
            }
            Ok(Some((stream::iter(events.into_iter().map(Ok)), (!is_last).then_some(wanted))))
        }
    });
    pages.try_flatten()
}
