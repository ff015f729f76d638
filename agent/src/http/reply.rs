//! Answers that a client may keep and compare: ETag, 304, gzip.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, VARY,
};
use hyper::{Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::body::{Body, Chunks};
use super::negotiation;
use super::response::{problem, response};

/// Work that takes longer than a moment: it is done beside the pipeline's thread, so much at once and no more. The
/// runtime's few threads for such work are for walks of the cgroup tree, too.
#[derive(Debug)]
pub(super) struct Aside(Arc<Semaphore>);

impl Default for Aside {
    fn default() -> Aside {
        Aside(Arc::new(Semaphore::new(1)))
    }
}

impl Aside {
    /// Does it. `None` when it has failed.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let turn = Arc::clone(&self.0).acquire_owned().await.ok()?;
        // Who asked may go; the work goes on, and so does its turn.
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        spawn_blocking(work).await.ok()
    }
}

/// What tells one state of an answer from another. Weak: the same state may be sent with and without compression, and
/// times that grow by themselves are not part of it.
#[derive(Debug)]
pub(super) struct Tag(DefaultHasher);

impl Tag {
    /// Begins with what makes it another one in each run of the agent.
    pub(super) fn new(epoch: u64) -> Tag {
        let mut tag = Tag(DefaultHasher::new());
        tag.add(epoch);
        tag
    }

    /// Something that it depends on.
    pub(super) fn add(&mut self, part: impl Hash) {
        part.hash(&mut self.0);
    }

    fn text(&self) -> String {
        format!("W/\"{:016x}\"", self.0.finish())
    }
}

/// Whether the client has this state already (RFC 9110, 13.1.2). A client may keep answers, and has to ask each time.
pub(super) fn unchanged(headers: &HeaderMap, tag: &Tag) -> Option<Response<Body>> {
    let text = tag.text();
    let opaque = text.trim_start_matches("W/");
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = |known: &str| known == "*" || known.trim_start_matches("W/") == opaque;
    if !known.flat_map(|list| list.split(',')).map(str::trim).any(is_known) {
        return None;
    }
    let mut response = response(StatusCode::NOT_MODIFIED, "application/json", Chunks::new(Vec::new()));
    // That of the body that is not sent, if any.
    response.headers_mut().remove(CONTENT_LENGTH);
    mark(&mut response, tag);
    Some(response)
}

/// JSON that the client may keep under this tag.
pub(super) async fn tagged(aside: &Aside, headers: &HeaderMap, tag: &Tag, body: Chunks) -> Response<Body> {
    let mut response = json(aside, headers, body).await;
    mark(&mut response, tag);
    response
}

fn mark(response: &mut Response<Body>, tag: &Tag) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag.text()) {
        headers.insert(ETAG, tag);
    }
}

/// JSON, compressed if the client takes that and it is worth it.
pub(super) async fn json(aside: &Aside, headers: &HeaderMap, body: Chunks) -> Response<Body> {
    /// Less fits into one packet either way.
    const WORTH: u64 = 1 << 10;
    /// More takes longer than a moment: a millisecond or so.
    const MOMENT: u64 = 64 << 10;

    let mut is_gzip = false;
    let body = if body.len() >= WORTH && negotiation::gzip(headers) {
        is_gzip = true;
        let len = body.len();
        let packed =
            if len <= MOMENT { compress(body).ok() } else { aside.run(|| compress(body)).await.and_then(Result::ok) };
        match packed {
            Some(packed) => Chunks::from(Bytes::from(packed)),
            None => return problem(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be compressed"),
        }
    } else {
        body
    };
    let mut response = response(StatusCode::OK, "application/json", body);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// As fast as it goes: JSON and metrics repeat themselves so much that more effort saves little.
pub(super) fn compress(chunks: impl IntoIterator<Item = Bytes>) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for chunk in chunks {
        encoder.write_all(&chunk)?;
    }
    encoder.finish()
}
