//! Connections of a container over its termination: differences of snapshots, and what was told one by one.

use super::evidence::Sent;
use super::hook::Hook;
use super::peers::Cut;
use super::verdict::Scene;
use crate::model::{BootTime, Connections, Counters, Directions, Peers};

/// Measures them, as far as the snapshots go.
///
/// The kernel writes the exit's record before the process's sockets change state, so its snapshot still has them open.
/// When the init was killed, the snapshot of the kill counts: what was cut is what was open when SIGKILL went out.
pub(super) fn measure(
    scene: &Scene<'_>,
    start: Option<BootTime>,
    acts: &[Option<BootTime>; 3],
    hook: Option<&Hook>,
    stop: Option<&Sent>,
    kill: Option<&Sent>,
) -> Connections {
    let seeded = scene.seeded_at.is_some_and(|seeded| start.is_some_and(|start| seeded <= start));
    let partial = (scene.identity.older_than_agent && !seeded) || !scene.evidence.unseen.is_empty();
    let mut measured = Connections { partial, ..Connections::default() };
    let sight = &scene.config.sight;
    if !sight.connections {
        return measured;
    }
    let Some(start) = start else { return measured };
    let exit = scene.evidence.exit.as_ref();
    // Before the exit the latest snapshot says how it stands; totals only grow, so a lost exit loses little.
    let last = exit.map_or(&scene.evidence.latest.1, |ended| &ended.counters);
    let snapshots =
        [hook.and_then(|hook| hook.counters.as_ref()), stop.map(|it| &it.counters), kill.map(|it| &it.counters)];
    // No record comes when a hook begins that nobody can see: then the first one after it has to do, and what was opened
    // and closed before that is missing.
    let acts = acts.iter().copied().zip(snapshots).filter_map(|(at, counters)| Some((at?, counters?)));
    let act = acts.min_by_key(|(at, _)| *at);
    measured.partial |= act.is_some_and(|(at, _)| at > start);
    let since = act.map_or(start, |(at, _)| at);
    let first = act.map(|(_, counters)| counters).or(exit.map(|ended| &ended.counters));

    measured.at_start = first.map(open);
    // Nobody counted while the agent was away, and nobody knows what was not counted.
    let until = exit.map_or(scene.now, |ended| ended.at);
    let counted = |from: BootTime| !scene.counts_anew_within(from, until);
    let known = first.filter(|_| counted(since));
    measured.opened = known.map(|first| Directions {
        inbound: last.inbound_total.saturating_sub(first.inbound_total),
        outbound: last.outbound_total.saturating_sub(first.outbound_total),
    });
    measured.zombie = kill.map(|kill| &kill.counters).or(exit.map(|ended| &ended.counters)).map(open);
    // The kernel counts since the first signal from outside, which may have been a reload long ago.
    measured.late = stop.filter(|stop| counted(stop.at)).map(|stop| last.late.saturating_sub(stop.counters.late));
    measured.traffic_tail = last.last_inbound.filter(|at| *at > start && counted(*at)).map(|at| at.since(start));
    measured.curve = measured.at_start.map(|open| {
        let samples = &scene.evidence.curve;
        samples.curve(start, scene.evidence.emptied(), open.inbound, scene.config.max_curve)
    });
    if sight.connection_details {
        measure_details(scene, &mut measured, known, last);
        measured.peers = peers(scene, &measured, kill);
    }
    if sight.refusals {
        measure_refusals(scene, &mut measured, start, known);
    }
    measured
}

fn measure_details(scene: &Scene<'_>, measured: &mut Connections, first: Option<&Counters>, last: &Counters) {
    let Some(first) = first else { return };
    // What its end cuts off is aborted after it.
    let latest = &scene.evidence.latest.1;
    measured.aborted = Some(latest.aborted.saturating_sub(first.aborted));
    measured.outbound_failed = Some(last.outbound_failed.saturating_sub(first.outbound_failed));
    measured.internal = Some(last.internal.saturating_sub(first.internal));
    measured.kubelet = Some(last.kubelet.saturating_sub(first.kubelet));
}

/// Refused connections go on after the exit: that is the point of them.
fn measure_refusals(scene: &Scene<'_>, measured: &mut Connections, start: BootTime, first: Option<&Counters>) {
    let latest = &scene.evidence.latest.1;
    measured.startup_refused = Some(latest.startup_refused);
    let Some(first) = first else { return };
    let refused = latest.refused.saturating_sub(first.refused);
    measured.refused = Some(refused);
    let at_exit = scene.evidence.exit.map(|ended| ended.counters.refused);
    measured.refused_after_exit = at_exit.map(|at_exit| latest.refused.saturating_sub(at_exit));
    measured.refused_tail = latest.last_refused.filter(|at| refused > 0 && *at >= start).map(|at| at.since(start));
}

/// `None` when nothing was told though there was something to tell.
fn peers(scene: &Scene<'_>, measured: &Connections, kill: Option<&Sent>) -> Option<Peers> {
    let evidence = scene.evidence;
    let marks = evidence.marks();
    let cut = match kill {
        // Only the first one of all is compared with; one that came from within the pod is hardly ever before it.
        Some(kill) if marks.kill == Some(kill.at) => Some(Cut::Kill),
        _ => marks.exit.map(|_| Cut::Exit),
    };
    let cut_some =
        measured.zombie.is_some_and(|zombie| zombie != Directions::default()) && evidence.emptied().is_some();
    let untold = evidence.peers.is_empty() && (cut_some || measured.late.is_some_and(|late| late > 0));
    (!untold).then(|| evidence.peers.list(marks, cut, scene.config.max_peers))
}

fn open(counters: &Counters) -> Directions {
    Directions { inbound: counters.inbound_open, outbound: counters.outbound_open }
}
