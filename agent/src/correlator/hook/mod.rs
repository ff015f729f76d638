//! Which run of its handler was the container's preStop hook, and how it ended.

mod exec;
mod http;
mod inferred;

use std::time::Duration;

use super::entered::End;
use super::stop::Stop;
use super::verdict::Scene;
use crate::model::{
    BootTime, Counters, Handler, HookResult, HookTimeline, LifecycleHandler, ProbeKind, Role, Signal, WaitStatus,
};

/// The hook of a container.
#[derive(Debug, Clone)]
pub(super) struct Hook {
    pub(super) timeline: HookTimeline,
    /// The container's counters at its start, if a record came then.
    pub(super) counters: Option<Counters>,
}

/// One run of the handler: of its command, or a request to its path.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: BootTime,
    counters: Option<Counters>,
    end: Option<Ended>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
enum Ended {
    Process(End),
    Answer { at: BootTime, status: u16 },
}

impl Run {
    fn ended_at(&self) -> Option<BootTime> {
        match self.end? {
            Ended::Process(end) => Some(end.at),
            Ended::Answer { at, .. } => Some(at),
        }
    }

    /// When it was cut off, if it was: its process was killed. Of a request nobody tells; it stays without an answer.
    fn cut_at(&self, handler: Handler) -> Option<BootTime> {
        match self.end {
            Some(Ended::Process(end)) => end.status.signal().map(|_| end.at),
            Some(Ended::Answer { .. }) => None,
            None => (handler == Handler::Http).then_some(self.start),
        }
    }
}

/// Finds the hook: of the runs of the spec's handler that came from outside those that [`counted`] says; without any, a
/// command that the runtime could not execute; without that, what spec and times tell of a handler that nobody can see.
///
/// The first run gives the start, the last one end and result; processes and CPU time add up.
pub(super) fn find(scene: &Scene<'_>, stop: Option<&Stop>, killed_at: Option<BootTime>) -> Option<Hook> {
    let all = runs(scene);
    let counted = counted(scene, stop, &all);
    let Some((first, last)) = counted.first().zip(counted.last()) else {
        return exec::failed(scene, stop).or_else(|| inferred::find(scene, stop, killed_at));
    };
    let exit = scene.evidence.exit.as_ref().map(|ended| ended.at);
    let result = result(scene, stop, last);
    // A run whose end was not seen ended with its container at the latest; a request that failed, with what followed.
    let failed_at = stop.filter(|_| result == Some(HookResult::Failed)).map(|stop| stop.first().at);
    let over = exit.or(scene.evidence.emptied()).filter(|_| !unwatched(scene, last));
    let end = last.ended_at().or(failed_at).or(over);
    let mut timeline =
        HookTimeline { end, result, ..unknown(scene.spec_hook().map_or(Handler::Exec, handler), first.start) };
    match last.end {
        Some(Ended::Process(end)) => timeline.status = Some(end.status),
        Some(Ended::Answer { status, .. }) => timeline.http_status = Some(status),
        None => {}
    }
    let process = |run: &Run| match run.end? {
        Ended::Process(end) => Some(end),
        Ended::Answer { .. } => None,
    };
    // What a process used is counted by the kernel side that saw it come.
    let cut = |run: &Run| run.ended_at().is_some_and(|end| scene.counts_anew_within(run.start, end));
    let ends: Option<Vec<End>> = counted.iter().map(process).collect();
    let ends = ends.filter(|_| !counted.iter().any(cut));
    timeline.processes = ends.as_ref().map(|ends| ends.iter().map(|end| end.processes).fold(0, u64::saturating_add));
    timeline.cpu = ends.map(|ends| ends.iter().fold(Duration::ZERO, |sum, end| end.cpu.saturating_add(sum)));
    Some(Hook { timeline, counters: first.counters })
}

/// Until when a run of the handler may still turn out to be the hook.
pub(super) fn pending_until(scene: &Scene<'_>) -> Option<BootTime> {
    let ended = scene.evidence.exit.is_some() || scene.evidence.emptied().is_some();
    let last = runs(scene).iter().map(|run| follow_limit(scene, run)).max();
    last.filter(|until| !ended && *until > scene.now)
}

/// What follows a run by then belongs to it. A hook without an end is cut off by the stop signal when grace runs out; one
/// that seems to run for longer has ended unseen.
fn follow_limit(scene: &Scene<'_>, run: &Run) -> BootTime {
    match run.ended_at() {
        // Native sidecars run their hooks with the others and are stopped when those have ended, within the same grace.
        // Others that are sidecars by name are stopped at once, but which of the two it is nobody says.
        Some(end) if scene.identity.role == Role::Sidecar => end + scene.stop_limit(),
        Some(end) => end + scene.config.hook_follow,
        None => run.start + scene.stop_limit(),
    }
}

/// Every run of the handler up to the init's end.
fn runs(scene: &Scene<'_>) -> Vec<Run> {
    let mut runs = match scene.spec_hook() {
        Some(LifecycleHandler::Exec(_)) => exec::runs(scene),
        Some(LifecycleHandler::Http { path, .. }) => http::runs(scene, path),
        _ => Vec::new(),
    };
    let exit = scene.evidence.exit.as_ref().map(|ended| ended.at);
    runs.retain(|run| exit.is_none_or(|exit| run.start <= exit));
    runs.sort_by_key(|run| run.start);
    runs
}

/// Which runs count:
///
/// - those since the pod's deletion was requested;
/// - the last one before the stop signal, if that came while it ran or soon after its end ([`follow_limit`]). `kubectl
///   exec` with the hook's command has no stop signal behind it;
/// - one that was running when the init ended: its container died under it;
/// - runs that were cut off and followed by one that counts, and runs after the stop signal: a kubelet or a runtime that
///   restarted does it all again.
///
/// Not the first one after the container's start, when the postStart handler is the same; and of a command that is also
/// a probe's only one, and what was cut off before it ([`the_one`]).
fn counted(scene: &Scene<'_>, stop: Option<&Stop>, all: &[Run]) -> Vec<Run> {
    let all = &all[usize::from(is_post_start(scene, stop, all))..];
    let mut counts: Vec<bool> = all.iter().map(|run| scene.is_since_request(run.start)).collect();
    if is_probe_too(scene) || overlap(all) {
        let one = the_one(scene, stop, all);
        counts.iter_mut().enumerate().for_each(|(index, counts)| *counts = Some(index) == one);
    } else if let Some(stop) = stop {
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
            *counts |= run.ended_at().is_none_or(|end| end >= exit.at) && exit.at <= follow_limit(scene, run);
        }
    }
    // Backwards, so that each run that was cut off leans on the one after it.
    let handler = scene.spec_hook().map_or(Handler::Exec, handler);
    for i in (1..all.len()).rev() {
        let soon = all[i - 1].cut_at(handler).is_some_and(|cut| all[i].start <= cut + scene.config.margin);
        counts[i - 1] |= counts[i] && soon;
    }
    all.iter().zip(counts).filter(|(_, counts)| *counts).map(|(run, _)| *run).collect()
}

/// Whether the first run is the postStart hook: that has the same handler, and the container was started just before.
/// But one that the stop signal follows, and no other, was the preStop hook.
fn is_post_start(scene: &Scene<'_>, stop: Option<&Stop>, all: &[Run]) -> bool {
    let same = match (scene.spec_hook(), scene.identity.spec().and_then(|spec| spec.post_start.as_ref())) {
        (Some(LifecycleHandler::Exec(pre)), Some(LifecycleHandler::Exec(post))) => pre == post,
        (Some(LifecycleHandler::Http { path: pre, .. }), Some(LifecycleHandler::Http { path: post, .. })) => {
            pre == post
        }
        _ => false,
    };
    let Some(first) = all.first().filter(|_| same) else { return false };
    let started = scene.evidence.started_at.unwrap_or(first.start);
    let soon = scene.evidence.started_at.is_some() && first.start.since(started) <= scene.config.post_start_within;
    let followed =
        stop.is_some_and(|stop| first.start <= stop.first().at && stop.first().at <= follow_limit(scene, first));
    soon && (all.len() > 1 || !followed)
}

/// Whether the hook's command is a probe's too.
fn is_probe_too(scene: &Scene<'_>) -> bool {
    let (Some(LifecycleHandler::Exec(command)), Some(spec)) = (scene.spec_hook(), scene.identity.spec()) else {
        return false;
    };
    spec.probes.iter().any(|probe| probe.command.as_ref() == Some(command))
}

/// Whether two runs went on at once: one of them is a probe's or somebody's, whether or not a source tells of probes. The
/// runtime alone does not.
fn overlap(all: &[Run]) -> bool {
    all.windows(2).any(|pair| pair[0].ended_at().is_none_or(|end| end > pair[1].start))
}

/// Which of the runs of a command that is a probe's too was the hook: readiness probes go on during a hook, and after the
/// stop signal.
///
/// The stop signal goes out as soon as the hook has ended: so it is the last that ended before it. When it goes out
/// because grace is over, it is the one that has been running for as long. Before it, the first since the request.
fn the_one(scene: &Scene<'_>, stop: Option<&Stop>, all: &[Run]) -> Option<usize> {
    // By the API server's own clock: within what clocks may differ by, a probe may have run before.
    let since = || all.iter().position(|run| scene.is_after_request(run.start));
    let Some(at) = stop.map(|stop| stop.first().at) else { return since() };
    // A native sidecar is stopped long after its hook.
    if let Some(first) = since().filter(|_| scene.identity.role == Role::Sidecar) {
        return Some(first);
    }
    let before = |run: &Run| run.start <= at;
    let active = |run: &Run| before(run) && run.ended_at().is_none_or(|end| end > at) && at <= follow_limit(scene, run);
    let long = |run: &Run| at.since(run.start) + scene.config.hook_follow >= scene.grace_or_default();
    let ended = |run: &Run| run.ended_at().filter(|end| *end <= at && at <= follow_limit(scene, run));
    let last = (0..all.len()).filter(|i| ended(&all[*i]).is_some()).max_by_key(|i| ended(&all[*i]));
    let hanging = all.iter().position(|run| active(run) && long(run));
    hanging.or(last).or_else(|| all.iter().position(active))
}

fn result(scene: &Scene<'_>, stop: Option<&Stop>, run: &Run) -> Option<HookResult> {
    if unwatched(scene, run) {
        return None;
    }
    let exit = scene.evidence.exit.as_ref().map(|ended| ended.at);
    if stop.is_some_and(|stop| stop.within(run.start, run.ended_at())) {
        return Some(http::unanswered(scene, stop, run).unwrap_or(HookResult::Timeout));
    }
    let end = match run.end {
        Some(Ended::Process(end)) => end,
        Some(Ended::Answer { status, .. }) => return Some(http::result(status)),
        None => {
            let gone = exit.is_some() || scene.evidence.emptied().is_some();
            return gone.then_some(HookResult::Interrupted);
        }
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

/// Whether a run that has no end may have ended while nobody watched.
fn unwatched(scene: &Scene<'_>, run: &Run) -> bool {
    run.end.is_none() && scene.was_away_since(run.start)
}

/// Whether a liveness or startup probe failed shortly before `at`: one that is a command, and left with another code than
/// 0 or was killed for taking too long. Failing often enough, it makes the kubelet stop the container.
pub(super) fn probe_failed(scene: &Scene<'_>, at: BootTime) -> bool {
    let Some(spec) = scene.identity.spec() else { return false };
    let fatal = spec.probes.iter().filter(|probe| matches!(probe.kind, ProbeKind::Liveness | ProbeKind::Startup));
    let commands: Vec<&Vec<String>> = fatal.filter_map(|probe| probe.command.as_ref()).collect();
    let processes = scene.evidence.entered.processes();
    processes.iter().any(|process| {
        let failed = process.end.filter(|end| end.status != WaitStatus(0));
        let soon = failed.is_some_and(|end| end.at <= at && at.since(end.at) <= scene.config.hook_follow);
        soon && process.execs.iter().any(|(_, exec, _)| commands.iter().any(|command| exec.is_of(command)))
    })
}

/// When a hook that nobody can see counts as begun.
pub(super) fn wake(scene: &Scene<'_>) -> Option<BootTime> {
    matches!(scene.spec_hook()?, LifecycleHandler::Sleep(_) | LifecycleHandler::Http { .. }).then_some(())?;
    scene.acted_at()
}

/// Nothing but what began when.
fn unknown(handler: Handler, start: BootTime) -> HookTimeline {
    HookTimeline {
        handler,
        start,
        end: None,
        result: None,
        status: None,
        http_status: None,
        processes: None,
        cpu: None,
        inferred: false,
    }
}

fn handler(of: &LifecycleHandler) -> Handler {
    match of {
        LifecycleHandler::Exec(_) => Handler::Exec,
        LifecycleHandler::Http { .. } | LifecycleHandler::Tcp => Handler::Http,
        LifecycleHandler::Sleep(_) => Handler::Sleep,
    }
}
