//! What the requests of all APIs have in common.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::Map;
use serde_json::value::RawValue;

use super::object::is_object;
use crate::conversation::{Content, Part};

/// Said where an API wants words of a user and nobody said any: at the beginning.
pub(super) const BEGIN: &str = "(The conversation begins.)";
/// The same, at the end.
pub(super) const GO_ON: &str = "(Go on.)";

/// A piece of what somebody says.
pub(super) enum Piece<'a> {
    Text(Cow<'a, str>),
    /// An image by its URL.
    Image(&'a str),
}

/// Texts that say something, and images.
pub(super) fn pieces(content: &Content) -> Vec<Piece<'_>> {
    let said = |text: &&String| !text.trim().is_empty();
    match content {
        Content::Text(text) => Some(text).filter(said).map(|text| Piece::Text(text.into())).into_iter().collect(),
        Content::Parts(parts) => parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(text).filter(said).map(|text| Piece::Text(text.into())),
                Part::Image(url) => Some(Piece::Image(url)),
            })
            .collect(),
    }
}

/// The same as context within what a user says: each text between tags, for no role says so.
pub(super) fn context(content: &Content) -> Vec<Piece<'_>> {
    let marked = |piece| match piece {
        Piece::Text(text) => Piece::Text(format!("<context>\n{text}\n</context>").into()),
        Piece::Image(url) => Piece::Image(url),
    };
    pieces(content).into_iter().map(marked).collect()
}

/// All of it as one text, for roles that show no images.
pub(super) fn text(content: &Content) -> Cow<'_, str> {
    if let Content::Text(text) = content {
        return text.into();
    }
    let words = pieces(content).into_iter().map(|piece| match piece {
        Piece::Text(text) => text,
        Piece::Image(_) => "[image]".into(),
    });
    words.collect::<Vec<_>>().join("\n").into()
}

/// What a user says, in an API's own parts.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Words<'a, P> {
    Text(Cow<'a, str>),
    Parts(Vec<P>),
}

impl<'a, P: From<Piece<'a>>> Words<'a, P> {
    /// A text as it is, else parts.
    pub(super) fn of(content: &'a Content) -> Self {
        match content {
            Content::Text(text) => Self::Text(text.into()),
            Content::Parts(_) => pieces(content).into(),
        }
    }
}

impl<'a, P: From<Piece<'a>>> From<Vec<Piece<'a>>> for Words<'a, P> {
    /// No parts at all are refused, an empty text is not.
    fn from(pieces: Vec<Piece<'a>>) -> Self {
        let parts: Vec<P> = pieces.into_iter().map(P::from).collect();
        if parts.is_empty() { Self::Text("".into()) } else { Self::Parts(parts) }
    }
}

/// Whether there is an image in it.
pub(super) fn has_image(content: &Content) -> bool {
    matches!(content, Content::Parts(parts) if parts.iter().any(|part| matches!(part, Part::Image(_))))
}

/// A tool's name as every API takes it. The model may have called one that never was, by any name, and who refuses that
/// name refuses the whole conversation from then on.
pub(super) fn tool_name(name: &str) -> Cow<'_, str> {
    let is_taken = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    match name {
        "" => "unknown".into(),
        _ if name.len() <= 64 && name.chars().all(is_taken) => name.into(),
        _ => name.chars().take(64).map(|char| if is_taken(char) { char } else { '_' }).collect(),
    }
}

/// The arguments of a call: what the model wrote if that is a JSON object, else `{}`, since some refuse the whole
/// conversation for anything else.
pub(super) fn arguments(text: &str) -> &str {
    if is_object(text) { text.trim() } else { "{}" }
}

/// The same as JSON in JSON.
pub(super) struct Arguments<'a>(pub &'a str);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(arguments(self.0)) {
            Ok(object) => object.serialize(serializer),
            Err(_) => Map::new().serialize(serializer),
        }
    }
}

/// The schema of a tool's arguments; without one an object without properties.
pub(super) struct Schema<'a>(pub Option<&'a RawValue>);

impl Serialize for Schema<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Nothing {
            r#type: &'static str,
            properties: Map<String, serde_json::Value>,
        }
        match self.0 {
            Some(schema) => schema.serialize(serializer),
            None => Nothing { r#type: "object", properties: Map::new() }.serialize(serializer),
        }
    }
}

/// A text that is not blank.
pub(super) fn said(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.trim().is_empty())
}
