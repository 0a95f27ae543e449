//! The front's end of an object's socket: frames that wait are bounded, however slow the client.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::future::{Either, select};
use tailrace_durable::wire::Frame;
use tailrace_model::limits;
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, WebSocket};

use crate::stream::Stream;

/// A connection to a stream's object. Dropping it closes the socket.
pub struct Feed {
    socket: WebSocket,
    waiting: Rc<Waiting>,
    // Kept as long as the socket may call them.
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut()>,
}

/// Frames between the socket and the client. A panic while one is put there leaves all of the others in order.
impl std::panic::RefUnwindSafe for Waiting {}

#[derive(Default)]
struct Waiting {
    frames: RefCell<VecDeque<Frame>>,
    bytes: Cell<usize>,
    closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Feed {
    /// Opens the socket. The first frame is [`Frame::Hello`]. `None` when the stream has too many readers.
    ///
    /// # Errors
    /// What the platform throws.
    pub async fn open(stream: &Stream) -> Result<Option<Self>, JsValue> {
        let Some(socket) = stream.follow().await? else { return Ok(None) };
        let waiting = Rc::new(Waiting::default());
        let inbox = Rc::clone(&waiting);
        let on_message = Closure::new(move |message: MessageEvent| {
            if let Some(frame) = message.data().as_string().and_then(|text| Frame::parse(&text)) {
                inbox.put(frame);
            }
        });
        let inbox = Rc::clone(&waiting);
        let on_close = Closure::new(move || inbox.close());
        socket.add_event_listener_with_callback("message", on_message.as_ref().unchecked_ref())?;
        socket.add_event_listener_with_callback("close", on_close.as_ref().unchecked_ref())?;
        socket.add_event_listener_with_callback("error", on_close.as_ref().unchecked_ref())?;
        accept(&socket)?;
        Ok(Some(Self { socket, waiting, _on_message: on_message, _on_close: on_close }))
    }

    /// The next frame; `None` after `wait_ms`, or when the connection is gone.
    pub async fn next(&self, wait_ms: i64) -> Option<Frame> {
        if let Some(frame) = self.waiting.take() {
            return Some(frame);
        }
        let arrived = pin!(poll_fn(|context| match self.waiting.take() {
            Some(frame) => Poll::Ready(Some(frame)),
            None if self.waiting.closed.get() => Poll::Ready(None),
            None => {
                *self.waiting.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        }));
        let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
        let timer = pin!(worker::Delay::from(wait));
        match select(arrived, timer).await {
            Either::Left((frame, _)) => frame,
            Either::Right(_) => None,
        }
    }

    /// True when no more frames will come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.waiting.closed.get() && self.waiting.frames.borrow().is_empty()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.waiting.closed.set(true);
        // A socket that is closed already has nothing to say about it.
        let _ = self.socket.close();
    }
}

impl Waiting {
    fn put(&self, frame: Frame) {
        {
            let mut frames = self.frames.borrow_mut();
            let size = size(&frame);
            if self.bytes.get() + size > limits::READER_BACKLOG_BYTES {
                // Too slow: forget the texts that wait, the new head is enough to read pages by.
                let hints = hints(frames.drain(..).chain([frame]));
                self.bytes.set(hints.iter().map(self::size).sum());
                *frames = hints;
            } else {
                self.bytes.set(self.bytes.get() + size);
                frames.push_back(frame);
            }
        }
        self.wake();
    }

    fn take(&self) -> Option<Frame> {
        let frame = self.frames.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get().saturating_sub(size(&frame)));
        Some(frame)
    }

    fn close(&self) {
        self.closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

fn size(frame: &Frame) -> usize {
    64 + match frame {
        Frame::Events { lines: Some(text), .. } | Frame::Ephemeral { line: text } => text.len(),
        _ => 0,
    }
}

/// What must not be lost of frames that are dropped: where the stream stands, and its end.
fn hints(frames: impl Iterator<Item = Frame>) -> VecDeque<Frame> {
    let mut kept = VecDeque::new();
    let mut latest = None;
    for frame in frames {
        match frame {
            Frame::Events { first, last, generation, .. } => {
                latest = Some(Frame::Events { first, last, generation, lines: None });
            }
            Frame::Ephemeral { .. } => {}
            Frame::Hello { .. } | Frame::Deleted => kept.push_back(frame),
        }
    }
    let end = kept.iter().position(|frame| *frame == Frame::Deleted).unwrap_or(kept.len());
    if let Some(latest) = latest {
        kept.insert(end, latest);
    }
    kept
}

#[wasm_bindgen]
extern "C" {
    type Acceptable;
    #[wasm_bindgen(method, catch)]
    fn accept(this: &Acceptable) -> Result<(), JsValue>;
}

/// Begins to receive. The platform's own method: a browser's socket has none.
fn accept(socket: &WebSocket) -> Result<(), JsValue> {
    socket.unchecked_ref::<Acceptable>().accept()
}
