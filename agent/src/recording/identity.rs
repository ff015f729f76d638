//! What identity sources said, as it stands in a recording.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::identity::{FoundCgroup, InitProcess, Source, Update};
use crate::model::{
    CgroupId, Comm, ContainerId, ContainerSpec, LifecycleHandler, Pid, Pod, PodUid, Probe, ProbeKind, Reason, Role,
    Signal, WallTime, Workload,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum UpdateLine {
    Pods { source: SourceLine, pods: Vec<PodLine> },
    Pod { source: SourceLine, pod: Box<PodLine> },
    PodGone { source: SourceLine, uid: String },
    Explained { uid: String, reason: ReasonLine },
    Cgroups { root: u64, found: Vec<FoundLine>, complete: bool },
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceLine {
    State,
    Cri,
    File,
    Kubernetes,
}

/// Those that a source can give.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReasonLine {
    Deletion,
    Eviction,
    Preemption,
    NodeShutdown,
    ProbeFailure,
    Oom,
    Unknown,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FoundLine {
    id: u64,
    parent: u64,
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<(u32, [u8; 16])>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PodLine {
    uid: String,
    namespace: Arc<str>,
    name: Arc<str>,
    node: Option<Arc<str>>,
    workload_kind: Arc<str>,
    workload_name: Arc<str>,
    /// Nanoseconds since 1970.
    requested: Option<i64>,
    /// Nanoseconds.
    grace_period: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<ReasonLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<IpAddr>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    host_network: bool,
    containers: Vec<ContainerLine>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ContainerLine {
    name: Arc<str>,
    id: Option<String>,
    image: Arc<str>,
    role: RoleLine,
    pre_stop: Option<LifecycleHandlerLine>,
    stop_signal: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    post_start: Option<LifecycleHandlerLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_stop_signal: Option<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    probes: Vec<ProbeLine>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ProbeLine {
    kind: ProbeKindLine,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProbeKindLine {
    Liveness,
    Readiness,
    Startup,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RoleLine {
    App,
    Sidecar,
    Init,
    Ephemeral,
    Sandbox,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LifecycleHandlerLine {
    Exec(Vec<String>),
    Http {
        path: String,
        port: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        https: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
    /// Nanoseconds.
    Sleep(u64),
    Tcp,
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl From<&Update> for UpdateLine {
    fn from(update: &Update) -> UpdateLine {
        match update {
            Update::Pods { source, pods } => {
                UpdateLine::Pods { source: (*source).into(), pods: pods.iter().map(PodLine::from).collect() }
            }
            Update::Pod { source, pod } => {
                UpdateLine::Pod { source: (*source).into(), pod: Box::new(PodLine::from(&**pod)) }
            }
            Update::PodGone { source, uid } => {
                UpdateLine::PodGone { source: (*source).into(), uid: uid.as_str().to_owned() }
            }
            Update::Explained { uid, reason } => {
                UpdateLine::Explained { uid: uid.as_str().to_owned(), reason: (*reason).into() }
            }
            Update::Cgroups { root, found, complete } => UpdateLine::Cgroups {
                root: root.0,
                found: found.iter().map(FoundLine::from).collect(),
                complete: *complete,
            },
        }
    }
}

impl From<UpdateLine> for Update {
    fn from(line: UpdateLine) -> Update {
        match line {
            UpdateLine::Pods { source, pods } => {
                Update::Pods { source: source.into(), pods: pods.into_iter().map(Pod::from).collect() }
            }
            UpdateLine::Pod { source, pod } => Update::Pod { source: source.into(), pod: Box::new(Pod::from(*pod)) },
            UpdateLine::PodGone { source, uid } => Update::PodGone { source: source.into(), uid: PodUid::new(uid) },
            UpdateLine::Explained { uid, reason } => Update::Explained { uid: PodUid::new(uid), reason: reason.into() },
            UpdateLine::Cgroups { root, found, complete } => Update::Cgroups {
                root: CgroupId(root),
                found: found.into_iter().map(FoundCgroup::from).collect(),
                complete,
            },
        }
    }
}

impl From<&FoundCgroup> for FoundLine {
    fn from(found: &FoundCgroup) -> FoundLine {
        FoundLine {
            id: found.id.0,
            parent: found.parent.0,
            path: found.path.clone(),
            init: found.init.map(|init| (init.pid.0, init.comm.0)),
        }
    }
}

impl From<FoundLine> for FoundCgroup {
    fn from(line: FoundLine) -> FoundCgroup {
        FoundCgroup {
            id: CgroupId(line.id),
            parent: CgroupId(line.parent),
            path: line.path,
            init: line.init.map(|(pid, comm)| InitProcess { pid: Pid(pid), comm: Comm(comm) }),
        }
    }
}

impl From<&Pod> for PodLine {
    fn from(pod: &Pod) -> PodLine {
        PodLine {
            uid: pod.uid.as_str().to_owned(),
            namespace: Arc::clone(&pod.namespace),
            name: Arc::clone(&pod.name),
            node: pod.node.clone(),
            workload_kind: Arc::clone(&pod.workload.kind),
            workload_name: Arc::clone(&pod.workload.name),
            requested: pod.requested.map(|at| at.0),
            grace_period: pod.grace_period.map(nanoseconds),
            reason: pod.reason.map(ReasonLine::from),
            addresses: pod.addresses.clone(),
            host_network: pod.host_network,
            containers: pod.containers.iter().map(ContainerLine::from).collect(),
        }
    }
}

impl From<PodLine> for Pod {
    fn from(line: PodLine) -> Pod {
        Pod {
            uid: PodUid::new(line.uid),
            namespace: line.namespace,
            name: line.name,
            node: line.node,
            workload: Workload { kind: line.workload_kind, name: line.workload_name },
            requested: line.requested.map(WallTime),
            grace_period: line.grace_period.map(Duration::from_nanos),
            reason: line.reason.map(Reason::from),
            addresses: line.addresses,
            host_network: line.host_network,
            containers: line.containers.into_iter().map(ContainerSpec::from).collect(),
        }
    }
}

impl From<&ContainerSpec> for ContainerLine {
    fn from(spec: &ContainerSpec) -> ContainerLine {
        ContainerLine {
            name: Arc::clone(&spec.name),
            id: spec.id.as_ref().map(|id| id.as_str().to_owned()),
            image: Arc::clone(&spec.image),
            role: spec.role.into(),
            pre_stop: spec.pre_stop.as_ref().map(LifecycleHandlerLine::from),
            stop_signal: spec.stop_signal.map(|signal| signal.0),
            post_start: spec.post_start.as_ref().map(LifecycleHandlerLine::from),
            image_stop_signal: spec.image_stop_signal.map(|signal| signal.0),
            probes: spec.probes.iter().map(ProbeLine::from).collect(),
        }
    }
}

impl From<ContainerLine> for ContainerSpec {
    fn from(line: ContainerLine) -> ContainerSpec {
        ContainerSpec {
            name: line.name,
            id: line.id.map(ContainerId::new),
            image: line.image,
            role: line.role.into(),
            pre_stop: line.pre_stop.map(LifecycleHandler::from),
            stop_signal: line.stop_signal.map(Signal),
            post_start: line.post_start.map(LifecycleHandler::from),
            image_stop_signal: line.image_stop_signal.map(Signal),
            probes: line.probes.into_iter().map(Probe::from).collect(),
        }
    }
}

impl From<&LifecycleHandler> for LifecycleHandlerLine {
    fn from(handler: &LifecycleHandler) -> LifecycleHandlerLine {
        match handler {
            LifecycleHandler::Exec(command) => LifecycleHandlerLine::Exec(command.clone()),
            LifecycleHandler::Http { https, host, port, path } => {
                LifecycleHandlerLine::Http { path: path.clone(), port: port.clone(), https: *https, host: host.clone() }
            }
            LifecycleHandler::Sleep(duration) => LifecycleHandlerLine::Sleep(nanoseconds(*duration)),
            LifecycleHandler::Tcp => LifecycleHandlerLine::Tcp,
        }
    }
}

impl From<LifecycleHandlerLine> for LifecycleHandler {
    fn from(line: LifecycleHandlerLine) -> LifecycleHandler {
        match line {
            LifecycleHandlerLine::Exec(command) => LifecycleHandler::Exec(command),
            LifecycleHandlerLine::Http { path, port, https, host } => {
                LifecycleHandler::Http { https, host, port, path }
            }
            LifecycleHandlerLine::Sleep(duration) => LifecycleHandler::Sleep(Duration::from_nanos(duration)),
            LifecycleHandlerLine::Tcp => LifecycleHandler::Tcp,
        }
    }
}

impl From<&Probe> for ProbeLine {
    fn from(probe: &Probe) -> ProbeLine {
        ProbeLine { kind: probe.kind.into(), command: probe.command.clone() }
    }
}

impl From<ProbeLine> for Probe {
    fn from(line: ProbeLine) -> Probe {
        Probe { kind: line.kind.into(), command: line.command }
    }
}

/// Both ways between two enums with the same variants.
macro_rules! same_words {
    ($line:ident = $model:ident { $($variant:ident),+ $(,)? }) => {
        impl From<$model> for $line {
            fn from(it: $model) -> $line {
                match it { $($model::$variant => $line::$variant),+ }
            }
        }

        impl From<$line> for $model {
            fn from(it: $line) -> $model {
                match it { $($line::$variant => $model::$variant),+ }
            }
        }
    };
}

same_words!(SourceLine = Source { State, Cri, File, Kubernetes });
same_words!(ReasonLine = Reason { Deletion, Eviction, Preemption, NodeShutdown, ProbeFailure, Oom, Unknown });
same_words!(RoleLine = Role { App, Sidecar, Init, Ephemeral, Sandbox });
same_words!(ProbeKindLine = ProbeKind { Liveness, Readiness, Startup });
