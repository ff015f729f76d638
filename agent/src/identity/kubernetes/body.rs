//! Reading of answers that may be slow, endless or cut off.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use kube::client::Body;
use tokio::time::timeout;

use super::error::{ApiError, causes};

/// A buffer that has grown beyond this is given back once it is empty.
const KEEP: usize = 64 << 10;

/// Reads all of an answer, up to so many bytes. `idle` is the longest silence in between.
pub(super) async fn text(mut body: Body, most: usize, idle: Duration) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    loop {
        let chunk = timeout(idle, next(&mut body)).await;
        let chunk = chunk.map_err(|_| ApiError::Cut(format!("nothing more comes for {} s", idle.as_secs())))?;
        let Some(chunk) = chunk? else { break };
        if bytes.len() + chunk.len() > most {
            return Err(ApiError::TooLong(most));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| ApiError::Unreadable("it is not UTF-8".to_owned()))
}

/// An answer line by line.
pub(super) struct Lines {
    body: Body,
    buffer: Vec<u8>,
    /// How much of it holds no end of a line.
    searched: usize,
    most: usize,
}

impl Lines {
    /// Lines of up to so many bytes.
    pub(super) fn new(body: Body, most: usize) -> Lines {
        Lines { body, buffer: Vec::new(), searched: 0, most }
    }

    /// The next line that is not empty; `None` at the end. May be dropped while it waits: nothing is lost.
    pub(super) async fn next(&mut self) -> Result<Option<String>, ApiError> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                let line = String::from_utf8(line).map_err(|_| ApiError::Unreadable("it is not UTF-8".to_owned()))?;
                if !line.trim().is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            self.searched = self.buffer.len();
            if self.searched > self.most {
                return Err(ApiError::TooLong(self.most));
            }
            if self.searched == 0 && self.buffer.capacity() > KEEP {
                self.buffer = Vec::new();
            }
            match next(&mut self.body).await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(ApiError::Cut("in the middle of a line".to_owned())),
            }
        }
    }
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    loop {
        match body.frame().await {
            // Trailers say nothing.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(_) => continue,
            },
            Some(Err(error)) => return Err(ApiError::Cut(causes(&error))),
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &[u8]) -> Body {
        Body::from(text.to_vec())
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn lines_of_any_kind() {
        let lines = |text: &[u8]| {
            run(async {
                let (mut lines, mut all) = (Lines::new(body(text), 10), Vec::new());
                loop {
                    match lines.next().await {
                        Ok(Some(line)) => all.push(line),
                        Ok(None) => break,
                        Err(error) => {
                            all.push(error.to_string());
                            break;
                        }
                    }
                }
                all
            })
        };
        assert_eq!(lines(b"a\n\n \r\nb\r\n"), ["a\n", "b\r\n"]);
        assert_eq!(lines(b"a\nb"), ["a\n", "the connection to the API server broke off: in the middle of a line"]);
        assert_eq!(lines(b"a\n\xff\nb\n"), ["a\n", "the API server's answer cannot be read: it is not UTF-8"]);
        assert_eq!(lines(b"01234567890"), ["the API server's answer is longer than the 10 bytes that are read"]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn texts_have_a_limit() {
        let text = |most| run(text(body(b"0123456789"), most, Duration::from_secs(1)));
        assert_eq!(text(10).unwrap(), "0123456789");
        assert!(matches!(text(9), Err(ApiError::TooLong(9))));
    }
}
