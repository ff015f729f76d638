//! What is answered to what.

use std::sync::Arc;

use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};

use super::body::Body;
use super::response::{method_not_allowed, problem, problem_with, text};
use super::{State, api, page, query};

/// The answer to a request; its body is not looked at. hyper sends no body to HEAD.
pub(super) async fn answer<B>(state: &Arc<State>, request: &Request<B>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return method_not_allowed();
    }
    let (headers, query) = (request.headers(), request.uri().query().unwrap_or_default());
    match request.uri().path() {
        "/metrics" => state.scrapes.answer(state, headers).await,
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

fn health(state: Result<(), String>) -> Response<Body> {
    match state {
        Ok(()) => text("ok\n"),
        Err(reason) => problem(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}
