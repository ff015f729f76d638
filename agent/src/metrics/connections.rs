//! TCP connections of containers that ended. What was not measured is not counted as 0.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;

use super::registry::{Registry, Unit};
use super::scope::{ContainerScope, PodScope, PodUidLabel, Scoped};
use super::series::{Histogram, SECONDS, Series, Total, histogram_of_seconds, histogram_series};
use crate::model::{ContainerTimeline, Directions};
use crate::report::seconds;

#[derive(Debug)]
pub(super) struct Connections {
    seen: Series<DirectionLabels, Counter>,
    zombie: Series<DirectionLabels, Counter>,
    late: Series<ContainerScope, Counter>,
    tail: Series<ContainerScope, Histogram>,
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
            tail: Series::new(total, histogram_series(SECONDS.len()), histogram_of_seconds),
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
        registry.register_with_unit(
            "traffic_tail",
            "From the start of a termination to its last new inbound connection, where one came",
            Unit::Seconds,
            connections.tail.clone(),
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
        if let Some(late) = of.late {
            self.late.with(scope.clone(), |counter| counter.inc_by(late));
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
