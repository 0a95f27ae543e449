//! A subscriber on this machine: records what it is sent, and answers as a test says. And a stream as subscribers see it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::client::{Answer, Stream};
use crate::{PATIENCE, until, until_within};

/// What the subscriber was sent.
#[derive(Clone, Debug)]
pub struct Received {
    /// 0 for the first request, and so on.
    pub number: usize,
    /// The method.
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// When it was whole.
    pub at: Instant,
}

/// How the subscriber answers.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: String,
    body: Vec<u8>,
    delay: Duration,
    manner: Manner,
}

#[derive(Clone, Debug)]
enum Manner {
    /// As anybody would.
    Whole,
    /// So long between two bytes of the body.
    Drip(Duration),
    /// Never, but the connection stays.
    Hang,
    /// So many bytes of body beside the one there is.
    Huge(u64),
    /// The connection ends before the body that was announced has.
    CloseEarly,
}

type Answering = dyn Fn(&Received) -> Reply + Send + Sync;

/// A subscriber that listens on loopback for as long as it lives.
#[derive(Debug)]
pub struct Subscriber {
    /// Where it listens.
    pub port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    sent: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Reply {
    /// This status, without a body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let (headers, body) = (String::new(), Vec::new());
        Self { status, headers, body, delay: Duration::ZERO, manner: Manner::Whole }
    }

    /// `200`, without a body.
    #[must_use]
    pub fn ok() -> Self {
        Self::status(200)
    }

    /// `200` with this JSON.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "it is written in place")]
    pub fn json(body: Value) -> Self {
        Self::ok().header("content-type", "application/json").body(body.to_string())
    }

    /// With this body.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// With this header too.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        Self { headers: format!("{}{name}: {value}\r\n", self.headers), ..self }
    }

    /// After so long.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// With so long between two bytes of the body.
    #[must_use]
    pub fn dripping(self, pause: Duration) -> Self {
        Self { manner: Manner::Drip(pause), ..self }
    }

    /// With so many spaces behind the body.
    #[must_use]
    pub fn followed_by(self, bytes: u64) -> Self {
        Self { manner: Manner::Huge(bytes), ..self }
    }

    /// Announces a whole body, and closes before it has come.
    #[must_use]
    pub fn closing_early(self) -> Self {
        Self { manner: Manner::CloseEarly, ..self }
    }

    /// No answer at all, but the connection stays open.
    #[must_use]
    pub fn hang() -> Self {
        Self { manner: Manner::Hang, ..Self::ok() }
    }
}

impl Received {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.body)))
    }

    /// The events in the body.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.json()["events"].as_array().cloned().unwrap_or_default()
    }

    /// The offsets of the events in the body.
    #[must_use]
    pub fn offsets(&self) -> Vec<u64> {
        self.events().iter().map(|event| event["offset"].as_u64().unwrap()).collect()
    }

    /// The types of the events in the body.
    #[must_use]
    pub fn types(&self) -> Vec<String> {
        self.events().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// A header, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("not text"))
    }

    /// Whether a library of Standard Webhooks takes it for signed with this secret (`whsec_…`).
    #[must_use]
    pub fn is_signed_with(&self, secret: &str) -> bool {
        standardwebhooks::Webhook::new(secret).unwrap().verify(&self.body, &self.headers).is_ok()
    }
}

impl Subscriber {
    /// One that answers each request so.
    pub async fn answering(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let sent: Arc<AtomicUsize> = Arc::default();
        let answer: Arc<Answering> = Arc::new(answer);
        let listening = {
            let (received, sent) = (received.clone(), sent.clone());
            tokio::spawn(async move {
                loop {
                    let Ok((socket, _)) = listener.accept().await else { return };
                    tokio::spawn(serve(socket, received.clone(), sent.clone(), answer.clone()));
                }
            })
        };
        Self { port, received, sent, listening }
    }

    /// One that says `200` to everything.
    pub async fn willing() -> Self {
        Self::answering(|_| Reply::ok()).await
    }

    /// One that gives these answers, and the last of them for ever.
    pub async fn saying(replies: Vec<Reply>) -> Self {
        Self::answering(move |received| replies[received.number.min(replies.len() - 1)].clone()).await
    }

    /// `http://127.0.0.1:PORT` and this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// It as the target of a subscription.
    #[must_use]
    pub fn target(&self) -> Value {
        json!({"url": self.url("/")})
    }

    /// What it was sent until now.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How often it was sent something.
    #[must_use]
    pub fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// How many bytes of bodies it sent.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until it was sent something so many times.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        self.wait_for_within(PATIENCE, count).await
    }

    /// As [`Self::wait_for`], for longer or for less.
    pub async fn wait_for_within(&self, patience: Duration, count: usize) -> Vec<Received> {
        until_within(patience, &format!("{count} requests have come"), || async {
            (self.count() >= count).then(|| self.received())
        })
        .await
    }

    /// The first request, when it has come.
    pub async fn first(&self) -> Received {
        self.wait_for(1).await.swap_remove(0)
    }

    /// The offsets of all events that it was sent, in the order in which each came first.
    #[must_use]
    pub fn offsets(&self) -> Vec<u64> {
        let mut seen = std::collections::HashSet::new();
        self.received.lock().unwrap().iter().flat_map(Received::offsets).filter(|offset| seen.insert(*offset)).collect()
    }

    /// Waits until an event of this offset has come, and says with which request.
    pub async fn wait_for_offset(&self, offset: u64) -> Received {
        until(&format!("event {offset} has come"), || async {
            self.received().into_iter().find(|received| received.offsets().contains(&offset))
        })
        .await
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(
    mut socket: TcpStream,
    received: Arc<Mutex<Vec<Received>>>,
    sent: Arc<AtomicUsize>,
    answer: Arc<Answering>,
) {
    let mut buffer = Vec::new();
    while let Some(mut request) = read(&mut socket, &mut buffer).await {
        let reply = {
            let mut received = received.lock().unwrap();
            request.number = received.len();
            received.push(request.clone());
            drop(received);
            answer(&request)
        };
        if write(&mut socket, &reply, &sent).await.is_none() {
            return;
        }
    }
}

/// Reads one request; `None` when there is no more.
async fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    let end = loop {
        match buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(end) => break end,
            None => more(socket, buffer).await?,
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (first.next()?, first.next()?);
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).ok()?;
        headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
    assert!(!headers.contains_key("transfer-encoding"), "a push says how long it is");
    while buffer.len() < length {
        more(socket, buffer).await?;
    }
    let body = buffer.drain(..length).collect();
    Some(Received { number: 0, method, target, headers, body, at: Instant::now() })
}

async fn more(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    match socket.read_buf(buffer).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}

/// Answers; `None` when the connection is of no more use.
async fn write(socket: &mut TcpStream, reply: &Reply, sent: &AtomicUsize) -> Option<()> {
    sleep(reply.delay).await;
    let extra = if let Manner::Huge(bytes) = reply.manner { bytes } else { 0 };
    let announced = reply.body.len() as u64 + extra + u64::from(matches!(reply.manner, Manner::CloseEarly));
    let head = format!("HTTP/1.1 {} Because\r\n{}Content-Length: {announced}\r\n\r\n", reply.status, reply.headers);
    match reply.manner {
        Manner::Hang => {
            // Until the other side has had enough.
            let mut rest = [0; 64];
            while socket.read(&mut rest).await.is_ok_and(|read| read > 0) {}
            return None;
        }
        Manner::Drip(pause) => {
            socket.write_all(head.as_bytes()).await.ok()?;
            for byte in &reply.body {
                socket.write_all(&[*byte]).await.ok()?;
                sent.fetch_add(1, Ordering::Relaxed);
                sleep(pause).await;
            }
        }
        Manner::Huge(_) => {
            socket.write_all(head.as_bytes()).await.ok()?;
            socket.write_all(&reply.body).await.ok()?;
            let spaces = vec![b' '; 64 * 1_024];
            let mut left = extra;
            while left > 0 {
                let now = left.min(spaces.len() as u64);
                socket.write_all(&spaces[..usize::try_from(now).ok()?]).await.ok()?;
                sent.fetch_add(usize::try_from(now).ok()?, Ordering::Relaxed);
                left -= now;
            }
        }
        Manner::Whole | Manner::CloseEarly => {
            let bytes = [head.as_bytes(), &reply.body].concat();
            socket.write_all(&bytes).await.ok()?;
            sent.fetch_add(reply.body.len(), Ordering::Relaxed);
        }
    }
    socket.flush().await.ok()?;
    (!matches!(reply.manner, Manner::CloseEarly)).then_some(())
}

/// A lease that a worker got.
#[derive(Clone, Debug)]
pub struct Leased {
    /// All of the answer.
    pub body: Value,
    stream: Stream,
}

impl Leased {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.body["lease"].as_str().unwrap()
    }

    /// The path of the stream whose events they are.
    #[must_use]
    pub fn path(&self) -> &str {
        self.body["streamPath"].as_str().unwrap()
    }

    /// The events.
    #[must_use]
    pub fn events(&self) -> &[Value] {
        self.body["events"].as_array().unwrap()
    }

    /// Their offsets.
    #[must_use]
    pub fn offsets(&self) -> Vec<u64> {
        self.events().iter().map(|event| event["offset"].as_u64().unwrap()).collect()
    }

    /// Says this about it.
    pub async fn settle(&self, said: Value) -> Answer {
        let mut body = said;
        body["lease"] = json!(self.id());
        self.stream.settle(&body).await
    }
}

impl Stream {
    /// Configures a subscription, by what is said beside its slug and target, and returns the offset of the event.
    pub async fn subscribe(&self, slug: &str, target: &Value, more: Value) -> u64 {
        self.try_subscribe(slug, target, more).await.offset()
    }

    /// As [`Self::subscribe`], which may be refused.
    pub async fn try_subscribe(&self, slug: &str, target: &Value, more: Value) -> Answer {
        let mut payload = more;
        payload["slug"] = json!(slug);
        payload["target"] = target.clone();
        self.append(json!({"type": "subscription.configured", "payload": payload})).await
    }

    /// How a subscription stands.
    pub async fn subscription(&self, slug: &str) -> Value {
        self.client.get(&format!("/api/subscriptions{}?slug={slug}", self.path)).await.ok().json()
    }

    /// Waits until a subscription stands as wanted.
    pub async fn wait_for_subscription(&self, slug: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(&format!("{slug} of {} {what}", self.path), || async {
            Some(self.subscription(slug).await).filter(|report| wanted(report))
        })
        .await
    }

    /// Waits until a subscription has settled everything up to this offset.
    pub async fn wait_for_cursor(&self, slug: &str, offset: u64) -> Value {
        self.wait_for_subscription(slug, &format!("has settled {offset}"), |it| it["cursor"].as_u64() >= Some(offset))
            .await
    }

    /// The secret with which pushes of a subscription are signed.
    pub async fn secret(&self, slug: &str) -> String {
        let path = format!("/api/subscriptions{}?slug={slug}&reveal=secret", self.path);
        let report = self.client.get(&path).await.ok().json();
        report["secret"].as_str().unwrap_or_else(|| panic!("{report}")).to_owned()
    }

    /// Wishes for a lease; `query` goes on behind the slug.
    pub async fn try_lease(&self, slug: &str, query: &str) -> Answer {
        self.client.send("POST", &format!("/api/lease{}?slug={slug}{query}", self.path), &[], "").await
    }

    /// Leases, or fails the test.
    pub async fn lease(&self, slug: &str, query: &str) -> Leased {
        let body = self.try_lease(slug, query).await.ok().json();
        let stream = self.client.stream(body["streamPath"].as_str().unwrap());
        Leased { body, stream }
    }

    /// Settles.
    pub async fn settle(&self, body: &Value) -> Answer {
        self.client.send("POST", &format!("/api/settle{}", self.path), &[], body.to_string()).await
    }
}
