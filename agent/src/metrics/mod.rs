//! The metrics: structs that are passed in, no globals. [`Terminations`] come from the pipeline's inputs alone, so that a
//! replay gives the same bytes as the run that was recorded; [`Agent`] is what the agent says of itself.
#![forbid(unsafe_code)]

mod terminations;
mod pods;
mod hooks;
mod signals;
mod connections;
mod refused;
mod live;
mod agent;
mod kernel;
mod sources;
mod limits;
mod process;
mod state;
mod scope;
mod series;
mod format;

use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub use agent::Agent;
pub use format::Format;
pub use kernel::Kernel;
pub use limits::Limits;
pub use process::{Process, Usage};
pub use sources::Sources;
pub use state::{Saving, State};
pub use terminations::Terminations;

/// Put before every name but those of the process, which have names that dashboards know.
const PREFIX: &str = "gracetrace";

/// Every metric there is.
#[derive(Debug)]
pub struct Metrics {
    /// What happened to pods.
    pub terminations: Terminations,
    /// The agent itself.
    pub agent: Agent,
    registries: [Registry; 3],
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new(Metrics::DEFAULT_MAX_SERIES)
    }
}

impl Metrics {
    /// How many series there may be about pods before new workloads share one set of labels.
    pub const DEFAULT_MAX_SERIES: usize = 20_000;

    /// All of them, with no value yet.
    pub fn new(max_series: usize) -> Metrics {
        let (mut pods, mut own, mut process) =
            (Registry::with_prefix(PREFIX), Registry::with_prefix(PREFIX), Registry::default());
        Metrics {
            terminations: Terminations::new(&mut pods, max_series),
            agent: Agent::new(&mut own, &mut process),
            registries: [pods, own, process],
        }
    }

    /// The whole exposition.
    ///
    /// # Errors
    /// When a metric cannot be encoded, which would be a bug in it.
    pub fn encode(&self, format: Format) -> Result<String, fmt::Error> {
        let mut out = String::new();
        for registry in &self.registries {
            text::encode_registry(&mut out, registry)?;
        }
        text::encode_eof(&mut out)?;
        Ok(format.of_openmetrics(out))
    }

    /// Only what the pipeline's inputs decide, as OpenMetrics: what `replay --metrics` prints.
    ///
    /// # Errors
    /// When a metric cannot be encoded, which would be a bug in it.
    pub fn encode_terminations(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registries[0])?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
