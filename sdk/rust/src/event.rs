//! Events: as they are read, and as they are written.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::Error;

/// An event of a stream. `P` is the payload's type: any JSON, or one's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<P = Value> {
    /// Its place in the stream: 1, 2, 3 … without gaps.
    pub offset: u64,
    /// What kind of event it is.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What it says.
    pub payload: P,
    /// What else its writer said; the key `tailrace` is the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Who writes the same again with this key writes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The event that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The stream in which it stands.
    pub stream_path: String,
    /// When it was written (RFC 3339).
    pub created_at: String,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The event that another follows from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The stream in which it stands; `None` = the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_path: Option<String>,
    /// Its offset.
    pub offset: u64,
    /// How often the chain of causes went from stream to stream. Only the system says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hops: Option<u32>,
    /// How many turns of a model the chain has. Only the system says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<u32>,
}

/// What is sent to those who follow live, and kept nowhere: it has no offset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ephemeral {
    /// What kind of event it is.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What it says.
    #[serde(default)]
    pub payload: Value,
    /// All its other fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl<P> Event<P> {
    /// The same event with another payload.
    pub fn map<Q>(self, change: impl FnOnce(P) -> Q) -> Event<Q> {
        Event {
            offset: self.offset,
            event_type: self.event_type,
            payload: change(self.payload),
            metadata: self.metadata,
            idempotency_key: self.idempotency_key,
            cause: self.cause,
            stream_path: self.stream_path,
            created_at: self.created_at,
            other: self.other,
        }
    }
}

impl Event {
    /// The payload as a type of one's own.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is not of that form.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(&self.payload).map_err(|error| self.not_as(&error))
    }

    /// The event with its payload as a type of one's own.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the payload is not of that form.
    pub fn typed<T: DeserializeOwned>(self) -> Result<Event<T>, Error> {
        let payload = self.payload_as()?;
        Ok(self.map(|_| payload))
    }

    /// Type and payload as one value, for an enum of one's own events:
    ///
    /// ```
    /// # use serde::Deserialize;
    /// # use tailrace_sdk::{Event, json};
    /// #[derive(Deserialize)]
    /// #[serde(tag = "type", content = "payload", rename_all = "snake_case")]
    /// enum Mine {
    ///     Message { text: String },
    ///     Stopped {},
    ///     #[serde(untagged)]
    ///     Unknown(serde_json::Value),
    /// }
    /// # let event: Event = serde_json::from_value(json!({"offset": 1, "type": "message", "payload": {"text": "hi"},
    /// #     "streamPath": "/a", "createdAt": "2026-01-01T00:00:00.000Z"})).unwrap();
    /// match event.read_as::<Mine>()? {
    ///     Mine::Message { text } => println!("{text}"),
    ///     Mine::Stopped {} | Mine::Unknown(_) => {}
    /// }
    /// # Ok::<(), tailrace_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] when the enum has no place for it.
    pub fn read_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let both = json!({"type": self.event_type, "payload": self.payload});
        serde_json::from_value(both).map_err(|error| self.not_as(&error))
    }

    fn not_as(&self, error: &serde_json::Error) -> Error {
        Error::Invalid(format!("event {} of {} ({}): {error}", self.offset, self.stream_path, self.event_type))
    }
}

/// An event to be appended. `("message", json!({"text": "hello"}))` is one, and so is `"message"`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewEvent {
    /// What kind of event it is.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What it says; `None` = `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// What else is to be said: an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Whatever else is written with this key is a repetition. Made at random if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// It is only written if it gets this offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The event that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The stream it goes to, if it is another one; only for what a processor appends. May be relative: `../billing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_path: Option<String>,
}

impl NewEvent {
    /// One of this type, with an empty payload.
    pub fn new(event_type: impl Into<String>) -> Self {
        Self { event_type: event_type.into(), ..Self::default() }
    }

    /// With this payload.
    #[must_use]
    pub fn payload(self, payload: Value) -> Self {
        Self { payload: Some(payload), ..self }
    }

    /// With a payload of one's own type.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it cannot be JSON.
    pub fn typed(self, payload: &impl Serialize) -> Result<Self, Error> {
        let payload = serde_json::to_value(payload).map_err(|error| Error::Invalid(format!("payload: {error}")))?;
        Ok(self.payload(payload))
    }

    /// With this metadata.
    #[must_use]
    pub fn metadata(self, metadata: Map<String, Value>) -> Self {
        Self { metadata: Some(metadata), ..self }
    }

    /// With this idempotency key.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { idempotency_key: Some(key.into()), ..self }
    }

    /// Only if it gets this offset.
    #[must_use]
    pub fn at(self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self }
    }

    /// Because of an event, of the same stream or another.
    #[must_use]
    pub fn because(self, event: &Event) -> Self {
        let cause = Cause { stream_path: Some(event.stream_path.clone()), offset: event.offset, ..Cause::default() };
        Self { cause: Some(cause), ..self }
    }

    /// To another stream; only for what a processor appends.
    #[must_use]
    pub fn to(self, stream_path: impl Into<String>) -> Self {
        Self { stream_path: Some(stream_path.into()), ..self }
    }
}

impl From<&str> for NewEvent {
    fn from(event_type: &str) -> Self {
        Self::new(event_type)
    }
}

impl<T: Into<String>> From<(T, Value)> for NewEvent {
    fn from((event_type, payload): (T, Value)) -> Self {
        Self::new(event_type).payload(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "type", content = "payload", rename_all = "snake_case")]
    enum Mine {
        Message {
            text: String,
        },
        #[serde(untagged)]
        Unknown(Value),
    }

    fn read(text: &str) -> Event {
        serde_json::from_str(text).unwrap()
    }

    const LINE: &str = r#"{"offset":7,"type":"message","payload":{"text":"hi"},"metadata":{"a":1},"idempotencyKey":"k","cause":{"streamPath":"/a","offset":3,"hops":1,"turns":0},"streamPath":"/b","createdAt":"2026-01-01T00:00:00.000Z","new":[1]}"#;

    #[test]
    fn what_is_read_is_written_again_with_fields_of_tomorrow() {
        let event = read(LINE);
        assert_eq!(event.other["new"], json!([1]));
        assert_eq!(serde_json::to_value(&event).unwrap(), serde_json::from_str::<Value>(LINE).unwrap());
    }

    #[test]
    fn own_types_are_read_and_unknown_ones_pass() {
        let mut event = read(LINE);
        assert_eq!(event.read_as::<Mine>().unwrap(), Mine::Message { text: "hi".into() });
        assert_eq!(event.clone().typed::<Map<String, Value>>().unwrap().payload["text"], "hi");
        event.payload = json!(5);
        assert!(event.payload_as::<String>().is_err());
        event.event_type = "foreign".into();
        assert_eq!(event.read_as::<Mine>().unwrap(), Mine::Unknown(json!({"type": "foreign", "payload": 5})));
    }

    #[test]
    fn what_was_not_said_is_not_sent() {
        let text = |event: NewEvent| serde_json::to_string(&event).unwrap();
        assert_eq!(text("a".into()), r#"{"type":"a"}"#);
        assert_eq!(text(("a", Value::Null).into()), r#"{"type":"a","payload":null}"#);
        assert_eq!(text(NewEvent::new("a").key("k").at(3)), r#"{"type":"a","idempotencyKey":"k","offset":3}"#);
        assert_eq!(
            text(NewEvent::new("a").because(&read(LINE))),
            r#"{"type":"a","cause":{"streamPath":"/b","offset":7}}"#
        );
    }
}
