//! The tools that every agent has: what they do, and all that they refuse. A model's wish is a stranger's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(missing_docs, reason = "a test's name says it")]

mod support;

use serde_json::{Value, json};
use support::{Open, PATH, Rig, SLUG, agent_payload, subscription};
use tailrace_model::control::Control;

/// What came of one call, in an agent whose subscription says more.
struct Came {
    rig: Rig,
    /// What was appended here but for the call's end and the next turn.
    appended: Vec<(String, Value)>,
    end: (String, Value),
}

fn agent(target: &Value, more: &Value) -> Rig {
    let mut payload = agent_payload(target);
    for (name, value) in more.as_object().unwrap() {
        payload[name] = value.clone();
    }
    Rig { config: subscription(&payload), ..Rig::new(target) }
}

fn call(mut rig: Rig, name: &str, arguments: &Value) -> Came {
    let request = rig.asked("go");
    rig.output(&request, "", &[(name, arguments.clone())]);
    rig.deliver(1);
    assert_eq!(rig.appended_types()[0], "tool.requested", "{arguments}");
    rig.deliver(1);
    let is_end = |kind: &str| matches!(kind, "tool.completed" | "tool.failed" | "tool.started");
    let mut appended = rig.appended.clone();
    appended.retain(|(kind, _)| kind != "agent.turn-started");
    let at = appended.iter().position(|(kind, payload)| is_end(kind) && payload["callId"] == format!("{request}.0"));
    let end = appended.remove(at.unwrap_or_else(|| panic!("no end: {appended:?}")));
    Came { rig, appended, end }
}

fn refused(rig: Rig, name: &str, arguments: &Value) -> String {
    let came = call(rig, name, arguments);
    assert_eq!(came.end.0, "tool.failed", "{arguments} was done: {:?} {:?}", came.appended, came.rig.sent);
    assert_eq!((came.appended.len(), came.rig.sent.len()), (0, 0), "{arguments}");
    came.end.1["error"].as_str().unwrap().to_owned()
}

fn done(rig: Rig, name: &str, arguments: &Value) -> Came {
    let came = call(rig, name, arguments);
    assert_ne!(came.end.0, "tool.failed", "{arguments}: {}", came.end.1);
    came
}

fn plain() -> Rig {
    agent(&json!({}), &json!({}))
}

fn granted(grants: &[&str]) -> Rig {
    agent(&json!({}), &json!({"grants": grants}))
}

// append_event.

#[test]
fn an_event_goes_to_its_own_stream_or_below_it() {
    let came = done(plain(), "append_event", &json!({"type": "note.taken", "payload": {"a": 1}}));
    assert_eq!(came.appended, [("note.taken".to_owned(), json!({"a": 1}))]);
    assert_eq!(came.end.1["result"], json!({"appended": "note.taken", "streamPath": PATH}));
    let note = came.rig.all("note.taken")[0];
    assert_eq!(came.rig.type_at(came.rig.stored(note).cause.unwrap().offset), "tool.requested");
    for (written, path) in
        [("notes", "/team/desk/notes"), ("./a/b", "/team/desk/a/b"), ("/team/desk/x", "/team/desk/x")]
    {
        let came = done(plain(), "append_event", &json!({"type": "n", "payload": {}, "streamPath": written}));
        assert_eq!((came.appended.len(), came.rig.sent[0].0.as_str()), (0, path), "{written}");
    }
    for written in [".", "/team/desk", "../desk", "/team/desk/", "x/.."] {
        let came = done(plain(), "append_event", &json!({"type": "n", "payload": {}, "streamPath": written}));
        assert_eq!((came.appended.len(), came.rig.sent.len()), (1, 0), "{written}");
    }
}

#[test]
fn an_event_goes_to_no_other_stream_however_its_path_is_written() {
    for written in [
        "..",
        "/",
        "/team",
        "/team/",
        "../other",
        "../desk2",
        "/team/desk2",
        "/team/des",
        "a/../../other",
        "../../x",
        "../..",
        "/team/desk/../other",
        "/Team/desk",
        "//team/desk",
        "/team//desk",
        "/team/desk/./x",
        "%2e%2e/other",
        "/team/desk/%2e%2e/x",
        "",
        "\\team",
        "..\\x",
        "/team/desk\u{0}/x",
        "https://t.example/x",
    ] {
        let mut rig = plain();
        let came =
            call(std::mem::replace(&mut rig, plain()), "append_event", &json!({"type": "n", "streamPath": written}));
        let is_below = |path: &str| path.starts_with("/team/desk/") && !path.contains("..");
        assert!(
            came.end.0 == "tool.failed" || came.rig.sent.iter().all(|(to, ..)| is_below(to)),
            "{written:?} reached {:?}",
            came.rig.sent
        );
    }
    for written in ["..", "/", "/team", "../other", "/team/desk2", "a/../../other", "../.."] {
        let error = refused(plain(), "append_event", &json!({"type": "n", "streamPath": written}));
        assert!(error.contains("neither your own stream nor below it"), "{written}: {error}");
    }
}

#[test]
fn where_it_is_allowed_to_an_event_goes_too_but_none_that_is_obeyed() {
    let rig = || agent(&json!({"allow": ["/shared/*"]}), &json!({"grants": ["*"]}));
    let came = done(rig(), "append_event", &json!({"type": "n", "streamPath": "/shared/board"}));
    assert_eq!(came.rig.sent[0].0, "/shared/board");
    refused(rig(), "append_event", &json!({"type": "n", "streamPath": "/sharedboard"}));
    for kind in ["stream.paused", "tool.removed", "tool.approved"] {
        let payload = if kind == "tool.removed" { json!({"name": "x"}) } else { json!({}) };
        let event = json!({"type": kind, "payload": payload, "streamPath": "/shared/board"});
        refused(rig(), "append_event", &event);
    }
}

/// Types with payloads that are well formed, which no model may append without a grant.
fn powerful() -> Vec<(&'static str, Value)> {
    vec![
        ("stream.paused", json!({})),
        ("stream.metadata-updated", json!({"metadata": {"a": 1}})),
        ("schedule.configured", json!({"slug": "s", "after": 1_000, "event": {"type": "n"}})),
        ("schedule.removed", json!({"slug": "s"})),
        ("subscription.configured", json!({"slug": "s", "target": {"url": "https://evil.example/"}})),
        ("subscription.removed", json!({"slug": "s"})),
        ("webhook.removed", json!({"slug": "s"})),
        ("tool.configured", json!({"name": "t", "url": "https://evil.example/"})),
        ("tool.removed", json!({"name": "t"})),
        ("tool.approved", json!({"callId": "c"})),
        ("tool.denied", json!({"callId": "c"})),
        ("tool.requested", json!({"callId": "c", "name": "danger", "arguments": {}})),
        ("tool.approval-requested", json!({"callId": "c"})),
        ("tool.started", json!({"callId": "c"})),
        ("tool.completed", json!({"callId": "c", "result": 1})),
        ("tool.failed", json!({"callId": "c", "error": "x"})),
        ("tool.anything", json!({})),
        ("agent.turn-started", json!({"agent": SLUG, "requestId": "x", "turn": 9, "upTo": 1})),
        ("agent.output-added", json!({"agent": SLUG, "requestId": "x", "content": "x"})),
        ("agent.output-delta", json!({"agent": SLUG, "requestId": "x"})),
        ("agent.turn-failed", json!({"agent": SLUG, "requestId": "x", "final": true})),
        ("agent.turn-interrupted", json!({"agent": SLUG, "requestId": "x"})),
        ("agent.stopped", json!({"agent": SLUG})),
        ("agent.interrupt-requested", json!({})),
        ("agent.anything", json!({})),
    ]
}

#[test]
fn what_speaks_for_the_harness_or_is_obeyed_is_not_a_models_to_append() {
    for (kind, payload) in powerful() {
        for path in [None, Some("below")] {
            let mut event = json!({"type": kind, "payload": payload});
            if let Some(path) = path {
                event["streamPath"] = json!(path);
            }
            refused(plain(), "append_event", &event);
        }
    }
    for kind in ["agent.input-added", "agent.context-added", "agents", "tool", "toolbox.opened", "note"] {
        done(plain(), "append_event", &json!({"type": kind, "payload": {"content": "x"}}));
    }
}

#[test]
fn a_grant_allows_what_it_names() {
    for (kind, payload) in powerful() {
        done(granted(&[kind]), "append_event", &json!({"type": kind, "payload": payload}));
        refused(granted(&["note.*"]), "append_event", &json!({"type": kind, "payload": payload}));
    }
}

#[test]
fn no_grant_lets_a_runaway_free_itself_or_write_what_only_the_system_writes() {
    for (kind, payload) in [
        ("stream.resumed", json!({})),
        ("breaker.configured", json!({"limit": null})),
        ("stream.created", json!({"path": PATH, "generation": "x"})),
        ("stream.child-deleted", json!({"path": "/team/desk/x"})),
        ("subscription.halted", json!({"slug": "s", "reason": "x", "offset": 1})),
        ("schedule.ended", json!({"slug": "s"})),
        ("webhook.received", json!({})),
        ("imported.stream.paused", json!({})),
        ("stream.anything", json!({})),
    ] {
        refused(granted(&["*", kind]), "append_event", &json!({"type": kind, "payload": payload}));
    }
}

#[test]
fn a_model_says_nothing_of_where_an_event_stands_nor_why() {
    let given = json!({
        "type": "note.taken", "payload": {}, "cause": {"streamPath": "/x", "offset": 1}, "offset": 7, "createdAt": "1999-01-01T00:00:00Z",
        "metadata": null, "idempotencyKey": null,
    });
    let came = done(plain(), "append_event", &given);
    let note = came.rig.stored(came.rig.all("note.taken")[0]);
    let cause = note.cause.unwrap();
    assert_eq!(
        (cause.stream_path.as_str(), came.rig.type_at(cause.offset).as_str(), cause.turns),
        (PATH, "tool.requested", 1)
    );
    assert!(note.created_at.starts_with("2026"));
}

/// A key that was used before for something else would make the whole settle one that can never be accepted.
#[test]
fn a_model_names_no_idempotency_key() {
    for path in [".", "below"] {
        let mut rig = plain();
        let request = rig.asked("go");
        let event = json!({"type": "n", "payload": {}, "idempotencyKey": "k", "streamPath": path});
        rig.output(&request, "", &[("append_event", event)]);
        rig.deliver(1);
        let decision = rig.deliver(1);
        assert!(decision.append.iter().all(|answered| answered.key.is_none()), "{:?}", decision.append);
        assert!(decision.append.iter().all(|answered| !answered.fragment.contains("idempotencyKey")));
    }
}

#[test]
fn what_the_system_says_of_an_event_is_not_a_models_to_say() {
    for metadata in [
        json!({"tailrace": {"by": "token:root"}}),
        json!({"tailrace": {"approved": 3}}),
        json!({"tailrace": {"origin": {"offset": 1}}}),
        json!({"tailrace": null}),
    ] {
        let came = call(plain(), "append_event", &json!({"type": "n", "payload": {}, "metadata": metadata}));
        for note in came.rig.all("n") {
            let metadata: Value = serde_json::from_str(came.rig.stored(note).metadata.unwrap().get()).unwrap();
            assert_eq!(metadata["tailrace"], json!({"by": "subscription:writer"}));
        }
    }
    let came = done(plain(), "append_event", &json!({"type": "n", "payload": {}, "metadata": {"mood": "good"}}));
    let metadata: Value = serde_json::from_str(came.rig.stored(came.rig.all("n")[0]).metadata.unwrap().get()).unwrap();
    assert_eq!(metadata, json!({"mood": "good", "tailrace": {"by": "subscription:writer"}}));
}

#[test]
fn what_is_no_event_is_refused_and_the_model_is_told_why() {
    for (given, word) in [
        (json!({}), "type"),
        (json!({"type": 5}), "type"),
        (json!({"type": ""}), "type"),
        (json!({"type": "a\nb"}), "type"),
        (json!({"type": "n", "odd": 1}), "odd"),
        (json!({"type": "n", "streamPath": 5}), "streamPath"),
        (json!({"type": "n", "metadata": "x"}), "metadata"),
        (json!({"type": "n", "payload": "x".repeat(1_100_000)}), "bytes"),
    ] {
        let error = refused(plain(), "append_event", &given);
        assert!(error.contains(word), "{error}");
    }
}

// read_stream.

#[test]
fn only_its_own_stream_and_those_below_are_read() {
    for (written, path) in [
        (json!(null), PATH),
        (json!("."), PATH),
        (json!("notes"), "/team/desk/notes"),
        (json!("/team/desk/a/b"), "/team/desk/a/b"),
    ] {
        let came = done(plain(), "read_stream", &json!({"streamPath": written}));
        assert_eq!(came.end.1["result"], json!({"read": path}));
    }
    for written in ["..", "/", "/team", "../desk2", "/team/desk2", "x/../../y", ""] {
        refused(plain(), "read_stream", &json!({"streamPath": written}));
    }
    let allowed = agent(&json!({"allow": ["/shared/*"]}), &json!({}));
    assert_eq!(done(allowed, "read_stream", &json!({"streamPath": "/shared/x"})).end.1["result"]["read"], "/shared/x");
    for odd in [json!({"types": " , "}), json!({"afterOffset": -1}), json!({"last": "x"}), json!({"streamPath": 3})] {
        refused(plain(), "read_stream", &odd);
    }
}

// schedule.

fn scheduled(arguments: &Value) -> Value {
    let came = done(plain(), "schedule", arguments);
    assert_eq!((came.appended.len(), came.rig.sent.len()), (1, 0));
    assert_eq!(came.appended[0].0, "schedule.configured");
    came.appended[0].1.clone()
}

#[test]
fn a_reminder_is_input_for_the_agent_itself_under_a_name_of_its_own() {
    let payload = scheduled(&json!({"name": "tea", "content": "drink", "after": "PT10M", "at": null, "cron": ""}));
    let event = json!({"type": "agent.input-added", "payload": {"content": "drink", "from": "schedule", "to": SLUG}});
    assert_eq!(payload, json!({"slug": "writer.tea", "event": event, "after": "PT10M"}));
    let named = scheduled(&json!({"content": "drink", "every": 60_000, "maxRuns": 3}));
    assert!(named["slug"].as_str().unwrap().starts_with("writer."));
    let removed = done(plain(), "schedule", &json!({"remove": "tea"}));
    assert_eq!(removed.appended, [("schedule.removed".to_owned(), json!({"slug": "writer.tea"}))]);
}

#[test]
fn a_model_touches_no_schedule_but_its_own() {
    for given in [
        json!({"name": "tea", "slug": "daily-report", "after": 1_000}),
        json!({"slug": "daily-report", "after": 1_000}),
        json!({"name": "../daily-report", "after": 1_000}),
        json!({"name": "", "after": 1_000}),
        json!({"remove": "tea", "slug": "daily-report"}),
        json!({"remove": "../daily-report"}),
    ] {
        let came = call(plain(), "schedule", &given);
        for (kind, payload) in &came.appended {
            assert!(payload["slug"].as_str().unwrap().starts_with("writer."), "{given} -> {kind} {payload}");
        }
    }
}

#[test]
fn a_model_schedules_nothing_but_input_for_itself() {
    for inner in ["tool.requested", "agent.output-added", "tool.completed", "stream.paused", "tool.approved", "note"] {
        let given = json!({"name": "tea", "after": 1_000, "event": {"type": inner, "payload": {"callId": "c"}}});
        let came = call(plain(), "schedule", &given);
        for (_, payload) in &came.appended {
            assert_eq!(payload["event"]["type"], "agent.input-added", "{given}");
            assert_eq!(payload["event"]["payload"]["to"], SLUG, "{given}");
        }
    }
    let came = call(plain(), "schedule", &json!({"name": "tea", "after": 1_000, "children": true}));
    assert!(came.appended.iter().all(|(_, payload)| payload["children"] != true), "{:?}", came.appended);
}

#[test]
fn a_reminder_that_can_never_be_is_refused() {
    for given in [
        json!({"name": "tea"}),
        json!({"name": "tea", "after": 1, "every": 1_000}),
        json!({"cron": "x"}),
        json!({"at": "soon"}),
    ] {
        refused(plain(), "schedule", &given);
    }
}

// spawn.

#[test]
fn a_sub_agent_is_as_its_parent_but_for_what_it_may_differ_in() {
    let target = json!({
        "api": "messages", "system": "be kind", "tools": ["append_event", "look*"], "maxTurns": 7, "allow": ["/shared/*"],
        "waitFor": ["guard"], "options": {"temperature": 0},
    });
    let rig = || {
        let mut rig = agent(&target, &json!({"headers": {"x-team": "a"}, "grants": ["stream.paused"]}));
        rig.config = subscription(&{
            let mut payload = agent_payload(&target);
            payload["target"]["agent"]["tools"] = json!(["append_event", "look*", "spawn"]);
            payload["headers"] = json!({"x-team": "a"});
            payload["grants"] = json!(["stream.paused"]);
            payload
        });
        rig
    };
    let overrides = json!({"system": "be quick", "model": "small", "tools": ["append_event", "lookup", "read_stream", "*"], "maxTurns": 99});
    let came = done(rig(), "spawn", &json!({"input": "count", "path": "helper", "agent": overrides}));
    let (to, kind, payload) = &came.rig.sent[0];
    assert_eq!((to.as_str(), kind.as_str()), ("/team/desk/helper", "subscription.configured"));
    let made = match Control::check(kind, &payload.to_string(), &Open).unwrap() {
        Some(Control::SubscriptionConfigured(config)) => *config,
        other => panic!("{other:?}"),
    };
    let child = made.agent().unwrap();
    assert_eq!((child.system.as_deref(), child.model.as_str(), child.max_turns), (Some("be quick"), "small", 7));
    assert_eq!(child.tools.as_deref().unwrap(), ["append_event", "lookup"], "no tool that the parent does not have");
    assert_eq!(
        (child.base_url.as_str(), &child.options),
        ("https://model.example/v1", &json!({"temperature": 0}).as_object().unwrap().clone())
    );
    assert!(child.allow.is_empty() && child.wait_for.is_empty() && made.grants.is_empty());
    assert_eq!(made.headers.get("x-team").map(String::as_str), Some("a"));
}

#[test]
fn a_sub_agent_is_not_sent_elsewhere_nor_given_more_than_its_parent() {
    for odd in [
        "baseUrl", "secret", "api", "grants", "allow", "headers", "options", "waitFor", "timeouts", "onInput", "slug",
        "children",
    ] {
        refused(plain(), "spawn", &json!({"input": "x", "agent": {odd: "https://evil.example"}}));
    }
    refused(plain(), "spawn", &json!({"input": "x", "agent": "x"}));
    refused(plain(), "spawn", &json!({"agent": {}}));
}

#[test]
fn a_sub_agent_lives_right_below_its_parent_in_a_stream_of_its_own() {
    for path in ["..", ".", "../x", "/team/x", "a/b", "/", "/team/desk", "x/..", "", "/team/desk/a/b"] {
        refused(plain(), "spawn", &json!({"input": "x", "path": path}));
    }
    let first = done(plain(), "spawn", &json!({"input": "x", "path": "helper"}));
    // Its slug is that of no other: nothing is configured anew.
    let slug = first.rig.sent[0].2["slug"].as_str().unwrap().to_owned();
    assert!(slug.len() <= 64, "{slug}");
    let mut rig = plain();
    let request = rig.asked("go");
    rig.output(&request, "", &[("spawn", json!({"input": "a"})), ("spawn", json!({"input": "b"}))]);
    rig.settle_all();
    let targets: Vec<&str> = rig.sent.iter().map(|(to, ..)| to.as_str()).collect();
    assert_eq!(targets.len(), 4);
    assert_ne!(rig.sent[0].2["slug"], rig.sent[2].2["slug"]);
    assert!(targets[0] == targets[1] && targets[1] != targets[2] && targets[2] == targets[3]);
}
