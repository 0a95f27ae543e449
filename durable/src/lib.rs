//! The Durable Objects.
#[cfg(target_arch = "wasm32")]
pub mod object;
