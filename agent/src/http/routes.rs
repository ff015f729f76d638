//! What is answered to what.

use std::sync::PoisonError;

use bytes::Bytes;
use hyper::{Method, Request, Response, StatusCode};

use super::response::{Chunks, json, json_array, method_not_allowed, problem, response, text};
use super::scrape::Scrapes;
use super::{State, query};

/// The answer to a request, whose body is not looked at. Only scrapers wait, for their turn. hyper sends no body to HEAD.
pub(super) async fn answer<B>(state: &State, scrapes: &Scrapes, request: &Request<B>) -> Response<Chunks> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return method_not_allowed();
    }
    match request.uri().path() {
        "/" => index(),
        "/metrics" => scrapes.answer(state, request.headers()).await,
        "/healthz" => health(state.health.live((state.now)())),
        "/readyz" => health(state.health.ready()),
        "/api/v1/terminations" => list(state, request.uri().query().unwrap_or_default()),
        path => match path.strip_prefix("/api/v1/terminations/") {
            Some(id) => one(state, id),
            None => problem(StatusCode::NOT_FOUND, "no such page"),
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

fn health(state: Result<(), String>) -> Response<Chunks> {
    match state {
        Ok(()) => text("ok\n"),
        Err(reason) => problem(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

fn index() -> Response<Chunks> {
    const PAGE: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>gracetrace</title>\n\
        <h1>gracetrace</h1>\n<p>How the pods of this node die.</p>\n<ul>\n\
        <li><a href=\"/api/v1/terminations\">Terminations</a>: filters <code>namespace</code>, <code>pod</code>, \
        <code>workload</code>, <code>outcome</code>, <code>finding</code>, <code>since</code>, <code>limit</code>\n\
        <li><a href=\"/metrics\">Metrics</a>\n\
        <li><a href=\"/healthz\">Alive?</a> <a href=\"/readyz\">Ready?</a>\n</ul>\n</html>\n";
    response(StatusCode::OK, "text/html; charset=utf-8", Chunks::from(Bytes::from_static(PAGE.as_bytes())))
}
