//! A call of a tool with a URL: a push of `tool.requested`, and what its answer means for whoever waits for the result.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tailrace_agent::append::event;
use tailrace_durable::delivery::lease::Leased;
use tailrace_durable::delivery::settle::Said;
use tailrace_model::control::Tool;
use tailrace_model::line::StoredEvent;
use tailrace_model::settle::Answered;
use tailrace_model::{StreamPath, limits, time};

/// What to settle for what is not to be run: nothing is sent, and nothing said.
#[must_use]
pub fn passed(leased: &Leased) -> Said {
    Said { lease: leased.lease.clone(), ..Said::default() }
}

/// Whether an answer of a tool may append this: it speaks for strangers more often than not, so it ends calls, and says
/// what happened, in its own stream and below.
#[must_use]
pub fn may_append(answered: &Answered, here: &StreamPath) -> bool {
    let is_end = matches!(answered.event_type.as_str(), "tool.completed" | "tool.failed");
    let is_harness = answered.event_type.starts_with("agent.") || answered.event_type.starts_with("tool.");
    let to = answered.to.as_deref().map(StreamPath::from_decoded);
    (is_end || !is_harness) && to.is_none_or(|to| to.is_ok_and(|to| to.is_at_or_below(here)))
}

/// So often a call is tried.
const ATTEMPTS: u32 = 4;

/// What else stands in an event's line beside its payload.
const LINE_BYTES: usize = 4 * 1_024;

/// A call of a tool, as `tool.requested` says it.
pub struct Call<'a> {
    leased: &'a Leased,
    tool: &'a Tool,
    id: String,
    offset: u64,
    at: i64,
    /// Somebody approved it. Only the system says so.
    is_approved: bool,
}

impl<'a> Call<'a> {
    /// The call that is leased; `None` when it is no call.
    #[must_use]
    pub fn of(leased: &'a Leased) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Payload {
            call_id: String,
        }
        #[derive(Default, Deserialize)]
        struct Metadata {
            #[serde(default)]
            tailrace: System,
        }
        #[derive(Default, Deserialize)]
        struct System {
            approved: Option<u64>,
        }
        let tool = leased.push.as_ref()?.tool.as_ref()?;
        let event = StoredEvent::parse(leased.events.first()?).ok()?;
        let payload: Payload = serde_json::from_str(event.payload.get()).ok()?;
        let metadata = event.metadata.and_then(|raw| serde_json::from_str::<Metadata>(raw.get()).ok());
        Some(Self {
            leased,
            tool,
            id: payload.call_id,
            offset: event.offset,
            at: time::from_rfc3339(&event.created_at)?,
            is_approved: metadata.is_some_and(|metadata| metadata.tailrace.approved.is_some()),
        })
    }

    /// What says that it is run now: the key is the system's.
    #[must_use]
    pub fn started(&self) -> Option<Answered> {
        let attempt = self.leased.attempt + 1;
        let payload = json!({"callId": self.id, "attempt": attempt});
        let event = event(&self.leased.slug, "tool.started", &payload, self.offset)?;
        Some(Answered { key: Some(format!("{}:started:{attempt}", self.id)), ..event })
    }

    /// What to settle when it is not to be run.
    #[must_use]
    pub fn refusal(&self, now: f64) -> Option<Said> {
        if self.leased.replay {
            return Some(passed(self.leased));
        }
        #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53")]
        let is_late = now > self.at as f64 + self.tool.timeout_ms as f64;
        if is_late {
            return Some(self.failed("no result in time"));
        }
        (self.tool.approval && !self.is_approved).then(|| self.failed("nobody approved this call"))
    }

    /// What a success means: the answer is the result. `None` = it is a settle, for it has `append`: whoever ends the call
    /// is named there, or does it later.
    #[must_use]
    pub fn succeeded(&self, text: &str, is_cut: bool) -> Option<Said> {
        #[derive(Deserialize)]
        struct Settle {
            append: Option<IgnoredAny>,
        }
        if is_cut {
            return Some(self.failed(&format!("the result is longer than {} bytes", limits::ANSWER_BYTES)));
        }
        let is_settle = text.trim_start().starts_with('{') && text.contains("\"append\"");
        if is_settle && serde_json::from_str::<Settle>(text).is_ok_and(|settle| settle.append.is_some()) {
            return None;
        }
        let result = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        let said = self.ended("tool.completed", &json!({"callId": self.id, "result": result}));
        let bytes = said.append.first().map(|event| event.fragment.len());
        Some(match bytes {
            None => self.failed("the result nests too deep"),
            Some(bytes) if bytes > limits::EVENT_BYTES - LINE_BYTES => {
                self.failed("the result is longer than an event may be")
            }
            Some(_) => said,
        })
    }

    /// What another status means, or that nobody answered (`None`): the end, when the call is wrong or was the last.
    /// `None` = it is tried again.
    #[must_use]
    pub fn refused(&self, status: Option<u16>, error: &str) -> Option<Said> {
        let is_wrong =
            status.is_some_and(|status| (400..500).contains(&status) && ![408, 409, 425, 429].contains(&status));
        (is_wrong || self.leased.attempt + 1 >= ATTEMPTS).then(|| self.failed(error))
    }

    /// It came to nothing.
    #[must_use]
    pub fn failed(&self, error: &str) -> Said {
        self.ended("tool.failed", &json!({"callId": self.id, "error": error}))
    }

    fn ended(&self, event_type: &str, payload: &Value) -> Said {
        let append = event(&self.leased.slug, event_type, payload, self.offset).into_iter().collect();
        Said { lease: self.leased.lease.clone(), append, ..Said::default() }
    }
}
