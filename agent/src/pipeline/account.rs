//! What a running agent keeps in mind of itself, to tell those who ask: metrics are written and never read.

use super::misses::Misses;
use crate::metrics::Usage as ProcessUsage;
use crate::probe::{Batch, HOOKS, HookUsage, MapUsage};

/// Numbers as of the last look.
#[derive(Debug, Default)]
pub struct Account {
    /// Records read, by hook.
    pub(super) received: [u64; HOOKS],
    /// Records that could not be decoded, by hook.
    pub(super) malformed: [u64; HOOKS],
    /// Runs that the kernel left out, where it counts.
    pub(super) misses: Misses,
    /// What the hooks have cost, where somebody asked the kernel to count.
    pub(super) usage: Vec<HookUsage>,
    /// How full the maps are.
    pub(super) maps: Vec<MapUsage>,
    /// SYNs that are counted nowhere.
    pub(super) refused_left_out: u64,
    /// What the process takes.
    pub(super) process: Option<ProcessUsage>,
}

impl Account {
    pub(super) fn count(&mut self, batch: &Batch) {
        for index in 0..HOOKS {
            self.received[index] += batch.received[index];
            self.malformed[index] += batch.malformed[index];
        }
    }
}
