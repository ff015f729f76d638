//! The JSON contract. Fields are added, never renamed; a reader passes over what it does not know, words included.
//! `null` is "not measured" or "not yet", never 0. Times are wall-clock, durations are seconds of boot time.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Time;
use crate::model::{Direction, Role};

/// A word of a closed list (`graceful`, `in_hook`, …). Text here, so that an older reader takes a newer writer's words.
pub type Word = Cow<'static, str>;

/// Events that the kernel left out at most: it does not run a hook's program again on a CPU where it is interrupted or
/// preempted. Nobody can tell whose they were, so that the counts of any termination may be short by so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Missed {
    /// Changes of connections, and clients that were refused.
    pub connections: u64,
    /// Whatever happened to processes and cgroups.
    pub processes: u64,
}

impl From<crate::model::Missed> for Missed {
    fn from(of: crate::model::Missed) -> Missed {
        Missed { connections: of.connections, processes: of.processes }
    }
}

/// One termination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Termination {
    /// Stable over the life of the termination, and in a replay.
    pub id: String,
    /// `None` while no source has told of the pod; the same for `pod`, `node` and `workload`.
    pub namespace: Option<String>,
    /// The pod's name.
    pub pod: Option<String>,
    /// The pod's uid as the kubelet and its cgroup have it.
    pub uid: String,
    /// The node's name.
    pub node: Option<String>,
    /// What owns the pod.
    pub workload: Option<Workload>,
    /// Why it was ended: see [`crate::model::Reason`].
    pub reason: Word,
    /// How it ended, `None` while it goes on: see [`crate::model::Outcome`].
    pub outcome: Option<Word>,
    /// False when records were lost while it ran, or the agent was away.
    pub complete: bool,
    /// From when to when no agent watched, as far as that may hide a part of the termination: the agent was restarted.
    /// Left out when there is no such time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<(Time, Time)>,
    /// What hooks may have missed on this node since the pod's containers became known, up to its end. Left out when they
    /// have missed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
    /// When Kubernetes was asked to delete the pod. Whole seconds.
    pub requested: Option<Time>,
    /// First kernel evidence of the kubelet acting, or when a hook began that nobody can see; without any, the first exit,
    /// or the request for deletion when nothing has followed it for long.
    pub start: Time,
    /// The last container's cgroup was empty; `None` while it goes on.
    pub end: Option<Time>,
    /// The effective grace period. Kubernetes has whole seconds only.
    pub grace_period_seconds: Option<u64>,
    /// From `start` to `end`, or to now. `None` when the kubelet did not act.
    pub grace_used_seconds: Option<f64>,
    /// Grace used by the grace period. Can exceed 1.
    pub utilization: Option<f64>,
    /// Where it stands: see [`crate::model::Phase`].
    pub phase: Word,
    /// Its containers, in the order in which they began to end.
    pub containers: Vec<Container>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// What owns a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Workload {
    /// `Deployment`, `StatefulSet`, …; `Pod` when nobody owns it.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// One container's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Container {
    /// Name in the pod, if the pod is known.
    pub name: Option<String>,
    /// The runtime's id.
    pub id: String,
    /// Image, if the pod is known.
    pub image: Option<String>,
    /// `app`, `sidecar`, `init` or `ephemeral`.
    pub role: Word,
    /// How it ended, `None` while it goes on.
    pub outcome: Option<Word>,
    /// The preStop hook, if one ran.
    pub hook: Option<Hook>,
    /// The stop signal, if one was sent.
    pub stop_signal: Option<StopSignal>,
    /// When SIGKILL was sent to its init from outside.
    pub killed_at: Option<Time>,
    /// The end of its init.
    pub exit: Option<Exit>,
    /// From the stop signal to the init's exit.
    pub stop_to_exit_seconds: Option<f64>,
    /// Its connections.
    pub connections: Connections,
    /// Where it stands.
    #[serde(default)]
    pub phase: Word,
    /// Its cgroup has no process any more.
    #[serde(default)]
    pub empty_at: Option<Time>,
    /// Of a sidecar: how long before the application's end it had ended. Positive is a fault, for so long the application
    /// had to do without; negative is how long the sidecar went on alone. With several main containers the last one to
    /// end counts: the sidecar has to outlive every one of them. `None` for everything but a sidecar, and while one of the
    /// two runs.
    #[serde(default)]
    pub sidecar_lead_seconds: Option<f64>,
}

/// A preStop hook that ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hook {
    /// `exec`, `http` or `sleep`.
    pub handler: Word,
    /// When it began.
    pub start: Time,
    /// When it ended.
    pub end: Option<Time>,
    /// How long it took.
    pub duration_seconds: Option<f64>,
    /// How it ended: see [`crate::model::HookResult`]. `None` while it runs; with an
    /// end, when nobody could see it.
    pub result: Option<Word>,
    /// The exit code as a runtime reports it: 128 and the signal when a signal killed it.
    pub exit_code: Option<u8>,
    /// The status of the answer to an `http` hook.
    pub http_status: Option<u16>,
    /// Processes it started, itself included.
    pub processes: Option<u64>,
    /// CPU time of those.
    pub cpu_seconds: Option<f64>,
    /// Concluded from spec and times instead of seen.
    pub inferred: bool,
}

/// The stop signal of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StopSignal {
    /// `SIGTERM`, …
    pub name: String,
    /// When it was first sent.
    pub at: Time,
    /// What the init did with it: see [`crate::model::Disposition`]. `None` while that cannot be told.
    pub disposition: Option<Word>,
}

/// The end of a container's init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Exit {
    /// When its last thread died.
    pub at: Time,
    /// The exit code, if it left by itself.
    pub code: Option<u8>,
    /// The signal that killed it, if one did.
    pub signal: Option<String>,
    /// Whether the OOM killer had a part in it.
    pub oom: bool,
}

/// Connections of a container in the termination. Those within the pod and those of the kubelet are in none of these but
/// their own counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Connections {
    /// Open at start.
    pub at_start: Option<Count>,
    /// Opened from start to the init's exit.
    pub opened: Option<Count>,
    /// Open when the init exited or was killed.
    pub zombie: Option<Count>,
    /// Ended by a reset or a timeout since start, also by the end of the container.
    pub aborted: Option<u64>,
    /// Inbound, established after the stop signal. No fault by itself: where no other endpoint is ready, Kubernetes sends
    /// traffic to terminating ones (KEP-1669).
    pub late: Option<u64>,
    /// Refused since start because nothing listened any more, as far as it was seen before the cgroup was gone.
    pub refused: Option<u64>,
    /// From start to the last new inbound connection.
    pub traffic_tail_seconds: Option<f64>,
    /// Whose connections changed while it was terminating: those cut first, then those late, then by number.
    pub peers: Option<Vec<Peer>>,
    /// Seconds since the termination's start, and how many inbound ones were open from then on. Thinned out to 64 points;
    /// first, last, least and most are kept.
    pub curve: Option<Vec<(f64, u64)>>,
    /// The container is older than the agent, or the agent was away: what it had open before is missing here.
    #[serde(default)]
    pub partial: bool,
    /// Of `refused`, those after the init's exit.
    #[serde(default)]
    pub refused_after_exit: Option<u64>,
    /// From start to the last one refused.
    #[serde(default)]
    pub refused_tail_seconds: Option<f64>,
    /// Refused in the container's whole life because nothing listened yet.
    #[serde(default)]
    pub startup_refused: Option<u64>,
    /// Outbound ones that could not be established, from start to the init's exit.
    #[serde(default)]
    pub outbound_failed: Option<u64>,
    /// Of those, the ones after the end of the pod's first sidecar to end; `None` where none ended before the container.
    #[serde(default)]
    pub outbound_failed_after_sidecar: Option<u64>,
    /// Accepted from the pod itself, from start to the init's exit.
    #[serde(default)]
    pub internal: Option<u64>,
    /// Accepted from the kubelet (probes, httpGet hooks), from start to the init's exit.
    #[serde(default)]
    pub kubelet: Option<u64>,
    /// The sums of peers that are not in `peers`, where there are any: one for each direction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_peers: Vec<OtherPeers>,
}

/// A count by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Count {
    /// From a client.
    pub inbound: u64,
    /// To a server.
    pub outbound: u64,
}

/// The other end of connections: a client, whatever its ports, or a server's port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Peer {
    /// Address and port; of a client that used several ports, the address.
    pub address: String,
    /// `inbound` or `outbound`.
    pub direction: Word,
    /// At least one was cut.
    pub zombie: bool,
    /// At least one came after the stop signal.
    pub late: bool,
    /// The container's port, if it was one for all.
    #[serde(default)]
    pub local_port: Option<u16>,
    /// Their numbers.
    #[serde(flatten)]
    pub tally: Tally,
}

/// Peers that are not listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OtherPeers {
    /// `inbound` or `outbound`.
    pub direction: Word,
    /// How many; one that was left out and came again counts again.
    pub peers: u64,
    /// Their numbers.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What became of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Tally {
    /// Established ones, as far as they were told of.
    pub connections: u64,
    /// Of those, open when the init exited or was killed.
    pub cut: u64,
    /// Of those, established after the stop signal.
    pub late_connections: u64,
    /// Of those, ended by a reset or a timeout.
    pub aborted: u64,
    /// Outbound ones that could not be established; in none of the other numbers.
    pub failed: u64,
    /// Bytes of data received over those that have closed.
    pub received_bytes: u64,
    /// Bytes of data sent and acknowledged over those that have closed.
    pub sent_bytes: u64,
}

/// What went wrong, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// Stable id: see [`crate::model::FindingId`].
    pub id: Word,
    /// The container it is about; `None` for the pod.
    pub container: Option<String>,
    /// What happened, with its numbers.
    pub message: String,
    /// What to change.
    pub advice: String,
}

/// The contract's word for a role.
pub fn role_word(role: Role) -> &'static str {
    match role {
        Role::App => "app",
        Role::Sidecar => "sidecar",
        Role::Init => "init",
        Role::Ephemeral => "ephemeral",
        Role::Sandbox => "sandbox",
    }
}

/// The contract's word for a direction.
pub fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}
