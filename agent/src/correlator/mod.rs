//! Events in, timelines out: what happened to each container, and how its pod's termination went.
//!
//! Evidence is kept, not state: each container remembers what was seen of it ([`evidence`]), and [`verdict`] concludes
//! from that and from its identity, anew after each event. So records that overtake each other, and a pod that becomes
//! known only after its end, change nothing. [`pod`] groups containers into terminations.
//!
//! Pure: time comes with the input. Bounded: every list has a limit in [`Config`], and [`Stats`] counts what went over it.
//!
//! Use: call `handle_*`, then [`Correlator::poll_output`] until it has nothing more, then wait for the next input or for
//! [`Correlator::poll_timeout`] and call [`Correlator::handle_tick`].
#![forbid(unsafe_code)]

mod pod;
mod timeline;
mod verdict;
mod stop;
mod hook;
mod outcome;
mod connections;
mod sidecars;
mod reason;
mod silence;
mod wave;
mod findings;
mod evidence;
mod entered;
mod exchanges;
mod peers;
mod samples;
mod unseen;
mod missed;
mod export;
mod config;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use export::Revision;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::model::{
    BootTime, CgroupId, ContainerIdentity, Event, Kind, LifecycleHandler, PodUid, Role, TerminationId, Timeline,
    WallClock,
};
use evidence::Evidence;
use missed::Misses;
use pod::{Container, PodState, World};
use wave::Wave;

/// What the correlator has to tell.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A termination goes on, and something about it changed: start, phase, a hook's or signal's fate, a name.
    Changed(Timeline),
    /// A termination is over. Told once.
    Finished(Timeline),
    /// What [`Output::Changed`] told of was no termination: the signal came by hand, and nothing ended.
    Withdrawn(TerminationId),
    /// The container is about to be ended: the kernel side should tell of each change of its connections. Told once.
    Watch(CgroupId),
    /// The kubelet ends a container of a pod that is not being deleted: somebody may know why. Told once per termination.
    Unexplained(PodUid),
    /// The container is gone for good and was reported, if there was anything to report.
    Forgotten(CgroupId),
}

/// What went over a limit, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Containers forgotten to stay under [`Config::max_containers`], with what was known of their termination.
    pub evicted_containers: u64,
    /// Cgroups without identity forgotten to stay under [`Config::max_unknown`].
    pub evicted_unknown: u64,
    /// Records forgotten within one container. Usually of probes that have ended; not a loss by itself.
    pub evicted_records: u64,
    /// Containers that ended after the termination of their deleted pod was reported, and are not in it.
    pub late_containers: u64,
}

/// Correlates events to terminations.
#[derive(Debug)]
pub struct Correlator {
    config: Config,
    now: BootTime,
    clock: WallClock,
    pods: BTreeMap<PodUid, PodState>,
    /// Which life of which pod's container a cgroup is now.
    cgroups: BTreeMap<CgroupId, (PodUid, u64)>,
    /// All lives in the order in which they became known.
    numbers: BTreeMap<u64, PodUid>,
    next_number: u64,
    unknown: BTreeMap<CgroupId, Evidence>,
    deadlines: BTreeSet<(BootTime, PodUid)>,
    /// Deleted pods whose termination was reported, and the order in which that was.
    reported: BTreeSet<PodUid>,
    reported_order: VecDeque<PodUid>,
    wave: Wave,
    misses: Misses,
    /// Whether requests of the kubelet are seen, and since when, once that has changed.
    kubelet_watched: Option<(bool, BootTime)>,
    outputs: VecDeque<Output>,
    stats: Stats,
    revision: Revision,
}

impl Correlator {
    /// Knows nothing yet.
    pub fn new(config: Config) -> Correlator {
        Correlator {
            config,
            now: BootTime::default(),
            clock: WallClock::default(),
            pods: BTreeMap::new(),
            cgroups: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next_number: 0,
            unknown: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            reported: BTreeSet::new(),
            reported_order: VecDeque::new(),
            wave: Wave::default(),
            misses: Misses::default(),
            kubelet_watched: None,
            outputs: VecDeque::new(),
            stats: Stats::default(),
            revision: Revision::default(),
        }
    }

    /// A container became known, or more is known about it or its pod.
    pub fn handle_container(&mut self, identity: Arc<ContainerIdentity>) {
        let cgroup = identity.cgroup;
        let uid = identity.pod_uid.clone();
        if let Some((old, number)) = self.cgroups.get(&cgroup).cloned() {
            let known = self.container(&old, number).is_some_and(|container| container.identity.id == identity.id);
            if known && old == uid {
                self.update(&uid, number, identity);
                return;
            }
            self.replace(cgroup, None);
        }
        let evidence = self.unknown.remove(&cgroup).unwrap_or_default();
        let number = self.add(identity, evidence);
        self.cgroups.insert(cgroup, (uid.clone(), number));
        self.evaluate(&uid);
        self.evict_containers();
    }

    /// The kernel saw something.
    pub fn handle_event(&mut self, event: &Event) {
        if let Kind::KubeletWatched(watched) = event.kind {
            self.kubelet_watched = Some((watched, event.at));
            return;
        }
        if let Kind::ConnectionsSeeded { began } = event.kind {
            for pod in self.pods.values_mut() {
                pod.containers.iter_mut().for_each(|container| container.seed(began, event.at));
            }
            return;
        }
        if let Kind::Missed { since, missed } = event.kind {
            // Told with the next change, and with the end in any case.
            self.misses.record(since, event.at, missed, self.config.max_misses);
            return;
        }
        let cgroup = event.cgroup;
        if let Some((uid, number)) = self.cgroups.get(&cgroup).cloned() {
            let Some(container) = self.container(&uid, number) else { return };
            match life(&container.evidence, event) {
                Life::This => {
                    let identity = container.identity.clone();
                    let hook = identity.spec().and_then(|spec| spec.pre_stop.as_ref());
                    self.record(&uid, number, event, hook);
                }
                Life::NextOfSame => {
                    let identity = container.identity.clone();
                    self.replace(cgroup, Some(event.at));
                    let number = self.add(identity, Evidence::default());
                    self.cgroups.insert(cgroup, (uid.clone(), number));
                    self.record(&uid, number, event, None);
                    self.evict_containers();
                }
                Life::NextOfAnother => self.replace(cgroup, Some(event.at)),
            }
            // There may be thousands of these a second, and they decide nothing but the measures of connections.
            if let Kind::Connection(_) = event.kind { self.evaluate_soon(&uid) } else { self.evaluate(&uid) }
        } else {
            self.record_unknown(event);
        }
    }

    /// Time has come to `now`, and the wall clock is `wall_offset_ns` ahead of boot time.
    pub fn handle_tick(&mut self, now: BootTime, wall_offset_ns: i64) {
        self.now = self.now.max(now);
        self.clock.observe(now, wall_offset_ns);
        let due: Vec<PodUid> =
            self.deadlines.iter().take_while(|(at, _)| *at <= self.now).map(|(_, uid)| uid.clone()).collect();
        for uid in due {
            self.evaluate(&uid);
        }
        let wait = self.config.identity_wait;
        let now = self.now;
        self.unknown.retain(|_, evidence| evidence.removed_at.is_none_or(|at| at + wait > now));
    }

    /// When [`Correlator::handle_tick`] is due at the latest; always after the last tick.
    pub fn poll_timeout(&self) -> Option<BootTime> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The next thing to tell. Drain it after every input: what is not fetched is kept.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What went over a limit.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn world(&self) -> World<'_> {
        World {
            config: &self.config,
            now: self.now,
            clock: &self.clock,
            wave: &self.wave,
            misses: &self.misses,
            kubelet_watched: self.kubelet_watched,
        }
    }

    fn container(&self, uid: &PodUid, number: u64) -> Option<&Container> {
        self.pods.get(uid)?.containers.iter().find(|container| container.number == number)
    }

    fn add(&mut self, identity: Arc<ContainerIdentity>, evidence: Evidence) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let uid = identity.pod_uid.clone();
        let pod = self.pods.entry(uid.clone()).or_insert_with(|| PodState::new(uid.clone()));
        pod.learn(&identity);
        pod.containers.push(Container::new(identity, evidence, number, self.now));
        self.numbers.insert(number, uid);
        self.revision.containers += 1;
        number
    }

    fn update(&mut self, uid: &PodUid, number: u64, identity: Arc<ContainerIdentity>) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.learn(&identity);
        self.revision.containers += 1;
        if let Some(container) = pod.containers.iter_mut().find(|container| container.number == number) {
            container.identity = identity;
        }
        self.evaluate(uid);
    }

    fn record(&mut self, uid: &PodUid, number: u64, event: &Event, hook: Option<&LifecycleHandler>) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let requested = pod.requested.is_some();
        let Some(container) = pod.containers.iter_mut().find(|container| container.number == number) else { return };
        // All that is wanted of a sandbox is to know when it is gone.
        if container.identity.role == Role::Sandbox && !matches!(event.kind, Kind::CgroupRemoved) {
            return;
        }
        let before = container.evidence.evicted;
        let event = container.evidence.continued(event);
        let acts = container.has_acts || requested;
        container.evidence.observe(&event, hook, acts, &self.config);
        self.stats.evicted_records += container.evidence.evicted - before;
    }

    /// Keeps what belongs to nobody yet: its identity may come later. Cgroup events alone are no evidence, and most are
    /// of cgroups that are no container's.
    fn record_unknown(&mut self, event: &Event) {
        let cgroup = event.cgroup;
        match &event.kind {
            Kind::CgroupCreated { .. } => {
                if self.unknown.get(&cgroup).is_some_and(|known| life(known, event) == Life::NextOfAnother) {
                    self.unknown.remove(&cgroup);
                }
                return;
            }
            Kind::CgroupPopulated | Kind::CgroupEmpty | Kind::CgroupRemoved | Kind::Lost | Kind::Counted
                if !self.unknown.contains_key(&cgroup) =>
            {
                return;
            }
            _ => {}
        }
        let evidence = self.unknown.entry(cgroup).or_default();
        let before = evidence.evicted;
        evidence.observe(event, None, false, &self.config);
        self.stats.evicted_records += evidence.evicted - before;
        if self.unknown.len() > self.config.max_unknown {
            let oldest = self.unknown.iter().min_by_key(|(cgroup, evidence)| (evidence.latest.0, **cgroup));
            let oldest = oldest.map(|(cgroup, _)| *cgroup);
            self.unknown.retain(|cgroup, _| Some(*cgroup) != oldest);
            self.stats.evicted_unknown += 1;
        }
    }

    /// The cgroup id has another owner: ends the life that had it.
    fn replace(&mut self, cgroup: CgroupId, at: Option<BootTime>) {
        let Some((uid, number)) = self.cgroups.remove(&cgroup) else { return };
        let Some(pod) = self.pods.get_mut(&uid) else { return };
        if let Some(container) = pod.containers.iter_mut().find(|container| container.number == number) {
            container.replace(at);
        }
        self.evaluate(&uid);
    }

    /// Has a termination that goes on told of anew within [`Config::connections_every`].
    fn evaluate_soon(&mut self, uid: &PodUid) {
        let due = self.now + self.config.connections_every;
        let Some(pod) = self.pods.get_mut(uid).filter(|pod| pod.open.is_some()) else { return };
        if pod.deadline.is_none_or(|deadline| deadline > due) {
            if let Some(before) = pod.deadline.replace(due) {
                self.deadlines.remove(&(before, uid.clone()));
            }
            self.deadlines.insert((due, uid.clone()));
        }
    }

    fn evaluate(&mut self, uid: &PodUid) {
        while self.evaluate_once(uid) {}
    }

    /// Tells whether it has to be done again: each time reports a container at least.
    fn evaluate_once(&mut self, uid: &PodUid) -> bool {
        let Some(mut pod) = self.pods.remove(uid) else { return false };
        if let Some(deadline) = pod.deadline {
            self.deadlines.remove(&(deadline, uid.clone()));
        }
        let changes = pod.evaluate(self.world(), self.reported.contains(uid));
        self.revision.terminations += u64::from(changes.pending);
        for output in changes.outputs {
            let counts = !(changes.traffic_only && matches!(output, Output::Changed(_)));
            self.push(output, counts);
        }
        if let Some(begun) = changes.begun {
            self.wave.record(uid, begun, self.config.max_wave);
        }
        for (number, cgroup) in changes.dropped {
            self.numbers.remove(&number);
            if self.cgroups.get(&cgroup).is_some_and(|(_, current)| *current == number) {
                self.cgroups.remove(&cgroup);
            }
        }
        self.stats.late_containers += changes.late;
        if changes.deleted && self.reported.insert(uid.clone()) {
            self.reported_order.push_back(uid.clone());
            if self.reported_order.len() > self.config.max_reported
                && let Some(oldest) = self.reported_order.pop_front()
            {
                self.reported.remove(&oldest);
            }
        }
        if let Some(deadline) = pod.deadline {
            self.deadlines.insert((deadline, uid.clone()));
        }
        if !pod.is_unused() {
            self.pods.insert(uid.clone(), pod);
        }
        changes.again
    }

    /// Of one termination only the latest change is of interest. `counts`: a restart must not lose it.
    fn push(&mut self, output: Output, counts: bool) {
        match &output {
            _ if !counts => {}
            Output::Forgotten(_) => self.revision.containers += 1,
            Output::Unexplained(_) | Output::Watch(_) => {}
            Output::Changed(_) | Output::Finished(_) | Output::Withdrawn(_) => self.revision.terminations += 1,
        }
        if let Output::Changed(new) = &output
            && let Some(Output::Changed(last)) = self.outputs.back_mut()
            && last.id == new.id
        {
            *last = new.clone();
            return;
        }
        self.outputs.push_back(output);
    }

    fn evict_containers(&mut self) {
        while self.numbers.len() > self.config.max_containers {
            let Some((number, uid)) = self.numbers.pop_first() else { return };
            let Some(pod) = self.pods.get_mut(&uid) else { continue };
            let Some(index) = pod.containers.iter().position(|it| it.number == number) else { continue };
            let container = pod.containers.remove(index);
            self.stats.evicted_containers += 1;
            if !container.replaced {
                self.cgroups.remove(&container.identity.cgroup);
                self.push(Output::Forgotten(container.identity.cgroup), true);
            }
            self.evaluate(&uid);
        }
    }
}

/// Whose life an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// The one that is known.
    This,
    /// A new one of the same container: its init had ended, and another was started in the same cgroup.
    NextOfSame,
    /// A new one of another container: the cgroup id is used again.
    NextOfAnother,
}

fn life(evidence: &Evidence, event: &Event) -> Life {
    match &event.kind {
        Kind::CgroupCreated { .. } if evidence.first.is_some_and(|first| first < event.at) => Life::NextOfAnother,
        Kind::Exec(exec) if exec.init && evidence.exit.is_some_and(|ended| ended.at < event.at) => Life::NextOfSame,
        _ => Life::This,
    }
}
