//! The container runtime: what containerd and runc do, from where they do it. This is the driver's side; each file below
//! is one of the runtime's processes.
//!
//! Real ones: containerd-shim stays the parent of a container's init; `runc exec`, `runc kill` and `runc delete` are
//! short-lived processes of the runtime's own cgroup.

pub mod sandbox;
pub mod create;
pub mod exec;
pub mod kill;
pub mod delete;
mod clone;
mod schedule;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;
use tokio::time::sleep;

use crate::clock::BootTime;
use crate::node::Node;
use crate::parts::{Helper, Report};
use crate::truth::Disposition;

/// A running container or sandbox: its shim, which tells when it ends.
pub struct Container {
    /// The runtime's id: 64 hexadecimal digits.
    pub id: String,
    /// Its init in the host's pid namespace.
    pub pid: u32,
    /// Its cgroup.
    pub cgroup: PathBuf,
    shim: Helper,
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// When wait returned.
    pub at: BootTime,
    /// As wait(2) tells it.
    pub status: i32,
}

impl Exit {
    /// Exit code, if it left by itself.
    pub fn code(self) -> Option<i32> {
        libc::WIFEXITED(self.status).then(|| libc::WEXITSTATUS(self.status))
    }

    /// Signal that killed it, if one did.
    pub fn signal(self) -> Option<i32> {
        libc::WIFSIGNALED(self.status).then(|| libc::WTERMSIG(self.status))
    }
}

/// A signal that was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Right before the call.
    pub at: BootTime,
    /// What the target would do with it.
    pub disposition: Disposition,
}

/// A new container's id.
pub fn new_id() -> String {
    std::iter::repeat_with(|| char::from(fastrand::choice(b"0123456789abcdef").copied().unwrap_or(b'0')))
        .take(64)
        .collect()
}

/// Creates the sandbox of a pod: its network, and a process that holds it.
pub async fn create_sandbox(node: &Node, pod_cgroup: &Path, number: u32, address: Ipv4Addr) -> Result<Container> {
    let id = new_id();
    let cgroup = pod_cgroup.join(&id);
    let mut command = helper(node, "containerd-shim", "sandbox");
    command
        .arg("--container")
        .arg(&cgroup)
        .arg("--pause")
        .arg(node.program("pause"))
        .args(["--bridge-pid", &node.bridge_pid().to_string()])
        .args(["--number", &number.to_string()])
        .args(["--address", &address.to_string()]);
    start(command, "the runtime (sandbox)", id, cgroup).await
}

/// Creates a container in the namespaces of a pod's sandbox.
pub async fn create(
    node: &Node,
    pod_cgroup: &Path,
    sandbox: u32,
    log: &Path,
    limits: &[(&str, &str)],
    argv: &[String],
) -> Result<Container> {
    let id = new_id();
    let cgroup = pod_cgroup.join(&id);
    let mut command = helper(node, "containerd-shim", "create");
    command.arg("--container").arg(&cgroup).args(["--sandbox", &sandbox.to_string()]).arg("--log").arg(log);
    for (file, value) in limits {
        command.args(["--limit", &format!("{file}={value}")]);
    }
    command.arg("--").args(argv);
    start(command, "the runtime (create)", id, cgroup).await
}

async fn start(command: Command, what: &'static str, id: String, cgroup: PathBuf) -> Result<Container> {
    let mut shim = Helper::start(command, what)?;
    let running = shim.expect(|report| match report {
        Report::Running { pid } => Some(pid),
        _ => None,
    });
    let pid = running.await?;
    Ok(Container { id, pid, cgroup, shim })
}

impl Container {
    /// Waits for the end of its init. Safe to cancel.
    pub async fn exited(&mut self) -> Result<Exit> {
        exited(&mut self.shim).await
    }

    /// What the runtime does after the end: kills what is left, and removes the cgroup.
    pub async fn delete(&mut self, node: &Node) -> Result<()> {
        // Observed 2 to 6 ms after the exit.
        sleep(Duration::from_micros(fastrand::u64(2_000..6_000))).await;
        for part in ["kill-all", "delete"] {
            let mut command = helper(node, "runc", part);
            command.arg("--container").arg(&self.cgroup);
            Helper::start(command, "the runtime (delete)")?.wait().await?;
        }
        self.shim.wait().await
    }
}

/// A command running in a container.
pub struct Execution {
    /// Right before execve.
    pub start: BootTime,
    /// Its process in the host's pid namespace.
    pub pid: u32,
    runc: Helper,
    exit: Option<Exit>,
}

impl Execution {
    /// Waits for its end, and for the runtime's process that tells of it. Safe to cancel.
    pub async fn exited(&mut self) -> Result<Exit> {
        let exit = match self.exit {
            Some(exit) => exit,
            None => *self.exit.insert(exited(&mut self.runc).await?),
        };
        self.runc.wait().await?;
        Ok(exit)
    }
}

/// Runs a command in a container, as an exec hook or `kubectl exec` does.
pub async fn exec(node: &Node, container: &Container, argv: &[String]) -> Result<Execution> {
    let mut command = helper(node, "runc", "exec");
    command.arg("--container").arg(&container.cgroup).args(["--init", &container.pid.to_string(), "--"]).args(argv);
    let mut runc = Helper::start(command, "the runtime (exec)")?;
    let started = runc.expect(|report| match report {
        Report::Started { at, pid } => Some((at, pid)),
        _ => None,
    });
    let (start, pid) = started.await?;
    Ok(Execution { start, pid, runc, exit: None })
}

/// Whether a process has begun to exit, or is gone.
pub fn is_leaving(pid: u32) -> bool {
    /// include/linux/sched.h
    const PF_EXITING: u64 = 0x4;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; state and five ids come between it and the flags (proc_pid_stat(5)).
    let flags = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(6)?.parse::<u64>().ok());
    flags.is_none_or(|flags| flags & PF_EXITING != 0)
}

/// Sends a signal to a process of a container: its init, or a command that runs in it.
pub async fn kill(node: &Node, pid: u32, signal: i32) -> Result<Sent> {
    let mut command = helper(node, "runc", "kill");
    command.args(["--pid", &pid.to_string(), "--signal", &signal.to_string()]);
    let mut runc = Helper::start(command, "the runtime (kill)")?;
    let sent = runc.expect(|report| match report {
        Report::Sent { at, disposition } => Some(Sent { at, disposition }),
        _ => None,
    });
    let sent = sent.await.with_context(|| format!("cannot send signal {signal} to {pid}"))?;
    runc.wait().await?;
    Ok(sent)
}

async fn exited(helper: &mut Helper) -> Result<Exit> {
    let exit = helper.expect(|report| match report {
        Report::Exited { at, status } => Some(Exit { at, status }),
        _ => None,
    });
    exit.await
}

fn helper(node: &Node, name: &str, part: &str) -> Command {
    let mut command = node.command(name, part);
    command.arg("--cgroup").arg(node.runtime_cgroup());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_is_not_leaving() {
        assert!(!is_leaving(std::process::id()));
        assert!(is_leaving(u32::MAX), "there is no such process");
    }
}
