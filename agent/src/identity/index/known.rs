//! What is known now, for those who ask.

use super::Index;
use crate::identity::KnownPod;
use crate::model::CgroupId;

impl Index {
    /// Every pod that is known, by uid: pointers to what is known of it.
    pub fn known_pods(&self) -> Vec<KnownPod> {
        let here = |cgroup: &CgroupId| self.containers.get(cgroup).filter(|container| !container.removed);
        let pods = self.pods.all().map(|(uid, pod, listed, containers)| KnownPod {
            uid: uid.clone(),
            pod: pod.cloned(),
            sources: listed.iter().rev().copied().collect(),
            containers: containers.iter().filter_map(here).map(|container| container.identity.clone()).collect(),
        });
        pods.filter(|known| !known.sources.is_empty() || !known.containers.is_empty()).collect()
    }
}
