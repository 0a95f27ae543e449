//! How requests of one source are understood: the data of a preset, or of a stream's own `webhook.configured`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::place::{Incoming, Place, fill, named};
use super::verify::{Scheme, Verify, hmac_hex};
use crate::limits;

/// How requests of one source are understood.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Definition {
    /// How they are signed; `None` = they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// What the provider asks before it sends, and how that is answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub handshake: Vec<Handshake>,
    /// What names a delivery, so that repeats land once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Place>,
    /// How what is stored is answered; `None` = with its offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    /// What does not verify is refused, not stored.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reject: bool,
    /// The body may be a `CloudEvent`, or several.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cloud_events: bool,
}

/// A question that is answered at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Handshake {
    /// What makes a request such a question.
    pub when: When,
    /// Where a token stands that must be one of the secrets, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Place>,
    /// The names of those secrets; else those of the verification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// It is answered only when the request verifies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verified: bool,
    /// The answer.
    pub reply: Reply,
}

/// What a request must be like. All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct When {
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Parameters that are there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<String>,
    /// Headers that are there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub header: Vec<String>,
    /// What stands at JSON pointers in the body.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub json: BTreeMap<String, Value>,
}

/// An answer. In its texts `{json:/pointer}`, `{query:name}`, `{header:name}` and `{form:name}` stand for what the request
/// has there, `{hmac:/pointer}` for the SHA-256 HMAC of that with the first secret, `{offset}` for where it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reply {
    /// The HTTP status.
    #[serde(default = "ok")]
    pub status: u16,
    /// Headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body: a text, or JSON in whose texts the pieces are filled in.
    #[serde(default)]
    pub body: Value,
}

const fn ok() -> u16 {
    200
}

/// An answer, filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl When {
    /// Whether a request is like that.
    #[must_use]
    pub fn matches(&self, request: &Incoming) -> bool {
        let has =
            |list: &[(String, String)], name: &String| list.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        self.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(request.method))
            && self.query.iter().all(|name| has(request.query, name))
            && self.header.iter().all(|name| has(request.headers, name))
            && self
                .json
                .iter()
                .all(|(pointer, value)| request.json.and_then(|json| json.pointer(pointer)) == Some(value))
    }
}

impl Definition {
    /// The question that a request is, if it is one.
    #[must_use]
    pub fn handshake_for(&self, request: &Incoming) -> Option<&Handshake> {
        self.handshake.iter().find(|handshake| handshake.when.matches(request))
    }

    /// The names of all secrets that it uses.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let verify = self.verify.iter().flat_map(|verify| &verify.secrets);
        verify.chain(self.handshake.iter().flat_map(|it| &it.secrets)).map(String::as_str)
    }

    /// Whether it looks into the body, so that the body must be held.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        let in_body = |place: &Option<Place>| place.as_ref().is_some_and(Place::is_in_body);
        let by_verify = self.verify.as_ref().is_some_and(|verify| {
            verify.signature.is_in_body()
                || verify.signed.contains("{form}")
                || matches!(verify.scheme, Scheme::Ed25519 | Scheme::EcdsaP256)
        });
        self.cloud_events || by_verify || in_body(&self.idempotency)
    }

    /// Whether it looks into the body as JSON, so that it is worth being taken apart.
    #[must_use]
    pub fn reads_json(&self) -> bool {
        let fills = |reply: &Reply| reply.texts().any(|text| text.contains("{json:") || text.contains("{hmac:"));
        let asks = |handshake: &Handshake| {
            !handshake.when.json.is_empty()
                || fills(&handshake.reply)
                || handshake.token.as_ref().is_some_and(Place::is_in_body)
        };
        self.idempotency.as_ref().is_some_and(Place::is_in_body)
            || self.verify.as_ref().is_some_and(Verify::reads_json)
            || self.handshake.iter().any(asks)
            || self.reply.as_ref().is_some_and(fills)
    }

    /// The names of headers and parameters that carry a secret itself.
    #[must_use]
    pub fn secret_names(&self) -> Vec<String> {
        let token =
            self.verify.as_ref().filter(|verify| verify.scheme == Scheme::Token).map(|verify| &verify.signature);
        let handshakes = self.handshake.iter().filter_map(|handshake| handshake.token.as_ref());
        token.into_iter().chain(handshakes).flat_map(Place::names).collect()
    }

    /// What names a delivery.
    #[must_use]
    pub fn delivery_id(&self, request: &Incoming) -> Option<String> {
        let id = self.idempotency.as_ref()?.value(request)?;
        (!id.is_empty() && id.len() <= limits::KEY_CHARS).then(|| id.into_owned())
    }

    /// Checks what its form alone does not say.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(verify) = &self.verify {
            verify.check().map_err(|detail| ("verify", detail))?;
        }
        if let Some(place) = &self.idempotency {
            place.check().map_err(|detail| ("idempotency", detail))?;
        }
        for handshake in &self.handshake {
            if handshake.when == When::default() {
                return Err(("handshake", "a handshake says when: method, query, header or json".to_owned()));
            }
            if let Some(token) = &handshake.token {
                token.check().map_err(|detail| ("handshake", detail))?;
            }
            handshake.reply.check().map_err(|detail| ("handshake", detail))?;
            if handshake.verified && self.verify.is_none() {
                return Err(("handshake", "verified needs a way to verify".to_owned()));
            }
            if !handshake.verified && serde_json::json!(handshake.reply).to_string().contains("{hmac:") {
                return Err(("handshake", "{hmac:…} is made for verified requests only".to_owned()));
            }
        }
        match &self.reply {
            Some(reply) => reply.check().map_err(|detail| ("reply", detail)),
            None => Ok(()),
        }
    }
}

impl Reply {
    fn check(&self) -> Result<(), String> {
        const OWN: &[&str] = &[
            "content-length",
            "transfer-encoding",
            "connection",
            "set-cookie",
            "content-security-policy",
            "x-content-type-options",
            "content-encoding",
        ];
        if !(200..600).contains(&self.status) {
            return Err("a status from 200 to 599".to_owned());
        }
        for (name, value) in &self.headers {
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if !is_name || OWN.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!("the header {name} is not for setting"));
            }
            if value.chars().any(char::is_control) {
                return Err(format!("the header {name} has a control character"));
            }
        }
        Ok(())
    }

    /// Every text in it.
    fn texts(&self) -> impl Iterator<Item = String> {
        self.headers.values().cloned().chain([self.body.to_string()])
    }

    /// The answer to a request. `secret` is what `{hmac:…}` is made with.
    #[must_use]
    pub fn fill(&self, request: &Incoming, secret: Option<&[u8]>, offset: Option<u64>) -> Filled {
        let value_of = |name: &str| match name.split_once(':') {
            Some(("hmac", pointer)) => {
                let text = request.json.and_then(|json| super::place::text_at(json, pointer)).unwrap_or_default();
                Some(secret.map(|secret| hmac_hex(secret, text.as_bytes())).unwrap_or_default())
            }
            Some(_) => named(request, name),
            None if name == "offset" => Some(offset.map(|offset| offset.to_string()).unwrap_or_default()),
            None => None,
        };
        let is_json = !matches!(self.body, Value::String(_) | Value::Null);
        let body = match &self.body {
            Value::Null => String::new(),
            Value::String(text) => fill(text, value_of),
            json => filled_json(json, &value_of).to_string(),
        };
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.headers {
            let value: String =
                fill(value, value_of).chars().filter(|it| (' '..='~').contains(it)).take(1_024).collect();
            headers.push((name.to_ascii_lowercase(), value));
        }
        if !headers.iter().any(|(name, _)| name == "content-type") && !body.is_empty() {
            let content_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
            headers.push(("content-type".to_owned(), content_type.to_owned()));
        }
        Filled { status: self.status, headers, body }
    }
}

fn filled_json(value: &Value, value_of: &impl Fn(&str) -> Option<String>) -> Value {
    match value {
        Value::String(text) => Value::String(fill(text, value_of)),
        Value::Array(items) => items.iter().map(|item| filled_json(item, value_of)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), filled_json(value, value_of))).collect()
        }
        other => other.clone(),
    }
}
