//! Pods as the sources tell of them, with what must not be forgotten: the first deletion.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::MAX_PODS;
use super::merge::merge;
use crate::identity::Source;
use crate::model::{CgroupId, Pod, PodUid, Reason, WallTime};

/// Every pod that a source lists or that has a container.
#[derive(Debug, Default)]
pub(super) struct Pods {
    pods: BTreeMap<PodUid, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    /// What each source said last; stays when it tells no more.
    told: BTreeMap<Source, Arc<Pod>>,
    /// Who lists it now.
    listed: BTreeSet<Source>,
    /// All of that in one.
    pod: Option<Arc<Pod>>,
    /// Its containers' cgroups.
    containers: BTreeSet<CgroupId>,
    deletion: Option<Deletion>,
    /// Why it was ended, found out by asking.
    explained: Option<Reason>,
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
        let gone: Vec<PodUid> = self
            .pods
            .iter()
            .filter(|(uid, entry)| entry.listed.contains(&source) && !now.contains(uid))
            .map(|(uid, _)| uid.clone())
            .collect();
        let mut changed: Vec<PodUid> = gone.into_iter().filter(|uid| self.unlist(source, uid)).collect();
        changed.extend(pods.iter().filter(|pod| self.tell(source, pod, refused)).map(|pod| pod.uid.clone()));
        changed
    }

    /// Takes what a source says of one pod; whether that changed anything. Counts it if there is no room.
    pub(super) fn tell(&mut self, source: Source, pod: &Pod, refused: &mut u64) -> bool {
        if self.pods.len() >= MAX_PODS && !self.pods.contains_key(&pod.uid) {
            *refused += 1;
            return false;
        }
        self.pods.entry(pod.uid.clone()).or_default().tell(source, pod)
    }

    /// A source does not list the pod any more; whether that changed anything.
    pub(super) fn unlist(&mut self, source: Source, uid: &PodUid) -> bool {
        let Some(entry) = self.pods.get_mut(uid) else { return false };
        entry.listed.remove(&source);
        if !entry.is_needed() {
            self.pods.remove(uid);
            return false;
        }
        entry.merge()
    }

    /// Somebody found out why the pod was ended; whether that changed anything.
    pub(super) fn explain(&mut self, uid: &PodUid, reason: Reason) -> bool {
        let Some(entry) = self.pods.get_mut(uid) else { return false };
        entry.explained = Some(reason);
        entry.merge()
    }

    /// A container's end was reported. That a probe had failed explains this end and no other; whether that changed
    /// anything.
    pub(super) fn forget_explanation(&mut self, uid: &PodUid) -> bool {
        let entry = self.pods.get_mut(uid).filter(|entry| entry.explained == Some(Reason::ProbeFailure));
        entry.is_some_and(|entry| {
            entry.explained = None;
            entry.merge()
        })
    }

    pub(super) fn get(&self, uid: &PodUid) -> Option<&Arc<Pod>> {
        self.pods.get(uid)?.pod.as_ref()
    }

    /// Every pod that is known and has a container.
    pub(super) fn attached(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values().filter(|entry| !entry.containers.is_empty()).filter_map(|entry| entry.pod.as_ref())
    }

    /// Every pod, by uid: what is known of it, who lists it now, its containers.
    pub(super) fn all(
        &self,
    ) -> impl Iterator<Item = (&PodUid, Option<&Arc<Pod>>, &BTreeSet<Source>, &BTreeSet<CgroupId>)> {
        self.pods.iter().map(|(uid, entry)| (uid, entry.pod.as_ref(), &entry.listed, &entry.containers))
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

    fn tell(&mut self, source: Source, pod: &Pod) -> bool {
        self.latch(pod);
        self.listed.insert(source);
        if self.told.get(&source).is_none_or(|told| **told != *pod) {
            self.told.insert(source, Arc::new(pod.clone()));
        }
        self.merge()
    }

    /// Puts together what is known; whether that is something new.
    ///
    /// Sources that list the pod now come before those that have fallen silent, and among them the most trusted first.
    fn merge(&mut self) -> bool {
        let rank = |source: &Source| (self.listed.contains(source), *source);
        let mut sources: Vec<Source> = self.told.keys().copied().collect();
        sources.sort_by_key(|source| std::cmp::Reverse(rank(source)));
        let mut told = sources.iter().filter_map(|source| self.told.get(source));
        let Some(first) = told.next() else { return false };
        let mut pod = told.fold(Pod::clone(first), |merged, other| merge(merged, other));
        if let Some(Deletion { requested, grace_period }) = self.deletion {
            pod.requested = Some(requested);
            pod.grace_period = grace_period;
        }
        pod.reason = pod.reason.or(self.explained);
        if self.pod.as_deref() == Some(&pod) {
            return false;
        }
        self.pod = Some(Arc::new(pod));
        true
    }

    /// The first deletion counts. A second one may shorten the grace (a force delete after a patient one), never
    /// lengthen it, and not to 0: that is how the kubelet rewrites it at the end. The request stays the first.
    fn latch(&mut self, pod: &Pod) {
        let Some(requested) = pod.requested else { return };
        match &mut self.deletion {
            None => self.deletion = Some(Deletion { requested, grace_period: pod.grace_period }),
            Some(first) => {
                let shorter = pod.grace_period.filter(|grace| !grace.is_zero());
                first.grace_period = match (first.grace_period, shorter) {
                    (Some(first), Some(now)) => Some(first.min(now)),
                    (first, now) => first.or(now),
                };
            }
        }
    }
}
