//! What can be chosen about the metrics.

use std::time::Duration;

use super::labels::Labels;

/// Settings of the series about pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The labels that say whose they are.
    pub labels: Labels,
    /// How many there may be before new workloads and containers share the labels `_overflow`.
    pub max_series: usize,
    /// How long those of a workload are kept after its last termination.
    pub keep: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { labels: Labels::default(), max_series: 20_000, keep: Duration::from_secs(24 * 60 * 60) }
    }
}
