//! What a restart of the agent must not lose: the correlator's evidence as values that somebody keeps, and the way back.
//!
//! Evidence leaves as the events that give the same evidence again, so that what is kept has the form of what was seen.
//! A run that takes it up has not seen what came in between: [`Unseen`].

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::evidence::{Ended, Evidence, Sent};
use super::pod::{Container, Open, PodState};
use super::samples::Samples;
use super::{Config, Correlator};
use crate::model::{
    BootTime, CgroupId, Comm, ContainerIdentity, Counters, Event, Exec, Exit, Kind, LifecycleHandler, Pid, Pod, PodUid,
    Role, Saved, SavedContainer, SavedPeers, SavedPod, Signal, SignalSent, TerminationId, Unseen,
};

/// How often something changed that a restart must not lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revision {
    /// A termination opened, went on or ended, or what may be a hook has begun.
    pub terminations: u64,
    /// Containers came or went, or more became known of them.
    pub containers: u64,
}

/// Without agent this often in the life of one container; more are joined.
const MAX_UNSEEN: usize = 8;

impl Correlator {
    /// What has to outlive this run. `at` is now.
    pub fn save(&self, at: BootTime) -> Saved {
        let pods = self.pods.iter().map(|(uid, pod)| SavedPod {
            uid: uid.clone(),
            open: pod.open.as_ref().map(|open| open.id.clone()),
            last_id_ms: pod.last_id_ms,
            cgroups: pod.cgroups.iter().copied().collect(),
            containers: pod.containers.iter().filter(|it| !it.replaced).map(|it| it.save(&self.config)).collect(),
        });
        let reported = self.reported_order.iter().cloned().collect();
        Saved { at, clock: self.clock.clone(), pods: pods.collect(), reported }
    }

    /// Takes up what an earlier run has left. Containers that are there must be known by now: the others have ended
    /// unseen. `pod` tells what is known of a pod.
    pub fn handle_restored(&mut self, saved: &Saved, pod: impl Fn(&PodUid) -> Option<Arc<Pod>>) {
        self.clock.precede(&saved.clock);
        let away = Unseen { from: saved.at, to: self.now.max(saved.at) };
        for uid in saved.reported.iter().take(self.config.max_reported.saturating_sub(self.reported.len())) {
            if self.reported.insert(uid.clone()) {
                self.reported_order.push_back(uid.clone());
            }
        }
        for of in &saved.pods {
            let state = self.pods.entry(of.uid.clone()).or_insert_with(|| PodState::new(of.uid.clone()));
            state.restore(of);
            for container in &of.containers {
                self.restore_container(&of.uid, container, away, &pod);
            }
        }
        for of in &saved.pods {
            self.evaluate(&of.uid);
        }
        self.evict_containers();
    }

    /// How often something changed that a restart must not lose.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether a termination goes on.
    pub fn has_open(&self) -> bool {
        self.pods.values().any(|pod| pod.open.is_some())
    }

    fn restore_container(
        &mut self,
        uid: &PodUid,
        saved: &SavedContainer,
        away: Unseen,
        pod: impl Fn(&PodUid) -> Option<Arc<Pod>>,
    ) {
        let now = self.now;
        let current = self.cgroups.get(&saved.cgroup).filter(|(owner, _)| owner == uid).map(|(_, number)| *number);
        let number = current.filter(|number| self.container(uid, *number).is_some_and(|it| it.identity.id == saved.id));
        let number = match number {
            Some(number) => number,
            // Nothing is to be told of its end: it has been, or is not of interest.
            None if saved.reported || saved.role == Role::Sandbox => return,
            None => {
                let identity = ContainerIdentity {
                    cgroup: saved.cgroup,
                    id: saved.id.clone(),
                    pod_uid: uid.clone(),
                    role: saved.role,
                    pod: pod(uid),
                    older_than_agent: true,
                };
                let evidence = Evidence { removed_at: Some(now), ..Evidence::default() };
                self.add(Arc::new(identity), evidence)
            }
        };
        let Some(state) = self.pods.get_mut(uid) else { return };
        let Some(container) = state.containers.iter_mut().find(|it| it.number == number) else { return };
        container.restore(saved, away, now, &self.config);
    }
}

impl PodState {
    fn restore(&mut self, saved: &SavedPod) {
        let open = |id: &TerminationId| Open {
            id: id.clone(),
            shown: None,
            traffic: Vec::new(),
            shown_at: BootTime::default(),
            asked: false,
        };
        self.open = self.open.take().or(saved.open.as_ref().map(open));
        self.last_id_ms = self.last_id_ms.or(saved.last_id_ms);
        let cgroups: BTreeSet<CgroupId> = saved.cgroups.iter().take(super::pod::MAX_POD_CGROUPS).copied().collect();
        self.cgroups.extend(cgroups);
    }
}

impl Container {
    fn save(&self, config: &Config) -> SavedContainer {
        // Of one that was reported nothing is asked any more, and of one that nobody ends nothing of before.
        let acts = self.has_acts && self.reported_at.is_none();
        let points = |samples: &Samples| if acts { samples.points().to_vec() } else { Vec::new() };
        SavedContainer {
            cgroup: self.identity.cgroup,
            id: self.identity.id.clone(),
            role: self.identity.role,
            known_at: self.known_at,
            reported: self.reported_at.is_some(),
            unseen: self.evidence.unseen.clone(),
            events: match self.reported_at {
                Some(_) => Vec::new(),
                None => self.evidence.export(self.identity.cgroup, self.has_acts),
            },
            curve: points(&self.evidence.curve),
            failures: points(&self.evidence.failures),
            peers: match acts {
                true => self.evidence.peers.export(self.evidence.marks(), config.max_peers),
                false => SavedPeers::default(),
            },
        }
    }

    fn restore(&mut self, saved: &SavedContainer, away: Unseen, now: BootTime, config: &Config) {
        let identity = self.identity.clone();
        let hook = identity.spec().and_then(|spec| spec.pre_stop.as_ref());
        let mut evidence = Evidence::import(&saved.events, hook, config);
        evidence.unseen = saved.unseen.iter().take(MAX_UNSEEN).copied().collect();
        // One that was removed before the agent went away had been seen to the end.
        if evidence.removed_at.is_none() {
            evidence.take_up(away);
        }
        let newer = std::mem::take(&mut self.evidence);
        for event in newer.export(identity.cgroup, true) {
            let event = evidence.continued(&event).into_owned();
            evidence.record(&event, hook, config);
        }
        for (at, open) in saved.curve.iter().take(Samples::MAX).chain(newer.curve.points()) {
            evidence.curve.record(*at, *open, true);
        }
        let before = evidence.before.outbound_failed;
        let since = newer.failures.points().iter().map(|(at, failed)| (*at, failed.saturating_add(before)));
        for (at, failed) in saved.failures.iter().take(Samples::MAX).copied().chain(since) {
            evidence.failures.record_growth(at, failed, true);
        }
        evidence.peers = newer.peers;
        evidence.peers.precede(&saved.peers, config.max_peers);
        self.evidence = evidence;
        self.known_at = self.known_at.min(saved.known_at);
        self.reported_at = saved.reported.then_some(now);
    }
}

impl Evidence {
    /// The events that give the same evidence again. Without `acts`, processes that came in from outside are left out:
    /// of a container that nobody has begun to end they were probes.
    fn export(&self, cgroup: CgroupId, acts: bool) -> Vec<Event> {
        // Each one has a place here, or is known to need none.
        let Evidence {
            entered,
            exchanges,
            started_at,
            populated_at,
            signals,
            kills,
            kernel_kill,
            deliveries,
            victims,
            exit,
            empty_at,
            removed_at,
            first,
            latest,
            losses,
            // These are sums, and leave as such.
            curve: _,
            failures: _,
            peers: _,
            unseen: _,
            before: _,
            evicted: _,
        } = self;
        let none = Counters::default;
        let mut events: Vec<(BootTime, Counters, Kind)> = Vec::new();
        let made = |_| Kind::CgroupCreated { parent: CgroupId(0), path: String::new(), truncated: false };
        events.extend(first.map(|at| (at, none(), made(at))));
        events.extend(started_at.map(|at| (at, none(), Kind::Exec(init_exec()))));
        events.extend(populated_at.map(|at| (at, none(), Kind::CgroupPopulated)));
        if acts {
            events.extend(entered.export());
        }
        events.extend(exchanges.export());
        events.extend(signals.iter().chain(kills).map(|sent| (sent.at, sent.counters, Kind::SignalSent(resent(sent)))));
        events.extend(kernel_kill.map(|at| (at, none(), Kind::SignalSent(kernel_sent()))));
        events.extend(deliveries.iter().map(|(at, delivered)| (*at, none(), Kind::SignalDelivered(*delivered))));
        events.extend(victims.iter().map(|(at, init)| (*at, none(), Kind::OomVictim { pid: Pid(0), init: *init })));
        events.extend(exit.map(|ended| (ended.at, ended.counters, Kind::Exit(init_exit(&ended)))));
        events.extend(empty_at.map(|at| (at, none(), Kind::CgroupEmpty)));
        events.extend(removed_at.map(|at| (at, none(), Kind::CgroupRemoved)));
        // Losses speak for themselves: no other event shall tell of them again.
        for (_, counters, _) in &mut events {
            counters.lost = 0;
        }
        events.extend(losses.iter().map(|(at, lost)| (*at, Counters { lost: *lost, ..none() }, Kind::Lost)));
        events.sort_by_key(|(at, ..)| *at);
        // After the others of that moment: the snapshot that counts.
        if latest.0 > BootTime::default() {
            events.push((latest.0, latest.1, Kind::Lost));
        }
        events.into_iter().map(|(at, counters, kind)| Event { at, cgroup, counters, kind }).collect()
    }

    fn import(events: &[Event], hook: Option<&LifecycleHandler>, config: &Config) -> Evidence {
        let mut evidence = Evidence::default();
        for event in events {
            evidence.record(event, hook, config);
        }
        evidence.evicted = 0;
        evidence
    }

    /// Goes on after a time without agent. The kernel side counts from 0 again.
    fn take_up(&mut self, away: Unseen) {
        if self.unseen.len() >= MAX_UNSEEN
            && let Some(last) = self.unseen.last_mut()
        {
            last.to = last.to.max(away.to);
        } else {
            self.unseen.push(away);
        }
        self.before = Counters { inbound_open: 0, outbound_open: 0, ..self.latest.1 };
    }

    /// An event with counters that go on from those before the restart. What was counted while nobody did is missing in
    /// them: differences across a restart are lower bounds.
    pub(super) fn continued<'a>(&self, event: &'a Event) -> Cow<'a, Event> {
        // Those of requests are there or not, which means something.
        let bare = event.counters == Counters::default()
            && matches!(event.kind, Kind::HookRequest(_) | Kind::HookResponse { .. });
        if self.unseen.is_empty() || bare {
            return Cow::Borrowed(event);
        }
        let (now, before) = (&event.counters, &self.before);
        let counters = Counters {
            inbound_open: now.inbound_open,
            outbound_open: now.outbound_open,
            inbound_total: now.inbound_total.saturating_add(before.inbound_total),
            outbound_total: now.outbound_total.saturating_add(before.outbound_total),
            last_inbound: now.last_inbound.or(before.last_inbound),
            late: now.late.saturating_add(before.late),
            forwarded: now.forwarded.saturating_add(before.forwarded),
            lost: now.lost.saturating_add(before.lost),
            aborted: now.aborted.saturating_add(before.aborted),
            outbound_failed: now.outbound_failed.saturating_add(before.outbound_failed),
            internal: now.internal.saturating_add(before.internal),
            kubelet: now.kubelet.saturating_add(before.kubelet),
            refused: now.refused.saturating_add(before.refused),
            last_refused: now.last_refused.or(before.last_refused),
            startup_refused: now.startup_refused.saturating_add(before.startup_refused),
        };
        Cow::Owned(Event { counters, ..event.clone() })
    }
}

/// A program executed as init, whichever.
fn init_exec() -> Exec {
    Exec {
        pid: Pid(0),
        parent: Pid(0),
        init: true,
        entered: true,
        comm: Comm::default(),
        filename: String::new(),
        argv: Default::default(),
    }
}

fn init_exit(ended: &Ended) -> Exit {
    Exit {
        pid: Pid(0),
        status: ended.status,
        init: true,
        entered: false,
        comm: ended.comm,
        cpu: Default::default(),
        processes: 1,
    }
}

fn resent(sent: &Sent) -> SignalSent {
    SignalSent {
        pid: Pid(0),
        init: true,
        comm: sent.comm,
        signal: sent.signal,
        code: 0,
        ignored: sent.ignored,
        sender: sent.sender,
        sender_comm: Comm::default(),
        sender_cgroup: sent.sender_cgroup,
    }
}

/// SIGKILL by the kernel to a living init.
fn kernel_sent() -> SignalSent {
    SignalSent {
        pid: Pid(0),
        init: true,
        comm: Comm::default(),
        signal: Signal::KILL,
        code: SignalSent::SI_KERNEL,
        ignored: false,
        sender: Pid(0),
        sender_comm: Comm::default(),
        sender_cgroup: None,
    }
}

#[cfg(test)]
impl Evidence {
    /// Out and back.
    pub(super) fn reborn(&self, config: &Config) -> Evidence {
        Evidence::import(&self.export(CgroupId(10), true), None, config)
    }
}
