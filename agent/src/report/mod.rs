//! What a person or program is told about a termination: the JSON object of the API, the log line, the terminal and the
//! demo. One contract, made here from a [`Timeline`].
#![forbid(unsafe_code)]

mod contract;
mod connections;
mod workload;
mod known;
mod health;
mod time;
#[cfg(test)]
pub(crate) mod fixture;

pub use contract::{
    Connections, Container, Count, Exit, Finding, Hook, Missed, OtherPeers, Peer, StopSignal, Tally, Termination, Word,
    Workload, direction_word, role_word,
};
pub use health::{
    Health, HookHealth, HttpHealth, LeftOut, MapUse, ProcessHealth, SourceHealth, StateHealth, StoreHealth, Vitals,
};
pub use known::{KnownContainer, KnownPod, PreStop};
pub use time::{Time, seconds};
pub use workload::{Budget, Distribution, WorkloadSummary};

use crate::model::{self, BootTime, ContainerTimeline, Timeline, WallClock};

/// The report of a termination as it stands at `now`; `now` plays no part once it has ended.
pub fn termination(timeline: &Timeline, now: BootTime) -> Termination {
    let clock = &timeline.clock;
    Termination {
        id: timeline.id.as_str().to_owned(),
        namespace: timeline.namespace.as_deref().map(str::to_owned),
        pod: timeline.pod.as_deref().map(str::to_owned),
        uid: timeline.uid.as_str().to_owned(),
        node: timeline.node.as_deref().map(str::to_owned),
        workload: timeline
            .workload
            .as_ref()
            .map(|workload| Workload { kind: workload.kind.to_string(), name: workload.name.to_string() }),
        reason: timeline.reason.as_str().into(),
        outcome: timeline.outcome.map(|outcome| outcome.as_str().into()),
        complete: timeline.complete,
        unseen: timeline.unseen.iter().map(|it| (clock.at(it.from).into(), clock.at(it.to).into())).collect(),
        missed: Some(timeline.missed).filter(|missed| *missed != Default::default()).map(Missed::from),
        requested: timeline.requested.map(Time::from),
        start: clock.at(timeline.start).into(),
        end: timeline.end.map(|end| clock.at(end).into()),
        grace_period_seconds: timeline.grace_period.map(|grace| grace.as_secs()),
        grace_used_seconds: timeline.grace_used(now).map(seconds),
        utilization: timeline.utilization(now).map(nine_decimals),
        phase: timeline.phase.as_str().into(),
        containers: timeline.containers.iter().map(|of| container(of, timeline.start, clock)).collect(),
        findings: timeline.findings.iter().map(finding).collect(),
    }
}

/// The report as one line of JSON, without a line break at its end. The log line, and what the store keeps.
pub fn json_line(report: &Termination) -> String {
    // Strings, numbers and lists only: the serializer has no reason to fail. Should it ever, the reader is told.
    serde_json::to_string(report)
        .unwrap_or_else(|error| serde_json::json!({ "id": report.id, "error": error.to_string() }).to_string())
}

fn container(of: &ContainerTimeline, start: BootTime, clock: &WallClock) -> Container {
    let at = |time: BootTime| Time::from(clock.at(time));
    Container {
        name: of.name.as_deref().map(str::to_owned),
        id: of.id.as_str().to_owned(),
        image: of.image.as_deref().map(str::to_owned),
        role: role_word(of.role).into(),
        outcome: of.outcome.map(|outcome| outcome.as_str().into()),
        hook: of.hook.as_ref().map(|hook| Hook {
            handler: hook.handler.as_str().into(),
            start: at(hook.start),
            end: hook.end.map(at),
            duration_seconds: hook.duration().map(seconds),
            result: hook.result.map(|result| result.as_str().into()),
            exit_code: hook.status.map(model::WaitStatus::reported),
            http_status: hook.http_status,
            processes: hook.processes,
            cpu_seconds: hook.cpu.map(seconds),
            inferred: hook.inferred,
        }),
        stop_signal: of.stop_signal.as_ref().map(|stop| StopSignal {
            name: stop.signal.to_string(),
            at: at(stop.at),
            disposition: stop.disposition.map(|disposition| disposition.as_str().into()),
        }),
        killed_at: of.killed_at.map(at),
        exit: of.exit.as_ref().map(|exit| Exit {
            at: at(exit.at),
            code: exit.status.code(),
            signal: exit.status.signal().map(|signal| signal.to_string()),
            oom: exit.oom,
        }),
        stop_to_exit_seconds: of.stop_to_exit().map(seconds),
        connections: connections::report(&of.connections, start),
        phase: of.phase.as_str().into(),
        empty_at: of.empty_at.map(at),
        sidecar_lead_seconds: of.sidecar_lead.map(|lead| seconds(lead.without()) - seconds(lead.alone())),
    }
}

fn finding(of: &model::Finding) -> Finding {
    Finding {
        id: of.id.as_str().into(),
        container: of.container.as_deref().map(str::to_owned),
        message: of.message.clone(),
        advice: of.advice.clone(),
    }
}

/// A ratio of two times in nanoseconds means nothing beyond this, and 0.41 reads better than 0.41000000000000003.
pub fn nine_decimals(ratio: f64) -> f64 {
    (ratio * 1e9).round() / 1e9
}

#[cfg(test)]
mod tests;
