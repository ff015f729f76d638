//! What an earlier run of the agent has left, as it stands in a recording and on disk.

use serde::{Deserialize, Serialize};

use super::identity::RoleLine;
use super::kernel::EventLine;
use crate::model::{
    BootTime, CgroupId, ContainerId, Event, PodUid, Saved, SavedContainer, SavedPod, TerminationId, Unseen, WallClock,
};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedLine {
    at: u64,
    /// Since when the wall clock has been how far ahead of boot time, in nanoseconds.
    clock: Vec<(u64, i64)>,
    pods: Vec<PodLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reported: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PodLine {
    uid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_id_ms: Option<u64>,
    cgroups: Vec<u64>,
    containers: Vec<ContainerLine>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ContainerLine {
    cgroup: u64,
    id: String,
    role: RoleLine,
    known_at: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    reported: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unseen: Vec<(u64, u64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventLine>,
}

impl From<&Saved> for SavedLine {
    fn from(saved: &Saved) -> SavedLine {
        SavedLine {
            at: saved.at.0,
            clock: saved.clock.offsets().iter().map(|(at, offset)| (at.0, *offset)).collect(),
            pods: saved.pods.iter().map(PodLine::from).collect(),
            reported: saved.reported.iter().map(|uid| uid.as_str().to_owned()).collect(),
        }
    }
}

impl From<SavedLine> for Saved {
    fn from(line: SavedLine) -> Saved {
        let mut clock = WallClock::default();
        for (at, offset) in line.clock {
            clock.observe(BootTime(at), offset);
        }
        Saved {
            at: BootTime(line.at),
            clock,
            pods: line.pods.into_iter().map(SavedPod::from).collect(),
            reported: line.reported.into_iter().map(PodUid::new).collect(),
        }
    }
}

impl From<&SavedPod> for PodLine {
    fn from(pod: &SavedPod) -> PodLine {
        PodLine {
            uid: pod.uid.as_str().to_owned(),
            open: pod.open.as_ref().map(|id| id.as_str().to_owned()),
            last_id_ms: pod.last_id_ms,
            cgroups: pod.cgroups.iter().map(|cgroup| cgroup.0).collect(),
            containers: pod.containers.iter().map(ContainerLine::from).collect(),
        }
    }
}

impl From<PodLine> for SavedPod {
    fn from(line: PodLine) -> SavedPod {
        SavedPod {
            uid: PodUid::new(line.uid),
            open: line.open.map(TerminationId::new),
            last_id_ms: line.last_id_ms,
            cgroups: line.cgroups.into_iter().map(CgroupId).collect(),
            containers: line.containers.into_iter().map(SavedContainer::from).collect(),
        }
    }
}

impl From<&SavedContainer> for ContainerLine {
    fn from(container: &SavedContainer) -> ContainerLine {
        ContainerLine {
            cgroup: container.cgroup.0,
            id: container.id.as_str().to_owned(),
            role: container.role.into(),
            known_at: container.known_at.0,
            reported: container.reported,
            unseen: container.unseen.iter().map(|it| (it.from.0, it.to.0)).collect(),
            events: container.events.iter().map(EventLine::from).collect(),
        }
    }
}

impl From<ContainerLine> for SavedContainer {
    fn from(line: ContainerLine) -> SavedContainer {
        SavedContainer {
            cgroup: CgroupId(line.cgroup),
            id: ContainerId::new(line.id),
            role: line.role.into(),
            known_at: BootTime(line.known_at),
            reported: line.reported,
            unseen: line
                .unseen
                .into_iter()
                .map(|(from, to)| Unseen { from: BootTime(from), to: BootTime(to) })
                .collect(),
            events: line.events.into_iter().map(Event::from).collect(),
        }
    }
}
