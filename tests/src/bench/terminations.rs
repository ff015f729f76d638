//! What many terminations in a row cost the agent.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::agent::{self, Agent};
use super::place::Place;
use super::print::Entry;
use crate::node::cgroup::remove_tree;

/// How long the agent may take to report the last one.
const REPORT: Duration = Duration::from_secs(30);

/// Pods of one container each, made, stopped and removed one after another.
pub(super) fn measure(place: &Place, program: &Path, count: u32) -> Result<Entry> {
    eprintln!("{count} terminations in a row");
    let agent = Agent::start(place, program, &[])?;
    let before = agent.usage()?;
    let begin = Instant::now();
    for number in 0..count {
        terminate(place, &place.another_pod(number)).with_context(|| format!("termination {number}"))?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let deadline = Instant::now() + REPORT;
    let reported = loop {
        let reported = agent.metric("gracetrace_pod_terminations_total", "")?;
        if reported >= f64::from(count) || Instant::now() > deadline {
            break reported;
        }
        agent::wait(Duration::from_millis(100));
    };
    let after = agent.usage()?;
    agent.stop()?;
    if reported < f64::from(count) {
        eprintln!("the agent reported only {reported} of {count}");
    }
    let cpu_seconds = after.cpu.saturating_sub(before.cpu).as_secs_f64();
    Ok(Entry::Terminations { count, reported, seconds, cpu_seconds, rss_bytes: after.rss_bytes })
}

/// One pod's life: its cgroup, its only process, the stop signal from outside, the end.
pub(super) fn terminate(place: &Place, cgroup: &Path) -> Result<()> {
    fs::create_dir_all(cgroup).context("cannot make a pod's cgroup")?;
    let file = cgroup.join("cgroup.procs");
    let mut command = Command::new(place.pause());
    command.stdin(Stdio::null());
    // SAFETY: between fork and exec it only opens and writes a file, on memory made before; it takes no lock that another
    // thread may hold, for this process has one thread.
    unsafe { command.pre_exec(move || fs::write(&file, "0")) };
    let mut child = command.spawn().context("cannot start a pod's process")?;
    kill_process(Pid::from_child(&child), Signal::TERM).context("cannot stop a pod's process")?;
    let status = child.wait()?;
    if status.success() {
        bail!("a process that waits for a signal left by itself");
    }
    remove_tree(cgroup.parent().unwrap_or(cgroup))
}
