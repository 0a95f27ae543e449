//! What the courier sends for a lease, and what it makes of the answer. What waits is `courier.js`.

mod call;

use js_sys::{Array, JsString};
use tailrace_durable::delivery::lease::{Leased, Push};
use tailrace_durable::delivery::retry::Failed;
use tailrace_durable::delivery::settle::Said;
use tailrace_model::cause::{CAUSE_HEADER, Cause};
use tailrace_model::control::Target;
use tailrace_model::control::subscription::secret_for;
use tailrace_model::deployment::Deployment;
use tailrace_model::event::Writer;
use tailrace_model::json::quoted;
use tailrace_model::line::StoredEvent;
use tailrace_model::settle::{Settle, is_settle};
use tailrace_model::signature::{SigningSecret, message_id};
use tailrace_model::text::{cut, without};
use tailrace_model::{Problem, StreamPath, limits, secret, target, time};
use wasm_bindgen::prelude::*;

use crate::config::Config;
use crate::deployment::Here;
use crate::http::{JSON, Response, text};
use crate::platform::where_js;
use crate::settle::{is_answer, said, writer_of};
use call::Call;

/// A batch that somebody leased, with only what matches the condition in it.
#[wasm_bindgen]
pub struct Delivery {
    leased: Leased,
    /// Secrets in the request: what the subscriber says may repeat them.
    sent: Vec<String>,
}

/// A request to make.
struct Outgoing {
    url: String,
    headers: Vec<(String, String)>,
    body: String,
    timeout_ms: u64,
}

#[wasm_bindgen]
impl Delivery {
    /// What holds on to it: its name, and the first and the last event in it; when a tool `runs`, also what says so.
    #[must_use]
    pub fn hold(&self, runs: bool) -> String {
        let Leased { lease, first, last, .. } = &self.leased;
        let call = Call::of(&self.leased).filter(|_| runs);
        let started = call.and_then(|call| serde_json::to_string(&call.started()?).ok());
        format!("{lease}\n{first}\n{last}\n{}", started.unwrap_or_default())
    }

    /// Who decides, if that is somebody in the system: `agent` or `javascript`.
    #[must_use]
    #[wasm_bindgen(getter)]
    pub fn host(&self) -> Option<String> {
        let name = match self.leased.hosted.as_ref()?.config.target {
            Target::Agent { .. } => "agent",
            Target::Javascript { .. } => "javascript",
            Target::Url { .. } | Target::Pull { .. } => return None,
        };
        Some(name.to_owned())
    }

    /// What to settle at once, because the call that it is of is not to be run; `undefined` = go on.
    #[must_use]
    #[wasm_bindgen(js_name = refuseCall)]
    pub fn refuse_call(&self, now: f64, next: bool) -> Option<String> {
        self.leased.push.as_ref()?.tool.as_ref()?;
        // What names no call is none.
        let said = Call::of(&self.leased).map_or_else(|| Some(call::passed(&self.leased)), |call| call.refusal(now))?;
        Some(to_text(&Said { next, ..said }))
    }

    /// True when no event matches the condition.
    #[must_use]
    #[wasm_bindgen(getter, js_name = isPassed)]
    pub fn is_passed(&self) -> bool {
        self.leased.events.is_empty()
    }

    /// True when the lease is not written before it is held on to.
    #[must_use]
    #[wasm_bindgen(getter, js_name = isTentative)]
    pub fn is_tentative(&self) -> bool {
        self.leased.condition.is_some()
    }

    /// How many milliseconds a push may take.
    #[must_use]
    #[wasm_bindgen(getter, js_name = timeoutMs)]
    pub fn timeout_ms(&self) -> f64 {
        f64::from(self.leased.push.as_ref().map_or(0, |push| u32::try_from(push.timeout_ms).unwrap_or(u32::MAX)))
    }

    /// What to settle when nothing matches.
    #[must_use]
    pub fn pass(&self, next: bool) -> String {
        to_text(&Said { lease: self.leased.lease.clone(), passed: true, next, ..Said::default() })
    }

    /// The lease as a worker gets it.
    ///
    /// # Errors
    /// What the platform throws.
    #[wasm_bindgen(js_name = forWorker)]
    pub fn for_worker(&self) -> Result<Response, JsValue> {
        let Leased { lease, expires, stream_path, head, replay, state, .. } = &self.leased;
        let body = format!(
            "{{\"lease\":{},\"expiresAt\":{},\"streamPath\":{},\"events\":[\n{}\n],\"state\":{state},\"replay\":{replay},\"head\":{head}}}\n",
            quoted(lease),
            quoted(&time::to_rfc3339(*expires)),
            quoted(stream_path),
            self.leased.events.join(",\n"),
        );
        let response = text(200, &[("content-type", JSON), ("cache-control", "no-store")], &body);
        response.or_else(|problem| crate::http::problem(&problem))
    }

    /// The request to make: `[url, headers, body, milliseconds]`, or what to settle because it cannot be made.
    #[must_use]
    pub fn request(&mut self, env: &JsValue, now: f64, next: bool) -> JsValue {
        let config = Config::of(env);
        let here = Here::new(env, &config, None);
        match outgoing(&self.leased, &config, &here, now, &mut self.sent) {
            Ok(Outgoing { url, headers, body, timeout_ms }) => {
                let headers: Array = headers
                    .iter()
                    .map(|(name, value)| {
                        [JsString::from(name.as_str()), JsString::from(value.as_str())].iter().collect::<Array>()
                    })
                    .collect();
                let timeout = JsValue::from(u32::try_from(timeout_ms).unwrap_or(u32::MAX));
                [JsValue::from_str(&url), headers.into(), JsValue::from_str(&body), timeout]
                    .iter()
                    .collect::<Array>()
                    .into()
            }
            Err(error) => JsValue::from_str(&self.failed(Failed { error, ..Failed::default() }, next)),
        }
    }

    /// What to settle when no answer came.
    #[must_use]
    #[wasm_bindgen(js_name = unanswered)]
    pub fn unanswered(&self, error: &str, ms: f64, next: bool) -> String {
        self.failed(Failed { error: error.to_owned(), ms: to_ms(ms), ..Failed::default() }, next)
    }

    /// What to settle for an answer, of which the courier read `body`; `is_cut` when there was more.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "all of an answer, handed over at once")]
    pub fn answered(
        &self,
        env: &JsValue,
        status: u16,
        retry_after: Option<String>,
        body: &[u8],
        is_cut: bool,
        ms: f64,
        next: bool,
    ) -> String {
        let ms = to_ms(ms);
        let call = Call::of(&self.leased);
        if let (Some(call), 200..300) = (&call, status) {
            let text = self.without_secrets(&String::from_utf8_lossy(body));
            if let Some(said) = call.succeeded(&text, is_cut) {
                return to_text(&Said { status: Some(status), ms: Some(ms), next, ..said });
            }
        }
        if !(200..300).contains(&status) {
            let failure = Failed {
                error: self.error_of(status, body),
                status: Some(status),
                retry_after: retry_after.and_then(|text| seconds_from(&text)),
                ms,
            };
            return self.failed(failure, next);
        }
        let config = Config::of(env);
        let mut said = self.read_answer(&Here::new(env, &config, None), body, is_cut);
        said.status = Some(status);
        said.ms = Some(ms);
        said.next = next;
        if let Some(failed) = &mut said.failed {
            failed.status = Some(status);
            failed.ms = ms;
            failed.error = self.without_secrets(&failed.error);
        }
        said.refused = said.refused.map(|reason| self.without_secrets(&reason));
        if let Some(call) = &call
            && let Ok(here) = StreamPath::from_decoded(&self.leased.stream_path)
            && !said.append.iter().all(|answered| call::may_append(answered, &here))
        {
            said =
                call.failed("forbidden: a tool's answer appends to its own stream and below, and no event of an agent");
        }
        // Other calls of the tool go on.
        if let (Some(call), Some(reason)) = (&call, &said.refused) {
            said = Said { status: Some(status), ms: Some(ms), next, ..call.failed(reason) };
        }
        to_text(&said)
    }
}

impl Delivery {
    /// Reads a lease as the object gives it.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(leased: &str) -> Result<Self, serde_json::Error> {
        let mut leased: Leased = serde_json::from_str(leased)?;
        if let Some(condition) = &leased.condition {
            leased.events.retain(|line| where_js::matches(condition, line));
            let offset = |line: Option<&String>| Some(StoredEvent::parse(line?).ok()?.offset);
            leased.first = offset(leased.events.first()).unwrap_or(leased.first);
            leased.last = offset(leased.events.last()).unwrap_or(leased.last);
        }
        Ok(Self { leased, sent: Vec::new() })
    }

    /// The text without the secrets that were sent, as they are or as JSON writes them.
    fn without_secrets(&self, text: &str) -> String {
        without(text, &self.sent)
    }

    /// The status and the beginning of what came with it.
    fn error_of(&self, status: u16, body: &[u8]) -> String {
        // Before it is cut: half a secret is not found any more.
        let said = self.without_secrets(&String::from_utf8_lossy(body));
        let said = cut(said.trim(), ERROR_CHARS);
        if (300..400).contains(&status) {
            format!("HTTP {status}: redirects are not followed")
        } else if said.is_empty() {
            format!("HTTP {status}")
        } else {
            format!("HTTP {status}: {said}")
        }
    }

    /// A JSON object with any of a settle's fields is one; any other answer just says that all went well.
    fn read_answer(&self, here: &Here, body: &[u8], is_cut: bool) -> Said {
        let lease = self.leased.lease.clone();
        let refused = |reason: String| Said { lease: lease.clone(), refused: Some(reason), ..Said::default() };
        let success = Said { lease: lease.clone(), ..Said::default() };
        let Ok(text) = std::str::from_utf8(body) else { return success };
        if is_cut && text.trim_start().starts_with('{') {
            return refused(format!("the answer can never be accepted: more than {} bytes", limits::ANSWER_BYTES));
        }
        if is_cut || !is_settle(text) {
            return success;
        }
        let Ok(path) = StreamPath::from_decoded(&self.leased.stream_path) else { return success };
        let by = writer_of(&lease);
        // What an error says is kept: without the secrets that it may repeat.
        let redacted = self.without_secrets(text);
        let text = if redacted.contains("\"error\"") { redacted.as_str() } else { text };
        match Settle::parse(text, &path, Writer { by: Some(&by), import: false, from: None, deployment: here }, false) {
            // There is nobody to whom the rest could be left.
            Ok(settle) if settle.up_to.is_some_and(|up_to| up_to < self.leased.first || up_to > self.leased.last) => {
                refused("the answer can never be accepted: upTo is not one of the delivered events".to_owned())
            }
            Ok(settle) => Said { extend: None, ..said(settle, lease) },
            Err(problem) if is_answer(&problem) => {
                refused(format!("the answer can never be accepted: {}", problem.detail()))
            }
            Err(problem) => refused(format!("the answer can never be accepted: {}", problem.detail())),
        }
    }

    fn failed(&self, mut failure: Failed, next: bool) -> String {
        failure.error = self.without_secrets(&failure.error);
        if let Some(said) = Call::of(&self.leased).and_then(|call| call.refused(failure.status, &failure.error)) {
            return to_text(&Said { status: failure.status, ms: Some(failure.ms), next, ..said });
        }
        to_text(&Said { lease: self.leased.lease.clone(), failed: Some(failure), next, ..Said::default() })
    }
}

fn outgoing(
    leased: &Leased,
    config: &Config,
    here: &Here,
    now: f64,
    sent: &mut Vec<String>,
) -> Result<Outgoing, String> {
    let push = leased.push.as_ref().ok_or("the subscription has no URL")?;
    let url = here.url(&push.url).ok_or("the target is no URL")?;
    // What was allowed when it was configured may not be any more.
    target::check(&url, &here.allowed())?;
    let body = body_of(leased, push);
    let mut headers = Vec::with_capacity(push.headers.len() + 6);
    for (name, template) in &push.headers {
        let filled = secret::fill(template, |name| {
            let value = secret_for(here, name, &url.hostname)?;
            sent.push(value.clone());
            Ok(value)
        });
        headers.push((name.clone(), filled?));
    }
    if !push.headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), JSON.to_owned()));
    }
    if !push.headers.iter().any(|(name, _)| name == "user-agent") {
        headers.push(("user-agent".to_owned(), concat!("Tailrace/", env!("CARGO_PKG_VERSION")).to_owned()));
    }
    if let Some(cause) = cause_of(leased) {
        headers.push((CAUSE_HEADER.to_owned(), cause.to_header()));
    }
    let id = message_id(&leased.generation, &leased.slug, leased.epoch, leased.first, leased.last);
    #[expect(clippy::cast_possible_truncation, reason = "times are far below 2^53")]
    let seconds = (now / 1_000.0) as i64;
    headers.push(("webhook-timestamp".to_owned(), seconds.to_string()));
    headers.push(("webhook-signature".to_owned(), signatures(leased, push, config, &id, seconds, &body)));
    headers.push(("webhook-id".to_owned(), id));
    Ok(Outgoing { url: url.href, headers, body, timeout_ms: push.timeout_ms })
}

/// One for each key and each version of the secret that is in use: receivers take any that holds.
fn signatures(leased: &Leased, push: &Push, config: &Config, id: &str, seconds: i64, body: &str) -> String {
    let mut all = Vec::new();
    for key in &config.signing_keys {
        for version in &push.secret_versions {
            let version = version.as_deref().unwrap_or_default();
            let secret = SigningSecret::derive(key, &leased.generation, &leased.slug, version);
            all.push(secret.sign(id, seconds, body.as_bytes()));
        }
    }
    all.join(" ")
}

fn body_of(leased: &Leased, push: &Push) -> String {
    if push.plain {
        return leased.events.first().cloned().unwrap_or_default();
    }
    let Leased { slug, stream_path, events, state, replay, head, .. } = leased;
    format!(
        "{{\"subscription\":{},\"streamPath\":{},\"events\":[{}],\"state\":{state},\"replay\":{replay},\"head\":{head}}}",
        quoted(slug),
        quoted(stream_path),
        events.join(","),
    )
}

/// The cause of whatever the subscriber does: the last event that it is handed.
fn cause_of(leased: &Leased) -> Option<Cause> {
    let event = StoredEvent::parse(leased.events.last()?).ok()?;
    let (hops, turns) = event.cause.as_ref().map_or((0, 0), |cause| (cause.hops, cause.turns));
    Some(Cause { stream_path: leased.stream_path.clone(), offset: event.offset, hops, turns })
}

/// So much of what a subscriber says went wrong is kept; a secret in it is taken out before that.
const ERROR_CHARS: usize = 1_000;

/// `Retry-After`: seconds, or an instant as HTTP writes it (RFC 9110, section 10.2.3).
fn seconds_from(text: &str) -> Option<u64> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let at = chrono::DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis();
        u64::try_from((at - crate::platform::now()) / 1_000).ok()
    })
}

fn to_text(said: &Said) -> String {
    serde_json::to_string(said).unwrap_or_default()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time that is not negative")]
fn to_ms(ms: f64) -> u64 {
    ms.max(0.0) as u64
}

/// Nothing is due: `204`, with why not.
///
/// # Errors
/// What the platform throws.
pub fn nothing(answer: &crate::http::Answer) -> Result<Response, JsValue> {
    let said = |name: &'static str| answer.header(name).filter(|value| *value == "true").map(|value| (name, value));
    let headers: Vec<(&str, &str)> = ["tailrace-paused", "tailrace-halted"].into_iter().filter_map(said).collect();
    crate::http::make(204, &headers, &JsValue::NULL).or_else(|problem: Problem| crate::http::problem(&problem))
}
