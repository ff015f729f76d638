//! TCP connections of containers that ended. What was not measured is not counted as 0.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;

use super::registry::{Registry, Unit};
use super::scope::{ContainerScope, PodScope, PodUidLabel, Scoped};
use super::series::{Histogram, SECONDS, Series, Total, histogram_of_seconds, histogram_series};
use crate::model::{ContainerTimeline, Directions};
use crate::report::seconds;

/// Seconds of a sidecar's lead; the first bucket holds those that ended in the right order.
const LEAD: [f64; 11] = [0.0, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0];

fn histogram_of_lead() -> Histogram {
    Histogram::new(LEAD.into_iter())
}

#[derive(Debug)]
pub(super) struct Connections {
    seen: Series<DirectionLabels, Counter>,
    zombie: Series<DirectionLabels, Counter>,
    late: Series<ContainerScope, Counter>,
    aborted: Series<ContainerScope, Counter>,
    refused: Series<ContainerScope, Counter>,
    tail: Series<ContainerScope, Histogram>,
    lead: Series<ContainerScope, Histogram>,
    after_sidecar: Series<ContainerScope, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct DirectionLabels {
    #[prometheus(flatten)]
    container: ContainerScope,
    direction: &'static str,
}

impl Scoped for DirectionLabels {
    fn pod(&self) -> &PodScope {
        self.container.pod()
    }
}

impl Connections {
    pub(super) fn new(registry: &mut Registry, total: &Total) -> Connections {
        let connections = Connections {
            seen: Series::new(total, 1, Counter::default),
            zombie: Series::new(total, 1, Counter::default),
            late: Series::new(total, 1, Counter::default),
            aborted: Series::new(total, 1, Counter::default),
            refused: Series::new(total, 1, Counter::default),
            tail: Series::new(total, histogram_series(SECONDS.len()), histogram_of_seconds),
            lead: Series::new(total, histogram_series(LEAD.len()), histogram_of_lead),
            after_sidecar: Series::new(total, 1, Counter::default),
        };
        registry.register(
            "connections_at_termination",
            "Connections that were open when a termination began, or opened during it",
            connections.seen.clone(),
        );
        registry.register(
            "zombie_connections",
            "Of those, the ones still open when the container's init exited or was killed",
            connections.zombie.clone(),
        );
        registry.register(
            "late_connections",
            "Inbound connections established after the stop signal",
            connections.late.clone(),
        );
        registry.register(
            "aborted_connections",
            "Connections that ended by a reset or a timeout from the start of a termination on, also by the container's end",
            connections.aborted.clone(),
        );
        registry.register(
            "refused_connections",
            "Connections refused from the start of a termination on because nothing listened any more",
            connections.refused.clone(),
        );
        registry.register_with_unit(
            "traffic_tail",
            "From the start of a termination to its last new inbound connection, where one came",
            Unit::Seconds,
            connections.tail.clone(),
        );
        registry.register_with_unit(
            "sidecar_lead",
            "How long before the application's end its sidecar had ended; 0 when it ended after it, as it should",
            Unit::Seconds,
            connections.lead.clone(),
        );
        registry.register(
            "outbound_failures_after_sidecar",
            "Outbound connections of a main container that could not be established after a sidecar of its pod had ended",
            connections.after_sidecar.clone(),
        );
        connections
    }

    pub(super) fn observe(
        &self,
        scope: &ContainerScope,
        exemplar: Option<&PodUidLabel>,
        container: &ContainerTimeline,
    ) {
        let of = &container.connections;
        // Both or none: the zombie rate is one by the other.
        if let (Some(at_start), Some(opened), Some(zombie)) = (of.at_start, of.opened, of.zombie) {
            let seen = Directions {
                inbound: at_start.inbound.saturating_add(opened.inbound),
                outbound: at_start.outbound.saturating_add(opened.outbound),
            };
            count(&self.seen, scope, seen);
            count(&self.zombie, scope, zombie);
        }
        let counts = [
            (&self.late, of.late),
            (&self.aborted, of.aborted),
            (&self.refused, of.refused),
            (&self.after_sidecar, of.outbound_failed_after_sidecar),
        ];
        for (series, count) in counts {
            if let Some(count) = count {
                series.with(scope.clone(), |counter| counter.inc_by(count));
            }
        }
        if let Some(lead) = container.sidecar_lead {
            let observe = |it: &Histogram| it.observe(seconds(lead.without()), exemplar.cloned());
            self.lead.with(scope.clone(), observe);
        }
        if let Some(tail) = of.traffic_tail {
            self.tail.with(scope.clone(), |histogram| histogram.observe(seconds(tail), exemplar.cloned()));
        }
    }
}

fn count(series: &Series<DirectionLabels, Counter>, scope: &ContainerScope, by: Directions) {
    for (direction, by) in [("inbound", by.inbound), ("outbound", by.outbound)] {
        series.with(DirectionLabels { container: scope.clone(), direction }, |counter| counter.inc_by(by));
    }
}
