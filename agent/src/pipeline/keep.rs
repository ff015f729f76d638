//! State across a restart, in a running agent: what an earlier run has left goes in, what this one will leave goes out.

use super::Live;
use crate::clock;
use crate::identity::{Source, Update, cgroupfs};
use crate::input::Input;
use crate::metrics::Saving;
use crate::model::Saved;
use crate::state::{Keeper, Status};

/// The state's two sides.
#[derive(Debug)]
pub struct State {
    /// What an earlier run has left, until it is taken up.
    pub restored: Option<[Input; 2]>,
    /// Who saves.
    pub keeper: Keeper,
    /// What there was has been taken up. Before that, what this run knows must not take its place.
    ready: bool,
}

impl State {
    /// Nothing is taken up yet.
    pub fn new(restored: Option<[Input; 2]>, keeper: Keeper) -> State {
        State { restored, keeper, ready: false }
    }
}

impl Live {
    /// Before the first walk: names of pods. Gives what has to wait until the walk has shown which containers are there.
    pub(super) fn restore_pods(&mut self) -> Option<Input> {
        let [pods, terminations] = self.state.as_mut()?.restored.take()?;
        self.feed(pods);
        Some(terminations)
    }

    /// After it.
    pub(super) fn restore_terminations(&mut self, terminations: Option<Input>) {
        if let Some(state) = &mut self.state {
            state.ready = true;
        }
        let Some(terminations) = terminations else { return };
        // What nobody has seen ends now.
        self.tick();
        if let Input::Restored(saved) = &terminations {
            self.follow_hooks(saved);
        }
        self.feed(terminations);
        // Nobody will ever tell that these pods are gone; those with containers are remembered all the same.
        self.feed(Input::Identity(Update::Pods { source: Source::State, pods: Vec::new() }));
    }

    /// Has the kernel side tell of the ends of hooks that still run: it has seen none of them begin.
    fn follow_hooks(&mut self, saved: &Saved) {
        for container in saved.pods.iter().flat_map(|pod| &pod.containers) {
            for pid in container.entered().into_iter().filter(|pid| cgroupfs::is_in(*pid, &container.id)) {
                if let Err(error) = self.probe.follow(pid) {
                    tracing::warn!("the end of a hook may not be seen: {error}");
                }
            }
        }
    }

    /// Saves, if it is time to.
    pub(super) fn keep_state(&mut self) {
        let Some(State { keeper, .. }) = &mut self.state else { return };
        let (now, revision) = (clock::timer_now(), self.pipeline.correlator().revision());
        keeper.observe(revision, || self.pipeline.correlator().has_open(), now);
        if keeper.due().is_some_and(|due| due <= now) {
            keeper.save(revision, now, || self.pipeline.save());
        }
    }

    /// Saves a last time.
    pub(super) fn leave_state(&mut self) {
        if let Some(State { keeper, ready: true, .. }) = self.state.take() {
            self.tick();
            keeper.finish(self.pipeline.save());
        }
    }

    pub(super) fn tell_state(&self) {
        let Some(State { keeper, .. }) = &self.state else { return };
        let status: &Status = keeper.status();
        let now = clock::boot_now();
        self.metrics.agent.state.set(&Saving {
            age: status.saved_at().map(|at| now.since(at)),
            bytes: status.bytes(),
            took: status.took(),
            saves: status.saves(),
            errors: status.errors(),
        });
    }
}
