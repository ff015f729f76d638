//! Server-sent events (the HTML standard, 9.2), as far as the agent makes use of them.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cli) struct Event {
    /// Where to go on after it, if it says so.
    pub(in crate::cli) id: Option<String>,
    /// What kind it is.
    pub(in crate::cli) name: String,
    /// What it says.
    pub(in crate::cli) data: String,
}

/// Events as they come.
#[derive(Debug)]
pub(in crate::cli) struct Events {
    body: Incoming,
    parser: Parser,
}

impl Events {
    /// An agent says something every 15 s.
    const SILENCE: Duration = Duration::from_secs(45);

    pub(super) fn new(body: Incoming) -> Events {
        Events { body, parser: Parser::default() }
    }

    /// The next one. May be cancelled: nothing is lost.
    ///
    /// # Errors
    /// When the stream ends, or nothing comes for long.
    pub(in crate::cli) async fn next(&mut self) -> anyhow::Result<Event> {
        loop {
            if let Some(event) = self.parser.ready.pop_front() {
                return Ok(event);
            }
            match timeout(Self::SILENCE, self.body.frame()).await.context("the agent says nothing any more")? {
                Some(frame) => {
                    if let Ok(data) = frame.context("the connection to the agent broke")?.into_data() {
                        self.parser.take(&data)?;
                    }
                }
                None => bail!("the agent has ended the stream"),
            }
        }
    }
}

/// Lines to events.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    event: Event,
    ready: VecDeque<Event>,
}

impl Parser {
    /// Bytes of one line, at most: a termination with all that it can have is some hundred kB.
    const MOST: usize = 16 << 20;

    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            ensure!(self.line.len() <= Self::MOST, "the agent sends an event without an end: is it one?");
            if self.line.last() == Some(&b'\n') {
                let line = std::mem::take(&mut self.line);
                self.take_line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
            }
        }
        Ok(())
    }

    fn take_line(&mut self, line: &str) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if !event.data.is_empty() {
                self.ready.push_back(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data += value;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_in_any_pieces() {
        let text = "retry: 2000\n\n:\n\nid: a-1\nevent: changed\ndata: {\"id\":\"x: y\"}\n\n: comment\r\nevent:gone\r\ndata:é\r\ndata: 2\r\n\r\n\
                    event: half\ndata: 1\n";
        let expect = [
            Event { id: Some("a-1".into()), name: "changed".into(), data: "{\"id\":\"x: y\"}".into() },
            Event { id: None, name: "gone".into(), data: "é\n2".into() },
        ];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            text.as_bytes().chunks(size).for_each(|chunk| parser.take(chunk).unwrap());
            assert_eq!(Vec::from(parser.ready), expect, "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_none() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 20];
        let taken = (0..32).take_while(|_| parser.take(&piece).is_ok()).count();
        assert!((1..32).contains(&taken));
    }
}
