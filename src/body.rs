//! Bodies of requests: small ones are held, large ones go by in pieces and are stored as they come.

use js_sys::{Reflect, Uint8Array};
use sha2::{Digest, Sha256};
use tailrace_model::{Problem, hook, limits};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::ReadableStreamDefaultReader;

use crate::http::Request;
use crate::platform::random_name;
use crate::stream::Stream;

/// What is read and thrown away of a body that is refused: an answer that comes before the body is read gets lost.
const DRAIN_BYTES: usize = 100 << 20;

/// A body.
pub enum Body {
    /// All of it, no more than was asked for.
    Whole(Vec<u8>),
    /// More than that.
    Larger(Rest),
}

/// A body that is not read to its end.
pub struct Rest {
    /// What was read so far.
    pub begun: Vec<u8>,
    reader: Option<ReadableStreamDefaultReader>,
}

/// A large body, stored under a name.
pub struct Stored {
    /// The name.
    pub id: String,
    /// Bytes.
    pub size: usize,
    /// In hexadecimal.
    pub sha256: String,
}

/// Reads a body as far as `limit` bytes.
///
/// # Errors
/// [`Problem::InvalidEvent`] when it breaks off.
pub async fn read(request: &Request, limit: usize) -> Result<Body, Problem> {
    if let Some(body) = request.body.as_ref().filter(|body| body.len() <= limit) {
        return Ok(Body::Whole(body.clone()));
    }
    let Some(stream) = request.inner().body() else { return Ok(Body::Whole(Vec::new())) };
    let announced = request.header("content-length").and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|size| size <= limit) {
        let buffer = JsFuture::from(request.inner().array_buffer().map_err(|_| broken_off())?).await;
        return Ok(Body::Whole(Uint8Array::new(&buffer.map_err(|_| broken_off())?).to_vec()));
    }
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut rest = Rest { begun: Vec::new(), reader: Some(reader) };
    while rest.begun.len() <= limit {
        match rest.next().await? {
            Some(piece) => rest.begun.extend_from_slice(&piece.to_vec()),
            None => return Ok(Body::Whole(rest.begun)),
        }
    }
    Ok(Body::Larger(rest))
}

/// Reads a body that nobody read and forgets it.
pub async fn drain(request: &Request) {
    if request.inner().body_used() || request.body.is_some() {
        return;
    }
    if let Some(stream) = request.inner().body().filter(|stream| !stream.locked()) {
        let reader = Some(stream.get_reader().unchecked_into());
        Rest { begun: Vec::new(), reader }.drain().await;
    }
}

impl Rest {
    /// Reads on to the end and forgets it all.
    pub async fn drain(mut self) {
        let mut size = self.begun.len();
        while size < DRAIN_BYTES {
            match self.next().await {
                Ok(Some(piece)) => size += piece.length() as usize,
                _ => break,
            }
        }
    }

    /// Stores the whole body at `stream`, in parts, before the event that will name it. `passes` sees all of it go by.
    ///
    /// # Errors
    /// [`Problem::TooLarge`]; a refusal of the stream as the answer it gave.
    pub async fn store(
        mut self,
        stream: &Stream,
        may_create: bool,
        mut passes: impl FnMut(&[u8]),
    ) -> Result<Result<Stored, crate::http::Answer>, Problem> {
        let id = random_name();
        let mut digest = Sha256::new();
        let mut size = 0;
        let mut number = 0;
        let mut part = std::mem::take(&mut self.begun);
        loop {
            let piece = self.next().await;
            let ended = !matches!(piece, Ok(Some(_)));
            while part.len() >= limits::RAW_CHUNK_BYTES || (ended && !part.is_empty()) {
                let rest = part.split_off(part.len().min(limits::RAW_CHUNK_BYTES));
                size += part.len();
                digest.update(&part);
                passes(&part);
                if size > limits::HOOK_BYTES {
                    stream.discard(&id).await?;
                    self.drain().await;
                    return Err(Problem::TooLarge { what: "the body in bytes", limit: limits::HOOK_BYTES });
                }
                let answer = stream.upload(&id, number, &part, may_create).await?;
                if answer.status != 200 {
                    self.drain().await;
                    return Ok(Err(answer));
                }
                number += 1;
                part = rest;
            }
            match piece {
                Ok(Some(piece)) => part.extend_from_slice(&piece.to_vec()),
                Ok(None) => break,
                Err(problem) => {
                    stream.discard(&id).await?;
                    return Err(problem);
                }
            }
        }
        Ok(Ok(Stored { id, size, sha256: hook::hex(&digest.finalize()) }))
    }

    async fn next(&mut self) -> Result<Option<Uint8Array>, Problem> {
        let Some(reader) = &self.reader else { return Ok(None) };
        let read = JsFuture::from(reader.read()).await.map_err(|_| broken_off())?;
        let done = Reflect::get(&read, &"done".into()).is_ok_and(|done| done.is_truthy());
        if done {
            self.reader = None;
            return Ok(None);
        }
        let piece = Reflect::get(&read, &"value".into()).map_err(|_| broken_off())?;
        Ok(Some(piece.unchecked_into()))
    }
}

fn broken_off() -> Problem {
    Problem::InvalidEvent { field: "body".to_owned(), detail: "it broke off".to_owned() }
}
