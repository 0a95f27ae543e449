//! `POST /api/streams/{path}`: appends what clients send. Everything that does not need the stream is done here.

use std::collections::HashMap;

use tailrace_durable::commit::{Entry, Kind};
use tailrace_durable::keys;
use tailrace_durable::wire::{Append, Reply};
use tailrace_model::body::{Body as Content, understand};
use tailrace_model::cause::{CAUSE_HEADER, Cause, Origin, origin};
use tailrace_model::deployment::Deployment;
use tailrace_model::event::{NewEvent, Writer};
use tailrace_model::hook::Details;
use tailrace_model::{Problem, StreamPath, json, limits, types};
use wasm_bindgen::JsValue;

use crate::access::{Caller, Need};
use crate::body::{self, Body};
use crate::config::Config;
use crate::deployment::Here;
use crate::hooks;
use crate::http::{Answer, JSON, Query, Request, Response, invalid_query, text};
use crate::stream::Stream;

/// So many events of other streams are asked about for one batch.
const TRACED_CAUSES: usize = 100;

/// How the client wants it.
#[expect(clippy::struct_excessive_bools, reason = "each is one word of the client's")]
pub struct Wish {
    ephemeral: bool,
    import: bool,
    minimal: bool,
    strict: bool,
    /// Nothing is written; it is only said whether it would be.
    pub check: bool,
    /// From `If-Match`: the offset that the first event must get.
    expected: Option<u64>,
    cause: Option<Cause>,
}

/// What a body turned out to be.
pub enum Prepared {
    /// Events to append.
    Append(Append),
    /// Events for those who follow live, and nobody else.
    Ephemeral(Append),
    /// Something that is kept as it came, for this reason.
    Foreign(String),
}

impl Prepared {
    /// Says that it would be taken.
    fn accepted(&self) -> Result<Response, Problem> {
        let body = match self {
            Self::Append(append) | Self::Ephemeral(append) => {
                format!("{{\"accepted\":true,\"events\":{}}}", append.entries.len())
            }
            Self::Foreign(reason) => format!(
                "{{\"accepted\":true,\"events\":1,\"interpretedAs\":\"webhook\",\"reason\":{}}}",
                json::quoted(reason)
            ),
        };
        text(200, &[("content-type", JSON), ("cache-control", "no-store")], &body)
    }
}

/// Understands a body and makes of it what the object needs. Everything that can be refused without the stream is
/// refused here.
///
/// # Errors
/// [`Problem`]
pub fn prepare(
    deployment: &dyn Deployment,
    wish: &Wish,
    caller: &Caller,
    path: &StreamPath,
    body: &[u8],
) -> Result<Prepared, Problem> {
    wish.check(caller, path)?;
    let writer = Writer { by: caller.by.as_deref(), import: wish.import, from: None, deployment };
    match understand(body, writer)? {
        Content::One(event) => prepare_events(wish, caller, path, vec![event], false),
        Content::Batch(events) => prepare_events(wish, caller, path, events, true),
        Content::Foreign { reason, field } => {
            wish.refuse_foreign(&reason, field)?;
            caller.check(Need::Append, path)?;
            Ok(Prepared::Foreign(reason))
        }
    }
}

/// True when an event names a cause in another stream: how far that chain has come has to be asked for there.
#[must_use]
pub fn is_traced_elsewhere(wish: &Wish, path: &StreamPath, append: &Append) -> bool {
    wish.cause.is_none() && append.entries.iter().any(|entry| foreign_cause(path, entry).is_some())
}

fn foreign_cause<'a>(path: &StreamPath, entry: &'a Entry) -> Option<&'a Cause> {
    match &entry.origin {
        Some(Origin::Known(cause)) if cause.stream_path != path.as_str() => Some(cause),
        _ => None,
    }
}

/// Asks the streams that causes were named in how far their chains have come, and goes on from there.
async fn trace(env: &JsValue, wish: &Wish, path: &StreamPath, append: &mut Append) -> Result<(), Problem> {
    if !is_traced_elsewhere(wish, path, append) {
        return Ok(());
    }
    let mut known: HashMap<(String, u64), (u32, u32)> = HashMap::new();
    for entry in &mut append.entries {
        let Some(cause) = foreign_cause(path, entry).cloned() else { continue };
        let event = (cause.stream_path.clone(), cause.offset);
        let (hops, turns) = match known.get(&event) {
            Some(chain) => *chain,
            None if known.len() >= TRACED_CAUSES => (0, 0),
            None => Stream::at(env, &StreamPath::from_decoded(&cause.stream_path)?)?.chain(cause.offset).await?,
        };
        known.insert(event, (hops, turns));
        entry.origin = Some(Origin::Known(Cause { hops: hops.saturating_add(1), turns, ..cause }));
    }
    Ok(())
}

/// Appends.
///
/// # Errors
/// [`Problem`]
pub async fn append(
    env: &JsValue,
    config: &Config,
    stream: &Stream,
    request: &Request,
    caller: &Caller,
    path: &StreamPath,
) -> Result<Response, Problem> {
    let here = Here::new(env, config, request.header("host").as_deref());
    let (prefer, if_match, cause) =
        (request.header("prefer"), request.header("if-match"), request.header(CAUSE_HEADER));
    let wish = Wish::read(&request.query, prefer.as_deref(), if_match.as_deref(), cause.as_deref())?;
    match body::read(request, limits::BATCH_BYTES).await? {
        Body::Whole(bytes) => match prepare(&here, &wish, caller, path, &bytes)? {
            prepared if wish.check => prepared.accepted(),
            Prepared::Append(mut append) => {
                trace(env, &wish, path, &mut append).await?;
                stream.append(&append).await?.into_response(JSON, &[])
            }
            Prepared::Ephemeral(mut append) => {
                trace(env, &wish, path, &mut append).await?;
                stream.ephemeral(&append).await?.into_response(JSON, &[])
            }
            Prepared::Foreign(reason) => append_foreign(stream, request, caller, path, &wish, &bytes, &reason).await,
        },
        Body::Larger(rest) if wish.check => {
            rest.drain().await;
            Err(invalid_query("check", "a body that could be events: at most 8 MiB"))
        }
        Body::Larger(rest) => {
            let reason = "the body is not JSON";
            if let Err(problem) = may_be_foreign(&wish, caller, path, &rest.begun, reason) {
                rest.drain().await;
                return Err(problem);
            }
            let stored = match rest.store(stream, true, |_| {}).await? {
                Ok(stored) => stored,
                Err(answer) => return answer.into_response(JSON, &[]),
            };
            let received = hooks::describe_stored(
                request,
                &stored,
                &Details { system: Some(&system_metadata(caller, reason)), ..Details::default() },
            );
            let entry = wish.entry_of_foreign(path, received.fragment, Some(stored.id.clone()));
            let answer = stream.append(&wish.append_of_foreign(entry, None)).await?;
            if answer.status != 200 {
                stream.discard(&stored.id).await?;
            }
            interpreted(answer)
        }
    }
}

/// Whether a body that is too large for events may be kept as it came.
fn may_be_foreign(wish: &Wish, caller: &Caller, path: &StreamPath, begun: &[u8], reason: &str) -> Result<(), Problem> {
    wish.check(caller, path)?;
    let begun = begun.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begun);
    if matches!(begun.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'[')) {
        let what = "the body in bytes; larger ones go to /hooks";
        return Err(Problem::TooLarge { what, limit: limits::BATCH_BYTES });
    }
    wish.refuse_foreign(reason, None)?;
    caller.check(Need::Append, path)
}

fn prepare_events(
    wish: &Wish,
    caller: &Caller,
    path: &StreamPath,
    events: Vec<NewEvent>,
    batch: bool,
) -> Result<Prepared, Problem> {
    let mut entries = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        let at_index = |problem: Problem| if batch { problem.at_index(index) } else { problem };
        caller.check(types::power_for(&event.event_type).into(), path).map_err(at_index)?;
        if wish.ephemeral && types::is_reserved(&event.event_type) {
            return Err(at_index(Problem::ReservedType { event_type: event.event_type }));
        }
        entries.push(Entry {
            origin: origin(path, wish.cause.as_ref(), event.cause.as_ref()),
            key: event.key.as_deref().map(keys::client),
            expected: event.expected,
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
    let append = Append { kind, reply, expected: wish.expected, entries, attached: None };
    Ok(if wish.ephemeral { Prepared::Ephemeral(append) } else { Prepared::Append(append) })
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
    let headers = request.headers();
    let kept = hooks::keep(
        stream,
        request,
        &headers,
        bytes,
        &Details { system: Some(&system_metadata(caller, reason)), ..Details::default() },
        true,
    )
    .await?;
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
    /// Reads the query and the headers `Prefer`, `If-Match` and `Tailrace-Cause`.
    ///
    /// # Errors
    /// [`Problem::InvalidQuery`] naming the one that is not understood.
    pub fn read(
        query: &Query,
        prefer: Option<&str>,
        if_match: Option<&str>,
        cause: Option<&str>,
    ) -> Result<Self, Problem> {
        let prefers = |wanted: &str| {
            let is_it = |it: &str| it.replace('"', "").trim().eq_ignore_ascii_case(wanted);
            prefer.is_some_and(|prefer| prefer.split([',', ';']).any(is_it))
        };
        let (ephemeral, import) = (query.flag("ephemeral")?, query.flag("import")?);
        if ephemeral && import {
            return Err(invalid_query("import", "history is stored: not together with ephemeral"));
        }
        Ok(Self {
            ephemeral,
            import,
            check: query.flag("check")?,
            minimal: prefers("return=minimal"),
            strict: prefers("handling=strict"),
            expected: if_match.map(expected_from).transpose()?,
            cause: cause.map(Cause::from_header).transpose()?,
        })
    }

    /// Refuses who may do nothing here, before any work is spent on the body.
    fn check(&self, caller: &Caller, path: &StreamPath) -> Result<(), Problem> {
        if self.import { caller.check(Need::Full, path) } else { caller.check_any_write(path) }
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
            expected: None,
            origin: origin(path, self.cause.as_ref(), None),
            fragment,
            raw,
        }
    }

    fn append_of_foreign(&self, entry: Entry, attached: Option<String>) -> Append {
        let reply = if self.minimal { Reply::Offset } else { Reply::Event };
        Append { kind: Kind::Client, reply, expected: self.expected, entries: vec![entry], attached }
    }
}

/// `If-Match: "7"`: the head must be 7, so the event gets 8.
fn expected_from(value: &str) -> Result<u64, Problem> {
    let text = value.trim().trim_start_matches("W/").trim_matches('"');
    let head: Option<u64> = text.parse().ok();
    head.and_then(|head| head.checked_add(1))
        .ok_or_else(|| invalid_query("If-Match", "the stream's head, in quotes: \"7\""))
}
