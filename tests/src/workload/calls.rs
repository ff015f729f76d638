//! What an application asks of others: calls to a server, one after another, all along.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::BootTime;

/// From one call to the next.
const PAUSE: Duration = Duration::from_millis(50);
/// How the line begins that tells of them.
const LINE: &str = "calls ";

/// What became of the calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that were connected and not answered.
    pub broken: u64,
    /// When connect failed.
    pub failed: Vec<BootTime>,
}

impl Calls {
    /// Reads them out of what an application wrote; none if it made none, or was killed.
    pub fn of(output: &str) -> Calls {
        let line = output.lines().find_map(|line| line.strip_prefix(LINE));
        line.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
    }

    /// How many could not be made at or after a time.
    pub fn failed_since(&self, since: BootTime) -> u64 {
        self.failed.iter().filter(|at| **at >= since).count() as u64
    }

    /// Whether one could not be made.
    pub fn failed_at_all(&self) -> bool {
        !self.failed.is_empty()
    }

    /// The line to write.
    pub(super) fn line(&self) -> Result<String> {
        Ok(format!("{LINE}{}", serde_json::to_string(self)?))
    }
}

/// Calls a server until it is time to leave.
pub(super) async fn make(server: SocketAddr, mut leaving: watch::Receiver<bool>) -> Calls {
    let mut calls = Calls::default();
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = leaving.changed() => return calls,
        }
        match TcpStream::connect(server).await {
            Ok(stream) => match ask(stream).await {
                Ok(()) => calls.answered += 1,
                Err(_) => calls.broken += 1,
            },
            Err(_) => calls.failed.push(BootTime::now()),
        }
    }
}

/// A question, an answer, the end.
async fn ask(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(b"ping\n").await?;
    stream.read_exact(&mut [0; 5]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let calls = Calls { answered: 3, broken: 0, failed: vec![BootTime(5), BootTime(7)] };
        let output = format!("ready\n{}\nleft at 9\n", calls.line().unwrap());
        assert_eq!(Calls::of(&output), calls);
        assert_eq!((calls.failed_since(BootTime(6)), calls.failed_since(BootTime(8))), (1, 0));
        assert!(!Calls::of("ready\n").failed_at_all());
    }
}
