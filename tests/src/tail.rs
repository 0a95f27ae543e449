//! A live reader: server-sent events, as the standard defines them, and nothing else.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::client::Client;

/// An open live connection.
#[derive(Debug)]
pub struct Tail {
    /// The headers of the answer.
    pub headers: reqwest::header::HeaderMap,
    response: reqwest::Response,
    buffer: Vec<u8>,
    ready: VecDeque<Block>,
}

/// What stands between two empty lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// `id:`
    pub id: Option<String>,
    /// `event:`
    pub event: Option<String>,
    /// `data:`, its lines joined.
    pub data: Option<String>,
    /// `retry:`
    pub retry: Option<u64>,
    /// A line that began with a colon.
    pub comment: bool,
}

impl Block {
    /// Its data as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.data.as_deref().unwrap_or_default()).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The offset in its id.
    #[must_use]
    pub fn offset(&self) -> u64 {
        let id = self.id.as_deref().unwrap_or_default();
        id.split('.').next().and_then(|offset| offset.parse().ok()).unwrap_or_else(|| panic!("{self:?}"))
    }

    /// True for what a client that knows nothing of Tailrace takes for an event.
    #[must_use]
    pub fn is_event(&self) -> bool {
        self.event.is_none() && self.data.is_some()
    }

    fn is_named(&self, name: &str) -> bool {
        self.event.as_deref() == Some(name)
    }
}

impl Tail {
    /// Opens a connection.
    pub async fn open(client: &Client, path_and_query: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = client.request("GET", path_and_query).header("accept", "text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Self::of(timeout(PATIENCE, request.send()).await.expect("a live read is answered at once").unwrap())
    }

    /// Reads a response that has just begun.
    #[must_use]
    pub fn of(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200, "{:?}", response.headers());
        let headers = response.headers().clone();
        Self { headers, response, buffer: Vec::new(), ready: VecDeque::new() }
    }

    /// The next block, whatever it is; `None` when the server closed the connection or it broke.
    pub async fn next_block(&mut self) -> Option<Block> {
        self.next_block_within(PATIENCE).await
    }

    /// As [`Self::next_block`], waiting for longer or for less.
    pub async fn next_block_within(&mut self, patience: Duration) -> Option<Block> {
        timeout(patience, self.read_block()).await.unwrap_or_else(|_| panic!("nothing came for {patience:?}"))
    }

    /// The next event that is stored in the stream.
    pub async fn next_event(&mut self) -> Value {
        self.next_where(Block::is_event).await.json()
    }

    /// The next events.
    pub async fn next_events(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.next_event().await);
        }
        events
    }

    /// The next block named `event: name`.
    pub async fn next_named(&mut self, name: &str) -> Block {
        self.next_where(|block| block.is_named(name)).await
    }

    /// The next block that is as wanted; the others are passed over.
    pub async fn next_where(&mut self, wanted: impl Fn(&Block) -> bool) -> Block {
        loop {
            match self.next_block().await {
                Some(block) if wanted(&block) => return block,
                Some(_) => {}
                None => panic!("the connection ended before what was waited for"),
            }
        }
    }

    /// All events up to and including the head, as it was when the connection got there.
    pub async fn to_head(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let block = self.next_block().await.expect("the connection stays open");
            if block.is_named("tail") {
                return events;
            }
            if block.is_event() {
                events.push(block.json());
            }
        }
    }

    /// All that comes until the server closes the connection.
    pub async fn to_end(&mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        while let Some(block) = self.next_block().await {
            blocks.push(block);
        }
        blocks
    }

    async fn read_block(&mut self) -> Option<Block> {
        loop {
            if let Some(block) = self.ready.pop_front() {
                return Some(block);
            }
            let Ok(Some(chunk)) = self.response.chunk().await else { return self.unfinished() };
            self.take(&chunk);
        }
    }

    /// What stands behind the last empty line is no event, but a `retry:` there counts.
    fn unfinished(&mut self) -> Option<Block> {
        let rest = String::from_utf8(std::mem::take(&mut self.buffer)).ok()?;
        let (lines, _) = rest.rsplit_once('\n')?;
        let block = parse(lines.as_bytes());
        block.retry.is_some().then(|| Block { retry: block.retry, ..Block::default() })
    }

    fn take(&mut self, chunk: &[u8]) {
        let searched = self.buffer.len().saturating_sub(1);
        self.buffer.extend_from_slice(chunk);
        let mut begin = 0;
        let mut at = searched;
        while let Some(found) = self.buffer[at..].windows(2).position(|two| two == b"\n\n") {
            let end = at + found;
            self.ready.push_back(parse(&self.buffer[begin..end]));
            (begin, at) = (end + 2, end + 2);
        }
        // Heartbeats are a comment line alone, with no empty line behind.
        while self.buffer[begin..].starts_with(b":\n") {
            self.ready.push_back(Block { comment: true, ..Block::default() });
            begin += 2;
        }
        self.buffer.drain(..begin);
    }
}

fn parse(bytes: &[u8]) -> Block {
    let text = std::str::from_utf8(bytes).expect("an event stream is UTF-8");
    assert!(!text.contains('\r'), "line ends are LF: {text:?}");
    let mut block = Block::default();
    for line in text.split('\n') {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match name {
            "" => block.comment = true,
            "id" => block.id = Some(value),
            "event" => block.event = Some(value),
            "retry" => block.retry = Some(value.parse().expect("digits")),
            "data" => {
                block.data = Some(match block.data.take() {
                    None => value,
                    Some(before) => format!("{before}\n{value}"),
                });
            }
            other => panic!("no field of the standard: {other}"),
        }
    }
    block
}
