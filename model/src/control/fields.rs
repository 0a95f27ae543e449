//! The fields of a control event's payload, read one by one; what nobody reads is refused.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::problem::Problem;

const GLOBS: &str = "a list of at most 100 names or globs, like [\"agent.*\", \"message\"]";

/// The fields of a payload, or of an object in it, that are not read yet.
pub(super) struct Fields {
    pub(super) rest: Map<String, Value>,
    /// Where in the payload they stand.
    at: &'static str,
}

impl Fields {
    pub fn new(payload: &str) -> Result<Self, Problem> {
        match serde_json::from_str(payload) {
            Ok(Value::Object(rest)) => Ok(Self { rest, at: "" }),
            _ => Err(invalid("payload", "a JSON object")),
        }
    }

    /// The fields of an object that stands at `at` in the payload.
    pub fn below(at: &'static str, rest: Map<String, Value>) -> Self {
        Self { rest, at }
    }

    pub fn invalid(&self, field: &str, detail: impl Into<String>) -> Problem {
        invalid_in(self.at, field, detail)
    }

    /// The value of a field; what is given as `null` is not given.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.rest.remove(name).filter(|value| !value.is_null())
    }

    pub fn text(&mut self, name: &str, max_bytes: usize) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= max_bytes => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, format!("a string of at most {max_bytes} bytes"))),
        }
    }

    pub fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.rest.remove(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(self.invalid(name, "true or false")),
        }
    }

    pub fn object(&mut self, name: &str) -> Result<Map<String, Value>, Problem> {
        match self.rest.remove(name) {
            Some(Value::Object(object)) => Ok(object),
            _ => Err(self.invalid(name, "a JSON object")),
        }
    }

    pub fn integer(&mut self, name: &str, range: RangeInclusive<u64>, default: u64) -> Result<u64, Problem> {
        match self.rest.remove(name) {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .filter(|number| range.contains(number))
                .ok_or_else(|| self.invalid(name, format!("an integer from {} to {}", range.start(), range.end()))),
        }
    }

    pub fn optional_integer(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => {
                self.rest.insert(name.to_owned(), value);
                self.integer(name, range, 0).map(Some)
            }
        }
    }

    pub fn integer_or_null(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Result<Option<u64>, Problem> {
        if self.rest.get(name).is_some_and(Value::is_null) {
            self.rest.remove(name);
            return Ok(None);
        }
        self.integer(name, range, default).map(Some)
    }

    /// The name of what is configured: 1 to 64 characters of a path's segment.
    pub fn slug(&mut self) -> Result<String, Problem> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~@:-".contains(&byte);
        match self.rest.remove("slug") {
            Some(Value::String(slug)) if (1..=64).contains(&slug.len()) && slug.bytes().all(allowed) => Ok(slug),
            _ => Err(self.invalid("slug", "1 to 64 characters of A-Z a-z 0-9 . _ ~ @ : -")),
        }
    }

    /// A number or a short text that tells one version from another.
    pub fn version(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= 64 => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(self.invalid(name, "a number, or a string of at most 64 bytes")),
        }
    }

    /// A list of globs over types; one text may hold several, separated by commas.
    pub fn globs(&mut self, name: &str) -> Result<Option<Vec<String>>, Problem> {
        let globs = self.any_globs(name)?;
        if globs.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.invalid(name, GLOBS));
        }
        Ok(globs)
    }

    /// The same, where a list of none says something: nothing at all.
    pub fn any_globs(&mut self, name: &str) -> Result<Option<Vec<String>>, Problem> {
        let given = match self.take(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.split(',').map(|glob| Value::from(glob.trim())).collect(),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(self.invalid(name, GLOBS)),
        };
        let glob = |value: Value| match value {
            Value::String(text) if (1..=256).contains(&text.chars().count()) => Some(text),
            _ => None,
        };
        let globs: Option<Vec<String>> = given.into_iter().map(glob).collect();
        globs.filter(|globs| globs.len() <= 100).map(Some).ok_or_else(|| self.invalid(name, GLOBS))
    }

    pub fn finish(self) -> Result<(), Problem> {
        match self.rest.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(self.invalid(unknown, "this event has no such field")),
        }
    }
}

pub(super) fn invalid(field: &str, detail: impl Into<String>) -> Problem {
    // Inside the event these are fields of its payload.
    let field = if field == "payload" { field.to_owned() } else { format!("payload.{field}") };
    Problem::InvalidControlEvent { field, detail: detail.into() }
}

/// The same for a field of the object at `at`; no field means the object itself.
pub(super) fn invalid_in(at: &str, field: &str, detail: impl Into<String>) -> Problem {
    match (at, field) {
        ("", field) => invalid(field, detail),
        (at, "") => invalid(at, detail),
        (at, field) => invalid(&format!("{at}.{field}"), detail),
    }
}
