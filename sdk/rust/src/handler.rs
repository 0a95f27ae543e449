//! The endpoint that a deployment pushes to: signatures checked, events processed, state and events answered.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tailrace_model::webhook::place::Incoming;
use tailrace_model::webhook::presets;
use tailrace_model::webhook::verify::{Key, Outcome, Verify};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::error::Error;
use crate::event::{Cause, Event, NewEvent};
use crate::platform::{MaybeSend, MaybeSync, Told};
use crate::processor::{Appended, Failure, Processor, state_of};

/// A processor as an endpoint, for any server or Worker that speaks the types of the crate `http`.
///
/// What does not carry the signature of a deployment (Standard Webhooks) is answered with `401`, and nothing is run.
/// A processor that fails is answered with `500`, so that the same events come again.
///
/// ```
/// use tailrace_sdk::{Handler, fold};
///
/// # async fn example(request: http::Request<bytes::Bytes>) -> Result<(), tailrace_sdk::Error> {
/// let count = fold(|count: &mut u64, _event| { *count += 1; Ok(()) });
/// let handler = Handler::new(count, ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])?;
/// let response: http::Response<bytes::Bytes> = handler.handle(request).await;
/// # Ok(()) }
/// ```
pub struct Handler<P> {
    processor: P,
    verify: Verify,
    keys: Vec<Key>,
    on_failure: Option<Arc<Told<Failure>>>,
}

/// What is pushed.
#[derive(Deserialize)]
struct Push {
    events: Vec<Event>,
    #[serde(default)]
    state: Value,
    #[serde(default)]
    replay: bool,
}

impl<P: Processor> Handler<P> {
    /// A handler for what is signed with one of these secrets (`whsec_…`); several while one takes the place of another.
    /// `GET /api/subscriptions/{path}?slug=…&reveal=secret` shows it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when one of them is no secret, or there is none.
    pub fn new(processor: P, secrets: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, Error> {
        let preset = presets::find("standard-webhooks").and_then(|preset| preset.definition.verify);
        let verify = preset.ok_or_else(|| Error::Invalid("Standard Webhooks are not known".to_owned()))?;
        let keys: Vec<Key> = secrets
            .into_iter()
            .enumerate()
            .map(|(number, secret)| Key { name: number.to_string(), value: secret.into() })
            .collect();
        let is_secret = |key: &Key| {
            let text = key.value.trim();
            let decoded = tailrace_model::hook::from_base64(text.strip_prefix("whsec_").unwrap_or(text));
            decoded.is_some_and(|bytes| !bytes.is_empty())
        };
        if keys.is_empty() || !keys.iter().all(is_secret) {
            return Err(Error::Invalid("a secret is whsec_ and base64, as the deployment shows it".to_owned()));
        }
        Ok(Self { processor, verify, keys, on_failure: None })
    }

    /// Signatures may be older or newer by so many seconds; 300 if nothing is said.
    #[must_use]
    pub fn tolerance_seconds(mut self, seconds: u64) -> Self {
        self.verify.tolerance = seconds;
        self
    }

    /// Tells this what the processor fails with; it is answered all the same.
    #[must_use]
    pub fn on_failure(mut self, tell: impl Fn(&Failure) + MaybeSend + MaybeSync + 'static) -> Self {
        self.on_failure = Some(Arc::new(tell));
        self
    }

    /// Answers a push. The body is the bytes as they came: they are what is signed.
    pub async fn handle<B: AsRef<[u8]>>(&self, request: Request<B>) -> Response<Bytes> {
        self.handle_at(request, clock::now_ms() / 1_000).await
    }

    /// As [`Self::handle`], at this time: seconds since 1970.
    pub async fn handle_at<B: AsRef<[u8]>>(&self, request: Request<B>, now_seconds: i64) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        if let Err(reason) = self.check(&parts.headers, body.as_ref(), now_seconds) {
            return answer(StatusCode::UNAUTHORIZED, &json!({"error": reason}));
        }
        let push = crate::json::read::<Push>(body.as_ref());
        drop(body);
        match push {
            Err(error) => answer(StatusCode::BAD_REQUEST, &json!({"error": format!("this is no push: {error}")})),
            Ok(push) => match self.process(push).await {
                Ok(said) => answer(StatusCode::OK, &said),
                Err(failure) => {
                    if let Some(tell) = &self.on_failure {
                        tell(&failure);
                    }
                    answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": failure.to_string()}))
                }
            },
        }
    }

    fn check(&self, headers: &HeaderMap, body: &[u8], now_seconds: i64) -> Result<(), String> {
        let headers: Vec<(String, String)> = headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let request = Incoming { method: "POST", headers: &headers, ..Incoming::default() };
        let now = now_seconds.saturating_mul(1_000);
        let mut verifier = self.verify.begin("standard-webhooks", &self.keys, &request, now);
        verifier.update(body);
        match verifier.finish() {
            Outcome::Decided(verdict) if verdict.verified == Some(true) => Ok(()),
            Outcome::Decided(verdict) => Err(verdict.reason.unwrap_or_default()),
            Outcome::PublicKey(_) => Err("there is no such signature".to_owned()),
        }
    }

    async fn process(&self, push: Push) -> Result<Value, Failure> {
        let mut state = state_of(&self.processor, &push.state)?;
        let mut append: Vec<NewEvent> = Vec::new();
        for event in push.events {
            let cause = Cause { offset: event.offset, ..Cause::default() };
            self.processor.reduce(&mut state, &event)?;
            if push.replay {
                continue;
            }
            let signal = CancellationToken::new();
            let (appended, collected) = Appended::new(event, state.clone(), signal.clone());
            let _cancelled_when_dropped = signal.drop_guard();
            self.processor.after_append(appended).await?;
            // Of several events in one answer, each says which of them it follows from.
            append.extend(collected.take().into_iter().map(|mut event| {
                event.cause.get_or_insert_with(|| cause.clone());
                event
            }));
        }
        Ok(json!({"state": serde_json::to_value(&state)?, "append": append}))
    }
}

fn answer(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

impl<P> fmt::Debug for Handler<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}
