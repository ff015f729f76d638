//! Stop signals, and how long the init lived on after one.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;

use super::registry::{Registry, Unit};
use super::scope::{ContainerScope, PodScope, PodUidLabel, Scoped};
use super::series::{Histogram, SECONDS, Series, Total, histogram_of_seconds, histogram_series};
use crate::model::ContainerTimeline;
use crate::report::seconds;

#[derive(Debug)]
pub(super) struct Signals {
    sent: Series<SignalLabels, Counter>,
    to_exit: Series<ContainerScope, Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct SignalLabels {
    #[prometheus(flatten)]
    container: ContainerScope,
    signal: String,
    disposition: &'static str,
}

impl Scoped for SignalLabels {
    fn pod(&self) -> &PodScope {
        self.container.pod()
    }
}

impl Signals {
    pub(super) fn new(registry: &mut Registry, total: &Total) -> Signals {
        let signals = Signals {
            sent: Series::new(total, 1, Counter::default),
            to_exit: Series::new(total, histogram_series(SECONDS.len()), histogram_of_seconds),
        };
        registry.register(
            "stop_signals",
            "Containers that were sent a stop signal, by what their init did with it",
            signals.sent.clone(),
        );
        registry.register_with_unit(
            "sigterm_to_exit",
            "From the stop signal, whichever it is, to the exit of the container's init",
            Unit::Seconds,
            signals.to_exit.clone(),
        );
        signals
    }

    pub(super) fn observe(
        &self,
        scope: &ContainerScope,
        exemplar: Option<&PodUidLabel>,
        container: &ContainerTimeline,
    ) {
        let Some(stop) = &container.stop_signal else { return };
        let disposition = stop.disposition.map_or("unknown", |disposition| disposition.as_str());
        let labels = SignalLabels { container: scope.clone(), signal: stop.signal.to_string(), disposition };
        self.sent.with(labels, Counter::inc);
        if let Some(duration) = container.stop_to_exit() {
            let observe = |histogram: &Histogram| histogram.observe(seconds(duration), exemplar.cloned());
            self.to_exit.with(scope.clone(), observe);
        }
    }
}
