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

/// Value of the map `CGROUPS`, keyed by cgroup id: what the programs track. Written by the agent and by
/// `cgroup_mkdir`.
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
    /// [`crate::Connection`] records of this container since the last signal that may stop it, kill, or exit of its init.
    pub told: u64,
    /// Boot time in nanoseconds of the last of them.
    pub told_at: u64,
    /// Boot time in nanoseconds of the first stop signal; 0 before it.
    pub stop_at: u64,
    /// Number of that signal.
    pub stop_signal: u32,
    /// 1 once the init was sent SIGKILL from outside or has exited.
    pub ending: u32,
    // Next to these: every connection needs both, and the first four of them.
    /// What every record of this container carries.
    pub counters: Counters,
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

/// Value of the map `SOCKETS`, keyed by the address of a kernel socket, and part of a [`Place`]: a connection that was counted
/// as open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Socket {
    /// The container it was counted for.
    pub cgroup: u64,
    /// Boot time in nanoseconds when it was established; 0 when it is older than the agent.
    pub opened_at: u64,
    /// [`crate::CONNECTION_INBOUND`], [`crate::CONNECTION_LATE`].
    pub flags: u64,
}

/// Length of the array `PLACES`. A power of two.
pub const SOCKET_PLACES: u32 = 65_536;

/// Value of the array `PLACES`: room for one connection that was counted as open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Place {
    /// How many have ever claimed it; who did not get it takes that back.
    pub claimed: u32,
    /// How many have had it and left: as many as have claimed it when it is free. Both begin again at 0 after 2^32.
    pub left: u32,
    /// Address of the kernel socket; 0 when it is free.
    pub key: u64,
    /// The connection.
    pub socket: Socket,
}

/// Key of the map `LISTENERS`: a port that something listened on when the agent looked. The value is the number of that
/// look, see [`FromAgent::seeding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Listener {
    /// Inode number of the network namespace.
    pub netns: u32,
    /// The port.
    pub port: u32,
}

/// What the agent tells the programs. Kept as their data, which costs them a load and no lookup. Written by the agent alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FromAgent {
    /// How many containers are to be watched.
    pub watched: u64,
    /// Number of the seeding that goes on, 0 while none does.
    pub seeding: u64,
}

/// What the programs tell the agent, and each other. Written by them alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FromPrograms {
    /// How many connections were seeded, ever.
    pub seeded: u64,
    /// Inode number of the host's network namespace, 0 while it is not known.
    pub host_netns: u64,
    /// How many entries the map `SOCKETS` has, or is about to have.
    pub sockets: u64,
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
