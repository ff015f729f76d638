//! New processes in chosen cgroups and pid namespaces: clone3(2), for which std has nothing.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::{env, fs, io};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::schedule;
use crate::clock::BootTime;
use crate::parts::Report;

/// include/uapi/linux/sched.h; too large for the type that the libc crate gives it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// How a process comes to be.
#[derive(Default)]
pub(super) struct Clone<'fd> {
    /// It starts in this cgroup.
    pub(super) cgroup: Option<BorrowedFd<'fd>>,
    /// It is pid 1 of a new pid namespace.
    pub(super) new_pid_namespace: bool,
}

impl Clone<'_> {
    /// Makes a child that runs `child` and then dies; gives its pid in the caller's pid namespace.
    pub(super) fn spawn(self, child: impl FnOnce() -> Result<Infallible>) -> Result<Pid> {
        let threads = fs::read_dir("/proc/self/task").context("cannot count the threads of this process")?.count();
        ensure!(threads == 1, "a process with {threads} threads cannot be cloned safely");

        let into_cgroup = if self.cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 };
        let new_namespace = if self.new_pid_namespace { libc::CLONE_NEWPID as u64 } else { 0 };
        // SAFETY: all of clone_args is integers, for which zero is "not used".
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = into_cgroup | new_namespace;
        args.exit_signal = libc::SIGCHLD as u64;
        args.cgroup = self.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64);

        // SAFETY: without CLONE_VM this is a fork: the child has its own copy of everything, and as this process has
        // one thread only, no lock is held by a thread that the child lacks.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
        match pid {
            -1 => Err(io::Error::last_os_error()).context("clone3 has failed"),
            0 => {
                let Err(error) = child();
                eprintln!("gracetrace-demo: {error:#}");
                exit(127)
            }
            pid => Pid::from_raw(i32::try_from(pid)?).context("clone3 gives no pid"),
        }
    }
}

/// Becomes another program, in a session of its own and without a terminal. Takes the clock right before.
pub(super) fn become_program(
    path: &Path,
    argv: &[String],
    log: Option<File>,
    before: impl FnOnce(BootTime),
) -> Result<Infallible> {
    let [name, rest @ ..] = argv else { bail!("no command") };
    let mut command = Command::new(path);
    command.arg0(name).args(rest).stdin(Stdio::null());
    match log {
        Some(log) => command.stdout(log.try_clone()?).stderr(log),
        None => command.stdout(Stdio::null()).stderr(Stdio::null()),
    };
    rustix::process::setsid().context("setsid has failed")?;
    before(BootTime::now());
    Err(command.exec()).with_context(|| format!("cannot execute {}", path.display()))
}

/// Finds a program as execvp(3) does, but before the clock is taken.
pub(super) fn find_program(argv: &[String]) -> Result<PathBuf> {
    let name = argv.first().context("no command")?;
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let found = env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("no program {name} in PATH"))
}

/// Waits for a child and takes the clock when wait returns.
pub(super) fn wait_for(pid: Pid) -> Result<Report> {
    schedule::be_a_witness();
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(Report::Exited { at: BootTime::now(), status: status.as_raw() }),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for a child"),
        }
    }
}
