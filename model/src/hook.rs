//! A request of a third party as an event: `webhook.received`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::json;
use crate::limits;
use crate::line::Fragment;
use crate::webhook::Verdict;

/// The type of the event that a request becomes.
pub const RECEIVED: &str = "webhook.received";

/// What stands in the event instead of a secret.
const REDACTED: &str = "[redacted]";

/// A request, but for its body.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The whole URL.
    pub url: &'a str,
    /// The headers; names in lower case.
    pub headers: &'a [(String, String)],
    /// What the URL names as the sender.
    pub source: Option<&'a str>,
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// Too large to stand in the event; its size and digest were taken while it went by.
    Streamed {
        /// Bytes.
        size: usize,
        /// In hexadecimal.
        sha256: &'a str,
    },
}

/// A request as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// See [`crate::event::NewEvent::fragment`].
    pub fragment: String,
    /// True when the line holds the exact bytes, so that they need not be kept beside it.
    pub exact: bool,
}

/// What was found out about a request beside what it says itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details<'a> {
    /// Goes to `metadata.tailrace`, as JSON text.
    pub system: Option<&'a str>,
    /// Goes to `metadata`, as the text of a JSON object.
    pub metadata: Option<&'a str>,
    /// Whether it is signed as it should be.
    pub verdict: Option<&'a Verdict>,
    /// The fields of a form that only the platform can read, as JSON text.
    pub form: Option<&'a str>,
    /// Names of headers and parameters, in lower case, that carry a secret of this source.
    pub secret_names: &'a [String],
    /// The part of the body that this event is about, as JSON text, when the request carries several.
    pub body: Option<&'a str>,
}

/// Turns a request into an event, with what was found out about it.
#[must_use]
pub fn receive(request: &Request, content: Content, details: &Details) -> Received {
    if let Content::Whole(bytes) = content {
        let mut body = match details.body {
            Some(part) => Encoded { exact: false, ..encode(part.as_bytes(), None) },
            None => encode(bytes, content_type(request)),
        };
        if let Some(form) = details.form {
            body.form = Some(form.to_owned());
            body.encoding = if body.encoding == "text" { "form" } else { body.encoding };
        }
        let exact = body.exact;
        if let Some(fragment) = fragment(request, bytes.len(), &hex_sha256(bytes), &body, details)
            && fragment.len() <= limits::HOOK_LINE_BYTES
        {
            return Received { fragment, exact };
        }
        return raw(request, bytes.len(), &hex_sha256(bytes), details);
    }
    let Content::Streamed { size, sha256 } = content else { return raw(request, 0, "", details) };
    raw(request, size, sha256, details)
}

/// The SHA-256 of `bytes` in hexadecimal.
#[must_use]
pub fn hex_sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Standard base64 with padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// What [`base64`] wrote.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The exact bytes of a request, from the payload of its event, where [`Received::exact`] held.
/// `None` when they are kept elsewhere or the payload is not of a `webhook.received`.
#[must_use]
pub fn bytes_of(payload: &str) -> Option<Vec<u8>> {
    let payload: Payload = serde_json::from_str(payload).ok()?;
    let text = || serde_json::from_str::<String>(payload.body?.get()).ok();
    Some(match payload.encoding.as_ref() {
        "none" => Vec::new(),
        // `null` reads as nothing.
        "json" => payload.body.map_or("null", RawValue::get).as_bytes().to_vec(),
        "text" | "form" => text()?.into_bytes(),
        "base64" => BASE64.decode(text()?).ok()?,
        _ => return None,
    })
}

/// What the sender called the content, from the payload of its event.
#[must_use]
pub fn content_type_of(payload: &str) -> Option<String> {
    serde_json::from_str::<Payload>(payload).ok()?.content_type
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    encoding: String,
    content_type: Option<String>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

struct Encoded {
    encoding: &'static str,
    /// JSON text.
    body: String,
    /// JSON text of an object: the fields of a form.
    form: Option<String>,
    /// JSON text: what the field `payload` of a form holds, where that is JSON.
    unpacked: Option<String>,
    exact: bool,
}

fn encode(bytes: &[u8], content_type: Option<&str>) -> Encoded {
    let plain = |encoding, body| Encoded { encoding, body, form: None, unpacked: None, exact: true };
    if bytes.is_empty() {
        return plain("none", "null".to_owned());
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return plain("base64", format!("\"{}\"", BASE64.encode(bytes)));
    };
    if let Some(body) = as_json(text) {
        let exact = body == text;
        return Encoded { encoding: "json", body, form: None, unpacked: None, exact };
    }
    let mut encoded = plain("text", json::quoted(text));
    if content_type.is_some_and(is_form) {
        encoded.encoding = "form";
        encoded.form = Some(form_to_json(text));
        let payload = form_urlencoded::parse(text.as_bytes()).find(|(name, _)| name == "payload");
        encoded.unpacked =
            payload.filter(|(_, value)| value.starts_with(['{', '['])).and_then(|(_, value)| as_json(&value));
    }
    encoded
}

/// Whether a content type is that of a form in the notation of URLs. Names of types know no case (RFC 9110, section 8.3.1).
#[must_use]
pub fn is_form(content_type: &str) -> bool {
    is_type(content_type, "application/x-www-form-urlencoded")
}

/// Whether a content type is that of a form in several parts.
#[must_use]
pub fn is_multipart(content_type: &str) -> bool {
    is_type(content_type, "multipart/form-data")
}

fn is_type(content_type: &str, name: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(name)
}

/// What of an attribute, by its name, may stand in the log.
pub(crate) fn redacted<'a>(name: &str, value: &'a str) -> &'a str {
    if is_secret_header(name) { REDACTED } else { value }
}

/// The body on one line, if it is JSON that every reader will take: its line nests two levels deeper than itself.
fn as_json(text: &str) -> Option<String> {
    serde_json::from_str::<&RawValue>(text).ok()?;
    let mut out = String::new();
    json::push_compact(&mut out, text, limits::JSON_DEPTH - 2).ok()?;
    Some(out)
}

/// Fields in their order; a name that comes twice becomes a list.
fn form_to_json(text: &str) -> String {
    let mut fields: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let (name, value) = (name.into_owned(), value.into_owned());
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => fields.push((name, vec![value])),
        }
    }
    let members: Vec<String> = fields
        .iter()
        .map(|(name, values)| {
            let quoted: Vec<String> = values.iter().map(|value| json::quoted(value)).collect();
            let value = if quoted.len() == 1 { quoted.concat() } else { format!("[{}]", quoted.join(",")) };
            format!("{}:{value}", json::quoted(name))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

fn raw(request: &Request, size: usize, sha256: &str, details: &Details) -> Received {
    let body = Encoded { encoding: "raw", body: "null".to_owned(), form: None, unpacked: None, exact: false };
    let fragment = fragment(request, size, sha256, &body, details).unwrap_or_default();
    Received { fragment, exact: false }
}

fn fragment(request: &Request, size: usize, sha256: &str, body: &Encoded, details: &Details) -> Option<String> {
    let mut payload = String::with_capacity(body.body.len() + 1_024);
    payload.push('{');
    if let Some(source) = request.source {
        let _ = write!(payload, "\"source\":{},", json::quoted(source));
    }
    let _ = write!(
        payload,
        "\"method\":{},\"url\":{},\"headers\":{},\"contentType\":{},\"encoding\":\"{}\"",
        json::quoted(request.method),
        json::quoted(&redact_url(request.url, details.secret_names)),
        headers_to_json(request.headers, details.secret_names),
        content_type(request).map_or_else(|| "null".to_owned(), json::quoted),
        body.encoding,
    );
    if body.encoding != "raw" {
        let _ = write!(payload, ",\"body\":{}", body.body);
    }
    if let Some(form) = &body.form {
        let _ = write!(payload, ",\"form\":{form}");
    }
    if let Some(unpacked) = &body.unpacked {
        let _ = write!(payload, ",\"unpacked\":{unpacked}");
    }
    let _ = write!(payload, ",\"size\":{size},\"sha256\":\"{sha256}\"");
    push_verdict(&mut payload, details.verdict);
    payload.push('}');
    let system = details.system.map(str::to_owned);
    Fragment { event_type: RECEIVED, payload: &payload, metadata: details.metadata, system, key: None }.to_text().ok()
}

fn push_verdict(out: &mut String, verdict: Option<&Verdict>) {
    let verified = verdict.and_then(|it| it.verified).map_or("null", |it| if it { "true" } else { "false" });
    let _ = write!(out, ",\"verified\":{verified}");
    let Some(verdict) = verdict else { return };
    for (name, value) in [("scheme", &verdict.scheme), ("key", &verdict.key), ("reason", &verdict.reason)] {
        if let Some(value) = value {
            let _ = write!(out, ",\"{name}\":{}", json::quoted(value));
        }
    }
}

fn content_type<'a>(request: &Request<'a>) -> Option<&'a str> {
    request.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str())
}

fn headers_to_json(headers: &[(String, String)], secret: &[String]) -> String {
    let members: Vec<String> = headers
        .iter()
        .map(|(name, value)| {
            // Some headers repeat the URL of the request, and what is secret in it.
            let is_secret = is_secret_header(name) || secret.iter().any(|it| it == name);
            let value = if is_secret { REDACTED.to_owned() } else { redact_url(value, secret) };
            format!("{}:{}", json::quoted(name), json::quoted(&value))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Headers that are a secret themselves. A signature is none: it is worth nothing without the key, and proves the body.
fn is_secret_header(name: &str) -> bool {
    const SIGNED: &[&str] = &["signature", "idempotency-key", "sec-websocket-key"];
    let is_signed = SIGNED.iter().any(|part| name.contains(part));
    name.contains("cookie") || (!is_signed && is_secret_name(name))
}

/// Names under which senders hand over static credentials: `X-Gitlab-Token`, `X-Api-Key`, `access_token` …
fn is_secret_name(name: &str) -> bool {
    const PARTS: &[&str] =
        &["token", "secret", "passw", "apikey", "credential", "authoriz", "authentic", "bearer", "session", "jwt"];
    const LAST_WORDS: &[&str] = &["key", "auth", "pass", "pwd"];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
        || name.rsplit(['-', '_', '.']).next().is_some_and(|word| LAST_WORDS.contains(&word))
}

/// The URL without user information and without the parameters that are secrets.
fn redact_url(url: &str, secret: &[String]) -> String {
    let Some((base, query)) = url.split_once('?') else { return url.to_owned() };
    let (query, _) = query.split_once('#').unwrap_or((query, ""));
    let is_kept = |pair: &&str| {
        let name =
            form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default();
        !is_secret_name(&name) && !secret.contains(&name.to_ascii_lowercase())
    };
    let kept: Vec<&str> = query.split('&').filter(is_kept).collect();
    if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn received(body: &[u8], content_type: &str) -> (Value, Received) {
        let headers = vec![
            ("content-type".to_owned(), content_type.to_owned()),
            ("x-api-key".to_owned(), "canary".to_owned()),
            ("x-hub-signature-256".to_owned(), "sha256=ab".to_owned()),
            ("referer".to_owned(), "http://h/hooks/a?KEY=canary&y=2".to_owned()),
            ("x-functions-key".to_owned(), "canary".to_owned()),
            ("user-agent".to_owned(), "who? me".to_owned()),
        ];
        let request = Request {
            method: "POST",
            url: "http://h/hooks/a?key=canary&x=1&access_token=canary",
            headers: &headers,
            source: None,
        };
        let received = receive(&request, Content::Whole(body), &Details::default());
        let value: Value = serde_json::from_str(&format!("{{{}}}", received.fragment)).unwrap();
        (value["payload"].clone(), received)
    }

    #[test]
    fn a_body_is_kept_in_the_most_readable_form() {
        let encoding =
            |body: &[u8], content_type: &str| received(body, content_type).0["encoding"].as_str().unwrap().to_owned();
        assert_eq!(encoding(b"{\"a\":1}", "text/plain"), "json");
        assert_eq!(encoding(b"hello", "application/json"), "text");
        assert_eq!(encoding(b"", "application/json"), "none");
        assert_eq!(encoding(&[0xff, 0], ""), "base64");
        assert_eq!(encoding(b"a=1", "application/x-www-form-urlencoded; charset=utf-8"), "form");
        assert_eq!(encoding(&vec![b'x'; 300_000], "text/plain"), "raw");
        assert_eq!(encoding("[".repeat(100).as_bytes(), "application/json"), "text");
    }

    #[test]
    fn form_fields_are_decoded_in_order_and_repeats_become_a_list() {
        let (payload, _) = received(b"b=1+2&a=%C3%A9&b=3&c", "application/x-www-form-urlencoded");
        assert_eq!(payload["form"].to_string(), r#"{"b":["1 2","3"],"a":"é","c":""}"#);
        assert_eq!(payload["body"], "b=1+2&a=%C3%A9&b=3&c");
    }

    #[test]
    fn secrets_are_not_kept_and_signatures_are() {
        let (payload, received) = received(b"x", "text/plain");
        assert!(!received.fragment.contains("canary"));
        assert_eq!(payload["headers"]["x-api-key"], REDACTED);
        assert_eq!(payload["headers"]["x-hub-signature-256"], "sha256=ab");
        assert_eq!(payload["url"], "http://h/hooks/a?x=1");
        assert_eq!(payload["headers"]["referer"], "http://h/hooks/a?y=2");
        assert_eq!(payload["headers"]["user-agent"], "who? me");
    }

    proptest! {
        #[test]
        fn bytes_said_to_be_in_the_line_are_there(body in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}", json in any::<bool>()) {
            for bytes in [body, b"null".to_vec(), text.clone().into_bytes(), if json { format!(" {{\"t\": {}}}", json::quoted(&text)).into_bytes() } else { json::quoted(&text).into_bytes() }] {
                let (payload, received) = received(&bytes, "text/plain");
                if received.exact {
                    let line = format!("{{{}}}", received.fragment);
                    let line = serde_json::from_str::<std::collections::BTreeMap<String, &RawValue>>(&line).unwrap();
                    prop_assert_eq!(bytes_of(line["payload"].get()).unwrap(), bytes.clone());
                } else {
                    prop_assert_eq!(&payload["encoding"], "json");
                }
                prop_assert_eq!(payload["sha256"].as_str().unwrap(), hex_sha256(&bytes));
            }
        }
    }
}
