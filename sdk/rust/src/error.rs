//! What can go wrong.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

/// Why something did not happen.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The deployment refuses it, as an RFC 9457 problem says, or as the status alone does.
    Refused(Box<Refusal>),
    /// No whole answer came.
    Unreachable(String),
    /// An answer came that makes no sense.
    Answer(String),
    /// What was given makes no sense: a URL, a path, a payload, a secret.
    Invalid(String),
}

/// A refusal. `code` is what a program looks at; docs/errors.md lists them all.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Refusal {
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// The machine-readable name, such as `stream_paused`; empty when the answer was no problem of Tailrace's.
    #[serde(default)]
    pub code: String,
    /// The same sentence for every refusal with this code.
    #[serde(default)]
    pub title: String,
    /// What it was this time, for people.
    #[serde(default)]
    pub detail: String,
    /// Whether the same request may succeed later; `None` when nothing is said about it.
    #[serde(default)]
    pub retryable: Option<bool>,
    /// The field that is not right.
    #[serde(default)]
    pub field: Option<String>,
    /// How long to wait first.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// What else the problem says, such as `expected` and `actual`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Refusal {
    /// Reads the body of an answer that is no success.
    pub(crate) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let read = serde_json::from_slice::<Self>(body).ok();
        let mut refusal = read.unwrap_or_else(|| Self {
            status,
            code: String::new(),
            title: String::new(),
            detail: String::from_utf8_lossy(body).chars().take(200).collect(),
            retryable: None,
            field: None,
            retry_after,
            other: Map::new(),
        });
        // What HTTP says counts, whatever a body claims.
        refusal.status = status;
        refusal.retry_after = retry_after;
        refusal
    }
}

impl Error {
    /// The refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The code of the refusal; empty if it is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.refusal().map_or("", |refusal| refusal.code.as_str())
    }

    /// The HTTP status; 0 when no answer came.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.refusal().map_or(0, |refusal| refusal.status)
    }

    /// Whether trying the same again soon may help. A paused stream is no such thing: a person resumes it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Answer(_) => true,
            Self::Invalid(_) => false,
            Self::Refused(refusal) => match refusal.status {
                408 | 425 | 429 => true,
                500.. => refusal.retryable != Some(false),
                _ => false,
            },
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.refusal().and_then(|refusal| refusal.retry_after)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unreachable(detail) => write!(f, "no answer: {detail}"),
            Self::Answer(detail) => write!(f, "the answer makes no sense: {detail}"),
            Self::Invalid(detail) => f.write_str(detail),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = if self.code.is_empty() { String::new() } else { format!(" {}", self.code) };
        write!(f, "{}{code}: ", self.status)?;
        if self.title.is_empty() { f.write_str(&self.detail) } else { write!(f, "{} ({})", self.title, self.detail) }
    }
}

impl std::error::Error for Error {}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        // Without the URL, in which there may be a secret; with the cause, without which it says nothing.
        let error = error.without_url();
        if error.is_builder() {
            return Self::Invalid(error.to_string());
        }
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self::Unreachable(format!("{error}{cause}"))
    }
}

impl From<tailrace_model::Problem> for Error {
    fn from(problem: tailrace_model::Problem) -> Self {
        Self::Invalid(problem.detail())
    }
}
