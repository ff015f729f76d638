//! The loop of a running agent: kernel, sources and time in; tracking, lines and metrics out.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::{Action, Pipeline};
use crate::clock;
use crate::http::Health;
use crate::identity::cgroupfs::{self, ScanError};
use crate::identity::{Change, FoundCgroup, Update};
use crate::input::Input;
use crate::line_writer::LineWriter;
use crate::metrics::Agent;
use crate::probe::{Probe, ProbeError};
use crate::recording::Recorder;
use crate::report;

/// How often the agent looks after itself: losses, map use, heartbeat, gauges.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How long wishes for a new walk of the cgroup tree are gathered before it is walked.
const RESCAN_DELAY: Duration = Duration::from_millis(50);
/// Walks at start, at most: each may find cgroups that were made while the one before it was looked at.
const SCANS_AT_START: usize = 5;

/// What can end the loop.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The kernel side can't be read any more.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The cgroup tree can't be walked at start.
    #[error(transparent)]
    Scan(#[from] ScanError),
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
    pub cgroup_root: PathBuf,
    /// Inputs go there too, if asked for.
    pub recorder: Option<Recorder>,
    /// One line of JSON per termination.
    pub lines: LineWriter,
    /// The agent's metrics about itself.
    pub metrics: Arc<Agent>,
    /// For `/healthz` and `/readyz`.
    pub health: Arc<Health>,
    /// Where walks of the cgroup tree stand.
    pub scans: Scans,
}

/// Walks of the cgroup tree: wanted from, and the one that runs.
#[derive(Debug, Default)]
pub struct Scans {
    wanted: Option<Instant>,
    running: Option<JoinHandle<Result<Vec<FoundCgroup>, ScanError>>>,
}

impl Live {
    /// Runs until `shutdown`, then closes the recording and the output.
    ///
    /// # Errors
    /// When the kernel side can't be read, or the cgroup tree can't be walked at start.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), LiveError> {
        let result = self.run_until(shutdown).await;
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
        self.scan_at_start().await?;
        self.health.set_ready();
        let mut housekeeping = Instant::now();
        loop {
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                batch = self.probe.next_batch(&mut events) => {
                    self.metrics.add_batch(&batch?);
                    for event in events.drain(..) {
                        self.feed(Input::Kernel(event));
                    }
                }
                Some(update) = self.updates.recv() => self.feed(Input::Identity(update)),
                found = self.scans.next() => match found {
                    Ok(found) => self.feed(Input::Identity(Update::Cgroups { found, at_start: false })),
                    Err(error) => self.scan_failed(&error),
                },
                () = sleep_until(self.next_tick(housekeeping)) => {
                    if Instant::now() >= housekeeping {
                        housekeeping = Instant::now() + HOUSEKEEPING;
                        self.look_after_itself()?;
                    }
                    self.tick();
                }
            }
            self.scans.start_if_due(&self.cgroup_root);
        }
    }

    /// The one way in: recorded, handled, carried out.
    fn feed(&mut self, input: Input) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&input);
        }
        self.pipeline.handle(&input);
        while let Some(action) = self.pipeline.poll_action() {
            match action {
                Action::Index(change) => self.apply(change),
                Action::Report(timeline) => {
                    let termination = report::termination(&timeline, self.pipeline.now());
                    let mut line = report::json_line(&termination).into_bytes();
                    line.push(b'\n');
                    self.lines.send(line);
                }
            }
        }
    }

    fn apply(&mut self, change: Change) {
        let done = match change {
            Change::Track { cgroup, owner, kind, init } => self.probe.track(cgroup, owner, kind, init),
            Change::Untrack { cgroup } => self.probe.untrack(cgroup),
            Change::Rescan => {
                self.scans.want();
                Ok(())
            }
            // Taken by the pipeline already.
            Change::Container(_) => Ok(()),
        };
        if let Err(error) = done {
            self.metrics.tracking_failed();
            tracing::warn!("{error}");
        }
    }

    fn tick(&mut self) {
        let wall_offset_ns = clock::wall_offset_ns();
        self.feed(Input::Tick { now: clock::boot_now(), wall_offset_ns });
    }

    /// The next housekeeping or the pipeline's timeout, whichever is first.
    fn next_tick(&self, housekeeping: Instant) -> Instant {
        match self.pipeline.poll_timeout() {
            Some(timeout) => housekeeping.min(Instant::now() + timeout.since(clock::boot_now())),
            None => housekeeping,
        }
    }

    /// Walks the tree until a walk brings nothing new to track. What is made below a cgroup that is tracked already is
    /// told by the kernel; a cgroup made between the walk and the tracking of the one above it is found by the next.
    async fn scan_at_start(&mut self) -> Result<(), LiveError> {
        for _ in 0..SCANS_AT_START {
            self.scans.want_now();
            self.scans.start_if_due(&self.cgroup_root);
            let found = self.scans.next().await?;
            let tracked = self.probe.tracked();
            self.feed(Input::Identity(Update::Cgroups { found, at_start: true }));
            if self.probe.tracked() == tracked {
                break;
            }
        }
        Ok(())
    }

    fn scan_failed(&self, error: &ScanError) {
        self.metrics.source_failed("cgroupfs");
        tracing::warn!("{error}");
    }

    fn look_after_itself(&mut self) -> Result<(), LiveError> {
        self.health.beat(clock::boot_now());
        let losses = self.probe.losses()?;
        if self.metrics.set_drops(&losses.drops) {
            tracing::warn!("the ring buffer was full and records were lost; terminations they belong to are marked incomplete");
            self.scans.want();
        }
        for event in losses.events {
            self.feed(Input::Kernel(event));
        }
        self.metrics.set_usage(&self.probe.usage());
        self.metrics.set_correlator(self.pipeline.correlator().stats());
        Ok(())
    }
}

impl Scans {
    fn want(&mut self) {
        self.wanted.get_or_insert_with(|| Instant::now() + RESCAN_DELAY);
    }

    fn want_now(&mut self) {
        self.wanted = Some(Instant::now());
    }

    fn start_if_due(&mut self, root: &std::path::Path) {
        if self.running.is_none() && self.wanted.is_some_and(|at| at <= Instant::now()) {
            self.wanted = None;
            let root = root.to_owned();
            self.running = Some(tokio::task::spawn_blocking(move || cgroupfs::scan(&root)));
        }
    }

    /// The result of the walk that runs; never, when none does.
    async fn next(&mut self) -> Result<Vec<FoundCgroup>, ScanError> {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let found = running.await;
        self.running = None;
        found.unwrap_or_else(|panic| Err(ScanError::Interrupted(panic.to_string())))
    }
}
