//! Connections that could not be made while nothing was being terminated: too early, or too late.

use super::registry::Registry;
use prometheus_client::metrics::counter::Counter;

use super::scope::{ContainerScope, PodScope};
use super::series::{Series, Total};

#[derive(Debug)]
pub(super) struct Refused {
    startup: Series<ContainerScope, Counter>,
    stale: Series<PodScope, Counter>,
}

impl Refused {
    pub(super) fn new(registry: &mut Registry, total: &Total) -> Refused {
        let refused = Refused {
            startup: Series::new(total, 1, Counter::default),
            stale: Series::new(total, 1, Counter::default),
        };
        registry.register(
            "startup_refused_connections",
            "Connections that were refused before the container listened on the port",
            refused.startup.clone(),
        );
        registry.register(
            "stale_route_connections",
            "Connects of processes of this node to the address of a pod that has gone, which have failed",
            refused.stale.clone(),
        );
        refused
    }

    pub(super) fn observe_startup(&self, scope: ContainerScope, by: u64) {
        self.startup.with(scope, |counter| counter.inc_by(by));
    }

    pub(super) fn observe_stale(&self, scope: PodScope, by: u64) {
        self.stale.with(scope, |counter| counter.inc_by(by));
    }
}
