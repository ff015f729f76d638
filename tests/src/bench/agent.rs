//! The agent, as a program that is started, asked and stopped.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::place::Place;
use crate::agent::Usage;

/// How long it may take to load its probes.
const START: Duration = Duration::from_secs(30);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// A running agent. Killed when dropped.
pub(super) struct Agent {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Agent {
    /// Starts it and waits until it is ready.
    pub(super) fn start(place: &Place, program: &Path, more: &[&str]) -> Result<Agent> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = place.agent_log();
        let mut command = Command::new(program);
        command
            .args(["run", "--listen", &address.to_string(), "--cgroup-root"])
            .arg(place.slice())
            .arg("--pods")
            .arg(place.pods_file())
            .args(["--cri", "none"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        super::end_with_us(&mut command);
        let child = command.spawn().with_context(|| format!("cannot start the agent {}", program.display()))?;
        let mut agent = Agent { child, address, log };
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = agent.child.try_wait()? {
                bail!("the agent has ended before it was ready ({status}): {}", agent.says());
            }
            if matches!(agent.get("/readyz"), Ok((200, _))) {
                return Ok(agent);
            }
            if Instant::now() > deadline {
                bail!("the agent is not ready after {} s: {}", START.as_secs(), agent.says());
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Has it leave in peace.
    pub(super) fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("cannot stop the agent")?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the agent failed ({status}): {}", self.says());
        }
        Ok(())
    }

    /// The sum of a metric over its series whose line contains `label`.
    pub(super) fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let (status, text) = self.get("/metrics")?;
        if status != 200 {
            bail!("the agent answers {status} to /metrics");
        }
        Ok(sum(&text, name, label))
    }

    pub(super) fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// The bytes of the metrics' body as a scraper gets it.
    pub(super) fn scrape(&self, accept: &str, gzip: bool) -> Result<usize> {
        let encoding = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
        let answer = self.ask("/metrics", &format!("Accept: {accept}\r\n{encoding}"))?;
        let end =
            answer.windows(4).position(|window| window == b"\r\n\r\n").context("the agent's answer is not HTTP")?;
        let head = String::from_utf8_lossy(&answer[..end]);
        let kind = accept.split(';').next().unwrap_or(accept);
        let is_asked_for = head.contains(&format!("content-type: {kind};"))
            && head.contains("content-encoding: gzip") == gzip
            && head.starts_with("HTTP/1.1 200 ");
        if !is_asked_for {
            bail!("the agent answers something else than was asked for: {head}");
        }
        Ok(answer.len() - end - 4)
    }

    fn get(&self, path: &str) -> Result<(u16, String)> {
        let answer = String::from_utf8(self.ask(path, "")?)?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        status.zip(body).context("the agent's answer is not HTTP")
    }

    fn ask(&self, path: &str, headers: &str) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n", self.address)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// The end of what it says on standard error.
    fn says(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().last().unwrap_or("it says nothing").to_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both do nothing once it was stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets time pass: for what is measured over time.
pub(super) fn wait(time: Duration) {
    sleep(time);
}

fn sum(text: &str, name: &str, label: &str) -> f64 {
    let series = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
    });
    // The value is the second to last word where a line ends with an exemplar, but counters here have none.
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_by_name_and_label() {
        let text = "# TYPE a counter\na_total{hook=\"x\"} 2\na_total{hook=\"y\"} 3\na_total_more 5\na_total 0.5\n";
        assert_eq!(sum(text, "a_total", ""), 5.5);
        assert_eq!(sum(text, "a_total", "hook=\"y\""), 3.0);
        assert_eq!(sum(text, "b_total", ""), 0.0);
    }
}
