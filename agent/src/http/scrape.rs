//! The metrics as a scraper wants them.
//!
//! Thousands of series take some milliseconds to encode and as many to compress. That happens on a thread for what may
//! block, so that the kernel's records are read meanwhile; and for one scraper at a time, so that many of them take no
//! more threads than that from those who need one.

use std::io::{self, Write};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{CONTENT_ENCODING, HeaderValue, VARY};
use hyper::{HeaderMap, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::response::{Chunks, problem, response};
use super::{State, negotiation};
use crate::metrics::Format;

/// Whose turn it is. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Scrapes(Arc<Semaphore>);

impl Scrapes {
    pub(super) fn new() -> Scrapes {
        Scrapes(Arc::new(Semaphore::new(1)))
    }

    /// The answer to a scraper, by what it takes.
    pub(super) async fn answer(&self, state: &State, headers: &HeaderMap) -> Response<Chunks> {
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
        let turn = self.0.clone().acquire_owned().await.ok()?;
        {
            let store = state.store.lock().unwrap_or_else(PoisonError::into_inner);
            state.metrics.agent.set_stored(store.len(), store.bytes(), store.evicted());
        }
        let metrics = state.metrics.clone();
        let encoded = spawn_blocking(move || {
            // It goes on when the client has gone: the next one's turn comes with its end.
            let _turn = turn;
            let body = metrics.encode(format).ok()?;
            if gzip { compress(&body).ok() } else { Some(body) }
        });
        encoded.await.ok().flatten().map(Bytes::from)
    }
}

/// As fast as it goes: metrics repeat themselves so much that more effort saves little.
fn compress(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}
