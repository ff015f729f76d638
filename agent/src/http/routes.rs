//! What is answered to what.

use std::io::{self, Write};
use std::sync::PoisonError;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{CONTENT_ENCODING, HeaderValue, VARY};
use hyper::{Method, Request, Response, StatusCode};

use super::response::{Chunks, json, json_array, method_not_allowed, problem, response, text};
use super::{State, negotiation, page, query};

/// The answer to a request. Never waits; its body is not looked at. hyper sends no body to HEAD.
pub(super) fn answer<B>(state: &State, request: &Request<B>) -> Response<Chunks> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return method_not_allowed();
    }
    match request.uri().path() {
        "/metrics" => metrics(state, request),
        "/healthz" => health(state.health.live((state.now)())),
        "/readyz" => health(state.health.ready()),
        "/api/v1/terminations" => list(state, request.uri().query().unwrap_or_default()),
        path => match path.strip_prefix("/api/v1/terminations/") {
            Some(id) => one(state, id),
            None => {
                page::answer(path, request.headers()).unwrap_or_else(|| problem(StatusCode::NOT_FOUND, "no such page"))
            }
        },
    }
}

fn list(state: &State, query: &str) -> Response<Chunks> {
    let now = (state.now)();
    match query::filter(query, now) {
        Ok(filter) => {
            let found = state.store.lock().unwrap_or_else(PoisonError::into_inner).list(&filter);
            json_array(found.into_iter().map(|found| found.into_json(now)))
        }
        Err(error) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn one(state: &State, id: &str) -> Response<Chunks> {
    let found = query::decode(id).and_then(|id| state.store.lock().unwrap_or_else(PoisonError::into_inner).get(&id));
    match found {
        Some(found) => json(found.into_json((state.now)())),
        None => problem(StatusCode::NOT_FOUND, "no such termination, or it had to make room for newer ones"),
    }
}

fn metrics<B>(state: &State, request: &Request<B>) -> Response<Chunks> {
    {
        let store = state.store.lock().unwrap_or_else(PoisonError::into_inner);
        state.metrics.agent.set_stored(store.len(), store.bytes(), store.evicted());
    }
    let format = negotiation::format(request.headers());
    let Ok(plain) = state.metrics.encode(format) else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be encoded");
    };
    let gzip = if negotiation::gzip(request.headers()) { compress(&plain).ok() } else { None };
    let is_gzip = gzip.is_some();
    let body = Bytes::from(gzip.unwrap_or(plain));
    let mut response = response(StatusCode::OK, format.content_type(), Chunks::from(body));
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if is_gzip {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// As fast as it goes: metrics repeat themselves so much that more effort saves little.
fn compress(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

fn health(state: Result<(), String>) -> Response<Chunks> {
    match state {
        Ok(()) => text("ok\n"),
        Err(reason) => problem(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}
