//! What third parties send, understood by data: how a provider signs, what it asks first, what names a delivery, what it
//! wants to hear. No code per provider: a preset is a row of `presets.json`, and a stream's own definition is the same data.
//!
//! | module | what it knows |
//! |---|---|
//! | [`definition`] | the data, and how `webhook.configured` gives it |
//! | [`place`] | where in a request something stands; templates over a request |
//! | [`verify`] | whether a request is signed as it should be |
//! | [`presets`] | the table of providers |
//! | [`cloudevents`] | CloudEvents, one event each |

pub mod cloudevents;
pub mod definition;
pub mod place;
pub mod presets;
pub mod verify;

pub use definition::{Definition, Reply};
pub use place::Incoming;
pub use verify::{Verdict, Verifier};
