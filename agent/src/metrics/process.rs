//! The agent's own process, by the names that every exporter has for these.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::registry::{Registry, Unit};
use crate::model::WallTime;
use crate::report::seconds;

/// Metrics about the process.
#[derive(Debug)]
pub struct Process {
    cpu: Counter<f64, AtomicU64>,
    resident: Gauge,
    start: Gauge<f64, AtomicU64>,
}

/// What the process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, user and system.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub resident: u64,
}

impl Process {
    pub(super) fn new(registry: &mut Registry) -> Process {
        let process = Process { cpu: Counter::default(), resident: Gauge::default(), start: Gauge::default() };
        registry.register_with_unit(
            "process_cpu",
            "User and system CPU time of the agent",
            Unit::Seconds,
            process.cpu.clone(),
        );
        registry.register_with_unit(
            "process_resident_memory",
            "Resident memory of the agent",
            Unit::Bytes,
            process.resident.clone(),
        );
        registry.register_with_unit(
            "process_start_time",
            "Start of the agent since the epoch: since then its counters have counted from 0",
            Unit::Seconds,
            process.start.clone(),
        );
        process
    }

    /// Says when it started.
    pub fn set_start(&self, at: WallTime) {
        self.start.set(at.0 as f64 / 1e9);
    }

    /// Says what the process has used.
    pub fn set(&self, usage: Usage) {
        self.cpu.inner().store(seconds(usage.cpu).to_bits(), Ordering::Relaxed);
        self.resident.set(i64::try_from(usage.resident).unwrap_or(i64::MAX));
    }
}

impl Usage {
    /// Reads it from the text of `/proc/self/status` (`VmRSS`) and the time of `CLOCK_PROCESS_CPUTIME_ID`.
    pub fn parse(status: &str, cpu: Duration) -> Option<Usage> {
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(Usage { cpu, resident: kib.checked_mul(1024)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_of_this_process() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(Usage::parse(&status, Duration::ZERO).unwrap().resident > 100_000);
        for bad in ["", "VmRSS:", "VmRSS: x kB", "VmRSS: 18446744073709551615 kB"] {
            assert_eq!(Usage::parse(bad, Duration::ZERO), None);
        }
    }
}
