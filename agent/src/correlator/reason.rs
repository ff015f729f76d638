//! Why the containers of a pod were ended.

use super::verdict::Verdict;
use crate::model::{ContainerIdentity, Outcome, Pod, ProbeKind, Reason};

/// Why, by what is known of the pod and by what was seen.
///
/// - What the pod's status says of an eviction, a preemption or a node that shuts down beats the deletion that it is
///   carried out with.
/// - A pod that is not being deleted stays, and the kubelet stops a container of it when a probe fails: so somebody says
///   who was asked, or such a probe was seen failing just before.
pub(super) fn reason(pod: Option<&Pod>, deleted: bool, verdicts: &[&Verdict], outcome: Option<Outcome>) -> Reason {
    let told = pod.and_then(|pod| pod.reason);
    let acted = verdicts.iter().any(|verdict| verdict.kubelet.is_some());
    match told {
        Some(reason @ (Reason::Eviction | Reason::Preemption | Reason::NodeShutdown)) => reason,
        _ if deleted => Reason::Deletion,
        Some(reason @ (Reason::Deletion | Reason::ProbeFailure)) if acted => reason,
        _ if verdicts.iter().any(|verdict| verdict.probe_failed) => Reason::ProbeFailure,
        _ if outcome == Some(Outcome::Oom) => Reason::Oom,
        _ => Reason::Unknown,
    }
}

/// Whether it is worth asking somebody: the kubelet acts on a container with a probe that may be why, the pod is not known
/// to be deleted, and nobody has said anything yet.
pub(super) fn is_open(pod: Option<&Pod>, deleted: bool, verdict: &Verdict, identity: &ContainerIdentity) -> bool {
    let unexplained = pod.is_some_and(|pod| pod.reason.is_none()) && !deleted && !verdict.probe_failed;
    let fatal = |kind: ProbeKind| matches!(kind, ProbeKind::Liveness | ProbeKind::Startup);
    let probed = identity.spec().is_some_and(|spec| spec.probes.iter().any(|probe| fatal(probe.kind)));
    unexplained && verdict.kubelet.is_some() && probed
}
