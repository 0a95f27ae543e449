//! An event's payload, as whoever wrote it meant it: each field is read alone, and one of another kind than it should be is
//! not there. So an odd field takes nothing else with it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tailrace_model::line::StoredEvent;

/// The fields of a payload; none, if it is no object.
#[derive(Debug, Default)]
pub(crate) struct Payload<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Payload<'a> {
    pub fn of(event: &StoredEvent<'a>) -> Self {
        Self(serde_json::from_str(event.payload.get()).unwrap_or_default())
    }

    /// A field as it stands there, also a null.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }

    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.read(name)
    }

    /// True when the field names this agent, or nobody.
    pub fn is_for(&self, name: &str, slug: &str) -> bool {
        self.text(name).is_none_or(|whom| whom == slug)
    }
}

/// What only the system says about an event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct System {
    /// Who wrote it.
    pub by: Option<String>,
    /// The stream that it comes from, if that is another one.
    pub from: Option<String>,
    /// It is history from elsewhere.
    origin: Option<serde::de::IgnoredAny>,
}

impl System {
    pub fn of(event: &StoredEvent) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Metadata {
            tailrace: System,
        }
        let metadata = event.metadata.and_then(|raw| serde_json::from_str::<Metadata>(raw.get()).ok());
        metadata.unwrap_or_default().tailrace
    }

    /// True for what the agent, or its Runner, wrote.
    pub fn is_of(&self, slug: &str) -> bool {
        // In another stream there may be a subscription of the same name.
        self.from.is_none() && self.by.as_deref().and_then(|by| by.strip_prefix("subscription:")) == Some(slug)
    }

    pub fn is_imported(&self) -> bool {
        self.origin.is_some()
    }
}
