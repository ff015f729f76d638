//! What a server counts, in memory that its processes share.

use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use serde::{Deserialize, Serialize};

/// A server's counts. Connections that only ask for them are in none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Those that the server has closed.
    pub ended: u64,
    /// Those whose client has closed its side, and the server not.
    pub half_closed: u64,
}

impl Counts {
    /// Those that a server had, from what it wrote when it left.
    pub fn of(output: &str) -> Option<Counts> {
        serde_json::from_str(output.lines().next_back()?).ok()
    }
}

/// Three words at the start of a page.
#[derive(Clone)]
pub(super) struct Shared(NonNull<[AtomicU64; 3]>);

// SAFETY: the page is never unmapped, and holds nothing but atomics.
unsafe impl Send for Shared {}

impl Shared {
    /// Memory that forked processes share with this one.
    pub(super) fn new() -> Result<Shared> {
        let flags = MapFlags::SHARED;
        // SAFETY: a new mapping at a place that the kernel chooses, which nothing else knows of.
        let page = unsafe { mmap_anonymous(null_mut(), 4096, ProtFlags::READ | ProtFlags::WRITE, flags) };
        Ok(Shared(NonNull::new(page.context("cannot share memory")?.cast()).context("memory at 0")?))
    }

    pub(super) fn accepted(&self) {
        self.words()[0].fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn ended(&self) {
        self.words()[1].fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn half_closed(&self) {
        self.words()[2].fetch_add(1, Ordering::SeqCst);
    }

    /// One that was accepted only asks.
    pub(super) fn told(&self) {
        self.words()[0].fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn read(&self) -> Counts {
        let [accepted, ended, half_closed] = self.words().each_ref().map(|word| word.load(Ordering::SeqCst));
        Counts { accepted, ended, half_closed }
    }

    fn words(&self) -> &[AtomicU64; 3] {
        // SAFETY: the page is mapped as long as the process lives, is large and aligned enough, and was all zeros.
        unsafe { self.0.as_ref() }
    }
}
