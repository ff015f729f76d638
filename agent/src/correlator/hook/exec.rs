//! Hooks that are commands: processes that came into the container from outside.

use super::{Ended, Hook, Run, unknown};
use crate::correlator::entered::End;
use crate::correlator::stop::Stop;
use crate::correlator::verdict::Scene;
use crate::model::{Handler, HookResult, HookTimeline, LifecycleHandler, WaitStatus};

/// The runs of the handler's command.
pub(super) fn runs(scene: &Scene<'_>) -> Vec<Run> {
    let processes = scene.evidence.entered.processes();
    let run = |process: &crate::correlator::entered::Process<'_>| {
        let (start, counters) = process.hook_start(scene.spec_hook())?;
        Some(Run { start, counters: Some(counters), end: process.end.map(Ended::Process) })
    };
    processes.iter().filter_map(run).collect()
}

/// A hook that the runtime could not execute: a stage of the runtime that died in the container without becoming a
/// program, since the request for deletion or shortly before the stop signal. A probe whose program is missing looks the
/// same: where there are such, only the stop signal tells.
pub(super) fn failed(scene: &Scene<'_>, stop: Option<&Stop>) -> Option<Hook> {
    let Some(LifecycleHandler::Exec(_)) = scene.spec_hook() else { return None };
    let spec = scene.identity.spec()?;
    let probes = spec.probes.iter().any(|probe| probe.command.is_some());
    let counts = |end: &End| {
        let before_stop = stop.is_some_and(|stop| {
            let at = stop.first().at;
            end.at <= at && at <= end.at + scene.config.hook_follow
        });
        let since_request = !probes && scene.is_since_request(end.at);
        end.failed_exec && end.status != WaitStatus(0) && (before_stop || since_request)
    };
    let processes = scene.evidence.entered.processes();
    let end = processes.iter().filter_map(|process| process.end).rfind(counts)?;
    let exit = scene.evidence.exit.as_ref().map(|ended| ended.at);
    if exit.is_some_and(|exit| end.at >= exit) {
        return None;
    }
    Some(Hook {
        timeline: HookTimeline {
            end: Some(end.at),
            result: Some(HookResult::Failed),
            status: Some(end.status),
            processes: Some(end.processes),
            cpu: Some(end.cpu),
            ..unknown(Handler::Exec, end.at)
        },
        counters: Some(end.counters),
    })
}
