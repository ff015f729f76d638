//! How a source of pods is doing. The source writes it, metrics read it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::model::BootTime;

/// How a source is doing.
#[derive(Debug, Default)]
pub struct Health {
    errors: AtomicU64,
    skipped: AtomicU64,
    good_at: AtomicU64,
    failing: AtomicBool,
    unused: AtomicBool,
}

impl Health {
    /// How often the source could not be asked or understood.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Pods in the present state that cannot be read.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// When the present state was last known to be what the source says: its age is the time since. `None` before the
    /// first answer.
    pub fn good_at(&self) -> Option<BootTime> {
        Some(BootTime(self.good_at.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }

    /// Whether the last try failed.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Whether there is nothing to ask, and nobody said that there must be: it has no age.
    pub fn is_unused(&self) -> bool {
        self.unused.load(Ordering::Relaxed)
    }

    /// Says whether there is nothing to ask; tells what was said before.
    pub fn set_unused(&self, unused: bool) -> bool {
        self.unused.swap(unused, Ordering::Relaxed)
    }

    /// Counts a failure; tells whether it is the first in a row: worth a line in the log.
    pub fn observe_error(&self) -> bool {
        self.errors.fetch_add(1, Ordering::Relaxed);
        !self.failing.swap(true, Ordering::Relaxed)
    }

    /// The source has answered; tells whether it had failed before.
    pub fn observe_good(&self, now: BootTime) -> bool {
        self.good_at.store(now.0, Ordering::Relaxed);
        self.failing.swap(false, Ordering::Relaxed)
    }

    /// Says how many pods cannot be read; tells whether that is another number than before.
    pub fn set_skipped(&self, skipped: u64) -> bool {
        self.skipped.swap(skipped, Ordering::Relaxed) != skipped
    }
}
