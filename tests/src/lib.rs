//! What the black-box tests share: the local runtime as a process, a client, a live reader, a subscriber, tokens.
//!
//! A test knows the system only by its address. Every stream a test makes has a random path of its own, so that
//! all tests can run side by side against one runtime.

pub mod client;
pub mod github;
pub mod raw;
pub mod runtime;
pub mod subscriber;
pub mod tail;
pub mod token;

pub use client::{Answer, Client, Stream};
pub use runtime::{Build, Runtime, shared};
pub use subscriber::{Leased, Received, Reply, Subscriber};
pub use tail::{Block, Tail};

use std::future::Future;
use std::time::{Duration, Instant};

/// How long anything may take that is not expected to take time. Only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none for [`PATIENCE`].
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    until_within(PATIENCE, what, ask).await
}

/// Asks again and again until there is an answer, for longer than usual or for less.
///
/// # Panics
/// When there is none in time.
pub async fn until_within<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < patience, "waited {patience:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A name that no other test uses.
#[must_use]
pub fn unique(prefix: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let random = RandomState::new().hash_one(COUNT.fetch_add(1, Ordering::Relaxed));
    format!("{prefix}-{random:016x}")
}

/// Milliseconds since 1970 of a time as events carry it.
///
/// # Panics
/// When it is none by RFC 3339.
#[must_use]
pub fn millis(time: &serde_json::Value) -> i64 {
    let text = time.as_str().unwrap_or_else(|| panic!("no time: {time}"));
    chrono::DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("{error}: {text}")).timestamp_millis()
}

/// Milliseconds since 1970, now.
#[must_use]
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A time as RFC 3339 writes it.
#[must_use]
pub fn rfc3339(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
