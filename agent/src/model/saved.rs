//! What a run of the agent leaves for the next one on the same machine: terminations that go on, and what was seen of
//! containers that have not been reported. Without what is known of pods: sources tell that.

use std::collections::BTreeSet;

use super::{BootTime, CgroupId, ContainerId, Event, Kind, Pid, PodUid, Role, TerminationId, WallClock};

/// Everything that is taken up again after a restart of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Saved {
    /// When: what came later was not seen.
    pub at: BootTime,
    /// The wall clock's steps so far.
    pub clock: WallClock,
    /// Pods with containers, and those whose termination goes on.
    pub pods: Vec<SavedPod>,
    /// Deleted pods whose termination was reported, the oldest first.
    pub reported: Vec<PodUid>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedPod {
    /// Which.
    pub uid: PodUid,
    /// Its termination, if one goes on.
    pub open: Option<TerminationId>,
    /// The time in the id of its last termination, in milliseconds of boot time.
    pub last_id_ms: Option<u64>,
    /// Every cgroup that was one of its containers.
    pub cgroups: Vec<CgroupId>,
    /// Its containers, in the order in which they became known.
    pub containers: Vec<SavedContainer>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedContainer {
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// The runtime's id.
    pub id: ContainerId,
    /// Its part in the pod.
    pub role: Role,
    /// Since when it is watched.
    pub known_at: BootTime,
    /// Its end was reported; it is remembered so that it is not reported again.
    pub reported: bool,
    /// When nobody watched it.
    pub unseen: Vec<Unseen>,
    /// What was seen of it, as events that give the same again.
    pub events: Vec<Event>,
}

impl SavedContainer {
    /// Processes that came in from outside and were not seen to end.
    pub fn entered(&self) -> BTreeSet<Pid> {
        let mut inside = BTreeSet::new();
        for event in &self.events {
            match &event.kind {
                Kind::Exec(exec) if exec.entered && !exec.init => drop(inside.insert(exec.pid)),
                Kind::Exit(exit) if exit.entered => drop(inside.remove(&exit.pid)),
                _ => {}
            }
        }
        inside
    }
}

/// A span of time in which no agent watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unseen {
    /// What came later is not known to have been seen.
    pub from: BootTime,
    /// From here on an agent watched again.
    pub to: BootTime,
}
