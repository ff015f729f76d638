//! What Kubernetes says about a pod and its containers, as far as a termination needs it.

use std::sync::Arc;
use std::time::Duration;

use super::{CgroupId, ContainerId, PodUid, Signal, WallTime};

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The kubelet's uid: what cgroup paths carry.
    pub uid: PodUid,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Node it is bound to.
    pub node: Option<Arc<str>>,
    /// The workload a person would name.
    pub workload: Workload,
    /// When Kubernetes was asked to delete it: the first deletionTimestamp seen minus the grace period. Whole seconds.
    pub requested: Option<WallTime>,
    /// The effective grace period: deletionGracePeriodSeconds, else terminationGracePeriodSeconds.
    pub grace_period: Option<Duration>,
    /// Its containers: app, sidecar, init, ephemeral.
    pub containers: Vec<ContainerSpec>,
}

/// What owns a pod, as a person would name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// `Deployment`, `StatefulSet`, …; `Pod` for one that nobody owns.
    pub kind: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// One container of a pod: spec and the id of its present instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Name in the pod.
    pub name: Arc<str>,
    /// The present instance, once it has one.
    pub id: Option<ContainerId>,
    /// Image as the spec names it.
    pub image: Arc<str>,
    /// Its part in the pod.
    pub role: Role,
    /// The preStop handler.
    pub pre_stop: Option<PreStop>,
    /// The stop signal that the spec asks for (`lifecycle.stopSignal`, KEP-4960).
    pub stop_signal: Option<Signal>,
}

/// A container's part in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A main container.
    App,
    /// A native sidecar: an init container with restartPolicy Always.
    Sidecar,
    /// An init container.
    Init,
    /// An ephemeral container.
    Ephemeral,
    /// The pause container that holds the pod's namespaces. Never part of a termination.
    Sandbox,
}

/// A preStop handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreStop {
    /// `exec`: the command.
    Exec(Vec<String>),
    /// `httpGet`.
    Http {
        /// Path with query.
        path: String,
        /// Number or name of the port.
        port: String,
    },
    /// `sleep`.
    Sleep(Duration),
    /// `tcpSocket`: deprecated, fails at run time.
    Tcp,
}

/// A container's cgroup, and what is known of whose it is. Made by the identity index, handed to the correlator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerIdentity {
    /// The container's cgroup.
    pub cgroup: CgroupId,
    /// From the cgroup's path.
    pub id: ContainerId,
    /// From the cgroup's path.
    pub pod_uid: PodUid,
    /// Its part in the pod; [`Role::App`] unless something says otherwise.
    pub role: Role,
    /// The pod, once a source has told of it.
    pub pod: Option<Arc<Pod>>,
    /// The container was there before the agent: connections from before are not counted.
    pub older_than_agent: bool,
}

impl ContainerIdentity {
    /// What the pod says of this container, if the pod is known and has it.
    pub fn spec(&self) -> Option<&ContainerSpec> {
        self.pod.as_ref()?.containers.iter().find(|container| container.id.as_ref() == Some(&self.id))
    }
}
