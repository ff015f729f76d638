//! Outcomes, durations and findings of terminations.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::CounterWithExemplar;

use super::registry::{Registry, Unit};
use super::scope::{PodScope, PodUidLabel, Scoped};
use super::series::{
    Histogram, RATIO, SECONDS, Series, Total, histogram_of_ratio, histogram_of_seconds, histogram_series,
};
use crate::model::Timeline;
use crate::report::seconds;

#[derive(Debug)]
pub(super) struct Pods {
    outcomes: Series<OutcomeLabels, CounterWithExemplar<PodUidLabel>>,
    duration: Series<PodScope, Histogram>,
    utilization: Series<PodScope, Histogram>,
    findings: Series<FindingLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct OutcomeLabels {
    #[prometheus(flatten)]
    pod: PodScope,
    outcome: &'static str,
    reason: &'static str,
}

impl Scoped for OutcomeLabels {
    fn pod(&self) -> &PodScope {
        &self.pod
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct FindingLabels {
    #[prometheus(flatten)]
    pod: PodScope,
    finding: &'static str,
}

impl Scoped for FindingLabels {
    fn pod(&self) -> &PodScope {
        &self.pod
    }
}

impl Pods {
    pub(super) fn new(registry: &mut Registry, total: &Total) -> Pods {
        let pods = Pods {
            outcomes: Series::new(total, 1, CounterWithExemplar::default),
            duration: Series::new(total, histogram_series(SECONDS.len()), histogram_of_seconds),
            utilization: Series::new(total, histogram_series(RATIO.len()), histogram_of_ratio),
            findings: Series::new(total, 1, Counter::default),
        };
        registry.register("pod_terminations", "Terminations that have ended", pods.outcomes.clone());
        registry.register_with_unit(
            "termination_duration",
            "From the first evidence of the kubelet acting to the last container being gone",
            Unit::Seconds,
            pods.duration.clone(),
        );
        registry.register_with_unit(
            "grace_period_utilization",
            "Termination duration by the effective grace period; can exceed 1",
            Unit::Other("ratio".to_owned()),
            pods.utilization.clone(),
        );
        registry.register("findings", "Findings in terminations that have ended", pods.findings.clone());
        pods
    }

    pub(super) fn observe_outcome(&self, pod: &PodScope, exemplar: Option<&PodUidLabel>, timeline: &Timeline) {
        let outcome = timeline.outcome.map_or("unknown", |outcome| outcome.as_str());
        let labels = OutcomeLabels { pod: pod.clone(), outcome, reason: timeline.reason.as_str() };
        self.outcomes.with(labels, |counter| counter.inc_by(1, exemplar.cloned(), None));
        for finding in &timeline.findings {
            let labels = FindingLabels { pod: pod.clone(), finding: finding.id.as_str() };
            self.findings.with(labels, Counter::inc);
        }
    }

    pub(super) fn observe_durations(&self, pod: &PodScope, exemplar: Option<&PodUidLabel>, timeline: &Timeline) {
        let Some(end) = timeline.end else { return };
        if let Some(used) = timeline.grace_used(end) {
            self.duration.with(pod.clone(), |histogram| histogram.observe(seconds(used), exemplar.cloned()));
        }
        if let Some(ratio) = timeline.utilization(end) {
            self.utilization.with(pod.clone(), |histogram| histogram.observe(ratio, exemplar.cloned()));
        }
    }
}
