//! Bytes on a socket, for requests that no well-behaved client sends.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::PATIENCE;

/// Sends one request line with these headers (`Name: value\r\n…`) and a body; returns status and body of the answer.
/// The path goes out as it stands.
pub async fn send(authority: &str, method: &str, target: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(authority).await.unwrap();
    let given = |name: &str| headers.lines().any(|line| line.to_ascii_lowercase().starts_with(name));
    let host = if given("host:") { String::new() } else { format!("Host: {authority}\r\n") };
    let length =
        if given("transfer-encoding:") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{method} {target} HTTP/1.1\r\n{host}{length}Connection: close\r\n{headers}\r\n");
    let (mut from, mut to) = socket.split();
    // The server may answer, and close, before it has read everything.
    let write = async {
        let _ = to.write_all(head.as_bytes()).await;
        let _ = to.write_all(body).await;
    };
    let read = async {
        let mut answer = Vec::new();
        let _ = from.read_to_end(&mut answer).await;
        answer
    };
    let ((), answer) = timeout(PATIENCE, async { tokio::join!(write, read) }).await.expect("an answer");
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

/// A body in chunks, whose length the server does not know beforehand.
#[must_use]
pub fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 1_024);
    for chunk in body.chunks(64 * 1_024) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}
