//! Sending a signal, as `runc kill` does: a process of the runtime's cgroup, gone right after.

use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::schedule;
use crate::clock::BootTime;
use crate::node;
use crate::parts::{Report, report};
use crate::truth::Disposition;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct KillArgs {
    #[arg(long)]
    cgroup: PathBuf,
    #[arg(long)]
    pid: i32,
    #[arg(long)]
    signal: i32,
}

/// Sends it, and tells when.
pub fn run(args: &KillArgs) -> Result<()> {
    node::enter(&args.cgroup)?;
    let pid = Pid::from_raw(args.pid).context("no pid")?;
    let signal = Signal::from_named_raw(args.signal).context("no such signal")?;
    let target = pidfd_open(pid, PidfdFlags::empty()).context("the process is gone")?;
    let status = fs::read_to_string(format!("/proc/{}/status", args.pid)).context("the process is gone")?;
    let disposition = disposition(&status, args.signal);
    schedule::be_a_witness();
    let at = BootTime::now();
    pidfd_send_signal(target.as_fd(), signal).context("the process is gone")?;
    report(&Report::Sent { at, disposition })
}

/// Reads off a process's status what it does with a signal. Pid 1 of a pid namespace ignores what it does not handle
/// (pid_namespaces(7)), which its masks do not show.
fn disposition(status: &str, signal: i32) -> Disposition {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let has = |name| {
        field(name).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0) >> (signal - 1) & 1 == 1
    };
    let init = field("NSpid").is_some_and(|pids| {
        let mut pids = pids.split_whitespace();
        pids.next().is_some() && pids.last() == Some("1")
    });
    // A blocked signal is one that the process waits for: sigwait(3), signalfd(2).
    match () {
        () if has("SigIgn") => Disposition::Ignored,
        () if has("SigCgt") || has("SigBlk") => Disposition::Handled,
        () if init => Disposition::Ignored,
        () => Disposition::Default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_masks() {
        let status = |pids: &str, caught: &str, ignored: &str| {
            format!("Name:\tx\nNSpid:\t{pids}\nSigBlk:\t0\nSigIgn:\t{ignored}\nSigCgt:\t{caught}\n")
        };
        let term = 1 << 14;
        let caught = format!("{term:016x}");
        assert_eq!(disposition(&status("70\t1", &caught, "0"), 15), Disposition::Handled);
        assert_eq!(disposition(&status("70\t1", "0", "0"), 15), Disposition::Ignored);
        assert_eq!(disposition(&status("70\t2", "0", "0"), 15), Disposition::Default);
        assert_eq!(disposition(&status("1", "0", "0"), 15), Disposition::Default, "the host's own init, seen from it");
        assert_eq!(disposition(&status("70", "0", &caught), 15), Disposition::Ignored);
    }
}
