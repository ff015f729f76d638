//! Time: boot time orders and measures, wall-clock time is only shown.

use std::ops::Add;
use std::time::Duration;

/// Nanoseconds since boot, time in suspend included (`CLOCK_BOOTTIME`, `bpf_ktime_get_boot_ns`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootTime(pub u64);

impl BootTime {
    /// The time from `earlier` to this, 0 when `earlier` is later: records of two CPUs may be stamped out of order.
    pub fn since(self, earlier: BootTime) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for BootTime {
    type Output = BootTime;

    /// Saturates.
    fn add(self, by: Duration) -> BootTime {
        BootTime(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Nanoseconds since 1970-01-01 UTC, as `CLOCK_REALTIME` counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub i64);

/// Turns boot time into wall-clock time: the offsets that were in force, the oldest first. Wall clocks are stepped;
/// a boot time is shown with the offset of its own moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WallClock {
    offsets: Vec<(BootTime, i64)>,
}

impl WallClock {
    /// How many steps are remembered; the oldest goes first.
    const MAX_STEPS: usize = 16;
    /// Smaller changes are the slewing of a disciplined clock, not a step, and within what anybody reads off a page.
    const STEP_NS: u64 = 1_000_000;

    /// Takes note that at `at` the wall clock was `offset_ns` ahead of boot time.
    pub fn observe(&mut self, at: BootTime, offset_ns: i64) {
        match self.offsets.last() {
            Some(&(_, last)) if last.abs_diff(offset_ns) < Self::STEP_NS => return,
            _ => {}
        }
        if self.offsets.len() == Self::MAX_STEPS {
            self.offsets.remove(0);
        }
        self.offsets.push((at, offset_ns));
    }

    /// The boot time of a wall-clock time: the latest one, where a step back made it come twice; by the first known
    /// offset before that.
    pub fn boot(&self, wall: WallTime) -> BootTime {
        let by = |offset: i64| BootTime(u64::try_from(wall.0.saturating_sub(offset)).unwrap_or(0));
        let in_force = self.offsets.iter().rev().find(|(from, offset)| by(*offset) >= *from);
        by(in_force.or(self.offsets.first()).map_or(0, |(_, offset)| *offset))
    }

    /// The offsets that were in force, each with the time from which on, the oldest first.
    pub fn offsets(&self) -> &[(BootTime, i64)] {
        &self.offsets
    }

    /// Takes over what an earlier run of the agent has noted.
    pub fn precede(&mut self, earlier: &WallClock) {
        let later = std::mem::replace(self, earlier.clone());
        for (at, offset) in later.offsets {
            self.observe(at, offset);
        }
    }

    /// The wall-clock time at `at`, by the offset in force then; the first known one before that.
    pub fn at(&self, at: BootTime) -> WallTime {
        let offset = self
            .offsets
            .iter()
            .rev()
            .find(|(from, _)| *from <= at)
            .or(self.offsets.first())
            .map_or(0, |&(_, offset)| offset);
        WallTime(i64::try_from(at.0).unwrap_or(i64::MAX).saturating_add(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_changes_later_times_only() {
        let mut clock = WallClock::default();
        clock.observe(BootTime(100), 1_000_000_000);
        clock.observe(BootTime(200), 1_000_000_500); // slewing
        clock.observe(BootTime(300), 5_000_000_000);
        assert_eq!(clock.at(BootTime(50)), WallTime(1_000_000_050));
        assert_eq!(clock.at(BootTime(250)), WallTime(1_000_000_250));
        assert_eq!(clock.at(BootTime(300)), WallTime(5_000_000_300));
    }

    #[test]
    fn a_wall_clock_time_leads_back() {
        let mut clock = WallClock::default();
        assert_eq!(clock.boot(WallTime(5)), BootTime(5));
        clock.observe(BootTime(100), 1_000_000_000);
        clock.observe(BootTime(300), 5_000_000_000);
        for at in [BootTime(50), BootTime(250), BootTime(300), BootTime(9000)] {
            assert_eq!(clock.boot(clock.at(at)), at);
        }
        assert_eq!(clock.boot(WallTime(-1)), BootTime(0), "before boot");
        clock.observe(BootTime(400), 1_000_000_000);
        assert_eq!(clock.boot(clock.at(BootTime(500))), BootTime(500));
    }

    #[test]
    fn never_grows() {
        let mut clock = WallClock::default();
        for step in 0..1000 {
            clock.observe(BootTime(step), i64::try_from(step).unwrap() * 10_000_000);
        }
        assert_eq!(clock.offsets.len(), WallClock::MAX_STEPS);
    }

    #[test]
    fn since_does_not_underflow() {
        assert_eq!(BootTime(1).since(BootTime(2)), Duration::ZERO);
    }
}
