//! The ABI between the kernel programs and the agent: records, map values, globals.
//!
//! Everything here is `repr(C)` without padding (derived, so the compiler proves it) and in the byte order of the
//! machine: producer and consumer always run on the same host. No type here leaves the agent; what is written to disk
//! or sent over a network has types of its own.
#![no_std]

mod records;
mod maps;
mod globals;
mod places;

pub use globals::{Globals, MARK_VICTIM_PID, MARK_VICTIM_TASK, SOCK_CGROUP_POINTER, SOCK_CGROUP_TAGGED};
pub use maps::{
    CGROUP_FLAG_WATCHED, CGROUP_KIND_ANCESTOR, CGROUP_KIND_CONTAINER, CGROUP_KIND_KUBELET, CGROUP_KIND_NESTED,
    CGROUP_KIND_PENDING, Cgroup, Container, Entered, FromAgent, FromPrograms, Listener, Place, Request, SOCKET_PLACES,
    Socket,
};
pub use places::{
    Gone, Port, PortKey, Refusal, TALLIES, TALLY_LEFT_OUT, TALLY_PLACES, TALLY_REFUSED, TALLY_STALE, WAITING_KEPT_NS,
    WAITING_SLOTS, Waiting,
};
pub use records::{
    ARGV_LEN, COMM_LEN, CONNECTION_ABORTED, CONNECTION_CLOSED, CONNECTION_FAILED, CONNECTION_INBOUND, CONNECTION_LATE,
    CONNECTION_OPENED, CgroupEvent, CgroupMkdir, Connection, Counters, Directed, Exec, Exit, FILENAME_LEN,
    FLAG_ENTERED, FLAG_GROUP, FLAG_INIT, FLAG_TRUNCATED, Flow, HEAD_LEN, Header, Hook, HookRequest, HookResponse,
    MarkVictim, PATH_LEN, SignalDeliver, SignalGenerate,
};
