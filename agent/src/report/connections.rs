//! Connections of a container as the contract has them.

use std::net::SocketAddr;

use super::contract::{Connections, Count, OtherPeers, Peer, Tally, direction_word};
use super::seconds;
use crate::model::{self, BootTime};

/// `start` is the termination's: what the curve's times count from.
pub(super) fn report(of: &model::Connections, start: BootTime) -> Connections {
    let count = |directions: model::Directions| Count { inbound: directions.inbound, outbound: directions.outbound };
    let point = |(at, open): &(BootTime, u64)| (seconds(at.since(start)), *open);
    Connections {
        at_start: of.at_start.map(count),
        opened: of.opened.map(count),
        zombie: of.zombie.map(count),
        aborted: of.aborted,
        late: of.late,
        refused: of.refused,
        traffic_tail_seconds: of.traffic_tail.map(seconds),
        peers: of.peers.as_ref().map(|peers| peers.listed.iter().map(peer).collect()),
        curve: of.curve.as_ref().map(|curve| curve.iter().map(point).collect()),
        partial: of.partial,
        refused_after_exit: of.refused_after_exit,
        refused_tail_seconds: of.refused_tail.map(seconds),
        startup_refused: of.startup_refused,
        outbound_failed: of.outbound_failed,
        outbound_failed_after_sidecar: of.outbound_failed_after_sidecar,
        internal: of.internal,
        kubelet: of.kubelet,
        other_peers: of.peers.iter().flat_map(|peers| &peers.others).map(others).collect(),
    }
}

fn peer(of: &model::Peer) -> Peer {
    let address = match of.port {
        Some(port) => SocketAddr::new(of.address, port).to_string(),
        None => of.address.to_string(),
    };
    Peer {
        address,
        direction: direction_word(of.direction).into(),
        zombie: of.tally.cut > 0,
        late: of.tally.late > 0,
        local_port: of.local_port,
        tally: tally(&of.tally),
    }
}

fn others(of: &model::OtherPeers) -> OtherPeers {
    OtherPeers { direction: direction_word(of.direction).into(), peers: of.peers, tally: tally(&of.tally) }
}

fn tally(of: &model::Tally) -> Tally {
    Tally {
        connections: of.connections,
        cut: of.cut,
        late_connections: of.late,
        aborted: of.aborted,
        failed: of.failed,
        received_bytes: of.received,
        sent_bytes: of.sent,
    }
}
