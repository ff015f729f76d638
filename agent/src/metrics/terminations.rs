//! What happened to pods: one observation per finished termination, and what goes on now.
//!
//! A termination during which records were lost counts as `incomplete`, with what was found in it, and nowhere else: its
//! times and counts may be wrong. Nor is the duration of one taken that the kubelet had no part in: a crash takes no time.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::connections::Connections;
use super::hooks::Hooks;
use super::live::Live;
use super::pods::Pods;
use super::refused::Refused;
use super::registry::Registry;
use super::scope::{PodUidLabel, Scopes};
use super::series::Total;
use super::settings::Settings;
use super::signals::Signals;
use crate::model::{BootTime, ContainerIdentity, Outcome, Timeline, Workload};

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
    refused: Refused,
    live: Live,
}

impl Terminations {
    pub(super) fn new(registry: &mut Registry, settings: &Settings) -> Terminations {
        let total = Total::default();
        let (overflow, forgotten, series) = (Counter::default(), Counter::default(), Gauge::default());
        let terminations = Terminations {
            scopes: Scopes::new(settings, &total, overflow.clone(), forgotten.clone()),
            series: series.clone(),
            pods: Pods::new(registry, &total),
            hooks: Hooks::new(registry, &total),
            signals: Signals::new(registry, &total),
            connections: Connections::new(registry, &total),
            refused: Refused::new(registry, &total),
            live: Live::new(registry),
            total,
        };
        registry.register("series", "Series about pods, without those of terminations in progress", series);
        registry.register(
            "series_overflow",
            "Times a workload or container got the labels _overflow because there were too many series",
            overflow,
        );
        registry.register(
            "workloads_forgotten",
            "Workloads whose series went, as none of their pods had been terminated for long",
            forgotten,
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

    /// Counts connections that were refused before a container listened, of one that nobody can name without it.
    pub fn observe_startup_refused(&self, container: Option<&ContainerIdentity>, by: u64) {
        let pod = container.and_then(|container| container.pod.as_ref());
        let scope = self.scopes.pod_of(pod.map(|pod| &pod.namespace), pod.map(|pod| &pod.workload));
        let name = container.and_then(ContainerIdentity::spec).map(|spec| &spec.name);
        self.refused.observe_startup(self.scopes.container(&scope, name), by);
        self.tell_series();
    }

    /// Counts failed connects to the address of a pod that has gone.
    pub fn observe_stale_route(&self, namespace: &Arc<str>, workload: &Workload, by: u64) {
        self.refused.observe_stale(self.scopes.pod_of(Some(namespace), Some(workload)), by);
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
