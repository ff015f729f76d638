//! A container's first process, from /proc.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::identity::InitProcess;
use crate::model::{Comm, Pid};

/// The processes of one cgroup, up to a limit. A threaded cgroup has none to show, one that was removed neither.
pub(super) fn pids(cgroup: &Path, limit: usize) -> Vec<Pid> {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    // 0 stands for a process that this one's pid namespace does not have.
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).take(limit).map(Pid).collect()
}

/// Pid 1 of the outermost pid namespace that is the container's own; without one (host pids, or pids shared in the pod)
/// the oldest process whose parent is outside the container.
pub(super) fn find(pids: &[Pid]) -> Option<InitProcess> {
    let inside: HashSet<Pid> = pids.iter().copied().collect();
    let processes: Vec<Process> = pids.iter().filter_map(|pid| Process::read(*pid)).collect();
    let first = processes
        .iter()
        .filter(|process| process.is_namespace_init)
        .min_by_key(|process| (process.namespaces, process.started))
        .or_else(|| {
            processes
                .iter()
                .filter(|process| !inside.contains(&process.parent))
                .min_by_key(|process| (process.started, process.pid))
        })?;
    let comm = fs::read(format!("/proc/{}/comm", first.pid)).ok()?;
    let comm = Comm::new(comm.strip_suffix(b"\n").unwrap_or(&comm));
    Some(InitProcess { pid: first.pid, comm })
}

struct Process {
    pid: Pid,
    parent: Pid,
    /// Pid namespaces it is in, as far as this process can see.
    namespaces: usize,
    /// Whether it is pid 1 of a namespace below the reader's.
    is_namespace_init: bool,
    /// Clock ticks since boot.
    started: u64,
}

impl Process {
    fn read(pid: Pid) -> Option<Process> {
        let status = fs::read(format!("/proc/{pid}/status")).ok()?;
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let (parent, namespaces, last) = parse_status(&String::from_utf8_lossy(&status))?;
        let started = parse_stat(&String::from_utf8_lossy(&stat))?;
        Some(Process { pid, parent, namespaces, is_namespace_init: namespaces > 1 && last == 1, started })
    }
}

/// Parent, number of pid namespaces, and the process id in the innermost (proc_pid_status(5)).
fn parse_status(text: &str) -> Option<(Pid, usize, u32)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let parent = field("PPid:")?.trim().parse().ok()?;
    let pids = field("NSpid:")?;
    Some((Pid(parent), pids.split_whitespace().count(), pids.split_whitespace().next_back()?.parse().ok()?))
}

/// `starttime`, field 22 (proc_pid_stat(5)). The name before may hold anything, blanks and brackets too.
fn parse_stat(text: &str) -> Option<u64> {
    let (_, after_name) = text.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc() {
        let status = "Name:\tpause\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t27646\nPid:\t27646\nPPid:\t27622\nNSpid:\t27646\t1\n";
        assert_eq!(parse_status(status), Some((Pid(27622), 2, 1)));
        assert_eq!(parse_status("Name:\tkthread\n"), None);
        let stat = "77 (a) S (b) S 1 77 77 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 4711 1000 200 18446744073709551615";
        assert_eq!(parse_stat(stat), Some(4711));
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn this_process() {
        let own = Pid(std::process::id());
        let found = find(&[own, Pid(u32::MAX)]).unwrap();
        assert_eq!(found.pid, own);
        assert!(!found.comm.as_bytes().is_empty());
        assert_eq!(find(&[]), None);
    }
}
