//! Whose a series is, and how many may have series of their own.
//!
//! `workload` is the workload's name without its kind, as people query for it; two workloads of one name in a namespace
//! share their series. Pods that nobody owns share one label: theirs would be the pod's name, of which there is no end.
//! No Kubernetes name can begin with an underscore, so the values below stand for nothing else.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;

use super::series::Total;
use crate::model::{Timeline, Workload};

/// No source has told of the pod, or of the container's name.
const UNKNOWN: &str = "_unknown";
/// The pod has no owner.
const UNOWNED: &str = "_unowned";
/// There are too many others.
const OVERFLOW: &str = "_overflow";

/// The pod's part of the labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub(super) struct PodScope {
    namespace: Arc<str>,
    workload: Arc<str>,
}

/// The container's part of the labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub(super) struct ContainerScope {
    #[prometheus(flatten)]
    pod: PodScope,
    container: Arc<str>,
}

/// The label of an exemplar.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PodUidLabel {
    pod_uid: Arc<str>,
}

impl PodUidLabel {
    /// Names and values of an exemplar's labels together are 128 characters at most (OpenMetrics 1.0, "Exemplars").
    const MAX_BYTES: usize = 100;

    pub(super) fn of(timeline: &Timeline) -> Option<PodUidLabel> {
        let uid = timeline.uid.as_str();
        (uid.len() <= Self::MAX_BYTES).then(|| PodUidLabel { pod_uid: uid.into() })
    }
}

/// Decides who has series of its own. A workload or container that was let in keeps all of its series, however many
/// there are by then: they are few, and a rate over two of them must find both. New ones are let in while there is room.
#[derive(Debug)]
pub(super) struct Scopes {
    max_series: usize,
    total: Total,
    pods: Mutex<BTreeSet<PodScope>>,
    containers: Mutex<BTreeSet<ContainerScope>>,
    overflow: Counter,
}

impl Scopes {
    /// `overflow` counts what was counted under the common label.
    pub(super) fn new(max_series: usize, total: &Total, overflow: Counter) -> Scopes {
        Scopes { max_series, total: total.clone(), pods: Mutex::default(), containers: Mutex::default(), overflow }
    }

    /// The labels of a pod's series.
    pub(super) fn pod(&self, timeline: &Timeline) -> PodScope {
        self.pod_of(timeline.namespace.as_ref(), timeline.workload.as_ref())
    }

    /// The same of a pod that is not being terminated.
    pub(super) fn pod_of(&self, namespace: Option<&Arc<str>>, workload: Option<&Workload>) -> PodScope {
        let workload = match workload {
            Some(workload) if &*workload.kind == "Pod" => UNOWNED.into(),
            Some(workload) => value(&workload.name),
            None => UNKNOWN.into(),
        };
        let namespace = namespace.map_or_else(|| UNKNOWN.into(), value);
        self.let_in(&self.pods, PodScope { namespace, workload })
            .unwrap_or_else(|| PodScope { namespace: OVERFLOW.into(), workload: OVERFLOW.into() })
    }

    /// The labels of a container's series.
    pub(super) fn container(&self, pod: &PodScope, name: Option<&Arc<str>>) -> ContainerScope {
        let scope = |container| ContainerScope { pod: pod.clone(), container };
        if &*pod.workload == OVERFLOW {
            return scope(OVERFLOW.into());
        }
        let name = name.map_or_else(|| UNKNOWN.into(), value);
        self.let_in(&self.containers, scope(name)).unwrap_or_else(|| scope(OVERFLOW.into()))
    }

    fn let_in<S: Ord + Clone>(&self, known: &Mutex<BTreeSet<S>>, scope: S) -> Option<S> {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&scope) {
            return Some(scope);
        }
        if self.total.load(Ordering::Relaxed) >= self.max_series {
            self.overflow.inc();
            return None;
        }
        // Counts by itself too: one that never gets a value must not come for free.
        self.total.fetch_add(1, Ordering::Relaxed);
        known.insert(scope.clone());
        Some(scope)
    }
}

/// A label value: at most as long as a name can be in Kubernetes (253, RFC 1123 subdomain), whatever a source says.
fn value(text: &Arc<str>) -> Arc<str> {
    const MAX_BYTES: usize = 253;
    if text.len() <= MAX_BYTES { text.clone() } else { text[..text.floor_char_boundary(MAX_BYTES)].into() }
}
