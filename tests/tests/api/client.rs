//! Requests as bytes, and the events of a stream.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gracetrace_tests::agent::Piped;
use serde_json::Value;

/// The body of an answer, which must be JSON.
pub(crate) fn json(answer: &str) -> Value {
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).expect("an answer has a head");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// What the agent says of itself.
pub(crate) fn health(agent: &Piped) -> Value {
    json(&agent.get("/api/v1/health"))
}

/// Whether the agent at this address has looked around.
pub(crate) fn is_ready(address: &str) -> bool {
    let mut stream = TcpStream::connect(address).expect("the agent listens");
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.starts_with("HTTP/1.1 200")
}

/// One event.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// A reader of the stream.
pub(crate) struct Stream {
    lines: std::io::Lines<BufReader<TcpStream>>,
}

impl Stream {
    /// Opens it; an error is the status that it was refused with.
    pub(crate) fn open(address: &str, last_event_id: Option<&str>) -> Result<Stream, String> {
        let mut stream = TcpStream::connect(address).expect("the agent listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket has a timeout");
        let header = last_event_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        write!(stream, "GET /api/v1/stream HTTP/1.1\r\nHost: test\r\n{header}\r\n").expect("it takes the request");
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next().expect("an answer").expect("it can be read");
        let headers: Vec<String> =
            lines.by_ref().map(|line| line.expect("it can be read")).take_while(|line| !line.is_empty()).collect();
        if !status.starts_with("HTTP/1.1 200") {
            return Err(status);
        }
        assert!(headers.iter().any(|line| line == "content-type: text/event-stream"), "{headers:?}");
        Ok(Stream { lines })
    }

    /// The next event. The marks of chunks are between lines of events, and are no fields.
    pub(crate) fn next(&mut self) -> Event {
        let mut event = Event::default();
        loop {
            let line = self.lines.next().expect("the stream goes on").expect("an event comes in time");
            match line.split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut event.id),
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("data", data)) => {
                    event.data = serde_json::from_str(data).expect("data is JSON");
                    return event;
                }
                _ => {}
            }
        }
    }

    /// The next event of a kind that is about this pod.
    pub(crate) fn next_of(&mut self, name: &str, uid: &str) -> Event {
        loop {
            let event = self.next();
            if event.name == name && event.data["uid"] == uid {
                return event;
            }
        }
    }
}
