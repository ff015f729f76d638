//! The only caller of the clocks: everything else is handed the time.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::model::{BootTime, WallTime};

/// Boot time now.
pub fn boot_now() -> BootTime {
    BootTime(u64::try_from(nanoseconds(clock_gettime(ClockId::Boottime))).unwrap_or(0))
}

/// How far the wall clock is ahead of boot time, in nanoseconds.
///
/// The wall clock is read between two reads of boot time and compared to their middle, so that being descheduled in
/// between shows as a small error and not as a step.
pub fn wall_offset_ns() -> i64 {
    let before = nanoseconds(clock_gettime(ClockId::Boottime));
    let wall = nanoseconds(clock_gettime(ClockId::Realtime));
    let after = nanoseconds(clock_gettime(ClockId::Boottime));
    wall - (before + (after - before) / 2)
}

/// The wall clock now.
pub fn wall_now() -> WallTime {
    WallTime(nanoseconds(clock_gettime(ClockId::Realtime)))
}

/// The runtime's own time, for its timers.
pub fn timer_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// CPU time of this process so far, user and system.
pub fn process_cpu() -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds(clock_gettime(ClockId::ProcessCPUTime))).unwrap_or(0))
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}
