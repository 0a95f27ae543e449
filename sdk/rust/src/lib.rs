//! Tailrace from Rust: append to streams, read and follow them, and process them.
//!
//! | module | what it knows |
//! |---|---|
//! | [`client`] | where a deployment is, and what a request to it looks like |
//! | [`stream`] | a stream by its path, and everything one can do with it |
//! | [`append`], [`read`], [`tail`] | writing, reading page by page, following live |
//! | [`event`] | events as they are read and as they are written |
//! | [`processor`] | `(state, event) -> state`, and what follows from it |
//! | [`run`] | runs a processor by pulling: from one stream, or from all below it |
//! | [`handler`] | the same processor as an endpoint that is pushed to |
//! | [`retry`], [`error`] | what is tried again and when; what can go wrong |
//!
//! A stream that is followed is a [`Stream`](futures_util::Stream) of events. It survives restarts and cut connections,
//! and shows each event once and in order:
//!
//! ```no_run
//! use tailrace_sdk::{Tailrace, TryStreamExt, json};
//!
//! # async fn example() -> Result<(), tailrace_sdk::Error> {
//! let stream = Tailrace::new("http://localhost:8787")?.stream("/support/anna")?;
//! stream.append(("message", json!({"text": "hello"}))).await?;
//! let mut events = stream.tail().types(["message"]);
//! while let Some(event) = events.try_next().await? {
//!     println!("{} {}", event.offset, event.payload);
//! }
//! # Ok(()) }
//! ```
//!
//! It is the same on a server, in the browser and in a Worker (`wasm32-unknown-unknown`). The crate's feature `tls`, on by
//! default, is for https outside of those.

pub mod append;
pub mod client;
pub mod error;
pub mod event;
pub mod handler;
pub mod processor;
pub mod read;
pub mod retry;
pub mod run;
pub mod stream;
pub mod tail;

mod clock;
mod follower;
mod json;
mod lease;
mod platform;
mod sse;
mod subscription;

pub use client::Tailrace;
pub use error::{Error, Refusal};
pub use event::{Ephemeral, Event, NewEvent};
pub use handler::Handler;
pub use processor::{Appended, Failure, Processor, each, fold};
pub use retry::Retry;
pub use run::{Run, Trouble};
pub use stream::Stream;
pub use tail::TailItem;

/// What makes a tail or a read usable: `next`, `try_next`, `try_collect` …
pub use futures_util::{StreamExt, TryStreamExt};
/// Payloads, written as JSON.
pub use serde_json::json;
/// How a run is stopped.
pub use tokio_util::sync::CancellationToken;

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
