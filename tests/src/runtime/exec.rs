//! Running a command in a container: runc 1.3's way. A child joins the container's namespaces, is moved into its cgroup
//! from outside, and executes the command there; its parent stays outside.

use std::fs::{self, File};
use std::io::{Read, Write, pipe};
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::clone::{Clone, become_program, find_program, wait_for};
use super::schedule;
use crate::clock::BootTime;
use crate::node;
use crate::parts::{Report, report};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    #[arg(long)]
    cgroup: PathBuf,
    #[arg(long)]
    container: PathBuf,
    #[arg(long)]
    init: i32,
    #[arg(last = true)]
    argv: Vec<String>,
}

/// Runs the command and waits for its end.
pub fn run(args: &ExecArgs) -> Result<()> {
    node::enter(&args.cgroup)?;
    let path = find_program(&args.argv)?;
    let processes = args.container.join("cgroup.procs");
    let init = Pid::from_raw(args.init).context("no pid")?;
    let init = pidfd_open(init, PidfdFlags::empty()).context("the container's init is gone")?;
    let namespaces = ThreadNameSpaceType::PROCESS_ID | ThreadNameSpaceType::NETWORK;
    move_into_thread_name_spaces(init.as_fd(), namespaces).context("cannot enter the container's namespaces")?;

    // All are closed by a successful execve, so that the parent sees it happen. It waits for that and not for the time,
    // which would wake it just then and take the processor from the child.
    let (mut moved, mut tell_moved) = pipe()?;
    let (mut started, mut tell_started) = pipe()?;
    let (mut executed, tell_executed) = pipe()?;
    let pid = Clone::default().spawn(|| {
        rustix::thread::set_name(c"runc:[2:INIT]")?;
        moved.read_exact(&mut [0])?;
        schedule::go_first();
        become_program(&path, &args.argv, None::<File>, |at| {
            // The parent misses it then, and says so.
            let _ = tell_started.write_all(&at.0.to_ne_bytes());
        })
    })?;
    drop((tell_started, tell_executed, moved));
    let pid_number = pid.as_raw_nonzero().get().unsigned_abs();
    fs::write(&processes, pid_number.to_string()).context("cannot move a process into the container")?;
    tell_moved.write_all(&[1])?;

    schedule::be_a_witness();
    executed.read_to_end(&mut Vec::new())?;
    schedule::stand_in_line(pid.as_raw_nonzero().get());
    let mut at = Vec::new();
    started.read_to_end(&mut at)?;
    let Ok(at) = at.try_into() else { bail!("the command was not started") };
    report(&Report::Started { at: BootTime(i64::from_ne_bytes(at)), pid: pid_number })?;
    report(&wait_for(pid)?)
}
