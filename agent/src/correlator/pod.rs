//! Groups the containers of a pod into one termination, and decides when it is done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::evidence::Evidence;
use super::findings::Silence;
use super::missed::Misses;
use super::reason;
use super::silence;
use super::timeline::{start, visible};
use super::verdict::{Scene, Verdict};
use super::wave::Wave;
use super::{Config, Output};
use crate::model::{
    BootTime, CgroupId, Connections, ContainerIdentity, Pod, PodUid, Role, TerminationId, Timeline, WaitStatus,
    WallClock, WallTime,
};

/// One pod and its containers.
///
/// A termination opens with the first container that begins to end, and each that begins while it is open joins it.
/// When deletion is known it is done when every known container is; else when those that began are, after a short wait
/// for others if the kubelet had a hand in it. Without a deletion, a container made after the start is a restarted one:
/// its end is another termination. The sandbox takes no part.
#[derive(Debug)]
pub(super) struct PodState {
    pub(super) uid: PodUid,
    pub(super) info: Option<Arc<Pod>>,
    pub(super) requested: Option<WallTime>,
    pub(super) grace: Option<Duration>,
    /// In the order in which they became known.
    pub(super) containers: Vec<Container>,
    /// Every cgroup that was ever one of them, to tell who is inside the pod.
    pub(super) cgroups: BTreeSet<CgroupId>,
    pub(super) open: Option<Open>,
    pub(super) last_id_ms: Option<u64>,
    /// Until when execs of hooks' commands may turn out to be hooks.
    pending: Vec<BootTime>,
    /// When to look again without an event.
    pub(super) deadline: Option<BootTime>,
}

/// One life of a container: what was seen of it and whose it is.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) identity: Arc<ContainerIdentity>,
    pub(super) evidence: Evidence,
    /// Its place in the order of all.
    pub(super) number: u64,
    /// Its cgroup id has been given to another.
    pub(super) replaced: bool,
    pub(super) known_at: BootTime,
    /// Since when all of its connections are counted, if it is older than the agent.
    pub(super) seeded_at: Option<BootTime>,
    pub(super) reported_at: Option<BootTime>,
    /// Somebody may have begun to end it.
    pub(super) has_acts: bool,
    /// The kernel side was asked to tell of its connections one by one.
    pub(super) watched: bool,
}

/// A termination that goes on.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: TerminationId,
    /// As last shown, without what changes all the time.
    pub(super) shown: Option<Timeline>,
    /// The connections of its containers, as last shown, and when that was.
    pub(super) traffic: Vec<Connections>,
    /// See `traffic`.
    pub(super) shown_at: BootTime,
    /// Somebody was asked for the reason.
    pub(super) asked: bool,
}

/// What all pods share.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) config: &'a Config,
    pub(super) now: BootTime,
    pub(super) clock: &'a WallClock,
    pub(super) wave: &'a Wave,
    pub(super) misses: &'a Misses,
    /// Whether requests of the kubelet are seen, and since when; `None` as it was at the start.
    pub(super) kubelet_watched: Option<(bool, BootTime)>,
}

/// What an evaluation changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) outputs: Vec<Output>,
    /// Lives that are remembered no more, by their number and whether they still held their cgroup id.
    pub(super) dropped: Vec<(u64, CgroupId)>,
    /// When the kubelet began with the termination that goes on or is done; `Some(None)` if there is none after all.
    pub(super) begun: Option<Option<BootTime>>,
    /// The termination of a deleted pod is done.
    pub(super) deleted: bool,
    /// A container that was left out of the finished termination has begun to end: evaluate again.
    pub(super) again: bool,
    /// A change that is told is one of connections only.
    pub(super) traffic_only: bool,
    /// What may turn out to be a hook has changed.
    pub(super) pending: bool,
    /// Containers that ended after their pod's termination was reported.
    pub(super) late: u64,
}

impl Container {
    pub(super) fn new(identity: Arc<ContainerIdentity>, evidence: Evidence, number: u64, now: BootTime) -> Container {
        Container {
            identity,
            evidence,
            number,
            replaced: false,
            known_at: now,
            seeded_at: None,
            reported_at: None,
            has_acts: false,
            watched: false,
        }
    }

    /// The connections of containers that were tracked by `began` are counted since `at`. One that became known in the
    /// meantime is found by the next search.
    pub(super) fn seed(&mut self, began: BootTime, at: BootTime) {
        if self.known_at < began {
            self.seeded_at = self.seeded_at.or(Some(at));
        }
    }

    /// Ends this life because the cgroup id has another owner, from `at` on if that was seen.
    pub(super) fn replace(&mut self, at: Option<BootTime>) {
        let at = at.unwrap_or(self.known_at.max(self.evidence.latest.0));
        self.replaced = true;
        self.evidence.removed_at = self.evidence.removed_at.or(Some(at));
    }

    /// Whether it was made after `at`: neither known nor seen by then.
    fn is_after(&self, at: BootTime) -> bool {
        self.known_at > at && self.evidence.first.is_none_or(|first| first > at)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.replaced || self.evidence.removed_at.is_some()
    }
}

/// Cgroup ids of one pod to remember; its containers may restart for months.
pub(super) const MAX_POD_CGROUPS: usize = 64;

impl PodState {
    pub(super) fn new(uid: PodUid) -> PodState {
        PodState {
            uid,
            info: None,
            requested: None,
            grace: None,
            containers: Vec::new(),
            cgroups: BTreeSet::new(),
            open: None,
            last_id_ms: None,
            pending: Vec::new(),
            deadline: None,
        }
    }

    /// Takes note of what is known about the pod and of one of its cgroups.
    ///
    /// The request for deletion is latched, because the kubelet rewrites the deletion time at the end. From then on the
    /// grace period only shrinks, and not to 0: that is the same rewriting.
    pub(super) fn learn(&mut self, identity: &ContainerIdentity) {
        if self.cgroups.len() >= MAX_POD_CGROUPS && !self.cgroups.contains(&identity.cgroup) {
            let live: Vec<CgroupId> = self.containers.iter().map(|it| it.identity.cgroup).collect();
            let old = self.cgroups.iter().copied().find(|cgroup| !live.contains(cgroup));
            self.cgroups.remove(&old.or(self.cgroups.first().copied()).unwrap_or(identity.cgroup));
        }
        self.cgroups.insert(identity.cgroup);
        let Some(pod) = &identity.pod else { return };
        self.info = Some(pod.clone());
        let shrinks = match (self.grace, pod.grace_period) {
            (Some(known), Some(new)) => !new.is_zero() && new < known,
            _ => true,
        };
        if self.requested.is_none() || shrinks {
            self.grace = pod.grace_period.or(self.grace);
        }
        self.requested = self.requested.or(pod.requested);
    }

    #[cfg(test)]
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn is_unused(&self) -> bool {
        self.containers.is_empty() && self.open.is_none()
    }

    /// Concludes anew from the evidence. `reported`: a pod of this uid was deleted and its termination reported.
    pub(super) fn evaluate(&mut self, world: World<'_>, reported: bool) -> Changes {
        let mut changes = Changes::default();
        // A static pod comes back with the same uid, and then it is not being deleted.
        let reported = reported && (self.requested.is_some() || self.info.is_none());
        let mut wake = Wake { now: world.now, at: None };
        let mut verdicts = self.judge(world);
        let silence = self.silence(&mut verdicts, world, &mut wake);
        let is_final = |verdict: &Verdict| verdict.final_at.is_some_and(|at| at <= world.now);
        for (index, verdict) in &verdicts {
            wake.by(verdict.wake);
            let container = &mut self.containers[*index];
            container.has_acts = verdict.start.is_some() || verdict.pending_until.is_some();
            let ends = container.has_acts || self.requested.is_some();
            if ends && verdict.alive && !container.watched && !container.replaced {
                container.watched = true;
                changes.outputs.push(Output::Watch(container.identity.cgroup));
            }
            if !ends {
                container.evidence.forget_peers(world.now);
            }
        }
        let pending: Vec<BootTime> = verdicts.iter().filter_map(|(_, verdict)| verdict.pending_until).collect();
        changes.pending = pending != self.pending;
        self.pending = pending;

        let (mut members, mut quiet): (Vec<_>, Vec<_>) =
            verdicts.iter().filter(|(_, verdict)| verdict.start.is_some()).partition(|(_, it)| !self.is_quiet(it));
        if reported && self.open.is_none() {
            changes.late += members.iter().filter(|(_, verdict)| is_final(verdict)).count() as u64;
            quiet.append(&mut members);
        }
        for (index, _) in quiet.iter().filter(|(_, verdict)| is_final(verdict)) {
            self.containers[*index].reported_at = Some(world.now);
        }
        members.sort_by_key(|(index, verdict)| (verdict.start, *index));

        if members.is_empty() {
            if let Some(open) = self.open.take() {
                changes.begun = Some(None);
                changes.outputs.push(Output::Withdrawn(open.id));
            }
        } else {
            let first = members.iter().filter_map(|(_, verdict)| verdict.start).min().unwrap_or_default();
            let belongs = |index: usize| self.requested.is_some() || !self.containers[index].is_after(first);
            let begun = members.len();
            members.retain(|(index, verdict)| verdict.start == Some(first) || belongs(*index));
            // What came and went without ever running is not waited for.
            let waits = |index: usize| belongs(index) && !self.containers[index].is_gone();
            let others = verdicts.iter().filter(|(index, it)| it.start.is_none() && waits(*index));
            let others: Vec<&Verdict> = others.map(|(_, verdict)| verdict).collect();
            let ask_at = self.ask_at(&members, world);
            let done = self.is_done(&members, &others, ask_at.is_some(), world, &mut wake);
            changes.again = done && members.len() < begun;
            let members: Vec<(usize, Verdict)> = members.into_iter().cloned().collect();
            self.show(&members, done, silence, world, &mut wake, &mut changes);
            self.ask(ask_at, world, &mut wake, &mut changes);
        }
        self.clean(&verdicts, world, &mut wake, &mut changes);
        self.deadline = wake.at.filter(|_| !self.is_unused());
        changes
    }

    fn judge(&self, world: World<'_>) -> Vec<(usize, Verdict)> {
        let takes_part = |it: &Container| it.identity.role != Role::Sandbox && it.reported_at.is_none();
        let judge = |(index, container): (usize, &Container)| {
            let scene = Scene {
                config: world.config,
                now: world.now,
                clock: world.clock,
                evidence: &container.evidence,
                identity: &container.identity,
                known_at: container.known_at,
                seeded_at: container.seeded_at,
                kubelet_watched: world.kubelet_watched,
                requested: self.requested,
                grace: self.grace,
                pod_cgroups: &self.cgroups,
            };
            (index, scene.judge())
        };
        self.containers.iter().enumerate().filter(|(_, it)| takes_part(it)).map(judge).collect()
    }

    /// An init container that has done its work is part of a pod's start, not of its end.
    fn is_quiet(&self, verdict: &Verdict) -> bool {
        // One that ended while nobody watched most likely had done its work: its pod would not have gone on.
        let success = verdict.timeline.exit.map_or(!verdict.unseen.is_empty(), |exit| exit.status == WaitStatus(0));
        let alone = self.requested.is_none() && self.open.is_none() && verdict.kubelet.is_none();
        verdict.timeline.role == Role::Init && success && alone
    }

    /// Whether nothing of what the request for deletion should have led to was seen for long. Then the termination begins
    /// with the request itself.
    fn silence(&self, verdicts: &mut [(usize, Verdict)], world: World<'_>, wake: &mut Wake) -> Option<Silence> {
        let requested = world.clock.boot(self.requested?);
        let lives = || verdicts.iter().map(|(index, verdict)| (&self.containers[*index], verdict));
        let told = silence::tell(requested, self.grace, lives(), world)?;
        wake.by(Some(told.due));
        let silence = told.silence?;
        for (_, verdict) in verdicts.iter_mut().filter(|(_, verdict)| verdict.alive) {
            verdict.start = verdict.start.or(Some(requested));
        }
        Some(silence)
    }

    /// When to ask somebody why the kubelet ends containers, if that is an open question.
    fn ask_at(&self, members: &[&(usize, Verdict)], world: World<'_>) -> Option<BootTime> {
        let deleted = self.requested.is_some();
        let is_open = |(index, verdict): &&&(usize, Verdict)| {
            reason::is_open(self.info.as_deref(), deleted, verdict, &self.containers[*index].identity)
        };
        let acted = members.iter().filter(is_open).filter_map(|(_, verdict)| verdict.kubelet).min()?;
        Some(acted + world.config.ask_after)
    }

    /// Asks once per termination.
    fn ask(&mut self, at: Option<BootTime>, world: World<'_>, wake: &mut Wake, changes: &mut Changes) {
        let (Some(at), Some(open)) = (at, &mut self.open) else { return };
        wake.by(Some(at));
        if at <= world.now && !open.asked {
            open.asked = true;
            changes.outputs.push(Output::Unexplained(self.uid.clone()));
        }
    }

    /// `asking`: the reason is an open question, and an answer may come.
    fn is_done(
        &self,
        members: &[&(usize, Verdict)],
        others: &[&Verdict],
        asking: bool,
        world: World<'_>,
        wake: &mut Wake,
    ) -> bool {
        let finals: Option<Vec<BootTime>> = members.iter().map(|(_, verdict)| verdict.final_at).collect();
        let Some(last) = finals.and_then(|finals| finals.into_iter().max()) else { return false };
        if last > world.now {
            return false;
        }
        let wait = if others.is_empty() {
            Duration::ZERO
        } else if self.requested.is_some() {
            // The others will be stopped too, unless the agent missed their end.
            self.grace.unwrap_or(world.config.default_grace).saturating_add(world.config.margin)
        } else if others.iter().any(|verdict| verdict.pending_until.is_some()) {
            return false;
        } else if members.iter().any(|(_, verdict)| verdict.kubelet.is_some()) {
            world.config.join
        } else {
            Duration::ZERO
        };
        let wait = if asking { wait.max(world.config.answer_wait) } else { wait };
        wake.by(Some(last + wait));
        last + wait <= world.now
    }

    /// Shows the termination: as finished, or if something changed that a person would see.
    fn show(
        &mut self,
        members: &[(usize, Verdict)],
        done: bool,
        silence: Option<Silence>,
        world: World<'_>,
        wake: &mut Wake,
        changes: &mut Changes,
    ) {
        let id = match &self.open {
            Some(open) => open.id.clone(),
            None => self.new_id(members),
        };
        let before = self.open.take();
        let timeline = self.timeline(id.clone(), members, done, silence, world);
        changes.begun = timeline.grace_started.then_some(Some(timeline.start));
        if done {
            for (index, _) in members {
                self.containers[*index].reported_at = Some(world.now);
            }
            changes.deleted = self.requested.is_some();
            changes.outputs.push(Output::Finished(timeline));
            return;
        }
        let mut open =
            before.unwrap_or(Open { id, shown: None, traffic: Vec::new(), shown_at: world.now, asked: false });
        let visible = visible(&timeline);
        let traffic = || timeline.containers.iter().map(|container| &container.connections);
        let same = open.shown.as_ref() == Some(&visible);
        // Connections change all the time: they are told of with other news, or from time to time.
        let again_at = open.shown_at + world.config.connections_every;
        let news = same && !open.traffic.iter().eq(traffic());
        if news && again_at > world.now {
            wake.by(Some(again_at));
        } else if news || !same {
            open.traffic = traffic().cloned().collect();
            (open.shown, open.shown_at) = (Some(visible), world.now);
            changes.traffic_only = same;
            changes.outputs.push(Output::Changed(timeline));
        }
        self.open = Some(open);
    }

    /// The id holds the start as it is known now, and stays when an earlier one is learnt.
    fn new_id(&mut self, members: &[(usize, Verdict)]) -> TerminationId {
        let start = start(members).unwrap_or_default();
        let ms = start.0 / 1_000_000;
        // Two containers may end by themselves in one millisecond, one reported before the other is known.
        let ms = if self.last_id_ms == Some(ms) { ms.saturating_add(1) } else { ms };
        self.last_id_ms = Some(ms);
        TerminationId::new(format!("{}-{ms}", self.uid))
    }

    /// Drops what is reported and gone, and what came and went without ever running.
    fn clean(&mut self, verdicts: &[(usize, Verdict)], world: World<'_>, wake: &mut Wake, changes: &mut Changes) {
        let mut index = 0;
        self.containers.retain(|container| {
            let begun = verdicts.iter().any(|(at, verdict)| *at == index && verdict.start.is_some());
            index += 1;
            let removed = container.evidence.removed_at.unwrap_or(world.now);
            let drop_at = match container.reported_at {
                _ if container.identity.role == Role::Sandbox => container.is_gone().then_some(world.now),
                Some(_) if container.is_gone() => Some(world.now),
                Some(at) => Some(at + world.config.forget_after),
                None if begun => None,
                None => container.is_gone().then_some(removed + world.config.settle),
            };
            wake.by(drop_at);
            let keep = drop_at.is_none_or(|at| at > world.now);
            if !keep {
                let cgroup = container.identity.cgroup;
                changes.dropped.push((container.number, cgroup));
                // Another container has the cgroup id now: forgetting it would forget that one.
                changes.outputs.extend((!container.replaced).then_some(Output::Forgotten(cgroup)));
            }
            keep
        });
    }
}

/// The earliest deadline that is still to come.
struct Wake {
    now: BootTime,
    at: Option<BootTime>,
}

impl Wake {
    fn by(&mut self, at: Option<BootTime>) {
        let at = at.filter(|at| *at > self.now);
        self.at = self.at.into_iter().chain(at).min();
    }
}
