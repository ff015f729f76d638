//! The state that survives a restart of the agent. Nothing is shown without a state directory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::registry::{Registry, Unit};
use super::series::Series;
use crate::report::seconds;

/// Metrics about saving the state.
#[derive(Debug)]
pub struct State {
    age: Series<Alone, Gauge<f64, AtomicU64>>,
    size: Series<Alone, Gauge>,
    duration: Series<Alone, Gauge<f64, AtomicU64>>,
    saves: Series<Alone, Counter>,
    errors: Series<Alone, Counter>,
}

/// There is one of each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct Alone {}

/// How saving goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saving {
    /// Since the last save; `None` before the first.
    pub age: Option<Duration>,
    /// The file's size.
    pub bytes: u64,
    /// How long the last one took.
    pub took: Duration,
    /// How many there were.
    pub saves: u64,
    /// How many failed.
    pub errors: u64,
}

impl State {
    pub(super) fn new(registry: &mut Registry) -> State {
        let state = State {
            age: Series::uncapped(Gauge::default),
            size: Series::uncapped(Gauge::default),
            duration: Series::uncapped(Gauge::default),
            saves: Series::uncapped(Counter::default),
            errors: Series::uncapped(Counter::default),
        };
        registry.register_with_unit(
            "state_age",
            "Since the state was last saved, which is done when something has changed",
            Unit::Seconds,
            state.age.clone(),
        );
        registry.register_with_unit("state_size", "Size of the saved state", Unit::Bytes, state.size.clone());
        registry.register_with_unit(
            "state_save_duration",
            "How long it last took to save the state",
            Unit::Seconds,
            state.duration.clone(),
        );
        registry.register("state_saves", "Times the state was saved", state.saves.clone());
        registry.register("state_errors", "Times the state could not be saved", state.errors.clone());
        state
    }

    /// Says how it goes.
    pub fn set(&self, saving: &Saving) {
        let count = |series: &Series<Alone, Counter>, total: u64| {
            series.with(Alone {}, |counter| counter.inner().store(total, Ordering::Relaxed));
        };
        count(&self.saves, saving.saves);
        count(&self.errors, saving.errors);
        let Some(age) = saving.age else { return };
        self.age.with(Alone {}, |gauge| gauge.set(seconds(age)));
        self.size.with(Alone {}, |gauge| gauge.set(i64::try_from(saving.bytes).unwrap_or(i64::MAX)));
        self.duration.with(Alone {}, |gauge| gauge.set(seconds(saving.took)));
    }
}
