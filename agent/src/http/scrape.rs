//! The metrics as a scraper wants them.
//!
//! Thousands of series take some milliseconds to encode and as many to compress. That happens on a thread for what may
//! block, so that the kernel's records are read meanwhile; and for one scraper at a time, so that many of them take no
//! more threads than that from those who need one. Megabytes wait for who reads slowly: with too many of those the next
//! ones get what is on its way already.

use std::sync::{Arc, PoisonError, Weak};

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, HeaderValue, VARY};
use hyper::{HeaderMap, Response, StatusCode};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::body::{Body, Chunks};
use super::reply::compress;
use super::response::{problem, response};
use super::{State, negotiation};
use crate::metrics::Format;

/// Bodies that may be on their way at once, each up to some megabytes. One of each format and compression there is always.
const ON_THE_WAY: usize = 8;

/// Whose turn it is, and what is on its way. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Scrapes(Arc<Mutex<Vec<Sent>>>);

/// A body that was sent, for as long as somebody reads it.
#[derive(Debug)]
struct Sent {
    format: Format,
    gzip: bool,
    body: Weak<Vec<u8>>,
}

impl Scrapes {
    /// The answer to a scraper, by what it takes.
    pub(super) async fn answer(&self, state: &State, headers: &HeaderMap) -> Response<Body> {
        let (format, gzip) = (negotiation::format(headers), negotiation::gzip(headers));
        match self.body(state, format, gzip).await {
            Some(body) => {
                let mut response = response(StatusCode::OK, format.content_type(), Chunks::from(body));
                response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
                if gzip {
                    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                response
            }
            None => problem(StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be encoded"),
        }
    }

    async fn body(&self, state: &State, format: Format, gzip: bool) -> Option<Bytes> {
        let mut sent = self.0.clone().lock_owned().await;
        sent.retain(|one| one.body.strong_count() > 0);
        if sent.len() >= ON_THE_WAY {
            let same = sent.iter().rev().filter(|one| (one.format, one.gzip) == (format, gzip));
            if let Some(body) = same.map(|one| &one.body).find_map(Weak::upgrade) {
                return Some(shared(body));
            }
        }
        {
            let store = state.store.lock().unwrap_or_else(PoisonError::into_inner);
            state.metrics.agent.set_stored(store.len(), store.bytes(), store.evicted());
        }
        let metrics = state.metrics.clone();
        // It goes on when the client has gone: the next one's turn comes with its end.
        let encoded = spawn_blocking(move || {
            let plain = metrics.encode(format).ok()?;
            let body = Arc::new(if gzip { compress([plain.into()]).ok()? } else { plain });
            sent.push(Sent { format, gzip, body: Arc::downgrade(&body) });
            Some(shared(body))
        });
        encoded.await.ok().flatten()
    }
}

fn shared(body: Arc<Vec<u8>>) -> Bytes {
    struct Shared(Arc<Vec<u8>>);

    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    Bytes::from_owner(Shared(body))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::{Health, Inquiries, Limits, Shown};
    use crate::report::fixture::at;

    fn state() -> State {
        let health = Arc::new(Health::new(at(0.0), ""));
        let shown = Shown { store: Arc::default(), metrics: Arc::default(), health };
        State::new(shown, Arc::default(), Inquiries::channel().0, || at(0.0), Limits::default())
    }

    #[tokio::test]
    async fn slow_readers_share_what_is_on_its_way() {
        let (scrapes, state) = (Scrapes::default(), state());
        let mut bodies = Vec::new();
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            for _ in 0..50 {
                bodies.push(scrapes.body(&state, format, false).await.unwrap());
            }
        }
        let different: BTreeSet<*const u8> = bodies.iter().map(|body| body.as_ptr()).collect();
        assert_eq!(different.len(), ON_THE_WAY + 2, "one each of those that came when there were too many");
        assert!(bodies[149].len() < bodies[0].len(), "each in its format");
        // When they have been read, everybody gets a new one.
        let last = bodies.pop();
        bodies.clear();
        let [first, second] =
            [scrapes.body(&state, Format::Text, false).await, scrapes.body(&state, Format::Text, false).await]
                .map(|body| body.unwrap().as_ptr());
        assert!(first != second && last.is_some_and(|last| last.as_ptr() != first));
    }
}
