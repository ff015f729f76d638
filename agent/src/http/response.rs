//! Answers and their bodies.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::slots::{Phase, Slot};

/// An answer with the headers that all have.
pub(super) fn response(status: StatusCode, content_type: &'static str, body: Chunks) -> Response<Chunks> {
    let len = body.len;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let policy = "default-src 'none'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// One JSON value.
pub(super) fn json(body: Bytes) -> Response<Chunks> {
    response(StatusCode::OK, "application/json", Chunks::from(body))
}

/// JSON values as one array.
pub(super) fn json_array(items: impl ExactSizeIterator<Item = Bytes>) -> Response<Chunks> {
    let mut chunks = Vec::with_capacity(items.len() * 2 + 1);
    for item in items {
        chunks.push(Bytes::from_static(if chunks.is_empty() { b"[" } else { b"," }));
        chunks.push(item);
    }
    chunks.push(Bytes::from_static(if chunks.is_empty() { b"[]" } else { b"]" }));
    response(StatusCode::OK, "application/json", Chunks::new(chunks))
}

/// A line of text.
pub(super) fn text(body: &'static str) -> Response<Chunks> {
    response(StatusCode::OK, "text/plain; charset=utf-8", Chunks::from(Bytes::from_static(body.as_bytes())))
}

/// An error, as RFC 9457 has it.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response<Chunks> {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
    });
    response(status, "application/problem+json", Chunks::from(Bytes::from(body.to_string())))
}

/// The answer to anything but GET and HEAD.
pub(super) fn method_not_allowed() -> Response<Chunks> {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are understood here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// A body of pieces that are shared with the store: a list costs each of its readers one block at a time.
#[derive(Debug)]
pub(super) struct Chunks {
    chunks: vec::IntoIter<Bytes>,
    len: u64,
    slot: Option<Arc<Slot>>,
}

impl From<Bytes> for Chunks {
    fn from(body: Bytes) -> Chunks {
        Chunks::new(vec![body])
    }
}

impl Chunks {
    /// What is gathered for one write.
    const BLOCK: usize = 32 << 10;

    fn new(chunks: Vec<Bytes>) -> Chunks {
        let len = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Chunks { chunks: chunks.into_iter(), len, slot: None }
    }

    /// Takes note of whose answer is at its end when this is dropped.
    pub(super) fn at_end(&mut self, slot: Arc<Slot>) {
        self.slot = Some(slot);
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.enter(Phase::Idle);
        }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(first) = self.chunks.next() else { return Poll::Ready(None) };
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
        Poll::Ready(Some(Ok(Frame::data(block))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}
