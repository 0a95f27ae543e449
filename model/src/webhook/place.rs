//! Where in a request something stands, and texts made of such pieces.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits;

/// A request of a third party, as its definition looks at it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Incoming<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The whole URL, as it was called.
    pub url: &'a str,
    /// The headers; names in lower case.
    pub headers: &'a [(String, String)],
    /// The parameters, decoded.
    pub query: &'a [(String, String)],
    /// The fields of a form, in their order.
    pub form: &'a [(String, String)],
    /// The body as JSON, if it is some.
    pub json: Option<&'a Value>,
}

/// Where something stands in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Place {
    /// In one of these, the first that has it.
    Any(Vec<One>),
    /// Here.
    One(One),
}

/// One place in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub struct One {
    /// The name of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// In a header of the form `a=1,b=2`: the name of the part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The name of a parameter of the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// A JSON pointer into the body (RFC 6901); `*` stands for every element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    /// The name of a form's field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// `user` or `password` of Basic authentication (RFC 7617).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<String>,
}

impl Place {
    /// All values that stand there; nothing when there are none.
    #[must_use]
    pub fn values<'a>(&self, request: &Incoming<'a>) -> Vec<Cow<'a, str>> {
        match self {
            Self::One(one) => one.values(request),
            Self::Any(places) => {
                places.iter().map(|one| one.values(request)).find(|it| !it.is_empty()).unwrap_or_default()
            }
        }
    }

    /// The one value that stands there.
    #[must_use]
    pub fn value<'a>(&self, request: &Incoming<'a>) -> Option<Cow<'a, str>> {
        self.values(request).into_iter().next()
    }

    /// Whether it is looked for in the body.
    #[must_use]
    pub fn is_in_body(&self) -> bool {
        self.places().iter().any(|one| one.json.is_some() || one.form.is_some())
    }

    /// The names of its headers and parameters, in lower case.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let named = self.places().iter().flat_map(|one| [&one.header, &one.query]);
        named.flatten().map(|name| name.to_ascii_lowercase()).collect()
    }

    fn places(&self) -> &[One] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Any(places) => places,
        }
    }

    /// Says what is wrong with it, if anything is.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), String> {
        let places = self.places();
        for one in places {
            let named = [&one.header, &one.query, &one.json, &one.form, &one.basic];
            if named.iter().filter(|it| it.is_some()).count() != 1 {
                return Err("a place has one of header, query, json, form and basic".to_owned());
            }
            if one.part.is_some() && one.header.is_none() {
                return Err("part is for a header".to_owned());
            }
            if one.basic.as_deref().is_some_and(|it| it != "user" && it != "password") {
                return Err("basic is user or password".to_owned());
            }
            if one.json.as_deref().is_some_and(|it| !it.is_empty() && !it.starts_with('/')) {
                return Err("a JSON pointer begins with /".to_owned());
            }
        }
        if places.is_empty() { Err("no place is named".to_owned()) } else { Ok(()) }
    }
}

impl One {
    fn values<'a>(&self, request: &Incoming<'a>) -> Vec<Cow<'a, str>> {
        if let Some(name) = &self.header {
            let found = request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            let Some((_, value)) = found else { return Vec::new() };
            return match &self.part {
                None => vec![Cow::Borrowed(value.trim())],
                Some(part) => parts(value, part).map(Cow::Borrowed).collect(),
            };
        }
        let named = |list: &'a [(String, String)], name: &str| -> Vec<Cow<'a, str>> {
            list.iter().filter(|(known, _)| known == name).map(|(_, value)| Cow::Borrowed(value.as_str())).collect()
        };
        if let Some(name) = &self.query {
            return named(request.query, name);
        }
        if let Some(name) = &self.form {
            return named(request.form, name);
        }
        if let Some(which) = &self.basic {
            return basic(request, which).into_iter().map(Cow::Owned).collect();
        }
        match (&self.json, request.json) {
            // Of every element, also of those that do not have it: what holds for all must hold for each.
            (Some(pointer), Some(value)) if pointer.contains('*') => {
                pointed(value, pointer).into_iter().map(|it| it.and_then(as_text).unwrap_or_default()).collect()
            }
            (Some(pointer), Some(value)) => pointed(value, pointer).into_iter().flatten().filter_map(as_text).collect(),
            _ => Vec::new(),
        }
    }
}

/// The values of one name in `a=1,b=2`.
fn parts<'a>(header: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    header.split(',').filter_map(move |part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

fn basic(request: &Incoming, which: &str) -> Option<String> {
    let (_, value) = request.headers.iter().find(|(name, _)| name == "authorization")?;
    let (scheme, encoded) = value.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| crate::hook::from_base64(encoded.trim()))??;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(if which == "user" { user } else { password }.to_owned())
}

fn pointed<'a>(value: &'a Value, pointer: &str) -> Vec<Option<&'a Value>> {
    let mut found = vec![Some(value)];
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        found = found
            .into_iter()
            .flat_map(|value| match value {
                Some(Value::Array(items)) if token == "*" => items.iter().map(Some).collect::<Vec<_>>(),
                Some(Value::Array(items)) => vec![token.parse::<usize>().ok().and_then(|at| items.get(at))],
                Some(Value::Object(members)) => vec![members.get(&token)],
                _ => vec![None],
            })
            .collect();
    }
    found
}

fn as_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Owned(flag.to_string())),
        _ => None,
    }
}

/// The value at a JSON pointer, as text.
#[must_use]
pub fn text_at(value: &Value, pointer: &str) -> Option<String> {
    pointed(value, pointer).into_iter().next().flatten().and_then(as_text).map(Cow::into_owned)
}

/// Fills `{name}` in a template until it is too long; `value_of` gives each, and a name that it does not know stays as it is written.
#[must_use]
pub fn fill(template: &str, mut value_of: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{').filter(|_| out.len() <= limits::FILLED_BYTES) {
        out.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        if let Some(value) = value_of(name) {
            out.push_str(&value);
            rest = behind;
        } else {
            out.push('{');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// What the names in a template stand for in a request: `json:/pointer`, `query:name`, `header:name`, `form:name`; with
/// `one|other` the first that is there. What is not there is empty.
#[must_use]
pub fn named(request: &Incoming, name: &str) -> Option<String> {
    let (kind, names) = name.split_once(':')?;
    let value = |what: &str| {
        let mut one = One { header: None, part: None, query: None, json: None, form: None, basic: None };
        let slot = match kind {
            "json" => &mut one.json,
            "query" => &mut one.query,
            "header" => &mut one.header,
            "form" => &mut one.form,
            _ => return None,
        };
        *slot = Some(what.to_owned());
        Some(one.values(request).into_iter().next().unwrap_or_default().into_owned())
    };
    let mut found = names.split('|').map(value);
    let first = found.next()??;
    if first.is_empty() { Some(found.flatten().find(|it| !it.is_empty()).unwrap_or_default()) } else { Some(first) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_place_is_found_wherever_it_is() {
        let headers = vec![
            ("stripe-signature".to_owned(), "t=5,v1=aa, v1=bb,v0=cc".to_owned()),
            ("authorization".to_owned(), "Basic dTpwOnE=".to_owned()),
        ];
        let body = json!({"a": [{"n": 1}, {"n": 2}], "x/y": "z"});
        let query = vec![("q".to_owned(), "v".to_owned())];
        let request = Incoming { headers: &headers, json: Some(&body), query: &query, ..Incoming::default() };
        let values = |place: Value| serde_json::from_value::<Place>(place).unwrap().values(&request).join("|");
        assert_eq!(values(json!({"header": "Stripe-Signature", "part": "v1"})), "aa|bb");
        assert_eq!(values(json!({"json": "/a/*/n"})), "1|2");
        assert_eq!(values(json!({"json": "/x~1y"})), "z");
        assert_eq!(values(json!([{"header": "none"}, {"query": "q"}])), "v");
        assert_eq!(values(json!({"basic": "password"})), "p:q");
        assert_eq!(values(json!({"json": "/a"})), "");
    }

    #[test]
    fn a_template_keeps_what_it_does_not_know() {
        let filled = fill("{a}-{b}-{\"x\":1}-{", |name| (name == "a").then(|| "{b}".to_owned()));
        assert_eq!(filled, "{b}-{b}-{\"x\":1}-{");
    }
}
