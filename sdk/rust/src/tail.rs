//! Following a stream live.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

use crate::client::Call;
use crate::clock;
use crate::error::Error;
use crate::event::{Ephemeral, Event};
use crate::follower::{Follower, Nonsense};
use crate::platform::BoxedStream;
use crate::read::{Wanted, joined};
use crate::retry::Attempts;
use crate::sse::{Parser, Said};
use crate::stream::Stream;

/// A server that is there says something every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// A stream that is followed: a [`Stream`](futures_util::Stream) of events that never ends by itself.
///
/// Each event comes once and in order, over restarts of the deployment and cut connections. What is not consumed is not
/// read either. Dropping it closes the connection. It ends after an error that trying again does not help:
/// `400`, `401`, `403`.
#[must_use = "nothing is read before it is polled"]
pub struct Tail {
    items: TailItems,
}

/// As [`Tail`], of everything that can be told about the stream.
#[must_use = "nothing is read before it is polled"]
pub struct TailItems {
    stream: Stream,
    wanted: Wanted,
    following: Option<BoxedStream<Result<TailItem, Error>>>,
}

/// What can be told about a stream that is followed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TailItem {
    /// An event.
    Event(Event),
    /// All that was there has been shown, up to this offset. Told once for each connection.
    CaughtUp(u64),
    /// Something that is sent to those who follow, and not kept.
    Ephemeral(Ephemeral),
    /// The stream was deleted and born again: what follows begins at offset 1.
    Reset,
}

impl Tail {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { items: TailItems { stream, wanted: Wanted::default(), following: None } }
    }

    /// Only events behind this offset.
    pub fn after_offset(mut self, offset: u64) -> Self {
        self.items.wanted.after_offset = Some(offset);
        self
    }

    /// Of what is there only the last so many, at most 1,000.
    pub fn last(mut self, events: u64) -> Self {
        self.items.wanted.last = Some(events);
        self
    }

    /// Only events of these types; `*` stands for anything: `agent.*`.
    pub fn types(mut self, globs: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.items.wanted.types = Some(joined(globs));
        self
    }

    /// Not only events: also when it has caught up, what is not kept, and resets.
    pub fn items(self) -> TailItems {
        self.items
    }
}

impl futures_util::Stream for Tail {
    type Item = Result<Event, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let items = &mut self.get_mut().items;
        loop {
            match items.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(TailItem::Event(event)))) => return Poll::Ready(Some(Ok(event))),
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl futures_util::Stream for TailItems {
    type Item = Result<TailItem, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { stream, wanted, following } = self.get_mut();
        let following = following.get_or_insert_with(|| {
            let follow = Following::new(stream.clone(), wanted.clone());
            let items = stream::unfold(Some(follow), |follow| async {
                let mut follow = follow?;
                let next = follow.next().await;
                let rest = next.is_ok().then_some(follow);
                Some((next, rest))
            });
            Box::pin(items.fuse())
        });
        following.poll_next_unpin(context)
    }
}

struct Following {
    stream: Stream,
    wanted: Wanted,
    follower: Follower,
    attempts: Attempts,
    /// What the server asked to wait before connecting again.
    retry: Duration,
    connection: Option<Connection>,
    /// There was one, and it ended: not at once again.
    has_lost: bool,
    ready: VecDeque<TailItem>,
}

struct Connection {
    body: BoxedStream<Result<Bytes, reqwest::Error>>,
    parser: Parser,
}

impl Following {
    fn new(stream: Stream, wanted: Wanted) -> Self {
        Self {
            follower: Follower::after(wanted.after_offset.unwrap_or(0)),
            attempts: Attempts::new(stream.client().retry()),
            retry: Duration::ZERO,
            connection: None,
            has_lost: false,
            ready: VecDeque::new(),
            stream,
            wanted,
        }
    }

    /// The next item, over as many connections as it takes.
    ///
    /// # Errors
    /// What trying again does not help.
    async fn next(&mut self) -> Result<TailItem, Error> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(item);
            }
            let Some(connection) = &mut self.connection else {
                if std::mem::take(&mut self.has_lost) {
                    clock::sleep(self.attempts.pause().max(self.retry)).await;
                }
                match self.connect().await {
                    Ok(connection) => {
                        self.follower.connected();
                        self.connection = Some(connection);
                    }
                    Err(error) if matches!(error.status(), 400 | 401 | 403) => return Err(error),
                    Err(error) => {
                        let pause = self.attempts.pause_after(&error).max(self.retry);
                        clock::sleep(pause).await;
                    }
                }
                continue;
            };
            match clock::within(SILENCE, connection.body.next()).await {
                Some(Some(Ok(bytes))) if self.hear(&bytes).is_ok() => {}
                // Cut, ended, silent, or not to be understood: what was shown is known, so a new one goes on there.
                _ => {
                    self.connection = None;
                    self.has_lost = true;
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<Connection, Error> {
        let mut wanted = self.wanted.clone();
        let last_event_id = self.follower.last_event_id();
        if last_event_id.is_some() {
            (wanted.after_offset, wanted.last) = (None, None);
        }
        let call = Call::get("streams", self.stream.stream_path()).query(wanted.pairs());
        let mut call = call.header("accept", "text/event-stream").header("cache-control", "no-store");
        if let Some(id) = last_event_id {
            call = call.header("last-event-id", id);
        }
        let silence = || Err(Error::Unreachable("nothing came".to_owned()));
        let response = clock::within(SILENCE, self.stream.client().open(&call)).await.unwrap_or_else(silence)?;
        let content_type = response.headers().get("content-type").and_then(|it| it.to_str().ok()).unwrap_or_default();
        if !content_type.starts_with("text/event-stream") {
            return Err(Error::Answer(format!("{content_type} is nothing that can be followed")));
        }
        Ok(Connection { body: Box::pin(response.bytes_stream()), parser: Parser::default() })
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), Nonsense> {
        let Self { connection: Some(connection), follower, ready, retry, attempts, .. } = self else { return Ok(()) };
        let mut result = Ok(());
        connection.parser.push(bytes, |said| match said {
            Said::Retry(wanted) => *retry = wanted,
            Said::Block(block) if result.is_ok() => {
                result = follower.take(&block, |item| ready.push_back(item));
                if result.is_ok() {
                    attempts.succeeded();
                }
            }
            Said::Block(_) => {}
        });
        result
    }
}
