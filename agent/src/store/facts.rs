//! What a summary of many terminations needs of one: numbers, made once, when it ends.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    BootTime, ContainerTimeline, FindingId, HookTimeline, Outcome, Reason, TerminationId, Timeline, WallTime, Workload,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) id: TerminationId,
    pub(super) namespace: Option<Arc<str>>,
    pub(super) workload: Option<Workload>,
    pub(super) pod: Option<Arc<str>>,
    pub(super) start: BootTime,
    pub(super) wall: WallTime,
    pub(super) outcome: Outcome,
    pub(super) reason: Reason,
    /// Its times can be relied on.
    pub(super) complete: bool,
    pub(super) findings: Vec<FindingId>,
    pub(super) grace_period: Option<Duration>,
    pub(super) grace_used: Option<Duration>,
    pub(super) utilization: Option<f64>,
    pub(super) traffic_tail: Option<Duration>,
    /// Of each container.
    pub(super) hooks: Vec<Duration>,
    /// Of each container.
    pub(super) stop_to_exit: Vec<Duration>,
    pub(super) last: Option<Last>,
}

/// The container that ended last.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) container: Option<Arc<str>>,
    pub(super) hook: Option<Duration>,
    pub(super) drain: Option<Duration>,
    pub(super) wait: Option<Duration>,
    pub(super) killed: bool,
}

impl Facts {
    /// Of one that has ended; `None` of one that goes on.
    pub(super) fn of(timeline: &Timeline) -> Option<Facts> {
        let (end, outcome) = (timeline.end?, timeline.outcome?);
        let mut findings: Vec<FindingId> = timeline.findings.iter().map(|finding| finding.id).collect();
        findings.sort_unstable();
        findings.dedup();
        let containers = &timeline.containers;
        Some(Facts {
            id: timeline.id.clone(),
            namespace: timeline.namespace.clone(),
            workload: timeline.workload.clone(),
            pod: timeline.pod.clone(),
            start: timeline.start,
            wall: timeline.clock.at(timeline.start),
            outcome,
            reason: timeline.reason,
            complete: timeline.complete && outcome != Outcome::Incomplete,
            findings,
            grace_period: timeline.grace_period,
            grace_used: timeline.grace_used(end),
            utilization: timeline.utilization(end),
            traffic_tail: containers.iter().filter_map(|container| container.connections.traffic_tail).max(),
            hooks: containers.iter().filter_map(|container| container.hook?.duration()).collect(),
            stop_to_exit: containers.iter().filter_map(ContainerTimeline::stop_to_exit).collect(),
            last: containers.iter().max_by_key(|container| ended(container)).map(|last| Last::of(last, timeline.start)),
        })
    }

    /// Bytes that it takes, as near as that can be told.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Facts>()
            + size_of_val(&self.findings[..])
            + size_of_val(&self.hooks[..])
            + size_of_val(&self.stop_to_exit[..])
    }
}

impl Last {
    fn of(container: &ContainerTimeline, start: BootTime) -> Last {
        let stop = container.stop_signal.map(|stop| stop.at);
        Last {
            container: container.name.clone(),
            hook: container.hook.and_then(|hook| hook_took(&hook, container)),
            drain: container.stop_to_exit(),
            wait: stop.map(|stop| stop.since(start)),
            killed: container.killed_at.is_some(),
        }
    }
}

fn ended(container: &ContainerTimeline) -> Option<BootTime> {
    container.empty_at.or(container.exit.map(|exit| exit.at))
}

/// As far as the container was still waiting for it: not beyond its stop signal, or else what ended it.
fn hook_took(hook: &HookTimeline, container: &ContainerTimeline) -> Option<Duration> {
    let stop = container.stop_signal.map(|stop| stop.at);
    let ended = stop.or(container.killed_at).or(container.exit.map(|exit| exit.at));
    let until = match (hook.end, ended) {
        (Some(end), Some(ended)) => end.min(ended),
        (end, ended) => end.or(ended)?,
    };
    Some(until.since(hook.start))
}
