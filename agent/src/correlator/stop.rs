//! Which signal was the stop signal, and what the init did with it.

use std::time::Duration;

use super::evidence::Sent;
use super::verdict::Scene;
use crate::model::{BootTime, Disposition, Signal};

/// The stop signal of a container.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    /// When it was first sent, and its repeats.
    pub(super) sent: Vec<Sent>,
    /// When it turns out to have been no stop, if nothing ends before.
    pub(super) expires: Option<BootTime>,
}

impl Stop {
    /// The first one.
    pub(super) fn first(&self) -> &Sent {
        &self.sent[0]
    }

    /// Whether it was sent between two moments.
    pub(super) fn within(&self, from: BootTime, to: Option<BootTime>) -> bool {
        self.sent.iter().any(|it| it.at >= from && to.is_none_or(|to| it.at <= to))
    }
}

/// Signals that neither end a process nor are ever used to ask for it (signal(7), default action ignore, stop or
/// continue), `SIGWINCH` aside: Apache httpd stops on it.
const NEVER_A_STOP: [Signal; 7] = [Signal(17), Signal(18), Signal(19), Signal(20), Signal(21), Signal(22), Signal(23)];

/// Signals that ask most programs to read their configuration again, or to do something else and go on.
const RELOADS: [Signal; 3] = [Signal(1), Signal(10), Signal(12)];

/// Finds the stop signal among the signals that processes outside the pod sent to the init before its end.
///
/// - The spec's stop signal, else the image's, when there is one and it came; else `SIGTERM`, the default, when it came.
///   Both count at once. Another signal counts only if the container ended after it: `SIGHUP` or `SIGUSR1` by hand is a
///   reload. Of several such kinds the last before the end counts, because that one was followed by it.
/// - In a pod that is being deleted only signals since the request count, if there are any. There another signal than
///   those counts at once too, if nobody knows the image's, but for those that are known for reloads; and if it was sent
///   after the request by the API server's own clock: one shortly before may have been sent by hand.
/// - Otherwise a signal that nothing follows for the grace period and a margin was no stop. Repeats of one kind hang
///   together as long as no such gap lies between them, and start with the first.
pub(super) fn find(scene: &Scene<'_>, kill: Option<&Sent>) -> Option<Stop> {
    let exit = scene.evidence.exit.as_ref().map(|ended| ended.at);
    let end = [exit, kill.map(|sent| sent.at), scene.evidence.emptied()].into_iter().flatten().min();
    let wanted = scene.identity.spec().and_then(|spec| spec.stop_signal.or(spec.image_stop_signal));
    let mut candidates: Vec<&Sent> = scene.evidence.signals.iter().filter(|sent| scene.is_outside(sent)).collect();
    candidates.retain(|sent| exit.is_none_or(|exit| sent.at <= exit));
    candidates.retain(|sent| Some(sent.signal) == wanted || !NEVER_A_STOP.contains(&sent.signal));

    let since: Vec<&Sent> = candidates.iter().copied().filter(|sent| scene.is_since_request(sent.at)).collect();
    let is_there = |signal: &Signal| since.iter().any(|sent| sent.signal == *signal);
    let other = || {
        let stops = |sent: &&&Sent| !RELOADS.contains(&sent.signal) && scene.is_after_request(sent.at);
        since.iter().find(|sent| wanted.is_none() && stops(sent)).map(|sent| sent.signal)
    };
    if let Some(kind) = wanted.filter(is_there).or(Some(Signal::TERM).filter(is_there)).or_else(other) {
        let sent = since.into_iter().filter(|sent| sent.signal == kind).copied().collect();
        return Some(Stop { sent, expires: None });
    }

    let among = if since.is_empty() { &candidates } else { &since };
    let last_kind = || {
        let end = end?;
        let last = among.iter().rev().find(|sent| sent.at <= end)?;
        Some(last.signal)
    };
    let kinds = [wanted, Some(Signal::TERM), last_kind()];
    kinds.into_iter().flatten().find_map(|kind| {
        let of_kind = among.iter().copied().filter(|sent| sent.signal == kind);
        chain(scene, of_kind.collect(), end)
    })
}

/// The signals that hang together up to the end, or up to now.
fn chain(scene: &Scene<'_>, signals: Vec<&Sent>, end: Option<BootTime>) -> Option<Stop> {
    let limit = scene.stop_limit();
    let last = signals.last()?;
    // With records lost, the end may be among them: then the silence says nothing.
    let silent = |until: BootTime| until >= last.at + limit && !scene.lost_since(last.at);
    if silent(end.unwrap_or(scene.now)) {
        return None;
    }
    let first = (1..signals.len()).rev().find(|&i| signals[i].at.since(signals[i - 1].at) > limit).unwrap_or(0);
    let sent: Vec<Sent> = signals[first..].iter().map(|sent| **sent).collect();
    Some(Stop { sent, expires: end.is_none().then_some(last.at + limit) })
}

/// What the init did with the stop signal; `None` while, or because, that cannot be told. `killed`: SIGKILL came from
/// outside the pod.
pub(super) fn disposition(scene: &Scene<'_>, stop: &Stop, killed: bool) -> Option<Disposition> {
    let first = stop.first();
    let from = BootTime(first.at.0.saturating_sub(nanos(scene.config.skew)));
    let taken = scene.evidence.deliveries.iter().filter(|(at, it)| it.signal == first.signal && *at >= from);
    let handlers: Vec<u64> = taken.map(|(_, it)| it.handler).collect();
    let exit = scene.evidence.exit.as_ref();

    if handlers.iter().any(|handler| *handler > SIG_IGN) || forwarded(scene, stop) {
        return Some(Disposition::Handled);
    }
    if exit.is_some_and(|ended| ended.status.signal() == Some(first.signal)) {
        return Some(Disposition::Default);
    }
    if stop.sent.iter().all(|sent| sent.ignored) || handlers.contains(&SIG_IGN) {
        return Some(Disposition::Ignored);
    }
    let ended = exit?;
    if !handlers.is_empty() {
        // Taken with the default action and outlived: one that does not kill, or an init that had it blocked, where
        // the kernel drops it on delivery (SIGNAL_UNKILLABLE in get_signal(), kernel/signal.c).
        return Some(Disposition::Ignored);
    }
    if scene.lost_since(first.at) || scene.was_away_since(first.at) || !scene.config.sight.deliveries {
        return None;
    }
    // Accepted, and no handler ran: it was blocked, to be fetched with sigwait or a signalfd as tini does. An init that
    // then left by itself has fetched it; one that had to be killed has not. The OOM killer leaves it open.
    match ended.status.signal() {
        Some(Signal::KILL) => killed.then_some(Disposition::Ignored),
        _ => Some(Disposition::Handled),
    }
}

/// Whether the init passed the stop signal on.
pub(super) fn forwarded(scene: &Scene<'_>, stop: &Stop) -> bool {
    scene.evidence.latest.1.forwarded > stop.first().counters.forwarded
}

/// `SIG_IGN` (include/uapi/asm-generic/signal-defs.h); 0 is `SIG_DFL`, more is a handler.
const SIG_IGN: u64 = 1;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
