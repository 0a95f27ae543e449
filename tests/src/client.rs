//! A plain HTTP client, and a stream as it sees it.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, redirect};
use serde_json::{Value, json};

use crate::tail::Tail;
use crate::until;

/// Speaks HTTP to one address, with or without a token. Connections belong to the test that made it.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// `http://127.0.0.1:PORT`
    pub base: String,
    token: Option<String>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// A stream, by its path.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The client that is used.
    pub client: Client,
    /// `/a/b`
    pub path: String,
}

impl Client {
    /// To an address.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(64)
            .build()
            .unwrap();
        Self { http, base: base.to_owned(), token: None }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A stream by its path.
    #[must_use]
    pub fn stream(&self, path: &str) -> Stream {
        Stream { client: self.clone(), path: path.to_owned() }
    }

    /// A request that is not sent yet.
    pub fn request(&self, method: &str, path_and_query: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path_and_query}", self.base));
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// Sends a request; `Err` when the connection broke before the answer was complete.
    ///
    /// # Errors
    /// What the client says.
    pub async fn try_send(
        &self,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.request(method, path_and_query).timeout(Duration::from_secs(90));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // A GET has no body, not an empty one.
        if method != "GET" && method != "HEAD" {
            request = request.body(body);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer { status, headers, body: answer.bytes().await?.to_vec() })
    }

    /// Sends a request.
    pub async fn send(
        &self,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        match self.try_send(method, path_and_query, headers, body).await {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path_and_query}: {error:?}"),
        }
    }

    /// `GET`
    pub async fn get(&self, path_and_query: &str) -> Answer {
        self.send("GET", path_and_query, &[], "").await
    }
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self}"))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// A header, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("not text"))
    }

    /// The same answer, after making sure that it is a success.
    #[must_use]
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self}");
        self
    }

    /// The event that was appended.
    #[must_use]
    #[track_caller]
    pub fn event(self) -> Value {
        self.ok().json()["event"].clone()
    }

    /// The offset of the event that was appended.
    #[must_use]
    #[track_caller]
    pub fn offset(self) -> u64 {
        let body = self.ok().json();
        body["event"]["offset"].as_u64().or_else(|| body["offset"].as_u64()).unwrap_or_else(|| panic!("{body}"))
    }

    /// Makes sure that this is a problem as RFC 9457 and the contract want it, and returns it.
    #[expect(clippy::must_use_candidate, reason = "most tests only want to be sure of it")]
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self}");
        assert!(self.header("content-type").starts_with("application/problem+json"), "{self}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self}");
        assert_eq!(problem["status"], status, "{self}");
        assert!(problem["type"].is_string() && problem["title"].is_string(), "{self}");
        assert!(problem["detail"].is_string() && problem["retryable"].is_boolean(), "{self}");
        problem
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.body);
        let short: String = text.chars().take(2_000).collect();
        write!(f, "{} {:?}\n{short}", self.status, self.headers)
    }
}

impl Stream {
    /// A stream below this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self { client: self.client.clone(), path: format!("{}/{name}", self.path.trim_end_matches('/')) }
    }

    /// The same stream through another client.
    #[must_use]
    pub fn by(&self, client: &Client) -> Self {
        client.stream(&self.path)
    }

    /// Where it is appended to and read.
    #[must_use]
    pub fn url(&self) -> String {
        format!("/api/streams{}", self.path)
    }

    /// POSTs any body.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> Answer {
        self.post_with("", &[], body).await
    }

    /// POSTs any body, with a query (`?…`) and headers.
    pub async fn post_with(&self, query: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        self.client.send("POST", &format!("{}{query}", self.url()), headers, body).await
    }

    /// Appends.
    pub async fn append(&self, event: Value) -> Answer {
        self.post(event.to_string()).await
    }

    /// Appends an event of this type, or fails the test.
    pub async fn say(&self, event_type: &str) -> u64 {
        self.append(json!({"type": event_type})).await.offset()
    }

    /// Appends `count` events in batches, with the payload `{"n": 1}` and so on.
    pub async fn fill(&self, count: u64) {
        let numbers: Vec<u64> = (1..=count).collect();
        for batch in numbers.chunks(1_000) {
            let events: Vec<Value> = batch.iter().map(|n| json!({"type": "filled", "payload": {"n": n}})).collect();
            let answer = self.post_with("", &[("prefer", "return=minimal")], json!(events).to_string()).await;
            assert_eq!(answer.status, 200, "{answer}");
        }
    }

    /// Turns the breaker off, for tests that need many events at once.
    #[must_use]
    pub async fn without_breaker(self) -> Self {
        let _ = self.append(json!({"type": "breaker.configured", "payload": {"limit": null}})).await.ok();
        self
    }

    /// Reads a page; `query` begins with `?` or is empty.
    pub async fn read(&self, query: &str) -> Answer {
        self.client.get(&format!("{}{query}", self.url())).await
    }

    /// The events of one page.
    pub async fn page(&self, query: &str) -> Vec<Value> {
        let page = self.read(query).await.ok().json();
        page["events"].as_array().unwrap().clone()
    }

    /// All events, page by page.
    pub async fn events(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut after = 0;
        loop {
            let page = self.read(&format!("?afterOffset={after}&limit=1000")).await.ok().json();
            all.extend(page["events"].as_array().unwrap().iter().cloned());
            after = page["afterOffset"].as_u64().unwrap();
            if page["upToDate"] == true {
                return all;
            }
        }
    }

    /// The events of one type.
    pub async fn of_type(&self, event_type: &str) -> Vec<Value> {
        let mut events = self.events().await;
        events.retain(|event| event["type"] == event_type);
        events
    }

    /// Waits for an event of a type.
    pub async fn wait_for(&self, event_type: &str) -> Value {
        until(&format!("{} has {event_type}", self.path), || async {
            if self.head().await.status != 200 {
                return None;
            }
            self.of_type(event_type).await.into_iter().next()
        })
        .await
    }

    /// `HEAD`
    pub async fn head(&self) -> Answer {
        self.client.send("HEAD", &self.url(), &[], "").await
    }

    /// The last offset, by `HEAD`.
    pub async fn head_offset(&self) -> u64 {
        let answer = self.head().await;
        answer.header("tailrace-head").parse().unwrap_or_else(|_| panic!("{answer}"))
    }

    /// The name of its present life, by `HEAD`.
    pub async fn generation(&self) -> String {
        let answer = self.head().await;
        let generation = answer.header("tailrace-generation");
        assert!(!generation.is_empty(), "{answer}");
        generation.to_owned()
    }

    /// `DELETE`
    pub async fn delete(&self, query: &str) -> Answer {
        self.client.send("DELETE", &format!("{}{query}", self.url()), &[], "").await
    }

    /// The control state.
    pub async fn state(&self) -> Value {
        self.client.get(&format!("/api/state{}", self.path)).await.ok().json()
    }

    /// The children, by `query`.
    pub async fn children(&self, query: &str) -> Value {
        self.client.get(&format!("/api/children{}{query}", self.path)).await.ok().json()
    }

    /// The paths of all children on the first page.
    pub async fn child_paths(&self, query: &str) -> Vec<String> {
        let body = self.children(query).await;
        let paths = body["children"].as_array().unwrap().iter();
        paths.map(|child| child["path"].as_str().unwrap().to_owned()).collect()
    }

    /// The exact bytes of the hook at an offset.
    pub async fn raw(&self, offset: u64) -> Answer {
        self.client.get(&format!("/api/raw{}?offset={offset}", self.path)).await
    }

    /// POSTs to the hook of this stream.
    pub async fn hook(&self, query: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        self.client.send("POST", &format!("/hooks{}{query}", self.path), headers, body).await
    }

    /// Waits until no hook is parked any more.
    pub async fn wait_for_parked(&self) {
        until(&format!("nothing is parked at {}", self.path), || async {
            (self.state().await["parked"]["count"] == 0).then_some(())
        })
        .await;
    }

    /// Follows live from the beginning.
    pub async fn tail(&self) -> Tail {
        self.tail_with("", &[]).await
    }

    /// Follows live, with a query (`?…`) and headers.
    pub async fn tail_with(&self, query: &str, headers: &[(&str, &str)]) -> Tail {
        Tail::open(&self.client, &format!("{}{query}", self.url()), headers).await
    }
}
