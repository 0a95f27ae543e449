//! Control events: what their payloads may say. There is no other way to configure a stream.

use serde_json::{Map, Value};

use crate::limits;
use crate::problem::Problem;

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
}

impl Control {
    /// Checks an event that a client wants to append. `None` when the type is not a control event's.
    ///
    /// # Errors
    /// [`Problem::InvalidControlEvent`] naming the first field that is unknown, missing or not right.
    pub fn check(event_type: &str, payload: &str) -> Result<Option<Self>, Problem> {
        let mut fields = Fields::new(payload)?;
        let control = Self::from_fields(event_type, &mut fields)?;
        if control.is_some() {
            fields.finish()?;
        }
        Ok(control)
    }

    /// Understands a stored event; fields that only the system writes are allowed. `None` when it is not a control event.
    #[must_use]
    pub fn read(event_type: &str, payload: &str) -> Option<Self> {
        let mut fields = Fields::new(payload).ok()?;
        if event_type == "stream.created" {
            return Some(Self::Created {
                path: fields.text("path", limits::PATH_BYTES).ok()??,
                generation: fields.text("generation", limits::KEY_CHARS).ok()??,
            });
        }
        let breaker = fields.0.remove("breaker");
        match Self::from_fields(event_type, &mut fields).ok()?? {
            Self::Paused { reason, children, .. } => Some(Self::Paused { reason, breaker, children }),
            other => Some(other),
        }
    }

    /// True when the event holds for every stream below as well.
    #[must_use]
    pub fn holds_for_children(&self) -> bool {
        match self {
            Self::Created { .. } | Self::MetadataUpdated { .. } => false,
            Self::Paused { children, .. } | Self::Resumed { children } | Self::BreakerConfigured { children, .. } => {
                *children
            }
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
            _ => return Ok(None),
        }))
    }
}

/// The fields of a payload that are not read yet.
struct Fields(Map<String, Value>);

impl Fields {
    fn new(payload: &str) -> Result<Self, Problem> {
        match serde_json::from_str(payload) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            _ => Err(invalid("payload", "a JSON object")),
        }
    }

    fn text(&mut self, name: &str, max_bytes: usize) -> Result<Option<String>, Problem> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() <= max_bytes => Ok(Some(text)),
            Some(_) => Err(invalid(name, format!("a string of at most {max_bytes} bytes"))),
        }
    }

    fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(invalid(name, "true or false")),
        }
    }

    fn object(&mut self, name: &str) -> Result<Map<String, Value>, Problem> {
        match self.0.remove(name) {
            Some(Value::Object(object)) => Ok(object),
            _ => Err(invalid(name, "a JSON object")),
        }
    }

    fn integer(&mut self, name: &str, range: std::ops::RangeInclusive<u64>, default: u64) -> Result<u64, Problem> {
        match self.0.remove(name) {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .filter(|number| range.contains(number))
                .ok_or_else(|| invalid(name, format!("an integer from {} to {}", range.start(), range.end()))),
        }
    }

    fn integer_or_null(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<u64>,
        default: u64,
    ) -> Result<Option<u64>, Problem> {
        if self.0.get(name).is_some_and(Value::is_null) {
            self.0.remove(name);
            return Ok(None);
        }
        self.integer(name, range, default).map(Some)
    }

    fn finish(self) -> Result<(), Problem> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(invalid(unknown, "this event has no such field")),
        }
    }
}

fn invalid(field: &str, detail: impl Into<String>) -> Problem {
    // Inside the event these are fields of its payload.
    let field = if field == "payload" { field.to_owned() } else { format!("payload.{field}") };
    Problem::InvalidControlEvent { field, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_refused(event_type: &str, payload: &str) -> Option<String> {
        match Control::check(event_type, payload) {
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
        let limit = |payload| match Control::check("breaker.configured", payload) {
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
