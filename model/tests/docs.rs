//! The tables in `docs/` are what the code says, and the description of the API knows every problem.
//!
//! `TAILRACE_WRITE_DOCS=1 cargo test -p tailrace-model --test docs` writes them anew.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a table that misses a row is to fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;
use tailrace_model::control::Control;
use tailrace_model::problem::{CODES, Problem};
use tailrace_model::types::{Author, KNOWN, RESERVED_PREFIXES};

#[test]
fn the_table_of_errors_is_what_the_code_says() {
    same_as_committed("docs/errors.md", &errors());
}

#[test]
fn the_table_of_events_is_what_the_code_says() {
    same_as_committed("docs/events.md", &events());
}

#[test]
fn the_description_of_the_api_knows_every_problem_with_its_status() {
    let description: Value = serde_json::from_str(include_str!("../../src/openapi.json")).unwrap();
    let names = |codes: &Value| -> BTreeSet<String> {
        codes.as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect()
    };
    let all = CODES.iter().map(|code| code.name.to_owned()).collect();
    assert_eq!(names(&description["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]), all);

    let mut described: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for response in description["components"]["responses"].as_object().unwrap().values() {
        let own = &response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"];
        described.insert(own["status"]["const"].as_u64().unwrap(), names(&own["code"]["enum"]));
    }
    // No call that is described answers 405: that is for methods it does not have.
    for code in CODES.iter().filter(|code| code.status != 405) {
        assert!(described[&u64::from(code.status)].contains(code.name), "{} {}", code.status, code.name);
    }
}

fn same_as_committed(name: &str, text: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    if std::env::var_os("TAILRACE_WRITE_DOCS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == text, "{name} is not what the code says: see the head of model/tests/docs.rs");
}

fn errors() -> String {
    let mut out = String::from(
        "# Errors\n\n\
         <!-- Written by model/tests/docs.rs. Do not edit. -->\n\n\
         Whatever is refused is answered with `application/problem+json` (RFC 9457): `{type, title, status, detail, code, \
         retryable, …}`. Go by `code`; `title` is the same for every occurrence, `detail` says what it was this time. \
         `retryable` says whether the same request may succeed later. Nothing was written, in every case.\n\n\
         | status | code | title | retryable | when | also has |\n\
         |---|---|---|---|---|---|\n",
    );
    for code in CODES {
        let (problem, when) = sample(code.name);
        assert_eq!(problem.code(), *code);
        let _ = writeln!(
            out,
            "| {} | `{}` | {} | {} | {when} | {} |",
            code.status,
            code.name,
            code.title,
            if code.retryable { "yes" } else { "no" },
            also_has(&problem),
        );
    }
    out
}

/// What an answer has beside the members that all have, as the code makes it.
fn also_has(problem: &Problem) -> String {
    let body: BTreeMap<String, Value> = serde_json::from_str(&problem.to_json()).unwrap();
    let common = ["type", "title", "status", "detail", "code", "retryable"];
    let members = body.keys().filter(|name| !common.contains(&name.as_str())).map(|name| format!("`{name}`"));
    let headers = problem.headers().into_iter().map(|(name, value)| format!("`{name}: {value}`"));
    members.chain(headers).collect::<Vec<_>>().join(", ")
}

/// A problem of every code, and when it comes.
fn sample(code: &str) -> (Problem, &'static str) {
    let text = || "x".to_owned();
    match code {
        "invalid_path" => (Problem::InvalidPath { detail: text() }, "the path in the URL is not one of a stream"),
        "invalid_query" => (
            Problem::InvalidQuery { field: text(), detail: text() },
            "a parameter, `If-Match` or `Tailrace-Cause` is not of the form it should be",
        ),
        "invalid_batch" => (
            Problem::InvalidBatch { index: 0, detail: text() },
            "`index` is the first element of the batch that is not an event; the others are not written either",
        ),
        "invalid_event" => (
            Problem::InvalidEvent { field: text(), detail: text() },
            "a `type` or `idempotencyKey` of bad form; with `Prefer: handling=strict` anything that is not an event",
        ),
        "unauthorized" => (
            Problem::Unauthorized { detail: text() },
            "no token, or one that does not hold or has expired; a hook for a stream that does not exist, without the hook key",
        ),
        "reserved_type" => (
            Problem::ReservedType { event_type: text() },
            "the type lies under a reserved prefix and is not one that clients write ([events.md](events.md))",
        ),
        "forbidden" => (
            Problem::Forbidden { detail: text() },
            "the token is for another path or lacks the right; in the open mode: a foreign `Host` or `Origin`",
        ),
        "stream_not_found" => (
            Problem::StreamNotFound { path: text() },
            "nothing was ever written at this path, or it was deleted. A live read waits instead",
        ),
        "not_found" => {
            (Problem::NotFound { detail: text() }, "no such address; `/api/raw` of an event that is no hook's")
        }
        "method_not_allowed" => {
            (Problem::MethodNotAllowed { allow: "GET, HEAD" }, "the address is served, but not by this method")
        }
        "idempotency_conflict" => (
            Problem::IdempotencyConflict { offset: 1 },
            "`idempotencyKey` was used for another type or payload, by the event at `offset`",
        ),
        "hop_limit" => (Problem::HopLimit { hops: 33 }, "the chain of causes went from stream to stream too often"),
        "offset_mismatch" => (
            Problem::OffsetMismatch { expected: 1, actual: 2 },
            "`offset` or `If-Match` was given and the event would get the offset `actual`: the value to retry with",
        ),
        "too_large" => (
            Problem::TooLarge { what: "bytes", limit: 1 },
            "an event, a batch, a body, metadata, or the depth of JSON above `limit`",
        ),
        "invalid_control_event" => (
            Problem::InvalidControlEvent { field: text(), detail: text() },
            "`field` of a control event is not right; `metadata.tailrace` was given; a malformed `agent.` or `tool.` event",
        ),
        "stream_paused" => (
            Problem::StreamPaused { reason: None, since: 0 },
            "an append while the stream is paused. Control events are accepted: `stream.resumed` resumes it",
        ),
        "internal" => (Problem::Internal, "a fault of Tailrace; the deployment's log has it"),
        "unavailable" => (
            Problem::Unavailable { detail: text(), retry_after: 30 },
            "too many hooks wait for the stream already, or its object cannot be reached for a moment",
        ),
        unknown => panic!("say in model/tests/docs.rs when `{unknown}` comes"),
    }
}

fn events() -> String {
    let prefixes: Vec<String> = RESERVED_PREFIXES.iter().map(|prefix| format!("`{prefix}`")).collect();
    let mut out = format!(
        "# Events\n\n\
         <!-- Written by model/tests/docs.rs. Do not edit. -->\n\n\
         An event is `{{offset, type, payload, metadata?, idempotencyKey?, cause?, streamPath, createdAt}}`. Its type is 1 to \
         256 characters, none of them a control character.\n\n\
         Types under {} are the system's; these exist:\n\n\
         | type | written by | payload | meaning |\n\
         |---|---|---|---|\n",
        prefixes.join(", "),
    );
    for known in KNOWN {
        let author = match known.author {
            Author::Client => "you",
            Author::System => "the system",
        };
        let _ = writeln!(out, "| `{}` | {author} | {} | {} |", known.name, payload(known.name), known.meaning);
    }
    out.push_str(
        "\nThose that you write are *control events*: the stream obeys them, and there is no other way to configure it, so \
         its log explains everything. They need the right `control`. A field that is not listed is refused (`422 \
         invalid_control_event`, which names it). `children: true`: it holds for every stream below as well, also for those \
         born later; each gets its own copy, with its cause.\n\n\
         `imported.<type>` is what a reserved type becomes by `?import=true`. Any other type under these prefixes is refused \
         (`403 reserved_type`).\n\n\
         **Every other type is yours**, with any JSON as its payload. By convention:\n\n\
         | type | payload | meaning |\n\
         |---|---|---|\n\
         | `error.occurred` | `{message, code?, …}` | something went wrong; anyone may say so |\n\n\
         A body that begins with `agent.` or `tool.` in its `type` and is malformed is refused, not kept as something foreign; \
         `tool.configured` and `tool.removed` need the right `control`, `tool.approved` and `tool.denied` the right `approve`.\n\n\
         ## `metadata.tailrace`\n\n\
         The system's own part of an event's metadata; clients cannot write it.\n\n\
         | key | meaning |\n\
         |---|---|\n\
         | `by` | who wrote: the token's name, `owner` for the deployment's own token, `hook`, `inherited`; absent in the open mode |\n\
         | `from` | with `inherited`: the stream above whose control event this is a copy of |\n\
         | `reason` | why a body that was appended was kept as `webhook.received` |\n\
         | `origin` | of an imported event: its `offset`, `streamPath`, `createdAt` and `cause` where it was read |\n",
    );
    out
}

/// The shape of a type's payload. What clients write is tried on the code that checks it.
fn payload(event_type: &str) -> &'static str {
    let (shape, example) = match event_type {
        "stream.created" | "stream.child-created" | "stream.child-deleted" => ("`{path, generation}`", None),
        "stream.metadata-updated" => ("`{metadata}`", Some(r#"{"metadata":{"owner":"anna","old":null}}"#)),
        "stream.paused" => (
            "`{reason?, children?}`; by the breaker also `breaker: {limit, windowMs, observed}`",
            Some(r#"{"reason":"night","children":true}"#),
        ),
        "stream.resumed" => ("`{reason?, children?}`", Some(r#"{"reason":"morning","children":true}"#)),
        "breaker.configured" => (
            "`{limit?, windowMs?, children?}`: limit 1 to 1,000,000 or `null`, by default 100; windowMs 1 to 60,000, by default 1,000",
            Some(r#"{"limit":null,"windowMs":60000,"children":true}"#),
        ),
        "webhook.received" => (
            "`{source?, method, url, headers, contentType, encoding, body?, form?, size, sha256, verified}`; `encoding` is \
             `json`, `form`, `text`, `base64`, `none` or `raw` (too large to stand here: read it from `/api/raw`)",
            None,
        ),
        unknown => panic!("say in model/tests/docs.rs what the payload of `{unknown}` is"),
    };
    if let Some(example) = example {
        assert!(matches!(Control::check(event_type, example), Ok(Some(_))), "{event_type} {example}");
    }
    shape
}
