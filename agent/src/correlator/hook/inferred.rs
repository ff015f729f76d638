//! Hooks that nobody can see: `sleep`, which is nothing but waiting; requests over TLS or to another host; and requests
//! that never reached the container. Concluded from the spec and the times of what was seen, and marked so.

use std::time::Duration;

use super::{Hook, handler, unknown};
use crate::correlator::exchanges::is_path;
use crate::correlator::stop::Stop;
use crate::correlator::verdict::{Scene, earlier};
use crate::model::{BootTime, HookResult, HookTimeline, LifecycleHandler, Role};

/// What spec and times tell of the hook, if it can be told.
pub(super) fn find(scene: &Scene<'_>, stop: Option<&Stop>, killed_at: Option<BootTime>) -> Option<Hook> {
    let spec = scene.spec_hook()?;
    let stop_at = stop.map(|stop| stop.first().at);
    let grace = scene.grace_or_default();
    let told = match (spec, stop_at) {
        (LifecycleHandler::Sleep(sleep), _) if sleep.is_zero() => None,
        (LifecycleHandler::Sleep(sleep), Some(at)) => slept(scene, *sleep, at),
        (LifecycleHandler::Sleep(sleep), None) => waits(scene, (*sleep).min(grace), killed_at),
        (LifecycleHandler::Http { .. }, Some(at)) => asked(scene, at),
        (LifecycleHandler::Http { .. }, None) if !watched(scene, scene.now) => waits(scene, grace, killed_at),
        _ => None,
    }?;
    let timeline =
        HookTimeline { end: told.end, result: told.result, inferred: true, ..unknown(handler(spec), told.start) };
    Some(Hook { timeline, counters: None })
}

struct Told {
    start: BootTime,
    end: Option<BootTime>,
    result: Option<HookResult>,
}

/// A `sleep` before a stop signal at `at`: the kubelet sleeps, for no longer than grace lasts, and then stops.
fn slept(scene: &Scene<'_>, sleep: Duration, at: BootTime) -> Option<Told> {
    let grace = scene.grace_or_default();
    let limit = sleep.min(grace);
    let start = earlier(at, limit);
    let result = if sleep > grace { HookResult::Timeout } else { HookResult::Success };
    if scene.evidence.started_at.is_some_and(|started| at.since(started) < limit) {
        return None;
    }
    let begun = scene.acted_at();
    // A native sidecar sleeps with the others, and is stopped when those have ended.
    let early = begun.filter(|begun| scene.identity.role == Role::Sidecar && *begun + scene.config.hook_follow < start);
    if let Some(begun) = early {
        return Some(Told { start: begun, end: Some(begun + limit), result: Some(result) });
    }
    // Asked to stop earlier than it could have slept: something cut it off, a second deletion with less grace at a guess.
    if let Some(begun) = begun.filter(|begun| start + scene.config.clock_skew < *begun) {
        return Some(Told { start: begun.min(at), end: Some(at), result: Some(HookResult::Timeout) });
    }
    Some(Told { start, end: Some(at), result: Some(result) })
}

/// A request that was not seen before a stop signal at `at`.
fn asked(scene: &Scene<'_>, at: BootTime) -> Option<Told> {
    let grace = scene.grace_or_default();
    let begun = scene.acted_at().filter(|begun| *begun < at);
    let lasted = scene.requested_at().is_some_and(|requested| at.since(requested) >= grace);
    // With so little grace a refusal and a timeout come at the same moment.
    let over = lasted && grace > 2 * scene.config.grace_slack && scene.identity.role != Role::Sidecar;
    if watched(scene, at) && !over {
        // It would have been seen. A kubelet that cannot connect gives up, and stops at once.
        let at = begun.filter(|_| scene.identity.role == Role::Sidecar).unwrap_or(at);
        return Some(Told { start: at, end: Some(at), result: Some(HookResult::Failed) });
    }
    let start = begun?.max(earlier(at, grace));
    Some(Told { start, end: Some(at), result: over.then_some(HookResult::Timeout) })
}

/// A hook of `limit` at most without a stop signal so far.
fn waits(scene: &Scene<'_>, limit: Duration, killed_at: Option<BootTime>) -> Option<Told> {
    let start = scene.acted_at()?;
    if scene.evidence.started_at.is_some_and(|started| started > start) {
        return None;
    }
    let exit = scene.evidence.exit.as_ref().map(|ended| ended.at);
    let Some(ended) = [exit, scene.evidence.emptied(), killed_at].into_iter().flatten().min() else {
        return (start <= scene.now).then_some(Told { start, end: None, result: None });
    };
    let over = start + limit;
    match ended {
        // The kubelet may not have been there yet.
        _ if ended <= start => None,
        _ if ended <= over => Some(Told { start, end: Some(ended), result: Some(HookResult::Interrupted) }),
        // The stop signal was missed: what the hook came to is not known.
        _ => Some(Told { start, end: Some(over), result: None }),
    }
}

/// Whether a request would have been seen that led to something at `at`, and been known for one.
fn watched(scene: &Scene<'_>, at: BootTime) -> bool {
    let since = scene.requested_at().unwrap_or(earlier(at, scene.grace_or_default()));
    let there = !scene.identity.older_than_agent || scene.known_at <= since;
    let there = there && scene.kubelet_watched.is_none_or(|(_, from)| from <= since);
    let post_start = match scene.identity.spec().and_then(|spec| spec.post_start.as_ref()) {
        Some(LifecycleHandler::Http { path, .. }) => Some(path),
        _ => None,
    };
    let exchanges = scene.evidence.exchanges.all();
    // One that is neither hook's may be this one's, in a form that was not expected.
    let other = exchanges.iter().any(|exchange| {
        let known = post_start.is_some_and(|path| is_path(exchange.request, path));
        exchange.at >= since && exchange.at <= at && !known
    });
    scene.sees_hook() && there && !other && !scene.lost_since(since) && !scene.was_away_since(since)
}
