//! What goes on now, so that somebody can act before the kill.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::scope::{PodScope, Scopes};
use super::series::{Series, Total};
use crate::model::{BootTime, Timeline};

type Ratio = Gauge<f64, AtomicU64>;

#[derive(Debug)]
pub(super) struct Live {
    pods: Series<PhaseLabels, Gauge>,
    grace_used: Series<PodScope, Ratio>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct PhaseLabels {
    #[prometheus(flatten)]
    pod: PodScope,
    phase: &'static str,
}

impl Live {
    pub(super) fn new(registry: &mut Registry, total: &Total) -> Live {
        let live =
            Live { pods: Series::new(total, 1, Gauge::default), grace_used: Series::new(total, 1, Ratio::default) };
        registry.register("pods_terminating", "Terminations in progress", live.pods.clone());
        registry.register(
            "terminating_grace_used_ratio",
            "Of the terminations in progress, the fullest: grace used by grace period",
            live.grace_used.clone(),
        );
        live
    }

    /// Workloads with nothing in progress have no series: there are many, and mostly nothing goes on.
    pub(super) fn set<'a>(&self, scopes: &Scopes, timelines: impl IntoIterator<Item = &'a Timeline>, now: BootTime) {
        let mut pods: BTreeMap<PhaseLabels, Gauge> = BTreeMap::new();
        let mut grace_used: BTreeMap<PodScope, Ratio> = BTreeMap::new();
        for timeline in timelines {
            let pod = scopes.pod(timeline);
            if let Some(ratio) = timeline.utilization(now) {
                let fullest = grace_used.entry(pod.clone()).or_default();
                fullest.set(ratio.max(fullest.get()));
            }
            pods.entry(PhaseLabels { pod, phase: timeline.phase.as_str() }).or_default().inc();
        }
        self.pods.replace(pods);
        self.grace_used.replace(grace_used);
    }
}
