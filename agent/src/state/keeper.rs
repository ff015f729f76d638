//! When the state is saved.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::writer::{self, Status};
use super::{StateDir, StateError};
use crate::correlator::Revision;
use crate::input::Input;

/// What happens to a termination is saved at once; so long, because one thing seldom comes alone.
const SOON: Duration = Duration::from_millis(50);
/// Containers come and go all the time; of these no more is lost than a name.
const CALM: Duration = Duration::from_secs(1);
/// While a termination goes on, the state is saved even if nothing happens: what comes after the last save is unseen.
const OPEN: Duration = Duration::from_secs(5);
/// After a save there is a rest of so many times what it took: a slow disk is left alone for most of the time.
const REST: u32 = 10;
/// How long the last save may take. A disk that hangs shall not keep the agent from leaving.
const PATIENCE: Duration = Duration::from_secs(2);

/// Decides when to save, and has it done. Costs nothing while nothing changes.
#[derive(Debug)]
pub struct Keeper {
    snapshots: SyncSender<Box<[Input; 2]>>,
    status: Arc<Status>,
    /// What the last snapshot had, and when it was taken.
    kept: Option<Revision>,
    kept_at: Instant,
    due: Option<Instant>,
    /// Closed when the thread has ended.
    done: Receiver<()>,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// When that fails.
    pub fn start(dir: StateDir, now: Instant) -> Result<Keeper, StateError> {
        let (snapshots, queue) = sync_channel(1);
        let status = Arc::new(Status::default());
        let shared = Arc::clone(&status);
        let (ended, done) = sync_channel::<()>(0);
        let work = move || {
            writer::run(&dir, &queue, &shared);
            // Whoever waits for the end may take the directory.
            drop(dir);
            drop(ended);
        };
        thread::Builder::new().name("state".to_owned()).spawn(work).map_err(StateError::Thread)?;
        Ok(Keeper { snapshots, status, kept: None, kept_at: now, due: None, done })
    }

    /// How it goes.
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Takes note of how things stand. `open`: a termination goes on.
    pub fn observe(&mut self, revision: Revision, open: impl FnOnce() -> bool, now: Instant) {
        let kept = self.kept.unwrap_or_default();
        let wait = if revision.terminations != kept.terminations {
            Some(Duration::ZERO)
        } else if self.kept != Some(revision) {
            Some(CALM)
        } else if open() || self.status.is_failing() {
            Some(OPEN)
        } else {
            None
        };
        let rest = self.status.took().saturating_mul(REST);
        let due = wait.map(|wait| (self.kept_at + wait.max(rest)).max(now + SOON));
        // What is due stays so: or with something new every few milliseconds it would never be.
        self.due = self.due.into_iter().chain(due).min().filter(|_| due.is_some());
    }

    /// When to call [`Keeper::save`].
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Hands over what `snapshot` makes, unless the one before is still being written: then it is tried again.
    pub fn save(&mut self, revision: Revision, now: Instant, snapshot: impl FnOnce() -> [Input; 2]) {
        self.due = None;
        self.kept_at = now;
        if self.snapshots.try_send(Box::new(snapshot())).is_ok() {
            self.kept = Some(revision);
        }
    }

    /// Saves a last time and waits until that is done, 2 s at most.
    pub fn finish(self, snapshot: [Input; 2]) {
        let Keeper { snapshots, done, .. } = self;
        // With one still waiting, this one is tried until that was taken.
        let mut snapshot = Some(Box::new(snapshot));
        let pause = PATIENCE / 100;
        for _ in 0..100 {
            let Some(last) = snapshot.take() else { break };
            if let Err(refused) = snapshots.try_send(last) {
                match refused {
                    std::sync::mpsc::TrySendError::Full(last) => snapshot = Some(last),
                    std::sync::mpsc::TrySendError::Disconnected(_) => return,
                }
                if done.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
            }
        }
        drop(snapshots);
        if done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the last state is not saved within {} s: the disk is too slow", PATIENCE.as_secs());
        }
    }
}
