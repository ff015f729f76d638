//! The sandbox: `pause`, pid 1 of its own pid namespace, keeps the pod's network namespace.

use std::fs::{self, File};
use std::io::{Read, pipe};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::clone::{Clone, become_program, wait_for};
use crate::node::{self, network};
use crate::parts::{Report, report};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct SandboxArgs {
    #[arg(long)]
    cgroup: PathBuf,
    #[arg(long)]
    container: PathBuf,
    #[arg(long)]
    pause: PathBuf,
    #[arg(long)]
    bridge_pid: u32,
    #[arg(long)]
    number: u32,
    #[arg(long)]
    address: Ipv4Addr,
}

/// Makes the pod's network and its sandbox, and waits for the end.
pub fn run(args: &SandboxArgs) -> Result<()> {
    node::enter(&args.cgroup)?;
    let node = network::of(std::process::id())?;
    network::join_bridge(args.bridge_pid, args.number, args.address)?;
    let pod = network::of(std::process::id())?;
    // The runtime stays in the network of the node.
    network::enter(&node)?;
    fs::create_dir(&args.container).with_context(|| format!("cannot make {}", args.container.display()))?;
    let cgroup = File::open(&args.container)?;
    let argv = [args.pause.display().to_string(), "play".to_owned(), "pause".to_owned()];
    let clone = Clone { cgroup: Some(cgroup.as_fd()), new_pid_namespace: true };
    // Closed by a successful execve: a pod is ready for its containers when its sandbox runs.
    let (mut executed, tell_executed) = pipe()?;
    let pid = clone.spawn(|| {
        network::enter(&pod)?;
        become_program(&args.pause, &argv, None, |_| {})
    })?;
    drop(tell_executed);
    executed.read_to_end(&mut Vec::new())?;
    report(&Report::Running { pid: pid.as_raw_nonzero().get().unsigned_abs() })?;
    report(&wait_for(pid)?)
}
