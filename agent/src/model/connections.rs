//! Connections of a container in its termination: counts, who was at the other end, and how they became fewer.

use std::net::IpAddr;
use std::time::Duration;

use super::{BootTime, Direction};

/// Connections of a container in a termination. `None` is not measured. Connections within the pod and those of the
/// kubelet are in none of these but their own counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connections {
    /// Open at start.
    pub at_start: Option<Directions>,
    /// Opened from start to the init's exit.
    pub opened: Option<Directions>,
    /// Open when its init exited or was killed.
    pub zombie: Option<Directions>,
    /// Ended by a reset or a timeout since start, by the end of the container too.
    pub aborted: Option<u64>,
    /// Inbound ones established after the stop signal.
    pub late: Option<u64>,
    /// Refused since start, because nothing listened any more.
    pub refused: Option<u64>,
    /// Of those, the ones refused after the init's exit.
    pub refused_after_exit: Option<u64>,
    /// From start to the last one refused; `None` if none was.
    pub refused_tail: Option<Duration>,
    /// Refused in the container's whole life because nothing listened yet.
    pub startup_refused: Option<u64>,
    /// Outbound ones that could not be established, from start to the init's exit.
    pub outbound_failed: Option<u64>,
    /// Of those, the ones since the end of the pod's first sidecar to end. `None` where none had ended before the init.
    pub outbound_failed_after_sidecar: Option<u64>,
    /// Accepted from the pod itself, from start to the init's exit.
    pub internal: Option<u64>,
    /// Accepted from the kubelet, from start to the init's exit.
    pub kubelet: Option<u64>,
    /// From start to the last new inbound connection; `None` if none came.
    pub traffic_tail: Option<Duration>,
    /// Who was at the other end, as far as changes of connections were told one by one.
    pub peers: Option<Peers>,
    /// Since when how many inbound ones were open. Begins with the start; thinned out, with the least and the most kept.
    pub curve: Option<Vec<(BootTime, u64)>>,
    /// Something is missing above: what was open before the agent, if the container is older; or what was opened and
    /// closed in a hook that nobody can see.
    pub partial: bool,
}

/// A count by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directions {
    /// From a client.
    pub inbound: u64,
    /// To a server.
    pub outbound: u64,
}

/// The other ends of connections that changed while the container was terminating.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peers {
    /// Those with most that was cut, late or aborted, then those with most connections.
    pub listed: Vec<Peer>,
    /// The sums of those that are not listed, by direction, where there are any.
    pub others: Vec<OtherPeers>,
}

/// One other end: a client's address, whatever its ports; or a server's address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Its port; `None` of a client that used several.
    pub port: Option<u16>,
    /// The container's port, if it was one for all.
    pub local_port: Option<u16>,
    /// Who began.
    pub direction: Direction,
    /// What became of its connections.
    pub tally: Tally,
}

/// Peers that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherPeers {
    /// Who began.
    pub direction: Direction,
    /// How many; one that was left out and came again counts again.
    pub peers: u64,
    /// What became of their connections.
    pub tally: Tally,
}

/// What became of connections. While a termination goes on: as far as it was told yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Established ones.
    pub connections: u64,
    /// Of those, open when the init exited or was killed.
    pub cut: u64,
    /// Of those, established after the stop signal.
    pub late: u64,
    /// Of those, ended by a reset or a timeout.
    pub aborted: u64,
    /// Those that could not be established. In none of the other counts.
    pub failed: u64,
    /// Bytes of data received over those that have closed.
    pub received: u64,
    /// Bytes of data sent and acknowledged over those that have closed.
    pub sent: u64,
}
