//! Tailrace's words as types, shared by the front Worker, the Durable Objects and the Rust SDK.
//! No I/O, no clock, no randomness: everything here is a value or a pure function.
//!
//! | module | what it knows |
//! |---|---|
//! | [`path`] | where a stream lives: `/support/anna` |
//! | [`envelope`] | the fields of a JSON object that may be an event |
//! | [`event`] | what a client may send |
//! | [`line`] | the text of a stored event |
//! | [`body`] | what an append's body is: an event, a batch, or something foreign |
//! | [`cause`] | why an event was written, and how far the chain has come |
//! | [`types`] | event types: the reserved ones, their powers, and globs over them |
//! | [`control`] | control events: the only way to configure a stream |
//! | [`state`] | what control events add up to |
//! | [`cursor`] | how far a live reader has come |
//! | [`hook`] | a request of a third party as an event |
//! | [`problem`] | everything that can go wrong, as RFC 9457 problems |
//! | [`limits`] | every limit |
//! | [`json`], [`time`] | JSON text on one line; instants |

pub mod body;
pub mod cause;
pub mod control;
pub mod cursor;
pub mod deployment;
pub mod duration;
pub mod envelope;
pub mod event;
pub mod hook;
pub mod json;
pub mod limits;
pub mod line;
pub mod path;
pub mod problem;
pub mod schedule;
pub mod secret;
pub mod settle;
pub mod signature;
pub mod state;
pub mod target;
pub mod text;
pub mod time;
pub mod types;
pub mod webhook;

pub use path::StreamPath;
pub use problem::Problem;
