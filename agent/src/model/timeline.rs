//! The timeline of a termination: what the correlator decides, what every output shows.

use std::sync::Arc;
use std::time::Duration;

use super::{
    BootTime, Connections, ContainerId, Finding, Missed, Pid, PodUid, Role, Signal, TerminationId, Unseen, WaitStatus,
    WallClock, WallTime, Workload,
};

/// The termination of a pod, or of some of its containers when the pod itself stays. Durations are of boot time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Stable over the life of the termination.
    pub id: TerminationId,
    /// The pod's uid as cgroup paths carry it.
    pub uid: PodUid,
    /// Namespace, name, node and workload: `None` while no source has told of the pod.
    pub namespace: Option<Arc<str>>,
    /// See `namespace`.
    pub pod: Option<Arc<str>>,
    /// See `namespace`.
    pub node: Option<Arc<str>>,
    /// See `namespace`.
    pub workload: Option<Workload>,
    /// Why the pod's containers were ended.
    pub reason: Reason,
    /// How; `None` while it goes on.
    pub outcome: Option<Outcome>,
    /// False when records were lost while it ran, or nobody watched.
    pub complete: bool,
    /// When no agent watched, as far as that may hide a part of the termination. Sorted.
    pub unseen: Vec<Unseen>,
    /// What hooks have missed on this node since its containers became known.
    pub missed: Missed,
    /// When Kubernetes was asked to delete the pod. Whole seconds.
    pub requested: Option<WallTime>,
    /// First kernel evidence of the kubelet acting, or when a hook began that nobody can see; without any, the first exit,
    /// or the request for deletion when nothing has followed it for long.
    pub start: BootTime,
    /// The last container's cgroup is empty.
    pub end: Option<BootTime>,
    /// The effective grace period.
    pub grace_period: Option<Duration>,
    /// Whether the kubelet acted at all, as far as was seen or can be concluded: without it no grace was used.
    pub grace_started: bool,
    /// Where it stands.
    pub phase: Phase,
    /// Its containers, in the order in which they began to end.
    pub containers: Vec<ContainerTimeline>,
    /// What was found, in the order of [`super::FindingId`].
    pub findings: Vec<Finding>,
    /// For showing boot times.
    pub clock: WallClock,
}

impl Timeline {
    /// Grace used so far, up to the end or `now`. `None` when the kubelet did not act.
    pub fn grace_used(&self, now: BootTime) -> Option<Duration> {
        self.grace_started.then(|| self.end.unwrap_or(now).since(self.start))
    }

    /// Grace used by the effective grace period. Can exceed 1.
    pub fn utilization(&self, now: BootTime) -> Option<f64> {
        let grace = self.grace_period.filter(|grace| !grace.is_zero())?;
        Some(self.grace_used(now)?.as_secs_f64() / grace.as_secs_f64())
    }
}

/// One container's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerTimeline {
    /// Name in the pod, if the pod is known.
    pub name: Option<Arc<str>>,
    /// The runtime's id.
    pub id: ContainerId,
    /// Image, if the pod is known.
    pub image: Option<Arc<str>>,
    /// Its part in the pod.
    pub role: Role,
    /// How it ended; `None` while it goes on.
    pub outcome: Option<Outcome>,
    /// Where it stands.
    pub phase: Phase,
    /// The preStop hook.
    pub hook: Option<HookTimeline>,
    /// The stop signal.
    pub stop_signal: Option<StopSignal>,
    /// When SIGKILL was sent to its init from outside.
    pub killed_at: Option<BootTime>,
    /// The end of its init.
    pub exit: Option<ExitTimeline>,
    /// Its cgroup has no process any more.
    pub empty_at: Option<BootTime>,
    /// Its connections.
    pub connections: Connections,
    /// Of a sidecar that has ended, once the application has too.
    pub sidecar_lead: Option<SidecarLead>,
}

impl ContainerTimeline {
    /// From the stop signal to the init's exit.
    pub fn stop_to_exit(&self) -> Option<Duration> {
        Some(self.exit?.at.since(self.stop_signal.as_ref()?.at))
    }
}

/// A preStop hook that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookTimeline {
    /// Its kind.
    pub handler: Handler,
    /// Its first process's exec, or the request; of the first run, if the kubelet ran it again.
    pub start: BootTime,
    /// Its end; of the last run.
    pub end: Option<BootTime>,
    /// `None` while it runs; with an end, when nobody could see it.
    pub result: Option<HookResult>,
    /// The hook process's end: an exit code or a signal.
    pub status: Option<WaitStatus>,
    /// HTTP status of an `http` hook.
    pub http_status: Option<u16>,
    /// Processes it started, itself included.
    pub processes: Option<u64>,
    /// CPU time of those.
    pub cpu: Option<Duration>,
    /// Concluded from spec and times instead of seen.
    pub inferred: bool,
}

impl HookTimeline {
    /// How long it took.
    pub fn duration(&self) -> Option<Duration> {
        Some(self.end?.since(self.start))
    }
}

/// The stop signal of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSignal {
    /// Which.
    pub signal: Signal,
    /// When it was first sent.
    pub at: BootTime,
    /// What the init did with it; `None` while that cannot be told.
    pub disposition: Option<Disposition>,
    /// Who sent it.
    pub sender: Pid,
}

/// Which ended first, a sidecar or the application it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SidecarLead {
    /// The end of the sidecar's init.
    pub ended: BootTime,
    /// The end of the last main container's init: the sidecar has to outlive every one of them.
    pub application_ended: BootTime,
}

impl SidecarLead {
    /// How long the application had to do without; zero when the order was right.
    pub fn without(self) -> Duration {
        self.application_ended.since(self.ended)
    }

    /// How long the sidecar went on alone; zero when it ended first.
    pub fn alone(self) -> Duration {
        self.ended.since(self.application_ended)
    }
}

/// The end of a container's init.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitTimeline {
    /// When its last thread died.
    pub at: BootTime,
    /// How.
    pub status: WaitStatus,
    /// The OOM killer chose it, or another process of the container before it.
    pub oom: bool,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$item_doc])* $item),+ }

        impl $name {
            /// Every one.
            pub const ALL: &'static [$name] = &[$($name::$item),+];

            /// The word in JSON, labels and on the page.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$item => $word),+ }
            }
        }
    };
}

words! {
    /// How a container or pod ended, the worst last.
    Outcome {
        /// Left before any stop signal.
        Completed = "completed",
        /// Left after the stop signal, within its grace.
        Graceful = "graceful",
        /// Died of a signal of its own.
        Crashed = "crashed",
        /// Ended by SIGKILL from outside the pod.
        Forced = "forced",
        /// Ended by the OOM killer.
        Oom = "oom",
        /// Records were lost while it ran; what is shown may be wrong.
        Incomplete = "incomplete",
    }
}

words! {
    /// Where a container or pod stands.
    Phase {
        /// Nothing happened yet.
        Running = "running",
        /// The preStop hook runs.
        InHook = "in_hook",
        /// The stop signal was sent.
        Stopping = "stopping",
        /// SIGKILL was sent.
        Killed = "killed",
        /// The init is gone.
        Exited = "exited",
        /// The cgroup has no process any more.
        Empty = "empty",
    }
}

words! {
    /// Why the pod's containers were ended.
    Reason {
        /// The pod was deleted.
        Deletion = "deletion",
        /// Evicted by the kubelet or through the API.
        Eviction = "eviction",
        /// Made room for a pod of higher priority.
        Preemption = "preemption",
        /// The node shut down.
        NodeShutdown = "node_shutdown",
        /// A liveness or startup probe failed; the pod stays.
        ProbeFailure = "probe_failure",
        /// The OOM killer.
        Oom = "oom",
        /// Nothing says why.
        Unknown = "unknown",
    }
}

words! {
    /// The kind of a preStop handler.
    Handler {
        /// A command in the container.
        Exec = "exec",
        /// A request by the kubelet.
        Http = "http",
        /// The kubelet waits.
        Sleep = "sleep",
    }
}

words! {
    /// How a hook ended.
    HookResult {
        /// Exit code 0, or a status below 400.
        Success = "success",
        /// Another exit code, or killed by a signal while its container lived; another status, or no connection.
        Failed = "failed",
        /// Still running when the stop signal came.
        Timeout = "timeout",
        /// Its container died under it.
        Interrupted = "interrupted",
    }
}

words! {
    /// What an init did with the stop signal.
    Disposition {
        /// A handler ran, or it waited for the signal.
        Handled = "handled",
        /// It has none and died of it.
        Default = "default",
        /// Ignored: `SIG_IGN`, or no handler in the init of a pid namespace.
        Ignored = "ignored",
    }
}
