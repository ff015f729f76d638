//! Pods as the sources tell of them, with what must not be forgotten: the first deletion.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::MAX_PODS;
use crate::identity::Source;
use crate::model::{CgroupId, Pod, PodUid, WallTime};

/// Every pod that a source lists or that has a container.
#[derive(Debug, Default)]
pub(super) struct Pods {
    pods: BTreeMap<PodUid, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    /// What is known, from the most trusted source that ever told; stays when it tells no more.
    pod: Option<(Source, Arc<Pod>)>,
    /// Who lists it now.
    listed: BTreeSet<Source>,
    /// Its containers' cgroups.
    containers: BTreeSet<CgroupId>,
    deletion: Option<Deletion>,
}

/// The deletion as it was first seen. The kubelet rewrites both at the end.
#[derive(Debug, Clone, Copy)]
struct Deletion {
    requested: WallTime,
    grace_period: Option<Duration>,
}

impl Pods {
    /// Replaces what a source said; returns the pods that have changed. Counts those for which there is no room.
    pub(super) fn replace(&mut self, source: Source, pods: &[Pod], refused: &mut u64) -> Vec<PodUid> {
        let now: BTreeSet<&PodUid> = pods.iter().map(|pod| &pod.uid).collect();
        self.pods.retain(|uid, entry| {
            if !now.contains(uid) {
                entry.listed.remove(&source);
            }
            entry.is_needed()
        });
        let mut changed = Vec::new();
        for pod in pods {
            if self.pods.len() >= MAX_PODS && !self.pods.contains_key(&pod.uid) {
                *refused += 1;
                continue;
            }
            if self.pods.entry(pod.uid.clone()).or_default().tell(source, pod) {
                changed.push(pod.uid.clone());
            }
        }
        changed
    }

    pub(super) fn get(&self, uid: &PodUid) -> Option<&Arc<Pod>> {
        self.pods.get(uid)?.pod.as_ref().map(|(_, pod)| pod)
    }

    pub(super) fn containers_of(&self, uid: &PodUid) -> Vec<CgroupId> {
        self.pods.get(uid).map_or_else(Vec::new, |entry| entry.containers.iter().copied().collect())
    }

    /// A container of the pod has come. Bounded by the number of containers.
    pub(super) fn attach(&mut self, uid: &PodUid, cgroup: CgroupId) {
        self.pods.entry(uid.clone()).or_default().containers.insert(cgroup);
    }

    /// A container of the pod was forgotten; with its last one a pod that nobody lists goes too.
    pub(super) fn detach(&mut self, uid: &PodUid, cgroup: CgroupId) {
        if let Some(entry) = self.pods.get_mut(uid) {
            entry.containers.remove(&cgroup);
            if !entry.is_needed() {
                self.pods.remove(uid);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.pods.values().filter(|entry| entry.pod.is_some()).count()
    }
}

impl Entry {
    fn is_needed(&self) -> bool {
        !self.listed.is_empty() || !self.containers.is_empty()
    }

    /// Takes what a source says of the pod; whether that changed anything.
    fn tell(&mut self, source: Source, pod: &Pod) -> bool {
        self.listed.insert(source);
        let deletion = self.latch(pod);
        let mut told = pod.clone();
        if let Some(Deletion { requested, grace_period }) = deletion {
            told.requested = Some(requested);
            told.grace_period = grace_period;
        }
        if let Some((best, known)) = &mut self.pod {
            // One whose source has fallen silent gives way to any other.
            if source < *best && self.listed.contains(best) {
                // Of a deletion, whoever saw it first is right.
                let mut merged = Pod::clone(known);
                (merged.requested, merged.grace_period) = match deletion {
                    Some(deletion) => (Some(deletion.requested), deletion.grace_period),
                    None => return false,
                };
                let changed = merged != **known;
                *known = Arc::new(merged);
                return changed;
            }
            if **known == told {
                *best = source;
                return false;
            }
        }
        self.pod = Some((source, Arc::new(told)));
        true
    }

    /// The first deletion counts. A second one may shorten the grace (a force delete after a patient one), never
    /// lengthen it; the request stays the first.
    fn latch(&mut self, pod: &Pod) -> Option<Deletion> {
        if let Some(requested) = pod.requested {
            match &mut self.deletion {
                None => self.deletion = Some(Deletion { requested, grace_period: pod.grace_period }),
                Some(first) => {
                    first.grace_period = match (first.grace_period, pod.grace_period) {
                        (Some(first), Some(now)) => Some(first.min(now)),
                        (first, now) => first.or(now),
                    };
                }
            }
        }
        self.deletion
    }
}
