//! A JSON object that may be an event: its fields, none of them looked into yet. Read in one pass, without a tree.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of a body that may be an event, none of them looked into yet.
#[derive(Default)]
pub struct Envelope<'a> {
    pub(crate) event: Option<&'a RawValue>,
    pub(crate) event_type: Option<&'a RawValue>,
    pub(crate) payload: Option<&'a RawValue>,
    pub(crate) metadata: Option<&'a RawValue>,
    pub(crate) key: Option<&'a RawValue>,
    pub(crate) offset: Option<&'a RawValue>,
    pub(crate) cause: Option<&'a RawValue>,
    pub(crate) stream_path: Option<&'a RawValue>,
    pub(crate) created_at: Option<&'a RawValue>,
    /// A field that events do not have, or have only once.
    pub(crate) odd: Option<String>,
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an event, which is a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(field) = map.next_key::<Field>()? {
            let value: &RawValue = map.next_value()?;
            let slot = match &field {
                Field::Event => &mut envelope.event,
                Field::Type => &mut envelope.event_type,
                Field::Payload => &mut envelope.payload,
                Field::Metadata => &mut envelope.metadata,
                Field::IdempotencyKey => &mut envelope.key,
                Field::Offset => &mut envelope.offset,
                Field::Cause => &mut envelope.cause,
                Field::StreamPath => &mut envelope.stream_path,
                Field::CreatedAt => &mut envelope.created_at,
                Field::Other(name) => {
                    envelope.odd.get_or_insert_with(|| name.clone());
                    continue;
                }
            };
            if slot.is_some() {
                envelope.odd.get_or_insert_with(|| field.name().to_owned());
            }
            // Some languages write what is not given as null.
            if value.get() != "null" || matches!(field, Field::Payload | Field::Type | Field::Event) {
                *slot = Some(value);
            }
        }
        Ok(envelope)
    }
}

/// The members of an object in their order, doubled names and all.
pub(crate) struct Members<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// The name of a field; only one that events do not have is copied.
enum Field {
    Event,
    Type,
    Payload,
    Metadata,
    IdempotencyKey,
    Offset,
    Cause,
    StreamPath,
    CreatedAt,
    Other(String),
}

impl Field {
    fn name(&self) -> &str {
        match self {
            Self::Event => "event",
            Self::Type => "type",
            Self::Payload => "payload",
            Self::Metadata => "metadata",
            Self::IdempotencyKey => "idempotencyKey",
            Self::Offset => "offset",
            Self::Cause => "cause",
            Self::StreamPath => "streamPath",
            Self::CreatedAt => "createdAt",
            Self::Other(name) => name,
        }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(FieldVisitor)
    }
}

struct FieldVisitor;

impl Visitor<'_> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Field, E> {
        Ok(match name {
            "event" => Field::Event,
            "type" => Field::Type,
            "payload" => Field::Payload,
            "metadata" => Field::Metadata,
            "idempotencyKey" => Field::IdempotencyKey,
            "offset" => Field::Offset,
            "cause" => Field::Cause,
            "streamPath" => Field::StreamPath,
            "createdAt" => Field::CreatedAt,
            other => Field::Other(other.to_owned()),
        })
    }
}
