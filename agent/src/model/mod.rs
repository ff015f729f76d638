//! Pure values that everything else speaks in: ids, times, what the kernel saw, what a pod is, and the timeline of a
//! termination. No IO, no clock, no serialization.
#![forbid(unsafe_code)]

mod id;
mod time;
mod signal;
mod event;
mod pod;
mod sight;
mod missed;
mod timeline;
mod connections;
mod finding;
mod saved;

pub use connections::{Connections, Directions, OtherPeers, Peer, Peers, Tally};
pub use event::{
    Argv, Comm, Connection, ConnectionChange, Counters, Direction, Event, Exec, Exit, Flow, HookRequest, Kind,
    SignalDelivered, SignalSent, WaitStatus,
};
pub use finding::{Finding, FindingId};
pub use id::{CgroupId, CgroupKind, ContainerId, Pid, PodUid, TerminationId};
pub use missed::Missed;
pub use pod::{ContainerIdentity, ContainerSpec, LifecycleHandler, Pod, Probe, ProbeKind, Role, Workload};
pub use saved::{Saved, SavedContainer, SavedPeer, SavedPeers, SavedPod, SavedTally, Unseen};
pub use sight::Sight;
pub use signal::Signal;
pub use time::{BootTime, WallClock, WallTime};
pub use timeline::{
    ContainerTimeline, Disposition, ExitTimeline, Handler, HookResult, HookTimeline, Outcome, Phase, Reason,
    SidecarLead, StopSignal, Timeline,
};
