//! The parts that the demo's processes play. All are this binary, executed again: a process of its own is where a real
//! runtime acts from, and a fresh single-threaded one may clone and change namespaces at will.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::clock::BootTime;
use crate::{clients, kubelet, memory, node, runtime, server, upstream, workload};

/// What a process plays.
#[derive(Debug, clap::Subcommand)]
pub enum Part {
    /// Clears the node away.
    Guard(node::guard::GuardArgs),
    /// Holds the network namespace with the bridge.
    Bridge(BridgeArgs),
    /// Creates a pod's sandbox and waits for its end.
    Sandbox(runtime::sandbox::SandboxArgs),
    /// Creates a container and waits for its end.
    Create(runtime::create::CreateArgs),
    /// Runs a command in a container.
    Exec(runtime::exec::ExecArgs),
    /// Sends a signal.
    Kill(runtime::kill::KillArgs),
    /// Kills what is left in a container.
    KillAll(runtime::delete::CgroupArgs),
    /// Removes a container's cgroup.
    Delete(runtime::delete::CgroupArgs),
    /// Does nothing, as a sandbox's init.
    Pause,
    /// The application.
    Workload(workload::WorkloadArgs),
    /// A child of it that uses memory without end.
    Hog,
    /// Its clients.
    Clients(clients::process::ClientsArgs),
    /// The kubelet's readiness probe.
    Probe(kubelet::probe::ProbeArgs),
    /// A server of tests of connections.
    Server(server::ServerArgs),
    /// A server that it calls.
    Upstream(upstream::UpstreamArgs),
}

/// Arguments of the bridge.
#[derive(Debug, clap::Args)]
pub struct BridgeArgs {
    #[arg(long)]
    cgroup: PathBuf,
}

impl Part {
    /// Plays it to its end.
    pub fn play(self) -> Result<()> {
        match self {
            Part::Guard(args) => node::guard::run(&args),
            Part::Bridge(args) => {
                node::enter(&args.cgroup)?;
                node::network::make_bridge()?;
                report(&Report::Running { pid: std::process::id() })?;
                std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
                Ok(())
            }
            Part::Sandbox(args) => runtime::sandbox::run(&args),
            Part::Create(args) => runtime::create::run(&args),
            Part::Exec(args) => runtime::exec::run(&args),
            Part::Kill(args) => runtime::kill::run(&args),
            Part::KillAll(args) => runtime::delete::kill_all(&args),
            Part::Delete(args) => runtime::delete::delete(&args),
            Part::Pause => loop {
                std::thread::park();
            },
            Part::Workload(args) => workload::run(&args),
            Part::Hog => memory::hog(),
            Part::Clients(args) => clients::process::run(&args),
            Part::Probe(args) => kubelet::probe::run(&args),
            Part::Server(args) => server::run(&args),
            Part::Upstream(args) => upstream::run(&args),
        }
    }
}

/// What a helper tells the driver, a line of JSON each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Report {
    /// What was asked for is there.
    Running {
        /// Its process in the host's pid namespace.
        pid: u32,
    },
    /// A command is about to be executed in a container.
    Started {
        /// Right before execve.
        at: BootTime,
        /// Its process in the host's pid namespace.
        pid: u32,
    },
    /// A signal was sent.
    Sent {
        /// Right before the call.
        at: BootTime,
        /// What the target would do with it, by its signal masks.
        disposition: crate::truth::Disposition,
    },
    /// A process has ended.
    Exited {
        /// When wait returned; of a workload that left by itself, when it did.
        at: BootTime,
        /// As wait(2) tells it.
        status: i32,
    },
}

/// Tells the driver.
pub(crate) fn report<T: Serialize>(message: &T) -> Result<()> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    // One write a line: the driver may read at any time.
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes())?;
    output.flush().context("the driver is gone")
}

/// A process that plays a part, seen from the driver. Killed when dropped.
pub struct Helper {
    what: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    /// Starts it. A Ctrl-C on the terminal is for the driver alone.
    pub fn start(mut command: Command, what: &'static str) -> Result<Helper> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {what}"))?;
        let output = child.stdout.take().ok_or_else(|| anyhow!("{what} has no output"))?;
        Ok(Helper { what, input: child.stdin.take(), child, lines: BufReader::new(output).lines() })
    }

    /// The next message. Safe to cancel.
    pub async fn next<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T> {
        match self.lines.next_line().await? {
            Some(line) => serde_json::from_str(&line).with_context(|| format!("{} says {line:?}", self.what)),
            None => bail!("{} has ended early; what it says is above", self.what),
        }
    }

    /// The next report, which must be of one kind. Safe to cancel.
    pub async fn expect<T>(&mut self, pick: impl FnOnce(Report) -> Option<T>) -> Result<T> {
        let report = self.next().await?;
        pick(report).ok_or_else(|| anyhow!("{} says {report:?}", self.what))
    }

    /// Tells it something.
    pub async fn tell<T: Serialize>(&mut self, message: &T) -> Result<()> {
        let mut line = serde_json::to_string(message)?;
        line.push('\n');
        let input = self.input.as_mut().ok_or_else(|| anyhow!("{} is not listening", self.what))?;
        input.write_all(line.as_bytes()).await.with_context(|| format!("{} is gone", self.what))
    }

    /// Ends its input.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Waits for its end, which must be a good one.
    pub async fn wait(&mut self) -> Result<()> {
        let status = self.child.wait().await?;
        if status.success() { Ok(()) } else { bail!("{} has failed: {status}", self.what) }
    }
}
