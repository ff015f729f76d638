//! What each hook costs, by the kernel's own statistics.

use std::path::Path;

use anyhow::Result;

use super::agent::Agent;
use super::place::Place;
use super::print::Entry;
use super::rounds::{Kind, Worker};

/// The hooks that the rounds run through.
const HOOKS: [&str; 6] = [
    "inet_sock_set_state",
    "sched_process_fork",
    "sched_process_exec",
    "sched_process_exit",
    "signal_generate",
    "signal_deliver",
];

/// Blocks of each kind.
const BLOCKS: usize = 3;

/// Nanoseconds a run of each hook, in a pod and outside of all.
pub(super) fn measure(place: &Place, program: &Path) -> Result<Vec<Entry>> {
    eprintln!("what each hook costs");
    let mut entries = Vec::new();
    for (variant, cgroup) in [("gracetrace-pod", place.pod_cgroup()), ("gracetrace-node", place.node_cgroup())] {
        let mut worker = Worker::start(place, cgroup)?;
        // Started after the worker, and stopped before it ends: only the rounds are counted, and what others do meanwhile.
        let agent = Agent::start(place, program, &["--kernel-stats"])?;
        let before = read(&agent)?;
        for _ in 0..BLOCKS {
            worker.block(Kind::Tcp)?;
            worker.block(Kind::Exec)?;
        }
        // The agent asks the kernel once a second.
        super::agent::wait(std::time::Duration::from_millis(1500));
        let after = read(&agent)?;
        agent.stop()?;
        for (hook, (before, after)) in HOOKS.into_iter().zip(before.into_iter().zip(after)) {
            let (runs, seconds) = (after.0 - before.0, after.1 - before.1);
            if runs >= 1.0 {
                entries.push(Entry::Hook { hook, variant, runs, ns_per_run: 1e9 * seconds / runs });
            }
        }
    }
    Ok(entries)
}

/// Runs and seconds of each hook.
fn read(agent: &Agent) -> Result<Vec<(f64, f64)>> {
    let read = |hook: &str| {
        let label = format!("hook=\"{hook}\"");
        let runs = agent.metric("gracetrace_hook_runs_total", &label)?;
        Ok((runs, agent.metric("gracetrace_hook_run_seconds_total", &label)?))
    };
    HOOKS.into_iter().map(read).collect()
}
