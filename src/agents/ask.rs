//! One attempt at a request to a model. What waits is `ask.js`.

use js_sys::{Array, JsString};
use serde_json::{Map, Value, json};
use tailrace_agent::api::{self, Failure, Reader};
use tailrace_durable::runner::{Ask, Failed};
use tailrace_durable::speech::Delta;
use tailrace_model::json::push_compact;
use tailrace_model::limits;
use tailrace_model::text::without;
use wasm_bindgen::prelude::*;

use super::log::Log;
use super::prepared::Prepared;
use crate::config::Config;
use crate::deployment::Here;
use crate::platform;

/// A request to a model, and what came of it so far.
#[wasm_bindgen]
pub struct Asking {
    ask: Ask,
    attempt: u32,
    log: Log,
    prepared: Option<Prepared>,
    reader: Option<Reader>,
    /// Secrets in the request: what the provider says may repeat them.
    sent: Vec<String>,
}

#[wasm_bindgen]
impl Asking {
    /// The page to read next to make the request anew, as the object takes it; `undefined` = it is there.
    #[must_use]
    #[wasm_bindgen(js_name = nextQuery)]
    pub fn next_query(&self) -> Option<String> {
        if self.prepared.is_some() { None } else { self.log.next_query() }
    }

    /// Takes in a page.
    ///
    /// # Errors
    /// When the stream cannot be read.
    #[wasm_bindgen(js_name = takePage)]
    pub fn take_page(&mut self, text: &JsString) -> Result<(), JsError> {
        self.log.take_page(text).map_err(|error| JsError::new(&error))
    }

    /// The request: `[url, headers, body, milliseconds as a whole, milliseconds until something comes]`, or how it failed.
    #[must_use]
    pub fn request(&mut self, env: &JsValue) -> JsValue {
        if self.prepared.is_none() {
            self.prepared = Prepared::of(&self.log.transcript);
        }
        let Some(prepared) = &self.prepared else {
            return self.failed_for_good("the agent is not configured in the log").into();
        };
        let config = Config::of(env);
        match prepared.fill(&Here::new(env, &config, None), &mut self.sent) {
            Ok((url, headers)) => {
                self.reader = Some(Reader::new(prepared.api));
                let headers: Array = headers
                    .iter()
                    .map(|(name, value)| [name, value].into_iter().map(|it| JsValue::from_str(it)).collect::<Array>())
                    .collect();
                let ms = |ms: u64| JsValue::from(u32::try_from(ms).unwrap_or(u32::MAX));
                let (url, body) = (JsValue::from_str(&url), JsValue::from_str(&prepared.body));
                [url, headers.into(), body, ms(prepared.total_ms), ms(prepared.idle_ms)]
                    .into_iter()
                    .collect::<Array>()
                    .into()
            }
            Err(error) => self.failed_for_good(&error).into(),
        }
    }

    /// Takes in bytes of the answer: what was said with them.
    ///
    /// # Errors
    /// How it failed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<String, JsValue> {
        let said = self.reader.as_mut().map_or(Ok(String::new()), |reader| reader.push(bytes));
        said.map_err(|failure| self.failed(failure).into())
    }

    /// True when the model has said that it is done.
    #[must_use]
    #[wasm_bindgen(getter, js_name = isDone)]
    pub fn is_done(&self) -> bool {
        self.reader.as_ref().is_some_and(Reader::is_done)
    }

    /// What the model has said so far.
    #[must_use]
    #[wasm_bindgen(getter)]
    pub fn text(&self) -> String {
        self.reader.as_ref().map_or_else(String::new, |reader| reader.text().to_owned())
    }

    /// The answer is whole: the payload of `agent.output-added`.
    ///
    /// # Errors
    /// How it failed.
    pub fn answered(&mut self, latency: f64, first: Option<f64>) -> Result<String, JsValue> {
        let Some(reader) = self.reader.take() else { return Err(self.failed_for_good("nothing was asked").into()) };
        let answer = reader.finish().map_err(|failure| JsValue::from(self.failed(failure)))?;
        let ask = &self.ask;
        let call = |(index, asked): (usize, &api::Asked)| json!({"callId": format!("{}.{index}", ask.request_id), "name": asked.name, "arguments": arguments_of(&asked.arguments)});
        let mut payload = Map::new();
        payload.insert("agent".to_owned(), json!(ask.slug));
        payload.insert("turn".to_owned(), json!(ask.turn));
        payload.insert("requestId".to_owned(), json!(ask.request_id));
        payload.insert("attempt".to_owned(), json!(self.attempt));
        payload.insert("content".to_owned(), json!(answer.content));
        if !answer.calls.is_empty() {
            let calls: Vec<Value> = answer.calls.iter().enumerate().map(call).collect();
            payload.insert("toolCalls".to_owned(), Value::Array(calls));
        }
        payload.insert("usage".to_owned(), json!(answer.usage));
        payload.insert("model".to_owned(), json!(answer.model));
        payload.insert("finishReason".to_owned(), json!(answer.finish_reason));
        payload.insert("latencyMs".to_owned(), json!(whole(latency)));
        if let Some(first) = first {
            payload.insert("firstTokenMs".to_owned(), json!(whole(first)));
        }
        Ok(Value::Object(payload).to_string())
    }

    /// The provider answered with another status than 200: how it failed.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "what JavaScript hands over is owned")]
    pub fn refused(&self, status: u16, retry_after: Option<String>, body: &[u8]) -> String {
        // Before it is cut: half a secret is not found any more.
        let body = without(&String::from_utf8_lossy(body), &self.sent);
        self.failed(api::refused(status, retry_after.as_deref(), body.as_bytes(), platform::now()))
    }

    /// The provider was not reached, or stopped in the middle: how it failed.
    #[must_use]
    pub fn broken(&self, error: &str) -> String {
        self.failed(Failure { error: error.to_owned(), status: None, retryable: true, retry_after_ms: None })
    }

    /// More of the answer, as the stream takes it: `at` characters were said before.
    #[must_use]
    pub fn delta(&self, at: f64, text: String) -> String {
        let Ask { generation, slug, request_id, started, .. } = self.ask.clone();
        json!(Delta { generation, slug, request_id, started, attempt: self.attempt, at: whole(at), text }).to_string()
    }
}

impl Asking {
    /// Takes a call that a Runner owes; `prepared` is its request, if that was made before.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(ask: &str, attempt: u32, prepared: Option<&str>) -> Result<Self, serde_json::Error> {
        let ask: Ask = serde_json::from_str(ask)?;
        let log = Log::new(&ask.slug, ask.up_to);
        let prepared = prepared.map(serde_json::from_str).transpose()?;
        Ok(Self { ask, attempt, log, prepared, reader: None, sent: Vec::new() })
    }

    fn failed(&self, failure: Failure) -> String {
        let Failure { error, status, retryable, retry_after_ms } = failure;
        let error = without(&error, &self.sent);
        json!(Failed { error, status, retryable, retry_after_ms }).to_string()
    }

    fn failed_for_good(&self, error: &str) -> String {
        self.failed(Failure { error: error.to_owned(), status: None, retryable: false, retry_after_ms: None })
    }
}

/// A JSON object, or the text when the model did not write one, or one that nests deeper than events around it may.
fn arguments_of(text: &str) -> Value {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let is_flat = push_compact(&mut String::new(), text, limits::JSON_DEPTH - AROUND).is_ok();
    match serde_json::from_str(text) {
        Ok(Value::Object(arguments)) if is_flat => Value::Object(arguments),
        _ => Value::String(text.to_owned()),
    }
}

/// So deep lie a call's arguments in the events that tell of it.
const AROUND: usize = 8;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number that is not negative")]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}
