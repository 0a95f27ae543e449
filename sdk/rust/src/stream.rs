//! A stream by its path, and everything one can do with it.

use std::fmt;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tailrace_model::StreamPath;

use crate::append;
use crate::client::{Answer, Call, Tailrace};
use crate::error::Error;
use crate::event::{Event, NewEvent};
use crate::platform::BoxedStream;
use crate::processor::Processor;
use crate::read::Read;
use crate::run::Run;
use crate::tail::Tail;

/// A stream of a deployment. Cloning it is cheap; having it does not make it exist.
#[derive(Clone)]
pub struct Stream {
    client: Tailrace,
    path: StreamPath,
}

/// Where a stream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last offset.
    pub offset: u64,
    /// The name of the stream's present life.
    pub generation: String,
    /// Whether it is paused.
    pub is_paused: bool,
}

/// What a stream's control events add up to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// The offset that this holds for.
    pub head: u64,
    /// The name of the stream's present life; `None` before its first event.
    pub generation: Option<String>,
    /// Why and since when it is paused; `None` when it is not.
    pub paused: Option<Value>,
    /// What `stream.metadata-updated` made.
    pub metadata: Map<String, Value>,
    /// Subscriptions as they are configured, by slug.
    pub subscriptions: Map<String, Value>,
    /// All the rest: breaker, schedules, hooks, tools …
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A stream below another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Child {
    /// Its path, from the root.
    pub path: String,
    /// When it was born (RFC 3339).
    #[serde(default)]
    pub created_at: String,
    /// With details: `head`, `lastEventAt` and `paused`.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

/// Which of the streams below are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Below {
    /// All below, not only those right below.
    pub recursive: bool,
    /// With their head, and whether they are paused.
    pub details: bool,
}

/// How a subscription stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// `active`, `halted` … as the deployment says.
    pub status: String,
    /// Everything up to here is done.
    pub cursor: u64,
    /// How far that is behind the head while something waits.
    #[serde(default)]
    pub lag: u64,
    /// Its state: any JSON.
    #[serde(default)]
    pub state: Value,
    /// All the rest: its configuration, the last attempts, the next one …
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Stream {
    pub(crate) fn new(client: Tailrace, path: StreamPath) -> Self {
        Self { client, path }
    }

    pub(crate) fn client(&self) -> &Tailrace {
        &self.client
    }

    pub(crate) fn stream_path(&self) -> &StreamPath {
        &self.path
    }

    /// Its path: `/support/anna`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.as_str()
    }

    /// A stream named from here: `child`, `../sibling`, or `/from/the/root`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when that is no path of a stream.
    pub fn join(&self, path: &str) -> Result<Self, Error> {
        Ok(Self { client: self.client.clone(), path: self.path.resolve(path)? })
    }

    /// Appends an event, and returns it as it is stored. However often it must be sent, it lands once.
    ///
    /// # Errors
    /// [`Error`]; whether it landed is only unknown when that [is passing](Error::is_passing).
    pub async fn append(&self, event: impl Into<NewEvent>) -> Result<Event, Error> {
        append::one(self, event.into()).await
    }

    /// Appends events as a whole or not at all, and returns them as they are stored. At most 1,000 and 8 MiB.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn append_all<E: Into<NewEvent>>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Vec<Event>, Error> {
        append::all(self, events.into_iter().map(Into::into).collect()).await
    }

    /// Reads what is there, page by page: a [`Stream`](futures_util::Stream) of events that ends.
    pub fn read(&self) -> Read {
        Read::new(self.clone())
    }

    /// Follows it: a [`Stream`](futures_util::Stream) of events, first those that are there, then those that come.
    pub fn tail(&self) -> Tail {
        Tail::new(self.clone())
    }

    /// Runs a processor over it, as the subscription `slug`.
    pub fn run<P: Processor>(&self, slug: impl Into<String>, processor: P) -> Run<P> {
        Run::new(self.clone(), slug.into(), processor)
    }

    /// What its control events add up to.
    ///
    /// # Errors
    /// [`Error`]; `stream_not_found` when nothing was written yet.
    pub async fn state(&self) -> Result<State, Error> {
        self.client.send_json(&Call::get("state", &self.path)).await
    }

    /// As [`Self::state`], as it was after this offset.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub async fn state_at(&self, offset: u64) -> Result<State, Error> {
        self.client.send_json(&Call::get("state", &self.path).query([("at", offset.to_string())])).await
    }

    /// The streams below, by path.
    pub fn children(&self, which: Below) -> impl futures_util::Stream<Item = Result<Child, Error>> + Unpin + use<> {
        #[derive(Deserialize)]
        struct Page {
            children: Vec<Child>,
            after: Option<String>,
        }
        let stream = self.clone();
        let pages = stream::try_unfold(Some(None), move |after: Option<Option<String>>| {
            let stream = stream.clone();
            async move {
                let Some(after) = after else { return Ok::<_, Error>(None) };
                let mut query = Vec::new();
                query.extend(which.recursive.then(|| ("recursive", "true".to_owned())));
                query.extend(which.details.then(|| ("details", "true".to_owned())));
                query.extend(after.map(|after| ("after", after)));
                let page: Page = stream.client.send_json(&Call::get("children", &stream.path).query(query)).await?;
                Ok(Some((stream::iter(page.children.into_iter().map(Ok)), page.after.map(Some))))
            }
        });
        let boxed: BoxedStream<Result<Child, Error>> = Box::pin(pages.try_flatten());
        boxed.fuse()
    }

    /// How a subscription stands.
    ///
    /// # Errors
    /// [`Error`]; `not_found` when there is none of this slug.
    pub async fn subscription(&self, slug: &str) -> Result<Standing, Error> {
        let call = Call::get("subscriptions", &self.path).query([("slug", slug.to_owned())]);
        self.client.send_json(&call).await
    }

    /// Where it stands; `None` when there is no stream.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn head(&self) -> Result<Option<Head>, Error> {
        match self.client.send(&Call::new(Method::HEAD, "streams", &self.path)).await {
            Ok(answer) => head_from(&answer).map(Some),
            Err(error) if error.status() == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes it. The path can be born again; streams below live on.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete(&self) -> Result<(), Error> {
        self.client.send(&Call::new(Method::DELETE, "streams", &self.path)).await.map(drop)
    }

    /// Deletes it and all below it, from the bottom up. That goes on after this returns.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete_with_children(&self) -> Result<(), Error> {
        let call = Call::new(Method::DELETE, "streams", &self.path).query([("children", "true".to_owned())]);
        self.client.send(&call).await.map(drop)
    }
}

fn head_from(answer: &Answer) -> Result<Head, Error> {
    let offset = answer.header("tailrace-head").and_then(|head| head.parse().ok());
    Ok(Head {
        offset: offset.ok_or_else(|| Error::Answer("it does not say where the stream stands".to_owned()))?,
        generation: answer.header("tailrace-generation").unwrap_or_default().to_owned(),
        is_paused: answer.header("tailrace-paused") == Some("true"),
    })
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("client", &self.client).field("path", &self.path()).finish()
    }
}
