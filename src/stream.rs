//! A stream as the front Worker sees it: calls to its object.

use js_sys::{JsString, Uint8Array};
use tailrace_durable::delivery::settle::Said;
use tailrace_durable::page::Query;
use tailrace_durable::wire::Append;
use tailrace_model::{Problem, StreamPath};
use wasm_bindgen::prelude::*;

use crate::http::{Answer, unforeseen};
use crate::platform::{self, Stub, settled};

/// From here on a text is handed over as bytes: it would have to be decoded and encoded again on its way, which for short
/// ones costs less than another kind of value.
const LONG_TEXT: usize = 4 * 1024;

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object, one event a line in it.
    Json,
    /// One event a line.
    Lines,
}

/// The other end of one stream.
#[derive(Clone)]
pub struct Stream {
    stub: Stub,
}

impl Stream {
    /// The stream at a path, whether it exists or not.
    ///
    /// # Errors
    /// [`Problem::Internal`] when the deployment lacks the binding.
    pub fn at(env: &JsValue, path: &StreamPath) -> Result<Self, Problem> {
        let stub = platform::namespace(env, "STREAM").and_then(|streams| streams.get_by_name(path.as_str()));
        Ok(Self { stub: stub.map_err(|error| unforeseen("stub", &error))? })
    }

    /// See [`tailrace_durable::call::append`].
    ///
    /// # Errors
    /// What the platform throws, as a problem. A refusal is an answer.
    pub async fn append(&self, append: &Append) -> Result<Answer, Problem> {
        answer(self.stub.append(&hand_over(append))).await
    }

    /// See [`tailrace_durable::call::hook`].
    ///
    /// # Errors
    /// What the platform throws, as a problem. A refusal is an answer.
    pub async fn hook(
        &self,
        append: &Append,
        size: usize,
        may_create: bool,
        (source, version): (&str, &str),
    ) -> Result<Answer, Problem> {
        let text = format!("{}\t{size}\t{source}\t{version}\n{}", u8::from(may_create), append.to_text());
        answer(self.stub.hook(&text)).await
    }

    /// See [`tailrace_durable::call::hook_config`].
    ///
    /// # Errors
    /// What the platform throws, as a problem.
    pub async fn hook_config(&self, source: &str) -> Result<Answer, Problem> {
        answer(self.stub.hook_config(source)).await
    }

    /// See [`tailrace_durable::call::ephemeral`].
    ///
    /// # Errors
    /// What the platform throws, as a problem. A refusal is an answer.
    pub async fn ephemeral(&self, append: &Append) -> Result<Answer, Problem> {
        answer(self.stub.ephemeral(&append.to_text())).await
    }

    /// See [`tailrace_durable::call::upload`].
    ///
    /// # Errors
    /// What the platform throws, as a problem. A refusal is an answer.
    pub async fn upload(&self, id: &str, number: u32, bytes: &[u8], may_create: bool) -> Result<Answer, Problem> {
        answer(self.stub.upload(id, f64::from(number), &Uint8Array::from(bytes), may_create)).await
    }

    /// Forgets an upload.
    ///
    /// # Errors
    /// What the platform throws, as a problem.
    pub async fn discard(&self, id: &str) -> Result<(), Problem> {
        settled(self.stub.discard(id)).await.map(drop).map_err(|error| unforeseen("discard", &error))
    }

    /// See [`tailrace_durable::call::read`]; the text is what [`read_text`] makes.
    ///
    /// # Errors
    /// What the platform throws, as a problem. A refusal is an answer.
    pub async fn read(&self, query: &str) -> Result<JsString, Problem> {
        match settled(self.stub.read(query)).await {
            Ok(text) => Ok(text.unchecked_into()),
            Err(error) => Err(unforeseen("stream", &error)),
        }
    }

    /// See [`tailrace_durable::call::head`].
    ///
    /// # Errors
    /// What the platform throws, as a problem. A refusal is an answer.
    pub async fn head(&self) -> Result<Answer, Problem> {
        answer(self.stub.head()).await
    }

    /// Hops and turns of the event at `offset`; none when there is no such event.
    ///
    /// # Errors
    /// What the platform throws, as a problem.
    #[expect(clippy::cast_precision_loss, reason = "offsets are below 2^53")]
    pub async fn chain(&self, offset: u64) -> Result<(u32, u32), Problem> {
        let answer = answer(self.stub.chain(offset as f64)).await?;
        serde_json::from_str(&String::from(answer.body)).map_err(|_| Problem::Internal)
    }

    /// See [`tailrace_durable::call::state`].
    ///
    /// # Errors
    /// What the platform throws, as a problem. A refusal is an answer.
    #[expect(clippy::cast_precision_loss, reason = "offsets are below 2^53")]
    pub async fn state(&self, at: Option<u64>) -> Result<Answer, Problem> {
        answer(self.stub.state(at.map(|at| at as f64))).await
    }

    /// See [`tailrace_durable::call::subscriptions`].
    ///
    /// # Errors
    /// What the platform throws, as a problem. A refusal is an answer.
    pub async fn subscriptions(&self, slug: &str) -> Result<Answer, Problem> {
        answer(self.stub.subscriptions(slug)).await
    }

    /// See [`tailrace_durable::call::settle_lease`].
    ///
    /// # Errors
    /// What the platform throws, as a problem. A refusal is an answer.
    pub async fn settle_lease(&self, said: &Said) -> Result<Answer, Problem> {
        let said = serde_json::to_string(said).map_err(|_| Problem::Internal)?;
        answer(self.stub.settle_lease(&said)).await
    }

    /// See [`tailrace_durable::call::list_children`].
    ///
    /// # Errors
    /// What the platform throws, as a problem. A refusal is an answer.
    pub async fn children(&self, limit: u64, after: &str) -> Result<Answer, Problem> {
        answer(self.stub.children(&format!("{limit}\n{after}"))).await
    }

    /// See [`tailrace_durable::call::find_raw`].
    ///
    /// # Errors
    /// What the platform throws, as a problem. A refusal is an answer.
    #[expect(clippy::cast_precision_loss, reason = "offsets are below 2^53")]
    pub async fn raw(&self, offset: u64) -> Result<Answer, Problem> {
        answer(self.stub.raw(offset as f64)).await
    }

    /// One part of a hook's exact bytes.
    ///
    /// # Errors
    /// What the platform throws, as a problem.
    pub async fn raw_part(&self, id: &str, number: u32) -> Result<Uint8Array, Problem> {
        let part = settled(self.stub.raw_part(id, f64::from(number))).await;
        Ok(part.map_err(|error| unforeseen("raw", &error))?.unchecked_into())
    }

    /// See [`tailrace_durable::call::delete`].
    ///
    /// # Errors
    /// What the platform throws, as a problem. A refusal is an answer.
    pub async fn delete(&self, below: bool) -> Result<Answer, Problem> {
        answer(self.stub.delete(below)).await
    }
}

/// An append as `stream.js` takes it.
#[must_use]
pub fn hand_over(append: &Append) -> JsValue {
    let text = append.to_text();
    if text.len() > LONG_TEXT { Uint8Array::from(text.as_bytes()).into() } else { JsValue::from_str(&text) }
}

/// A query as `stream.js` takes it.
///
/// # Errors
/// Never, in practice: [`Problem::Internal`].
pub fn read_text(format: Format, query: &Query) -> Result<String, Problem> {
    let format = if format == Format::Json { "json" } else { "lines" };
    let query = serde_json::to_string(query).map_err(|_| Problem::Internal)?;
    Ok(format!("{format}\n{query}"))
}

async fn answer(call: Result<JsValue, JsValue>) -> Result<Answer, Problem> {
    match settled(call).await {
        Ok(text) => Ok(Answer::new(&text.unchecked_into::<JsString>())),
        Err(error) => Err(unforeseen("stream", &error)),
    }
}
