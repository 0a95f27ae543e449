//! `GET /api/streams/{path}`: what the client asks for. Following live is in [`crate::live`].

use tailrace_durable::page;
use tailrace_model::types::TypeFilter;
use tailrace_model::{Problem, StreamPath, limits, time};

use crate::http::{EVENT_STREAM, JSON, NDJSON, Query, Request, Response, invalid_query, preferred, text};
use crate::stream::{Format, Stream};

/// What browsers ask for when a person opens an address.
const HTML: &str = "text/html";

/// In which way a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Now, or when something comes within so many seconds.
    Page {
        /// How it is written.
        format: Format,
        /// Seconds to wait.
        wait: u64,
    },
    /// Live.
    Follow,
    /// By a person whose browser was sent to the API: the page shows it.
    Browse,
}

/// In which way the client wants it.
///
/// # Errors
/// [`Problem::InvalidQuery`]
pub fn way(query: &Query, accept: Option<&str>) -> Result<Way, Problem> {
    let named = preferred(accept, &[JSON, NDJSON, EVENT_STREAM, HTML]);
    let says = query.names("live").then(|| query.flag("live")).transpose()?;
    if says.unwrap_or(named == Some(EVENT_STREAM)) {
        return Ok(Way::Follow);
    }
    if named == Some(HTML) {
        return Ok(Way::Browse);
    }
    let format = if named == Some(NDJSON) { Format::Lines } else { Format::Json };
    let wait = query.number("wait", 0..=limits::WAIT_SECONDS)?.unwrap_or(0);
    // Up to now: there is nothing to wait for.
    let is_past = query.get("beforeOffset") == Some("end");
    Ok(Way::Page { format, wait: if is_past { 0 } else { wait } })
}

/// Which events the URL asks for.
///
/// # Errors
/// [`Problem::InvalidQuery`] naming the parameter.
pub fn query(query: &Query) -> Result<page::Query, Problem> {
    let offsets = 0..=(1 << 53);
    let instant = |name: &str| match query.get(name) {
        None => Ok(None),
        Some(text) => time::from_rfc3339(text)
            .map(Some)
            .ok_or_else(|| invalid_query(name, "an instant as RFC 3339 writes it: 2026-01-31T12:00:00Z")),
    };
    let types = query.list("types");
    if let Some(list) = &types {
        TypeFilter::parse(list)?;
    }
    let before = match query.get("beforeOffset") {
        Some("end") => None,
        _ => query.number("beforeOffset", offsets.clone())?,
    };
    let last = query.number("last", 1..=limits::PAGE_EVENTS)?;
    let limit = query.number("limit", 1..=limits::PAGE_EVENTS)?;
    Ok(page::Query {
        after: query.number("afterOffset", offsets.clone())?.unwrap_or(0),
        before,
        limit: limit.unwrap_or(last.unwrap_or(limits::PAGE_EVENTS_DEFAULT)),
        last,
        types,
        since: instant("since")?,
        until: instant("until")?,
        cause: query.number("cause", offsets)?,
        cause_path: query.get("causePath").map(cause_path).transpose()?,
        max_bytes: None,
    })
}

fn cause_path(text: &str) -> Result<String, Problem> {
    let path = StreamPath::from_decoded(text).map_err(|_| invalid_query("causePath", "the path of a stream"))?;
    Ok(path.to_string())
}

/// `HEAD`: where the stream stands.
///
/// # Errors
/// [`Problem`]
pub async fn head(stream: &Stream) -> Result<Response, Problem> {
    stream.head().await?.into_response(JSON, &[("cache-control", "no-store")])
}

/// `GET /api/state/{path}`
///
/// # Errors
/// [`Problem`]
pub async fn state(stream: &Stream, request: &Request) -> Result<Response, Problem> {
    let at = request.query.number("at", 0..=(1 << 53))?;
    stream.state(at).await?.into_response(JSON, &[("cache-control", "no-store")])
}

/// Sends a person who opened an API address in a browser to the page.
///
/// # Errors
/// [`Problem::Internal`]
pub fn to_page(path: &str) -> Result<Response, Problem> {
    text(303, &[("location", &format!("/streams{path}")), ("vary", "accept")], "")
}
