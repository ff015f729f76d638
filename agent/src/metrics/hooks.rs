//! preStop hooks.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;

use super::registry::{Registry, Unit};
use super::scope::{ContainerScope, PodScope, PodUidLabel, Scoped};
use super::series::{Histogram, SECONDS, Series, Total, histogram_of_seconds, histogram_series};
use crate::model::ContainerTimeline;
use crate::report::seconds;

#[derive(Debug)]
pub(super) struct Hooks {
    results: Series<HookLabels, Counter>,
    duration: Series<ContainerScope, Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct HookLabels {
    #[prometheus(flatten)]
    container: ContainerScope,
    handler: &'static str,
    result: &'static str,
}

impl Scoped for HookLabels {
    fn pod(&self) -> &PodScope {
        self.container.pod()
    }
}

impl Hooks {
    pub(super) fn new(registry: &mut Registry, total: &Total) -> Hooks {
        let hooks = Hooks {
            results: Series::new(total, 1, Counter::default),
            duration: Series::new(total, histogram_series(SECONDS.len()), histogram_of_seconds),
        };
        registry.register(
            "prestop_hooks",
            "preStop hooks that ran, by how they ended; unknown where nobody could see it",
            hooks.results.clone(),
        );
        registry.register_with_unit(
            "prestop_duration",
            "How long preStop hooks took, also those that were cut off",
            Unit::Seconds,
            hooks.duration.clone(),
        );
        hooks
    }

    pub(super) fn observe(
        &self,
        scope: &ContainerScope,
        exemplar: Option<&PodUidLabel>,
        container: &ContainerTimeline,
    ) {
        let Some(hook) = &container.hook else { return };
        let result = hook.result.map_or("unknown", |result| result.as_str());
        let labels = HookLabels { container: scope.clone(), handler: hook.handler.as_str(), result };
        self.results.with(labels, Counter::inc);
        if let Some(duration) = hook.duration() {
            let observe = |histogram: &Histogram| histogram.observe(seconds(duration), exemplar.cloned());
            self.duration.with(scope.clone(), observe);
        }
    }
}
