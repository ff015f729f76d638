//! The daemon.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{CriNode, client, packages};

/// How long it may take to answer its first call.
const START: Duration = Duration::from_secs(30);
/// What it says, as a file in the node's folder.
const LOG: &str = "containerd.log";

/// Running, if only just. Killed when dropped; its shims and their containers are not.
pub struct Containerd {
    child: Child,
}

impl Containerd {
    /// Starts it and waits until its CRI is ready.
    pub(super) fn start(node: &CriNode) -> Result<Containerd> {
        let log = File::options().create(true).append(true).open(node.dir().join(LOG)).context("cannot make a log")?;
        let mut command = node.enter("runtime", &packages::find("containerd", "containerd")?);
        command
            .arg("--config")
            .arg(node.dir().join("containerd.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut daemon = Containerd { child: command.spawn().context("cannot start containerd")? };
        daemon.wait_until_ready(node)?;
        Ok(daemon)
    }

    fn wait_until_ready(&mut self, node: &CriNode) -> Result<()> {
        let runtime = client::tokio_runtime()?;
        let deadline = Instant::now() + START;
        let client = runtime.block_on(async { client::Client::new(&node.socket()) })?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("containerd has ended at its start: {status}\n{}", last_lines(node.dir()));
            }
            let answer = runtime.block_on(client.is_ready());
            match answer {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    bail!("containerd is not ready after {} s: {error:#}\n{}", START.as_secs(), last_lines(node.dir()))
                }
                Err(_) => runtime.block_on(client::pause()),
            }
        }
    }

    /// Ends it at once, as a crash does.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill().context("cannot kill containerd")?;
        self.child.wait()?;
        Ok(())
    }

    pub(super) fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub(super) fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, signal).context("containerd is gone")
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of what it said.
pub(super) fn last_lines(dir: &Path) -> String {
    let text = fs::read(dir.join(LOG)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // It tells of every plugin that it loads.
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("loading plugin")).collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
