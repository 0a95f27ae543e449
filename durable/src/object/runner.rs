//! What `runner.js`, the class of the objects that call models, calls.

use wasm_bindgen::prelude::*;

use super::{Database, Thrown, done, moment, thrown};
use crate::runner::{self, Ask, Runner};

/// A Runner's logic, as its object holds it. See [`Runner`].
#[wasm_bindgen]
pub struct RunnerCore {
    runner: Runner<Database>,
}

impl std::panic::RefUnwindSafe for RunnerCore {}
impl std::panic::UnwindSafe for RunnerCore {}

#[wasm_bindgen]
impl RunnerCore {
    /// Opens it. Writes nothing.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn open(database: Database) -> RunnerCore {
        console_error_panic_hook::set_once();
        Self { runner: Runner::new(database) }
    }

    /// When the alarm should ring; `undefined` = never.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn alarm(&self) -> Result<Option<f64>, Thrown> {
        #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53")]
        self.runner.due().map(|due| due.map(|at| at as f64)).map_err(|failure| thrown(&failure))
    }

    /// See [`Runner::owe`]; the text is an [`Ask`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn owe(&self, ask: &str, now: f64, random: f64) -> Result<(), Thrown> {
        done(self.runner.owe(moment(now, random), &serde_json::from_str::<Ask>(ask)?))
    }

    /// See [`Runner::break_off`]; the text is an [`Ask`].
    ///
    /// # Errors
    /// When the storage fails.
    #[wasm_bindgen(js_name = breakOff)]
    pub fn break_off(&self, ask: &str, now: f64, random: f64) -> Result<(), Thrown> {
        done(self.runner.break_off(moment(now, random), &serde_json::from_str::<Ask>(ask)?))
    }

    /// See [`Runner::next`]: a `Work` as JSON, or `undefined`.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn next(&self, now: f64, random: f64) -> Result<Option<String>, Thrown> {
        let work = self.runner.next(moment(now, random)).map_err(|failure| thrown(&failure))?;
        Ok(work.map(|work| serde_json::json!(work).to_string()))
    }

    /// See [`Runner::beat`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn beat(&self, request: &str, now: f64, random: f64) -> Result<bool, Thrown> {
        done(self.runner.beat(moment(now, random), request))
    }

    /// See [`Runner::answered`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn answered(&self, request: &str, payload: &str, now: f64, random: f64) -> Result<(), Thrown> {
        done(self.runner.answered(moment(now, random), request, payload))
    }

    /// See [`Runner::interrupted`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn interrupted(&self, request: &str, partial: &str, now: f64, random: f64) -> Result<(), Thrown> {
        done(self.runner.interrupted(moment(now, random), request, partial))
    }

    /// See [`Runner::failed`]; the text is a [`runner::Failed`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn failed(&self, request: &str, failed: &str, now: f64, random: f64) -> Result<(), Thrown> {
        done(self.runner.failed(moment(now, random), request, &serde_json::from_str::<runner::Failed>(failed)?))
    }

    /// See [`Runner::told`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn told(&self, request: &str, key: &str) -> Result<(), Thrown> {
        done(self.runner.told(request, key))
    }

    /// See [`Runner::forget`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn forget(&self, request: &str) -> Result<(), Thrown> {
        done(self.runner.forget(request))
    }

    /// See [`Runner::pause`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn pause(&self, request: &str, now: f64, random: f64) -> Result<(), Thrown> {
        done(self.runner.pause(moment(now, random), request))
    }

    /// See [`runner::BEAT_MS`].
    #[must_use]
    #[wasm_bindgen(js_name = beatMs)]
    pub fn beat_ms() -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let ms = runner::BEAT_MS as f64;
        ms
    }
}
