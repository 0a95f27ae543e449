//! Appending: what is taken, how it is answered, and in which order it is checked.

use serde_json::{Value, json};
use tailrace_tests::runtime::a_stream;
use tailrace_tests::until;

#[tokio::test]
async fn the_first_append_creates_the_stream_and_is_its_second_event() {
    let stream = a_stream();
    assert_eq!(stream.head().await.status, 404);

    let event = stream.append(json!({"type": "greeting", "payload": {"text": "hello"}})).await.event();

    assert_eq!(event["offset"], 2);
    let events = stream.events().await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["type"], "stream.created");
    assert_eq!(events[0]["offset"], 1);
    assert_eq!(events[0]["payload"]["path"], stream.path);
    assert_eq!(events[0]["payload"]["generation"], stream.generation().await);
    assert_eq!(events[1], event);
}

#[tokio::test]
async fn an_event_carries_its_offset_type_payload_path_and_time_and_nothing_that_was_not_said() {
    let stream = a_stream();

    let event = stream.append(json!({"type": "bare"})).await.event();

    let mut names: Vec<&String> = event.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["createdAt", "offset", "payload", "streamPath", "type"]);
    assert_eq!(event["payload"], json!({}));
    assert_eq!(event["streamPath"], stream.path);
    let created_at = event["createdAt"].as_str().unwrap();
    assert!(created_at.len() == 24 && created_at.ends_with('Z') && created_at.as_bytes()[10] == b'T', "{created_at}");
}

#[tokio::test]
async fn an_event_may_be_wrapped_in_event() {
    let stream = a_stream();

    let event = stream.append(json!({"event": {"type": "wrapped", "payload": [1]}})).await.event();

    assert_eq!(event["type"], "wrapped");
    assert_eq!(event["payload"], json!([1]));
}

#[tokio::test]
async fn any_json_is_a_payload_and_comes_back_as_it_was_written() {
    let stream = a_stream();
    let payloads = [
        "null",
        "true",
        "-0.0",
        "1e400",
        "12345678901234567890123456789.5",
        "\"\"",
        r#""line\nend\ttab\u0000nul\u2028 \"quoted\" \\ / \u00e9 é 漢 🦀""#,
        "[]",
        "[[],{},null]",
        r#"{"b":1,"a":2,"b":3}"#,
        r#"{"":{"":""}}"#,
    ];
    for payload in payloads {
        let event = format!(r#"{{"type":"any","payload":{payload}}}"#);
        let offset = stream.post_with("", &[("prefer", "return=minimal")], event).await.offset();

        let page = stream.read(&format!("?afterOffset={}&limit=1", offset - 1)).await.ok().text();

        assert!(page.contains(&format!(r#""payload":{payload},"#)), "{payload} is not in {page}");
    }
}

#[tokio::test]
async fn white_space_between_tokens_is_not_kept_and_an_event_stays_on_one_line() {
    let stream = a_stream();

    let _ =
        stream.post("\u{feff}\r\n{ \"type\" : \"spaced\",\r\n \"payload\" : { \"a b\" : [ 1 ,\n 2 ] } }\n").await.ok();

    let lines = stream.client.send("GET", &stream.url(), &[("accept", "application/x-ndjson")], "").await.ok().text();
    assert!(lines.ends_with('\n') && lines.lines().count() == 2, "{lines}");
    assert!(lines.contains(r#""payload":{"a b":[1,2]}"#), "{lines}");
}

#[tokio::test]
async fn metadata_is_kept_and_its_key_tailrace_belongs_to_the_system() {
    let stream = a_stream();

    let event = stream.append(json!({"type": "a", "metadata": {"trace": "x1"}})).await.event();
    let refused = stream.append(json!({"type": "a", "metadata": {"tailrace": {"by": "me"}}})).await;

    assert_eq!(event["metadata"], json!({"trace": "x1"}));
    assert_eq!(refused.problem(422, "invalid_control_event")["field"], "metadata.tailrace");
    assert_eq!(stream.head_offset().await, 2);
}

#[tokio::test]
async fn a_type_has_1_to_256_characters_and_none_of_them_is_a_control_character() {
    let stream = a_stream();
    let longest = "é".repeat(256);

    for good in ["x", "with space", "a/b?c#d", "type", &longest] {
        assert_eq!(stream.append(json!({"type": good})).await.event()["type"], good);
    }
    let head = stream.head_offset().await;
    for bad in ["", "a\r\nb", "a\nid: 9", "\u{0}", "a\tb", "\u{7f}", &"x".repeat(257)] {
        let answer = stream.append(json!({"type": bad})).await;
        assert_eq!(answer.problem(400, "invalid_event")["field"], "type", "{bad:?}");
    }
    assert_eq!(stream.head_offset().await, head);
}

#[tokio::test]
async fn an_array_is_a_batch_and_is_answered_in_its_order() {
    let stream = a_stream();

    let answer = stream.append(json!([{"type": "a"}, {"event": {"type": "b"}}, {"type": "c"}])).await.ok().json();

    let events = answer["events"].as_array().unwrap();
    let told: Vec<(&Value, &Value)> = events.iter().map(|event| (&event["offset"], &event["type"])).collect();
    assert_eq!(told, [(&json!(2), &json!("a")), (&json!(3), &json!("b")), (&json!(4), &json!("c"))]);
    assert_eq!(stream.page("?afterOffset=1").await, *events);
}

#[tokio::test]
async fn lines_that_are_each_an_event_are_a_batch() {
    let stream = a_stream();

    let answer = stream.post("{\"type\":\"a\"}\r\n\n{\"type\":\"b\"}\n").await.ok().json();

    assert_eq!(answer["events"].as_array().unwrap().len(), 2);
    assert_eq!(stream.head_offset().await, 3);
}

#[tokio::test]
async fn the_content_of_a_body_counts_not_its_content_type() {
    let stream = a_stream();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml", "no type at all", ""] {
        let answer = stream.post_with("", &[("content-type", content_type)], r#"{"type":"judged"}"#).await;
        assert_eq!(answer.event()["type"], "judged", "{content_type}");
    }
}

#[tokio::test]
async fn who_prefers_a_minimal_answer_gets_offsets_only() {
    let stream = a_stream();
    let minimal = [("prefer", "return=minimal")];

    let one = stream.post_with("", &minimal, r#"{"type":"a"}"#).await.ok().json();
    let batch = stream.post_with("", &minimal, r#"[{"type":"a"},{"type":"b"}]"#).await.ok().json();

    assert_eq!(one, json!({"offset": 2}));
    assert_eq!(batch, json!({"offsets": [3, 4]}));
}

#[tokio::test]
async fn a_batch_holds_a_thousand_events_and_one_more_is_too_many() {
    let stream = a_stream();
    let batch = |count: usize| json!(vec![json!({"type": "a"}); count]);

    let most = stream.append(batch(1_000)).await.ok().json();
    let more = stream.append(batch(1_001)).await;

    assert_eq!(most["events"].as_array().unwrap().len(), 1_000);
    assert_eq!(more.problem(413, "too_large")["limit"], 1_000);
    assert_eq!(stream.head_offset().await, 1_001);
}

#[tokio::test]
async fn an_event_has_at_most_1_mib_and_a_batch_8() {
    let stream = a_stream();
    let event = |bytes: usize| json!({"type": "large", "payload": "x".repeat(bytes)});

    let fits = stream.append(event((1 << 20) - 300)).await;
    let too_large = stream.append(event(1 << 20)).await;
    let batch = stream.append(json!(vec![event(900 << 10); 8])).await;
    let too_large_batch = stream.append(json!(vec![event(900 << 10); 10])).await;

    assert_eq!(fits.status, 200, "{fits}");
    assert_eq!(too_large.problem(413, "too_large")["limit"], 1 << 20);
    assert_eq!(batch.status, 200);
    assert_eq!(too_large_batch.problem(413, "too_large")["limit"], 8 << 20);
    assert_eq!(stream.head_offset().await, 10);
}

#[tokio::test]
async fn metadata_has_at_most_64_kib_and_json_at_most_64_levels() {
    let stream = a_stream();
    let nested = |depth: usize| format!(r#"{{"type":"deep","payload":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));

    let metadata = stream.append(json!({"type": "a", "metadata": {"m": "x".repeat(64 << 10)}})).await;
    let deep = stream.post(nested(64)).await;
    let deeper = stream.post(nested(65)).await;

    assert_eq!(metadata.problem(413, "too_large")["limit"], 64 << 10);
    assert_eq!(deep.status, 200, "{deep}");
    assert_eq!(deeper.problem(413, "too_large")["limit"], 64);
}

#[tokio::test]
async fn the_same_key_type_and_payload_answer_with_the_first_event_and_write_nothing() {
    let stream = a_stream();
    let event = json!({"type": "paid", "payload": {"n": 1}, "idempotencyKey": "k"});
    let first = stream.append(event.clone()).await.event();

    let again = stream.append(event).await;
    let reformatted =
        stream.post(r#"{"idempotencyKey":"k", "payload": { "n": 1 }, "metadata": {"try": 2}, "type":"paid"}"#).await;

    for answer in [again, reformatted] {
        assert_eq!(answer.header("tailrace-duplicate"), "true");
        assert_eq!(answer.event(), first);
    }
    assert_eq!(first["idempotencyKey"], "k");
    assert_eq!(stream.head_offset().await, 2);
}

#[tokio::test]
async fn a_key_used_for_other_content_is_a_conflict_that_names_the_first_offset() {
    let stream = a_stream();
    let first = stream.append(json!({"type": "paid", "payload": 1, "idempotencyKey": "k"})).await.offset();

    for other in [
        json!({"type": "paid", "payload": 2, "idempotencyKey": "k"}),
        json!({"type": "other", "payload": 1, "idempotencyKey": "k"}),
        json!([{"type": "new"}, {"type": "paid", "payload": 2, "idempotencyKey": "k"}]),
    ] {
        let answer = stream.append(other).await;
        assert_eq!(answer.problem(409, "idempotency_conflict")["offset"], first);
    }
    assert_eq!(stream.head_offset().await, first);
}

#[tokio::test]
async fn in_a_batch_each_duplicate_answers_in_its_place() {
    let stream = a_stream();
    let keyed = |key: &str| json!({"type": "t", "idempotencyKey": key});
    let _ = stream.append(json!([keyed("a"), keyed("b")])).await.ok();

    let answer = stream.append(json!([keyed("c"), keyed("b"), {"type": "t"}, keyed("c")])).await.ok();

    assert_eq!(answer.header("tailrace-duplicate"), "", "something was written");
    let body = answer.json();
    let offsets: Vec<u64> = body["events"].as_array().unwrap().iter().map(|e| e["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, [4, 3, 5, 4]);
    assert_eq!(stream.head_offset().await, 5);
}

#[tokio::test]
async fn a_key_has_1_to_256_characters_of_any_kind() {
    let stream = a_stream();
    let longest = "漢".repeat(256);

    for key in ["k\n\t\u{0}\"", " ", "child-created:/x:y", &longest] {
        let event = json!({"type": "t", "idempotencyKey": key});
        let first = stream.append(event.clone()).await.event();
        let again = stream.append(event).await;
        assert_eq!(again.header("tailrace-duplicate"), "true", "{key:?}");
        assert_eq!(again.event(), first);
    }
    for key in ["", &"x".repeat(257)] {
        let answer = stream.append(json!({"type": "t", "idempotencyKey": key})).await;
        assert_eq!(answer.problem(400, "invalid_event")["field"], "idempotencyKey");
    }
}

#[tokio::test]
async fn keys_belong_to_a_stream() {
    let (one, other) = (a_stream(), a_stream());
    let event = json!({"type": "t", "idempotencyKey": "k"});

    let first = one.append(event.clone()).await;
    let second = other.append(event).await;

    assert_eq!((first.header("tailrace-duplicate"), second.header("tailrace-duplicate")), ("", ""));
    assert_eq!(second.event()["streamPath"], other.path);
}

#[tokio::test]
async fn an_expected_offset_is_a_compare_and_set() {
    let stream = a_stream();
    stream.say("a").await;

    let right = stream.append(json!({"type": "b", "offset": 3})).await;
    let wrong = stream.append(json!({"type": "c", "offset": 3})).await;
    let by_header = stream.post_with("", &[("if-match", "\"3\"")], r#"{"type":"d"}"#).await;
    let wrong_header = stream.post_with("", &[("if-match", "\"3\"")], r#"{"type":"e"}"#).await;

    assert_eq!(right.offset(), 3);
    let problem = wrong.problem(412, "offset_mismatch");
    assert_eq!((&problem["expected"], &problem["actual"]), (&json!(3), &json!(4)));
    assert_eq!(by_header.offset(), 4);
    let problem = wrong_header.problem(412, "offset_mismatch");
    assert_eq!((&problem["expected"], &problem["actual"]), (&json!(4), &json!(5)));
    assert_eq!(stream.head_offset().await, 4);
}

#[tokio::test]
async fn an_if_match_that_is_no_offset_is_refused() {
    let stream = a_stream();
    stream.say("a").await;
    for bad in ["\"x\"", "\"-1\"", "\"1.5\"", "W/\"zz\"", "\"99999999999999999999999\""] {
        let answer = stream.post_with("", &[("if-match", bad)], r#"{"type":"b"}"#).await;
        assert!([400, 412].contains(&answer.status), "{bad}: {answer}");
        let code = if answer.status == 400 { "invalid_query" } else { "offset_mismatch" };
        answer.problem(answer.status, code);
    }
    assert_eq!(stream.head_offset().await, 2);
}

#[tokio::test]
async fn of_many_who_expect_the_same_offset_one_gets_it() {
    let stream = a_stream();
    stream.say("a").await;

    let racers = (0..20).map(|n| {
        let stream = stream.clone();
        tokio::spawn(async move { stream.append(json!({"type": "racer", "payload": n, "offset": 3})).await.status })
    });
    let mut statuses = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        statuses.push(racer.await.unwrap());
    }

    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (200, &[412; 19][..]));
    assert_eq!(stream.head_offset().await, 3);
}

#[tokio::test]
async fn offsets_have_no_gaps_and_time_does_not_go_back_however_many_write_at_once() {
    let stream = a_stream().without_breaker().await;
    let writers = (0..8).map(|writer| {
        let stream = stream.clone();
        tokio::spawn(async move {
            let mut offsets = Vec::new();
            for n in 0..25 {
                offsets.push(stream.append(json!({"type": "w", "payload": [writer, n]})).await.offset());
            }
            assert!(offsets.is_sorted());
            offsets
        })
    });
    let mut told = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        told.extend(writer.await.unwrap());
    }

    told.sort_unstable();
    assert_eq!(told, (3..=202).collect::<Vec<u64>>());
    let events = stream.events().await;
    let offsets: Vec<u64> = events.iter().map(|event| event["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, (1..=202).collect::<Vec<u64>>());
    assert!(events.is_sorted_by_key(|event| event["createdAt"].as_str().unwrap()));
}

#[tokio::test]
async fn checks_come_in_the_order_idempotency_pause_hops_expected_offset() {
    let stream = a_stream();
    let keyed = json!({"type": "t", "idempotencyKey": "k", "offset": 99});
    let _ = stream.append(json!({"type": "t", "idempotencyKey": "k"})).await.ok();
    let too_far = [("tailrace-cause", "/elsewhere;1;32;0")];

    let duplicate = stream.post_with("", &too_far, keyed.to_string()).await;
    let hops = stream.post_with("", &too_far, r#"{"type":"t","offset":99}"#).await;
    stream.say("stream.paused").await;
    let duplicate_while_paused = stream.post_with("", &too_far, keyed.to_string()).await;
    let paused = stream.post_with("", &too_far, r#"{"type":"t","offset":99}"#).await;

    assert_eq!(duplicate.offset(), 2);
    assert_eq!(hops.problem(409, "hop_limit")["hops"], 33);
    assert_eq!(duplicate_while_paused.offset(), 2);
    paused.problem(423, "stream_paused");
}

#[tokio::test]
async fn types_under_a_reserved_prefix_exist_or_are_refused() {
    let stream = a_stream();
    stream.say("a").await;
    for reserved in [
        "stream.created",
        "stream.child-created",
        "stream.child-deleted",
        "stream.anything",
        "stream.",
        "breaker.tripped",
        "schedule.ended",
        "subscription.halted",
        "webhook.received",
        "imported.a",
    ] {
        let answer = stream.append(json!({"type": reserved})).await;
        answer.problem(403, "reserved_type");
    }
    for free in ["streams.created", "stream", "Stream.created", "webhooks.received", "error.occurred"] {
        assert_eq!(stream.append(json!({"type": free})).await.event()["type"], free);
    }
}

#[tokio::test]
async fn a_control_event_that_is_not_right_is_refused_with_the_field_that_is_wrong() {
    let stream = a_stream();
    stream.say("a").await;
    for (event_type, payload, field) in [
        ("breaker.configured", json!({"limit": 0}), "payload.limit"),
        ("breaker.configured", json!({"limit": "5"}), "payload.limit"),
        ("breaker.configured", json!({"windowMs": 60_001}), "payload.windowMs"),
        ("breaker.configured", json!({"window": 5}), "payload.window"),
        ("stream.paused", json!({"reason": 5}), "payload.reason"),
        ("stream.paused", json!({"breaker": {}}), "payload.breaker"),
        ("stream.resumed", json!({"children": "yes"}), "payload.children"),
        ("stream.metadata-updated", json!({}), "payload.metadata"),
        ("stream.metadata-updated", json!({"metadata": []}), "payload.metadata"),
        ("stream.paused", json!([]), "payload"),
    ] {
        let answer = stream.append(json!({"type": event_type, "payload": payload})).await;
        assert_eq!(answer.problem(422, "invalid_control_event")["field"], field);
        let batch = stream.append(json!([{"type": "b"}, {"type": event_type, "payload": payload}])).await;
        assert!([400, 422].contains(&batch.status), "{batch}");
    }
    assert_eq!(stream.head_offset().await, 2);
}

#[tokio::test]
async fn a_cause_in_the_same_stream_keeps_its_hops_and_in_another_adds_one() {
    let (here, there) = (a_stream(), a_stream());
    let first = here.say("a").await;

    let same = here.append(json!({"type": "b", "cause": {"offset": first}})).await.event();
    let cause = json!({"streamPath": here.path, "offset": same["offset"]});
    let other = there.append(json!({"type": "c", "cause": cause})).await.event();

    assert_eq!(same["cause"], json!({"streamPath": here.path, "offset": first, "hops": 0, "turns": 0}));
    assert_eq!(other["cause"]["streamPath"], here.path);
    assert_eq!(other["cause"]["hops"], 1);
}

#[tokio::test]
async fn an_append_inherits_the_cause_in_its_header_whatever_its_body() {
    let stream = a_stream();
    let header = [("tailrace-cause", "/elsewhere;7;31;4")];

    let event = stream.post_with("", &header, r#"{"type":"a"}"#).await.event();
    let foreign = stream.post_with("", &header, "not an event").await.event();
    let too_far = stream.post_with("", &[("tailrace-cause", "/elsewhere;7;32;4")], "not an event").await;
    let malformed = stream.post_with("", &[("tailrace-cause", "/elsewhere;7")], r#"{"type":"a"}"#).await;

    let cause = json!({"streamPath": "/elsewhere", "offset": 7, "hops": 32, "turns": 4});
    assert_eq!((&event["cause"], &foreign["cause"]), (&cause, &cause));
    too_far.problem(409, "hop_limit");
    malformed.problem(400, "invalid_query");
}

#[tokio::test]
async fn what_is_only_checked_is_judged_like_an_append_and_written_nowhere() {
    let stream = a_stream();
    let check = async |body: &str| stream.post_with("?check=true", &[], body.to_owned()).await;

    assert_eq!(check(r#"{"type":"a"}"#).await.ok().json(), json!({"accepted": true, "events": 1}));
    assert_eq!(check(r#"[{"type":"a"},{"type":"b"}]"#).await.ok().json()["events"], 2);
    let foreign = check(r#"{"id":7}"#).await.ok().json();
    assert_eq!((&foreign["accepted"], &foreign["interpretedAs"]), (&json!(true), &json!("webhook")));
    let problem = check(r#"{"type":"schedule.configured","payload":{"slug":"s"}}"#).await;
    assert_eq!(problem.problem(422, "invalid_control_event")["field"], "payload.event");
    check(r#"{"type":"stream.nonsense"}"#).await.problem(403, "reserved_type");

    assert_eq!(stream.head().await.status, 404);
}

#[tokio::test]
async fn an_ephemeral_event_reaches_live_readers_and_is_not_stored() {
    let stream = a_stream();
    stream.say("a").await;
    let mut tail = stream.tail().await;
    tail.to_head().await;

    let answer = stream.post_with("?ephemeral=true", &[], r#"{"type":"typing","payload":{"by":"anna"}}"#).await.ok();
    let block = tail.next_named("ephemeral").await;
    stream.say("b").await;

    assert_eq!(block.id, None);
    let event = block.json();
    assert_eq!((&event["type"], &event["payload"]["by"]), (&json!("typing"), &json!("anna")));
    assert_eq!((&event["offset"], &event["streamPath"]), (&Value::Null, &json!(stream.path)));
    assert_eq!(answer.json()["event"], event);
    assert_eq!(tail.next_event().await["offset"], 3);
}

#[tokio::test]
async fn an_ephemeral_event_creates_no_stream_and_is_refused_while_paused() {
    let (absent, paused) = (a_stream(), a_stream());
    paused.say("stream.paused").await;

    let to_absent = absent.post_with("?ephemeral=true", &[], r#"{"type":"typing"}"#).await;
    let to_paused = paused.post_with("?ephemeral=true", &[], r#"{"type":"typing"}"#).await;

    assert!(to_absent.status < 500, "{to_absent}");
    assert_eq!(absent.head().await.status, 404);
    to_paused.problem(423, "stream_paused");
}

#[tokio::test]
async fn an_append_is_visible_to_everybody_once_it_is_answered() {
    let stream = a_stream();
    for n in 2..30 {
        assert_eq!(stream.say("a").await, n);
        assert_eq!(stream.head_offset().await, n);
        assert_eq!(stream.page("?last=1").await[0]["offset"], n);
    }
}

#[tokio::test]
async fn an_append_at_the_root_and_with_any_spelling_of_a_path_lands_in_one_stream() {
    let stream = a_stream();
    let name = stream.path.trim_start_matches('/').to_owned();
    let client = &stream.client;
    for path in [format!("/{name}/B"), format!("/{name}%2FB"), format!("/{name}/B/"), format!("/{name}/%42")] {
        let answer = client.send("POST", &format!("/api/streams{path}"), &[], r#"{"type":"a"}"#).await;
        assert_eq!(answer.event()["streamPath"], format!("/{name}/B"), "{path}");
    }
    assert_eq!(stream.child("B").head_offset().await, 5);
    assert_eq!(stream.child("b").head().await.status, 404, "case matters");

    let root = client.stream("/").append(json!({"type": "at-the-root"})).await;
    assert_eq!(root.event()["streamPath"], "/");
    until("the root lists the stream", || async {
        let after = format!("?limit=1000&after=/{}", &name[..name.len() - 1]);
        client.stream("/").child_paths(&after).await.contains(&stream.path).then_some(())
    })
    .await;
}

#[tokio::test]
async fn streams_that_name_each_other_as_causes_reach_the_hop_limit() {
    let (here, there) = (a_stream(), a_stream());
    let mut last = (here.path.clone(), here.say("a").await);

    for hops in 1..=32 {
        let stream = if last.0 == here.path { &there } else { &here };
        let event =
            stream.append(json!({"type": "b", "cause": {"streamPath": last.0, "offset": last.1}})).await.event();
        assert_eq!(event["cause"]["hops"], hops);
        last = (stream.path.clone(), event["offset"].as_u64().unwrap());
    }

    let stream = if last.0 == here.path { &there } else { &here };
    let refused = stream.append(json!({"type": "b", "cause": {"streamPath": last.0, "offset": last.1}})).await;
    assert_eq!(refused.problem(409, "hop_limit")["hops"], 33);
}

#[tokio::test]
async fn if_match_is_held_against_the_first_event_of_a_batch_that_is_new() {
    let stream = a_stream();
    let known = json!({"type": "a", "idempotencyKey": "k"});
    let first = stream.append(known.clone()).await.offset();
    let batch = json!([known, {"type": "b", "idempotencyKey": "l"}]).to_string();

    let early = stream.post_with("", &[("if-match", "\"9\"")], batch.clone()).await;
    let right = stream.post_with("", &[("if-match", &format!("\"{first}\""))], batch.clone()).await;
    let again = stream.post_with("", &[("if-match", "\"9\"")], batch).await;

    assert_eq!(early.problem(412, "offset_mismatch")["index"], Value::Null, "no element of it is wrong");
    assert_eq!(right.ok().json()["events"][1]["offset"], first + 1);
    // All of it was written before: the retry of a batch is no mismatch.
    assert_eq!(again.ok().json()["events"][1]["offset"], first + 1);
}
