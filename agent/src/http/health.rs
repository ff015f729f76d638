//! Whether the pipeline runs, and whether it is ready.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::BootTime;

/// What `/healthz` and `/readyz` go by. The pipeline writes it, the server reads it.
#[derive(Debug)]
pub struct Health {
    beat: AtomicU64,
    not_ready: Mutex<Option<String>>,
}

impl Health {
    /// The pipeline ticks at least once a second; this long without is a pipeline that hangs.
    const MAX_SILENCE: Duration = Duration::from_secs(10);

    /// Alive as of `now`, and not ready for this reason.
    pub fn new(now: BootTime, not_ready: impl Into<String>) -> Health {
        Health { beat: AtomicU64::new(now.0), not_ready: Mutex::new(Some(not_ready.into())) }
    }

    /// The pipeline has turned once more.
    pub fn beat(&self, now: BootTime) {
        self.beat.store(now.0, Ordering::Relaxed);
    }

    /// Everything is attached and read.
    pub fn set_ready(&self) {
        *self.not_ready.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Not ready, or not any more, for this reason.
    pub fn set_not_ready(&self, reason: impl Into<String>) {
        *self.not_ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.into());
    }

    /// Whether the pipeline runs; else why it is thought not to.
    pub(super) fn live(&self, now: BootTime) -> Result<(), String> {
        let silence = now.since(BootTime(self.beat.load(Ordering::Relaxed)));
        if silence <= Self::MAX_SILENCE {
            return Ok(());
        }
        Err(format!("the pipeline has not turned for {} s", silence.as_secs()))
    }

    /// Whether it is ready; else why not.
    pub(super) fn ready(&self) -> Result<(), String> {
        match &*self.not_ready.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(reason) => Err(reason.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_that_hangs() {
        let health = Health::new(BootTime(0), "starting");
        let after = |seconds: u64| BootTime(seconds * 1_000_000_000);
        assert_eq!(health.live(after(10)), Ok(()));
        assert_eq!(health.live(after(12)), Err("the pipeline has not turned for 12 s".to_owned()));
        health.beat(after(12));
        assert_eq!(health.live(after(20)), Ok(()));
        assert_eq!(health.live(after(1)), Ok(()), "read on another CPU a moment earlier");
    }

    #[test]
    fn ready_and_not() {
        let health = Health::new(BootTime(0), "starting");
        assert_eq!(health.ready(), Err("starting".to_owned()));
        health.set_ready();
        assert_eq!(health.ready(), Ok(()));
        health.set_not_ready("stopping");
        assert_eq!(health.ready(), Err("stopping".to_owned()));
    }
}
