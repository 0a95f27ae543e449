//! `GET /api/children/{path}` and `DELETE /api/streams/{path}`.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tailrace_durable::children::Child;
use tailrace_model::{Problem, StreamPath, limits, time};
use wasm_bindgen::JsValue;

use crate::http::{Answer, JSON, Request, Response, invalid_query, text};
use crate::stream::Stream;

/// Lists the streams below, by path: right below, or at any depth.
///
/// # Errors
/// [`Problem`]
pub async fn children(env: &JsValue, request: &Request, path: &StreamPath) -> Result<Response, Problem> {
    let details = request.query.flag("details")?;
    let recursive = request.query.flag("recursive")?;
    let most = if details { limits::CHILDREN_DETAILED } else { limits::CHILDREN };
    let limit = request.query.number("limit", 1..=most)?.unwrap_or(limits::CHILDREN_DEFAULT.min(most));
    let after = match request.query.get("after") {
        None => None,
        Some(text) => {
            let after =
                StreamPath::from_decoded(text).map_err(|_| invalid_query("after", "a path that a page ended with"))?;
            Some(after)
        }
    };
    // One more than is shown tells whether there is a next page.
    let found = if recursive {
        walk(env, path, after.as_ref(), limit + 1).await?
    } else {
        list(env, path, after.as_ref().map_or("", StreamPath::as_str), limit + 1).await?
    };
    let mut found = match found {
        Ok(found) => found,
        Err(answer) => return answer.into_response(JSON, &[]),
    };
    let is_last_page = found.len() as u64 <= limit;
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = found.last().filter(|_| !is_last_page).map(|child| child.path.clone());
    let mut children = Vec::with_capacity(found.len());
    for child in found {
        children.push(describe(env, child, details).await?);
    }
    let body = json!({"children": children, "after": last}).to_string();
    text(200, &[("content-type", JSON), ("cache-control", "no-store")], &body)
}

/// Deletes a stream, or with `?children=true` all below it as well.
///
/// # Errors
/// [`Problem`]
pub async fn delete(stream: &Stream, request: &Request) -> Result<Response, Problem> {
    let below = request.query.flag("children")?;
    stream.delete(below).await?.into_response(JSON, &[])
}

type Listed = Result<Vec<Child>, Answer>;

async fn list(env: &JsValue, path: &StreamPath, after: &str, limit: u64) -> Result<Listed, Problem> {
    let answer = Stream::at(env, path)?.children(limit, after).await?;
    if answer.status != 200 {
        return Ok(Err(answer));
    }
    let children = serde_json::from_str(&String::from(answer.body)).map_err(|_| Problem::Internal)?;
    Ok(Ok(children))
}

/// Every stream below `top` in the order of a tree that is read top down, behind `after`. One call a stream.
async fn walk(env: &JsValue, top: &StreamPath, after: Option<&StreamPath>, limit: u64) -> Result<Listed, Problem> {
    let mut found = Vec::new();
    // What is still to be visited, the next one last: streams, and the children of a stream behind one of them.
    let mut open = match after.filter(|after| *after != top && after.is_at_or_below(top)) {
        Some(after) => resume(top, after),
        None => vec![Visit::Below(top.clone(), String::new())],
    };
    let mut is_first = true;
    while let Some(visit) = open.pop() {
        let (path, behind) = match visit {
            Visit::Child(child) => {
                let path = StreamPath::from_decoded(&child.path)?;
                found.push(child);
                if found.len() as u64 >= limit {
                    break;
                }
                (path, String::new())
            }
            Visit::Below(path, behind) => (path, behind),
        };
        match list(env, &path, &behind, limit).await? {
            Ok(children) => open.extend(children.into_iter().rev().map(Visit::Child)),
            Err(answer) if is_first => return Ok(Err(answer)),
            // It was deleted while we walked.
            Err(_) => {}
        }
        is_first = false;
    }
    Ok(Ok(found))
}

enum Visit {
    Child(Child),
    /// The children of a stream, behind one of them.
    Below(StreamPath, String),
}

/// Where a walk that ended with `after` goes on: below it, then behind it and behind each of its parents up to `top`.
fn resume(top: &StreamPath, after: &StreamPath) -> Vec<Visit> {
    let mut open = vec![Visit::Below(after.clone(), String::new())];
    let mut below = after.clone();
    while let Some(parent) = below.parent().filter(|_| below != *top) {
        open.push(Visit::Below(parent.clone(), below.to_string()));
        below = parent;
    }
    open.reverse();
    open
}

async fn describe(env: &JsValue, child: Child, details: bool) -> Result<Value, Problem> {
    #[derive(Deserialize)]
    struct Details {
        #[serde(flatten)]
        all: Map<String, Value>,
    }
    let mut out = Map::new();
    out.insert("path".into(), json!(child.path));
    out.insert("createdAt".into(), json!(time::to_rfc3339(child.created_at)));
    if details && let Ok(path) = StreamPath::from_decoded(&child.path) {
        let answer = Stream::at(env, &path)?.head().await?;
        if answer.status == 200 {
            let details: Details = serde_json::from_str(&String::from(answer.body)).map_err(|_| Problem::Internal)?;
            out.extend(details.all);
        }
    }
    Ok(Value::Object(out))
}
