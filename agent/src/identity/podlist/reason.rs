//! Why a pod is being ended, as far as its status says.

use super::json;
use crate::model::Reason;

/// `status.reason` comes first: the kubelet's condition is the same for all that it ends itself.
pub(super) fn reason(status: &json::Status) -> Option<Reason> {
    status.reason.as_deref().and_then(of_status).or_else(|| {
        let conditions = status.conditions.iter().flatten();
        let target = conditions.filter(|condition| condition.kind.as_deref() == Some("DisruptionTarget"));
        let mut holds = target.filter(|condition| condition.status.as_deref() == Some("True"));
        holds.find_map(|condition| of_disruption(condition.reason.as_deref()?))
    })
}

/// What the kubelet says when it ends a pod of its own accord.
fn of_status(reason: &str) -> Option<Reason> {
    match reason {
        // pkg/kubelet/eviction/eviction_manager.go, `Reason`.
        "Evicted" => Some(Reason::Eviction),
        // pkg/kubelet/preemption/preemption.go: room for a critical pod.
        "Preempting" => Some(Reason::Preemption),
        // pkg/kubelet/nodeshutdown: since 1.21 a pod that ran, and one that was refused; before that both.
        "Terminated" | "NodeShutdown" | "Shutdown" => Some(Reason::NodeShutdown),
        _ => None,
    }
}

/// Reasons of the condition `DisruptionTarget` (staging/src/k8s.io/api/core/v1/types.go, `PodReason…`, and
/// <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>).
fn of_disruption(reason: &str) -> Option<Reason> {
    match reason {
        "PreemptionByScheduler" => Some(Reason::Preemption),
        // A taint with NoExecute evicts, says the documentation of taints, though it deletes.
        "EvictionByEvictionAPI" | "DeletionByTaintManager" => Some(Reason::Eviction),
        // Its node is gone, or it had ended long ago.
        "DeletionByPodGC" => Some(Reason::Deletion),
        // Node pressure, most likely: shutdown and preemption set the pod's own reason, too.
        "TerminationByKubelet" => Some(Reason::Eviction),
        _ => None,
    }
}
