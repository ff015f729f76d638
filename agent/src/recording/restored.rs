//! What an earlier run of the agent has left, as it stands in a recording and on disk.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::identity::RoleLine;
use super::kernel::EventLine;
use crate::model::{
    BootTime, CgroupId, ContainerId, Direction, Event, PodUid, Saved, SavedContainer, SavedPeer, SavedPeers, SavedPod,
    SavedTally, TerminationId, Unseen, WallClock,
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    curve: Vec<(u64, u64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    failures: Vec<(u64, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peers: Option<PeersLine>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct PeersLine {
    peers: Vec<PeerLine>,
    /// In the order of [`SavedTally::to_array`].
    totals: [[u64; 10]; 2],
    forgotten: [u64; 2],
    since: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PeerLine {
    inbound: bool,
    address: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    local_port: Option<u16>,
    last: u64,
    tally: [u64; 10],
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
            curve: container.curve.iter().map(|(at, open)| (at.0, *open)).collect(),
            failures: container.failures.iter().map(|(at, failed)| (at.0, *failed)).collect(),
            peers: (container.peers != SavedPeers::default()).then(|| PeersLine::from(&container.peers)),
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
            curve: line.curve.into_iter().map(|(at, open)| (BootTime(at), open)).collect(),
            failures: line.failures.into_iter().map(|(at, failed)| (BootTime(at), failed)).collect(),
            peers: line.peers.map(SavedPeers::from).unwrap_or_default(),
        }
    }
}

impl From<&SavedPeers> for PeersLine {
    fn from(of: &SavedPeers) -> PeersLine {
        let peer = |peer: &SavedPeer| PeerLine {
            inbound: peer.direction == Direction::Inbound,
            address: peer.address,
            port: peer.port,
            local_port: peer.local_port,
            last: peer.last.0,
            tally: peer.tally.to_array(),
        };
        PeersLine {
            peers: of.peers.iter().map(peer).collect(),
            totals: of.totals.map(SavedTally::to_array),
            forgotten: of.forgotten,
            since: of.since.map(|at| at.0),
        }
    }
}

impl From<PeersLine> for SavedPeers {
    fn from(line: PeersLine) -> SavedPeers {
        let peer = |peer: PeerLine| SavedPeer {
            direction: if peer.inbound { Direction::Inbound } else { Direction::Outbound },
            address: peer.address,
            port: peer.port,
            local_port: peer.local_port,
            last: BootTime(peer.last),
            tally: SavedTally::from_array(peer.tally),
        };
        SavedPeers {
            peers: line.peers.into_iter().map(peer).collect(),
            totals: line.totals.map(SavedTally::from_array),
            forgotten: line.forgotten,
            since: line.since.map(BootTime),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Input;
    use crate::model::Role;
    use crate::recording::line::{decode_input, encode_input};

    #[test]
    fn connections_read_back() {
        let tally = |first: u64| SavedTally::from_array(std::array::from_fn(|index| first + index as u64));
        let peer = |direction, address: &str, port| SavedPeer {
            direction,
            address: address.parse().unwrap(),
            port,
            local_port: None,
            last: BootTime(9),
            tally: tally(u64::MAX - 9),
        };
        let container = SavedContainer {
            cgroup: CgroupId(1),
            id: ContainerId::new("id"),
            role: Role::Sidecar,
            known_at: BootTime(2),
            reported: false,
            unseen: Vec::new(),
            events: Vec::new(),
            curve: vec![(BootTime(3), 20), (BootTime(4), 0)],
            failures: vec![(BootTime(5), u64::MAX)],
            peers: SavedPeers {
                peers: vec![
                    peer(Direction::Inbound, "10.0.0.7", None),
                    peer(Direction::Outbound, "fd00::1", Some(443)),
                ],
                totals: [tally(1), tally(100)],
                forgotten: [7, 0],
                since: Some(BootTime(3)),
            },
        };
        let pod = SavedPod {
            uid: PodUid::new("uid"),
            open: None,
            last_id_ms: None,
            cgroups: Vec::new(),
            containers: vec![container],
        };
        let input = Input::Restored(Saved { pods: vec![pod], ..Saved::default() });
        assert_eq!(decode_input(&encode_input(&input)), Ok(input));
    }

    #[test]
    fn a_state_of_a_version_without_connections_is_read() {
        let line = br#"{"restored":{"at":5,"clock":[],"pods":[{"uid":"uid","cgroups":[1],"containers":
            [{"cgroup":1,"id":"id","role":"app","known_at":2}]}]}}"#;
        let Ok(Input::Restored(saved)) = decode_input(line) else { panic!("{:?}", decode_input(line)) };
        assert_eq!(saved.pods[0].containers[0].peers, SavedPeers::default());
    }
}
