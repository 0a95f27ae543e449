//! The tables in `docs/` are what the code says, and the description of the API knows every problem.
//!
//! `TAILRACE_WRITE_DOCS=1 cargo test -p tailrace-model --test docs` writes them anew.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a table that misses a row is to fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;
use tailrace_model::control::Control;
use tailrace_model::deployment::Deployment;
use tailrace_model::problem::{CODES, Problem};
use tailrace_model::secret::Secret;
use tailrace_model::target::{Allowed, Url};
use tailrace_model::types::{Author, KNOWN, RESERVED_PREFIXES};

#[path = "docs/agents.rs"]
mod agents;

#[test]
fn the_table_of_errors_is_what_the_code_says() {
    same_as_committed("docs/errors.md", &errors());
}

#[test]
fn the_table_of_events_is_what_the_code_says() {
    same_as_committed("docs/events.md", &events());
}

#[test]
fn the_table_of_what_an_agent_does_is_what_the_code_says() {
    let name = "docs/agents.md";
    let committed = std::fs::read_to_string(file(name)).unwrap();
    same_as_committed(name, &agents::with_machine(&committed));
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

/// A deployment on which the examples are tried: any condition holds, and there are three secrets.
struct Example;

impl Deployment for Example {
    fn url(&self, text: &str) -> Option<Url> {
        let url = url::Url::parse(text).ok()?;
        Some(Url {
            href: url.as_str().to_owned(),
            scheme: url.scheme().to_owned(),
            has_credentials: !url.username().is_empty() || url.password().is_some(),
            hostname: url.host_str().unwrap_or_default().to_owned(),
            port: url.port(),
        })
    }

    fn allowed(&self) -> Allowed {
        Allowed::default()
    }

    fn secret(&self, name: &str) -> Option<Result<Secret, String>> {
        match name {
            "CRM" => Some(Secret::parse(r#"{"value":"s3cret","send":["crm.example.com"]}"#)),
            "OPENAI" => Some(Secret::parse(r#"{"value":"s3cret","send":["api.openai.com"]}"#)),
            "GITHUB" => Some(Secret::parse(r#"{"value":"s3cret","verify":["github"]}"#)),
            _ => None,
        }
    }

    fn check_condition(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn same_as_committed(name: &str, text: &str) {
    let file = file(name);
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
         `retryable` says whether the same request may succeed later. Nothing of it was written, in every case. \
         Where an element of a batch is refused for what it is, `index` says which, from 0.\n\n\
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
            "the token is for another path or lacks the right; a settle appends what its subscription is not granted to (which \
             halts it); in the open mode: a foreign `Host` or `Origin`",
        ),
        "stream_not_found" => (
            Problem::StreamNotFound { path: text() },
            "nothing was ever written at this path, or it was deleted. A live read waits instead",
        ),
        "not_found" => (
            Problem::NotFound { detail: text() },
            "no such address; no such subscription; `/api/raw` of an event that is no hook's",
        ),
        "method_not_allowed" => {
            (Problem::MethodNotAllowed { allow: "GET, HEAD" }, "the address is served, but not by this method")
        }
        "lease_lost" => (
            Problem::LeaseLost,
            "a settle of a lease that ran out and was given on, or that never was one. What was not settled is delivered again",
        ),
        "invalid_settle" => (
            Problem::InvalidSettle { field: text(), detail: text() },
            "`field` of a settle is not right. When it is `append` or `state`, the subscription is halted as well: the \
             same answer would come again and again",
        ),
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
            "an event, a batch, a body, metadata, a state, or the depth of JSON above `limit`; too many subscriptions or schedules",
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
         born later; each gets its own copy, with its cause. A `slug` is a name within the stream: 1 to 64 characters of \
         `A-Z a-z 0-9 . _ ~ @ : -`.\n\n\
         `imported.<type>` is what a reserved type becomes by `?import=true`. Any other type under these prefixes is refused \
         (`403 reserved_type`).\n\n\
         **Every other type is yours**, with any JSON as its payload. By convention:\n\n\
         | type | payload | meaning |\n\
         |---|---|---|\n\
         | `error.occurred` | `{message, code?, …}` | something went wrong; anyone may say so, and the system does: when \
         another stream refuses what a subscription appends there (`subscription`, `target`, `append`), or when what holds \
         for a stream from above does not fit into it |\n",
    );
    out.push_str(&agents::section());
    for (name, event_type, about, fields) in FIELDS {
        let _ = write!(out, "\n## `{name}`\n\n{about}\n\n| field | by default | meaning |\n|---|---|---|\n");
        for field in *fields {
            let example = format!("{{{}}}", field.example);
            assert!(field.example.contains(&format!("\"{}\":", field.name)), "{example}");
            assert!(accepted(event_type, &example), "{event_type} {example}");
            let _ = writeln!(out, "| `{}` | {} | {} |", field.name, field.default, field.meaning);
        }
    }
    out.push_str(
        "\n## What an answer, a schedule and an outbox may append\n\n\
         Any event that nothing obeys. Control events, `tool.configured`, `tool.removed`, `tool.approved` and `tool.denied` only \
         when the subscription has them in `grants`, and `stream.resumed` and `breaker.configured` never: a runaway must not \
         free itself. A schedule has no grants. An answer beyond its powers halts its subscription, and nothing of it is \
         written.\n\n\
         ## `metadata.tailrace`\n\n\
         The system's own part of an event's metadata; clients cannot write it.\n\n\
         | key | meaning |\n\
         |---|---|\n\
         | `by` | who wrote: the token's name, `owner` for the deployment's own token, `hook`, `subscription:<slug>` for what a \
         settle or a push's answer appends, `schedule:<slug>`, `inherited`; absent for clients in the open mode, and from what the system \
         writes by itself |\n\
         | `schedule` | of a scheduled event: `{slug, scheduledFor, run}`; `run` counts from 1 |\n\
         | `approved` | of `tool.requested`: the offset of the `tool.approved` that it follows from |\n\
         | `from` | with `inherited`: the stream above whose control event this is a copy of |\n\
         | `root` | with `inherited`: the event that all copies come from, `{streamPath, offset, createdAt}` |\n\
         | `atBirth` | with `inherited`: `true` when this stream is younger than that event. A subscription that came so gets \
         everything from the stream's first event |\n\
         | `reason` | why a body that was appended was kept as `webhook.received` |\n\
         | `origin` | of an imported event: its `offset`, `streamPath`, `createdAt` and `cause` where it was read |\n",
    );
    out
}

fn accepted(event_type: &str, payload: &str) -> bool {
    matches!(Control::check(event_type, payload, &Example), Ok(Some(_)))
}

/// A field of a control event that has too many to stand in one line.
struct Field {
    name: &'static str,
    default: &'static str,
    meaning: &'static str,
    /// A payload with it, without the braces. It is tried on the code.
    example: &'static str,
}

const fn field(name: &'static str, default: &'static str, meaning: &'static str, example: &'static str) -> Field {
    Field { name, default, meaning, example }
}

/// A heading, the type of event under it, what there is to know, and the fields.
const FIELDS: &[(&str, &str, &str, &[Field])] = &[
    (
        "schedule.configured",
        "schedule.configured",
        "Each occurrence appends `event` exactly once. What was missed (the stream was paused, the machine was off) is made \
         up for by one event, whose `scheduledFor` is the latest of the missed instants; the grid does not drift. A stream \
         has at most 1,000 schedules.",
        &[
            field("slug", "needed", "its name", r#""slug":"a","event":{"type":"m"},"after":0"#),
            field(
                "event",
                "needed",
                "what is appended: `{type, payload?, metadata?}`, at most 256 KiB; no control event, nothing that configures \
                 or approves a tool",
                r#""slug":"a","event":{"type":"m","payload":[1],"metadata":{"k":1}},"after":0"#,
            ),
            field(
                "at",
                "one of these four",
                "once, at an instant (RFC 3339); at once when it is past",
                r#""slug":"a","event":{"type":"m"},"at":"2026-01-31T12:00:00+01:00""#,
            ),
            field(
                "after",
                "one of these four",
                "once, so much later: milliseconds, or an ISO 8601 duration of weeks, days, hours, minutes and seconds \
                 (`PT1H30M`); up to 100 years",
                r#""slug":"a","event":{"type":"m"},"after":"PT1H30M""#,
            ),
            field(
                "every",
                "one of these four",
                "again and again, so far apart, counted from when it is configured; written as `after`, at least 1 s",
                r#""slug":"a","event":{"type":"m"},"every":1000"#,
            ),
            field(
                "cron",
                "one of these four",
                "whenever the clock on the wall shows it: 5 fields, or 6 with the seconds first. An expression that names its \
                 times of day (no `*` in hour, minute or second) fires once for each, also on the days when the clocks change; \
                 any other fires whenever the clock agrees",
                r#""slug":"a","event":{"type":"m"},"cron":"30 9 * * MON-FRI""#,
            ),
            field(
                "timezone",
                "UTC",
                "with `cron`: an IANA zone",
                r#""slug":"a","event":{"type":"m"},"cron":"0 0 9 L * *","timezone":"Europe/Berlin""#,
            ),
            field(
                "maxRuns",
                "no end",
                "it ends after so many occurrences",
                r#""slug":"a","event":{"type":"m"},"every":"P1D","maxRuns":3"#,
            ),
            field(
                "until",
                "no end",
                "it ends with the last occurrence up to this instant",
                r#""slug":"a","event":{"type":"m"},"every":"P1D","until":"2030-01-01T00:00:00Z""#,
            ),
            field(
                "children",
                "`false`",
                "holds for every stream below as well; each has its own occurrences",
                r#""slug":"a","event":{"type":"m"},"every":"P1D","children":true"#,
            ),
        ],
    ),
    (
        "subscription.configured",
        "subscription.configured",
        "The stream's events are handed to `target` in order, at least once, one batch at a time; it may answer with a new \
         state and with events, and its cursor, its state and these are written in one transaction. A stream has at most 100 \
         subscriptions. One that is configured again keeps its cursor and its state, unless `version` changes.",
        &[
            field("slug", "needed", "its name", r#""slug":"a","target":{"pull":true}"#),
            field(
                "target",
                "needed",
                "`{url}`: events are pushed there, by https to a public host, at most 2 KiB. `{pull: true}`: workers fetch them \
                 from `/api/lease` and answer to `/api/settle`. `{agent: {…}}`: a language model answers ([see below](#targetagent)); \
                 no `types` and no `where`. `{javascript: {…}}`: code that stands here ([javascript.md](javascript.md))",
                r#""slug":"a","target":{"url":"https://example.com/events"}"#,
            ),
            field(
                "types",
                "all",
                "only these: a list of at most 100 types or globs with `*`, or one string with commas",
                r#""slug":"a","target":{"pull":true},"types":["message","agent.*"]"#,
            ),
            field(
                "where",
                "all",
                "only those that this is true for: CEL over `event`, at most 1 KiB, without macros that iterate and without \
                 regular expressions. An event for which it cannot be evaluated does not match",
                r#""slug":"a","target":{"pull":true},"where":"event.payload.amount > 100""#,
            ),
            field(
                "from",
                "`\"now\"`",
                "where it begins: `\"now\"` (behind this event), `\"start\"`, or an offset. Events before this one are \
                 delivered with `replay: true`: to be folded into the state, and nothing else",
                r#""slug":"a","target":{"pull":true},"from":"start""#,
            ),
            field(
                "state",
                "`null`",
                "the state it begins with: any JSON, at most 256 KiB",
                r#""slug":"a","target":{"pull":true},"state":{"count":0}"#,
            ),
            field(
                "version",
                "none",
                "a number, or a string of at most 64 bytes. When it changes, the state begins anew and events are delivered from \
                 `from` again (without `from`, from where it once began), those that were settled before with `replay: true`",
                r#""slug":"a","target":{"pull":true},"version":2"#,
            ),
            field(
                "batch",
                "100; 1 with `plain`",
                "events in one delivery at most, 1 to 1,000; it also ends at 1 MiB, and never mixes old events with new ones",
                r#""slug":"a","target":{"pull":true},"batch":1000"#,
            ),
            field(
                "plain",
                "`false`",
                "the body of a push is the event alone, for receivers that know nothing of Tailrace",
                r#""slug":"a","target":{"url":"https://example.com/"},"plain":true"#,
            ),
            field(
                "timeoutMs",
                "15,000",
                "how long a push may take, to the last byte of its answer: 100 to 25,000",
                r#""slug":"a","target":{"url":"https://example.com/"},"timeoutMs":25000"#,
            ),
            field(
                "headers",
                "none",
                "headers of a push, or of what is sent to an agent's provider, at most 32 and 8 KiB; `{{secret:NAME}}` in a value stands for a secret of the deployment \
                 that is declared for sending to that host",
                r#""slug":"a","target":{"url":"https://crm.example.com/"},"headers":{"Authorization":"Bearer {{secret:CRM}}"}"#,
            ),
            field(
                "grants",
                "none",
                "what its answers may append beyond events that nothing obeys: types or globs, see below",
                r#""slug":"a","target":{"pull":true},"grants":["schedule.*"]"#,
            ),
            field(
                "whilePaused",
                "`false`",
                "events are delivered while the stream is paused as well, for watchers that alert a person",
                r#""slug":"a","target":{"pull":true},"whilePaused":true"#,
            ),
            field(
                "secretVersion",
                "none",
                "a number, or a string of at most 64 bytes. When it changes, so does the secret that pushes are signed with; for \
                 a day they carry both signatures",
                r#""slug":"a","target":{"url":"https://example.com/"},"secretVersion":"2026-02""#,
            ),
            field(
                "children",
                "`false`",
                "holds for every stream below as well; each has its own cursor and state",
                r#""slug":"a","target":{"pull":true},"children":true"#,
            ),
        ],
    ),
    (
        "target.agent",
        "subscription.configured",
        "What a `subscription.configured` with an agent says of it: see [agents.md](agents.md). Of the other fields of a \
         subscription, `headers` (with `{{secret:NAME}}`) go to the provider, and `grants` say what `append_event` may append \
         beyond what it may anyway.",
        agents::TARGET,
    ),
    (
        "tool.configured",
        "tool.configured",
        "What models may call. With `url` it is a subscription as well, that pushes the calls; a stream has at most 100 tools, of \
         64 KiB each.",
        agents::TOOL_FIELDS,
    ),
];

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
        "schedule.configured" => (
            "`{slug, event, at, after, every, cron, timezone?, maxRuns?, until?, children?}`, [see below](#scheduleconfigured)",
            Some(r#"{"slug":"daily","event":{"type":"tick"},"cron":"0 9 * * *","timezone":"Europe/Berlin"}"#),
        ),
        "schedule.removed" | "subscription.removed" | "webhook.removed" => {
            ("`{slug, children?}`", Some(r#"{"slug":"a","children":true}"#))
        }
        "schedule.ended" => (
            "`{slug, reason, runs}`; `reason` is `completed` (it was for once), `maxRuns` or `until`; `runs` counts its \
             occurrences",
            None,
        ),
        "subscription.configured" => (
            "`{slug, target, types?, where?, from?, state?, version?, batch?, plain?, timeoutMs?, headers?, grants?, \
             whilePaused?, secretVersion?, children?}`, [see below](#subscriptionconfigured)",
            Some(r#"{"slug":"a","target":{"url":"https://example.com/events"},"types":["message"],"batch":10}"#),
        ),
        "subscription.halted" => (
            "`{slug, reason, offset, lastStatus}`; `offset` is the first event that was not delivered, `lastStatus` the HTTP \
             status of the last answer or `null`",
            None,
        ),
        "subscription.resumed" => (
            "`{slug, from?, redo?, skip?}`; `redo` only with `from`, `skip` only without",
            Some(r#"{"slug":"a","from":7,"redo":true}"#),
        ),
        "webhook.configured" => (
            "`{slug, preset?, verify?, handshake?, reply?, reject?, idempotency?, children?}`, [see there](webhooks/README.md)",
            Some(r#"{"slug":"github","preset":"github","reject":true,"children":true}"#),
        ),
        "webhook.received" => (
            "`{source?, method, url, headers, contentType, encoding, body?, form?, unpacked?, size, sha256, verified, scheme?, \
             key?, reason?}`; `encoding` is `json`, `form`, `text`, `base64`, `none` or `raw` (too large to stand here: read it \
             from `/api/raw`); `verified` is `null` when nothing says how to, `scheme` by what it was looked at, `key` which \
             secret fits, `reason` why none does",
            None,
        ),
        unknown => panic!("say in model/tests/docs.rs what the payload of `{unknown}` is"),
    };
    if let Some(example) = example {
        assert!(accepted(event_type, example), "{event_type} {example}");
    }
    shape
}
