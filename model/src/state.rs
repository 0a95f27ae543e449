//! What control events add up to. The same fold gives the state now and the state after any past offset.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::control::Control;
use crate::limits;
use crate::problem::Problem;
use crate::time::{Millis, to_rfc3339};

/// A stream's control state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControlState {
    /// Who the stream is; `None` before it is born.
    pub identity: Option<Identity>,
    /// Set while the stream is paused.
    pub paused: Option<Pause>,
    /// The breaker's setting.
    pub breaker: Breaker,
    /// The stream's metadata.
    pub metadata: Map<String, Value>,
    /// Control events that hold for streams below, also those born later: what is configured -> the event's offset.
    pub inherited: BTreeMap<String, u64>,
}

/// Who a stream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Its path.
    pub path: String,
    /// The name of its present life.
    pub generation: String,
    /// When this life began.
    pub created_at: Millis,
}

/// Why and since when a stream is paused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the event was written.
    pub since: Millis,
    /// The offset of the event that paused it.
    pub offset: u64,
    /// What the breaker saw, if it was the breaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Value>,
}

/// The breaker's setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// Events per window; `None` = off.
    pub limit: Option<u64>,
    /// The window's length.
    pub window_ms: u64,
    /// Only events after this offset count: where the window last began anew.
    pub since: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { limit: Some(limits::BREAKER_LIMIT), window_ms: limits::BREAKER_WINDOW_MS, since: 0 }
    }
}

/// A piece of the state that is stored as one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// [`ControlState::identity`]
    Identity,
    /// [`ControlState::paused`]
    Paused,
    /// [`ControlState::breaker`]
    Breaker,
    /// [`ControlState::metadata`]
    Metadata,
    /// [`ControlState::inherited`]
    Inherited,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 5] = [Self::Identity, Self::Paused, Self::Breaker, Self::Metadata, Self::Inherited];

    /// The row's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Paused => "paused",
            Self::Breaker => "breaker",
            Self::Metadata => "metadata",
            Self::Inherited => "inherited",
        }
    }
}

impl ControlState {
    /// Takes in one control event and says which parts it may have changed.
    ///
    /// # Errors
    /// [`Problem::TooLarge`] when the merged metadata would be; the state is unchanged then.
    pub fn apply(&mut self, offset: u64, at: Millis, control: &Control) -> Result<&'static [Part], Problem> {
        match control {
            Control::Created { path, generation } => {
                self.identity = Some(Identity { path: path.clone(), generation: generation.clone(), created_at: at });
                Ok(&[Part::Identity])
            }
            Control::MetadataUpdated { patch } => {
                let mut merged = Value::Object(self.metadata.clone());
                merge(&mut merged, &Value::Object(patch.clone()));
                if merged.to_string().len() > limits::METADATA_BYTES {
                    return Err(Problem::TooLarge {
                        what: "the stream's metadata in bytes",
                        limit: limits::METADATA_BYTES,
                    });
                }
                if let Value::Object(merged) = merged {
                    self.metadata = merged;
                }
                Ok(&[Part::Metadata])
            }
            Control::Paused { reason, breaker, children } => {
                self.paused = Some(Pause { reason: reason.clone(), since: at, offset, breaker: breaker.clone() });
                self.inherit("paused", offset, *children);
                Ok(&[Part::Paused, Part::Inherited])
            }
            Control::Resumed { children } => {
                self.paused = None;
                self.breaker.since = offset;
                if *children {
                    self.inherited.remove("paused");
                }
                Ok(&[Part::Paused, Part::Breaker, Part::Inherited])
            }
            Control::BreakerConfigured { limit, window_ms, children } => {
                self.breaker = Breaker { limit: *limit, window_ms: *window_ms, since: offset };
                self.inherit("breaker", offset, *children);
                Ok(&[Part::Breaker, Part::Inherited])
            }
        }
    }

    /// A part as stored text; `None` when the row should not be there.
    #[must_use]
    pub fn part(&self, part: Part) -> Option<String> {
        match part {
            Part::Identity => self.identity.as_ref().and_then(|it| serde_json::to_string(it).ok()),
            Part::Paused => self.paused.as_ref().and_then(|it| serde_json::to_string(it).ok()),
            Part::Breaker if self.breaker == Breaker::default() => None,
            Part::Breaker => serde_json::to_string(&self.breaker).ok(),
            Part::Metadata if self.metadata.is_empty() => None,
            Part::Metadata => serde_json::to_string(&self.metadata).ok(),
            Part::Inherited if self.inherited.is_empty() => None,
            Part::Inherited => serde_json::to_string(&self.inherited).ok(),
        }
    }

    /// Takes a stored part back in.
    ///
    /// # Errors
    /// When the text is not what [`Self::part`] made.
    pub fn set_part(&mut self, name: &str, text: &str) -> Result<(), serde_json::Error> {
        match Part::ALL.into_iter().find(|part| part.name() == name) {
            Some(Part::Identity) => self.identity = Some(serde_json::from_str(text)?),
            Some(Part::Paused) => self.paused = Some(serde_json::from_str(text)?),
            Some(Part::Breaker) => self.breaker = serde_json::from_str(text)?,
            Some(Part::Metadata) => self.metadata = serde_json::from_str(text)?,
            Some(Part::Inherited) => self.inherited = serde_json::from_str(text)?,
            None => {}
        }
        Ok(())
    }

    /// The state as people read it; `head` is the offset it holds for.
    #[must_use]
    pub fn to_json(&self, head: u64) -> Map<String, Value> {
        let identity = self.identity.as_ref();
        let mut out = Map::new();
        out.insert("streamPath".into(), json!(identity.map(|it| &it.path)));
        out.insert("generation".into(), json!(identity.map(|it| &it.generation)));
        out.insert("createdAt".into(), json!(identity.map(|it| to_rfc3339(it.created_at))));
        out.insert("head".into(), json!(head));
        out.insert("paused".into(), self.paused.as_ref().map_or(Value::Null, Pause::to_json));
        out.insert("breaker".into(), json!({"limit": self.breaker.limit, "windowMs": self.breaker.window_ms}));
        out.insert("metadata".into(), json!(self.metadata));
        // Filled by what configures them; an empty object says that nothing is.
        for kind in ["schedules", "subscriptions", "hooks", "tools"] {
            out.insert(kind.into(), json!({}));
        }
        out
    }

    fn inherit(&mut self, what: &str, offset: u64, children: bool) {
        if children {
            self.inherited.insert(what.to_owned(), offset);
        } else if what != "paused" {
            // A `configured` replaces its slug whole; a plain pause takes back none that was given to the children.
            self.inherited.remove(what);
        }
    }
}

impl Pause {
    fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("reason".into(), json!(self.reason));
        out.insert("since".into(), json!(to_rfc3339(self.since)));
        out.insert("offset".into(), json!(self.offset));
        if let Some(breaker) = &self.breaker {
            out.insert("breaker".into(), breaker.clone());
        }
        Value::Object(out)
    }
}

/// JSON merge patch, RFC 7396 section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_7396_hold() {
        for (original, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let mut target = original;
            merge(&mut target, &patch);
            assert_eq!(target, result);
        }
    }

    #[test]
    fn every_part_survives_storage() {
        let mut state = ControlState::default();
        for (offset, control) in [
            Control::Created { path: "/a".into(), generation: "g".into() },
            Control::Paused { reason: Some("r".into()), breaker: None, children: true },
            Control::BreakerConfigured { limit: None, window_ms: 5, children: true },
            Control::MetadataUpdated { patch: Map::from_iter([("k".to_owned(), json!(1))]) },
        ]
        .iter()
        .enumerate()
        {
            state.apply(offset as u64 + 1, 1_000, control).unwrap();
        }
        let mut again = ControlState::default();
        for part in Part::ALL {
            if let Some(text) = state.part(part) {
                again.set_part(part.name(), &text).unwrap();
            }
        }
        assert_eq!(again, state);
    }
}
