//! What Kubernetes says about a pod and its containers, as far as a termination needs it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{CgroupId, ContainerId, PodUid, Reason, Signal, WallTime};

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
    /// Why it is being ended, as far as its conditions and its status say.
    pub reason: Option<Reason>,
    /// Its addresses: where the kubelet sends probes and httpGet hooks. The node's own for a pod in the host's network.
    pub addresses: Vec<IpAddr>,
    /// It has no network namespace of its own (`hostNetwork`).
    pub host_network: bool,
    /// Its containers: app, sidecar, init, ephemeral. Of one that was restarted there may be several instances, each
    /// with an id of its own.
    pub containers: Vec<ContainerSpec>,
}

impl Pod {
    /// A pod that nothing more is known of, owned by nobody.
    pub fn new(uid: PodUid, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Pod {
        let name = name.into();
        Pod {
            uid,
            namespace: namespace.into(),
            workload: Workload { kind: "Pod".into(), name: name.clone() },
            name,
            node: None,
            requested: None,
            grace_period: None,
            reason: None,
            addresses: Vec::new(),
            host_network: false,
            containers: Vec::new(),
        }
    }
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
    pub pre_stop: Option<LifecycleHandler>,
    /// The postStart handler.
    pub post_start: Option<LifecycleHandler>,
    /// The stop signal that the spec asks for (`lifecycle.stopSignal`, KEP-4960).
    pub stop_signal: Option<Signal>,
    /// The stop signal that the image asks for (`STOPSIGNAL`).
    pub image_stop_signal: Option<Signal>,
    /// Its probes.
    pub probes: Vec<Probe>,
}

impl ContainerSpec {
    /// A main container that nothing more is known of.
    pub fn new(name: impl Into<Arc<str>>) -> ContainerSpec {
        ContainerSpec {
            name: name.into(),
            id: None,
            image: "".into(),
            role: Role::App,
            pre_stop: None,
            post_start: None,
            stop_signal: None,
            image_stop_signal: None,
            probes: Vec::new(),
        }
    }

    /// The signal that it is stopped with: the spec's beats the image's beats SIGTERM (KEP-4960).
    pub fn effective_stop_signal(&self) -> Signal {
        self.stop_signal.or(self.image_stop_signal).unwrap_or(Signal::TERM)
    }
}

/// A probe that the kubelet runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What it is for.
    pub kind: ProbeKind,
    /// The command of an `exec` probe; `None` for the others, which run no process in the container.
    pub command: Option<Vec<String>>,
}

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Failing, it gets the container killed.
    Liveness,
    /// Failing, it takes the pod out of its services.
    Readiness,
    /// Failing, it gets the container killed; the others wait for it.
    Startup,
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

/// A preStop or postStart handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifecycleHandler {
    /// `exec`: the command.
    Exec(Vec<String>),
    /// `httpGet`.
    Http {
        /// `HTTPS`: what is asked cannot be seen.
        https: bool,
        /// Where it goes; the pod itself unless the spec says otherwise.
        host: Option<String>,
        /// Number of the port, or its name if the container has none of that name.
        port: String,
        /// Path with query.
        path: String,
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
