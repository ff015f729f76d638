//! The demo's own clock. Everything is measured in boot time, as the agent does, but by its own calls.

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, time in suspend included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct BootTime(pub i64);

impl BootTime {
    /// This very moment.
    pub fn now() -> BootTime {
        BootTime(nanoseconds(ClockId::Boottime))
    }
}

/// The wall clock's lead over boot time, measured once: both sides of a comparison go through the same one.
#[derive(Debug, Clone, Copy)]
pub struct WallOffset(i64);

impl WallOffset {
    /// Reads the wall clock between two readings of the boot clock, and keeps the closest of a few tries.
    pub fn measure() -> WallOffset {
        let (_, offset) = (0..9)
            .map(|_| {
                let before = nanoseconds(ClockId::Boottime);
                let wall = nanoseconds(ClockId::Realtime);
                let after = nanoseconds(ClockId::Boottime);
                (after - before, wall - (before + (after - before) / 2))
            })
            .min()
            .unwrap_or_default();
        WallOffset(offset)
    }

    /// A boot time as RFC 3339 with nanoseconds.
    pub fn format(self, at: BootTime) -> String {
        match Timestamp::from_nanosecond(i128::from(at.0) + i128::from(self.0)) {
            Ok(time) => format!("{time:.9}"),
            Err(error) => format!("{error}"),
        }
    }

    /// The boot time of an RFC 3339 text.
    pub fn parse(self, text: &str) -> Result<BootTime> {
        let time: Timestamp = text.parse().with_context(|| format!("{text:?} is not an RFC 3339 time"))?;
        match i64::try_from(time.as_nanosecond() - i128::from(self.0)) {
            Ok(nanoseconds) => Ok(BootTime(nanoseconds)),
            Err(_) => bail!("{text:?} is out of range"),
        }
    }
}

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let offset = WallOffset::measure();
        let now = BootTime::now();
        assert_eq!(offset.parse(&offset.format(now)).unwrap(), now);
        assert!(offset.parse("yesterday").is_err());
    }

    #[test]
    fn always_nine_digits() {
        assert_eq!(WallOffset(0).format(BootTime(1_000_000_000)), "1970-01-01T00:00:01.000000000Z");
    }
}
