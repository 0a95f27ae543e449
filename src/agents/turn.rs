//! `GET /api/agents/{path}?slug=&turn=N`: the request that was sent to the model at a turn, made anew from the log.

use serde::Deserialize;
use serde_json::json;
use tailrace_agent::append::HARNESS;
use tailrace_agent::event::is_own;
use tailrace_durable::page::Query as Page;
use tailrace_model::line::StoredEvent;
use tailrace_model::{Problem, limits};

use super::log::Log;
use super::prepared::Prepared;
use crate::http::{Answer, JSON, Query, Response, invalid_query, text};
use crate::stream::{Format, Stream, read_text};

/// What `agent.turn-started` says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    agent: String,
    turn: u64,
    request_id: String,
    up_to: u64,
    request_sha256: String,
    harness: String,
}

/// Answers with the request of a turn; of the last one, if none is named.
///
/// # Errors
/// [`Problem`]
pub async fn read(stream: &Stream, query: &Query) -> Result<Response, Problem> {
    let slug = query.get("slug").ok_or_else(|| invalid_query("slug", "the slug of an agent"))?;
    let turn = query.number("turn", 1..=1 << 53)?;
    let started = match find(stream, slug, turn).await? {
        Ok(started) => started,
        Err(refusal) => return Ok(refusal),
    };
    let mut log = Log::new(slug, started.up_to);
    while let Some(query) = log.next_query() {
        log.take_page(&stream.read(&query).await?).map_err(|_| Problem::Internal)?;
    }
    let not_there = || Problem::NotFound { detail: format!("the agent {slug} is not configured in the log") };
    let prepared = Prepared::of(&log.transcript).ok_or_else(not_there)?;
    let sha256 = prepared.sha256();
    let body = json!({
        "agent": slug,
        "turn": started.turn,
        "requestId": started.request_id,
        "upTo": started.up_to,
        "requestSha256": started.request_sha256,
        "sha256": sha256,
        "matches": sha256 == started.request_sha256,
        "harness": started.harness,
        "harnessNow": HARNESS,
        "request": {
            "method": "POST",
            "url": prepared.url,
            // With the names of secrets in them, never with what these are.
            "headers": prepared.headers.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "body": prepared.body,
        },
    });
    text(200, &[("content-type", JSON), ("cache-control", "no-store")], &format!("{body}\n"))
}

/// The event that started a turn, or the stream's refusal.
async fn find(stream: &Stream, slug: &str, turn: Option<u64>) -> Result<Result<Started, Response>, Problem> {
    let mut after = 0;
    let mut found = None;
    loop {
        let query =
            Page { after, limit: limits::PAGE_EVENTS, types: Some("agent.turn-started".to_owned()), ..Page::default() };
        let answer = Answer::new(&stream.read(&read_text(Format::Lines, &query)?).await?);
        if answer.status != 200 {
            return answer.into_response(JSON, &[]).map(Err);
        }
        let lines = String::from(answer.body.clone());
        let read = |line: &str| -> Option<Started> {
            let event = StoredEvent::parse(line).ok()?;
            serde_json::from_str(event.payload.get()).ok().filter(|_| is_own(&event, slug))
        };
        for started in lines.lines().filter_map(read).filter(|started| started.agent == slug) {
            if turn == Some(started.turn) {
                return Ok(Ok(started));
            }
            found = Some(started);
        }
        let read_to = answer.number("tailrace-after-offset");
        if answer.header("tailrace-up-to-date") == Some("true") || read_to <= after {
            break;
        }
        after = read_to;
    }
    let detail = match turn {
        Some(turn) => format!("the agent {slug} had no turn {turn} here"),
        None => format!("the agent {slug} had no turn here yet"),
    };
    found.filter(|_| turn.is_none()).map(Ok).ok_or(Problem::NotFound { detail })
}
