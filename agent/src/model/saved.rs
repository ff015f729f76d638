//! What a run of the agent leaves for the next one on the same machine: terminations that go on, and what was seen of
//! containers that have not been reported. Without what is known of pods: sources tell that.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{BootTime, CgroupId, ContainerId, Direction, Event, Kind, Pid, PodUid, Role, TerminationId, WallClock};

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
    /// How many inbound connections were open, and since when.
    pub curve: Vec<(BootTime, u64)>,
    /// How many outbound connections had failed, and since when.
    pub failures: Vec<(BootTime, u64)>,
    /// Who its connections were with.
    pub peers: SavedPeers,
}

/// The other ends of a container's connections: sums, because the events they came from are too many to keep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SavedPeers {
    /// Those remembered one by one.
    pub peers: Vec<SavedPeer>,
    /// All connections, those with peers that are not remembered too: inbound and outbound.
    pub totals: [SavedTally; 2],
    /// Peers that are not remembered, inbound and outbound.
    pub forgotten: [u64; 2],
    /// When the first change was told.
    pub since: Option<BootTime>,
}

/// One other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedPeer {
    /// Who began.
    pub direction: Direction,
    /// Its address.
    pub address: IpAddr,
    /// Its port, if it was one for all.
    pub port: Option<u16>,
    /// The container's port, if it was one for all.
    pub local_port: Option<u16>,
    /// The last change.
    pub last: BootTime,
    /// What became of its connections.
    pub tally: SavedTally,
}

/// Changes of connections, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SavedTally {
    /// Told as opened, and how many of those came after the stop signal.
    pub opened: [u64; 2],
    /// Told as closed, and how many of those had come after the stop signal.
    pub closed: [u64; 2],
    /// Closed by a reset or a timeout.
    pub aborted: u64,
    /// Not established.
    pub failed: u64,
    /// Bytes received, of those closed.
    pub received: u64,
    /// Bytes sent, of those closed.
    pub sent: u64,
    /// Open when the init was killed and closed since.
    pub since_kill: u64,
    /// Open when the init ended and closed since.
    pub since_exit: u64,
}

impl SavedTally {
    /// Everything, in the order of the members above.
    pub fn to_array(self) -> [u64; 10] {
        let SavedTally { opened, closed, aborted, failed, received, sent, since_kill, since_exit } = self;
        [opened[0], opened[1], closed[0], closed[1], aborted, failed, received, sent, since_kill, since_exit]
    }

    /// The way back from [`SavedTally::to_array`].
    pub fn from_array(all: [u64; 10]) -> SavedTally {
        let [opened, opened_late, closed, closed_late, aborted, failed, received, sent, since_kill, since_exit] = all;
        let (opened, closed) = ([opened, opened_late], [closed, closed_late]);
        SavedTally { opened, closed, aborted, failed, received, sent, since_kill, since_exit }
    }
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
