//! Creating a container. This process is the shim: parent of the init, outside the container, witness of its end.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::clone::{Clone, become_program, find_program, wait_for};
use crate::node::{self, network};
use crate::parts::{Report, report};
use crate::workload::left_at;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    #[arg(long)]
    cgroup: PathBuf,
    #[arg(long)]
    container: PathBuf,
    #[arg(long)]
    sandbox: u32,
    #[arg(long)]
    log: PathBuf,
    /// A file of the container's cgroup, and what is written to it.
    #[arg(long, value_name = "FILE=VALUE")]
    limit: Vec<String>,
    #[arg(last = true)]
    argv: Vec<String>,
}

/// Creates the container and waits for its end.
pub fn run(args: &CreateArgs) -> Result<()> {
    node::enter(&args.cgroup)?;
    let network = network::of(args.sandbox)?;
    let path = find_program(&args.argv)?;
    let log = File::create(&args.log).with_context(|| format!("cannot make {}", args.log.display()))?;
    fs::create_dir(&args.container).with_context(|| format!("cannot make {}", args.container.display()))?;
    for limit in &args.limit {
        let (file, value) = limit.split_once('=').context("a limit is FILE=VALUE")?;
        fs::write(args.container.join(file), value).with_context(|| format!("cannot set the limit {limit}"))?;
    }
    let cgroup = File::open(&args.container)?;
    let clone = Clone { cgroup: Some(cgroup.as_fd()), new_pid_namespace: true };
    let pid = clone.spawn(|| {
        // Not the shim, which stays in the network of the node.
        network::enter(&network)?;
        rustix::thread::set_name(c"runc:[2:INIT]")?;
        become_program(&path, &args.argv, Some(log), |_| {})
    })?;
    report(&Report::Running { pid: pid.as_raw_nonzero().get().unsigned_abs() })?;
    let Report::Exited { at, status } = wait_for(pid)? else { bail!("wait tells nothing of an exit") };
    // Nobody knows better when it left than the workload itself, if it had the time to say so.
    let said = fs::read_to_string(&args.log).unwrap_or_default();
    report(&Report::Exited { at: left_at(&said).unwrap_or(at), status })
}
