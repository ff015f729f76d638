//! Answers and the headers that they have.

use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::body::{Body, Chunks};

/// An answer with the headers that all have. Nobody keeps it, unless whoever makes it says otherwise.
pub(super) fn response(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let body = body.into();
    let len = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(len) = len {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let policy = "default-src 'none'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// JSON values as one array.
pub(super) fn json_array(items: impl ExactSizeIterator<Item = Bytes>) -> Chunks {
    let mut chunks = Vec::with_capacity(items.len() * 2 + 1);
    for item in items {
        chunks.push(Bytes::from_static(if chunks.is_empty() { b"[" } else { b"," }));
        chunks.push(item);
    }
    chunks.push(Bytes::from_static(if chunks.is_empty() { b"[]" } else { b"]" }));
    Chunks::new(chunks)
}

/// A line of text.
pub(super) fn text(body: &'static str) -> Response<Body> {
    response(StatusCode::OK, "text/plain; charset=utf-8", Chunks::from(Bytes::from_static(body.as_bytes())))
}

/// An error, as RFC 9457 has it.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    problem_with(status, detail, None)
}

/// An error about a parameter, whose name it has as a member of its own.
pub(super) fn problem_with(status: StatusCode, detail: &str, parameter: Option<&str>) -> Response<Body> {
    let mut body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
    });
    if let Some(parameter) = parameter {
        body["parameter"] = parameter.into();
    }
    response(status, "application/problem+json", Chunks::from(Bytes::from(body.to_string())))
}

/// The answer to anything but GET and HEAD.
pub(super) fn method_not_allowed() -> Response<Body> {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are understood here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}
