//! Why a call of a model came to nothing, in a provider's words.

use std::time::Duration;

use tailrace_model::time::{Millis, from_rfc3339};

use super::object::{Object, objects};
use super::text::plain;

/// Characters of a failure's text.
const ERROR_CHARS: usize = 1_000;
/// Characters of a foreign text that is shown for want of a message.
const EXCERPT_CHARS: usize = 200;

/// Statuses below 500 after which trying again may help.
const PASSING: [u16; 4] = [408, 409, 425, 429];

/// Codes that no further attempt changes, whatever the status.
const SPENT: [&str; 4] = ["insufficient_quota", "billing", "context_length", "credit"];

/// What says in an event, which has no status, that the request itself is at fault.
const AT_FAULT: [&str; 12] = [
    "invalid",
    "authentication",
    "permission",
    "not_found",
    "unsupported",
    "too_large",
    "too_long",
    "content_policy",
    "content_filter",
    "moderation",
    "safety",
    "parse_error",
];

/// What a message says when the conversation has become too long for the model.
const TOO_LONG: [&str; 3] = ["maximum context length", "context window", "prompt is too long"];

/// Why a call of a model came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For people; cut to 1,000 characters. Never with a secret, unless the provider itself repeated it.
    pub error: String,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// Trying again may help.
    pub retryable: bool,
    /// Milliseconds that the provider wants to be left alone.
    pub retry_after_ms: Option<u64>,
}

/// What an answer with another status than 2xx means. `retry_after` is the header's value: seconds, an HTTP date, or
/// milliseconds with `ms` behind them; `body` may be cut. Whether a repeated secret stands in `body` is for the caller to
/// see.
#[must_use]
pub fn refused(status: u16, retry_after: Option<&str>, body: &[u8], now_ms: Millis) -> Failure {
    let text = String::from_utf8_lossy(body);
    let told = Told::parse(&text);
    let message = Some(told.message).filter(|message| !message.is_empty()).unwrap_or_else(|| excerpt(&text));
    let error = if message.is_empty() { format!("the model's provider answered {status}") } else { message };
    let is_passing = PASSING.contains(&status) || status >= 500;
    Failure {
        error: shortened(&error, ERROR_CHARS),
        status: Some(status),
        retryable: is_passing && !says(&told.code, &SPENT) && !says(&error, &TOO_LONG),
        retry_after_ms: retry_after.and_then(|value| milliseconds(value, now_ms)),
    }
}

impl Failure {
    /// What came can't be read.
    pub(super) fn malformed(text: &str) -> Self {
        Self::passing(&format!("malformed answer of the model: {}", excerpt(text)))
    }

    /// The connection ended before the answer did.
    pub(super) fn truncated() -> Self {
        Self::passing("truncated: the connection ended before the model's answer did")
    }

    /// The answer is past a bound.
    pub(super) fn too_large(what: &str) -> Self {
        Self { retryable: false, ..Self::passing(&format!("the model's answer is too large: {what}")) }
    }

    /// What a provider said in place of an answer, after a status of 2xx.
    pub(super) fn said(object: &Object) -> Self {
        let told = Told::from(object);
        let error = if !told.message.is_empty() {
            told.message
        } else if !told.code.is_empty() {
            told.code.clone()
        } else {
            "the model's provider reported an error".to_owned()
        };
        let is_final = match told.status {
            Some(status) => (400..500).contains(&status) && !PASSING.contains(&status),
            None => says(&told.code, &AT_FAULT),
        };
        let is_final = is_final || says(&told.code, &SPENT) || says(&error, &TOO_LONG);
        Self { retryable: !is_final, ..Self::passing(&error) }
    }

    fn passing(error: &str) -> Self {
        Self { error: shortened(error, ERROR_CHARS), status: None, retryable: true, retry_after_ms: None }
    }
}

/// What a provider says of an error.
#[derive(Default)]
struct Told {
    message: String,
    /// `code` and `type`, with a space between.
    code: String,
    /// A `code` that is a number: the status that some gateways have no other place for.
    status: Option<u16>,
}

impl Told {
    fn parse(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}');
        // Some put their one error into an array.
        let first = || objects(serde_json::from_str(text).ok()?).into_iter().next();
        Object::parse(text).or_else(first).map(|object| Self::from(&object)).unwrap_or_default()
    }

    fn from(object: &Object) -> Self {
        let of_response = || object.object("response")?.object("error");
        let of_several = || object.objects("errors").into_iter().next();
        let error = object.object("error").or_else(of_response).or_else(of_several).unwrap_or_else(|| object.clone());
        let named = ["message", "error", "detail"].iter().find_map(|name| error.get(name));
        let code = |name: &str| error.get(name).map(|code| plain(code).unwrap_or_else(|| code.get().to_owned()));
        Self {
            message: named.map(|message| plain(message).unwrap_or_else(|| excerpt(message.get()))).unwrap_or_default(),
            code: [code("code"), code("type")].into_iter().flatten().collect::<Vec<_>>().join(" "),
            status: error.number("code").and_then(|code| u16::try_from(code).ok()),
        }
    }
}

fn says(text: &str, words: &[&str]) -> bool {
    let text = text.to_ascii_lowercase();
    words.iter().any(|word| text.contains(word))
}

/// The beginning of a text, on one line.
fn excerpt(text: &str) -> String {
    // White space is rarely longer than what it separates; more than this is not looked at.
    let start: String = text.chars().take(EXCERPT_CHARS * 10).collect();
    shortened(&start.split_whitespace().collect::<Vec<_>>().join(" "), EXCERPT_CHARS)
}

fn shortened(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

fn milliseconds(value: &str, now_ms: Millis) -> Option<u64> {
    let value = value.trim();
    let duration = |number: &str, unit: f64| {
        let seconds = number.trim().parse::<f64>().ok()? / unit;
        u64::try_from(Duration::try_from_secs_f64(seconds).ok()?.as_millis()).ok()
    };
    if let Some(number) = value.strip_suffix("ms") {
        return duration(number, 1_000.0);
    }
    duration(value, 1.0).or_else(|| u64::try_from(http_date(value)?.saturating_sub(now_ms).max(0)).ok())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, as HTTP writes instants (RFC 9110, section 5.6.7).
fn http_date(text: &str) -> Option<Millis> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_whitespace().skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    from_rfc3339(&format!("{year}-{month:02}-{day:0>2}T{time}Z"))
}
