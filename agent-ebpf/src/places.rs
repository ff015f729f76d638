//! Keys and values of the maps about ports that containers listen on, and about SYNs that nobody listened for.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Flow;

/// Key of the map `PORTS`: a TCP port in a network namespace. Key of the map `WAITING` too, with `port` cut to
/// [`WAITING_SLOTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PortKey {
    /// The namespace: its inode number in the lower half and its `net.hash_mix` in the upper. Inode numbers are given
    /// out again at once (`proc_alloc_inum` in fs/proc/generic.c takes the lowest free one); the other half is random,
    /// made with the namespace (`setup_net` in net/core/net_namespace.c, 5.1 and later).
    pub namespace: u64,
    /// The port.
    pub port: u32,
    /// Always 0.
    pub reserved: u32,
}

/// Value of the map `PORTS`: who listens there, or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Port {
    /// Cgroup id of the container that began to listen last.
    pub owner: u64,
    /// How many sockets listen there now (`SO_REUSEPORT`, IPv4 beside IPv6, several addresses). Below 0 when one that
    /// nobody saw begin has ended.
    pub listening: i64,
    /// Boot time in nanoseconds when one of them last began to listen, or when the last of them ended to.
    pub changed_at: u64,
    /// Address of the one that began last, in network byte order, IPv4 mapped into IPv6; unspecified for any.
    pub address: [u32; 4],
}

/// How many ports of one namespace may wait at once: who scans a pod's ports fills up no other's room. A power of two.
pub const WAITING_SLOTS: u32 = 256;

/// For how long after its last SYN a port keeps its slot against another that falls into the same, in nanoseconds.
pub const WAITING_KEPT_NS: u64 = 60_000_000_000;

/// Value of the map `WAITING`: SYNs refused where no container has listened yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Waiting {
    /// The port.
    pub port: u64,
    /// How many SYNs.
    pub count: u64,
    /// How many of them a container was given that began to listen.
    pub given: u64,
    /// Boot time in nanoseconds of the last one.
    pub last_at: u64,
}

/// Value of the map `REFUSALS`, keyed by [`Flow`]: a SYN that was just counted, should it turn out to be the kubelet's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Refusal {
    /// The container it was counted for; 0 when it waits for one.
    pub owner: u64,
    /// Network namespace, as in [`PortKey`].
    pub namespace: u64,
    /// What `last_refused_at` became by it.
    pub at: u64,
    /// What it was before.
    pub before: u64,
}

/// Value of the map `GONE`, keyed by an address in network byte order, IPv4 mapped into IPv6: a pod had it and has gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Gone {
    /// Connects of any process of this node to it that have failed.
    pub failed: u64,
    /// Not 0 once a container has connected to it or was connected to at it: somebody has it again.
    pub taken: u64,
}

/// Index into the array `TALLIES`: how often a container's `refused` or `startup_refused` has changed.
pub const TALLY_REFUSED: u32 = 0;
/// Index into the array `TALLIES`: connects to addresses of pods that have gone, in all.
pub const TALLY_STALE: u32 = 1;
/// Index into the array `TALLIES`: how often something was added to `PORTS` or `WAITING`.
pub const TALLY_PLACES: u32 = 2;
/// Index into the array `TALLIES`: SYNs that found no room to wait in, or were pushed out.
pub const TALLY_LEFT_OUT: u32 = 3;
/// Length of the array `TALLIES`.
pub const TALLIES: u32 = 4;

const _: () = {
    assert!(size_of::<PortKey>() == 16);
    assert!(size_of::<Port>() == 40);
    assert!(size_of::<Waiting>() == 32);
    assert!(size_of::<Refusal>() == 32);
    assert!(size_of::<Gone>() == 16);
    assert!(size_of::<Flow>() == 36);
    assert!(WAITING_SLOTS.is_power_of_two());
};
