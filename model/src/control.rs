//! Control events: what their payloads may say. There is no other way to configure a stream.

pub mod agent;
mod fields;
pub mod javascript;
pub mod schedule;
pub mod subscription;
pub mod tool;
pub mod webhook;

use serde_json::{Map, Value};

use crate::deployment::Deployment;
use crate::limits;
use crate::problem::Problem;
use fields::{Fields, invalid};
pub use schedule::Schedule;
pub use subscription::{Subscription, Target};
pub use tool::Tool;
pub use webhook::Webhook;

/// A control event, understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// `stream.created`: the first event of every stream.
    Created {
        /// The stream's path.
        path: String,
        /// The name of this life of it.
        generation: String,
    },
    /// `stream.metadata-updated`.
    MetadataUpdated {
        /// A JSON merge patch (RFC 7396).
        patch: Map<String, Value>,
    },
    /// `stream.paused`.
    Paused {
        /// Why, in words.
        reason: Option<String>,
        /// What the breaker saw, if it was the breaker.
        breaker: Option<Value>,
        /// Holds for every stream below too.
        children: bool,
    },
    /// `stream.resumed`.
    Resumed {
        /// Holds for every stream below too.
        children: bool,
    },
    /// `breaker.configured`.
    BreakerConfigured {
        /// Events per window; `None` turns the breaker off.
        limit: Option<u64>,
        /// The window's length.
        window_ms: u64,
        /// Holds for every stream below too.
        children: bool,
    },
    /// `schedule.configured`.
    ScheduleConfigured(Box<Schedule>),
    /// `schedule.removed`.
    ScheduleRemoved {
        /// Which.
        slug: String,
        /// Holds for every stream below too.
        children: bool,
    },
    /// `schedule.ended`.
    ScheduleEnded {
        /// Which.
        slug: String,
    },
    /// `subscription.configured`.
    SubscriptionConfigured(Box<Subscription>),
    /// `subscription.removed`.
    SubscriptionRemoved {
        /// Which.
        slug: String,
        /// Holds for every stream below too.
        children: bool,
    },
    /// `subscription.halted`.
    SubscriptionHalted {
        /// Which.
        slug: String,
        /// Why.
        reason: String,
        /// The first event that was not delivered.
        offset: u64,
        /// The HTTP status of the last answer, if there was one.
        last_status: Option<u64>,
    },
    /// `subscription.resumed`.
    SubscriptionResumed(Resume),
    /// `webhook.configured`.
    WebhookConfigured(Box<Webhook>),
    /// `tool.configured`.
    ToolConfigured(Box<Tool>),
    /// `tool.removed`.
    ToolRemoved {
        /// Which.
        name: String,
        /// Holds for every stream below too.
        children: bool,
    },
    /// `webhook.removed`.
    WebhookRemoved {
        /// Which.
        slug: String,
        /// Holds for every stream below too.
        children: bool,
    },
}

/// How a subscription goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Which.
    pub slug: String,
    /// From this offset again; `None` = where it stands.
    pub from: Option<u64>,
    /// What was delivered before is to be done again, not only folded.
    pub redo: bool,
    /// Past the one event at which it stands.
    pub skip: bool,
}

impl Control {
    /// Checks an event that a client wants to append. `None` when the type is not a control event's.
    ///
    /// # Errors
    /// [`Problem::InvalidControlEvent`] naming the first field that is unknown, missing or not right.
    pub fn check(event_type: &str, payload: &str, deployment: &dyn Deployment) -> Result<Option<Self>, Problem> {
        let mut fields = Fields::new(payload)?;
        let control = Self::from_fields(event_type, &mut fields)?;
        if control.is_some() {
            fields.finish()?;
        }
        if let Some(Self::SubscriptionConfigured(subscription)) = &control {
            subscription.check(deployment)?;
        }
        if let Some(Self::ToolConfigured(tool)) = &control
            && let Some(subscription) = tool.subscription()
        {
            subscription.check(deployment).map_err(|problem| match problem {
                Problem::InvalidControlEvent { field, detail } => {
                    Problem::InvalidControlEvent { field: field.replace("target.url", "url"), detail }
                }
                other => other,
            })?;
        }
        if let Some(Self::WebhookConfigured(webhook)) = &control {
            webhook.check(deployment)?;
        }
        Ok(control)
    }

    /// Understands a stored event; fields that only the system writes are allowed. `None` when it is not a control event.
    #[must_use]
    pub fn read(event_type: &str, payload: &str) -> Option<Self> {
        let mut fields = Fields::new(payload).ok()?;
        match event_type {
            "stream.created" => {
                return Some(Self::Created {
                    path: fields.text("path", limits::PATH_BYTES).ok()??,
                    generation: fields.text("generation", limits::KEY_CHARS).ok()??,
                });
            }
            "schedule.ended" => return Some(Self::ScheduleEnded { slug: fields.slug().ok()? }),
            "subscription.halted" => {
                return Some(Self::SubscriptionHalted {
                    slug: fields.slug().ok()?,
                    reason: fields.text("reason", limits::EVENT_BYTES).ok()?.unwrap_or_default(),
                    offset: fields.integer("offset", 0..=u64::MAX, 0).ok()?,
                    last_status: fields.optional_integer("lastStatus", 0..=999).ok()?,
                });
            }
            _ => {}
        }
        let breaker = fields.rest.remove("breaker");
        match Self::from_fields(event_type, &mut fields).ok()?? {
            Self::Paused { reason, children, .. } => Some(Self::Paused { reason, breaker, children }),
            other => Some(other),
        }
    }

    /// True when the event holds for every stream below as well.
    #[must_use]
    pub fn holds_for_children(&self) -> bool {
        match self {
            Self::Created { .. }
            | Self::MetadataUpdated { .. }
            | Self::ScheduleEnded { .. }
            | Self::SubscriptionHalted { .. }
            | Self::SubscriptionResumed(_) => false,
            Self::ScheduleConfigured(schedule) => schedule.children,
            Self::SubscriptionConfigured(subscription) => subscription.children,
            Self::WebhookConfigured(webhook) => webhook.children,
            Self::ToolConfigured(tool) => tool.children,
            Self::Paused { children, .. }
            | Self::Resumed { children }
            | Self::BreakerConfigured { children, .. }
            | Self::ScheduleRemoved { children, .. }
            | Self::SubscriptionRemoved { children, .. }
            | Self::ToolRemoved { children, .. }
            | Self::WebhookRemoved { children, .. } => *children,
        }
    }

    /// What the event is about, where a later one on the same subject takes the place of an earlier one.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        match self {
            Self::Paused { .. } | Self::Resumed { .. } => Some("paused".to_owned()),
            Self::BreakerConfigured { .. } => Some("breaker".to_owned()),
            Self::ScheduleConfigured(schedule) => Some(format!("schedule:{}", schedule.slug)),
            Self::ScheduleRemoved { slug, .. } => Some(format!("schedule:{slug}")),
            Self::SubscriptionConfigured(subscription) => Some(format!("subscription:{}", subscription.slug)),
            Self::SubscriptionRemoved { slug, .. } => Some(format!("subscription:{slug}")),
            Self::WebhookConfigured(webhook) => Some(format!("webhook:{}", webhook.slug)),
            Self::WebhookRemoved { slug, .. } => Some(format!("webhook:{slug}")),
            Self::ToolConfigured(tool) => Some(format!("tool:{}", tool.name)),
            Self::ToolRemoved { name, .. } => Some(format!("tool:{name}")),
            Self::Created { .. }
            | Self::MetadataUpdated { .. }
            | Self::ScheduleEnded { .. }
            | Self::SubscriptionHalted { .. }
            | Self::SubscriptionResumed(_) => None,
        }
    }

    fn from_fields(event_type: &str, fields: &mut Fields) -> Result<Option<Self>, Problem> {
        Ok(Some(match event_type {
            "stream.metadata-updated" => Self::MetadataUpdated { patch: fields.object("metadata")? },
            "stream.paused" => Self::Paused {
                reason: fields.text("reason", limits::REASON_BYTES)?,
                breaker: None,
                children: fields.flag("children")?,
            },
            "stream.resumed" => {
                fields.text("reason", limits::REASON_BYTES)?;
                Self::Resumed { children: fields.flag("children")? }
            }
            "breaker.configured" => Self::BreakerConfigured {
                limit: fields.integer_or_null("limit", 1..=limits::BREAKER_LIMIT_MAX, limits::BREAKER_LIMIT)?,
                window_ms: fields.integer("windowMs", 1..=limits::BREAKER_WINDOW_MS_MAX, limits::BREAKER_WINDOW_MS)?,
                children: fields.flag("children")?,
            },
            "schedule.configured" => Self::ScheduleConfigured(Box::new(Schedule::from_fields(fields)?)),
            "schedule.removed" => Self::ScheduleRemoved { slug: fields.slug()?, children: fields.flag("children")? },
            "subscription.configured" => Self::SubscriptionConfigured(Box::new(Subscription::from_fields(fields)?)),
            "subscription.removed" => {
                Self::SubscriptionRemoved { slug: fields.slug()?, children: fields.flag("children")? }
            }
            "webhook.configured" => Self::WebhookConfigured(Box::new(Webhook::from_fields(fields)?)),
            "webhook.removed" => Self::WebhookRemoved { slug: fields.slug()?, children: fields.flag("children")? },
            "tool.configured" => Self::ToolConfigured(Box::new(Tool::from_fields(fields)?)),
            "tool.removed" => Self::ToolRemoved { name: tool::name_from(fields)?, children: fields.flag("children")? },
            "subscription.resumed" => Self::SubscriptionResumed(resume_from(fields)?),
            _ => return Ok(None),
        }))
    }
}

fn resume_from(fields: &mut Fields) -> Result<Resume, Problem> {
    let slug = fields.slug()?;
    let from = fields.optional_integer("from", 1..=1 << 53)?;
    let resume = Resume { slug, from, redo: fields.flag("redo")?, skip: fields.flag("skip")? };
    if resume.redo && resume.from.is_none() {
        return Err(invalid("redo", "only together with from"));
    }
    if resume.skip && resume.from.is_some() {
        return Err(invalid("skip", "not together with from"));
    }
    Ok(resume)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_refused(event_type: &str, payload: &str) -> Option<String> {
        match Control::check(event_type, payload, &crate::deployment::Nowhere) {
            Err(Problem::InvalidControlEvent { field, .. }) => Some(field),
            _ => None,
        }
    }

    #[test]
    fn the_first_field_that_is_not_right_is_named() {
        for (event_type, payload, field) in [
            ("stream.paused", r#"{"reason":1}"#, "payload.reason"),
            ("stream.paused", r#"{"reson":"x"}"#, "payload.reson"),
            ("stream.paused", r#"{"breaker":{}}"#, "payload.breaker"),
            ("stream.paused", "[]", "payload"),
            ("stream.resumed", r#"{"children":"yes"}"#, "payload.children"),
            ("breaker.configured", r#"{"limit":0}"#, "payload.limit"),
            ("breaker.configured", r#"{"limit":1.5}"#, "payload.limit"),
            ("breaker.configured", r#"{"windowMs":60001}"#, "payload.windowMs"),
            ("breaker.configured", r#"{"windowMs":null}"#, "payload.windowMs"),
            ("stream.metadata-updated", "{}", "payload.metadata"),
            ("stream.metadata-updated", r#"{"metadata":[]}"#, "payload.metadata"),
        ] {
            assert_eq!(field_refused(event_type, payload).as_deref(), Some(field), "{event_type} {payload}");
        }
    }

    #[test]
    fn a_breaker_has_defaults_and_can_be_off() {
        let limit = |payload| match Control::check("breaker.configured", payload, &crate::deployment::Nowhere) {
            Ok(Some(Control::BreakerConfigured { limit, window_ms, .. })) => (limit, window_ms),
            other => panic!("{other:?}"),
        };
        assert_eq!(limit("{}"), (Some(100), 1_000));
        assert_eq!(limit(r#"{"limit":5,"windowMs":60000}"#), (Some(5), 60_000));
        assert_eq!(limit(r#"{"limit":null}"#), (None, 1_000));
    }

    #[test]
    fn what_the_system_wrote_is_read_back() {
        let paused = Control::read("stream.paused", r#"{"reason":"r","breaker":{"limit":1}}"#);
        assert!(matches!(paused, Some(Control::Paused { breaker: Some(_), .. })));
        let created = Control::read("stream.created", r#"{"path":"/a","generation":"g"}"#);
        assert_eq!(created, Some(Control::Created { path: "/a".into(), generation: "g".into() }));
        assert_eq!(Control::read("message", "{}"), None);
    }
}
