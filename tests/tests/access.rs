//! Access: every call with every kind of token.

use std::sync::OnceLock;

use serde_json::{Value, json};
use tailrace_tests::token::{now, sign, sign_claims, sign_with_header, tamper};
use tailrace_tests::{Answer, Client, Runtime, Stream, raw, unique};

const SECRET: &str = "the-token-of-this-deployment-0123456789";
const HOOK_KEY: &str = "the-hook-key";

/// A runtime as a deployment: with a token and a hook key.
fn deployment() -> &'static Runtime {
    static DEPLOYMENT: OnceLock<Runtime> = OnceLock::new();
    DEPLOYMENT.get_or_init(|| Runtime::with().var("TAILRACE_TOKEN", SECRET).var("TAILRACE_HOOK_KEY", HOOK_KEY).start())
}

fn owner() -> Client {
    deployment().client().with_token(SECRET)
}

fn with(token: &str) -> Client {
    deployment().client().with_token(token)
}

/// A stream with a hook at offset 2 and an event at 3.
async fn a_stream() -> Stream {
    let stream = owner().stream(&format!("/{}", unique("t")));
    let _ = stream.hook(&format!("?key={HOOK_KEY}"), &[], "hook").await.ok();
    stream.say("a").await;
    stream
}

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Read,
    Append,
    Approve,
    Control,
    Full,
}

/// Every call there is, as method, path and query, body, and what it needs.
fn calls(stream: &Stream) -> Vec<(&'static str, String, &'static str, Need)> {
    let (url, path) = (stream.url(), &stream.path);
    vec![
        ("GET", url.clone(), "", Need::Read),
        ("GET", format!("{url}?wait=0&last=1"), "", Need::Read),
        ("GET", format!("{url}?live=true&limit=1"), "", Need::Read),
        ("HEAD", url.clone(), "", Need::Read),
        ("GET", format!("/api/state{path}"), "", Need::Read),
        ("GET", format!("/api/state{path}?at=1"), "", Need::Read),
        ("GET", format!("/api/children{path}"), "", Need::Read),
        ("GET", format!("/api/children{path}?recursive=true"), "", Need::Read),
        ("GET", format!("/api/raw{path}?offset=2"), "", Need::Read),
        ("POST", url.clone(), r#"{"type":"message"}"#, Need::Append),
        ("POST", url.clone(), r#"[{"type":"message"}]"#, Need::Append),
        ("POST", url.clone(), "no event", Need::Append),
        ("POST", format!("{url}?ephemeral=true"), r#"{"type":"typing"}"#, Need::Append),
        ("POST", url.clone(), r#"{"type":"tool.approved","payload":{"callId":"c"}}"#, Need::Approve),
        ("POST", url.clone(), r#"{"type":"tool.denied","payload":{"callId":"c"}}"#, Need::Approve),
        ("POST", url.clone(), r#"{"type":"stream.metadata-updated","payload":{"metadata":{}}}"#, Need::Control),
        ("POST", url.clone(), r#"{"type":"breaker.configured","payload":{"limit":null}}"#, Need::Control),
        ("POST", url.clone(), r#"{"type":"stream.paused"}"#, Need::Control),
        ("POST", url.clone(), r#"{"type":"stream.resumed"}"#, Need::Control),
        ("POST", url.clone(), r#"{"type":"tool.configured","payload":{"name":"t"}}"#, Need::Control),
        ("POST", format!("{url}?import=true"), r#"{"type":"old"}"#, Need::Full),
        ("DELETE", format!("{url}?children=true"), "", Need::Control),
    ]
}

async fn call(client: &Client, (method, path, body, _): &(&'static str, String, &'static str, Need)) -> Answer {
    client.send(method, path, &[], *body).await
}

fn refused(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer}");
    // HEAD has no body.
    if !answer.body.is_empty() {
        answer.problem(status, if status == 401 { "unauthorized" } else { "forbidden" });
    }
    if status == 401 {
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{what}: {answer}");
    }
}

#[tokio::test]
async fn the_deployments_token_may_do_everything() {
    let stream = a_stream().await;
    for it in calls(&stream) {
        let answer = call(&owner(), &it).await;
        assert!([200, 202].contains(&answer.status), "{it:?}: {answer}");
    }
}

#[tokio::test]
async fn without_a_token_that_holds_nothing_is_done() {
    let stream = a_stream().await;
    let claims =
        json!({"by": "eve", "path": "/", "can": ["read", "append", "approve", "control"], "exp": now() + 3_600});
    let with_exp = |exp: Value| {
        let mut claims = claims.clone();
        claims["exp"] = exp;
        claims
    };
    let good = sign(SECRET, "bob", "/elsewhere", &["read"]);
    let tokens = [
        ("wrong", "wrong".to_owned()),
        ("almost", SECRET[..SECRET.len() - 1].to_owned()),
        ("longer", format!("{SECRET}x")),
        ("of another deployment", sign_claims("another secret", &claims)),
        ("signed with the hook key", sign_claims(HOOK_KEY, &claims)),
        ("expired", sign_claims(SECRET, &with_exp(json!(now() - 5)))),
        ("never expiring", sign_claims(SECRET, &json!({"by": "eve", "path": "/", "can": ["read"]}))),
        ("tampered", tamper(&good, &claims)),
        ("algorithm none", sign_with_header(SECRET, &json!({"alg": "none", "typ": "JWT"}), &claims)),
        ("another algorithm", sign_with_header(SECRET, &json!({"alg": "HS512", "typ": "JWT"}), &claims)),
        ("unsigned", format!("{}.", good.rsplit_once('.').unwrap().0)),
        ("without claims", sign_claims(SECRET, &json!({"exp": now() + 60}))),
        ("an unknown right", sign_claims(SECRET, &json!({"by": "e", "path": "/", "can": ["all"], "exp": now() + 60}))),
        ("no JSON", "a.b.c".to_owned()),
    ];
    for it in calls(&stream) {
        refused(&call(&deployment().client(), &it).await, 401, &format!("no token, {it:?}"));
        for (kind, token) in &tokens {
            refused(&call(&with(token), &it).await, 401, &format!("{kind}, {it:?}"));
        }
        let (method, path, body, _) = &it;
        for header in [format!("Basic {SECRET}"), SECRET.to_owned(), "Bearer ".to_owned(), "Bearer".to_owned()] {
            let answer = deployment().client().send(method, path, &[("authorization", &header)], *body).await;
            refused(&answer, 401, &format!("{header}, {it:?}"));
        }
        let in_query = format!("{path}{}token={SECRET}", if path.contains('?') { '&' } else { '?' });
        refused(&deployment().client().send(method, &in_query, &[], *body).await, 401, &in_query);
    }
    assert_eq!(stream.head_offset().await, 3);
}

#[tokio::test]
async fn a_scoped_token_may_do_what_it_can_and_nothing_else() {
    let rights =
        [("read", Need::Read), ("append", Need::Append), ("approve", Need::Approve), ("control", Need::Control)];
    for (name, right) in rights {
        let stream = a_stream().await;
        let token = sign(SECRET, "bob", &stream.path, &[name]);
        for it in calls(&stream) {
            let answer = call(&with(&token), &it).await;
            if it.3 == right {
                assert!([200, 202].contains(&answer.status), "{name}, {it:?}: {answer}");
            } else {
                refused(&answer, 403, &format!("{name}, {it:?}"));
            }
        }
    }
    let nothing = sign(SECRET, "bob", "/", &[]);
    let stream = a_stream().await;
    for it in calls(&stream) {
        let answer = call(&with(&nothing), &it).await;
        assert!([401, 403].contains(&answer.status), "{it:?}: {answer}");
    }
}

#[tokio::test]
async fn a_scoped_token_is_for_its_path_and_all_below() {
    let stream = a_stream().await;
    stream.child("b").say("x").await;
    let sibling = owner().stream(&format!("{}2", stream.path));
    sibling.say("x").await;
    let everything = ["read", "append", "approve", "control"];
    let client = with(&sign(SECRET, "bob", &stream.path, &everything));

    for inside in [&stream, &stream.child("b"), &stream.child("new")] {
        assert_eq!(inside.by(&client).append(json!({"type": "x"})).await.status, 200);
        assert_eq!(inside.by(&client).read("").await.status, 200);
    }
    let above = owner().stream("/");
    for outside in [&sibling, &above, &owner().stream(&format!("/{}", unique("t")))] {
        for it in calls(outside) {
            refused(&call(&client, &it).await, 403, &format!("{it:?}"));
        }
    }
    // Another spelling is no way out.
    let encoded = format!("/api/streams{}%2F..%2F{}", stream.path, &sibling.path[1..]);
    let answer = client.send("GET", &encoded, &[], "").await;
    assert!([400, 403].contains(&answer.status), "{answer}");
    let target = format!("/api/streams{}/../{}", stream.path, &sibling.path[1..]);
    let token = format!("Authorization: Bearer {}\r\n", sign(SECRET, "bob", &stream.path, &everything));
    let (status, body) = raw::send(deployment().authority(), "GET", &target, &token, b"").await;
    assert!([400, 403].contains(&status), "{status} {body}");
}

#[tokio::test]
async fn a_batch_needs_the_rights_of_all_its_events() {
    let stream = a_stream().await;
    let client = with(&sign(SECRET, "bob", &stream.path, &["append"]));

    let answer = stream.by(&client).append(json!([{"type": "x"}, {"type": "stream.paused"}])).await;
    let lines = stream.by(&client).post("{\"type\":\"x\"}\n{\"type\":\"tool.approved\"}").await;

    answer.problem(403, "forbidden");
    lines.problem(403, "forbidden");
    assert_eq!(stream.head_offset().await, 3);
}

#[tokio::test]
async fn every_event_says_who_wrote_it() {
    let stream = a_stream().await;
    let bob = with(&sign(SECRET, "bob", &stream.path, &["append"]));
    let by = |event: Value| event["metadata"]["tailrace"]["by"].clone();

    assert_eq!(by(stream.append(json!({"type": "x"})).await.event()), "owner");
    let event = stream.by(&bob).append(json!({"type": "x", "metadata": {"m": 1}})).await.event();
    assert_eq!(event["metadata"]["m"], 1);
    assert_eq!(by(event), "bob");
    assert_eq!(by(stream.by(&bob).post("no event").await.event()), "bob");
}

#[tokio::test]
async fn a_hook_needs_the_key_only_where_no_stream_is_yet() {
    let anybody = deployment().client();
    let absent = anybody.stream(&format!("/{}", unique("t")));

    let without = absent.hook("", &[], "x").await;
    let wrong = absent.hook("?key=wrong", &[], "x").await;
    let large = absent.hook("", &[], vec![b'x'; 3 << 20]).await;
    assert_eq!(absent.by(&owner()).head().await.status, 404);
    let with_key = absent.hook(&format!("?key={HOOK_KEY}"), &[], "x").await;
    let later = absent.hook("", &[], "y").await;

    for answer in [without, wrong, large] {
        answer.problem(401, "unauthorized");
    }
    assert_eq!((with_key.offset(), later.offset()), (2, 3));
    let page = absent.by(&owner()).read("").await.ok().text();
    assert!(!page.contains(HOOK_KEY), "{page}");
}

#[tokio::test]
async fn with_tokens_any_website_may_ask_and_none_is_given_credentials() {
    let stream = a_stream().await;
    let origin = [("origin", "https://example.com")];

    let answer = stream.client.send("GET", &stream.url(), &origin, "").await.ok();
    let preflight = [
        ("origin", "https://example.com"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,if-match,prefer,last-event-id"),
    ];
    let asked = deployment().client().send("OPTIONS", &stream.url(), &preflight, "").await;
    let refused = deployment().client().send("GET", &stream.url(), &origin, "").await;

    for answer in [&answer, &asked, &refused] {
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{answer}");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{answer}");
    }
    let exposed = answer.header("access-control-expose-headers").to_ascii_lowercase();
    for name in [
        "tailrace-head",
        "tailrace-generation",
        "tailrace-paused",
        "tailrace-duplicate",
        "tailrace-interpreted-as",
        "retry-after",
    ] {
        assert!(exposed.contains(name), "{name} is not in {exposed}");
    }
    assert!([200, 204].contains(&asked.status), "{asked}");
    let allowed = asked.header("access-control-allow-headers").to_ascii_lowercase();
    for name in ["authorization", "content-type", "if-match", "prefer", "last-event-id"] {
        assert!(allowed == "*" || allowed.contains(name), "{name} is not in {allowed}");
    }
    let methods = asked.header("access-control-allow-methods");
    assert!(methods == "*" || (methods.contains("POST") && methods.contains("DELETE")), "{asked}");
}

#[tokio::test]
async fn a_deployment_without_a_token_serves_only_how_to_set_one() {
    let runtime = Runtime::with().var("TAILRACE_OPEN", "0").start();
    let stream = runtime.client().stream("/a");
    for client in [runtime.client(), runtime.client().with_token(""), runtime.client().with_token("undefined")] {
        for it in calls(&stream.by(&client)) {
            let answer = call(&client, &it).await;
            assert!((400..600).contains(&answer.status), "{it:?}: {answer}");
        }
    }
    let hook = stream.hook("", &[], "x").await;
    assert!((400..600).contains(&hook.status), "{hook}");
    let page = runtime.client().send("GET", "/", &[("accept", "text/html")], "").await;
    assert!(page.text().contains("TAILRACE_TOKEN"), "{page}");
}

#[tokio::test]
async fn a_token_closes_what_the_open_mode_opens() {
    let runtime = Runtime::with().var("TAILRACE_TOKEN", SECRET).var("TAILRACE_OPEN", "1").start();

    let answer = runtime.client().stream("/a").append(json!({"type": "x"})).await;

    answer.problem(401, "unauthorized");
}

#[tokio::test]
async fn the_open_mode_refuses_what_another_website_asks() {
    let runtime = Runtime::with().start();
    let stream = runtime.a_stream();
    stream.say("a").await;
    let port = runtime.authority().rsplit(':').next().unwrap();
    let send = async |headers: String| {
        let body = br#"{"type":"x"}"#;
        let posted = raw::send(runtime.authority(), "POST", &stream.url(), &headers, body).await;
        let read = raw::send(runtime.authority(), "GET", &stream.url(), &headers, b"").await;
        let hook = raw::send(runtime.authority(), "POST", &format!("/hooks{}", stream.path), &headers, b"x").await;
        [posted, read, hook]
    };

    for foreign in [
        "Host: example.com\r\n".to_owned(),
        format!("Host: evil.example:{port}\r\n"),
        format!("Host: 127.0.0.1.nip.io:{port}\r\n"),
        "Host: 192.168.1.4\r\n".to_owned(),
        "Origin: https://example.com\r\n".to_owned(),
        "Origin: null\r\n".to_owned(),
        "Origin: http://localhost.example.com\r\n".to_owned(),
    ] {
        for (status, body) in send(foreign.clone()).await {
            assert_eq!(status, 403, "{foreign}: {body}");
        }
    }
    assert_eq!(stream.head_offset().await, 2);
    for own in [
        format!("Host: localhost:{port}\r\n"),
        format!("Host: 127.0.0.1:{port}\r\n"),
        format!("Origin: http://localhost:{port}\r\n"),
        format!("Origin: http://127.0.0.1:{port}\r\n"),
    ] {
        for (status, body) in send(own.clone()).await {
            assert_eq!(status, 200, "{own}: {body}");
        }
    }
    let answer = stream.client.send("GET", &stream.url(), &[("origin", "http://localhost:3000")], "").await;
    assert_ne!(answer.header("access-control-allow-origin"), "*", "{answer}");
}

#[tokio::test]
async fn tokens_that_the_projects_own_command_signs_are_taken() {
    let stream = a_stream().await;
    let project = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let node = std::env::var_os("TAILRACE_NODE").unwrap_or_else(|| project.join("node_modules/.bin/node").into());
    let output = std::process::Command::new(node)
        .arg(project.join("scripts/token.mjs"))
        .args(["--by", "worker-1", "--path", &stream.path, "--can", "read,append", "--exp", "15m"])
        .env("TAILRACE_TOKEN", SECRET)
        .output()
        .unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let event = stream.by(&with(token.trim())).append(json!({"type": "x"})).await.event();

    assert_eq!(event["metadata"]["tailrace"]["by"], "worker-1");
}
