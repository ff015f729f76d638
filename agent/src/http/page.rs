//! What a browser is shown: `/`, and `/assets/…` for what that needs.

use bytes::Bytes;
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};

use super::body::{Body, Chunks};
use super::response::response;

/// The answer, if this path is one of the page's.
pub(super) fn answer(path: &str, _headers: &HeaderMap) -> Option<Response<Body>> {
    const PAGE: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>gracetrace</title>\n\
        <h1>gracetrace</h1>\n<p>How the pods of this node die.</p>\n<ul>\n\
        <li><a href=\"/api/v1/terminations\">Terminations</a>, <a href=\"/api/v1/workloads\">by workload</a>\n\
        <li><a href=\"/api/v1/pods\">Pods</a> that the agent knows\n\
        <li><a href=\"/api/v1/health\">The agent</a> itself\n\
        <li><a href=\"/api/v1/openapi.json\">The API</a> as OpenAPI\n\
        <li><a href=\"/metrics\">Metrics</a>\n\
        <li><a href=\"/healthz\">Alive?</a> <a href=\"/readyz\">Ready?</a>\n</ul>\n</html>\n";
    let page = || Chunks::from(Bytes::from_static(PAGE.as_bytes()));
    (path == "/").then(|| response(StatusCode::OK, "text/html; charset=utf-8", page()))
}
