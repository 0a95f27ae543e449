//! `POST /api/settle/{path}`: what a worker says about the events it leased.

use tailrace_durable::delivery::retry::Failed;
use tailrace_durable::delivery::settle::Said;
use tailrace_model::event::Writer;
use tailrace_model::settle::Settle;
use tailrace_model::{Problem, StreamPath, limits, types};
use wasm_bindgen::JsValue;

use crate::access::{Caller, Need};
use crate::body::{self, Body};
use crate::config::Config;
use crate::deployment::Here;
use crate::http::{JSON, Request, Response};
use crate::stream::Stream;

/// Settles.
///
/// # Errors
/// [`Problem`]
pub async fn settle(
    env: &JsValue,
    config: &Config,
    stream: &Stream,
    request: &Request,
    caller: &Caller,
    path: &StreamPath,
) -> Result<Response, Problem> {
    caller.check(Need::Append, path)?;
    let body = match body::read(request, limits::BATCH_BYTES).await? {
        Body::Whole(bytes) => bytes,
        Body::Larger(rest) => {
            rest.drain().await;
            return Err(Problem::TooLarge { what: "the body in bytes", limit: limits::BATCH_BYTES });
        }
    };
    let here = Here::new(env, config, request.header("host").as_deref());
    let text = std::str::from_utf8(&body)
        .map_err(|_| Problem::InvalidSettle { field: "body".to_owned(), detail: "not UTF-8".to_owned() })?;
    let lease = lease_of(text)?;
    let by = writer_of(&lease);
    match Settle::parse(text, path, Writer { by: Some(&by), import: false, from: None, deployment: &here }, true) {
        Ok(settle) => {
            // A token is for a path and all below, whatever the subscription may append to.
            for answered in &settle.append {
                if let Some(to) = &answered.to {
                    let need = types::power_for(&answered.event_type).into();
                    caller.check(need, &StreamPath::from_decoded(to)?)?;
                }
            }
            stream.settle_lease(&said(settle, lease)).await?.into_response(JSON, &[])
        }
        // What does not understand the protocol is told so; an answer that can never be accepted halts, or it would come
        // again for ever.
        Err(problem) if is_answer(&problem) => {
            let reason = format!("the answer can never be accepted: {}", problem.detail());
            let refused = Said { lease, refused: Some(reason), ..Said::default() };
            let answer = stream.settle_lease(&refused).await?;
            if answer.status == 200 { Err(problem) } else { answer.into_response(JSON, &[]) }
        }
        Err(problem) => Err(problem),
    }
}

/// What a settle says, for the object.
#[must_use]
pub fn said(settle: Settle, lease: String) -> Said {
    Said {
        lease,
        up_to: settle.up_to,
        state: settle.state,
        append: settle.append,
        failed: settle.error.map(|error| Failed { error, ..Failed::default() }),
        extend: settle.extend,
        ..Said::default()
    }
}

/// Who appends what is answered: the subscription, which a lease's name begins with.
#[must_use]
pub fn writer_of(lease: &str) -> String {
    format!("subscription:{}", lease.rsplit_once('.').map_or(lease, |(slug, _)| slug))
}

/// Whether it is the state or the events that are wrong, not how the settle itself is written.
#[must_use]
pub fn is_answer(problem: &Problem) -> bool {
    match problem {
        Problem::InvalidSettle { field, .. } => field.starts_with("append") || field.starts_with("state"),
        _ => true,
    }
}

fn lease_of(text: &str) -> Result<String, Problem> {
    #[derive(serde::Deserialize)]
    struct Named {
        lease: String,
    }
    let named: Result<Named, _> = serde_json::from_str(text);
    named.map(|named| named.lease).map_err(|_| Problem::InvalidSettle {
        field: "lease".to_owned(),
        detail: "the lease that /api/lease gave: {lease, upTo?, state?, append?, error?, extend?}".to_owned(),
    })
}
