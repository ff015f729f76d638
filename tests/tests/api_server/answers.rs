//! What the server answers to a request, and how badly.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::AUTHORIZATION;
use hyper::{Request, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::server::{Fault, Kind, Shared};

/// An answer that comes piece by piece; an error in it breaks the connection off.
pub(crate) struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// The writing end.
struct Pen {
    sender: mpsc::Sender<io::Result<Bytes>>,
    byte_by_byte: bool,
}

impl Pen {
    /// Whether somebody still reads.
    async fn write(&self, text: &[u8]) -> bool {
        let size = if self.byte_by_byte { 1 } else { text.len().max(1) };
        for piece in text.chunks(size) {
            if self.sender.send(Ok(Bytes::copy_from_slice(piece))).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn cut(&self) {
        // What was written goes out first.
        tokio::task::yield_now().await;
        let _ = self.sender.send(Err(io::Error::other("cut on purpose"))).await;
    }
}

/// Answers one request.
pub(crate) async fn answer(shared: &'static Shared, request: &Request<Incoming>) -> Response<Pieces> {
    let uri = request.uri().clone();
    let path = uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    let query = |name: &str| parameter(uri.query().unwrap_or_default(), name);
    let kind = match (uri.path(), query("watch").as_deref()) {
        ("/api/v1/pods", Some("true")) => Kind::Watch,
        ("/api/v1/pods", _) => Kind::List,
        _ => Kind::Events,
    };
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (fault, authorized) = {
        let mut state = shared.state();
        state.requests.push(path);
        (state.next_fault(kind), token == format!("Bearer {}", state.token))
    };
    let (sender, receiver) = mpsc::channel(1);
    let pen = Pen { sender, byte_by_byte: matches!(fault, Some(Fault::ByteByByte)) };
    let (code, text) = match (authorized, &fault) {
        (_, Some(Fault::Hang)) => std::future::pending().await,
        (false, _) => refuse(401, "Unauthorized"),
        (true, Some(Fault::Refuse(code, message))) => refuse(*code, message),
        (true, _) => match kind {
            Kind::List => list(shared, &query),
            Kind::Events => events(shared, uri.path(), &query),
            Kind::Watch => (200, String::new()),
        },
    };
    let watches = kind == Kind::Watch && code == 200;
    tokio::spawn(async move {
        match (watches, fault) {
            (true, fault) => {
                let number = |name: &str| parameter(uri.query().unwrap_or_default(), name)?.parse::<u64>().ok();
                let end = Instant::now() + Duration::from_secs(number("timeoutSeconds").unwrap_or(3600));
                watch(shared, pen, number("resourceVersion").unwrap_or(0), end, fault).await;
            }
            (false, Some(Fault::CutAfter(_))) => {
                pen.write(&text.as_bytes()[..text.len() / 2]).await;
                pen.cut().await;
            }
            (false, Some(Fault::Garbage)) => {
                pen.write(b"\x00\xff{]<html>\n").await;
            }
            (false, Some(Fault::Endless)) => while pen.write(&[b'['; 4096]).await {},
            (false, Some(Fault::Silent)) => pen.sender.closed().await,
            (false, _) => {
                pen.write(text.as_bytes()).await;
            }
        }
    });
    let response = Response::builder().status(code).header("content-type", "application/json");
    response.body(Pieces(receiver)).expect("a response")
}

/// Lines after a version, and those that come, until the end.
async fn watch(shared: &Shared, pen: Pen, mut version: u64, end: Instant, fault: Option<Fault>) {
    let mut changed = shared.changed.subscribe();
    let mut whole = match fault {
        Some(Fault::CutAfter(lines)) => Some(lines),
        Some(Fault::Garbage) => {
            pen.write(b"\x00\xff{]<html>\n").await;
            return;
        }
        Some(Fault::Endless) => {
            while pen.write(&[b'x'; 4096]).await {}
            return;
        }
        Some(Fault::Silent) => return pen.sender.closed().await,
        Some(Fault::Event(code)) => {
            let status = json!({"kind": "Status", "code": code, "message": "too old resource version: 1 (2)"});
            pen.write(format!("{}\n", json!({"type": "ERROR", "object": status})).as_bytes()).await;
            return;
        }
        _ => None,
    };
    loop {
        changed.borrow_and_update();
        let lines = shared.state().history.since(version);
        let Some(lines) = lines else {
            let status =
                json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"});
            pen.write(format!("{}\n", json!({"type": "ERROR", "object": status})).as_bytes()).await;
            return;
        };
        for (at, line) in lines {
            if whole == Some(0) {
                pen.write(&line.as_bytes()[..line.len() / 2]).await;
                return pen.cut().await;
            }
            if !pen.write(line.as_bytes()).await {
                return;
            }
            version = at;
            whole = whole.map(|lines| lines - 1);
        }
        let next = async {
            tokio::select! {
                changed = changed.changed() => changed.is_ok(),
                () = pen.sender.closed() => false,
            }
        };
        if !timeout_at(end, next).await.unwrap_or(false) {
            return;
        }
    }
}

fn list(shared: &Shared, query: &impl Fn(&str) -> Option<String>) -> (u16, String) {
    let state = shared.state();
    let latest = state.history.latest();
    let wanted: Option<u64> = query("resourceVersion").and_then(|text| text.parse().ok());
    if wanted.is_some_and(|version| version > latest) {
        return refuse(504, &format!("Timeout: Too large resource version: {wanted:?}, current: {latest}"));
    }
    let node = query("fieldSelector").unwrap_or_default();
    let pods: Vec<Value> = state.history.pods().into_iter().filter(|pod| on_node(pod, &node)).collect();
    let begin: usize = query("continue").and_then(|text| text.strip_prefix("from/")?.parse().ok()).unwrap_or(0);
    let limit = query("limit").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    let end = begin.saturating_add(limit).min(pods.len());
    let next = if end < pods.len() { format!("from/{end}") } else { String::new() };
    let items = &pods[begin.min(end)..end];
    let metadata = json!({"resourceVersion": latest.to_string(), "continue": next});
    (200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}).to_string())
}

fn on_node(pod: &Value, selector: &str) -> bool {
    let node = selector.strip_prefix("spec.nodeName=").expect("only this node's pods are asked for");
    pod["spec"]["nodeName"] == node
}

fn events(shared: &Shared, path: &str, query: &impl Fn(&str) -> Option<String>) -> (u16, String) {
    let selector = query("fieldSelector").unwrap_or_default();
    let namespace = path.strip_prefix("/api/v1/namespaces/").and_then(|rest| rest.strip_suffix("/events"));
    let fits = |event: &&Value| {
        let of = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let expected = format!("involvedObject.uid={},reason={}", of("/involvedObject/uid"), of("/reason"));
        selector == expected && namespace == Some(&of("/metadata/namespace"))
    };
    let items: Vec<Value> = shared.state().events.iter().filter(fits).cloned().collect();
    (200, json!({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": items}).to_string())
}

fn refuse(code: u16, message: &str) -> (u16, String) {
    (code, json!({"kind": "Status", "status": "Failure", "code": code, "message": message}).to_string())
}

/// A parameter of a query, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match code.filter(|_| byte == b'%') {
            Some(code) => {
                bytes.push(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}
