//! `POST /api/streams/{path}`: appends what clients send. Everything that does not need the stream is done here.

use tailrace_durable::commit::{Entry, Kind};
use tailrace_durable::keys;
use tailrace_durable::wire::{Append, Reply};
use tailrace_model::body::{Body as Content, understand};
use tailrace_model::cause::{CAUSE_HEADER, Cause, origin};
use tailrace_model::event::{NewEvent, Writer};
use tailrace_model::{Problem, StreamPath, json, limits, types};

use crate::access::{Caller, Need};
use crate::body::{self, Body};
use crate::hooks;
use crate::http::{Answer, JSON, Request, Response, invalid_query};
use crate::stream::Stream;

/// How the client wants it.
struct Wish {
    ephemeral: bool,
    import: bool,
    minimal: bool,
    strict: bool,
    /// From `If-Match`: the offset that the first event must get.
    expected: Option<u64>,
    cause: Option<Cause>,
}

/// Appends.
///
/// # Errors
/// [`Problem`]
pub async fn append(
    stream: &Stream,
    request: &Request,
    caller: &Caller,
    path: &StreamPath,
) -> Result<Response, Problem> {
    let wish = Wish::read(request)?;
    if wish.import {
        caller.check(Need::Full, path)?;
    }
    match body::read(request, limits::BATCH_BYTES).await? {
        Body::Whole(bytes) => {
            let writer = Writer { by: caller.by.as_deref(), import: wish.import };
            match understand(&bytes, writer)? {
                Content::One(event) => append_events(stream, caller, path, &wish, vec![event], false).await,
                Content::Batch(events) => append_events(stream, caller, path, &wish, events, true).await,
                Content::Foreign { reason, field } => {
                    wish.refuse_foreign(&reason, field)?;
                    caller.check(Need::Append, path)?;
                    append_foreign(stream, request, caller, path, &wish, &bytes, &reason).await
                }
            }
        }
        Body::Larger(rest) => {
            if matches!(rest.begun.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'[')) {
                rest.drain().await;
                return Err(Problem::TooLarge {
                    what: "the body in bytes; larger ones go to /hooks",
                    limit: limits::BATCH_BYTES,
                });
            }
            let reason = "the body is not JSON";
            wish.refuse_foreign(reason, None)?;
            caller.check(Need::Append, path)?;
            let stored = match rest.store(stream, true).await? {
                Ok(stored) => stored,
                Err(answer) => return answer.into_response(JSON, &[]),
            };
            let received = hooks::describe_stored(request, &stored, Some(system_metadata(caller, reason)));
            let entry = wish.entry_of_foreign(path, received.fragment, Some(stored.id.clone()));
            let answer = stream.append(&wish.append_of_foreign(entry, None)).await?;
            if answer.status != 200 {
                stream.discard(&stored.id).await?;
            }
            interpreted(answer)
        }
    }
}

async fn append_events(
    stream: &Stream,
    caller: &Caller,
    path: &StreamPath,
    wish: &Wish,
    events: Vec<NewEvent>,
    batch: bool,
) -> Result<Response, Problem> {
    let mut entries = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        caller.check(types::power_for(&event.event_type).into(), path)?;
        if wish.ephemeral && types::is_reserved(&event.event_type) {
            return Err(Problem::ReservedType { event_type: event.event_type });
        }
        let first = wish.expected.filter(|_| index == 0);
        entries.push(Entry {
            origin: origin(path, wish.cause.as_ref(), event.cause.as_ref()),
            key: event.key.as_deref().map(keys::client),
            expected: event.expected.or(first),
            event_type: event.event_type,
            fragment: event.fragment,
            raw: None,
        });
    }
    let reply = match (batch, wish.minimal) {
        (false, false) => Reply::Event,
        (false, true) => Reply::Offset,
        (true, false) => Reply::Events,
        (true, true) => Reply::Offsets,
    };
    let kind = if wish.import { Kind::Import } else { Kind::Client };
    let append = Append { kind, reply, entries, attached: None };
    let answer = if wish.ephemeral { stream.ephemeral(&append).await? } else { stream.append(&append).await? };
    answer.into_response(JSON, &[])
}

/// What is no event is kept as it came, like a request of a third party.
async fn append_foreign(
    stream: &Stream,
    request: &Request,
    caller: &Caller,
    path: &StreamPath,
    wish: &Wish,
    bytes: &[u8],
    reason: &str,
) -> Result<Response, Problem> {
    let kept = hooks::keep(stream, request, bytes, Some(system_metadata(caller, reason)), true).await?;
    let kept = match kept {
        Ok(kept) => kept,
        Err(answer) => return answer.into_response(JSON, &[]),
    };
    let entry = wish.entry_of_foreign(path, kept.fragment.clone(), kept.raw.clone());
    let answer = stream.append(&wish.append_of_foreign(entry, kept.attached.clone())).await?;
    if answer.status != 200 {
        kept.forget(stream).await?;
    }
    interpreted(answer)
}

fn interpreted(answer: Answer) -> Result<Response, Problem> {
    let more: &[(&str, &str)] = if answer.status == 200 { &[("tailrace-interpreted-as", "webhook")] } else { &[] };
    answer.into_response(JSON, more)
}

fn system_metadata(caller: &Caller, reason: &str) -> String {
    let by = caller.by.as_deref().map(|by| format!("\"by\":{},", json::quoted(by))).unwrap_or_default();
    format!("{{{by}\"reason\":{}}}", json::quoted(reason))
}

impl Wish {
    fn read(request: &Request) -> Result<Self, Problem> {
        let prefer = request.header("prefer").unwrap_or_default().to_ascii_lowercase();
        let prefers = |wanted: &str| prefer.split([',', ';']).any(|it| it.trim() == wanted);
        let cause = request.header(CAUSE_HEADER).map(|value| Cause::from_header(&value)).transpose()?;
        Ok(Self {
            ephemeral: request.query.flag("ephemeral")?,
            import: request.query.flag("import")?,
            minimal: prefers("return=minimal"),
            strict: prefers("handling=strict"),
            expected: request.header("if-match").map(|value| expected_from(&value)).transpose()?,
            cause,
        })
    }

    fn refuse_foreign(&self, reason: &str, field: Option<String>) -> Result<(), Problem> {
        if self.strict || self.import || self.ephemeral {
            let detail = format!("not an event: {reason}");
            return Err(Problem::InvalidEvent { field: field.unwrap_or_else(|| "body".to_owned()), detail });
        }
        Ok(())
    }

    fn entry_of_foreign(&self, path: &StreamPath, fragment: String, raw: Option<String>) -> Entry {
        Entry {
            event_type: tailrace_model::hook::RECEIVED.to_owned(),
            key: None,
            expected: self.expected,
            origin: origin(path, self.cause.as_ref(), None),
            fragment,
            raw,
        }
    }

    fn append_of_foreign(&self, entry: Entry, attached: Option<String>) -> Append {
        let reply = if self.minimal { Reply::Offset } else { Reply::Event };
        Append { kind: Kind::Client, reply, entries: vec![entry], attached }
    }
}

/// `If-Match: "7"`: the head must be 7, so the event gets 8.
fn expected_from(value: &str) -> Result<u64, Problem> {
    let text = value.trim().trim_start_matches("W/").trim_matches('"');
    let head: Option<u64> = text.parse().ok();
    head.and_then(|head| head.checked_add(1))
        .ok_or_else(|| invalid_query("If-Match", "the stream's head, in quotes: \"7\""))
}
