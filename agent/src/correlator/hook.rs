//! Which process was the preStop hook, and how it ended.

use super::entered::{End, Process};
use super::stop::Stop;
use super::verdict::Scene;
use crate::model::{BootTime, Counters, Handler, HookResult, HookTimeline, Role, Signal, WaitStatus};

/// The hook of a container.
#[derive(Debug, Clone)]
pub(super) struct Hook {
    pub(super) timeline: HookTimeline,
    /// The container's counters at its start.
    pub(super) counters: Counters,
}

/// One run of the hook's command.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: BootTime,
    counters: Counters,
    end: Option<End>,
}

/// Finds the hook: runs of the spec's command by processes that came in from outside, of which count
///
/// - those since the pod's deletion was requested;
/// - the last one before the stop signal, if that came while it ran or soon after its end ([`follow_limit`]). Probes and
///   `kubectl exec` with the hook's command have no stop signal behind them;
/// - one that was running when the init ended: its container died under it;
/// - runs that were killed and followed by one that counts, and runs after the stop signal: a kubelet or a runtime that
///   restarted does it all again.
///
/// The first run gives the start, the last one end and result; processes and CPU time add up.
pub(super) fn find(scene: &Scene<'_>, stop: Option<&Stop>) -> Option<Hook> {
    scene.hook()?;
    let processes = scene.evidence.entered.processes();
    let all = runs(scene, &processes);
    let counted = count(scene, stop, &all);
    let Some((first, last)) = counted.first().zip(counted.last()) else {
        return failed_exec(scene, stop, &processes);
    };
    let exit = scene.evidence.exit.as_ref().map(|ended| ended.at);
    let ends: Option<Vec<End>> = counted.iter().map(|run| run.end).collect();
    Some(Hook {
        timeline: HookTimeline {
            handler: Handler::Exec,
            start: first.start,
            // A run whose end was not seen ended with its container at the latest.
            end: last.end.map(|end| end.at).or(exit).or(scene.evidence.emptied()),
            result: result(scene, stop, last),
            status: last.end.map(|end| end.status),
            http_status: None,
            processes: ends.as_ref().map(|ends| ends.iter().map(|end| end.processes).fold(0, u64::saturating_add)),
            cpu: ends.map(|ends| ends.iter().fold(Default::default(), |sum, end| end.cpu.saturating_add(sum))),
            inferred: false,
        },
        counters: first.counters,
    })
}

/// Until when an exec of the hook's command may still turn out to be the hook.
pub(super) fn pending_until(scene: &Scene<'_>) -> Option<BootTime> {
    scene.hook()?;
    let ended = scene.evidence.exit.is_some() || scene.evidence.emptied().is_some();
    let processes = scene.evidence.entered.processes();
    runs(scene, &processes)
        .iter()
        .map(|run| follow_limit(scene, run))
        .max()
        .filter(|until| !ended && *until > scene.now)
}

/// What follows a run by then belongs to it. A hook without an end is cut off by the stop signal when grace runs out; one
/// that seems to run for longer has ended unseen.
fn follow_limit(scene: &Scene<'_>, run: &Run) -> BootTime {
    match run.end {
        // Native sidecars run their hooks with the others and are stopped when those have ended, within the same grace.
        Some(end) if scene.identity.role == Role::Sidecar => end.at + scene.stop_limit(),
        Some(end) => end.at + scene.config.hook_follow,
        None => run.start + scene.stop_limit(),
    }
}

fn runs(scene: &Scene<'_>, processes: &[Process<'_>]) -> Vec<Run> {
    let exit = scene.evidence.exit.as_ref().map(|ended| ended.at);
    let run = |process: &Process<'_>| {
        let (start, counters) = process.hook_start(scene.hook())?;
        Some(Run { start, counters, end: process.end })
    };
    let mut runs: Vec<Run> = processes.iter().filter_map(run).collect();
    runs.retain(|run| exit.is_none_or(|exit| run.start <= exit));
    runs.sort_by_key(|run| run.start);
    runs
}

fn count(scene: &Scene<'_>, stop: Option<&Stop>, all: &[Run]) -> Vec<Run> {
    let mut counts: Vec<bool> = all.iter().map(|run| scene.is_since_request(run.start)).collect();
    if let Some(stop) = stop {
        let at = stop.first().at;
        let followed = |run: &Run| at <= follow_limit(scene, run);
        if let Some(last) = all.iter().rposition(|run| run.start <= at && followed(run)) {
            counts[last] = true;
        }
        for (run, counts) in all.iter().zip(&mut counts) {
            *counts |= run.start > at;
        }
    } else if let Some(exit) = &scene.evidence.exit {
        for (run, counts) in all.iter().zip(&mut counts) {
            *counts |= run.end.is_none_or(|end| end.at >= exit.at) && exit.at <= follow_limit(scene, run);
        }
    }
    // Backwards, so that each killed run leans on the one after it.
    for i in (1..all.len()).rev() {
        let killed = all[i - 1].end.filter(|end| end.status.signal().is_some());
        let soon = killed.is_some_and(|end| all[i].start <= end.at + scene.config.margin);
        counts[i - 1] |= counts[i] && soon;
    }
    all.iter().zip(counts).filter(|(_, counts)| *counts).map(|(run, _)| *run).collect()
}

fn result(scene: &Scene<'_>, stop: Option<&Stop>, run: &Run) -> Option<HookResult> {
    let exit = scene.evidence.exit.as_ref().map(|ended| ended.at);
    let until = run.end.map(|end| end.at);
    if stop.is_some_and(|stop| stop.within(run.start, until)) {
        return Some(HookResult::Timeout);
    }
    let Some(end) = run.end else {
        let gone = exit.is_some() || scene.evidence.emptied().is_some();
        return gone.then_some(HookResult::Interrupted);
    };
    if end.status == WaitStatus(0) {
        return Some(HookResult::Success);
    }
    let under_it = exit.is_some_and(|exit| end.at + scene.config.skew >= exit);
    let killed = end.status.signal() == Some(Signal::KILL);
    if under_it && (killed || exit.is_some_and(|exit| end.at >= exit)) {
        return Some(HookResult::Interrupted);
    }
    Some(HookResult::Failed)
}

/// A hook that the runtime could not execute: a stage of the runtime that died in the container without becoming a
/// program, since the request for deletion or shortly before the stop signal.
fn failed_exec(scene: &Scene<'_>, stop: Option<&Stop>, processes: &[Process<'_>]) -> Option<Hook> {
    let counts = |end: &End| {
        let before_stop = stop.is_some_and(|stop| {
            let at = stop.first().at;
            end.at <= at && at <= end.at + scene.config.hook_follow
        });
        end.failed_exec && end.status != WaitStatus(0) && (before_stop || scene.is_since_request(end.at))
    };
    let end = processes.iter().filter_map(|process| process.end).rfind(counts)?;
    let exit = scene.evidence.exit.as_ref().map(|ended| ended.at);
    if exit.is_some_and(|exit| end.at >= exit) {
        return None;
    }
    Some(Hook {
        timeline: HookTimeline {
            handler: Handler::Exec,
            start: end.at,
            end: Some(end.at),
            result: Some(HookResult::Failed),
            status: Some(end.status),
            http_status: None,
            processes: Some(end.processes),
            cpu: Some(end.cpu),
            inferred: false,
        },
        counters: end.counters,
    })
}
