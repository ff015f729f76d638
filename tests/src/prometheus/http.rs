//! Requests to programs on this machine, one connection each.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Status and body.
pub(super) fn get(address: &str, path: &str) -> Result<(u16, String)> {
    exchange(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"))
}

/// The same of a form that is sent.
pub(super) fn post(address: &str, path: &str, form: &[(&str, &str)]) -> Result<(u16, String)> {
    let fields: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let form = fields.join("&");
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let length = form.len();
    exchange(
        address,
        &format!("POST {path} HTTP/1.0\r\nHost: {address}\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{form}"),
    )
}

/// A value of a form or in an address.
pub(super) fn encode(value: &str) -> String {
    value.bytes().fold(String::with_capacity(value.len()), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// HTTP 1.0: the answer ends with the connection, and is not in chunks.
fn exchange(address: &str, request: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("nobody listens on {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("{address} does not answer"))?;
    let answer = String::from_utf8(answer).context("the answer is not UTF-8")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no body")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer has no status")?;
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded() {
        assert_eq!(
            encode("sum by (le) (x{a=\"é\"}[1h])"),
            "sum%20by%20%28le%29%20%28x%7Ba%3D%22%C3%A9%22%7D%5B1h%5D%29"
        );
    }
}
