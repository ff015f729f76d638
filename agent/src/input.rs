//! The one closed set of things that can happen to the agent. The pipeline is driven by nothing else, so a file of
//! these is a run.
#![forbid(unsafe_code)]

use crate::identity::Update;
use crate::model::{BootTime, Event, Saved};

/// One input of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The kernel saw something.
    Kernel(Event),
    /// A source told what it knows of pods and containers.
    Identity(Update),
    /// An earlier run of the agent has left this. Comes once, after the first walk of the cgroup tree: a container that
    /// is not known then has ended unseen.
    Restored(Saved),
    /// Time went on.
    Tick {
        /// Boot time now.
        now: BootTime,
        /// How far the wall clock is ahead of boot time, in nanoseconds.
        wall_offset_ns: i64,
    },
}
