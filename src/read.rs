//! `GET /api/streams/{path}`: pages and long polls. What follows live is in [`crate::live`].

use tailrace_durable::page;
use tailrace_durable::wire::Frame;
use tailrace_model::types::TypeFilter;
use tailrace_model::{Problem, limits, time};

use crate::http::{Answer, EVENT_STREAM, JSON, NDJSON, Query, Request, Response, accepts, invalid_query, text};
use crate::live::feed::Feed;
use crate::platform;
use crate::stream::{Format, Stream};

/// True when the client wants to follow.
///
/// # Errors
/// [`Problem::InvalidQuery`]
pub fn is_live(request: &Request) -> Result<bool, Problem> {
    Ok(request.query.flag("live")? || request.accepts(EVENT_STREAM))
}

/// How the page is to be written when it is asked for at once; `None` when the client wants to follow, to wait, or is a
/// browser that a person sent here.
#[must_use]
pub fn at_once(query: &Query, accept: Option<&str>) -> Option<Format> {
    let is_asked = query.get("live").is_none() && query.get("wait").is_none();
    let other = accepts(accept, EVENT_STREAM) || accepts(accept, "text/html");
    (is_asked && !other).then(|| format(accept))
}

fn format(accept: Option<&str>) -> Format {
    if accepts(accept, NDJSON) { Format::Lines } else { Format::Json }
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
    let types = query.get("types").map(str::to_owned);
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
    })
}

/// Answers a finite read: at once, or when something comes within `wait` seconds.
///
/// # Errors
/// [`Problem`]
pub async fn read(stream: &Stream, request: &Request) -> Result<Response, Problem> {
    let query = query(&request.query)?;
    let wait = request.query.number("wait", 0..=limits::WAIT_SECONDS)?.unwrap_or(0);
    let format = format(request.header("accept").as_deref());
    let mut answer = stream.read(format, &query).await?;
    if wait > 0 && is_waiting(&answer, format) {
        answer = poll(stream, format, query, answer, wait).await?;
    }
    answer.into_response(JSON, &[])
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

/// True when the page is empty and nothing more is there now.
fn is_waiting(answer: &Answer, format: Format) -> bool {
    let empty = match format {
        Format::Json => answer.body.starts_with("{\"events\":[]", 0),
        Format::Lines => answer.body.length() == 0,
    };
    answer.status == 200 && empty && answer.header("tailrace-up-to-date") == Some("true")
}

/// Waits on a live socket, which costs the object nothing, until a page has something on it.
async fn poll(
    stream: &Stream,
    format: Format,
    mut query: page::Query,
    mut answer: Answer,
    wait: u64,
) -> Result<Answer, Problem> {
    let deadline = platform::now() + i64::try_from(wait).unwrap_or(0) * 1_000;
    let Some(feed) = Feed::open(stream).await.map_err(|error| crate::http::unforeseen("poll", &error))? else {
        return Ok(answer);
    };
    loop {
        let after = answer.number("tailrace-after-offset");
        let left = deadline - platform::now();
        if left <= 0 {
            return Ok(answer);
        }
        match feed.next(left).await {
            Some(Frame::Hello { head, .. }) if head <= after => {}
            Some(Frame::Ephemeral { .. }) => {}
            Some(Frame::Hello { .. } | Frame::Events { .. }) => {
                query.after = after;
                answer = stream.read(format, &query).await?;
                if !is_waiting(&answer, format) {
                    return Ok(answer);
                }
            }
            Some(Frame::Deleted) => return stream.read(format, &query).await,
            None if feed.is_closed() => return Ok(answer),
            None => {}
        }
    }
}

/// Sends a person who opened an API address in a browser to the page.
///
/// # Errors
/// [`Problem::Internal`]
pub fn to_page(path: &str) -> Result<Response, Problem> {
    text(303, &[("location", &format!("/streams{path}")), ("vary", "accept")], "")
}
