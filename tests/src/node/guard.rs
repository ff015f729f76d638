//! The guard: a process outside the slice that clears everything away when the demo is gone, whatever ended it.

use std::fs;
use std::io::{ErrorKind, Read, stdin};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::cgroup;

/// The demo's side: dropping it sets the guard to work and waits for it.
pub struct Guard {
    child: Child,
}

impl Guard {
    /// Starts the guard of a slice and a directory that need not exist yet.
    pub fn start(program: &Path, slice: &Path, dir: &Path) -> Result<Guard> {
        let child = Command::new(program)
            .args(["play", "guard", "--slice"])
            .arg(slice)
            .arg("--dir")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the demo's guard")?;
        Ok(Guard { child })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It reports on standard error, which is ours.
        let _ = self.child.wait();
    }
}

/// The guard's arguments.
#[derive(Debug, clap::Args)]
pub struct GuardArgs {
    #[arg(long)]
    slice: PathBuf,
    #[arg(long)]
    dir: PathBuf,
}

/// The guard itself: waits for the end of its input, which comes also when the demo is killed.
pub fn run(args: &GuardArgs) -> Result<()> {
    // A failed read is an end as well.
    let _ = stdin().read_to_end(&mut Vec::new());
    let slice = cgroup::remove_tree(&args.slice);
    let dir = match fs::remove_dir_all(&args.dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.with_context(|| format!("cannot remove {}", args.dir.display())),
    };
    slice.and(dir)
}
