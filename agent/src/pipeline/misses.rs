//! Runs of programs that the kernel left out: how many there are, told to the correlator as they come.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::model::{BootTime, CgroupId, Counters, Event, Kind, Missed};
use crate::probe::Hook;

/// From one look to the next, at least. Less than the correlator waits at the end of a termination, so that what was missed
/// in it is known by then.
const EVERY: Duration = Duration::from_millis(100);

/// As of the last look.
#[derive(Debug, Default)]
pub(super) struct Misses {
    looked_at: Option<BootTime>,
    by_hook: Vec<(Hook, u64)>,
}

impl Misses {
    /// Whether to look again.
    pub(super) fn is_due(&self, now: BootTime) -> bool {
        self.looked_at.is_none_or(|at| now.since(at) >= EVERY)
    }

    /// Takes note of the counts since the programs were loaded; an event if there are more than before. The first look is
    /// where it begins.
    pub(super) fn look(&mut self, now: BootTime, by_hook: Vec<(Hook, u64)>) -> Option<Event> {
        let mut missed = Missed::default();
        for (hook, total) in &by_hook {
            let before = self.by_hook.iter().find(|(known, _)| known == hook).map_or(0, |(_, before)| *before);
            missed = missed.and(of(*hook, total.saturating_sub(before)));
        }
        self.by_hook = by_hook;
        let since = self.looked_at.replace(now)?;
        let kind = Kind::Missed { since, missed };
        (missed != Missed::default()).then(|| Event {
            at: now,
            cgroup: CgroupId(0),
            counters: Counters::default(),
            kind,
        })
    }

    /// Since the programs were loaded.
    pub(super) fn by_hook(&self) -> &[(Hook, u64)] {
        &self.by_hook
    }
}

/// What a hook's events are about. Not all are needed for a verdict: a process that nobody saw starting is found when it is
/// looked for, and packets of the kubelet have no part in most terminations.
fn of(hook: Hook, missed: u64) -> Missed {
    match hook {
        Hook::InetSockSetState | Hook::TcpSendReset => Missed { connections: missed, processes: 0 },
        Hook::SchedProcessFork | Hook::IterTaskFile => Missed::default(),
        _ => Missed { connections: 0, processes: missed },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_told() {
        let mut misses = Misses::default();
        let mut look = |at: u64, sockets, forks, exits| {
            let counts = vec![
                (Hook::InetSockSetState, sockets),
                (Hook::SchedProcessFork, forks),
                (Hook::SchedProcessExit, exits),
            ];
            misses.look(BootTime(at), counts).map(|event| (event.at, event.kind))
        };
        let told = |since, at, connections, processes| {
            let kind = Kind::Missed { since: BootTime(since), missed: Missed { connections, processes } };
            Some((BootTime(at), kind))
        };
        assert_eq!(look(1, 5, 0, 0), None, "from here on");
        assert_eq!(look(2, 5, 7, 0), None);
        assert_eq!(look(3, 6, 7, 2), told(2, 3, 1, 2));
        assert_eq!(look(4, 6, 7, 2), None);
        assert_eq!(look(9, 8, 7, 2), told(4, 9, 2, 0));
    }
}
