//! Bodies of answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as HyperBody, Frame, SizeHint};

use super::slots::{Phase, Slot};
use super::stream::Events;

/// What is sent after the head.
#[derive(Debug)]
pub(super) struct Body {
    kind: Kind,
    slot: Option<Arc<Slot>>,
}

#[derive(Debug)]
enum Kind {
    Chunks(Chunks),
    Events(Box<Events>),
}

impl From<Chunks> for Body {
    fn from(chunks: Chunks) -> Body {
        Body { kind: Kind::Chunks(chunks), slot: None }
    }
}

impl From<Events> for Body {
    fn from(events: Events) -> Body {
        Body { kind: Kind::Events(Box::new(events)), slot: None }
    }
}

impl Body {
    /// Its bytes; `None` of one without an end.
    pub(super) fn len(&self) -> Option<u64> {
        match &self.kind {
            Kind::Chunks(chunks) => Some(chunks.len),
            Kind::Events(_) => None,
        }
    }

    /// Takes note of whose answer it is: that one's phase follows what becomes of it.
    pub(super) fn belongs_to(&mut self, slot: Arc<Slot>) {
        self.slot = Some(slot);
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.enter(Phase::Idle);
        }
    }
}

impl HyperBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Body { kind, slot } = &mut *self;
        let block = match kind {
            Kind::Chunks(chunks) => Poll::Ready(chunks.next_block()),
            Kind::Events(events) => {
                let block = events.poll_next(cx);
                if let Some(slot) = slot {
                    // Who does not take what is handed out here keeps us waiting; who waits for us may.
                    slot.enter(if block.is_ready() { Phase::Answer } else { Phase::Streaming });
                }
                block
            }
        };
        block.map(|block| block.map(|block| Ok(Frame::data(block))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Chunks(chunks) => chunks.chunks.len() == 0,
            Kind::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.len().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Pieces that are shared with the store: a list costs each of its readers one block at a time.
#[derive(Debug)]
pub(super) struct Chunks {
    chunks: vec::IntoIter<Bytes>,
    len: u64,
}

impl From<Bytes> for Chunks {
    fn from(body: Bytes) -> Chunks {
        Chunks::new(vec![body])
    }
}

impl Chunks {
    /// What is gathered for one write.
    const BLOCK: usize = 32 << 10;

    pub(super) fn new(chunks: Vec<Bytes>) -> Chunks {
        let len = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Chunks { chunks: chunks.into_iter(), len }
    }

    /// Its bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    fn next_block(&mut self) -> Option<Bytes> {
        let first = self.chunks.next()?;
        let block = if first.len() >= Self::BLOCK || self.chunks.len() == 0 {
            first
        } else {
            let mut block = BytesMut::with_capacity(Self::BLOCK.min(usize::try_from(self.len).unwrap_or(usize::MAX)));
            block.extend_from_slice(&first);
            while block.len() < Self::BLOCK
                && let Some(next) = self.chunks.next()
            {
                block.extend_from_slice(&next);
            }
            block.freeze()
        };
        self.len -= block.len() as u64;
        Some(block)
    }
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.next_block()
    }
}
