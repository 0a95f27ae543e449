//! How hooks are configured, for the front Worker: it keeps what it was told, with a version.

use serde_json::json;

use crate::Failure;
use crate::obligation::{self, Kind};
use crate::sql::{Sql, Text};
use crate::stream::Stream;
use crate::wire::Answer;

/// The status of an answer that says: the configuration is another one by now. It stays within the system.
pub const STALE: u16 = 599;

/// The version of what is configured for a source: it changes whenever that does. `?` while this stream has not heard what
/// holds for it because it holds for one above.
///
/// # Errors
/// [`Failure::Storage`]
pub fn version<S: Sql>(stream: &Stream<S>, source: &str) -> Result<String, Failure> {
    let hooked = stream.life.as_ref().and_then(|life| life.state.hooks.get(source));
    Ok(match hooked {
        Some(hooked) => format!("{}:{}", stream.generation().unwrap_or_default(), hooked.offset),
        None if is_young(stream)? => "?".to_owned(),
        None => "-".to_owned(),
    })
}

fn is_young<S: Sql>(stream: &Stream<S>) -> Result<bool, Failure> {
    Ok(stream.life.is_none() || !obligation::of_kind(&stream.sql, Kind::TellBirth)?.is_empty())
}

/// What is configured for a source: `{version, config, born}`; `above: true` when streams above may know better, because this one
/// has not heard yet what holds for it.
pub(crate) fn config_answer<S: Sql>(stream: &Stream<S>, source: &str) -> Result<Answer<S::Text>, Failure>
where
    S::Text: Text,
{
    let hooked = stream.life.as_ref().and_then(|life| life.state.hooks.get(source));
    let body = json!({
        "version": version(stream, source)?,
        "config": hooked.map(|hooked| &hooked.config),
        "above": hooked.is_none() && is_young(stream)?,
        "born": stream.life.is_some(),
    });
    Ok(Answer::ok(&body.to_string()))
}
