//! What an agent decides, and how models are spoken to. It knows no platform: time comes in as an argument, and whatever
//! is to be done goes out as an effect.
//!
//! | module | what it knows |
//! |---|---|
//! | [`machine`] | what follows from events: the state machine |
//! | [`state`] | what an agent remembers between two batches of events |
//! | [`event`] | what it understands of the stream's events |
//! | `payload` | payloads and metadata, read field by field |
//! | [`append`] | the events that it appends |
//! | [`tools`] | the tools that every agent has |
//! | [`transcript`] | the stream as a conversation: what a request is made of |
//! | [`conversation`] | what a model is told, the same for every API |
//! | [`api`] | how that is written as a request, and how the answer is read, for each API |

pub mod api;
pub mod append;
pub mod conversation;
pub mod event;
pub mod machine;
mod payload;
pub mod state;
pub mod tools;
pub mod transcript;
