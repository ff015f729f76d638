//! Clients that were too early: SYNs refused before a container listened, as they become known.
//!
//! Every record of a container carries the count, so that one that lives for a moment is not missed; of one that runs on
//! without a record the agent tells now and then. It may be known before the pod is.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::identity::Index;
use crate::metrics::Metrics;
use crate::model::{CgroupId, Event};

/// As many containers as the index knows, and some that it will know.
const MAX: usize = 32_768;

/// Counts that are in the metrics, and those that wait for a name.
#[derive(Debug, Default)]
pub(super) struct Startup {
    containers: BTreeMap<CgroupId, Count>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    in_metrics: u64,
    latest: u64,
}

impl Startup {
    /// Takes note of what a record says.
    pub(super) fn handle_event(&mut self, event: &Event, index: &Index, metrics: &Metrics) {
        let latest = event.counters.startup_refused;
        if latest == 0 || (self.containers.len() >= MAX && !self.containers.contains_key(&event.cgroup)) {
            return;
        }
        let count = self.containers.entry(event.cgroup).or_default();
        count.latest = count.latest.max(latest);
        self.settle(event.cgroup, index, metrics);
    }

    /// Something new is known of a container.
    pub(super) fn settle(&mut self, cgroup: CgroupId, index: &Index, metrics: &Metrics) {
        let Some(count) = self.containers.get_mut(&cgroup).filter(|count| count.latest > count.in_metrics) else {
            return;
        };
        if let Some(identity) = index.container(cgroup).filter(|identity| identity.pod.is_some()) {
            metrics.terminations.observe_startup_refused(Some(identity), count.latest - count.in_metrics);
            count.in_metrics = count.latest;
        }
    }

    /// A cgroup is forgotten: nobody will tell whose it was.
    pub(super) fn handle_untracked(&mut self, cgroup: CgroupId, metrics: &Metrics) {
        if let Some(count) = self.containers.remove(&cgroup).filter(|count| count.latest > count.in_metrics) {
            metrics.terminations.observe_startup_refused(None, count.latest - count.in_metrics);
        }
    }
}
