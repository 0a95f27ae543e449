//! The bindings to the platform: what `stream.js`, the Durable Object's class, calls. Every method is synchronous; those
//! that change anything are called inside a transaction, which an exception rolls back.

mod runner;

use js_sys::{Array, JsString, Uint8Array};
use tailrace_model::{StreamPath, limits};
use wasm_bindgen::prelude::*;

use crate::obligation::Call;
use crate::sql::{Joined, Param, Row, Sql, Text, Value};
use crate::stream::{Moment, Stream};
use crate::wire::{Answer, Frame};
use crate::{Failure, call, raw};

#[wasm_bindgen]
extern "C" {
    /// The object's database, as `sql.js` wraps it.
    pub type Database;

    #[wasm_bindgen(method, catch)]
    fn run(this: &Database, statement: &JsString, params: &Array) -> Result<Array, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn join(
        this: &Database,
        statement: &JsString,
        params: &Array,
        first: f64,
        max_count: f64,
    ) -> Result<Array, JsValue>;
}

impl Text for JsString {
    fn from_str(text: &str) -> Self {
        Self::from(text)
    }

    fn joined(&self, separator: &str, more: &Self) -> Self {
        if self.length() == 0 || more.length() == 0 || separator.is_empty() {
            return self.concat(more);
        }
        self.concat(&Self::from(separator)).concat(more)
    }

    fn replaced(&self, from: &str, to: &str) -> Self {
        self.split(from).join(to)
    }
}

impl Sql for Database {
    type Text = JsString;

    fn run(&self, statement: &'static str, params: &[Param]) -> Result<Vec<Row>, Failure> {
        let rows =
            Database::run(self, &JsString::from(statement), &to_array(params)).map_err(|error| storage(&error))?;
        Ok(rows.iter().map(|row| Row(Array::from(&row).iter().map(|value| to_value(&value)).collect())).collect())
    }

    fn join(
        &self,
        statement: &'static str,
        params: &[Param],
        first: u64,
        max_count: u64,
    ) -> Result<Joined<JsString>, Failure> {
        let (statement, params) = (JsString::from(statement), to_array(params));
        let joined = Database::join(self, &statement, &params, to_f64(first), to_f64(max_count))
            .map_err(|error| storage(&error))?;
        Ok(Joined { text: joined.get(0).unchecked_into(), count: joined.get(1).as_f64().map_or(0, to_u64) })
    }
}

/// One stream's logic, as its object holds it.
#[wasm_bindgen]
pub struct StreamCore {
    stream: Stream<Database>,
    frames: Vec<Frame>,
}

impl std::panic::RefUnwindSafe for StreamCore {}
impl std::panic::UnwindSafe for StreamCore {}

/// What is thrown: the caller's transaction is rolled back, and it forgets this object.
type Thrown = JsError;

#[wasm_bindgen]
impl StreamCore {
    /// Loads the stream at `path`. Reads only.
    ///
    /// # Errors
    /// When the storage fails or the path is none.
    #[wasm_bindgen(constructor)]
    pub fn open(database: Database, path: &str) -> Result<StreamCore, Thrown> {
        console_error_panic_hook::set_once();
        let path = StreamPath::parse(path).map_err(|problem| JsError::new(&problem.to_json()))?;
        let stream = Stream::open(database, path).map_err(|failure| thrown(&failure))?;
        Ok(Self { stream, frames: Vec::new() })
    }

    /// When the alarm should ring; `undefined` = never.
    #[must_use]
    pub fn alarm(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53")]
        self.stream.next_alarm().map(|at| at as f64)
    }

    /// Whether anybody follows live.
    pub fn follow(&mut self, followed: bool) {
        self.stream.followed = followed;
    }

    /// The first frame of a connection; `undefined` when `readers` follow already and no more may.
    #[must_use]
    pub fn hello(&self, readers: usize) -> Option<String> {
        let hello =
            || Frame::Hello { head: self.stream.head(), generation: self.stream.generation().map(str::to_owned) };
        (readers < limits::LIVE_READERS).then(|| hello().to_text())
    }

    /// The next frame to send to those who follow live.
    #[wasm_bindgen(js_name = takeFrame)]
    pub fn take_frame(&mut self) -> Option<String> {
        self.frames.extend(self.stream.take_news().into_iter().map(|slug| Frame::Due { slug }));
        if self.frames.is_empty() { None } else { Some(self.frames.remove(0).to_text()) }
    }

    /// What is being said right now: frames for somebody who joins.
    #[must_use]
    pub fn speeches(&self, now: f64) -> Array {
        let frames = crate::speech::so_far(&self.stream, moment(now, 0.0));
        frames.iter().map(|frame| JsValue::from_str(&frame.to_text())).collect()
    }

    /// See [`call::standing`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn standing(&mut self, text: &str) -> Result<JsString, Thrown> {
        let outcome = call::standing(&self.stream, text);
        self.finish(outcome)
    }

    /// See [`call::say`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn say(&mut self, text: &str, now: f64, random: f64) -> Result<JsString, Thrown> {
        let outcome = call::say(&mut self.stream, moment(now, random), text);
        self.finish(outcome)
    }

    /// See [`call::end_request`].
    ///
    /// # Errors
    /// When the storage fails.
    #[wasm_bindgen(js_name = endRequest)]
    pub fn end_request(&mut self, text: &str, now: f64, random: f64) -> Result<JsString, Thrown> {
        let outcome = call::end_request(&mut self.stream, moment(now, random), text);
        self.finish(outcome)
    }

    /// See [`call::append`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn append(&mut self, text: &str, now: f64, random: f64) -> Result<JsString, Thrown> {
        #[cfg(feature = "fault-injection")]
        crate::fault::provoke(text);
        let outcome = call::append(&mut self.stream, moment(now, random), text);
        self.finish(outcome)
    }

    /// The same for a text that is long enough to travel as bytes: it is copied into this memory in one go.
    ///
    /// # Errors
    /// When the storage fails.
    #[wasm_bindgen(js_name = appendBytes)]
    pub fn append_bytes(&mut self, text: &[u8], now: f64, random: f64) -> Result<JsString, Thrown> {
        self.append(std::str::from_utf8(text)?, now, random)
    }

    /// See [`call::hook`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn hook(&mut self, text: &str, now: f64, random: f64) -> Result<JsString, Thrown> {
        let outcome = call::hook(&mut self.stream, moment(now, random), text);
        self.finish(outcome)
    }

    /// See [`call::hook_config`].
    ///
    /// # Errors
    /// When the storage fails.
    #[wasm_bindgen(js_name = hookConfig)]
    pub fn hook_config(&mut self, source: &str) -> Result<JsString, Thrown> {
        let outcome = call::hook_config(&self.stream, source);
        self.finish(outcome)
    }

    /// See [`call::ephemeral`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn ephemeral(&mut self, text: &str, now: f64, random: f64) -> Result<JsString, Thrown> {
        let outcome = call::ephemeral(&mut self.stream, moment(now, random), text);
        self.finish(outcome)
    }

    /// See [`call::upload`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn upload(
        &mut self,
        id: &str,
        number: f64,
        bytes: &[u8],
        may_create: bool,
        now: f64,
        random: f64,
    ) -> Result<JsString, Thrown> {
        let outcome = call::upload(&mut self.stream, moment(now, random), id, to_u64(number), bytes, may_create);
        self.finish(outcome)
    }

    /// Forgets an upload that will not be finished.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn discard(&mut self, id: &str) -> Result<(), Thrown> {
        raw::discard(&mut self.stream, id).map_err(|failure| thrown(&failure))
    }

    /// See [`call::read`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn read(&mut self, text: &str) -> Result<JsString, Thrown> {
        let outcome = call::read(&self.stream, text);
        self.finish(outcome)
    }

    /// See [`call::head`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn head(&mut self) -> Result<JsString, Thrown> {
        let outcome = call::head(&self.stream);
        self.finish(outcome)
    }

    /// See [`call::chain`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn chain(&mut self, offset: f64) -> Result<JsString, Thrown> {
        let outcome = call::chain(&self.stream, to_u64(offset));
        self.finish(outcome)
    }

    /// See [`call::state`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn state(&mut self, at: Option<f64>, now: f64) -> Result<JsString, Thrown> {
        let outcome = call::state(&self.stream, moment(now, 0.0).at, at.map(to_u64));
        self.finish(outcome)
    }

    /// See [`call::subscriptions`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn subscriptions(&mut self, slug: &str, now: f64) -> Result<JsString, Thrown> {
        let outcome = call::subscriptions(&self.stream, moment(now, 0.0).at, slug);
        self.finish(outcome)
    }

    /// See [`call::lease`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn lease(&mut self, text: &str, now: f64, random: f64) -> Result<JsString, Thrown> {
        let outcome = call::lease(&mut self.stream, moment(now, random), text);
        self.finish(outcome)
    }

    /// See [`call::hold`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn hold(&mut self, lease: &str, now: f64, random: f64) -> Result<JsString, Thrown> {
        let outcome = call::hold(&mut self.stream, moment(now, random), lease);
        self.finish(outcome)
    }

    /// See [`call::settle_lease`].
    ///
    /// # Errors
    /// When the storage fails.
    #[wasm_bindgen(js_name = settleLease)]
    pub fn settle_lease(&mut self, text: &str, now: f64, random: f64) -> Result<JsString, Thrown> {
        let outcome = call::settle_lease(&mut self.stream, moment(now, random), text);
        self.finish(outcome)
    }

    /// Whether something is to be handed to the courier now.
    #[must_use]
    #[wasm_bindgen(js_name = hasPushes)]
    pub fn has_pushes(&self, now: f64) -> bool {
        crate::delivery::push::is_due(&self.stream, moment(now, 0.0).at)
    }

    /// See [`call::take_pushes`].
    ///
    /// # Errors
    /// When the storage fails.
    #[wasm_bindgen(js_name = takePushes)]
    pub fn take_pushes(&mut self, now: f64, random: f64) -> Result<Array, Thrown> {
        let (pushes, frames) =
            call::take_pushes(&mut self.stream, moment(now, random)).map_err(|failure| thrown(&failure))?;
        self.frames.extend(frames);
        Ok(pushes.iter().map(|text| JsValue::from_str(text)).collect())
    }

    /// See [`call::pick`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn pick(&mut self, text: &str, now: f64, random: f64) -> Result<JsString, Thrown> {
        let outcome = call::pick(&mut self.stream, moment(now, random), text);
        self.finish(outcome)
    }

    /// See [`call::unpick`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn unpick(&mut self, text: &str) -> Result<JsString, Thrown> {
        let outcome = call::unpick(&mut self.stream, text);
        self.finish(outcome)
    }

    /// See [`call::list_children`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn children(&mut self, text: &str) -> Result<JsString, Thrown> {
        let outcome = call::list_children(&self.stream, text);
        self.finish(outcome)
    }

    /// See [`call::find_raw`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn raw(&mut self, offset: f64) -> Result<JsString, Thrown> {
        let outcome = call::find_raw(&self.stream, to_u64(offset));
        self.finish(outcome)
    }

    /// See [`raw::part`].
    ///
    /// # Errors
    /// When the storage fails.
    #[wasm_bindgen(js_name = rawPart)]
    pub fn raw_part(&self, id: &str, number: f64) -> Result<Uint8Array, Thrown> {
        let bytes = raw::part(&self.stream, id, to_u64(number)).map_err(|failure| thrown(&failure))?;
        Ok(Uint8Array::from(bytes.as_slice()))
    }

    /// See [`call::delete`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn delete(&mut self, below: bool, now: f64, random: f64) -> Result<JsString, Thrown> {
        let outcome = call::delete(&mut self.stream, moment(now, random), below);
        self.finish(outcome)
    }

    /// See [`call::hear`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn hear(&mut self, text: &str, now: f64, random: f64) -> Result<JsString, Thrown> {
        let outcome = call::hear(&mut self.stream, moment(now, random), text);
        self.finish(outcome)
    }

    /// The next call the alarm has to make: `[whole call, to, message]`, or `undefined`.
    ///
    /// # Errors
    /// When the storage fails.
    #[wasm_bindgen(js_name = nextCall)]
    pub fn next_call(&mut self, now: f64, random: f64) -> Result<Option<Array>, Thrown> {
        let (call, frames) =
            call::next_call(&mut self.stream, moment(now, random)).map_err(|failure| thrown(&failure))?;
        self.frames.extend(frames);
        Ok(call.map(|call| {
            let message = serde_json::json!(call.message).to_string();
            [serde_json::json!(call).to_string(), call.to, message].iter().map(|text| JsValue::from_str(text)).collect()
        }))
    }

    /// How that call went; no reply = it did not arrive.
    ///
    /// # Errors
    /// When the storage fails.
    #[expect(clippy::needless_pass_by_value, reason = "what JavaScript hands over is owned")]
    pub fn settle(&mut self, call: &str, reply: Option<String>, now: f64, random: f64) -> Result<(), Thrown> {
        let call: Call = serde_json::from_str(call)?;
        let frames = call::settle(&mut self.stream, moment(now, random), &call, reply.as_deref())
            .map_err(|failure| thrown(&failure))?;
        self.frames.extend(frames);
        Ok(())
    }
}

fn done<T>(result: Result<T, Failure>) -> Result<T, Thrown> {
    result.map_err(|failure| thrown(&failure))
}

impl StreamCore {
    /// A refusal is an answer, nothing was written; anything else is thrown.
    fn finish(&mut self, outcome: Result<call::Outcome<JsString>, Failure>) -> Result<JsString, Thrown> {
        match outcome {
            Ok(outcome) => {
                self.frames.extend(outcome.frames);
                Ok(outcome.answer.to_text())
            }
            Err(Failure::Refused(problem)) => Ok(Answer::<JsString>::problem(&problem).to_text()),
            Err(failure) => Err(thrown(&failure)),
        }
    }
}

fn thrown(failure: &Failure) -> Thrown {
    JsError::new(&failure.to_string())
}

fn storage(error: &JsValue) -> Failure {
    let detail = error.dyn_ref::<js_sys::Error>().map_or_else(|| format!("{error:?}"), |it| String::from(it.message()));
    Failure::Storage(detail)
}

#[expect(clippy::cast_possible_truncation, reason = "times are far below 2^53")]
fn moment(now: f64, random: f64) -> Moment {
    Moment { at: now as i64, random: to_u64(random) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers from 0 to 2^53")]
fn to_u64(number: f64) -> u64 {
    number as u64
}

#[expect(clippy::cast_precision_loss, reason = "whole numbers from 0 to 2^53")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

fn to_array(params: &[Param]) -> Array {
    params
        .iter()
        .map(|param| match param {
            Param::Null => JsValue::NULL,
            #[expect(clippy::cast_precision_loss, reason = "whole numbers below 2^53")]
            Param::Int(number) => JsValue::from_f64(*number as f64),
            Param::Text(text) => JsValue::from_str(text),
            Param::Blob(bytes) => Uint8Array::from(*bytes).into(),
        })
        .collect()
}

fn to_value(value: &JsValue) -> Value {
    if let Some(number) = value.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^53")]
        return Value::Int(number as i64);
    }
    if let Some(text) = value.as_string() {
        return Value::Text(text);
    }
    if value.is_null() || value.is_undefined() {
        return Value::Null;
    }
    Value::Blob(Uint8Array::new(value).to_vec())
}
