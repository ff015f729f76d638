//! Connections of a container over its termination: differences of snapshots.

use super::evidence::Sent;
use super::hook::Hook;
use super::verdict::Scene;
use crate::model::{BootTime, Connections, Counters, Directions};

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
    if !scene.config.sight.connections {
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
    measured.opened = first.filter(|_| counted(since)).map(|first| Directions {
        inbound: last.inbound_total.saturating_sub(first.inbound_total),
        outbound: last.outbound_total.saturating_sub(first.outbound_total),
    });
    measured.zombie = kill.map(|kill| &kill.counters).or(exit.map(|ended| &ended.counters)).map(open);
    // The kernel counts since the first signal from outside, which may have been a reload long ago.
    measured.late = stop.filter(|stop| counted(stop.at)).map(|stop| last.late.saturating_sub(stop.counters.late));
    measured.traffic_tail = last.last_inbound.filter(|at| *at > start && counted(*at)).map(|at| at.since(start));
    measured
}

fn open(counters: &Counters) -> Directions {
    Directions { inbound: counters.inbound_open, outbound: counters.outbound_open }
}
