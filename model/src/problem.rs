//! Everything that can go wrong for a caller, as RFC 9457 problems. One enum, one table.

use serde_json::{Map, Value, json};

use crate::time::{Millis, to_rfc3339};

/// What a caller is told when a request is refused. Each variant is one `code` of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The path in the URL, or one named in the body, is not a stream's path.
    InvalidPath {
        /// The rule that is broken.
        detail: String,
    },
    /// A query parameter or header is not understood.
    InvalidQuery {
        /// Its name.
        field: String,
        /// What it should be.
        detail: String,
    },
    /// One element of a batch is not an event; nothing was written.
    InvalidBatch {
        /// Position of the first bad element, from 0.
        index: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// An element of a batch is refused for what it is by itself; nothing was written.
    InBatch {
        /// Its position, from 0.
        index: usize,
        /// What it would be told alone.
        problem: Box<Problem>,
    },
    /// The body is not an event, and may not be kept as something else.
    InvalidEvent {
        /// The offending field.
        field: String,
        /// What is wrong with it.
        detail: String,
    },
    /// No token, or one that does not hold.
    Unauthorized {
        /// What is missing.
        detail: String,
    },
    /// The type lies under a reserved prefix and clients may not write it.
    ReservedType {
        /// The type.
        event_type: String,
    },
    /// The token holds, but not for this.
    Forbidden {
        /// What it would need.
        detail: String,
    },
    /// Nothing was ever written at this path, or it was deleted.
    StreamNotFound {
        /// The path.
        path: String,
    },
    /// The stream is there, what was asked for in it is not.
    NotFound {
        /// What is not there.
        detail: String,
    },
    /// The path is served, but not by this method.
    MethodNotAllowed {
        /// The methods that are, as an `Allow` header lists them.
        allow: &'static str,
    },
    /// The key was used before for another type or payload.
    IdempotencyConflict {
        /// Where the first use stands.
        offset: u64,
    },
    /// The lease ran out and was given on, or is none of this stream.
    LeaseLost,
    /// A settle, or a push's answer, that can never be accepted.
    InvalidSettle {
        /// The offending field.
        field: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The chain of causes went through too many streams.
    HopLimit {
        /// How many it would have been.
        hops: u32,
    },
    /// The event would not have got the offset that was expected; nothing was written.
    OffsetMismatch {
        /// The offset the caller expected.
        expected: u64,
        /// The offset the event would have got.
        actual: u64,
    },
    /// Larger than a limit allows.
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// The most that is allowed.
        limit: usize,
    },
    /// A control event whose content is not right.
    InvalidControlEvent {
        /// The offending field.
        field: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The stream is paused; a person resumes it.
    StreamPaused {
        /// Why it was paused.
        reason: Option<String>,
        /// When.
        since: Millis,
    },
    /// Not now; nothing was written, and trying again helps.
    Unavailable {
        /// What is the matter.
        detail: String,
        /// Seconds to wait first.
        retry_after: u32,
    },
    /// Unforeseen. Nothing was half-written.
    Internal,
}

/// A row of the table of codes: what every answer with this code has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The machine-readable name.
    pub name: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The same sentence for every occurrence.
    pub title: &'static str,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

const fn code(name: &'static str, status: u16, title: &'static str, retryable: bool) -> Code {
    Code { name, status, title, retryable }
}

/// Every code there is, in the order of their status.
pub const CODES: &[Code] = &[
    INVALID_PATH,
    INVALID_QUERY,
    INVALID_BATCH,
    INVALID_EVENT,
    INVALID_SETTLE,
    UNAUTHORIZED,
    RESERVED_TYPE,
    FORBIDDEN,
    STREAM_NOT_FOUND,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    IDEMPOTENCY_CONFLICT,
    LEASE_LOST,
    HOP_LIMIT,
    OFFSET_MISMATCH,
    TOO_LARGE,
    INVALID_CONTROL_EVENT,
    STREAM_PAUSED,
    INTERNAL,
    UNAVAILABLE,
];

const INVALID_PATH: Code = code("invalid_path", 400, "This is not the path of a stream", false);
const INVALID_QUERY: Code = code("invalid_query", 400, "A parameter or header is not understood", false);
const INVALID_BATCH: Code =
    code("invalid_batch", 400, "An element of the batch is not an event; nothing was written", false);
const INVALID_EVENT: Code = code("invalid_event", 400, "The body is not an event", false);
const INVALID_SETTLE: Code = code("invalid_settle", 400, "The settle can never be accepted", false);
const UNAUTHORIZED: Code = code("unauthorized", 401, "A valid token is needed", false);
const RESERVED_TYPE: Code = code("reserved_type", 403, "Only the system writes events of this type", false);
const FORBIDDEN: Code = code("forbidden", 403, "This is not allowed", false);
const STREAM_NOT_FOUND: Code = code("stream_not_found", 404, "There is no stream at this path", false);
const NOT_FOUND: Code = code("not_found", 404, "There is nothing here", false);
const METHOD_NOT_ALLOWED: Code = code("method_not_allowed", 405, "This path does not take this method", false);
const IDEMPOTENCY_CONFLICT: Code = code("idempotency_conflict", 409, "The key was used for another event", false);
const LEASE_LOST: Code = code("lease_lost", 409, "The lease ran out; its events were given on", false);
const HOP_LIMIT: Code = code("hop_limit", 409, "The chain of causes has too many hops", false);
const OFFSET_MISMATCH: Code = code("offset_mismatch", 412, "The event would get another offset", false);
const TOO_LARGE: Code = code("too_large", 413, "Larger than the limit", false);
const INVALID_CONTROL_EVENT: Code = code("invalid_control_event", 422, "The control event is not valid", false);
const STREAM_PAUSED: Code = code("stream_paused", 423, "The stream is paused", true);
const INTERNAL: Code = code("internal", 500, "Something unforeseen happened; nothing was half-written", true);
const UNAVAILABLE: Code = code("unavailable", 503, "Not now; try again", true);

impl Problem {
    /// The same of an element of a batch, so that one finds it.
    #[must_use]
    pub fn at_index(self, index: usize) -> Self {
        match self {
            // These are no fault of an element, or name it already.
            Self::InBatch { .. }
            | Self::InvalidBatch { .. }
            | Self::StreamPaused { .. }
            | Self::Unavailable { .. }
            | Self::Internal => self,
            problem => Self::InBatch { index, problem: Box::new(problem) },
        }
    }

    /// The row of the table this problem belongs to.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::InvalidPath { .. } => INVALID_PATH,
            Self::InvalidQuery { .. } => INVALID_QUERY,
            Self::InvalidBatch { .. } => INVALID_BATCH,
            Self::InBatch { problem, .. } => problem.code(),
            Self::InvalidEvent { .. } => INVALID_EVENT,
            Self::Unauthorized { .. } => UNAUTHORIZED,
            Self::ReservedType { .. } => RESERVED_TYPE,
            Self::Forbidden { .. } => FORBIDDEN,
            Self::StreamNotFound { .. } => STREAM_NOT_FOUND,
            Self::NotFound { .. } => NOT_FOUND,
            Self::MethodNotAllowed { .. } => METHOD_NOT_ALLOWED,
            Self::IdempotencyConflict { .. } => IDEMPOTENCY_CONFLICT,
            Self::LeaseLost => LEASE_LOST,
            Self::InvalidSettle { .. } => INVALID_SETTLE,
            Self::HopLimit { .. } => HOP_LIMIT,
            Self::OffsetMismatch { .. } => OFFSET_MISMATCH,
            Self::TooLarge { .. } => TOO_LARGE,
            Self::InvalidControlEvent { .. } => INVALID_CONTROL_EVENT,
            Self::StreamPaused { .. } => STREAM_PAUSED,
            Self::Unavailable { .. } => UNAVAILABLE,
            Self::Internal => INTERNAL,
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.code().status
    }

    /// Headers that belong to the answer beside its body.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Unavailable { retry_after, .. } => vec![("retry-after", retry_after.to_string())],
            Self::Unauthorized { .. } => vec![("www-authenticate", "Bearer".to_owned())],
            Self::MethodNotAllowed { allow } => vec![("allow", (*allow).to_owned())],
            Self::InBatch { problem, .. } => problem.headers(),
            _ => Vec::new(),
        }
    }

    /// The `application/problem+json` body (RFC 9457).
    #[must_use]
    pub fn to_json(&self) -> String {
        let code = self.code();
        let mut body = Map::new();
        body.insert("type".into(), json!(format!("urn:tailrace:problem:{}", code.name)));
        body.insert("title".into(), json!(code.title));
        body.insert("status".into(), json!(code.status));
        body.insert("detail".into(), json!(self.detail()));
        body.insert("code".into(), json!(code.name));
        body.insert("retryable".into(), json!(code.retryable));
        self.add_members(&mut body);
        Value::Object(body).to_string()
    }

    /// What it was this time, for people.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::InvalidPath { detail }
            | Self::Unauthorized { detail }
            | Self::Forbidden { detail }
            | Self::NotFound { detail }
            | Self::Unavailable { detail, .. } => detail.clone(),
            Self::InvalidQuery { field, detail }
            | Self::InvalidEvent { field, detail }
            | Self::InvalidSettle { field, detail }
            | Self::InvalidControlEvent { field, detail } => format!("{field}: {detail}"),
            Self::InvalidBatch { index, detail } => format!("element {index}: {detail}"),
            Self::InBatch { index, problem } => format!("element {index}: {}", problem.detail()),
            Self::ReservedType { event_type } => {
                format!("`{event_type}` is reserved: the stream itself writes or obeys events of this prefix")
            }
            Self::StreamNotFound { path } => format!("nothing was written at {path} yet, or it was deleted"),
            Self::MethodNotAllowed { allow } => format!("allowed here: {allow}"),
            Self::IdempotencyConflict { offset } => {
                format!("the event at offset {offset} has this key, but another type or payload")
            }
            Self::LeaseLost => "lease again: what was not settled is delivered once more".to_owned(),
            Self::HopLimit { hops } => {
                format!("{hops} hops from stream to stream, at most {} are allowed", crate::limits::HOPS)
            }
            Self::OffsetMismatch { expected, actual } => {
                format!("expected offset {expected}, but the event would get {actual}")
            }
            Self::TooLarge { what, limit } => format!("{what}: at most {limit}"),
            Self::StreamPaused { reason, since } => format!(
                "paused since {}{}",
                to_rfc3339(*since),
                reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default(),
            ),
            Self::Internal => "the error is in the deployment's log".to_owned(),
        }
    }

    fn add_members(&self, body: &mut Map<String, Value>) {
        match self {
            Self::InvalidQuery { field, .. }
            | Self::InvalidEvent { field, .. }
            | Self::InvalidSettle { field, .. }
            | Self::InvalidControlEvent { field, .. } => {
                body.insert("field".into(), json!(field));
            }
            Self::InvalidBatch { index, .. } => {
                body.insert("index".into(), json!(index));
            }
            Self::InBatch { index, problem } => {
                body.insert("index".into(), json!(index));
                problem.add_members(body);
            }
            Self::ReservedType { .. } => {
                body.insert("field".into(), json!("type"));
            }
            Self::IdempotencyConflict { offset } => {
                body.insert("offset".into(), json!(offset));
            }
            Self::HopLimit { hops } => {
                body.insert("hops".into(), json!(hops));
            }
            Self::OffsetMismatch { expected, actual } => {
                body.insert("expected".into(), json!(expected));
                body.insert("actual".into(), json!(actual));
            }
            Self::TooLarge { limit, .. } => {
                body.insert("limit".into(), json!(limit));
            }
            Self::StreamPaused { reason, since } => {
                body.insert("reason".into(), json!(reason));
                body.insert("since".into(), json!(to_rfc3339(*since)));
                body.insert("resume".into(), json!("append {\"type\":\"stream.resumed\"} to this stream"));
            }
            Self::InvalidPath { .. }
            | Self::LeaseLost
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::StreamNotFound { .. }
            | Self::NotFound { .. }
            | Self::MethodNotAllowed { .. }
            | Self::Unavailable { .. }
            | Self::Internal => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_carries_its_code_and_the_value_to_retry_with() {
        let problem = Problem::OffsetMismatch { expected: 5, actual: 9 };
        let body: Value = serde_json::from_str(&problem.to_json()).unwrap();
        assert_eq!(body["code"], "offset_mismatch");
        assert_eq!(body["status"], 412);
        assert_eq!(body["actual"], 9);
        assert_eq!(body["retryable"], false);
    }

    #[test]
    fn of_an_element_of_a_batch_a_problem_says_all_that_it_says_alone_and_which() {
        let alone = Problem::TooLarge { what: "an event in bytes", limit: 3 };
        let body: Value = serde_json::from_str(&alone.clone().at_index(7).at_index(8).to_json()).unwrap();
        assert_eq!((&body["code"], &body["status"], &body["limit"]), (&json!("too_large"), &json!(413), &json!(3)));
        assert_eq!((&body["index"], &body["detail"]), (&json!(7), &json!(format!("element 7: {}", alone.detail()))));
        let paused = Problem::StreamPaused { reason: None, since: 0 };
        assert_eq!(paused.clone().at_index(7), paused);
    }

    #[test]
    fn codes_are_unique_and_sorted_by_status() {
        let names: std::collections::HashSet<_> = CODES.iter().map(|code| code.name).collect();
        assert_eq!(names.len(), CODES.len());
        assert!(CODES.is_sorted_by_key(|code| code.status));
    }
}
