//! What was seen of one container: records sorted by their own time, so that the order of their arrival is gone.

use super::Config;
use super::entered::Entered;
use super::exchanges::{Exchanges, What};
use super::peers::{Marks, Peers};
use super::samples::Samples;
use crate::model::{
    BootTime, CgroupId, Comm, Counters, Event, Kind, LifecycleHandler, Pid, Signal, SignalDelivered, SignalSent,
    Unseen, WaitStatus,
};

/// Everything remembered about one life of a container. Holds no conclusion: [`super::verdict`] draws those.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    /// Processes that came in from outside: hooks, probes, `kubectl exec`.
    pub(super) entered: Entered,
    /// Requests of httpGet hooks.
    pub(super) exchanges: Exchanges,
    /// When a program was first executed as init: not only set up by the runtime.
    pub(super) started_at: Option<BootTime>,
    /// Processes of its own were seen.
    pub(super) populated_at: Option<BootTime>,
    /// Signals that processes sent to the init, without SIGKILL.
    pub(super) signals: Vec<Sent>,
    /// SIGKILLs that processes sent to the init and that found it alive.
    pub(super) kills: Vec<Sent>,
    /// SIGKILL by the kernel to an init that was alive, not in another container's context: the OOM killer.
    pub(super) kernel_kill: Option<BootTime>,
    /// What the init took.
    pub(super) deliveries: Vec<(BootTime, SignalDelivered)>,
    /// Whom the OOM killer chose; true for the init.
    pub(super) victims: Vec<(BootTime, bool)>,
    /// The init's end.
    pub(super) exit: Option<Ended>,
    /// The last time the cgroup became empty.
    pub(super) empty_at: Option<BootTime>,
    /// The cgroup's removal.
    pub(super) removed_at: Option<BootTime>,
    /// The time of the earliest record.
    pub(super) first: Option<BootTime>,
    /// The latest snapshot of the counters.
    pub(super) latest: (BootTime, Counters),
    /// Inbound connections that were open.
    pub(super) curve: Samples,
    /// Outbound connections that had failed so far.
    pub(super) failures: Samples,
    /// Who connections were with.
    pub(super) peers: Peers,
    /// When the count of lost records was seen to have grown, and to what.
    pub(super) losses: Vec<(BootTime, u64)>,
    /// When no agent watched, before this run.
    pub(super) unseen: Vec<Unseen>,
    /// The counters at the end of the run before; the kernel side has counted from 0 since.
    pub(super) before: Counters,
    /// Records that were dropped to stay within bounds.
    pub(super) evicted: u64,
}

/// A signal on its way to the init.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) at: BootTime,
    pub(super) signal: Signal,
    pub(super) ignored: bool,
    pub(super) sender: Pid,
    pub(super) sender_cgroup: Option<CgroupId>,
    pub(super) comm: Comm,
    pub(super) counters: Counters,
}

/// The init's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) at: BootTime,
    pub(super) status: WaitStatus,
    pub(super) comm: Comm,
    pub(super) counters: Counters,
}

impl Evidence {
    /// Losses remembered; later growth extends the last.
    const MAX_LOSSES: usize = 8;

    /// Takes note of an event and of the counters that came with it. `acts`: somebody may have begun to end the container.
    pub(super) fn observe(&mut self, event: &Event, hook: Option<&LifecycleHandler>, acts: bool, config: &Config) {
        self.record(event, hook, config);
        if counts(event) && config.sight.connections {
            self.curve.record(event.at, event.counters.inbound_open, acts);
            self.failures.record_growth(event.at, event.counters.outbound_failed, acts);
        }
    }

    /// Takes note of an event. `hook` is the container's preStop handler, if known: its runs are kept longest.
    pub(super) fn record(&mut self, event: &Event, hook: Option<&LifecycleHandler>, config: &Config) {
        let at = event.at;
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        if counts(event) {
            self.snapshot(at, event.counters);
        }
        match &event.kind {
            Kind::Exec(exec) if exec.init && is_runtime(&exec.comm, &exec.filename) => {}
            Kind::Exec(exec) if exec.init => {
                self.started_at = Some(self.started_at.map_or(at, |known| known.min(at)));
            }
            Kind::Exec(exec) if exec.entered => {
                self.entered.exec(at, exec, event.counters);
                self.evicted += self.entered.shrink(config.max_entered, hook);
            }
            Kind::Exit(exit) if exit.init => {
                if self.exit.is_none_or(|known| at < known.at) {
                    self.exit = Some(Ended { at, status: exit.status, comm: exit.comm, counters: event.counters });
                }
            }
            Kind::Exit(exit) if exit.entered => {
                self.entered.exit(at, exit, event.counters);
                self.evicted += self.entered.shrink(config.max_entered, hook);
            }
            Kind::SignalSent(sent) if sent.init => self.signal(event, sent, config.max_signals),
            Kind::SignalDelivered(delivered) => {
                let list = &mut self.deliveries;
                self.evicted += insert(list, (at, *delivered), |(at, it)| (*at, it.signal.0), config.max_signals);
            }
            Kind::OomVictim { init, .. } => {
                self.evicted += insert(&mut self.victims, (at, *init), |it| *it, config.max_signals);
            }
            Kind::CgroupPopulated => self.populated_at = self.populated_at.max(Some(at)),
            Kind::CgroupEmpty => self.empty_at = self.empty_at.max(Some(at)),
            Kind::CgroupRemoved => self.removed_at = Some(self.removed_at.map_or(at, |known| known.min(at))),
            Kind::HookRequest(request) => {
                let what = What::Request(request.clone());
                self.evicted += self.exchanges.record(at, what, event.counters, config.max_exchanges);
            }
            Kind::HookResponse { flow, status } => {
                let what = What::Response { flow: *flow, status: *status };
                self.evicted += self.exchanges.record(at, what, event.counters, config.max_exchanges);
            }
            Kind::Exec(_) | Kind::Exit(_) | Kind::SignalSent(_) | Kind::CgroupCreated { .. } => {}
            Kind::Connection(change) => {
                let marks = self.marks();
                self.peers.record(at, change, marks, config.max_peers);
            }
            Kind::Lost | Kind::Counted | Kind::KubeletWatched(_) | Kind::Missed { .. } => {}
            Kind::ConnectionsSeeded { .. } | Kind::StaleConnections { .. } => {}
        }
    }

    /// Forgets who connections were with, if that was long ago: it looked as if the container was about to be ended, and
    /// it was not, or not yet.
    pub(super) fn forget_peers(&mut self, now: BootTime) {
        if self.peers.since().is_some_and(|since| now.since(since) > FALSE_ALARM) {
            self.peers = Peers::default();
        }
    }

    /// When the init was killed and when it ended.
    pub(super) fn marks(&self) -> Marks {
        Marks { kill: self.kills.first().map(|sent| sent.at), exit: self.exit.map(|ended| ended.at) }
    }

    /// Whether the container ever ran a program, as far as is known. One that is created and deleted without a start has
    /// only stages of the runtime in it, which die of SIGKILL or because they can't execute its program.
    pub(super) fn lived(&self) -> bool {
        let signalled = !self.signals.is_empty() || !self.kills.is_empty();
        !self.failed_to_start() && (self.started_at.is_some() || signalled || self.entered.ran_a_program())
    }

    /// Whether the init ended before it became the container's program: the runtime could not start it.
    pub(super) fn failed_to_start(&self) -> bool {
        self.started_at.is_none() && self.exit.is_some_and(|ended| is_runtime(&ended.comm, ""))
    }

    /// When the cgroup became empty for good: of processes, or removed.
    pub(super) fn emptied(&self) -> Option<BootTime> {
        // A cgroup is populated and emptied again while a container is being made: only an end counts.
        let empty = self.empty_at.filter(|at| Some(*at) > self.populated_at);
        let after_exit = empty.filter(|at| self.exit.is_none_or(|ended| *at + EMPTY_SKEW >= ended.at));
        after_exit.or(self.removed_at)
    }

    fn signal(&mut self, event: &Event, sent: &SignalSent, max: usize) {
        let (at, counters) = (event.at, event.counters);
        let record = Sent {
            at,
            signal: sent.signal,
            ignored: sent.ignored,
            sender: sent.sender,
            sender_cgroup: sent.sender_cgroup,
            comm: sent.comm,
            counters,
        };
        let kill = sent.signal == Signal::KILL;
        if sent.from_kernel() {
            // A dying init of a pid namespace sends SIGKILL to all, itself included; the kernel drops that one. Where
            // the containers of a pod share a namespace (shareProcessNamespace), its init is the sandbox's.
            let own = sent.sender_cgroup.is_none_or(|cgroup| cgroup == event.cgroup);
            if kill && own && !sent.ignored {
                self.kernel_kill = Some(self.kernel_kill.map_or(at, |known| known.min(at)));
            }
        } else if !kill {
            insert(&mut self.signals, record, |it| (it.at, it.signal.0), usize::MAX);
            self.evicted += shrink_signals(&mut self.signals, max);
        } else if !sent.ignored {
            // SIGKILL is dropped ("ignored") only by a process that is dying already: prepare_signal(), kernel/signal.c.
            insert(&mut self.kills, record, |it| (it.at, it.signal.0), usize::MAX);
            if self.kills.len() > max {
                self.kills.pop();
                self.evicted += 1;
            }
        }
    }

    fn snapshot(&mut self, at: BootTime, counters: Counters) {
        if at >= self.latest.0 {
            self.latest = (at, counters);
        }
        let full = self.losses.len() >= Self::MAX_LOSSES;
        match self.losses.last_mut() {
            Some((_, known)) if counters.lost < *known => {}
            Some((seen, known)) if counters.lost == *known => *seen = at.min(*seen),
            None if counters.lost == 0 => {}
            Some(last) if full => *last = (at, counters.lost),
            _ => self.losses.push((at, counters.lost)),
        }
    }
}

/// An exit and the empty cgroup that follows it may be stamped out of order by this much.
const EMPTY_SKEW: std::time::Duration = std::time::Duration::from_millis(1);

/// What was told of connections this long before an end is not of that end.
const FALSE_ALARM: std::time::Duration = std::time::Duration::from_secs(60);

/// Whether this is a stage of the runtime on its way into the container, not a program of it: runc 1.5 clones `runc
/// init` straight into the cgroup, and it re-executes itself from a file descriptor there.
pub(super) fn is_runtime(comm: &Comm, filename: &str) -> bool {
    comm.as_bytes().starts_with(b"runc:[") || filename.starts_with("/proc/self/fd/") || filename.starts_with("/dev/fd/")
}

/// Whether the counters that come with an event are the container's.
fn counts(event: &Event) -> bool {
    match event.kind {
        Kind::CgroupCreated { .. } => false,
        // Connections are refused up to the last; but a removal that nobody saw comes without.
        Kind::CgroupRemoved => event.counters != Counters::default(),
        // These are the kubelet's records: what is counted there need not be the container's.
        Kind::HookRequest(_) | Kind::HookResponse { .. } | Kind::KubeletWatched(_) => false,
        Kind::ConnectionsSeeded { .. } | Kind::StaleConnections { .. } | Kind::Missed { .. } => false,
        _ => true,
    }
}

/// Inserts sorted by `key`; drops the oldest over `max`. Tells how many were dropped.
fn insert<T, K: Ord>(list: &mut Vec<T>, item: T, key: impl Fn(&T) -> K, max: usize) -> u64 {
    let index = list.partition_point(|known| key(known) <= key(&item));
    list.insert(index, item);
    if list.len() <= max {
        return 0;
    }
    list.remove(0);
    1
}

/// Drops signals over `max`: first those that are neither the first nor the last of their kind, because a termination
/// starts with the first and hangs on the last.
fn shrink_signals(signals: &mut Vec<Sent>, max: usize) -> u64 {
    if signals.len() <= max {
        return 0;
    }
    let of_kind = |part: &[Sent], signal: Signal| part.iter().any(|it| it.signal == signal);
    let middle = (0..signals.len())
        .find(|&i| of_kind(&signals[..i], signals[i].signal) && of_kind(&signals[i + 1..], signals[i].signal));
    signals.remove(middle.unwrap_or(0));
    1
}
