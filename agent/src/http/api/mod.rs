//! `/api/v1/…`. What it says is in `docs/api.md`, and for programs in `openapi.json`.

mod terminations;
mod workloads;
mod pods;
mod health;
#[cfg(test)]
mod openapi;

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, LINK};
use hyper::{Method, Request, Response, StatusCode};

use super::body::{Body, Chunks};
use super::query::{self, QueryError};
use super::reply::{self, Tag};
use super::response::response;
use super::stream::Events;
use super::{State, inquiry};

pub(super) use workloads::Cache;

/// How far a list has seen the changes: where a stream goes on from it.
const EVENT_ID: HeaderName = HeaderName::from_static("gracetrace-event-id");
/// The same of a stream that was cut (the HTML standard, 9.2.4).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is asked for with something that is not understood.
    Query(QueryError),
    /// There is no such thing.
    NotFound(&'static str),
    /// Not at this moment.
    NotNow(String),
    /// A fault of the agent's.
    Failed(&'static str),
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Refusal {
        Refusal::Query(error)
    }
}

impl From<inquiry::NoAnswer> for Refusal {
    fn from(error: inquiry::NoAnswer) -> Refusal {
        Refusal::NotNow(error.to_string())
    }
}

type Answer = Result<Response<Body>, Refusal>;

/// The answer to what comes after `/api/v1/`.
pub(super) async fn answer<B>(state: &Arc<State>, path: &str, query: &str, request: &Request<B>) -> Answer {
    let headers = request.headers();
    match path {
        "terminations" => terminations::list(state, query, headers).await,
        "workloads" => workloads::list(state, query, headers).await,
        "pods" => pods::list(state, query, headers).await,
        "health" => health::answer(state, query, headers).await,
        "stream" => stream(state, query, request),
        "openapi.json" => openapi_json(state, query, headers).await,
        path => match path.strip_prefix("terminations/") {
            Some(id) => terminations::one(state, id, query, headers).await,
            None => Err(Refusal::NotFound("no such page")),
        },
    }
}

async fn openapi_json(state: &State, query: &str, headers: &HeaderMap) -> Answer {
    const DOCUMENT: &str = include_str!("../openapi.json");

    query::nothing(query)?;
    // The same in every run of this version.
    let mut tag = Tag::new(0);
    tag.add(DOCUMENT);
    match reply::unchanged(headers, &tag) {
        Some(response) => Ok(response),
        None => {
            let body = Chunks::from(Bytes::from_static(DOCUMENT.as_bytes()));
            Ok(reply::tagged(&state.aside, headers, &tag, body).await)
        }
    }
}

fn stream<B>(state: &Arc<State>, query: &str, request: &Request<B>) -> Answer {
    const TYPE: &str = "text/event-stream";

    let asked = query::stream(query)?;
    // A client that was cut tells it in the header, and says the rest again as it did at first.
    let header = request.headers().get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let last = header.or(asked.last_event_id.as_deref());
    if request.method() == Method::HEAD {
        return Ok(response(StatusCode::OK, TYPE, Chunks::new(Vec::new())));
    }
    match Events::open(state, asked.whose, last) {
        Some(events) => Ok(response(StatusCode::OK, TYPE, events)),
        None => Err(Refusal::NotNow(format!(
            "{} others read the stream: try again when one has gone, or read the list",
            state.limits.streams
        ))),
    }
}

/// Says where the next part of a list is (RFC 8288).
fn link_next(response: &mut Response<Body>, path: &str, query: &str, cursor: &str) {
    let link = format!("</api/v1/{path}?{}>; rel=\"next\"", query::with_cursor(query, cursor));
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(LINK, link);
    }
}

#[cfg(test)]
mod tests;
