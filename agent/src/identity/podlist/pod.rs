//! One pod.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::container::containers;
use super::json;
use super::reason::reason;
use super::workload::workload;
use crate::model::{Pod, PodUid, WallTime};

/// Static pods: what the kubelet calls the pod, while the API's mirror of it has another uid
/// (pkg/kubelet/types/pod_update.go, `ConfigMirrorAnnotationKey`).
const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
/// The same hash in the kubelet's own view (`ConfigHashAnnotationKey`).
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// What a pod gets that does not say (pkg/apis/core/v1/defaults.go, `SetDefaults_PodSpec`).
const DEFAULT_GRACE: i64 = 30;

pub(super) fn pod(item: json::Pod) -> Result<Pod, String> {
    if let Some(kind) = item.kind.as_deref().filter(|kind| *kind != "Pod") {
        return Err(format!("is a {kind}, not a Pod"));
    }
    let metadata = item.metadata.unwrap_or_default();
    let annotation = |key: &str| metadata.annotations.as_ref()?.get(key)?.clone().filter(|value| !value.is_empty());
    let uid = annotation(CONFIG_MIRROR)
        .or_else(|| metadata.uid.clone().filter(|uid| !uid.is_empty()))
        .or_else(|| annotation(CONFIG_HASH))
        .ok_or("has no metadata.uid")?;
    let name: Arc<str> = metadata.name.clone().filter(|name| !name.is_empty()).ok_or("has no metadata.name")?.into();
    let spec = item.spec.unwrap_or_default();
    let status = item.status.unwrap_or_default();

    let (requested, grace) = deletion(&metadata, &spec, &status);
    // Deleting the mirror of a static pod ends nothing: the kubelet makes another.
    let requested = requested.filter(|_| annotation(CONFIG_MIRROR).is_none());
    let host_network = spec.host_network.unwrap_or(false);
    Ok(Pod {
        uid: PodUid::new(uid),
        namespace: metadata
            .namespace
            .clone()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "default".into())
            .into(),
        workload: workload(&metadata, &spec, &name),
        name,
        node: spec.node_name.clone().filter(|name| !name.is_empty()).map(Arc::from),
        requested,
        grace_period: Some(grace),
        reason: reason(&status),
        addresses: addresses(&status, host_network),
        host_network,
        containers: containers(spec, &status),
    })
}

/// When the deletion was asked for, and the effective grace period.
fn deletion(metadata: &json::Metadata, spec: &json::Spec, status: &json::Status) -> (Option<WallTime>, Duration) {
    let grace = spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE);
    match (&metadata.deletion_timestamp, metadata.deletion_grace_period_seconds) {
        // The kubelet's last write, when all has ended, sets the grace to 0 and the timestamp to its own moment
        // (pkg/kubelet/status/status_manager.go, `syncPod`): it says nothing of the termination any more.
        (Some(_), Some(0)) if status.has_ended() => (None, effective(grace)),
        (Some(at), deletion_grace) => {
            let grace = deletion_grace.unwrap_or(grace);
            (seconds_before(at, grace), effective(grace))
        }
        (None, _) => (None, effective(grace)),
    }
}

/// A negative grace is one second (pkg/registry/core/pod/strategy.go, `CheckGracefulDelete`), and so is none: the
/// kubelet grants what it runs at least that (pkg/kubelet/pod_workers.go, `calculateEffectiveGracePeriod`).
fn effective(grace: i64) -> Duration {
    Duration::from_secs(u64::try_from(grace).unwrap_or(1).max(1))
}

fn seconds_before(timestamp: &str, grace: i64) -> Option<WallTime> {
    let at: jiff::Timestamp = timestamp.parse().ok()?;
    let nanoseconds = at.as_nanosecond() - i128::from(grace.max(0)) * 1_000_000_000;
    i64::try_from(nanoseconds).ok().map(WallTime)
}

/// The pod's own, or the node's for one in the host's network, which has no others.
fn addresses(status: &json::Status, host_network: bool) -> Vec<IpAddr> {
    let all = |list: &Option<Vec<json::Address>>, one: &Option<String>| {
        let mut found: Vec<IpAddr> = Vec::new();
        let listed = list.iter().flatten().filter_map(|address| address.ip.as_deref());
        for address in listed.chain(one.as_deref()).filter_map(|text| text.parse().ok()) {
            if !found.contains(&address) {
                found.push(address);
            }
        }
        found
    };
    let own = all(&status.pod_ips, &status.pod_ip);
    if own.is_empty() && host_network { all(&status.host_ips, &status.host_ip) } else { own }
}
