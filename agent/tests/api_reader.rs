//! Answers of models, as they come in: the same ones from every API, cut anywhere.

#![expect(clippy::unwrap_used, reason = "an answer that can't be read is to fail")]

use proptest::prelude::*;
use tailrace_agent::api::{Answer, Asked, Failure, Reader, Usage};
use tailrace_model::control::agent::Api;

const APIS: [Api; 3] = [Api::Chat, Api::Responses, Api::Messages];

/// The same answer from each API, streamed.
const STREAMED: [(Api, &str); 3] = [
    (Api::Chat, include_str!("api/chat.sse")),
    (Api::Responses, include_str!("api/responses.sse")),
    (Api::Messages, include_str!("api/messages.sse")),
];

/// The same answer from each API, in one body.
const WHOLE: [(Api, &str); 3] = [
    (Api::Chat, include_str!("api/chat.json")),
    (Api::Responses, include_str!("api/responses.json")),
    (Api::Messages, include_str!("api/messages.json")),
];

fn expected(api: Api) -> Answer {
    let asked = |name: &str, arguments: &str| Asked { name: name.to_owned(), arguments: arguments.to_owned() };
    Answer {
        content: "Hällo 😀 \"q\"\n".to_owned(),
        calls: vec![asked("weather", r#"{"city":"Köln 😀"}"#), asked("clock", r#"{"zone":1}"#)],
        usage: Some(Usage {
            input_tokens: 12,
            output_tokens: 34,
            cached_input_tokens: Some(8),
            reasoning_tokens: (api != Api::Messages).then_some(5),
        }),
        model: Some("m-1".to_owned()),
        finish_reason: Some("tool_calls".to_owned()),
    }
}

/// What is read of pieces: the texts that were added, joined, and the answer.
fn read(api: Api, pieces: &[&[u8]]) -> (String, Result<Answer, Failure>) {
    let mut reader = Reader::new(api);
    let mut text = String::new();
    for piece in pieces {
        match reader.push(piece) {
            Ok(added) => text.push_str(&added),
            Err(failure) => {
                assert_eq!(reader.finish(), Err(failure.clone()), "a failed answer stays failed");
                return (text, Err(failure));
            }
        }
        assert_eq!(reader.text(), text);
    }
    (text, reader.finish())
}

fn answer(api: Api, stream: &str) -> Answer {
    let (text, answer) = read(api, &[stream.as_bytes()]);
    let answer = answer.unwrap();
    assert_eq!(text, answer.content);
    answer
}

fn failure(api: Api, stream: &str) -> Failure {
    read(api, &[stream.as_bytes()]).1.unwrap_err()
}

/// A stream of chat completions of these chunks, without an end.
fn chunks(chunks: &[&str]) -> String {
    chunks.iter().flat_map(|chunk| ["data: ", chunk, "\n\n"]).collect()
}

/// A whole stream of chat completions whose deltas are these.
fn deltas(deltas: &[&str]) -> String {
    let chunk = |delta: &&str| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n");
    deltas.iter().map(chunk).chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn calls(answer: &Answer) -> Vec<(&str, &str)> {
    answer.calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect()
}

#[test]
fn every_api_gives_the_same_answer_wherever_its_bytes_are_cut() {
    for (api, stream) in STREAMED {
        for stream in
            [stream.to_owned(), stream.replace('\n', "\r\n"), stream.replace('\n', "\r"), format!("\u{feff}{stream}")]
        {
            let bytes = stream.as_bytes();
            for at in 0..=bytes.len() {
                let (front, back) = bytes.split_at(at);
                let (text, answer) = read(api, &[front, back]);
                assert_eq!(answer, Ok(expected(api)), "{api:?} cut at {at}");
                assert_eq!(text, expected(api).content, "{api:?} cut at {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(read(api, &single), (expected(api).content, Ok(expected(api))));
        }
    }
}

#[test]
fn without_event_lines_and_spaces_it_is_the_same_answer() {
    for (api, stream) in STREAMED {
        let lines = stream.lines().filter(|line| !line.starts_with("event:"));
        let bare: Vec<String> = lines.map(|line| line.replacen("data: ", "data:", 1) + "\n").collect();
        assert_eq!(answer(api, &bare.concat()), expected(api));
    }
}

#[test]
fn a_server_that_does_not_stream_is_read_to_its_end() {
    for (api, body) in WHOLE {
        for at in 0..=body.len() {
            let (front, back) = body.as_bytes().split_at(at);
            let (text, answer) = read(api, &[front, back]);
            assert_eq!((text.as_str(), answer), ("", Ok(expected(api))), "{api:?} cut at {at}");
        }
    }
}

#[test]
fn an_answer_is_over_when_its_last_event_came_and_no_sooner() {
    for (api, stream) in STREAMED {
        let last = stream.trim_end().rfind("\n\n").unwrap() + 2;
        let mut reader = Reader::new(api);
        reader.push(&stream.as_bytes()[..last]).unwrap();
        assert!(!reader.is_done());
        reader.push(&stream.as_bytes()[last..]).unwrap();
        assert!(reader.is_done());
        assert_eq!(reader.push(b"data: nonsense\n\n"), Ok(String::new()), "what follows is not read");
        assert_eq!(reader.finish(), Ok(expected(api)));
    }
}

#[test]
fn a_connection_that_ends_early_leaves_a_truncated_answer() {
    for (api, stream) in STREAMED {
        let complete = match api {
            Api::Chat => stream.find("\"finish_reason\":\"").unwrap(),
            _ => stream.trim_end().rfind("\n\n").unwrap(),
        };
        for at in 0..complete {
            let failed = read(api, &[&stream.as_bytes()[..at]]).1.unwrap_err();
            assert!(failed.retryable && failed.error.contains("truncated"), "{api:?} cut at {at}: {failed:?}");
        }
    }
}

#[test]
fn a_chat_that_gave_its_reason_lacks_nothing_but_numbers() {
    let said = r#"{"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#;
    let answer = answer(Api::Chat, &chunks(&[said]));
    assert_eq!((answer.content.as_str(), answer.finish_reason.as_deref()), ("Hi", Some("stop")));
    assert_eq!(answer.usage, None);
}

#[test]
fn the_end_of_the_connection_ends_the_last_event() {
    for last in ["data: [DONE]", "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}"] {
        let stream = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"Hi\"}}}}]}}\n\n{last}");
        assert_eq!(answer(Api::Chat, &stream).content, "Hi");
    }
}

#[test]
fn halves_of_characters_that_never_meet_are_replaced() {
    let stream = deltas(&[r#"{"content":"a\ud83d"}"#, r#"{"content":"b\ude00"}"#, r#"{"content":"c\ud83d"}"#]);
    assert_eq!(answer(Api::Chat, &stream).content, "a\u{fffd}b\u{fffd}c\u{fffd}");
}

#[test]
fn reasons_to_end_have_the_same_words_everywhere() {
    let chat = |reason: &str| format!("data: {{\"choices\":[{{\"finish_reason\":\"{reason}\"}}]}}\n\n");
    let messages = |reason: &str| {
        format!(
            "data: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{reason}\"}}}}\n\ndata: {{\"type\":\"message_stop\"}}\n\n"
        )
    };
    let responses = |reason: &str| {
        format!(
            "data: {{\"type\":\"response.incomplete\",\"response\":{{\"status\":\"incomplete\",\"incomplete_details\":{{\"reason\":\"{reason}\"}}}}}}\n\n"
        )
    };
    for (api, stream, expected) in [
        (Api::Chat, chat("stop"), "stop"),
        (Api::Chat, chat("length"), "length"),
        (Api::Chat, chat("content_filter"), "content_filter"),
        (Api::Chat, chat("abort"), "abort"),
        (Api::Messages, messages("end_turn"), "stop"),
        (Api::Messages, messages("stop_sequence"), "stop"),
        (Api::Messages, messages("tool_use"), "tool_calls"),
        (Api::Messages, messages("max_tokens"), "length"),
        (Api::Messages, messages("refusal"), "content_filter"),
        (Api::Messages, messages("pause_turn"), "pause_turn"),
        (Api::Responses, responses("max_output_tokens"), "length"),
        (Api::Responses, responses("content_filter"), "content_filter"),
        (
            Api::Responses,
            "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\"}}\n\n".to_owned(),
            "stop",
        ),
    ] {
        assert_eq!(answer(api, &stream).finish_reason.as_deref(), Some(expected), "{stream}");
    }
}

#[test]
fn a_refusal_is_text_and_the_reason() {
    let chat = deltas(&[r#"{"content":null,"refusal":"I can"}"#, r#"{"refusal":"'t."}"#]);
    let responses = "data: {\"type\":\"response.refusal.delta\",\"delta\":\"I can't.\"}\n\n\
        data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\"}}\n\n";
    let whole =
        r#"{"status":"completed","output":[{"type":"message","content":[{"type":"refusal","refusal":"I can't."}]}]}"#;
    for (api, stream) in [(Api::Chat, chat.as_str()), (Api::Responses, responses), (Api::Responses, whole)] {
        let answer = read(api, &[stream.as_bytes()]).1.unwrap();
        assert_eq!((answer.content.as_str(), answer.finish_reason.as_deref()), ("I can't.", Some("content_filter")));
    }
}

#[test]
fn calls_are_told_apart_however_a_provider_marks_them() {
    let expected = [("a", r#"{"x":1}"#), ("b", "{}")];
    for stream in [
        // The index, again and again the id and the name.
        vec![
            r#"{"tool_calls":[{"index":0,"id":"1","function":{"name":"a","arguments":"{\"x\""}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"1","function":{"name":"a","arguments":":1}"}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"2","function":{"name":"b","arguments":""}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"2","function":{"name":"b","arguments":"{}"}}]}"#,
        ],
        // The index, and a new id with every piece.
        vec![
            r#"{"tool_calls":[{"index":0,"id":"1","function":{"name":"a","arguments":"{\"x\""}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"3","function":{"name":null,"arguments":":1}"}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"4","function":{"name":"b"}}]}"#,
        ],
        // Always the same index, whole calls.
        vec![
            r#"{"tool_calls":[{"index":0,"id":"1","function":{"name":"a","arguments":"{\"x\":1}"}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"2","function":{"name":"b","arguments":"{}"}}]}"#,
        ],
        // Ids alone, in pieces that take turns.
        vec![
            r#"{"tool_calls":[{"id":"1","function":{"name":"a","arguments":"{\"x\""}}]}"#,
            r#"{"tool_calls":[{"id":"2","function":{"name":"b","arguments":"{"}}]}"#,
            r#"{"tool_calls":[{"id":"1","function":{"arguments":":1}"}}]}"#,
            r#"{"tool_calls":[{"id":"2","function":{"arguments":"}"}}]}"#,
        ],
        // An id only at first.
        vec![
            r#"{"tool_calls":[{"id":"1","function":{"name":"a","arguments":"{\"x\""}}]}"#,
            r#"{"tool_calls":[{"function":{"arguments":":1}"}}]}"#,
            r#"{"tool_calls":[{"id":"2","function":{"name":"b","arguments":"{}"}}]}"#,
        ],
        // Neither, and arguments as objects.
        vec![
            r#"{"tool_calls":[{"function":{"name":"a","arguments":{"x":1}}},{"function":{"name":"b","arguments":{}}}]}"#,
        ],
        // Neither, the name again with every piece, and once more at the end.
        vec![
            r#"{"tool_calls":[{"function":{"name":"a","arguments":"{\"x\""}}]}"#,
            r#"{"tool_calls":[{"function":{"name":"a","arguments":":1}"}}]}"#,
            r#"{"tool_calls":[{"function":{"name":"a","arguments":""}}]}"#,
            r#"{"tool_calls":[{"function":{"name":"b","arguments":"{}"}}]}"#,
        ],
    ] {
        let answer = answer(Api::Chat, &deltas(&stream));
        assert_eq!(calls(&answer), expected, "{stream:?}");
        assert_eq!(answer.finish_reason.as_deref(), Some("tool_calls"));
    }
}

#[test]
fn a_name_may_come_in_pieces() {
    let stream = deltas(&[
        r#"{"tool_calls":[{"index":0,"id":"1","function":{"name":"get_"}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"name":"weather"}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#,
    ]);
    assert_eq!(calls(&answer(Api::Chat, &stream)), [("get_weather", "{}")]);
}

#[test]
fn two_whole_calls_of_one_tool_without_any_mark_are_two() {
    let stream = deltas(&[
        r#"{"tool_calls":[{"function":{"name":"a","arguments":{"x":1}}}]}"#,
        r#"{"tool_calls":[{"function":{"name":"a","arguments":{"x":2}}}]}"#,
    ]);
    assert_eq!(calls(&answer(Api::Chat, &stream)), [("a", r#"{"x":1}"#), ("a", r#"{"x":2}"#)]);
}

#[test]
fn a_chat_may_send_parts_and_repeat_the_whole_message() {
    let stream = chunks(&[
        r#"{"choices":[{"delta":{"content":[{"type":"thinking","text":"no"},{"type":"text","text":"Hi"}]}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"another answer"}}]}"#,
        r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
    ]);
    assert_eq!(answer(Api::Chat, &stream).content, "Hi");
}

#[test]
fn a_call_may_come_whole_from_every_api() {
    let messages = "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"a\",\"input\":{\"x\":1}}}\n\n\
        data: {\"type\":\"message_stop\"}\n\n";
    let done = "data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"function_call\",\"id\":\"f\",\"name\":\"a\",\"arguments\":\"{\\\"x\\\":1}\"}}\n\n\
        data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[]}}\n\n";
    let only_in_the_end = "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[{\"type\":\"function_call\",\"id\":\"f\",\"name\":\"a\",\"arguments\":\"{\\\"x\\\":1}\"}]}}\n\n";
    for (api, stream) in [(Api::Messages, messages), (Api::Responses, done), (Api::Responses, only_in_the_end)] {
        let answer = answer(api, stream);
        assert_eq!(calls(&answer), [("a", r#"{"x":1}"#)]);
        assert_eq!(answer.finish_reason.as_deref(), Some("tool_calls"));
    }
}

#[test]
fn input_of_blocks_that_are_no_calls_of_ours_is_left_out() {
    let stream = "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web_search\",\"input\":{}}}\n\n\
        data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}\n\n\
        data: {\"type\":\"message_stop\"}\n\n";
    assert_eq!(answer(Api::Messages, stream).calls, []);
}

#[test]
fn an_error_within_a_stream_says_whether_to_try_again() {
    for (api, stream, error, retryable) in [
        (
            Api::Chat,
            "data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\"}}\n\n",
            "The server had an error",
            true,
        ),
        (Api::Chat, "data: {\"error\":{\"message\":\"Rate limited\",\"code\":429}}\n\n", "Rate limited", true),
        (Api::Chat, "data: {\"error\":{\"message\":\"Bad\",\"code\":400}}\n\n", "Bad", false),
        (
            Api::Chat,
            "data: {\"error\":{\"message\":\"This model's maximum context length is 8 tokens\"}}\n\n",
            "This model's maximum context length is 8 tokens",
            false,
        ),
        (Api::Chat, "data: {\"error\":\"boom\"}\n\n", "boom", true),
        (Api::Chat, "event: error\ndata: {\"message\":\"boom\"}\n\n", "boom", true),
        (Api::Chat, "{\"error\":{\"message\":\"No money\",\"code\":\"insufficient_quota\"}}", "No money", false),
        (
            Api::Messages,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
            "Overloaded",
            true,
        ),
        (
            Api::Messages,
            "data: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt\"}}\n\n",
            "prompt",
            false,
        ),
        (
            Api::Responses,
            "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"Oh\",\"param\":null}\n\n",
            "Oh",
            true,
        ),
        (
            Api::Responses,
            "data: {\"type\":\"error\",\"error\":{\"code\":\"unknown-error\",\"message\":\"Oh\"}}\n\n",
            "Oh",
            true,
        ),
        (
            Api::Responses,
            "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"Slow\"}}}\n\n",
            "Slow",
            true,
        ),
        (
            Api::Responses,
            "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"invalid_prompt\",\"message\":\"No\"}}}\n\n",
            "No",
            false,
        ),
        (Api::Responses, "data: {\"type\":\"response.failed\",\"error\":{\"message\":\"Late\"}}\n\n", "Late", true),
    ] {
        let failed = failure(api, stream);
        assert_eq!((failed.error.as_str(), failed.retryable, failed.status), (error, retryable, None), "{stream}");
    }
}

#[test]
fn what_is_no_json_is_malformed_and_worth_another_try() {
    for stream in
        ["data: {\"choices\":[\n\n", "data: oops\n\n", "<html>oops</html>", "{\"choices\":", "{\"a\":1}", "[1]"]
    {
        for api in APIS {
            let failed = failure(api, stream);
            assert!(failed.retryable && failed.error.contains("malformed"), "{stream}: {failed:?}");
        }
    }
    assert!(failure(Api::Chat, "event: error\ndata: upstream timed out\n\n").error.contains("upstream timed out"));
}

#[test]
fn text_that_came_before_a_failure_is_kept() {
    let mut reader = Reader::new(Api::Chat);
    reader.push(chunks(&[r#"{"choices":[{"delta":{"content":"Hi"}}]}"#]).as_bytes()).unwrap();
    let failed = reader.push(b"data: oops\n\n").unwrap_err();
    assert_eq!(reader.text(), "Hi");
    assert_eq!(reader.push(b"data: [DONE]\n\n"), Err(failed));
}

#[test]
fn text_and_arguments_have_room_for_768_kib() {
    let say = |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let ask = |text: &str| {
        let call = format!("{{\"index\":0,\"id\":\"1\",\"function\":{{\"name\":\"n\",\"arguments\":\"{text}\"}}}}");
        format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{call}]}}}}]}}\n\n")
    };
    let half = "x".repeat(384 * 1024);
    let most = "y".repeat(384 * 1024 - 1);
    let full = format!("{}{}", say(&half), ask(&most));
    assert_eq!(answer(Api::Chat, &format!("{full}data: [DONE]\n\n")).content, half);
    for more in [say("z"), ask("z")] {
        let failed = failure(Api::Chat, &format!("{full}{more}"));
        assert!(!failed.retryable && failed.error.contains("768 KiB"), "{failed:?}");
    }
    let mut reader = Reader::new(Api::Chat);
    assert!(reader.push(say(&half.repeat(3)).as_bytes()).is_err());
    assert_eq!(reader.text().len(), 768 * 1024, "what is kept of it has its limit too");
}

#[test]
fn an_answer_may_ask_for_128_calls() {
    let asked = |count: usize| {
        let call = |index| format!("{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"name\":\"n\"}}}}]}}");
        let pieces: Vec<String> = (0..count).map(call).collect();
        deltas(&pieces.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(answer(Api::Chat, &asked(128)).calls.len(), 128);
    let failed = failure(Api::Chat, &asked(129));
    assert!(!failed.retryable && failed.error.contains("128"), "{failed:?}");
}

#[test]
fn a_line_and_a_body_have_room_for_8_mib() {
    for start in ["data: {\"a\":\"", "{\"a\":\""] {
        let mut reader = Reader::new(Api::Chat);
        reader.push(start.as_bytes()).unwrap();
        let mib = vec![b'x'; 1024 * 1024];
        for _ in 0..7 {
            reader.push(&mib).unwrap();
        }
        let failed = reader.push(&mib).unwrap_err();
        assert!(!failed.retryable && failed.error.contains("8 MiB"), "{failed:?}");
    }
}

#[test]
fn deep_and_wide_json_is_read_like_any_other() {
    let deep = format!("{{\"choices\":[],\"deep\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = format!("{{\"choices\":[{}{{}}]}}", "{},".repeat(100_000));
    for odd in [deep, wide] {
        let stream = chunks(&[&odd, r#"{"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#]);
        assert_eq!(answer(Api::Chat, &stream).content, "Hi");
    }
}

proptest! {
    #[test]
    fn whatever_comes_in_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0_usize..400) {
        for api in APIS {
            let (front, back) = bytes.split_at(at.min(bytes.len()));
            let _ = read(api, &[front, back]);
        }
    }

    #[test]
    fn whatever_is_done_to_a_stream_every_cut_of_it_reads_the_same(
        which in 0_usize..6,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let (api, stream) = STREAMED.into_iter().chain(WHOLE).nth(which).unwrap();
        let mut bytes = stream.as_bytes().to_vec();
        for (at, to, byte) in edits {
            // A byte becomes another, or a piece is repeated elsewhere.
            let (at, to) = (at.index(bytes.len()), to.index(bytes.len()));
            if byte % 2 == 0 {
                bytes[at] = byte / 2;
            } else {
                let piece = bytes[at..(at + usize::from(byte)).min(bytes.len())].to_vec();
                bytes.splice(to..to, piece);
            }
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
        let once = read(api, &[&bytes]);
        let cut = read(api, &pieces);
        prop_assert_eq!(&cut.1, &once.1);
        if once.1.is_ok() {
            prop_assert_eq!(cut.0, once.0);
        }
    }
}
