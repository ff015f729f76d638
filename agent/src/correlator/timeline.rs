//! The timeline of a pod's termination, put together from the verdicts on its containers.

use std::collections::BTreeSet;

use super::findings::{self, About, Silence};
use super::pod::{Container, PodState, World};
use super::reason;
use super::sidecars::{self, Member};
use super::verdict::Verdict;
use crate::model::{BootTime, Connections, ContainerTimeline, Missed, Phase, Role, TerminationId, Timeline, WallClock};

impl PodState {
    /// The termination as it stands.
    pub(super) fn timeline(
        &self,
        id: TerminationId,
        members: &[(usize, Verdict)],
        done: bool,
        silence: Option<Silence>,
        world: World<'_>,
    ) -> Timeline {
        let verdicts: Vec<&Verdict> = members.iter().map(|(_, verdict)| verdict).collect();
        let outcome = verdicts.iter().filter_map(|verdict| verdict.timeline.outcome).max();
        let last = |verdict: &&Verdict| verdict.timeline.empty_at.or(verdict.timeline.exit.map(|exit| exit.at));
        let start = start(members).unwrap_or_default();
        let mut timeline = Timeline {
            id,
            uid: self.uid.clone(),
            namespace: self.info.as_ref().map(|pod| pod.namespace.clone()),
            pod: self.info.as_ref().map(|pod| pod.name.clone()),
            node: self.info.as_ref().and_then(|pod| pod.node.clone()),
            workload: self.info.as_ref().map(|pod| pod.workload.clone()),
            reason: reason::reason(self.info.as_deref(), self.requested.is_some(), &verdicts, outcome),
            outcome: outcome.filter(|_| done),
            complete: verdicts.iter().all(|verdict| verdict.complete),
            unseen: verdicts
                .iter()
                .flat_map(|it| it.unseen.iter().copied())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            missed: Missed::default(),
            requested: self.requested,
            start,
            // A container whose end was lost ends the termination at the last moment that is known.
            end: done.then(|| verdicts.iter().filter_map(last).max().unwrap_or(start).max(start)),
            grace_period: self.grace,
            grace_started: verdicts.iter().any(|verdict| verdict.kubelet.is_some()),
            phase: phase(&verdicts),
            containers: self.shown(members),
            findings: Vec::new(),
            clock: world.clock.clone(),
        };
        // What is open at its start was opened before.
        let known = self.containers.iter().map(|it| it.known_at).fold(start, BootTime::min);
        timeline.missed = world.misses.within(known, timeline.end.unwrap_or(world.now));
        let acted = Some(start).filter(|_| timeline.grace_started);
        let wave = acted.map_or(0, |start| world.wave.around(&self.uid, start, world.config.mass_window));
        timeline.findings = findings::find(&timeline, &verdicts, &About { silence, wave }, world.config);
        timeline
    }

    /// The members' timelines, with what they say of each other.
    fn shown(&self, members: &[(usize, Verdict)]) -> Vec<ContainerTimeline> {
        let mut timelines: Vec<ContainerTimeline> = members.iter().map(|(_, it)| it.timeline.clone()).collect();
        let is_member = |index: usize| members.iter().any(|(member, _)| *member == index);
        let lives_on = |(index, it): (usize, &Container)| {
            let over = it.reported_at.is_some() || it.is_gone() || it.evidence.exit.is_some();
            it.identity.role == Role::App && !over && !is_member(index)
        };
        let restarted = |of: &Container| {
            let name = of.identity.spec().map(|spec| &spec.name);
            let again = |it: &&Container| {
                it.number > of.number && name.is_some() && it.identity.spec().map(|spec| &spec.name) == name
            };
            self.containers.iter().any(|it| again(&it))
        };
        let member = |(timeline, (index, _)): (_, &(usize, Verdict))| {
            let container = &self.containers[*index];
            Member { timeline, evidence: &container.evidence, restarted: restarted(container) }
        };
        let mut related: Vec<Member<'_>> = timelines.iter_mut().zip(members).map(member).collect();
        sidecars::relate(&mut related, self.containers.iter().enumerate().any(lives_on));
        timelines
    }
}

/// The kubelet's first act on any of them; without one, the first end.
pub(super) fn start(members: &[(usize, Verdict)]) -> Option<BootTime> {
    let kubelet = members.iter().filter_map(|(_, verdict)| verdict.kubelet).min();
    kubelet.or(members.iter().filter_map(|(_, verdict)| verdict.start).min())
}

/// The least advanced phase of the main containers that began to end; once they are through, of the others: sidecars
/// are stopped last.
fn phase(verdicts: &[&Verdict]) -> Phase {
    let least = |app: bool| {
        let phases = verdicts.iter().filter(|it| (it.timeline.role == Role::App) == app);
        phases.map(|verdict| verdict.timeline.phase).min().unwrap_or(Phase::Empty)
    };
    if least(true) == Phase::Empty { least(false) } else { least(true) }
}

/// A timeline without what changes all the time.
pub(super) fn visible(timeline: &Timeline) -> Timeline {
    let mut visible = timeline.clone();
    visible.clock = WallClock::default();
    visible.missed = Missed::default();
    for container in &mut visible.containers {
        container.connections = Connections::default();
    }
    visible
}
