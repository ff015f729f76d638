//! What identity sources said, as it stands in a recording.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::identity::{FoundCgroup, InitProcess, Source, Update};
use crate::model::{
    CgroupId, Comm, ContainerId, ContainerSpec, Pid, Pod, PodUid, PreStop, Role, Signal, WallTime, Workload,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum UpdateLine {
    Pods { source: SourceLine, pods: Vec<PodLine> },
    Cgroups { root: u64, found: Vec<FoundLine>, complete: bool },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceLine {
    File,
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
    containers: Vec<ContainerLine>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ContainerLine {
    name: Arc<str>,
    id: Option<String>,
    image: Arc<str>,
    role: RoleLine,
    pre_stop: Option<PreStopLine>,
    stop_signal: Option<u8>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RoleLine {
    App,
    Sidecar,
    Init,
    Ephemeral,
    Sandbox,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PreStopLine {
    Exec(Vec<String>),
    Http {
        path: String,
        port: String,
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
            Update::Pods { source: Source::File, pods } => {
                UpdateLine::Pods { source: SourceLine::File, pods: pods.iter().map(PodLine::from).collect() }
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
            UpdateLine::Pods { source: SourceLine::File, pods } => {
                Update::Pods { source: Source::File, pods: pods.into_iter().map(Pod::from).collect() }
            }
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
            role: match spec.role {
                Role::App => RoleLine::App,
                Role::Sidecar => RoleLine::Sidecar,
                Role::Init => RoleLine::Init,
                Role::Ephemeral => RoleLine::Ephemeral,
                Role::Sandbox => RoleLine::Sandbox,
            },
            pre_stop: spec.pre_stop.as_ref().map(|handler| match handler {
                PreStop::Exec(command) => PreStopLine::Exec(command.clone()),
                PreStop::Http { path, port } => PreStopLine::Http { path: path.clone(), port: port.clone() },
                PreStop::Sleep(duration) => PreStopLine::Sleep(nanoseconds(*duration)),
                PreStop::Tcp => PreStopLine::Tcp,
            }),
            stop_signal: spec.stop_signal.map(|signal| signal.0),
        }
    }
}

impl From<ContainerLine> for ContainerSpec {
    fn from(line: ContainerLine) -> ContainerSpec {
        ContainerSpec {
            name: line.name,
            id: line.id.map(ContainerId::new),
            image: line.image,
            role: match line.role {
                RoleLine::App => Role::App,
                RoleLine::Sidecar => Role::Sidecar,
                RoleLine::Init => Role::Init,
                RoleLine::Ephemeral => Role::Ephemeral,
                RoleLine::Sandbox => Role::Sandbox,
            },
            pre_stop: line.pre_stop.map(|handler| match handler {
                PreStopLine::Exec(command) => PreStop::Exec(command),
                PreStopLine::Http { path, port } => PreStop::Http { path, port },
                PreStopLine::Sleep(duration) => PreStop::Sleep(Duration::from_nanos(duration)),
                PreStopLine::Tcp => PreStop::Tcp,
            }),
            stop_signal: line.stop_signal.map(Signal),
        }
    }
}
