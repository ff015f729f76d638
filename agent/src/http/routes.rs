//! What is answered to what.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};
use hyper::{Method, Request, Response, StatusCode};

use super::body::{Body, Chunks};
use super::response::{method_not_allowed, problem, problem_with, response, text};
use super::{State, api, negotiation, page, query, reply};

/// The answer to a request; its body is not looked at. hyper sends no body to HEAD.
pub(super) async fn answer<B>(state: &Arc<State>, request: &Request<B>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return method_not_allowed();
    }
    let (headers, query) = (request.headers(), request.uri().query().unwrap_or_default());
    match request.uri().path() {
        "/metrics" => metrics(state, headers),
        "/healthz" => health(state.health.live((state.now)())),
        "/readyz" => health(state.health.ready()),
        path => match path.strip_prefix("/api/v1/") {
            Some(path) => match api::answer(state, path, query, request).await {
                Ok(response) => response,
                Err(refusal) => refuse(refusal),
            },
            None => page::answer(path, headers).unwrap_or_else(|| problem(StatusCode::NOT_FOUND, "no such page")),
        },
    }
}

fn refuse(refusal: api::Refusal) -> Response<Body> {
    match refusal {
        api::Refusal::Query(query::QueryError { parameter, detail }) => {
            problem_with(StatusCode::BAD_REQUEST, &detail, Some(&parameter))
        }
        api::Refusal::NotFound(detail) => problem(StatusCode::NOT_FOUND, detail),
        api::Refusal::NotNow(detail) => {
            let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, &detail);
            response.headers_mut().insert(hyper::header::RETRY_AFTER, HeaderValue::from_static("5"));
            response
        }
        api::Refusal::Failed(detail) => problem(StatusCode::INTERNAL_SERVER_ERROR, detail),
    }
}

fn metrics(state: &State, headers: &HeaderMap) -> Response<Body> {
    {
        let store = state.store.lock().unwrap_or_else(PoisonError::into_inner);
        state.metrics.agent.set_stored(store.len(), store.bytes(), store.evicted());
    }
    let format = negotiation::format(headers);
    let Ok(plain) = state.metrics.encode(format) else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be encoded");
    };
    let plain = Bytes::from(plain);
    let gzip = if negotiation::gzip(headers) { reply::compress([plain.clone()]).ok() } else { None };
    let is_gzip = gzip.is_some();
    let body = gzip.map_or(plain, Bytes::from);
    let mut response = response(StatusCode::OK, format.content_type(), Chunks::from(body));
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if is_gzip {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn health(state: Result<(), String>) -> Response<Body> {
    match state {
        Ok(()) => text("ok\n"),
        Err(reason) => problem(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}
