//! Requests of httpGet hooks to a container, and its answers.

use crate::model::{BootTime, Counters, Flow, HookRequest, Kind};

/// Their records, sorted by time. Which answer belongs to which request is decided when read.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchanges {
    pub(super) records: Vec<Record>,
}

/// A request or an answer.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) at: BootTime,
    /// The container's counters, if they came along: it is the kubelet's record, not the container's.
    pub(super) counters: Option<Counters>,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Request(HookRequest),
    Response { flow: Flow, status: u16 },
}

/// A request and what came of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange<'a> {
    pub(super) at: BootTime,
    pub(super) counters: Option<Counters>,
    pub(super) request: &'a HookRequest,
    /// When the answer came, and its status.
    pub(super) response: Option<(BootTime, u16)>,
}

impl Exchanges {
    /// Takes note of a request or an answer; drops the oldest record over `max`, and tells how many were dropped.
    pub(super) fn record(&mut self, at: BootTime, what: What, counters: Counters, max: usize) -> u64 {
        let counters = Some(counters).filter(|counters| *counters != Counters::default());
        let key = |at: BootTime, what: &What| match what {
            What::Request(request) => (at, 0, request.flow, 0),
            What::Response { flow, status } => (at, 1, *flow, *status),
        };
        let new = key(at, &what);
        let index = self.records.partition_point(|known| key(known.at, &known.what) <= new);
        self.records.insert(index, Record { at, counters, what });
        let over = self.records.len().saturating_sub(max);
        self.records.drain(..over);
        over as u64
    }

    /// The records as they came.
    pub(super) fn export(&self) -> impl Iterator<Item = (BootTime, Counters, Kind)> {
        self.records.iter().map(|record| {
            let kind = match &record.what {
                What::Request(request) => Kind::HookRequest(request.clone()),
                What::Response { flow, status } => Kind::HookResponse { flow: *flow, status: *status },
            };
            (record.at, record.counters.unwrap_or_default(), kind)
        })
    }

    /// The requests in the order of time. An answer belongs to the latest request before it on its connection, which may
    /// have carried others before: the kubelet keeps it open.
    pub(super) fn all(&self) -> Vec<Exchange<'_>> {
        let mut all: Vec<Exchange<'_>> = Vec::new();
        for record in &self.records {
            match &record.what {
                What::Request(request) => {
                    all.push(Exchange { at: record.at, counters: record.counters, request, response: None });
                }
                What::Response { flow, status } => {
                    let latest = all.iter_mut().rev().find(|exchange| exchange.request.flow == *flow);
                    if let Some(exchange) = latest.filter(|exchange| exchange.response.is_none()) {
                        exchange.response = Some((record.at, *status));
                    }
                }
            }
        }
        all
    }
}

/// Whether a request's path is the one of a handler. The kubelet parses the handler's path and writes it anew, escaped
/// and with a slash in front (`formatURL` in pkg/probe/http/request.go).
pub(super) fn is_path(request: &HookRequest, path: &str) -> bool {
    let path = path.split_once('#').map_or(path, |(path, _)| path);
    let slash = if path.starts_with('/') { "" } else { "/" };
    let wanted: Vec<u8> = unescaped(slash.bytes().chain(path.bytes())).collect();
    let asked: Vec<u8> = unescaped(request.path.bytes()).collect();
    if !request.truncated {
        return asked == wanted;
    }
    // The cut may have gone through an escape.
    let whole = asked.len().saturating_sub(2);
    let whole = asked[whole..].iter().position(|byte| *byte == b'%').map_or(asked.len(), |at| whole + at);
    wanted.starts_with(&asked[..whole])
}

/// Without percent escapes; what only looks like one stays as it is.
fn unescaped(bytes: impl Iterator<Item = u8>) -> impl Iterator<Item = u8> {
    let bytes: Vec<u8> = bytes.collect();
    let hex = |byte: &u8| char::from(*byte).to_digit(16);
    let mut index = 0;
    std::iter::from_fn(move || {
        let byte = *bytes.get(index)?;
        let escape = || Some(hex(bytes.get(index + 1)?)? * 16 + hex(bytes.get(index + 2)?)?);
        let decoded = (byte == b'%').then(escape).flatten().and_then(|value| u8::try_from(value).ok());
        index += if decoded.is_some() { 3 } else { 1 };
        Some(decoded.unwrap_or(byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let flow = Flow { client: "10.0.0.1:1000".parse().unwrap(), server: "10.0.0.2:80".parse().unwrap() };
        let is = |asked: &str, truncated: bool, path: &str| {
            is_path(&HookRequest { flow, path: asked.to_owned(), truncated }, path)
        };
        assert!(is("/prestop?sleep=2", false, "/prestop?sleep=2"));
        assert!(is("/prestop", false, "prestop"), "a slash is put in front");
        assert!(is("/", false, ""));
        assert!(is("/a%20b", false, "/a b"), "escaped on the way");
        assert!(is("/a", false, "/a#part"), "a fragment is not sent");
        assert!(!is("/prestop", false, "/prestop?sleep=2"));
        assert!(!is("/prestop?sleep=2", false, "/prestop"));
        assert!(is("/prest", true, "/prestop?sleep=2"));
        assert!(is("/a%2", true, "/a b"), "cut within an escape");
        assert!(is("/a%", true, "/a b"));
        assert!(!is("/prest", false, "/prestop"));
        assert!(!is("/poststart", true, "/prestop"));
        assert!(is("/100%", false, "/100%"), "no escape at all");
    }
}
