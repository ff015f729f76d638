//! The kernel side: hooks, their records, their maps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::registry::{Registry, Unit};
use super::series::Series;
use crate::report::seconds;

type SecondsCounter = Counter<f64, AtomicU64>;

/// Metrics about the kernel side. Hooks and maps go by the names that the kernel and the programs have for them.
#[derive(Debug)]
pub struct Kernel {
    received: Series<HookLabel, Counter>,
    dropped: Series<HookLabel, Counter>,
    malformed: Series<HookLabel, Counter>,
    missed: Series<HookLabel, Counter>,
    attached: Series<HookLabel, Gauge>,
    runs: Series<HookLabel, Counter>,
    run_seconds: Series<HookLabel, SecondsCounter>,
    seeded: Counter,
    seeding_seconds: Gauge<f64, AtomicU64>,
    map_entries: Series<MapLabel, Gauge>,
    map_max_entries: Series<MapLabel, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct HookLabel {
    hook: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct MapLabel {
    map: &'static str,
}

impl Kernel {
    pub(super) fn new(registry: &mut Registry) -> Kernel {
        let counters = || Series::uncapped(Counter::default);
        let kernel = Kernel {
            received: counters(),
            dropped: counters(),
            malformed: counters(),
            missed: counters(),
            attached: Series::uncapped(Gauge::default),
            runs: counters(),
            run_seconds: Series::uncapped(SecondsCounter::default),
            seeded: Counter::default(),
            seeding_seconds: Gauge::default(),
            map_entries: Series::uncapped(Gauge::default),
            map_max_entries: Series::uncapped(Gauge::default),
        };
        registry.register("records_received", "Records read from the kernel", kernel.received.clone());
        registry.register("records_dropped", "Records lost because the ring buffer was full", kernel.dropped.clone());
        registry.register(
            "hook_missed",
            "Events that the hook may have missed: the kernel left out runs of its programs, which ran on that CPU already",
            kernel.missed.clone(),
        );
        registry.register("records_malformed", "Records that could not be decoded", kernel.malformed.clone());
        registry.register(
            "hook_attached",
            "1 where the hook is attached; 0 where the kernel lacks it and its measure is missing",
            kernel.attached.clone(),
        );
        registry.register("hook_runs", "Runs of the hook's program, where the kernel keeps count", kernel.runs.clone());
        registry.register_with_unit(
            "hook_run",
            "Time spent in the hook's program, where the kernel keeps count",
            Unit::Seconds,
            kernel.run_seconds.clone(),
        );
        registry.register(
            "connections_seeded",
            "Connections older than the agent that were found and are counted",
            kernel.seeded.clone(),
        );
        registry.register_with_unit(
            "connections_seeding",
            "How long the last search for connections older than the agent took",
            Unit::Seconds,
            kernel.seeding_seconds.clone(),
        );
        registry.register("map_entries", "Entries in a map of the programs", kernel.map_entries.clone());
        registry.register("map_max_entries", "Entries that the map has room for", kernel.map_max_entries.clone());
        kernel
    }

    /// Counts records that were read, and those of them that could not be decoded.
    pub fn observe_records(&self, hook: &'static str, received: u64, malformed: u64) {
        self.received.with(HookLabel { hook }, |counter| counter.inc_by(received));
        self.malformed.with(HookLabel { hook }, |counter| counter.inc_by(malformed));
    }

    /// Says how many records of a hook were lost since the programs were loaded.
    pub fn set_dropped(&self, hook: &'static str, total: u64) {
        self.dropped.with(HookLabel { hook }, |counter| counter.inner().store(total, Ordering::Relaxed));
    }

    /// Says how often the kernel left a hook out since the programs were loaded.
    pub fn set_missed(&self, hook: &'static str, total: u64) {
        self.missed.with(HookLabel { hook }, |counter| counter.inner().store(total, Ordering::Relaxed));
    }

    /// Says whether a hook is attached.
    pub fn set_attached(&self, hook: &'static str, attached: bool) {
        self.attached.with(HookLabel { hook }, |gauge| gauge.set(attached.into()));
    }

    /// Says how often a hook ran and for how long in all.
    pub fn set_runs(&self, hook: &'static str, runs: u64, time: Duration) {
        self.runs.with(HookLabel { hook }, |counter| counter.inner().store(runs, Ordering::Relaxed));
        let bits = seconds(time).to_bits();
        self.run_seconds.with(HookLabel { hook }, |counter| counter.inner().store(bits, Ordering::Relaxed));
    }

    /// Counts connections that a search for older ones has found, and says how long it took.
    pub fn observe_seeding(&self, found: u64, took: Duration) {
        self.seeded.inc_by(found);
        self.seeding_seconds.set(seconds(took));
    }

    /// Says how full a map is.
    pub fn set_map(&self, map: &'static str, entries: u64, max_entries: u64) {
        let set = |value: u64| move |gauge: &Gauge| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.map_entries.with(MapLabel { map }, set(entries));
        self.map_max_entries.with(MapLabel { map }, set(max_entries));
    }
}
