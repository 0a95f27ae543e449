//! What an answer with another status than 2xx means.

use proptest::prelude::*;
use tailrace_agent::api::refused;

/// 1994-11-06T08:49:00Z
const NOW: i64 = 784_111_740_000;

#[test]
fn a_refusal_says_what_the_provider_says() {
    for (body, expected) in [
        (
            r#"{"error":{"message":"Slow down","type":"rate_limit_error","param":null,"code":"rate_limit"}}"#,
            "Slow down",
        ),
        (r#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}"#, "Slow down"),
        (r#"[{"error":{"code":429,"message":"Slow down","status":"RESOURCE_EXHAUSTED"}}]"#, "Slow down"),
        (r#"{"success":false,"errors":[{"code":10000,"message":"Slow down"}]}"#, "Slow down"),
        (r#"{"error":"Slow down"}"#, "Slow down"),
        (r#"{"message":"Slow down"}"#, "Slow down"),
        (r#"{"detail":"Slow down"}"#, "Slow down"),
        (r#"{"detail":[{"loc":["body"],"msg":"Slow down"}]}"#, r#"[{"loc":["body"],"msg":"Slow down"}]"#),
        (r#"{"odd":"Slow down"}"#, r#"{"odd":"Slow down"}"#),
        ("\u{feff}{\"error\":{\"message\":\"Slow \\ud83d\"}}", "Slow \u{fffd}"),
        ("<html>\n  Slow\tdown  </html>\n", "<html> Slow down </html>"),
        ("", "the model's provider answered 429"),
        ("{}", "{}"),
    ] {
        assert_eq!(refused(429, None, body.as_bytes(), NOW).error, expected);
    }
}

#[test]
fn a_refusal_is_short() {
    let body = format!("{{\"error\":\"{}\"}}", "é".repeat(2_000));
    assert_eq!(refused(500, None, body.as_bytes(), NOW).error, "é".repeat(1_000));
    assert_eq!(refused(500, None, "é".repeat(100_000).as_bytes(), NOW).error.chars().count(), 200);
}

#[test]
fn what_passes_is_worth_another_try() {
    for (status, body, expected) in [
        (408, "", true),
        (409, "", true),
        (425, "", true),
        (429, "", true),
        (500, "", true),
        (503, "", true),
        (529, "", true),
        (400, "", false),
        (401, "", false),
        (402, "", false),
        (404, "", false),
        (413, "", false),
        (302, "", false),
        (429, r#"{"error":{"message":"x","code":"insufficient_quota"}}"#, false),
        (429, r#"{"error":{"message":"x","type":"insufficient_quota","code":null}}"#, false),
        (400, r#"{"error":{"message":"x","code":"context_length_exceeded"}}"#, false),
        (500, r#"{"error":{"message":"This model's maximum context length is 8192 tokens."}}"#, false),
    ] {
        let failure = refused(status, None, body.as_bytes(), NOW);
        assert_eq!((failure.retryable, failure.status), (expected, Some(status)), "{status} {body}");
    }
}

#[test]
fn a_provider_may_want_to_be_left_alone() {
    for (value, expected) in [
        ("2", Some(2_000)),
        (" 1.5 ", Some(1_500)),
        ("250ms", Some(250)),
        ("250.9 ms", Some(250)),
        ("0", Some(0)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37_000)),
        ("Sun, 6 Nov 1994 08:49:37 GMT", Some(37_000)),
        ("Sun, 06 Nov 1994 08:48:00 GMT", Some(0)),
        ("soon", None),
        ("-1", None),
        ("NaN", None),
        ("inf", None),
        ("", None),
    ] {
        assert_eq!(refused(429, Some(value), b"", NOW).retry_after_ms, expected, "{value:?}");
    }
    assert_eq!(refused(429, None, b"", NOW).retry_after_ms, None);
}

proptest! {
    #[test]
    fn whatever_a_provider_answers_nothing_panics(status: u16, value: String, body: Vec<u8>, now: i64) {
        let failure = refused(status, Some(&value), &body, now);
        prop_assert!(!failure.error.is_empty() && failure.error.chars().count() <= 1_000);
    }
}
