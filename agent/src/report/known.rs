//! The contract's pods that run, as the agent knows them.

use serde::{Deserialize, Serialize};

use super::{Time, Word, Workload};

/// A pod of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KnownPod {
    /// The pod's uid as the kubelet and its cgroup have it.
    pub uid: String,
    /// `None` while no source has told of the pod; the same for `pod`, `node` and `workload`.
    pub namespace: Option<String>,
    /// The pod's name.
    pub pod: Option<String>,
    /// The node's name.
    pub node: Option<String>,
    /// What owns the pod.
    pub workload: Option<Workload>,
    /// Who lists the pod now: `kubernetes`, `cri`, `file`, `state`, the most trusted first. Empty when it is known from
    /// its cgroups alone, or when those who told of it do not list it any more.
    pub sources: Vec<Word>,
    /// When Kubernetes was asked to delete it. Whole seconds.
    pub requested: Option<Time>,
    /// Why it is being ended, as far as the sources say: see [`crate::model::Reason`].
    pub reason: Option<Word>,
    /// The effective grace period.
    pub grace_period_seconds: Option<u64>,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// It has no network of its own.
    pub host_network: Option<bool>,
    /// The id of its termination that goes on, if one does.
    pub termination: Option<String>,
    /// Its containers: those of the spec, and those whose cgroups are there.
    pub containers: Vec<KnownContainer>,
}

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KnownContainer {
    /// Name in the pod, if the pod is known.
    pub name: Option<String>,
    /// The runtime's id, once it has one.
    pub id: Option<String>,
    /// Image, if the pod is known.
    pub image: Option<String>,
    /// `app`, `sidecar`, `init`, `ephemeral`, or `sandbox` for the one that holds the pod's namespaces.
    pub role: Word,
    /// The kernel's number of its cgroup, if the agent watches it.
    pub cgroup: Option<u64>,
    /// Whether it was there before the agent; `None` if the agent does not watch it.
    pub older_than_agent: Option<bool>,
    /// What is done before it is stopped, if something is. What exactly is in its spec, and may be a secret.
    pub pre_stop: Option<PreStop>,
    /// The signal that it is stopped with, if the pod is known.
    pub stop_signal: Option<String>,
}

/// A preStop handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PreStop {
    /// `exec`, `http`, `sleep` or `tcp`.
    pub handler: Word,
    /// How long a `sleep` takes; `None` for the others.
    pub seconds: Option<u64>,
}
