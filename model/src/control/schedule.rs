//! `schedule.configured`: an event to append later, once or again and again.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::fields::{Fields, invalid};
use crate::duration;
use crate::envelope::Envelope;
use crate::event::{Rejected, Writer};
use crate::limits;
use crate::line::Fragment;
use crate::problem::Problem;
use crate::schedule::{CronError, When};
use crate::time::{Millis, from_rfc3339, to_rfc3339};
use crate::types::{self, Power};

/// A schedule as it is configured. The event itself is not here: it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Its name within the stream.
    pub slug: String,
    /// When it fires.
    pub when: When,
    /// It ends after so many occurrences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runs: Option<u64>,
    /// It ends with the last occurrence up to this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
    /// The type of the event that it appends.
    pub event_type: String,
    /// Holds for every stream below too.
    #[serde(default)]
    pub children: bool,
}

impl Schedule {
    pub(super) fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        let slug = fields.slug()?;
        let event_type = event_from(fields)?;
        let when = when_from(fields)?;
        let max_runs = fields.optional_integer("maxRuns", 1..=1 << 53)?;
        let until = instant(fields, "until")?;
        if let (When::At(at), Some(until)) = (&when, until)
            && *at > until
        {
            return Err(invalid("until", "not before at"));
        }
        Ok(Self { slug, when, max_runs, until, event_type, children: fields.flag("children")? })
    }

    /// The schedule as people read it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Map<String, Value> {
        let mut out = serde_json::Map::new();
        let (name, value) = match &self.when {
            When::At(at) => ("at", json!(to_rfc3339(*at))),
            When::After(ms) => ("after", json!(ms)),
            When::Every(ms) => ("every", json!(ms)),
            When::Cron { expression, .. } => ("cron", json!(expression)),
        };
        out.insert("slug".to_owned(), json!(self.slug));
        out.insert(name.to_owned(), value);
        if let When::Cron { timezone: Some(timezone), .. } = &self.when {
            out.insert("timezone".to_owned(), json!(timezone));
        }
        if let Some(runs) = self.max_runs {
            out.insert("maxRuns".to_owned(), json!(runs));
        }
        if let Some(until) = self.until {
            out.insert("until".to_owned(), json!(to_rfc3339(until)));
        }
        out.insert("event".to_owned(), json!({"type": self.event_type}));
        if self.children {
            out.insert("children".to_owned(), json!(true));
        }
        out
    }
}

fn when_from(fields: &mut Fields) -> Result<When, Problem> {
    let at = instant(fields, "at")?;
    let after = span(fields, "after", 0)?;
    let every = span(fields, "every", limits::SCHEDULE_EVERY_MS_MIN)?;
    let cron = fields.text("cron", limits::CRON_BYTES)?;
    let timezone = fields.text("timezone", limits::CRON_BYTES)?;
    if timezone.is_some() && cron.is_none() {
        return Err(invalid("timezone", "only with cron; the others are the same everywhere"));
    }
    match (at, after, every, cron) {
        (Some(at), None, None, None) => Ok(When::At(at)),
        (None, Some(ms), None, None) => Ok(When::After(ms)),
        (None, None, Some(ms), None) => Ok(When::Every(ms)),
        (None, None, None, Some(cron)) => When::cron(&cron, timezone.as_deref()).map_err(|error| match error {
            CronError::Expression(detail) => invalid("cron", detail),
            CronError::Timezone(detail) => invalid("timezone", detail),
        }),
        (None, None, None, None) => Err(invalid("at", "one of at, after, every and cron")),
        (_, Some(_), ..) => Err(invalid("after", "only one of at, after, every and cron")),
        (_, _, Some(_), _) => Err(invalid("every", "only one of at, after, every and cron")),
        (_, _, _, Some(_)) => Err(invalid("cron", "only one of at, after, every and cron")),
    }
}

fn instant(fields: &mut Fields, name: &str) -> Result<Option<Millis>, Problem> {
    let text = match fields.take(name) {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        Some(_) => String::new(),
    };
    match from_rfc3339(&text).filter(|at| (0..limits::LATEST_MS).contains(at)) {
        Some(at) => Ok(Some(at)),
        None => Err(invalid(name, "an instant by RFC 3339, like 2026-01-31T12:00:00Z")),
    }
}

/// Milliseconds as a number, or an ISO 8601 duration.
fn span(fields: &mut Fields, name: &str, least: u64) -> Result<Option<u64>, Problem> {
    let ms = match fields.take(name) {
        None => return Ok(None),
        Some(Value::String(text)) => duration::parse(&text),
        Some(value) => value.as_u64(),
    };
    match ms.filter(|ms| (least..=limits::SCHEDULE_SPAN_MS_MAX).contains(ms)) {
        Some(ms) => Ok(Some(ms)),
        None => Err(invalid(
            name,
            format!(
                "milliseconds, or an ISO 8601 duration like PT1H30M (weeks, days, hours, minutes, seconds), from {least} ms to 100 years"
            ),
        )),
    }
}

/// Checks the event inside and returns its type.
fn event_from(fields: &mut Fields) -> Result<String, Problem> {
    let Some(event) = fields.take("event") else { return Err(invalid("event", "an event: {\"type\", \"payload\"?}")) };
    let text = event.to_string();
    if text.len() > limits::SCHEDULED_EVENT_BYTES {
        return Err(invalid("event", format!("at most {} bytes", limits::SCHEDULED_EVENT_BYTES)));
    }
    if let Some(Value::String(event_type)) = event.get("type")
        && (types::is_reserved(event_type) || types::power_for(event_type) != Power::Append)
    {
        return Err(invalid("event.type", "a schedule cannot append control events, nor configure or approve tools"));
    }
    if let Some(odd) = ["offset", "cause", "idempotencyKey", "event"].into_iter().find(|it| event.get(it).is_some()) {
        return Err(invalid(&format!("event.{odd}"), "a scheduled event has type, payload and metadata"));
    }
    let envelope: Envelope =
        serde_json::from_str(&text).map_err(|_| invalid("event", "an event: {\"type\", \"payload\"?}"))?;
    match envelope.into_event(Writer::default()) {
        Ok(event) => Ok(event.event_type),
        Err(
            Rejected::Foreign { field, detail }
            | Rejected::Refused(Problem::InvalidEvent { field, detail } | Problem::InvalidControlEvent { field, detail }),
        ) => Err(invalid(&format!("event.{field}"), detail)),
        Err(Rejected::Refused(problem)) => Err(problem),
    }
}

/// What a schedule's event is made of at one occurrence: its type and the part of its line that does not depend on the
/// stream. `payload` is that of the `schedule.configured` event; `None` when it is none.
#[must_use]
pub fn occurrence(payload: &str, slug: &str, scheduled_for: Millis, run: u64) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Configured<'a> {
        #[serde(borrow)]
        event: Inner<'a>,
    }
    #[derive(Deserialize)]
    struct Inner<'a> {
        #[serde(rename = "type")]
        event_type: String,
        #[serde(borrow, default)]
        payload: Option<&'a RawValue>,
        #[serde(borrow, default)]
        metadata: Option<&'a RawValue>,
    }
    let Inner { event_type, payload, metadata } = serde_json::from_str::<Configured>(payload).ok()?.event;
    let system = json!({
        "by": format!("schedule:{slug}"),
        "schedule": {"slug": slug, "scheduledFor": to_rfc3339(scheduled_for), "run": run},
    });
    let fragment = Fragment {
        event_type: &event_type,
        payload: payload.map_or("{}", RawValue::get),
        metadata: metadata.map(RawValue::get).filter(|it| *it != "null"),
        system: Some(system.to_string()),
        key: None,
    };
    Some((event_type.clone(), fragment.to_text().ok()?))
}
