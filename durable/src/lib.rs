//! The Durable Objects: what a stream decides and keeps.
//!
//! Everything but [`object`] is written against the [`sql::Sql`] trait with the time passed in, and is tested natively
//! on real `SQLite`. A call that changes anything runs inside one transaction that its caller rolls back on an error.
//!
//! | module | what it knows |
//! |---|---|
//! | [`stream`] | one stream: loads it, and is the way to everything below |
//! | [`call`] | every call that reaches it, and its answer |
//! | [`commit`] | the commit path: check, then write |
//! | [`log`] | how events lie in rows; [`page`] reads them back, `scan` looks for a few among many |
//! | [`breaker`] | the exact sliding window |
//! | [`keys`] | idempotency |
//! | [`control`] | the control state as rows, now and at any past offset |
//! | [`children`] | the tree: who lives below, deletion |
//! | [`delivery`] | subscriptions: leases, settles, retries, the outbox |
//! | [`schedule`] | what is appended when |
//! | [`obligation`] | what is still owed to other streams, and when |
//! | [`parking`] | hooks that wait to be let in |
//! | [`hooks`] | how hooks are configured |
//! | [`raw`] | the exact bytes of hooks |
//! | [`speech`] | what a model is saying right now, and what became of its request |
//! | [`runner`] | the calls of models that a Runner owes |
//! | [`wire`] | what the front Worker and the objects say to each other |
//! | [`schema`] | every table |
//! | `object` | the bindings to the platform, the only part that knows it |

pub mod breaker;
pub mod call;
pub mod children;
pub mod commit;
pub mod control;
pub mod delivery;
pub mod failure;
#[cfg(feature = "fault-injection")]
pub mod fault;
pub mod hooks;
pub mod keys;
pub mod log;
#[cfg(target_arch = "wasm32")]
pub mod object;
pub mod obligation;
pub mod page;
pub mod parking;
pub mod raw;
pub mod runner;
mod scan;
pub mod schedule;
pub mod schema;
pub mod speech;
pub mod sql;
pub mod stream;
pub mod wire;

pub use failure::Failure;
pub use stream::Stream;
