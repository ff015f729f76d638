//! What happened to pods: one observation per finished termination, and what goes on now.
//!
//! A termination during which records were lost counts as `incomplete` and nowhere else: its times and counts may be
//! wrong. Nor is the duration of one taken that the kubelet had no part in: a crash takes no time.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::connections::Connections;
use super::hooks::Hooks;
use super::live::Live;
use super::pods::Pods;
use super::registry::Registry;
use super::scope::{PodUidLabel, Scopes};
use super::series::Total;
use super::settings::Settings;
use super::signals::Signals;
use crate::model::{BootTime, Outcome, Timeline};

/// Metrics about terminations.
#[derive(Debug)]
pub struct Terminations {
    scopes: Scopes,
    total: Total,
    series: Gauge,
    pods: Pods,
    hooks: Hooks,
    signals: Signals,
    connections: Connections,
    live: Live,
}

impl Terminations {
    pub(super) fn new(registry: &mut Registry, settings: &Settings) -> Terminations {
        let total = Total::default();
        let (overflow, series) = (Counter::default(), Gauge::default());
        let terminations = Terminations {
            scopes: Scopes::new(settings, &total, overflow.clone()),
            series: series.clone(),
            pods: Pods::new(registry, &total),
            hooks: Hooks::new(registry, &total),
            signals: Signals::new(registry, &total),
            connections: Connections::new(registry, &total),
            live: Live::new(registry),
            total,
        };
        registry.register("series", "Series about pods, without those of terminations in progress", series);
        registry.register(
            "series_overflow",
            "Times a workload or container got the labels _overflow because there were too many series",
            overflow,
        );
        terminations
    }

    /// Counts a termination that has ended. Once per termination.
    pub fn observe_finished(&self, timeline: &Timeline) {
        let pod = self.scopes.pod(timeline);
        let exemplar = PodUidLabel::of(timeline);
        self.pods.observe_outcome(&pod, exemplar.as_ref(), timeline);
        if timeline.complete && timeline.outcome != Some(Outcome::Incomplete) {
            self.pods.observe_durations(&pod, exemplar.as_ref(), timeline);
            for container in &timeline.containers {
                let scope = self.scopes.container(&pod, container.name.as_ref());
                self.hooks.observe(&scope, exemplar.as_ref(), container);
                self.signals.observe(&scope, exemplar.as_ref(), container);
                self.connections.observe(&scope, exemplar.as_ref(), container);
            }
        }
        self.tell_series();
    }

    /// Says what goes on at `now`, in place of what went on before, and forgets who has not been heard of for long. On
    /// every tick.
    pub fn set_in_progress<'a>(&self, timelines: impl IntoIterator<Item = &'a Timeline>, now: BootTime) {
        self.live.set(&self.scopes, timelines, now);
        self.scopes.forget_stale(now);
        self.tell_series();
    }

    fn tell_series(&self) {
        self.series.set(i64::try_from(self.total.get()).unwrap_or(i64::MAX));
    }
}
