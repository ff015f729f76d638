//! Where identities come from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::registry::{Registry, Unit};
use super::series::Series;
use crate::report::seconds;

/// Metrics about identity sources (`file`, `cgroups`, …).
#[derive(Debug)]
pub struct Sources {
    age: Series<SourceLabel, Gauge<f64, AtomicU64>>,
    errors: Series<SourceLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct SourceLabel {
    source: &'static str,
}

impl Sources {
    pub(super) fn new(registry: &mut Registry) -> Sources {
        let sources = Sources { age: Series::uncapped(Gauge::default), errors: Series::uncapped(Counter::default) };
        registry.register_with_unit(
            "identity_source_age",
            "Since the source last answered, or since the agent began if it never has",
            Unit::Seconds,
            sources.age.clone(),
        );
        registry.register(
            "identity_source_errors",
            "Times the source could not be asked or understood",
            sources.errors.clone(),
        );
        sources
    }

    /// Says how long ago a source last answered.
    pub fn set_age(&self, source: &'static str, age: Duration) {
        self.age.with(SourceLabel { source }, |gauge| gauge.set(seconds(age)));
        // So that its errors are there to be alerted on before the first one.
        self.errors.with(SourceLabel { source }, |_| ());
    }

    /// Says how often a source has failed so far.
    pub fn set_errors(&self, source: &'static str, total: u64) {
        self.errors.with(SourceLabel { source }, |counter| counter.inner().store(total, Ordering::Relaxed));
    }

    /// Counts a failure of a source.
    pub fn observe_error(&self, source: &'static str) {
        self.errors.with(SourceLabel { source }, Counter::inc);
    }
}
