//! What a client may send as an event.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cause::NamedCause;
use crate::control::Control;
use crate::deployment::{Deployment, Nowhere};
use crate::envelope::{Envelope, Members};
use crate::json;
use crate::limits;
use crate::line::Fragment;
use crate::path::StreamPath;
use crate::problem::Problem;
use crate::types;

/// An event on its way in: checked, and formatted as far as can be without the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its type.
    pub event_type: String,
    /// Its idempotency key.
    pub key: Option<String>,
    /// The offset it must get.
    pub expected: Option<u64>,
    /// What the client says caused it.
    pub cause: Option<NamedCause>,
    /// `"type":…,"payload":…` and, where given, `,"metadata":…` and `,"idempotencyKey":…`, on one line.
    pub fragment: String,
}

/// Who writes, and in which way.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// The name that goes to `metadata.tailrace.by`.
    pub by: Option<&'a str>,
    /// The stream that it comes from, if that is another one: it goes to `metadata.tailrace.from`.
    pub from: Option<&'a str>,
    /// Events are history from elsewhere, as read there.
    pub import: bool,
    /// The deployment that control events are checked against.
    pub deployment: &'a dyn Deployment,
}

impl Default for Writer<'_> {
    fn default() -> Self {
        Self { by: None, from: None, import: false, deployment: &Nowhere }
    }
}

/// Why a JSON object did not become an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It is not an event by the rules, but may be something else that is worth keeping.
    Foreign {
        /// The first field that does not fit.
        field: String,
        /// Why not.
        detail: String,
    },
    /// It was meant as an event and cannot be taken.
    Refused(Problem),
}

impl From<Problem> for Rejected {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// The key of the system's own metadata.
const SYSTEM_KEY: &str = "tailrace";

impl Envelope<'_> {
    /// Makes an event of it.
    ///
    /// # Errors
    /// [`Rejected`]: a body that was meant as a command is refused, any other that does not fit is foreign.
    pub fn into_event(self, writer: Writer) -> Result<NewEvent, Rejected> {
        if let (Some(inner), true) = (self.event, self.is_only_event()) {
            let inner: Envelope =
                serde_json::from_str(inner.get()).map_err(|_| foreign("event", "should be a JSON object"))?;
            // One level only: in there, a field `event` is one that events do not have.
            return inner.finish(writer);
        }
        self.finish(writer)
    }

    fn finish(self, writer: Writer) -> Result<NewEvent, Rejected> {
        let event_type: Option<Cow<str>> = self.event_type.and_then(|raw| string(raw.get()));
        self.build(event_type.as_deref(), writer).map_err(|rejected| match (rejected, event_type) {
            // A malformed command must not be kept as a stranger's body, as if it had been obeyed.
            (Rejected::Foreign { field, detail }, Some(event_type)) if types::is_command(&event_type) => {
                Rejected::Refused(Problem::InvalidControlEvent { field, detail })
            }
            (rejected, _) => rejected,
        })
    }

    fn is_only_event(&self) -> bool {
        let others = [
            self.event_type,
            self.payload,
            self.metadata,
            self.key,
            self.offset,
            self.cause,
            self.stream_path,
            self.created_at,
        ];
        self.odd.is_none() && others.iter().all(Option::is_none)
    }

    fn build(&self, event_type: Option<&str>, writer: Writer) -> Result<NewEvent, Rejected> {
        let Some(event_type) = event_type else {
            return Err(foreign("type", "should be a string"));
        };
        if let Some(odd) = &self.odd {
            return Err(foreign(odd, "an event has no such field, or has it once"));
        }
        for (name, value) in [("event", self.event), ("streamPath", self.stream_path), ("createdAt", self.created_at)] {
            if value.is_some() && (name == "event" || !writer.import) {
                return Err(foreign(name, "an event that is appended has no such field"));
            }
        }
        let key = self.read_key()?;
        let offset = match self.offset {
            None => None,
            Some(raw) => Some(raw.get().parse::<u64>().map_err(|_| foreign("offset", "should be an integer"))?),
        };
        let cause = self.read_cause()?;
        let (metadata, system) = self.read_metadata(writer)?;
        types::check_form(event_type)?;
        let payload = self.payload.map_or("{}", RawValue::get);

        let stored_type = if types::is_reserved(event_type) {
            if writer.import {
                Cow::Owned(format!("imported.{event_type}"))
            } else if types::is_control(event_type) {
                Control::check(event_type, payload, writer.deployment)?;
                Cow::Borrowed(event_type)
            } else {
                return Err(Problem::ReservedType { event_type: event_type.to_owned() }.into());
            }
        } else {
            if types::configures_tool(event_type) && !writer.import {
                Control::check(event_type, payload, writer.deployment)?;
            }
            Cow::Borrowed(event_type)
        };
        let origin = writer.import.then(|| self.origin(system));
        let fragment = Fragment {
            event_type: &stored_type,
            payload,
            metadata: metadata.as_deref(),
            system: system_metadata(writer.by, writer.from, origin.as_deref()),
            key: key.as_deref(),
        };
        Ok(NewEvent {
            fragment: fragment.to_text()?,
            event_type: stored_type.into_owned(),
            key,
            expected: if writer.import { None } else { offset },
            cause: if writer.import { None } else { cause },
        })
    }

    fn read_key(&self) -> Result<Option<String>, Rejected> {
        let Some(raw) = self.key else { return Ok(None) };
        let key: String =
            serde_json::from_str(raw.get()).map_err(|_| foreign("idempotencyKey", "should be a string"))?;
        let chars = key.chars().count();
        if chars == 0 || chars > limits::KEY_CHARS {
            let detail = format!("1 to {} characters", limits::KEY_CHARS);
            return Err(Problem::InvalidEvent { field: "idempotencyKey".into(), detail }.into());
        }
        Ok(Some(key))
    }

    fn read_cause(&self) -> Result<Option<NamedCause>, Rejected> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Named {
            stream_path: Option<String>,
            offset: u64,
            // An event as read has these; whoever hands it on may leave them in.
            #[serde(rename = "hops")]
            _hops: Option<u32>,
            #[serde(rename = "turns")]
            _turns: Option<u32>,
        }
        let Some(raw) = self.cause else { return Ok(None) };
        let named: Named =
            serde_json::from_str(raw.get()).map_err(|_| foreign("cause", "should be {streamPath?, offset}"))?;
        let stream_path = match named.stream_path {
            None => None,
            Some(text) => Some(StreamPath::from_decoded(&text).map_err(|problem| match problem {
                Problem::InvalidPath { detail } => Problem::InvalidEvent { field: "cause.streamPath".into(), detail },
                other => other,
            })?),
        };
        Ok(Some(NamedCause { stream_path, offset: named.offset }))
    }

    /// The client's metadata as text, and apart from it what an imported event's system said about it.
    fn read_metadata(&self, writer: Writer) -> Result<(Option<Cow<'_, str>>, Option<&RawValue>), Rejected> {
        let Some(raw) = self.metadata else { return Ok((None, None)) };
        if !raw.get().starts_with('{') {
            return Err(foreign("metadata", "should be a JSON object"));
        }
        if raw.get().len() > limits::METADATA_BYTES {
            return Err(Problem::TooLarge { what: "metadata in bytes", limit: limits::METADATA_BYTES }.into());
        }
        let members: Members =
            serde_json::from_str(raw.get()).map_err(|_| foreign("metadata", "should be a JSON object"))?;
        let Some((_, system)) = members.0.iter().find(|(name, _)| name == SYSTEM_KEY) else {
            return Ok((Some(Cow::Borrowed(raw.get())), None));
        };
        if !writer.import {
            let detail = "this key is the system's".to_owned();
            return Err(Problem::InvalidControlEvent { field: "metadata.tailrace".into(), detail }.into());
        }
        let own = members.0.iter().filter(|(name, _)| name != SYSTEM_KEY);
        let own: Vec<String> = own.map(|(name, value)| format!("{}:{}", json::quoted(name), value.get())).collect();
        Ok(((!own.is_empty()).then(|| Cow::Owned(format!("{{{}}}", own.join(",")))), Some(system)))
    }

    /// Where an imported event stood: `{"offset":…,"streamPath":…,"createdAt":…,"cause":…}`.
    fn origin(&self, system: Option<&RawValue>) -> String {
        let mut out = String::from("{");
        for (name, value) in [
            ("offset", self.offset),
            ("streamPath", self.stream_path),
            ("createdAt", self.created_at),
            ("cause", self.cause),
            (SYSTEM_KEY, system),
        ] {
            if let Some(value) = value {
                let separator = if out.len() > 1 { "," } else { "" };
                let _ = write!(out, "{separator}\"{name}\":{}", value.get());
            }
        }
        out.push('}');
        out
    }
}

/// The value of a JSON string, borrowed when nothing in it is escaped.
fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.bytes().any(|byte| byte == b'\\') {
        serde_json::from_str(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

fn foreign(field: &str, detail: &str) -> Rejected {
    Rejected::Foreign { field: field.to_owned(), detail: detail.to_owned() }
}

/// What the system says about an event: `{"by":…,"origin":…}`; `None` when there is nothing to say.
fn system_metadata(by: Option<&str>, from: Option<&str>, origin: Option<&str>) -> Option<String> {
    let by = by.map(|by| format!("\"by\":{}", json::quoted(by)));
    let from = from.map(|from| format!("\"from\":{}", json::quoted(from)));
    let origin = origin.map(|origin| format!("\"origin\":{origin}"));
    let members: Vec<String> = [by, from, origin].into_iter().flatten().collect();
    (!members.is_empty()).then(|| format!("{{{}}}", members.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{StoredEvent, push_line, type_of_line};

    fn event(text: &str) -> Result<NewEvent, Rejected> {
        serde_json::from_str::<Envelope>(text).unwrap().into_event(Writer::default())
    }

    fn foreign_field(text: &str) -> String {
        match event(text) {
            Err(Rejected::Foreign { field, .. }) => field,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn refused(text: &str) -> Problem {
        match event(text) {
            Err(Rejected::Refused(problem)) => problem,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn an_event_becomes_one_line_with_what_was_given() {
        let new = event(
            "{\"type\":\"m\", \"payload\": {\"a\": [1,\n2]}, \"metadata\":{\"k\":1}, \"idempotencyKey\":\"x\\ty\", \"offset\": 5, \"cause\":{\"offset\":3}}",
        )
        .unwrap();
        assert_eq!(new.fragment, r#""type":"m","payload":{"a":[1,2]},"metadata":{"k":1},"idempotencyKey":"x\ty""#);
        assert_eq!((new.expected, new.key.as_deref()), (Some(5), Some("x\ty")));
        let mut line = String::new();
        push_line(&mut line, Some(5), &new.fragment, None, "\"/a\"", "2026-01-01T00:00:00.000Z");
        let stored = StoredEvent::parse(&line).unwrap();
        assert_eq!((stored.offset, stored.payload.get()), (5, r#"{"a":[1,2]}"#));
        assert_eq!(type_of_line(&line).unwrap(), "m");
    }

    #[test]
    fn absent_payload_is_an_empty_object_and_null_is_null() {
        assert_eq!(event(r#"{"type":"m"}"#).unwrap().fragment, r#""type":"m","payload":{}"#);
        assert_eq!(event(r#"{"type":"m","payload":null}"#).unwrap().fragment, r#""type":"m","payload":null"#);
        assert_eq!(event(r#"{"event":{"type":"m"}}"#).unwrap().fragment, r#""type":"m","payload":{}"#);
    }

    #[test]
    fn what_is_not_an_event_is_foreign_and_says_why() {
        for (text, field) in [
            ("{}", "type"),
            (r#"{"type":5}"#, "type"),
            (r#"{"type":"charge.succeeded","id":"evt_1"}"#, "id"),
            (r#"{"type":"a","type":"b"}"#, "type"),
            (r#"{"type":"a","metadata":[]}"#, "metadata"),
            (r#"{"type":"a","offset":"5"}"#, "offset"),
            (r#"{"type":"a","idempotencyKey":5}"#, "idempotencyKey"),
            (r#"{"type":"a","cause":5}"#, "cause"),
            (r#"{"type":"a","createdAt":"x"}"#, "createdAt"),
            (r#"{"event":5}"#, "event"),
        ] {
            assert_eq!(foreign_field(text), field, "{text}");
        }
    }

    #[test]
    fn a_malformed_command_is_refused() {
        for text in [
            r#"{"type":"stream.paused","reason":"x"}"#,
            r#"{"type":"agent.input-added","content":"x"}"#,
            r#"{"type":"tool.requested","metadata":5}"#,
            r#"{"type":"breaker.configured","payload":{"limit":"many"}}"#,
            r#"{"type":"m","metadata":{"tailrace":{}}}"#,
            r#"{"type":"m","metadata":{"tailrace":null}}"#,
        ] {
            assert_eq!(refused(text).code().name, "invalid_control_event", "{text}");
        }
        for text in [r#"{"type":"stream.created"}"#, r#"{"type":"stream.anything"}"#, r#"{"type":"webhook.received"}"#]
        {
            assert_eq!(refused(text).code().name, "reserved_type", "{text}");
        }
        assert_eq!(refused(r#"{"type":"a\r\nb"}"#).code().name, "invalid_event");
    }

    #[test]
    fn an_event_is_unwrapped_once() {
        let nested = format!("{}{}{}", r#"{"event":"#.repeat(5_000), r#"{"type":"a"}"#, "}".repeat(5_000));
        assert_eq!(foreign_field(&nested), "type");
    }

    #[test]
    fn what_is_given_as_null_is_not_given() {
        let new =
            event(r#"{"type":"m","payload":null,"metadata":null,"idempotencyKey":null,"offset":null,"cause":null}"#);
        assert_eq!(new.unwrap().fragment, r#""type":"m","payload":null"#);
    }

    #[test]
    fn what_the_system_said_elsewhere_is_part_of_where_an_event_comes_from() {
        let text = r#"{"type":"m","metadata":{"tailrace":{"by":"x"},"k":1}}"#;
        let writer = Writer { import: true, ..Writer::default() };
        let new = serde_json::from_str::<Envelope>(text).unwrap().into_event(writer).unwrap();
        assert_eq!(
            new.fragment,
            r#""type":"m","payload":{},"metadata":{"k":1,"tailrace":{"origin":{"tailrace":{"by":"x"}}}}"#
        );
    }

    #[test]
    fn who_wrote_and_where_from_goes_to_the_systems_metadata() {
        let text =
            r#"{"offset":7,"type":"stream.paused","payload":{},"metadata":{"a":1},"streamPath":"/x","createdAt":"t"}"#;
        let writer = Writer { by: Some("bob"), import: true, ..Writer::default() };
        let new = serde_json::from_str::<Envelope>(text).unwrap().into_event(writer).unwrap();
        assert_eq!(
            new.fragment,
            r#""type":"imported.stream.paused","payload":{},"metadata":{"a":1,"tailrace":{"by":"bob","origin":{"offset":7,"streamPath":"/x","createdAt":"t"}}}"#
        );
        assert_eq!(new.expected, None);
    }
}
