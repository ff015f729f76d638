//! Values of the maps that the programs and the agent share.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Counters, Flow};

/// A cgroup above containers: the root of all pods, a QoS class, a pod. Its processes are not a container's.
pub const CGROUP_KIND_ANCESTOR: u32 = 1;
/// A cgroup that the kernel side saw being made and the agent has not looked at yet. Counts as a container.
pub const CGROUP_KIND_PENDING: u32 = 2;
/// A container's cgroup.
pub const CGROUP_KIND_CONTAINER: u32 = 3;
/// A cgroup inside a container's, made by the container itself.
pub const CGROUP_KIND_NESTED: u32 = 4;
/// The kubelet's cgroup: no container's. Only [`crate::Hook::InetSockSetState`] looks at these entries.
pub const CGROUP_KIND_KUBELET: u32 = 5;

/// The container is terminating, or about to: each change of its connections is to be told. Set by the agent on the
/// container's own cgroup; the programs see by themselves when a stop signal, a kill or the end of the init comes first.
pub const CGROUP_FLAG_WATCHED: u32 = 1 << 0;

/// Value of the map `CGROUPS`, keyed by cgroup id: what the programs track. Read by every program first; written by
/// the agent and by `cgroup_mkdir`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Cgroup {
    /// The cgroup id of the container that this cgroup belongs to: itself, or one above it.
    pub owner: u64,
    /// `CGROUP_KIND_…`
    pub kind: u32,
    /// `CGROUP_FLAG_…`
    pub flags: u32,
}

/// Value of the map `CONTAINERS`, keyed by [`Cgroup::owner`]: the state of one container. The agent creates it and
/// never writes to it again, so that no count is lost; the programs only add.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Container {
    /// What every record of this container carries.
    pub counters: Counters,
    /// Boot time in nanoseconds of the first stop signal; 0 before it.
    pub stop_at: u64,
    /// Number of that signal.
    pub stop_signal: u32,
    /// Always 0.
    pub reserved: u32,
}

/// Value of the map `ENTERED`, keyed by the process id of a process that entered a container from outside (a hook, a
/// probe, an `exec` by hand): what it and its descendants cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Entered {
    /// CPU time in nanoseconds that the process had used when it executed its program: the runtime's set-up.
    pub cpu_before_ns: u64,
    /// CPU time in nanoseconds of its descendants that have exited.
    pub descendants_cpu_ns: u64,
    /// Processes ever started in its tree, itself included.
    pub processes: u64,
}

/// Value of the map `SOCKETS`, keyed by the address of a kernel socket: a connection that was counted as open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Socket {
    /// The container it was counted for.
    pub cgroup: u64,
    /// 1 when the connection came in, 0 when it went out.
    pub inbound: u64,
}

/// Value of the map `REQUESTS`, keyed by a socket's cookie: the last request of an httpGet hook that it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Request {
    /// The connection.
    pub flow: Flow,
    /// TCP sequence number of the request's first byte: the same number is the same request, sent again.
    pub sequence: u32,
    /// TCP sequence number that the response's first byte will have.
    pub response_sequence: u32,
    /// 1 once the response was seen.
    pub answered: u32,
}
