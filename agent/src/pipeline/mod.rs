//! The only wiring: one loop over one closed enum of inputs. Same inputs, same output, to the byte.

mod live;
mod kubelet;
mod seeds;
mod keep;
mod account;
mod answers;
mod refused;
mod misses;
mod startup;

pub use account::Account;
pub use keep::State;
pub use kubelet::Kubelet;
pub use live::{Live, LiveError, Scans};
pub use refused::Refusals;
pub use seeds::Seeds;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::correlator::{Config, Correlator, Output};
use crate::identity::{AddressChange, Addresses, Change, Index, Source, Update};
use crate::input::Input;
use crate::metrics::Metrics;
use crate::model::{BootTime, CgroupId, Counters, Event, Kind, Pod, Timeline};
use crate::store::{Revision, Store, encode};
use startup::Startup;

/// Index, correlator and what they feed. Pure but for the store and the metrics, which others read.
pub struct Pipeline {
    index: Index,
    addresses: Addresses,
    startup: Startup,
    correlator: Correlator,
    store: Arc<Mutex<Store>>,
    metrics: Arc<Metrics>,
    now: BootTime,
    actions: VecDeque<Action>,
}

/// What the pipeline wants done outside.
#[derive(Debug)]
pub enum Action {
    /// Something for the source of kernel events or of cgroups.
    Index(Change),
    /// An address was left by its pod, or has somebody again. What the kernel side has still counted of the latter comes
    /// back as [`Kind::StaleConnections`].
    Address(AddressChange),
    /// Somebody may know why containers of this pod are being ended: ask, and tell with [`Update::Explained`].
    Explain(Arc<Pod>),
    /// The container is about to be ended: have the kernel side tell of each change of its connections.
    Watch(CgroupId),
    /// A termination is over: write it out.
    Report(Box<Ended>),
}

/// A termination that is over.
#[derive(Debug)]
pub struct Ended {
    /// What is known of it.
    pub timeline: Timeline,
    /// Its report, encoded once for the log and the API.
    pub json: Bytes,
}

impl Pipeline {
    /// Feeds `store` and `metrics`.
    pub fn new(config: Config, store: Arc<Mutex<Store>>, metrics: Arc<Metrics>) -> Pipeline {
        Pipeline {
            index: Index::new(),
            addresses: Addresses::default(),
            startup: Startup::default(),
            correlator: Correlator::new(config),
            store,
            metrics,
            now: BootTime::default(),
            actions: VecDeque::new(),
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, input: &Input) {
        match input {
            Input::Kernel(event) => {
                self.now = self.now.max(event.at);
                // The index first: an event may be the one that makes its container known.
                self.index.handle_event(event);
                self.settle_index();
                self.startup.handle_event(event, &self.index, &self.metrics);
                match event.kind {
                    Kind::StaleConnections { address, count } => {
                        if let Some(whose) = self.addresses.handle_stale(address).filter(|_| count > 0) {
                            self.metrics.terminations.observe_stale_route(&whose.namespace, &whose.workload, count);
                        }
                    }
                    // The kernel knows the kubelet's end only.
                    Kind::HookRequest(_) | Kind::HookResponse { .. } => {
                        if let Some(cgroup) = self.index.hook_target(event) {
                            self.correlator.handle_event(&Event { cgroup, ..event.clone() });
                        }
                    }
                    _ => self.correlator.handle_event(event),
                }
            }
            Input::Identity(update) => self.index.handle_update(update),
            Input::Restored(saved) => self.correlator.handle_restored(saved, |uid| self.index.pod(uid).cloned()),
            Input::Tick { now, wall_offset_ns } => {
                self.now = self.now.max(*now);
                self.addresses.handle_tick(self.now);
                self.correlator.handle_tick(*now, *wall_offset_ns);
            }
        }
        loop {
            self.settle_index();
            if !self.settle_correlator() {
                break;
            }
        }
        if let Input::Tick { .. } = input {
            let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            self.metrics.terminations.set_in_progress(store.in_progress(), self.now);
        }
    }

    /// When the next tick must come at the latest.
    pub fn poll_timeout(&self) -> Option<BootTime> {
        self.correlator.poll_timeout()
    }

    /// The next thing to do outside.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What has to outlive this run: the pods that have containers here, and what was seen of those. The inputs that a
    /// later run takes it up with.
    pub fn save(&self) -> [Input; 2] {
        let pods = self.index.attached_pods();
        [Input::Identity(Update::Pods { source: Source::State, pods }), Input::Restored(self.correlator.save(self.now))]
    }

    /// The latest time seen.
    pub fn now(&self) -> BootTime {
        self.now
    }

    /// The correlator, for its numbers about itself.
    pub fn correlator(&self) -> &Correlator {
        &self.correlator
    }

    /// How far the store has come.
    pub fn revision(&self) -> Revision {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).revision()
    }

    /// The index, for its numbers about itself.
    pub fn index(&self) -> &Index {
        &self.index
    }

    fn settle_index(&mut self) {
        while let Some(change) = self.index.poll_change() {
            match change {
                Change::Container(identity) => {
                    self.addresses.handle_container(&identity);
                    self.startup.settle(identity.cgroup, &self.index, &self.metrics);
                    self.correlator.handle_container(identity);
                }
                Change::Gone { cgroup } => self.correlator.handle_event(&self.gone(cgroup)),
                change => {
                    if let Change::Untrack { cgroup } = change {
                        self.addresses.handle_untracked(cgroup, self.now);
                        self.startup.handle_untracked(cgroup, &self.metrics);
                    }
                    self.actions.push_back(Action::Index(change));
                }
            }
        }
        while let Some(change) = self.addresses.poll_change() {
            self.actions.push_back(Action::Address(change));
        }
    }

    /// The record of a removal that was never seen.
    fn gone(&self, cgroup: CgroupId) -> Event {
        Event { at: self.now, cgroup, counters: Counters::default(), kind: Kind::CgroupRemoved }
    }

    /// Whether there was anything.
    fn settle_correlator(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.correlator.poll_output() {
            any = true;
            let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            match output {
                Output::Changed(timeline) => store.handle_timeline(timeline),
                Output::Finished(timeline) => {
                    self.metrics.terminations.observe_finished(&timeline);
                    let json = encode(&timeline, self.now);
                    store.handle_finished(&timeline, json.clone());
                    self.actions.push_back(Action::Report(Box::new(Ended { timeline, json })));
                }
                Output::Withdrawn(id) => store.withdraw(&id),
                Output::Watch(cgroup) => self.actions.push_back(Action::Watch(cgroup)),
                Output::Unexplained(uid) => {
                    self.actions.extend(self.index.pod(&uid).cloned().map(Action::Explain));
                }
                Output::Forgotten(cgroup) => self.index.handle_finished(cgroup),
            }
        }
        any
    }
}
