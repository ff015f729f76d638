//! Whose a series is, and how many may have series of their own.
//!
//! `workload` is the workload's name without its kind, as people query for it; two workloads of one name in a namespace
//! share their series. Pods that nobody owns share one label: theirs would be the pod's name, of which there is no end.
//! No Kubernetes name can begin with an underscore, so the values below stand for nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;

use super::series::Total;
use super::settings::Settings;
use crate::model::{BootTime, Timeline, Workload};

/// No source has told of the pod, or of the container's name.
const UNKNOWN: &str = "_unknown";
/// The pod has no owner.
const UNOWNED: &str = "_unowned";
/// There are too many others.
const OVERFLOW: &str = "_overflow";

/// The pod's part of the labels. One that is not wanted is `None`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PodScope {
    namespace: Option<Arc<str>>,
    workload: Option<Arc<str>>,
}

/// The container's part of the labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContainerScope {
    pod: PodScope,
    container: Option<Arc<str>>,
}

/// Labels that say whose a series is.
pub(super) trait Scoped {
    /// The pod's part of them.
    fn pod(&self) -> &PodScope;
}

impl Scoped for PodScope {
    fn pod(&self) -> &PodScope {
        self
    }
}

impl Scoped for ContainerScope {
    fn pod(&self) -> &PodScope {
        &self.pod
    }
}

impl EncodeLabelSet for PodScope {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        label(encoder, "namespace", self.namespace.as_deref())?;
        label(encoder, "workload", self.workload.as_deref())
    }
}

impl EncodeLabelSet for ContainerScope {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.pod.encode(encoder)?;
        label(encoder, "container", self.container.as_deref())
    }
}

fn label(encoder: &mut LabelSetEncoder<'_>, name: &str, value: Option<&str>) -> fmt::Result {
    value.map_or(Ok(()), |value| (name, value).encode(encoder.encode_label()))
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
/// there are by then: they are few, and a rate over two of them must find both. New ones are let in while there is room,
/// and there is room again when a workload has had no termination for long.
#[derive(Debug)]
pub(super) struct Scopes {
    settings: Settings,
    total: Total,
    known: Mutex<Known>,
    overflow: Counter,
    forgotten: Counter,
}

#[derive(Debug, Default)]
struct Known {
    /// With the time of the last termination.
    pods: BTreeMap<PodScope, BootTime>,
    containers: BTreeSet<ContainerScope>,
    /// The latest time seen.
    now: BootTime,
    /// None of the pods was last used before this.
    oldest: BootTime,
}

impl Scopes {
    /// `overflow` counts what was counted under the common label, `forgotten` the workloads whose series have gone.
    pub(super) fn new(settings: &Settings, total: &Total, overflow: Counter, forgotten: Counter) -> Scopes {
        Scopes { settings: *settings, total: total.clone(), known: Mutex::default(), overflow, forgotten }
    }

    /// The labels of a pod's series, for a termination that is over.
    pub(super) fn pod(&self, timeline: &Timeline) -> PodScope {
        self.let_in(timeline.namespace.as_ref(), timeline.workload.as_ref(), timeline.end).unwrap_or_else(|| {
            self.overflow.inc();
            self.pod_overflow()
        })
    }

    /// The same for one that goes on. It is looked at time and again, so that it does not count as one more that found no
    /// room.
    pub(super) fn pod_in_progress(&self, timeline: &Timeline) -> PodScope {
        self.let_in(timeline.namespace.as_ref(), timeline.workload.as_ref(), timeline.end)
            .unwrap_or_else(|| self.pod_overflow())
    }

    /// The labels of a pod that is not being terminated.
    pub(super) fn pod_of(&self, namespace: Option<&Arc<str>>, workload: Option<&Workload>) -> PodScope {
        self.let_in(namespace, workload, None).unwrap_or_else(|| {
            self.overflow.inc();
            self.pod_overflow()
        })
    }

    /// The labels of a container's series.
    pub(super) fn container(&self, pod: &PodScope, name: Option<&Arc<str>>) -> ContainerScope {
        let of_pod = |container| ContainerScope { pod: pod.clone(), container };
        if !self.settings.labels.container {
            return of_pod(None);
        }
        if self.is_overflow(pod) {
            return of_pod(Some(OVERFLOW.into()));
        }
        let container = of_pod(Some(name.map_or_else(|| UNKNOWN.into(), value)));
        let mut known = self.known();
        if !known.containers.contains(&container) {
            if !self.has_room() {
                self.overflow.inc();
                return of_pod(Some(OVERFLOW.into()));
            }
            // Counts by itself too: one that never gets a value must not come for free.
            self.total.add(1);
            known.containers.insert(container.clone());
        }
        container
    }

    /// The pod's own labels, if it has them or there is room.
    fn let_in(
        &self,
        namespace: Option<&Arc<str>>,
        workload: Option<&Workload>,
        end: Option<BootTime>,
    ) -> Option<PodScope> {
        let workload = match workload {
            Some(workload) if &*workload.kind == "Pod" => UNOWNED.into(),
            Some(workload) => value(&workload.name),
            None => UNKNOWN.into(),
        };
        let namespace = namespace.map_or_else(|| UNKNOWN.into(), value);
        let pod = self.pod_scope(namespace, workload);
        let mut known = self.known();
        let used = end.map_or(known.now, |end| end.max(known.now));
        known.now = used;
        if let Some(last) = known.pods.get_mut(&pod) {
            *last = used;
            return Some(pod);
        }
        // Without labels all pods are one, and there is nothing to tell the others by.
        if !self.has_room() && self.has_pod_labels() {
            return None;
        }
        self.total.add(1);
        known.pods.insert(pod.clone(), used);
        Some(pod)
    }

    /// Forgets the workloads that have not been used for long, with all of their series.
    pub(super) fn forget_stale(&self, now: BootTime) {
        let mut known = self.known();
        known.now = known.now.max(now);
        let now = known.now;
        let is_stale = |used: BootTime| now.since(used) > self.settings.keep;
        if !is_stale(known.oldest) {
            return;
        }
        let (pods_before, containers_before) = (known.pods.len(), known.containers.len());
        known.pods.retain(|_, used| !is_stale(*used));
        known.oldest = known.pods.values().copied().min().unwrap_or(now);
        let Known { pods, containers, .. } = &mut *known;
        containers.retain(|container| pods.contains_key(&container.pod));
        let pods_gone = pods_before - pods.len();
        if pods_gone > 0 {
            self.forgotten.inc_by(pods_gone as u64);
            self.total.sub(pods_gone + containers_before - containers.len());
            self.total.keep_only(&|pod| pods.contains_key(pod) || self.is_overflow(pod));
        }
    }

    fn has_room(&self) -> bool {
        self.total.get() < self.settings.max_series
    }

    fn has_pod_labels(&self) -> bool {
        self.settings.labels.namespace || self.settings.labels.workload
    }

    fn is_overflow(&self, pod: &PodScope) -> bool {
        self.has_pod_labels() && *pod == self.pod_overflow()
    }

    fn pod_overflow(&self) -> PodScope {
        self.pod_scope(OVERFLOW.into(), OVERFLOW.into())
    }

    fn pod_scope(&self, namespace: Arc<str>, workload: Arc<str>) -> PodScope {
        PodScope {
            namespace: self.settings.labels.namespace.then_some(namespace),
            workload: self.settings.labels.workload.then_some(workload),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A label value: at most as long as a name can be in Kubernetes (253, RFC 1123 subdomain), whatever a source says.
fn value(text: &Arc<str>) -> Arc<str> {
    const MAX_BYTES: usize = 253;
    if text.len() <= MAX_BYTES { text.clone() } else { text[..text.floor_char_boundary(MAX_BYTES)].into() }
}
