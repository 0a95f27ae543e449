//! Frames between the object's socket and a client: bounded, however slow the client is.

use std::collections::VecDeque;

use tailrace_durable::wire::Frame;
use tailrace_model::limits;

/// Frames that wait.
#[derive(Debug, Default)]
pub struct Backlog {
    frames: VecDeque<Frame>,
    bytes: usize,
    closed: bool,
}

impl Backlog {
    /// Adds a frame. When too much waits, the texts are forgotten: the new head is enough to read pages by.
    pub fn put(&mut self, frame: Frame) {
        self.bytes += size(&frame);
        self.frames.push_back(frame);
        if self.bytes > limits::READER_BACKLOG_BYTES {
            self.frames = hints(std::mem::take(&mut self.frames));
            self.bytes = self.frames.iter().map(size).sum();
        }
    }

    /// The frame that waits longest.
    pub fn take(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes = self.bytes.saturating_sub(size(&frame));
        Some(frame)
    }

    /// No more will come.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// True when none waits and no more will come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed && self.frames.is_empty()
    }
}

fn size(frame: &Frame) -> usize {
    64 + match frame {
        Frame::Events { lines: Some(text), .. } | Frame::Ephemeral { line: text } => text.len(),
        _ => 0,
    }
}

/// What must not be lost of frames that are dropped: where the stream stands, and its end.
fn hints(frames: VecDeque<Frame>) -> VecDeque<Frame> {
    let mut kept = VecDeque::new();
    let mut latest = None;
    for frame in frames {
        match frame {
            Frame::Events { first, last, generation, .. } => {
                latest = Some(Frame::Events { first, last, generation, lines: None });
            }
            Frame::Ephemeral { .. } | Frame::Due { .. } => {}
            Frame::Hello { .. } | Frame::Deleted => kept.push_back(frame),
        }
    }
    let end = kept.iter().position(|frame| *frame == Frame::Deleted).unwrap_or(kept.len());
    if let Some(latest) = latest {
        kept.insert(end, latest);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_client_costs_a_bounded_amount_and_still_learns_the_head() {
        let mut backlog = Backlog::default();
        backlog.put(Frame::Hello { head: 0, generation: None });
        for offset in 1..1_000 {
            let lines = Some("x".repeat(60_000));
            backlog.put(Frame::Events { first: offset, last: offset, generation: "g".into(), lines });
            assert!(backlog.bytes <= limits::READER_BACKLOG_BYTES);
        }
        backlog.put(Frame::Deleted);
        let frames: Vec<Frame> = std::iter::from_fn(|| backlog.take()).collect();
        assert!(matches!(frames.first(), Some(Frame::Hello { .. })));
        assert!(matches!(frames.get(frames.len() - 2), Some(Frame::Events { last: 999, .. })));
        assert_eq!(frames.last(), Some(&Frame::Deleted));
        assert_eq!(backlog.bytes, 0);
    }
}
