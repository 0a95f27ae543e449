//! `/hooks/{path}`: takes what any third party sends, stores it, then answers.

use tailrace_durable::commit::{Entry, Kind};
use tailrace_durable::wire::{Append, Reply};
use tailrace_model::cause::{CAUSE_HEADER, Cause, origin};
use tailrace_model::hook::{self, Content, RECEIVED, Received};
use tailrace_model::{Problem, StreamPath, limits};

use crate::access;
use crate::body::{self, Body, Stored};
use crate::config::Config;
use crate::http::{Answer, JSON, Request, Response};
use crate::platform::random_name;
use crate::stream::Stream;

/// What goes to `metadata.tailrace` of every hook.
const SYSTEM: &str = r#"{"by":"hook"}"#;

/// Takes a request of a third party.
///
/// # Errors
/// [`Problem`]
pub async fn receive(
    stream: &Stream,
    request: &Request,
    config: &Config,
    path: &StreamPath,
) -> Result<Response, Problem> {
    let may_create = access::may_create_by_hook(config, request.query.get("key"));
    let (kept, size) = match body::read(request, limits::HOOK_LINE_BYTES).await? {
        Body::Whole(bytes) => (keep(stream, request, &bytes, Some(SYSTEM.to_owned()), may_create).await?, bytes.len()),
        Body::Larger(rest) => {
            let announced = request.header("content-length").and_then(|text| text.parse::<usize>().ok());
            if announced.is_some_and(|size| size > limits::HOOK_BYTES) {
                rest.drain().await;
                return Err(Problem::TooLarge { what: "the body in bytes", limit: limits::HOOK_BYTES });
            }
            match rest.store(stream, may_create).await? {
                Ok(stored) => {
                    let received = describe_stored(request, &stored, Some(SYSTEM.to_owned()));
                    let kept =
                        Kept { fragment: received.fragment, raw: Some(stored.id), attached: None, uploaded: true };
                    (Ok(kept), stored.size)
                }
                Err(answer) => (Err(answer), 0),
            }
        }
    };
    let kept = match kept {
        Ok(kept) => kept,
        Err(answer) => return answer.into_response(JSON, &[]),
    };
    // A stranger's header of another form is no reason to refuse what comes with it.
    let cause = request.header(CAUSE_HEADER).and_then(|value| Cause::from_header(&value).ok());
    let entry = Entry {
        event_type: RECEIVED.to_owned(),
        key: None,
        expected: None,
        origin: origin(path, cause.as_ref(), None),
        fragment: kept.fragment.clone(),
        raw: kept.raw.clone(),
    };
    let append = Append {
        kind: Kind::Hook,
        reply: Reply::Offset,
        expected: None,
        entries: vec![entry],
        attached: kept.attached.clone(),
    };
    let answer = stream.hook(&append, size, may_create).await?;
    if answer.status >= 300 {
        kept.forget(stream).await?;
    }
    answer.into_response(JSON, &[])
}

/// A request whose body is held: its event, and where its exact bytes are when the event's line does not hold them.
pub struct Kept {
    /// The event; see [`Received::fragment`].
    pub fragment: String,
    /// The name of the exact bytes.
    pub raw: Option<String>,
    /// The exact bytes, when they travel with the event.
    pub attached: Option<String>,
    uploaded: bool,
}

impl Kept {
    /// The event was refused: its bytes are not needed.
    ///
    /// # Errors
    /// [`Problem`]
    pub async fn forget(&self, stream: &Stream) -> Result<(), Problem> {
        match &self.raw {
            Some(id) if self.uploaded => stream.discard(id).await,
            _ => Ok(()),
        }
    }
}

/// Makes the event of a request and sees to its exact bytes. An answer is a refusal by the stream.
///
/// # Errors
/// [`Problem`]
pub async fn keep(
    stream: &Stream,
    request: &Request,
    bytes: &[u8],
    system: Option<String>,
    may_create: bool,
) -> Result<Result<Kept, Answer>, Problem> {
    let headers = request.headers();
    let received = hook::receive(&describe(request, &headers), Content::Whole(bytes), system);
    let Received { fragment, exact } = received;
    if exact {
        return Ok(Ok(Kept { fragment, raw: None, attached: None, uploaded: false }));
    }
    let id = random_name();
    if let Ok(text) = std::str::from_utf8(bytes)
        && bytes.len() <= limits::HOOK_LINE_BYTES
    {
        return Ok(Ok(Kept { fragment, raw: Some(id), attached: Some(text.to_owned()), uploaded: false }));
    }
    for (number, part) in (0_u32..).zip(bytes.chunks(limits::RAW_CHUNK_BYTES)) {
        let answer = stream.upload(&id, number, part, may_create).await?;
        if answer.status != 200 {
            return Ok(Err(answer));
        }
    }
    Ok(Ok(Kept { fragment, raw: Some(id), attached: None, uploaded: true }))
}

/// The event of a request whose body was stored as it went by.
#[must_use]
pub fn describe_stored(request: &Request, stored: &Stored, system: Option<String>) -> Received {
    let content = Content::Streamed { size: stored.size, sha256: &stored.sha256 };
    hook::receive(&describe(request, &request.headers()), content, system)
}

fn describe<'a>(request: &'a Request, headers: &'a [(String, String)]) -> hook::Request<'a> {
    hook::Request { method: &request.method, url: &request.url, headers, source: request.query.get("source") }
}
