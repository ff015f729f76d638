//! The agent under test, as a program with flags and an HTTP API.

mod http;
mod piped;
mod program;
mod usage;

pub use piped::Piped;
pub use program::{built, output};
pub use usage::Usage;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, setpriority_process};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::kubelet::pod::{NAMESPACE, Pod};
use crate::node::Node;

/// What it says on standard error, as a file in the node's folder.
const LOG: &str = "agent.log";
/// What it says on standard output: a line per termination.
const LINES: &str = "terminations.jsonl";
/// How long it may take to load its probes and look around.
const START: Duration = Duration::from_secs(30);
/// How long it may take to leave.
const STOP: Duration = Duration::from_secs(10);
/// How long it may take to know that a termination has ended, once it has.
const REPORT: Duration = Duration::from_secs(10);

/// A running agent. Killed when dropped.
pub struct Agent {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Agent {
    /// Starts it and waits until it is ready.
    pub async fn start(node: &Node, program: &Path, pods: &Path, record: Option<&Path>) -> Result<Agent> {
        let record = record.map(|record| ("--record", record));
        Agent::start_with(node, program, pods, record.as_slice()).await
    }

    /// The same with options of its own.
    pub async fn start_with(node: &Node, program: &Path, pods: &Path, options: &[(&str, &Path)]) -> Result<Agent> {
        // It may be taken by another before the agent listens; then the agent says so and the demo with it.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = node.dir().join(LOG);
        let mut command = Command::new(program);
        command
            .args(["run", "--listen", &address.to_string(), "--pods"])
            .arg(pods)
            .arg("--cgroup-root")
            .arg(node.slice())
            .arg("--kubelet-cgroup")
            .arg(node.kubelet_cgroup())
            .args(["--cri", "none"]);
        for (name, value) in options {
            command.arg(name).arg(value);
        }
        command
            .stdin(Stdio::null())
            .stdout(File::create(node.dir().join(LINES))?)
            .stderr(File::create(&log)?)
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("cannot start the agent {}", program.display()))?;
        let mut agent = Agent { child, address, log };
        // The demo's own niceness is for those who measure; the agent gets none of it.
        setpriority_process(Some(agent.pid()?), 0).context("cannot set the agent's priority")?;
        let pid = agent.pid()?.as_raw_nonzero().to_string();
        fs::write(node.slice().join("agent/cgroup.procs"), pid).context("cannot move the agent to the slice")?;
        agent.wait_until_ready().await?;
        Ok(agent)
    }

    /// Where its page is.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        let mut last = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent has ended before it was ready: {status}\n{}", self.says());
            }
            if matches!(http::get(self.address, "/readyz").await, Ok((200, _))) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the agent is not ready after {} s\n{}", START.as_secs(), self.says());
            }
            if last.elapsed() > Duration::from_secs(2) {
                eprintln!("waiting for the agent to be ready…");
                last = Instant::now();
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The termination of a pod, once it has ended.
    pub async fn termination(&self, pod: &Pod) -> Result<Value> {
        let path = format!("/api/v1/terminations?namespace={NAMESPACE}&pod={}", pod.name);
        let deadline = Instant::now() + REPORT;
        loop {
            let (status, body) = http::get(self.address, &path).await?;
            if status != 200 {
                bail!("the agent answers {status} to {path}: {}", String::from_utf8_lossy(&body));
            }
            let list: Result<Vec<Value>, _> = serde_json::from_slice(&body);
            let mut list = list.with_context(|| format!("the agent's answer to {path} is no list of terminations"))?;
            match list.len() {
                0 | 1 => {}
                count => bail!("the agent has {count} terminations of the pod {}: {list:#?}", pod.name),
            }
            let found = list.pop();
            match found {
                Some(found) if !found["end"].is_null() => return Ok(found),
                found if Instant::now() > deadline => {
                    let known = found.map_or("nothing of it".to_owned(), |found| format!("only {found:#}"));
                    bail!("{} s after the end of the pod {} the agent knows {known}", REPORT.as_secs(), pod.name);
                }
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Its metrics as OpenMetrics, once nothing goes on any more.
    pub async fn metrics_at_rest(&self) -> Result<String> {
        let deadline = Instant::now() + REPORT;
        loop {
            let (status, body) = http::get(self.address, "/metrics").await?;
            let text = String::from_utf8(body.into()).context("the agent's metrics are not UTF-8")?;
            if status == 200 && !text.contains("\ngracetrace_pods_terminating{") {
                return Ok(text);
            }
            if Instant::now() > deadline {
                bail!("/metrics shows terminations in progress (status {status}) though all have ended");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Has it leave in peace, and keeps what it said in a folder.
    pub async fn stop_and_save(self, node: &Node, folder: &Path) -> Result<()> {
        let keep = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
        };
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        keep("metrics.txt", self.metrics_at_rest().await?.as_bytes())?;
        self.stop().await?;
        for name in [LOG, LINES] {
            keep(name, &fs::read(node.dir().join(name))?)?;
        }
        Ok(())
    }

    /// Has it leave in peace.
    pub async fn stop(mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            kill_process(self.pid()?, Signal::TERM).context("cannot stop the agent")?;
        }
        let Ok(status) = timeout(STOP, self.child.wait()).await else {
            bail!("the agent does not leave on SIGTERM\n{}", self.says());
        };
        match status? {
            status if status.success() => Ok(()),
            status => bail!("the agent has failed: {status}\n{}", self.says()),
        }
    }

    fn pid(&self) -> Result<Pid> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        pid.context("the agent has ended")
    }

    /// The end of what it says on standard error.
    pub(crate) fn says(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(20)..];
        if last.is_empty() { "it says nothing".to_owned() } else { format!("it says:\n  {}", last.join("\n  ")) }
    }
}
