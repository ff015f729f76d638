//! What a person would name: not the ReplicaSet but its Deployment, not the Job but its CronJob. By names alone, as the
//! controllers build them, so that no further object has to be asked for.

use std::sync::Arc;

use super::json;
use crate::model::Workload;

/// What controllers put between their own name and a ReplicaSet's: the label says which hash, the kind who.
const TEMPLATE_HASHES: [(&str, &str); 2] =
    // Deployments (pkg/controller/deployment/sync.go, `getNewReplicaSet`), and Rollouts of Argo, which do the same.
    [("pod-template-hash", "Deployment"), ("rollouts-pod-template-hash", "Rollout")];

pub(super) fn workload(metadata: &json::Metadata, spec: &json::Spec, pod: &Arc<str>) -> Workload {
    let of = |kind: &str, name: &str| Workload { kind: kind.into(), name: name.into() };
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let Some((kind, name)) = owner.and_then(|owner| owner.kind.as_deref().zip(owner.name.as_deref())) else {
        return of("Pod", pod);
    };
    match kind {
        // A static pod's mirror is owned by its node, and the kubelet ends its name with the node's
        // (pkg/kubelet/config/common.go, `generatePodName`): without it, it is the same on every node.
        "Node" => {
            let node = spec.node_name.as_deref().unwrap_or(name).to_lowercase();
            let file = pod.strip_suffix(&node).and_then(|rest| rest.strip_suffix('-'));
            of("Pod", file.filter(|file| !file.is_empty()).unwrap_or(pod))
        }
        "ReplicaSet" => {
            let label = |key: &str| metadata.labels.as_ref()?.get(key)?.as_deref().filter(|hash| !hash.is_empty());
            let found = TEMPLATE_HASHES.iter().find_map(|(key, kind)| {
                let above = name.strip_suffix(label(key)?)?.strip_suffix('-')?;
                (!above.is_empty()).then(|| of(kind, above))
            });
            found.unwrap_or_else(|| of(kind, name))
        }
        // The CronJob controller ends the name with the scheduled minute since 1970, formerly second.
        "Job" => match name.rsplit_once('-') {
            Some((cron, minute))
                if !cron.is_empty() && minute.len() >= 8 && minute.bytes().all(|b| b.is_ascii_digit()) =>
            {
                of("CronJob", cron)
            }
            _ => of(kind, name),
        },
        _ => of(kind, name),
    }
}
