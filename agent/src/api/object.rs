//! JSON objects of which little is known: providers add members, leave some out, and write others in ways of their
//! own. What is not as expected counts as not there. Strings stay as they are written, see [`text`](super::text).

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::text::plain;

/// More members of an object, or elements of an array, are not looked at: no answer needs them, and a tree of them would
/// take many times their text.
const LOOKED_AT: usize = 1_000;

/// A JSON object, one level of it.
#[derive(Clone, Debug)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads an object; `None` if the text is none.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// A member; `None` if it is missing or null.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().find(|(member, _)| member == name)?;
        (value.get() != "null").then_some(*value)
    }

    /// A member that is a string.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        plain(self.get(name)?)
    }

    /// A member that is a whole number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.get().parse().ok()
    }

    /// A member that is an object.
    pub(super) fn object(&self, name: &str) -> Option<Object<'a>> {
        Self::parse(self.get(name)?.get())
    }

    /// The objects of a member that is an array.
    pub(super) fn objects(&self, name: &str) -> Vec<Object<'a>> {
        self.get(name).map(objects).unwrap_or_default()
    }
}

/// The objects of an array.
pub(super) fn objects(array: &RawValue) -> Vec<Object<'_>> {
    let Ok(Elements(elements)) = serde_json::from_str(array.get()) else { return Vec::new() };
    elements.into_iter().filter_map(|element| Object::parse(element.get())).collect()
}

/// Whether a text is a JSON object, to its last character.
pub(super) fn is_object(text: &str) -> bool {
    let text = text.trim();
    // The ends are looked at first: this is asked of texts that grow.
    text.starts_with('{') && text.ends_with('}') && serde_json::from_str::<&RawValue>(text).is_ok()
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members).map(Self)
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while members.len() < LOOKED_AT
            && let Some((Name(name), value)) = map.next_entry()?
        {
            members.push((name, value));
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(members)
    }
}

struct Elements<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor).map(Self)
    }
}

struct ElementsVisitor;

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < LOOKED_AT
            && let Some(element) = seq.next_element()?
        {
            elements.push(element);
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_expected_counts_as_not_there() {
        let object = Object::parse(r#"{"a":null,"b":"x","c":7,"d":{"e":[1,{"f":2},"g"]},"h":-1,"i":1.5}"#).unwrap();
        assert!(object.get("a").is_none() && object.get("z").is_none() && object.text("c").is_none());
        assert!(object.number("b").is_none() && object.number("h").is_none() && object.number("i").is_none());
        assert_eq!((object.text("b").as_deref(), object.number("c")), (Some("x"), Some(7)));
        let inner = object.object("d").unwrap().objects("e");
        assert_eq!(inner.iter().map(|it| it.number("f")).collect::<Vec<_>>(), [Some(2)]);
        assert!(Object::parse("[]").is_none() && Object::parse("{").is_none());
    }

    #[test]
    fn only_so_many_members_are_looked_at() {
        let many = format!("[{}{{\"last\":1}}]", "{},".repeat(LOOKED_AT + 1));
        let text = format!("{{\"many\":{many}}}");
        assert_eq!(Object::parse(&text).unwrap().objects("many").len(), LOOKED_AT);
    }

    #[test]
    fn an_object_is_one_to_its_last_character() {
        assert!(is_object(" {\"a\": [{}]} ") && is_object("{}"));
        assert!(
            !is_object("") && !is_object("{\"a\":") && !is_object("[]") && !is_object("{} x") && !is_object("null")
        );
    }
}
