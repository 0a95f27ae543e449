//! A request as we look at it, and answers as we make them. The one place where problems become HTTP.

use js_sys::JsString;
use tailrace_durable::wire::read_head;
use tailrace_model::Problem;
use wasm_bindgen::prelude::*;

use crate::platform;

/// JSON.
pub const JSON: &str = "application/json";
/// One JSON text a line.
pub const NDJSON: &str = "application/x-ndjson";
/// RFC 9457.
pub const PROBLEM: &str = "application/problem+json";
/// Server-Sent Events.
pub const EVENT_STREAM: &str = "text/event-stream";

/// An answer on its way out.
pub type Response = web_sys::Response;

/// A request on its way in. Its body is read by whoever handles it.
pub struct Request {
    inner: web_sys::Request,
    /// The body, when it was read already.
    pub body: Option<Vec<u8>>,
    /// The method, in capitals as the platform hands it over.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The path in it, still percent-encoded, from its first slash on.
    pub path: String,
    /// The query, decoded.
    pub query: Query,
}

impl Request {
    /// Looks at a request.
    #[must_use]
    pub fn new(inner: web_sys::Request, body: Option<Vec<u8>>) -> Self {
        let url = inner.url();
        let (path, query) = split_url(&url);
        Self { method: inner.method(), path: path.to_owned(), query: Query::parse(query), url, inner, body }
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.inner.headers().get(name).ok().flatten()
    }

    /// All headers, names in lower case.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        let entries = self.inner.headers().entries();
        entries
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let pair = js_sys::Array::from(&entry);
                Some((pair.get(0).as_string()?, pair.get(1).as_string()?))
            })
            .collect()
    }

    /// The platform's own request.
    #[must_use]
    pub fn inner(&self) -> &web_sys::Request {
        &self.inner
    }
}

/// Which of `offered` an `Accept` header names with the highest weight, the first of equals (RFC 9110, section 12.5.1).
/// `None` when it names none of them: wild cards are no preference.
#[must_use]
pub fn preferred<'o>(accept: Option<&str>, offered: &[&'o str]) -> Option<&'o str> {
    let mut best: Option<(&str, f32)> = None;
    for item in accept?.split(',') {
        let mut parts = item.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.trim().parse().ok()).unwrap_or(1.0);
        let Some(known) = offered.iter().find(|known| known.eq_ignore_ascii_case(name)) else { continue };
        if weight > 0.0 && best.is_none_or(|(_, before)| weight > before) {
            best = Some((known, weight));
        }
    }
    best.map(|(name, _)| name)
}

/// The path and the query of a whole URL, still encoded.
#[must_use]
pub fn split_url(url: &str) -> (&str, &str) {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or("/");
    let (rest, _) = rest.split_once('#').unwrap_or((rest, ""));
    rest.split_once('?').unwrap_or((rest, ""))
}

/// The parameters of a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the `?`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// All parameters, in their order.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The value of a parameter; empty counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The values of a parameter that may come several times, as one list.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .0
            .iter()
            .filter(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// True when the parameter is there, with a value or without.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// A parameter that is `true` or `false`; absent = `false`.
    ///
    /// # Errors
    /// [`Problem::InvalidQuery`]
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            // `?live` says the same as `?live=true`.
            None => Ok(self.names(name)),
            Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(invalid_query(name, "true or false")),
        }
    }

    /// A parameter that is a whole number.
    ///
    /// # Errors
    /// [`Problem::InvalidQuery`] when it is not one, or out of range.
    pub fn number(&self, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let (start, end) = range.into_inner();
            invalid_query(name, &format!("a whole number from {start} to {end}"))
        })
    }
}

/// A parameter or header that is not understood.
#[must_use]
pub fn invalid_query(field: &str, detail: &str) -> Problem {
    Problem::InvalidQuery { field: field.to_owned(), detail: detail.to_owned() }
}

/// What an object answered, its body still a string of the platform.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    head: String,
    /// The body.
    pub body: JsString,
}

impl Answer {
    /// Takes an object's text apart.
    #[must_use]
    pub fn new(text: &JsString) -> Self {
        let end = text.index_of("\n\n", 0);
        let end = u32::try_from(end).unwrap_or(0);
        let head = String::from(text.substring(0, end));
        let (status, _) = read_head(&head);
        Self { status, head, body: text.substring(end + 2, text.length()) }
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        read_head(&self.head).1.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The value of a header that is a whole number; 0 when it is not there.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        self.header(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Hands the answer on, with `content_type` unless it is a problem, and more headers.
    ///
    /// # Errors
    /// [`Problem::Internal`]
    pub fn into_response(self, content_type: &str, more: &[(&str, &str)]) -> Result<Response, Problem> {
        let (_, mut headers) = read_head(&self.head);
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            headers.push(("content-type", content_type));
        }
        headers.extend_from_slice(more);
        make(self.status, &headers, &self.body)
    }
}

/// An answer with a text.
///
/// # Errors
/// [`Problem::Internal`]
pub fn text(status: u16, headers: &[(&str, &str)], body: &str) -> Result<Response, Problem> {
    make(status, headers, &JsString::from(body))
}

/// An answer with a body of the platform's.
///
/// # Errors
/// [`Problem::Internal`]
pub fn make(status: u16, headers: &[(&str, &str)], body: &JsValue) -> Result<Response, Problem> {
    platform::response(status, headers, body).map_err(|error| unforeseen("answer", &error))
}

/// Problems become HTTP here.
///
/// # Errors
/// What the platform throws.
pub fn problem(problem: &Problem) -> Result<Response, JsValue> {
    let own = problem.headers();
    let mut headers: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.push(("content-type", PROBLEM));
    platform::response(problem.status(), &headers, &JsValue::from_str(&problem.to_json()))
}

/// What a call to an object threw: a passing state of the platform, or a fault of ours that is logged.
#[must_use]
pub fn unforeseen(what: &str, error: &JsValue) -> Problem {
    let says = |name: &str| js_sys::Reflect::get(error, &JsValue::from_str(name)).is_ok_and(|it| it.is_truthy());
    worker::console_error!("{what}: {error:?}");
    if says("overloaded") || says("retryable") {
        return Problem::Unavailable { detail: "the stream could not be reached".to_owned(), retry_after: 1 };
    }
    Problem::Internal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_named_type_is_preferred() {
        let prefer = |accept| preferred(Some(accept), &[JSON, NDJSON, EVENT_STREAM, "text/html"]);
        assert_eq!(prefer("*/*"), None);
        assert_eq!(prefer("text/event-stream"), Some(EVENT_STREAM));
        assert_eq!(prefer("application/json, text/event-stream"), Some(JSON));
        assert_eq!(prefer("application/json;q=0.1, Text/Event-Stream"), Some(EVENT_STREAM));
        assert_eq!(prefer("text/html;q=0, application/json"), Some(JSON));
        assert_eq!(prefer("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Some("text/html"));
        assert_eq!(preferred(None, &[JSON]), None);
    }

    #[test]
    fn a_flag_is_true_by_its_name_alone() {
        let query = Query::parse("live&a=true&b=0&c=maybe&d=");
        assert_eq!(query.flag("live"), Ok(true));
        assert_eq!(query.flag("a"), Ok(true));
        assert_eq!(query.flag("b"), Ok(false));
        assert_eq!(query.flag("absent"), Ok(false));
        assert!(query.flag("c").is_err());
    }
}
