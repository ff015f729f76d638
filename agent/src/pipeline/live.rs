//! The loop of a running agent: kernel, sources and time in; tracking, lines and metrics out.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::{Account, Action, Ended, Kubelet, Pipeline, Refusals, Seeds, State};
use crate::clock;
use crate::http::{Feed, Health, Inquiry};
use crate::identity::cgroupfs::{self, CgroupRoot};
use crate::identity::{self, Change, Source, Update};
use crate::input::Input;
use crate::line_writer::LineWriter;
use crate::metrics::{Metrics, Usage as ProcessUsage};
use crate::model::{BootTime, CgroupId, CgroupKind, Counters, Event, Kind, Pod};
use crate::probe::{Batch, HOOKS, Hook, Probe, ProbeError};
use crate::recording::Recorder;

/// How often the agent looks after itself: losses, map use, heartbeat, gauges.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How often it counts what is in the kernel's maps, entry by entry.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// How long wishes for a new walk of the cgroup tree are gathered before it is walked.
const RESCAN_DELAY: Duration = Duration::from_millis(50);
/// From the end of a walk to the next, at least: a node where much comes and goes is not walked all the time.
const REST: Duration = Duration::from_millis(500);
/// How often it is walked in any case: what no event has told of is found then, at the latest.
const WALK_EVERY: Duration = Duration::from_secs(60);
/// The same where the kernel tells nothing of cgroups that come.
const WALK_OFTEN: Duration = Duration::from_secs(2);
/// The label of walks among the sources of identity.
pub(super) const CGROUPS: &str = "cgroups";
/// Walks at start, at most: each may find cgroups that were made while the one before it was looked at.
const SCANS_AT_START: usize = 5;

/// What can end the loop.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The kernel side can't be read any more.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The cgroup tree can't be walked at start.
    #[error("cannot walk the cgroup tree at {dir}: {source}")]
    Scan {
        /// Where it begins.
        dir: String,
        /// Why not.
        source: io::Error,
    },
}

/// A running agent.
pub struct Live {
    /// The core.
    pub pipeline: Pipeline,
    /// The kernel side.
    pub probe: Probe,
    /// What the sources of identity send.
    pub updates: mpsc::Receiver<Update>,
    /// Where the cgroup tree is walked.
    pub cgroup_root: CgroupRoot,
    /// How the sources of pods are doing, those that there are.
    pub sources: Vec<(Source, Arc<identity::Health>)>,
    /// Looks for the kubelet's cgroup.
    pub kubelet: Kubelet,
    /// Told each time a container is new: the runtime is worth asking then.
    pub container_came: Arc<Notify>,
    /// Whom to ask why a pod was ended, if there is somebody.
    pub questions: Option<mpsc::Sender<Arc<Pod>>>,
    /// What survives a restart, if asked for.
    pub state: Option<State>,
    /// The node that pods are on whose source does not say.
    pub node_name: Option<Arc<str>>,
    /// Inputs go there too, if asked for.
    pub recorder: Option<Recorder>,
    /// Makes the line of a termination, with its line break.
    pub line: fn(&Ended) -> Vec<u8>,
    /// One line per termination.
    pub lines: LineWriter,
    /// Of these, the agent's own are set here.
    pub metrics: Arc<Metrics>,
    /// For `/healthz` and `/readyz`.
    pub health: Arc<Health>,
    /// Told when there is news for those who read the stream.
    pub feed: Arc<Feed>,
    /// Questions of the server.
    pub inquiries: mpsc::Receiver<Inquiry>,
    /// What is told of the agent itself.
    pub account: Account,
    /// Where walks of the cgroup tree stand.
    pub scans: Scans,
    /// Where searches for older connections stand.
    pub seeds: Seeds,
    /// What was lost by hook, at the last look.
    pub drops: [u64; HOOKS],
    /// When it began.
    pub started: BootTime,
    /// Where looks for refused connections stand.
    pub refusals: Refusals,
    /// When the kernel's maps were last counted.
    pub counted_at: Option<BootTime>,
}

/// Walks of the cgroup tree: wanted from, and the one that runs.
#[derive(Debug, Default)]
pub struct Scans {
    wanted: Option<Instant>,
    running: Option<JoinHandle<io::Result<Update>>>,
    /// Cgroups that the kernel side was told to track so far.
    tracked: u64,
    /// When the last walk ended, for the timer.
    ended: Option<Instant>,
    /// When the tree was last walked.
    walked_at: BootTime,
    /// Whether the last walk failed.
    failing: bool,
    /// How many have failed.
    errors: u64,
}

impl Live {
    /// Runs until `shutdown`, then closes the recording and the output.
    ///
    /// # Errors
    /// When the kernel side can't be read, or the cgroup tree can't be walked at start.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), LiveError> {
        let result = self.run_until(shutdown).await;
        self.leave_state();
        if let Some(recorder) = self.recorder {
            recorder.finish();
        }
        self.lines.finish();
        result
    }

    async fn run_until(&mut self, shutdown: impl Future<Output = ()>) -> Result<(), LiveError> {
        let mut shutdown = pin!(shutdown);
        let mut events = Vec::new();
        self.tick();
        let terminations = self.restore_pods();
        self.scan_at_start().await?;
        self.restore_terminations(terminations);
        self.seed_if_wanted();
        self.health.set_ready();
        let mut housekeeping = clock::timer_now();
        loop {
            let next_tick = self.next_tick(housekeeping);
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                batch = self.probe.next_batch(&mut events) => {
                    self.count(&batch?);
                    for event in events.drain(..) {
                        self.feed(Input::Kernel(event));
                    }
                }
                Some(inquiry) = self.inquiries.recv() => self.answer(inquiry),
                Some(mut update) = self.updates.recv() => {
                    if let Some(node) = &self.node_name {
                        update.fill_node(node);
                    }
                    self.feed(Input::Identity(update));
                }
                walked = self.scans.next() => self.take_walk(walked),
                searched = self.seeds.next() => self.take_search(searched),
                found = self.kubelet.next() => {
                    if let Some(watched) = self.kubelet.apply(found, &mut self.probe, &self.metrics) {
                        self.feed(Input::Kernel(kubelet_watched(watched)));
                    }
                }
                () = sleep_until(next_tick) => {
                    if clock::timer_now() >= housekeeping {
                        housekeeping = clock::timer_now() + HOUSEKEEPING;
                        self.look_after_itself()?;
                    }
                    self.tick();
                }
            }
            self.scans.start_if_due(&self.cgroup_root);
            self.seed_if_wanted();
            self.keep_state();
            self.feed.announce(self.pipeline.revision());
        }
    }

    /// The one way in: recorded, handled, carried out.
    pub(super) fn feed(&mut self, input: Input) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&input);
        }
        self.pipeline.handle(&input);
        while let Some(action) = self.pipeline.poll_action() {
            match action {
                Action::Index(change) => self.apply(change),
                Action::Address(change) => self.apply_address(change),
                // When it is busy asking, the answer comes too late anyway.
                Action::Explain(pod) => drop(self.questions.as_ref().map(|questions| questions.try_send(pod))),
                Action::Watch(container) => {
                    if let Err(error) = self.probe.watch_connections(container) {
                        self.metrics.agent.sources.observe_error(CGROUPS);
                        tracing::warn!("the peers of a container that is being ended may not be told: {error}");
                    }
                }
                Action::Report(ended) => {
                    self.lines.send((self.line)(&ended));
                }
            }
        }
    }

    fn apply(&mut self, change: Change) {
        let done = match change {
            Change::Track { cgroup, owner, kind, init } => {
                self.scans.tracked += 1;
                if kind == CgroupKind::Container {
                    self.container_came.notify_one();
                }
                self.probe.track(cgroup, owner, kind, init)
            }
            Change::Untrack { cgroup } => self.probe.untrack(cgroup),
            Change::Rescan => {
                self.scans.want();
                Ok(())
            }
            // Taken by the pipeline already.
            Change::Container(_) | Change::Gone { .. } => Ok(()),
        };
        if let Err(error) = done {
            self.metrics.agent.sources.observe_error(CGROUPS);
            tracing::warn!("{error}");
        }
    }

    pub(super) fn tick(&mut self) {
        self.tell_refused();
        self.tell_missed();
        let wall_offset_ns = clock::wall_offset_ns();
        self.feed(Input::Tick { now: clock::boot_now(), wall_offset_ns });
    }

    fn tell_missed(&mut self) {
        let now = clock::boot_now();
        if !self.account.misses.is_due(now) {
            return;
        }
        if let Some(event) = self.account.misses.look(now, self.probe.misses()) {
            self.feed(Input::Kernel(event));
        }
    }

    /// The next housekeeping or the pipeline's timeout, whichever is first.
    fn next_tick(&self, housekeeping: Instant) -> Instant {
        let timeout = self.pipeline.poll_timeout();
        let timeout = timeout.map(|timeout| clock::timer_now() + timeout.since(clock::boot_now()));
        let state = self.state.as_ref().and_then(|state| state.keeper.due());
        [Some(housekeeping), timeout, self.scans.due(), state].into_iter().flatten().min().unwrap_or(housekeeping)
    }

    /// Walks the tree until a walk brings nothing new to track. What is made below a cgroup that is tracked already is
    /// told by the kernel; a cgroup made between the walk and the tracking of the one above it is found by the next.
    async fn scan_at_start(&mut self) -> Result<(), LiveError> {
        for _ in 0..SCANS_AT_START {
            self.scans.wanted = Some(clock::timer_now());
            self.scans.start_if_due(&self.cgroup_root);
            let walked = self.scans.next().await;
            let dir = || self.cgroup_root.dir().display().to_string();
            let update = walked.map_err(|source| LiveError::Scan { dir: dir(), source })?;
            let tracked = self.scans.tracked;
            self.take_walk(Ok(update));
            if self.scans.tracked == tracked {
                break;
            }
        }
        Ok(())
    }

    fn take_walk(&mut self, walked: io::Result<Update>) {
        match walked {
            Ok(update) => {
                self.scans.walked_at = clock::boot_now();
                self.scans.failing = false;
                let tracked = self.scans.tracked;
                self.feed(Input::Identity(update));
                if self.scans.tracked > tracked {
                    self.scans.want();
                    self.seeds.want();
                }
            }
            Err(error) => {
                self.scans.failing = true;
                self.scans.errors += 1;
                self.metrics.agent.sources.observe_error(CGROUPS);
                tracing::warn!("cannot walk the cgroup tree at {}: {error}", self.cgroup_root.dir().display());
                self.scans.want();
            }
        }
    }

    fn count(&mut self, batch: &Batch) {
        self.account.count(batch);
        for (index, hook) in Hook::ALL.iter().enumerate() {
            if batch.received[index] + batch.malformed[index] > 0 {
                let kernel = &self.metrics.agent.kernel;
                kernel.observe_records(hook.name(), batch.received[index], batch.malformed[index]);
            }
        }
        if batch.unknown > 0 {
            self.metrics.agent.kernel.observe_records("unknown", 0, batch.unknown);
        }
    }

    fn look_after_itself(&mut self) -> Result<(), LiveError> {
        let now = clock::boot_now();
        self.health.beat(now);
        let losses = self.probe.losses(now)?;
        for (hook, total) in Hook::ALL.iter().zip(losses.drops) {
            self.metrics.agent.kernel.set_dropped(hook.name(), total);
        }
        if losses.drops != self.drops {
            self.drops = losses.drops;
            tracing::warn!("records were lost; terminations that they belong to are marked incomplete");
            // The lost ones may have told of cgroups.
            self.scans.want();
        }
        for event in losses.events {
            self.feed(Input::Kernel(event));
        }
        if self.counted_at.is_none_or(|at| now.since(at) >= COUNT_EVERY) {
            self.counted_at = Some(now);
            for (hook, missed) in self.account.misses.by_hook() {
                self.metrics.agent.kernel.set_missed(hook.name(), *missed);
            }
            self.probe.sweep_ports(now)?;
            self.account.maps = self.probe.map_usage();
            for map in &self.account.maps {
                self.metrics.agent.kernel.set_map(map.map, map.used, map.max);
            }
        }
        // Runs are zero unless somebody asks the kernel to count them, and a zero would be a lie.
        self.account.usage = self.probe.hook_usage();
        self.account.usage.retain(|hook| hook.runs > 0);
        for hook in &self.account.usage {
            self.metrics.agent.kernel.set_runs(hook.hook.name(), hook.runs, hook.time);
        }
        let told = self.probe.hooks().iter().any(|status| status.hook == Hook::CgroupMkdir && status.missing.is_none());
        if now.since(self.scans.walked_at) >= if told { WALK_EVERY } else { WALK_OFTEN } {
            self.scans.want();
        }
        self.metrics.agent.sources.set_age(CGROUPS, now.since(self.scans.walked_at));
        for (source, health) in self.sources.iter().filter(|(_, health)| !health.is_unused()) {
            // One that never answered is as old as the agent.
            let age = now.since(health.good_at().unwrap_or(self.started));
            self.metrics.agent.sources.set_age(source.as_str(), age);
            self.metrics.agent.sources.set_errors(source.as_str(), health.errors());
        }
        self.kubelet.look_if_due(now, &self.probe);
        self.tell_what_was_left_out();
        self.tell_state();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        self.account.process = ProcessUsage::parse(&status, clock::process_cpu());
        if let Some(usage) = self.account.process {
            self.metrics.agent.process.set(usage);
        }
        Ok(())
    }
}

impl Live {
    fn tell_what_was_left_out(&self) {
        for (what, total) in self.left_out() {
            self.metrics.agent.limits.set_left_out(what, total);
        }
    }

    /// What found no room, since the start.
    pub(super) fn left_out(&self) -> [(&'static str, u64); 9] {
        let correlator = self.pipeline.correlator().stats();
        let refused = self.pipeline.index().refused();
        [
            ("containers", correlator.evicted_containers),
            ("cgroups_without_identity", correlator.evicted_unknown),
            ("records_within_a_container", correlator.evicted_records),
            ("containers_after_their_pod", correlator.late_containers),
            ("cgroups", refused.cgroups),
            ("pods", refused.pods),
            ("hooks_without_a_container", refused.hooks),
            ("lines", self.lines.lost()),
            ("recorded_inputs", self.recorder.as_ref().map_or(0, Recorder::lost)),
        ]
    }
}

/// Told once the programs are where they shall be: what was sent before went by unseen.
fn kubelet_watched(watched: bool) -> Event {
    let kind = Kind::KubeletWatched(watched);
    Event { at: clock::boot_now(), cgroup: CgroupId(0), counters: Counters::default(), kind }
}

impl Scans {
    pub(super) fn walked_at(&self) -> BootTime {
        self.walked_at
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors
    }

    fn want(&mut self) {
        let soon = clock::timer_now() + RESCAN_DELAY;
        let rested = self.ended.map_or(soon, |ended| ended + REST);
        self.wanted.get_or_insert(soon.max(rested));
    }

    /// When a wanted walk may begin.
    fn due(&self) -> Option<Instant> {
        if self.running.is_none() { self.wanted } else { None }
    }

    fn start_if_due(&mut self, root: &CgroupRoot) {
        if self.running.is_none() && self.wanted.is_some_and(|at| at <= clock::timer_now()) {
            self.wanted = None;
            let root = root.clone();
            self.running = Some(tokio::task::spawn_blocking(move || cgroupfs::scan(&root)));
        }
    }

    /// The result of the walk that runs; never, when none does.
    async fn next(&mut self) -> io::Result<Update> {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let walked = running.await;
        self.running = None;
        self.ended = Some(clock::timer_now());
        walked.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }
}
