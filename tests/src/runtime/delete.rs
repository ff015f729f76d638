//! The end of a container: `runc kill --all` and `runc delete` follow every exit, also a peaceful one.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Signal, kill_process};

use crate::node::{self, cgroup};

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct CgroupArgs {
    #[arg(long)]
    cgroup: PathBuf,
    #[arg(long)]
    container: PathBuf,
}

/// Kills every process that is left, frozen meanwhile so that none gets away.
pub fn kill_all(args: &CgroupArgs) -> Result<()> {
    node::enter(&args.cgroup)?;
    let freeze = args.container.join("cgroup.freeze");
    fs::write(&freeze, "1").context("cannot freeze the container")?;
    for pid in cgroup::processes(&args.container)? {
        // Gone already is as good.
        let _ = kill_process(pid, Signal::KILL);
    }
    fs::write(&freeze, "0").context("cannot thaw the container")
}

/// Removes the cgroup, once the kernel has buried the last process.
pub fn delete(args: &CgroupArgs) -> Result<()> {
    node::enter(&args.cgroup)?;
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match fs::remove_dir(&args.container) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline => {
                sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot remove {}", args.container.display())),
        }
    }
}
