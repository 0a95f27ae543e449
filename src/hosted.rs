//! Subscriptions whose target is JavaScript: what the code is given, and what is made of what it says. What waits, and runs
//! it, is `hosted.js`.

use js_sys::{Array, JsString};
use serde::Deserialize;
use serde_json::json;
use tailrace_agent::append::event;
use tailrace_durable::delivery::lease::Leased;
use tailrace_durable::delivery::retry::Failed;
use tailrace_durable::delivery::settle::Said;
use tailrace_model::control::Target;
use tailrace_model::control::javascript::Javascript;
use tailrace_model::control::subscription::secret_for;
use tailrace_model::deployment::Deployment;
use tailrace_model::event::Writer;
use tailrace_model::line::StoredEvent;
use tailrace_model::settle::{Answered, Settle};
use tailrace_model::text::without;
use tailrace_model::{StreamPath, secret, target};
use wasm_bindgen::prelude::*;

use crate::config::Config;
use crate::deployment::Here;
use crate::settle::{said, writer_of};

/// Hosted code with a lease.
#[wasm_bindgen]
pub struct Script {
    leased: Leased,
    code: Box<Javascript>,
    timeout_ms: u64,
    types: Vec<String>,
    sent: Vec<String>,
}

/// What came of a run.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    #[serde(default)]
    logs: Vec<Log>,
    error: Option<Thrown>,
}

#[derive(Deserialize)]
struct Log {
    offset: Option<u64>,
    level: String,
    message: String,
}

#[derive(Deserialize)]
struct Thrown {
    message: String,
    stack: Option<String>,
    offset: Option<u64>,
    #[serde(rename = "where")]
    place: Option<String>,
}

#[wasm_bindgen]
impl Script {
    /// The module.
    #[must_use]
    #[wasm_bindgen(getter)]
    pub fn source(&self) -> String {
        self.code.source.clone()
    }

    /// The events' lines. What hosted code said is not among them, unless its types name it: else it would be answered
    /// without end.
    #[must_use]
    #[wasm_bindgen(getter)]
    pub fn events(&self) -> Vec<JsString> {
        let by = writer_of(&self.leased.lease);
        self.leased
            .events
            .iter()
            .filter(|line| !is_said(line, &by, &self.types))
            .map(|line| JsString::from(line.as_str()))
            .collect()
    }

    /// The state as JSON.
    #[must_use]
    #[wasm_bindgen(getter)]
    pub fn state(&self) -> String {
        self.leased.state.clone()
    }

    /// They are only to be folded.
    #[must_use]
    #[wasm_bindgen(getter)]
    pub fn replay(&self) -> bool {
        self.leased.replay
    }

    /// What it may use: `[milliseconds of work, MiB, milliseconds altogether]`.
    #[must_use]
    #[wasm_bindgen(getter)]
    pub fn limits(&self) -> Vec<f64> {
        let limits = self.code.limits;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        [limits.cpu_ms, limits.memory_mb, self.timeout_ms].iter().map(|it| *it as f64).collect()
    }

    /// True when it may call somebody.
    #[must_use]
    #[wasm_bindgen(getter, js_name = mayFetch)]
    pub fn may_fetch(&self) -> bool {
        !self.code.allow_hosts.is_empty()
    }

    /// A request that it wants to make, with secrets filled in: `[url, headers]`.
    ///
    /// # Errors
    /// Why it may not.
    pub fn outgoing(&mut self, env: &JsValue, url: &str, headers: &str) -> Result<Array, JsError> {
        let config = Config::of(env);
        let here = Here::new(env, &config, None);
        let headers: Vec<(String, String)> = serde_json::from_str(headers)?;
        let (url, headers) = self.filled(&here, url, &headers).map_err(|error| JsError::new(&error))?;
        let headers: Array = headers
            .iter()
            .map(|(name, value)| [name, value].into_iter().map(|it| JsValue::from_str(it)).collect::<Array>())
            .collect();
        Ok([JsValue::from_str(&url), headers.into()].into_iter().collect())
    }

    /// What was answered, without the secrets that were sent.
    #[must_use]
    #[wasm_bindgen(js_name = withoutSecrets)]
    pub fn without_secrets(&self, text: &str) -> String {
        without(text, &self.sent)
    }

    /// What to settle for a run: the state and the events as JSON, and its logs and its error, as `run` of `run.js` says
    /// them.
    ///
    /// # Errors
    /// When it says nothing of the kind.
    #[expect(clippy::needless_pass_by_value, reason = "what JavaScript hands over is owned")]
    pub fn said(
        &self,
        env: &JsValue,
        state: Option<String>,
        append: Vec<String>,
        run: &str,
        next: bool,
    ) -> Result<String, JsError> {
        let run: Run = serde_json::from_str(run)?;
        let config = Config::of(env);
        let answer = format!("{{\"state\":{},\"append\":[{}]}}", state.as_deref().unwrap_or("null"), append.join(","));
        let said = self.settle(&Here::new(env, &config, None), &answer, &run);
        Ok(serde_json::to_string(&Said { next, ..said })?)
    }
}

impl Script {
    /// Takes a lease of hosted code.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(leased: &str) -> Result<Self, String> {
        let leased: Leased = serde_json::from_str(leased).map_err(|error| error.to_string())?;
        let config = leased.hosted.as_ref().map(|hosted| &hosted.config).ok_or("not hosted code")?;
        let Target::Javascript { javascript } = &config.target else { return Err("not hosted code".to_owned()) };
        let (code, timeout_ms) = (javascript.clone(), config.timeout_ms);
        let types = config.types.clone().unwrap_or_default();
        Ok(Self { leased: Leased { hosted: None, ..leased }, code, timeout_ms, types, sent: Vec::new() })
    }

    fn filled(
        &mut self,
        here: &Here,
        url: &str,
        headers: &[(String, String)],
    ) -> Result<(String, Vec<(String, String)>), String> {
        let url = here.url(url).ok_or("fetch: this is no absolute URL")?;
        if !self.code.may_call(&url.hostname, url.port) {
            let port = url.port.map_or_else(String::new, |port| format!(":{port}"));
            return Err(format!("fetch: {}{port} is not among allowHosts", url.hostname));
        }
        target::check(&url, &here.allowed()).map_err(|error| format!("fetch: {error}"))?;
        let mut filled = Vec::with_capacity(headers.len());
        for (name, template) in headers {
            let value = secret::fill(template, |name| {
                let value = secret_for(here, name, &url.hostname)?;
                self.sent.push(value.clone());
                Ok(value)
            });
            filled.push((name.clone(), value?));
        }
        Ok((url.href, filled))
    }

    fn settle(&self, here: &Here, answer: &str, run: &Run) -> Said {
        let slug = &self.leased.slug;
        let mut logs: Vec<Answered> = run.logs.iter().filter_map(|log| self.logged(log)).collect();
        if let Some(thrown) = &run.error {
            let offset = thrown.offset.unwrap_or(self.leased.first);
            let payload = json!({
                "message": thrown.message, "code": "javascript", "subscription": slug, "stack": thrown.stack,
                "where": thrown.place, "offset": offset, "attempt": self.leased.attempt + 1,
            });
            logs.extend(event(slug, "error.occurred", &payload, offset));
            let failed = Failed { error: thrown.message.clone(), ..Failed::default() };
            return Said { lease: self.leased.lease.clone(), failed: Some(failed), append: logs, ..Said::default() };
        }
        let by = writer_of(&self.leased.lease);
        let writer = Writer { by: Some(&by), import: false, from: None, deployment: here };
        let path = StreamPath::from_decoded(&self.leased.stream_path).unwrap_or_else(|_| StreamPath::root());
        match Settle::parse(answer, &path, writer, true) {
            Ok(settle) => {
                let mut said = said(settle, self.leased.lease.clone());
                said.append.append(&mut logs);
                said
            }
            Err(problem) => Said {
                lease: self.leased.lease.clone(),
                refused: Some(format!("the answer can never be accepted: {}", problem.detail())),
                ..Said::default()
            },
        }
    }

    fn logged(&self, log: &Log) -> Option<Answered> {
        let offset = log.offset.unwrap_or(self.leased.first);
        let payload =
            json!({"subscription": self.leased.slug, "level": log.level, "message": log.message, "offset": offset});
        event(&self.leased.slug, "javascript.logged", &payload, offset)
    }
}

/// Whether hosted code said so, by its console or by what it threw: the code itself, or another whom it does not listen to.
fn is_said(line: &str, by: &str, types: &[String]) -> bool {
    #[derive(Deserialize)]
    struct Metadata {
        tailrace: System,
    }
    #[derive(Deserialize)]
    struct System {
        by: String,
    }
    if !line.contains("\"javascript.logged\"") && !line.contains("\"error.occurred\"") {
        return false;
    }
    let Ok(event) = StoredEvent::parse(line) else { return false };
    let metadata = event.metadata.and_then(|raw| serde_json::from_str::<Metadata>(raw.get()).ok());
    let writer = metadata.map(|metadata| metadata.tailrace.by).unwrap_or_default();
    let is_said = match event.event_type.as_ref() {
        "javascript.logged" => true,
        "error.occurred" => writer.starts_with("subscription:"),
        _ => false,
    };
    is_said && (writer == by || !types.iter().any(|named| *named == event.event_type))
}
