//! What goes on now, so that somebody can act before the kill.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::gauge::Gauge;

use super::registry::{Registry, Unit};
use super::scope::{PodScope, Scopes};
use super::series::Series;
use crate::model::{BootTime, Timeline};
use crate::report::seconds;

type Real = Gauge<f64, AtomicU64>;

#[derive(Debug)]
pub(super) struct Live {
    pods: Series<PhaseLabels, Gauge>,
    grace_used: Series<PodScope, Real>,
    oldest: Series<PodScope, Real>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct PhaseLabels {
    #[prometheus(flatten)]
    pod: PodScope,
    phase: &'static str,
}

impl Live {
    pub(super) fn new(registry: &mut Registry) -> Live {
        let live = Live {
            pods: Series::uncapped(Gauge::default),
            grace_used: Series::uncapped(Real::default),
            oldest: Series::uncapped(Real::default),
        };
        registry.register("pods_terminating", "Terminations in progress", live.pods.clone());
        registry.register_with_unit(
            "terminating_grace_used",
            "Of the terminations in progress, the fullest: grace used by grace period",
            Unit::Other("ratio".to_owned()),
            live.grace_used.clone(),
        );
        registry.register_with_unit(
            "terminating_oldest_age",
            "Of the terminations in progress, the oldest: time since its start",
            Unit::Seconds,
            live.oldest.clone(),
        );
        live
    }

    /// Workloads with nothing in progress have no series: there are many, and mostly nothing goes on.
    pub(super) fn set<'a>(&self, scopes: &Scopes, timelines: impl IntoIterator<Item = &'a Timeline>, now: BootTime) {
        let mut pods: BTreeMap<PhaseLabels, Gauge> = BTreeMap::new();
        let mut grace_used = BTreeMap::new();
        let mut oldest = BTreeMap::new();
        for timeline in timelines {
            let pod = scopes.pod_in_progress(timeline);
            if let Some(ratio) = timeline.utilization(now) {
                raise(&mut grace_used, &pod, ratio);
            }
            raise(&mut oldest, &pod, seconds(now.since(timeline.start)));
            pods.entry(PhaseLabels { pod, phase: timeline.phase.as_str() }).or_default().inc();
        }
        self.pods.replace(pods);
        self.grace_used.replace(grace_used);
        self.oldest.replace(oldest);
    }
}

/// Keeps the largest of each pod's values.
fn raise(values: &mut BTreeMap<PodScope, Real>, pod: &PodScope, value: f64) {
    let largest = values.entry(pod.clone()).or_default();
    largest.set(value.max(largest.get()));
}
