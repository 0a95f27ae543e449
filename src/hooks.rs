//! `/hooks/{path}`: takes what any third party sends, stores it, then answers. How a source is understood is data:
//! [`tailrace_model::webhook`].

mod understood;

use js_sys::Uint8Array;
use serde_json::Value;
use tailrace_durable::commit::{Entry, Kind};
use tailrace_durable::hooks::STALE;
use tailrace_durable::wire::{Append, Reply};
use tailrace_model::cause::{CAUSE_HEADER, Cause, origin};
use tailrace_model::hook::{self, Content, Details, RECEIVED, Received};
use tailrace_model::webhook::Incoming;
use tailrace_model::webhook::definition::Filled;
use tailrace_model::webhook::verify::{Outcome, Verifier};
use tailrace_model::{Problem, StreamPath, limits};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use crate::access;
use crate::body::{self, Body, Rest, Stored};
use crate::config::Config;
use crate::deployment::Here;
use crate::http::{Answer, JSON, Request, Response, make, text};
use crate::platform::{self, inspect_js, random_name};
use crate::sources::{self, Source};
use crate::stream::Stream;
use understood::{Understood, keys_of, without_secret};

/// What goes to `metadata.tailrace` of every hook.
const SYSTEM: &str = r#"{"by":"hook"}"#;

/// Takes a request of a third party.
///
/// # Errors
/// [`Problem`]
pub async fn receive(
    env: &JsValue,
    request: &Request,
    config: &Config,
    path: &StreamPath,
) -> Result<Response, Problem> {
    let hook = Hook {
        // Who calls here is not known: what host they say they call teaches nothing.
        here: Here::new(env, config, None),
        env,
        request,
        path,
        stream: Stream::at(env, path)?,
        headers: request.headers(),
        may_create: access::may_create_by_hook(config, request.query.get("key")),
        slug: request.query.get("source").filter(|slug| is_slug(slug)),
    };
    let source = hook.source().await?;
    let config = source.as_ref().and_then(|source| source.config.as_ref());
    let looks_inside = config.is_some_and(|config| config.definition.needs_body());
    let held = if looks_inside { limits::HOOK_HELD_BYTES } else { limits::HOOK_LINE_BYTES };
    match body::read(request, held).await? {
        Body::Whole(bytes) => hook.receive(&bytes, source).await,
        Body::Larger(rest) => hook.receive_large(rest).await,
    }
}

/// Anything else cannot be configured.
fn is_slug(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~@:-".contains(&byte))
}

/// A request of a third party, while it is taken.
struct Hook<'a> {
    here: Here<'a>,
    env: &'a JsValue,
    request: &'a Request,
    path: &'a StreamPath,
    stream: Stream,
    headers: Vec<(String, String)>,
    may_create: bool,
    slug: Option<&'a str>,
}

impl Hook<'_> {
    async fn receive(&self, bytes: &[u8], mut source: Option<Source>) -> Result<Response, Problem> {
        let content_type = self.request.header("content-type").unwrap_or_default();
        let form: Vec<(String, String)> = if hook::is_form(&content_type) {
            form_urlencoded::parse(bytes).into_owned().collect()
        } else {
            Vec::new()
        };
        let multipart = if hook::is_multipart(&content_type) { fields_of(bytes, &content_type).await } else { None };
        // The stream may know better what holds now, but not again and again.
        for _ in 0..4 {
            let config = source.as_ref().and_then(|source| source.config.clone());
            let looks_inside = config.as_ref().is_some_and(|config| config.definition.reads_json());
            let json: Option<Value> = if looks_inside { serde_json::from_slice(bytes).ok() } else { None };
            let incoming = self.incoming(json.as_ref(), &form);
            let understood = match config {
                Some(config) => Some(Understood::of(&self.here, &config, &incoming, bytes).await?),
                None => None,
            };
            let kept = self.keep(bytes, understood.as_ref(), multipart.as_deref()).await?;
            let kept = match kept {
                Ok(kept) => kept,
                Err(answer) => return answer.into_response(JSON, &[]),
            };
            let answer = self.store(&kept, bytes.len(), source.as_ref(), understood.as_ref()).await?;
            self.forget_unless_new(&kept, &answer).await?;
            if answer.status != STALE {
                return reply(answer, understood.as_ref(), &incoming);
            }
            if let Some(slug) = self.slug {
                source = Some(sources::retold(self.env, self.path, slug, &answer, self.may_create).await?);
            }
        }
        Err(changing())
    }

    /// A body that is too large to be held goes by: to the stream, and past the verification.
    async fn receive_large(&self, rest: Rest) -> Result<Response, Problem> {
        let announced = self.request.header("content-length").and_then(|text| text.parse::<usize>().ok());
        if announced.is_some_and(|size| size > limits::HOOK_BYTES) {
            rest.drain().await;
            return Err(Problem::TooLarge { what: "the body in bytes", limit: limits::HOOK_BYTES });
        }
        // Fresh, for it cannot be looked at a second time.
        let source = match self.slug {
            Some(slug) => Some(sources::ask(self.env, self.path, slug, self.may_create).await?),
            None => None,
        };
        let incoming = self.incoming(None, &[]);
        let config = source.as_ref().and_then(|source| source.config.clone());
        let keys = config.as_ref().map(|config| keys_of(&self.here, config)).unwrap_or_default();
        let verify = config.as_ref().and_then(|config| config.definition.verify.as_ref().zip(Some(config.scheme())));
        let verify = verify.filter(|_| !keys.is_empty());
        let mut verifier = verify.map(|(verify, scheme)| verify.begin(scheme, &keys, &incoming, platform::now()));
        if verifier.as_ref().is_some_and(Verifier::needs_whole) {
            rest.drain().await;
            let what = "the body in bytes, for this kind of signature";
            return Err(Problem::TooLarge { what, limit: limits::HOOK_LINE_BYTES });
        }
        let passes = |piece: &[u8]| {
            if let Some(verifier) = &mut verifier {
                verifier.update(piece);
            }
        };
        let stored = match rest.store(&self.stream, self.may_create, passes).await? {
            Ok(stored) => stored,
            Err(answer) => return answer.into_response(JSON, &[]),
        };
        let verdict = match verifier.map(Verifier::finish) {
            Some(Outcome::Decided(verdict)) => verdict,
            _ => config
                .as_ref()
                .filter(|config| config.definition.verify.is_some())
                .map(|config| without_secret(config))
                .unwrap_or_default(),
        };
        let understood =
            match config.as_ref().map(|config| Understood::streamed(config, &incoming, verdict)).transpose() {
                Ok(understood) => understood,
                Err(problem) => {
                    self.stream.discard(&stored.id).await?;
                    return Err(problem);
                }
            };
        let verdict = understood.as_ref().map(|it| &it.verdict);
        let secret_names = understood.as_ref().map_or(&[][..], |it| &it.secret_names);
        let details = Details { system: Some(SYSTEM), verdict, secret_names, ..Details::default() };
        let received = describe_stored(self.request, &stored, &details);
        let kept = [Kept { fragment: received.fragment, raw: Some(stored.id), attached: None, uploaded: true }];
        let answer = self.store(&kept, stored.size, source.as_ref(), understood.as_ref()).await?;
        self.forget_unless_new(&kept, &answer).await?;
        if answer.status == STALE { Err(changing()) } else { reply(answer, understood.as_ref(), &incoming) }
    }

    /// Of what was refused, or is there already, the bytes are not needed.
    async fn forget_unless_new(&self, kept: &[Kept], answer: &Answer) -> Result<(), Problem> {
        if answer.status >= 300 || answer.header("tailrace-duplicate").is_some() {
            for kept in kept {
                kept.forget(&self.stream).await?;
            }
        }
        Ok(())
    }

    fn incoming<'b>(&'b self, json: Option<&'b Value>, form: &'b [(String, String)]) -> Incoming<'b> {
        Incoming {
            method: &self.request.method,
            url: &self.request.url,
            headers: &self.headers,
            query: self.request.query.pairs(),
            form,
            json,
        }
    }

    async fn source(&self) -> Result<Option<Source>, Problem> {
        match self.slug {
            Some(slug) => sources::find(self.env, self.path, slug, self.may_create).await.map(Some),
            None => Ok(None),
        }
    }

    /// Makes the events of a request whose body is held.
    async fn keep(
        &self,
        bytes: &[u8],
        understood: Option<&Understood>,
        form: Option<&str>,
    ) -> Result<Result<Vec<Kept>, Answer>, Problem> {
        let verdict = understood.map(|it| &it.verdict);
        let secret_names = understood.map_or(&[][..], |it| &it.secret_names);
        let details = Details { system: Some(SYSTEM), verdict, form, secret_names, ..Details::default() };
        let events = understood.map_or(&[][..], |it| &it.cloud_events);
        let mut all = Vec::new();
        for event in events {
            let metadata = serde_json::json!({"cloudEvent": event.attributes}).to_string();
            let body = event.body.as_deref().filter(|_| events.len() > 1);
            let details = Details { metadata: Some(&metadata), body, ..details };
            let id: Option<String> = all.first().and_then(|first: &Kept| first.raw.clone());
            match id {
                // All of them came in the same bytes.
                Some(id) => {
                    let received =
                        hook::receive(&describe(self.request, &self.headers), Content::Whole(bytes), &details);
                    all.push(Kept { fragment: received.fragment, raw: Some(id), attached: None, uploaded: false });
                }
                None => {
                    match keep(&self.stream, self.request, &self.headers, bytes, &details, self.may_create).await? {
                        Ok(kept) => all.push(kept),
                        Err(answer) => return Ok(Err(answer)),
                    }
                }
            }
        }
        if events.is_empty() {
            match keep(&self.stream, self.request, &self.headers, bytes, &details, self.may_create).await? {
                Ok(kept) => all.push(kept),
                Err(answer) => return Ok(Err(answer)),
            }
        }
        Ok(Ok(all))
    }

    /// Hands the events to the stream.
    async fn store(
        &self,
        kept: &[Kept],
        size: usize,
        source: Option<&Source>,
        understood: Option<&Understood>,
    ) -> Result<Answer, Problem> {
        // A stranger's header of another form is no reason to refuse what comes with it.
        let cause = self.request.header(CAUSE_HEADER).and_then(|value| Cause::from_header(&value).ok());
        let entry = |(index, kept): (usize, &Kept)| Entry {
            event_type: RECEIVED.to_owned(),
            key: understood.and_then(|understood| understood.key(index)),
            expected: None,
            origin: origin(self.path, cause.as_ref(), None),
            fragment: kept.fragment.clone(),
            raw: kept.raw.clone(),
        };
        let append = Append {
            kind: Kind::Hook,
            reply: if kept.len() > 1 { Reply::Offsets } else { Reply::Offset },
            expected: None,
            entries: kept.iter().enumerate().map(entry).collect(),
            attached: kept.first().and_then(|kept| kept.attached.clone()),
        };
        let version = source.map_or("-", |source| source.version.as_str());
        let source = source.and(self.slug).unwrap_or_default();
        self.stream.hook(&append, size, self.may_create, (source, version)).await
    }
}

fn changing() -> Problem {
    Problem::Unavailable { detail: "the source is being configured".to_owned(), retry_after: 1 }
}

/// What is stored is answered as the source wants it, else with where it is.
fn reply(answer: Answer, understood: Option<&Understood>, incoming: &Incoming) -> Result<Response, Problem> {
    let filled = match understood {
        Some(understood) if (200..300).contains(&answer.status) => {
            understood.answer(incoming, &String::from(answer.body.clone()))
        }
        _ => None,
    };
    let Some(Filled { status, headers, body }) = filled else { return answer.into_response(JSON, &[]) };
    let mut all: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // What a stranger sent may be in it.
    all.extend([("x-content-type-options", "nosniff"), ("content-security-policy", "sandbox; default-src 'none'")]);
    if matches!(status, 204 | 205 | 304) { make(status, &all, &JsValue::NULL) } else { text(status, &all, &body) }
}

/// The fields of a multipart form, if it is one.
async fn fields_of(bytes: &[u8], content_type: &str) -> Option<String> {
    let fields = JsFuture::from(inspect_js::multipart_fields(&Uint8Array::from(bytes), content_type)).await;
    fields.ok()?.as_string()
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
    headers: &[(String, String)],
    bytes: &[u8],
    details: &Details<'_>,
    may_create: bool,
) -> Result<Result<Kept, Answer>, Problem> {
    let received = hook::receive(&describe(request, headers), Content::Whole(bytes), details);
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
pub fn describe_stored(request: &Request, stored: &Stored, details: &Details) -> Received {
    let content = Content::Streamed { size: stored.size, sha256: &stored.sha256 };
    hook::receive(&describe(request, &request.headers()), content, details)
}

fn describe<'a>(request: &'a Request, headers: &'a [(String, String)]) -> hook::Request<'a> {
    hook::Request { method: &request.method, url: &request.url, headers, source: request.query.get("source") }
}
